-- SPDX-License-Identifier: MIT
-- Views for people and programs; their columns are kept stable. Each says as of when it speaks and
-- on what evidence: SQL knows what was committed, never what QEMU has at this moment.

-- The domains that are not over.
CREATE VIEW domains AS
SELECT d.domid, d.name, d.uuid, d.vm_uuid, d.state, d.id AS incarnation,
       (SELECT count(*) FROM thing t WHERE t.domain = d.id) AS things,
       (SELECT count(*) FROM intent i WHERE i.domain = d.id) AS open_intents,
       d.qemu_pid, d.monitor_path, d.log_path, d.epoch, d.revision,
       datetime(d.changed_us / 1000000, 'unixepoch') AS as_of,
       'committed row; QEMU was not asked' AS evidence
FROM domain d WHERE d.state <> 'destroyed' ORDER BY d.domid;

-- Every entry of those domains. `json` is what the document shows.
CREATE VIEW things AS
SELECT d.domid, d.name AS domain, d.id AS incarnation, t.class, t.key, t.state, t.primary_at,
       (SELECT group_concat(p.kind || ':' || p.name, ' ') FROM product p WHERE p.thing = t.id) AS products,
       t.json, i.id AS intent,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of,
       CASE WHEN i.id IS NOT NULL THEN 'open intent: QEMU may have either image'
            WHEN t.state = 'stale' THEN 'seen absent from its primary'
            ELSE 'committed row; the primary was not asked' END AS evidence
FROM thing t JOIN domain d ON d.id = t.domain LEFT JOIN intent i ON i.thing = t.id
WHERE d.state <> 'destroyed' ORDER BY d.domid, t.class, t.position;

-- Open intents: what was promised and is not settled yet.
CREATE VIEW pending_intents AS
SELECT i.id AS intent, d.domid, d.name AS domain, d.id AS incarnation, i.operation, t.class, t.key, t.state AS entry,
       CASE WHEN i.asked_us IS NOT NULL THEN 'asked, waiting for the guest' ELSE 'open' END AS waits_for,
       CAST(unixepoch() - i.opened_us / 1000000 AS INTEGER) AS age_s,
       s.pid AS owner_pid, s.program AS owner_program, i.batch, i.note,
       i.image_before, i.image_after, i.plan, i.probe, i.monitor_path,
       datetime(i.opened_us / 1000000, 'unixepoch') AS as_of,
       'committed before the first byte of the plan was sent; QEMU was not asked since' AS evidence
FROM intent i JOIN domain d ON d.id = i.domain JOIN thing t ON t.id = i.thing JOIN session s ON s.id = i.owner
ORDER BY i.id;

-- Entries whose thing is not in the primary: allowed, and never in the way.
CREATE VIEW stale_things AS
SELECT d.domid, d.name AS domain, t.class, t.key, t.json,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of, 'seen absent from its primary' AS evidence
FROM thing t JOIN domain d ON d.id = t.domain
WHERE t.state = 'stale' AND d.state <> 'destroyed' ORDER BY d.domid, t.class, t.position;

-- Who said that it holds a lock, in rows that its commits left. Nobody may live any more: `xlstore
-- locks` asks the kernel.
CREATE VIEW claimed_locks AS
SELECT d.domid, d.name AS domain, 'slow' AS lock, s.pid, s.program,
       i.operation || ' ' || t.class || '/' || t.key AS operation,
       datetime(i.opened_us / 1000000, 'unixepoch') AS as_of, 'row of open intent ' || i.id AS evidence
FROM intent i JOIN domain d ON d.id = i.domain JOIN thing t ON t.id = i.thing JOIN session s ON s.id = i.owner
UNION ALL
SELECT d.domid, d.name, 'slow', s.pid, s.program, 'create',
       datetime(d.created_us / 1000000, 'unixepoch'), 'row of a domain that is being created'
FROM domain d JOIN session s ON s.id = d.creator WHERE d.state = 'creating'
UNION ALL
SELECT d.domid, d.name, 'destroy', NULL, NULL, 'destroy',
       datetime(d.changed_us / 1000000, 'unixepoch'), 'row of a domain that is being destroyed'
FROM domain d WHERE d.state = 'destroying';

-- The whole document of each domain, minified.
CREATE VIEW libxl_json AS
SELECT d.domid, d.name AS domain, d.uuid,
       '{' || (SELECT group_concat(m.key_text || ':' || m.value, ',')
               FROM (SELECT dm.key_text,
                            coalesce(dm.text,
                                     (SELECT '[' || group_concat(o.json, ',') || ']'
                                      FROM (SELECT t.json FROM thing t
                                            WHERE t.domain = d.id AND t.class = dm.key
                                            ORDER BY t.position, t.id) o)) AS value
                     FROM document_member dm WHERE dm.domain = d.id ORDER BY dm.rank) m
               WHERE m.value IS NOT NULL) || '}' AS json,
       d.revision, datetime(d.changed_us / 1000000, 'unixepoch') AS as_of,
       'committed rows; the document shows new images' AS evidence
FROM domain d WHERE d.state <> 'destroyed' ORDER BY d.domid;

-- What must never be, as far as rows alone can tell. Empty in a sound store; what only a look into
-- QEMU can tell is xlfsck's business.
CREATE VIEW invariant_breaches AS
SELECT 'R10' AS rule, d.domid, t.class, t.key,
       'entry is ' || t.state || ' but no open intent says why' AS breach,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of, 'committed rows' AS evidence
FROM thing t JOIN domain d ON d.id = t.domain
WHERE t.state IN ('adding', 'changing', 'removing') AND d.state = 'running'
  AND NOT EXISTS (SELECT 1 FROM intent i WHERE i.thing = t.id)
UNION ALL
SELECT 'R10', d.domid, t.class, t.key, 'intent ' || i.id || ' is open but its entry is ' || t.state,
       datetime(i.opened_us / 1000000, 'unixepoch'), 'committed rows'
FROM intent i JOIN thing t ON t.id = i.thing JOIN domain d ON d.id = i.domain
WHERE t.state NOT IN ('adding', 'changing', 'removing')
UNION ALL
SELECT 'R14', d.domid, NULL, NULL, 'destroyed, yet QEMU ' || d.qemu_pid || ' is still registered',
       datetime(d.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM domain d WHERE d.state = 'destroyed' AND d.qemu_pid IS NOT NULL;
