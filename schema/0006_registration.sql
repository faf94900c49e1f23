-- SPDX-License-Identifier: MIT
-- The initial devices of a QEMU leave the row of its domain for a table of their own: each commit
-- rewrites that row, and a QEMU can make the list long. What a QEMU was started with needs no entry;
-- everything else in it does (R1 R19).

-- A registration writes them anew, and nothing keeps those of an earlier QEMU. A QEMU is not looked
-- into when it names more than 20 000 things, or 1 MiB of names, and so no more is kept.
CREATE TABLE initial_device (
    domain INTEGER NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
    kind   TEXT    NOT NULL CHECK (kind IN ('device', 'anonymous', 'node', 'chardev', 'object', 'netdev', 'medium')),
    name   TEXT    NOT NULL,                          -- QEMU's id; of a medium that of its drive
    file   TEXT    CHECK ((kind = 'medium') = (file IS NOT NULL)),  -- of a medium, as QEMU names it
    PRIMARY KEY (domain, kind, name)
) STRICT, WITHOUT ROWID;

-- On what that list rests. NULL: no QEMU, or it has not answered yet.
--   creation      QEMU's answers before anything was added to it
--   command line  of what was there when it was registered, what its command line made
--   listed        all that was there when release 0.1 registered it
--   unknown       on too little: what is neither on it nor in an entry is reported, never taken out
ALTER TABLE domain ADD COLUMN initial_from TEXT
    CHECK (initial_from IS NULL OR initial_from IN ('creation', 'command line', 'listed', 'unknown'));

INSERT OR IGNORE INTO initial_device (domain, kind, name)
SELECT d.id, k.key, n.value
FROM domain d,
     json_each(CASE WHEN json_valid(d.baseline) THEN d.baseline ELSE '{}' END) k,
     json_each(CASE k.type WHEN 'array' THEN k.value ELSE '[]' END) n
WHERE d.state <> 'destroyed' AND d.qemu_pid IS NOT NULL AND n.type = 'text'
  AND k.key IN ('device', 'anonymous', 'node', 'chardev', 'object', 'netdev');
INSERT OR IGNORE INTO initial_device (domain, kind, name, file)
SELECT d.id, 'medium', json_extract(n.value, '$.id'), json_extract(n.value, '$.file')
FROM domain d,
     json_each(CASE WHEN json_valid(d.baseline) THEN d.baseline ELSE '{}' END) k,
     json_each(CASE k.type WHEN 'array' THEN k.value ELSE '[]' END) n
WHERE d.state <> 'destroyed' AND d.qemu_pid IS NOT NULL AND k.key = 'drive' AND n.type = 'object'
  AND json_type(n.value, '$.id') = 'text' AND json_type(n.value, '$.file') = 'text';
-- Release 0.1 gave only a QEMU that it had started a log.
UPDATE domain SET initial_from = CASE WHEN NOT coalesce(json_valid(baseline), 0) THEN 'unknown'
                                      WHEN coalesce(log_path, '') = '' THEN 'listed'
                                      ELSE 'creation' END
WHERE state <> 'destroyed' AND qemu_pid IS NOT NULL AND (baseline IS NOT NULL OR state = 'running');
-- A registration that release 0.1 began and did not finish: recovery would go on as a creation does,
-- and attach the document to a QEMU that ran before.
UPDATE domain SET state = 'running', creator = NULL, initial_from = coalesce(initial_from, 'unknown')
WHERE state = 'creating' AND born_us IS NOT NULL AND qemu_pid IS NOT NULL AND monitor_inode <> 0
  AND coalesce(log_path, '') = '';
ALTER TABLE domain DROP COLUMN baseline;
