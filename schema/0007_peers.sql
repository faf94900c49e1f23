-- SPDX-License-Identifier: MIT
-- Who a process is (R11).

-- What a QEMU that the library starts has in its environment, as XLSTORE_CREATION, until its monitor
-- has answered: by it a process is known that a creation started and that is not the registered pid
-- (a QEMU that daemonized, or that runs below a wrapper). NULL: not started by the library, or met.
ALTER TABLE domain ADD COLUMN creation_mark TEXT;
