-- SPDX-License-Identifier: MIT
-- Domains that no QEMU stands for: PV and PVH. Their creation is a row like any other, and what tells
-- after a crash whether it came to something is not a process, but whether Xen has the domain.

-- Written before the domain is made; 0 of all that have, or had, a QEMU of this store.
ALTER TABLE domain ADD COLUMN without_qemu INTEGER NOT NULL DEFAULT 0 CHECK (without_qemu IN (0, 1));

-- By it a creation is finished or retired.
CREATE TRIGGER only_xlstore_domain_without_qemu BEFORE UPDATE OF without_qemu ON domain
BEGIN SELECT only_xlstore_changes_this(); END;
