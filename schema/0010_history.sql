-- SPDX-License-Identifier: MIT
-- History says who asked, and what was in a CD drive before and after. Rows of older releases have
-- NULL in these columns: it is not known.

ALTER TABLE session ADD COLUMN uid INTEGER;           -- real uid of the process

-- `pid`, `program` and `uid` are those of the process that wrote the line. The author is the process
-- that opened the intent which the line closes: recovery settles for others.
ALTER TABLE history ADD COLUMN uid INTEGER;
ALTER TABLE history ADD COLUMN author_pid INTEGER;
ALTER TABLE history ADD COLUMN author_program TEXT;
ALTER TABLE history ADD COLUMN author_uid INTEGER;
-- Of a CD drive alone. A path; '': no medium; of what is no path (a URI can hold a password) the
-- part before the first colon.
ALTER TABLE history ADD COLUMN medium_before TEXT;
ALTER TABLE history ADD COLUMN medium_after TEXT;

-- Every incarnation, destroyed ones too, the newest first.
CREATE VIEW incarnations AS
SELECT d.id AS incarnation, d.domid, d.name, d.uuid, d.vm_uuid, d.state,
       datetime(d.created_us / 1000000, 'unixepoch') AS created,
       datetime(d.born_us / 1000000, 'unixepoch') AS first_ran,
       CASE WHEN d.state = 'destroyed' THEN datetime(d.changed_us / 1000000, 'unixepoch') END AS destroyed,
       d.epoch, d.revision, d.qemu_pid, d.monitor_path, d.log_path,
       datetime(d.changed_us / 1000000, 'unixepoch') AS as_of,
       'committed row; QEMU was not asked' AS evidence
FROM domain d ORDER BY d.id DESC;

-- History with the names of the domains that it speaks of.
CREATE VIEW history_lines AS
SELECT h.id AS line, h.at_us, datetime(h.at_us / 1000000, 'unixepoch') AS as_of,
       h.domain AS incarnation, h.domid, d.name AS domain, d.uuid,
       h.operation, h.class, h.key, h.intent, h.outcome, h.image, h.medium_before, h.medium_after,
       h.program, h.pid, h.uid, h.author_program, h.author_pid, h.author_uid, h.asked, h.evidence
FROM history h LEFT JOIN domain d ON d.id = h.domain ORDER BY h.id;
