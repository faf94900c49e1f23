-- SPDX-License-Identifier: MIT
-- A line of history that closes an intent says when that intent was opened: from then on its domain's
-- thing lock was held, or the process that held it had died. Lines of older releases have NULL.

ALTER TABLE history ADD COLUMN opened_us INTEGER;     -- the commit of the intent; NULL: it closes none

DROP VIEW IF EXISTS history_lines;
CREATE VIEW history_lines AS
SELECT h.id AS line, h.at_us, datetime(h.at_us / 1000000, 'unixepoch') AS as_of,
       h.domain AS incarnation, h.domid, d.name AS domain, d.uuid,
       h.operation, h.class, h.key, h.intent, h.outcome, h.image, h.medium_before, h.medium_after,
       h.program, h.pid, h.uid, h.author_program, h.author_pid, h.author_uid, h.asked, h.evidence,
       h.opened_us
FROM history h LEFT JOIN domain d ON d.id = h.domain ORDER BY h.id;
