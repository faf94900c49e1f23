-- SPDX-License-Identifier: MIT
-- A store is of one machine and one directory, and its commits are counted (R17): a database that went
-- back to an older state of itself, or was copied, is told from the one that the directory has seen last.

-- Every commit of the library's that changed a row. The directory remembers the highest (store/model/numbers.hpp).
ALTER TABLE store ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
-- The place that it was last opened for writing at; all NULL: no program of this schema has opened it yet.
ALTER TABLE store ADD COLUMN machine TEXT;              -- /etc/machine-id; '': there was none
ALTER TABLE store ADD COLUMN boot_id TEXT;              -- device numbers are those of one boot
ALTER TABLE store ADD COLUMN directory TEXT;            -- its path then, for messages
ALTER TABLE store ADD COLUMN directory_device INTEGER;
ALTER TABLE store ADD COLUMN directory_inode INTEGER;
ALTER TABLE store ADD COLUMN directory_born_ns INTEGER;   -- inode numbers are used again; 0: not known

CREATE TRIGGER r17_store_commits BEFORE UPDATE OF commits ON store
WHEN NEW.commits < OLD.commits
BEGIN SELECT RAISE(ABORT, 'R17: the count of commits never goes back'); END;
