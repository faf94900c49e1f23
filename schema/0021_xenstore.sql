-- SPDX-License-Identifier: MIT
-- Things of xenstore have no intents: their entries are committed below the fast lock before their nodes are, and
-- one that is being removed waits for its guest as 'removing'. As before but for that.

DROP VIEW IF EXISTS invariant_breaches;
CREATE VIEW invariant_breaches AS
SELECT 'R10' AS rule, d.domid, t.class, t.key,
       'entry is ' || t.state || ' but no open intent says why' AS breach,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of, 'committed rows' AS evidence
FROM thing t JOIN domain d ON d.id = t.domain
WHERE t.state IN ('adding', 'changing', 'removing') AND d.state = 'running'
  AND NOT (t.primary_at = 'xenstore' AND t.state = 'removing')
  AND NOT EXISTS (SELECT 1 FROM intent i WHERE i.thing = t.id)
UNION ALL
SELECT 'R10', d.domid, t.class, t.key, 'intent ' || i.id || ' is open but its entry is ' || t.state,
       datetime(i.opened_us / 1000000, 'unixepoch'), 'committed rows'
FROM intent i JOIN thing t ON t.id = i.thing JOIN domain d ON d.id = i.domain
WHERE t.state NOT IN ('adding', 'changing', 'removing')
UNION ALL
SELECT 'R14', d.domid, NULL, NULL, 'destroyed, yet QEMU ' || d.qemu_pid || ' is still registered',
       datetime(d.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM domain d WHERE d.state = 'destroyed' AND d.qemu_pid IS NOT NULL
UNION ALL
SELECT 'R11', d.domid, NULL, NULL,
       'QEMU ' || d.qemu_pid || ' is registered as that of domain ' || o.domid || ', too',
       datetime(d.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM domain d JOIN domain o ON o.id <> d.id AND o.qemu_pid = d.qemu_pid
 AND o.qemu_start_time IS d.qemu_start_time AND o.qemu_pid_namespace IS d.qemu_pid_namespace
 AND o.boot_id = d.boot_id
WHERE d.state <> 'destroyed' AND o.state <> 'destroyed'
UNION ALL
SELECT 'R16', d.domid, t.class, t.key, 'its product ' || p.kind || ' ' || p.name || ' is filed under domain '
       || coalesce((SELECT domid FROM domain WHERE id = p.domain), 'of no row'),
       datetime(t.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM product p JOIN thing t ON t.id = p.thing JOIN domain d ON d.id = t.domain
WHERE p.domain <> t.domain;
