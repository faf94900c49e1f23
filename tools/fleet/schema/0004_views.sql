-- SPDX-License-Identifier: MIT
-- What can be asked of a fleet. Each view sees with the rights of the role that asks: a reader all hosts, a host
-- itself. Ages are told by the host's own clock up to its last push and by this server's from then on, so that
-- clocks that differ do not matter.

-- A time of a host's clock. What no calendar has is infinity, not an error: a clock may say anything.
CREATE FUNCTION fleet.at(us bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE WHEN us IS NULL THEN NULL WHEN us NOT BETWEEN -62000000000000000 AND 253000000000000000
                  THEN 'infinity'::timestamptz ELSE to_timestamp(us / 1000000.0) END $$;
GRANT EXECUTE ON FUNCTION fleet.at(bigint) TO xlstore_fleet_host, xlstore_fleet_reader;

-- How long ago that was. Never below nothing.
CREATE FUNCTION fleet.age(us bigint, clock_us bigint, seen timestamptz) RETURNS interval LANGUAGE sql STABLE
AS $$ SELECT make_interval(secs => greatest(least(coalesce(clock_us - us, 0), 3000000000000000), 0) / 1000000.0)
             + greatest(now() - seen, interval '0') $$;
GRANT EXECUTE ON FUNCTION fleet.age(bigint, bigint, timestamptz) TO xlstore_fleet_host, xlstore_fleet_reader;

-- Domains of the current generations that are not over.
CREATE VIEW fleet.living WITH (security_invoker = true) AS
SELECT h.name AS host, d.host AS host_id, d.generation, d.incarnation, d.domid, d.name AS domain, d.uuid, d.vm_uuid,
       d.state, d.closed_us IS NOT NULL AS closed, d.closed_reason, d.qemu_pid, d.revision, d.commits AS as_of_commit,
       p.seen
FROM fleet.domain d JOIN fleet.presence p ON p.host = d.host AND p.generation = d.generation
     JOIN fleet.host h ON h.host = d.host
WHERE d.state NOT IN ('destroyed', 'gone');
COMMENT ON VIEW fleet.living IS 'Domains that are not over, as of the last push of their hosts';

CREATE VIEW fleet.hosts WITH (security_invoker = true) AS
SELECT h.name AS host,
       CASE WHEN p.seen IS NULL THEN 'never seen'
            WHEN p.seen < now() - interval '2 minutes' THEN 'silent'
            WHEN g.commits IS NULL OR p.behind > 0 THEN 'catching up'
            WHEN EXISTS (SELECT 1 FROM fleet.intent i WHERE i.host = h.host AND i.generation = p.generation)
                 THEN 'in doubt'
            WHEN coalesce(p.check_status & ~3, 0) <> 0 THEN 'findings'
            ELSE 'well' END AS health,
       p.seen AS last_seen, now() - p.seen AS lag, p.behind, p.generation, g.store_uuid, g.commits AS as_of_commit,
       g.line AS last_line,
       (SELECT count(*) FROM fleet.living l WHERE l.host_id = h.host) AS domains,
       (SELECT count(*) FROM fleet.intent i WHERE i.host = h.host AND i.generation = p.generation) AS open_intents,
       (SELECT count(*) FROM fleet.gap x WHERE x.host = h.host) AS gaps,
       CASE WHEN abs(p.clock_us / 1000000.0 - extract(epoch FROM p.seen)) < 1000000000
            THEN make_interval(secs => round((p.clock_us / 1000000.0 - extract(epoch FROM p.seen))::numeric, 1)::float)
            END AS clock_ahead,
       p.checked, p.check_status, p.check_found, p.hostname, p.machine_id, p.boot_id, p.program, p.kernel, p.xen,
       p.directory
FROM fleet.host h JOIN fleet.presence p ON p.host = h.host
     LEFT JOIN fleet.generation g ON g.host = p.host AND g.generation = p.generation;
COMMENT ON VIEW fleet.hosts IS 'Each host: when it was seen, how it is, as of which commit';

CREATE VIEW fleet.in_doubt WITH (security_invoker = true) AS
SELECT l.host, l.domid, l.domain, l.uuid, l.incarnation, i.class, i.key, i.intent, i.operation,
       CASE WHEN i.asked_us IS NOT NULL THEN 'asked, waiting for the guest' ELSE 'open' END AS waits_for,
       fleet.at(i.opened_us) AS since, date_trunc('second', fleet.age(i.opened_us, p.clock_us, p.seen)) AS age,
       i.note, i.plan, i.image_before, i.image_after, l.as_of_commit, l.seen
FROM fleet.intent i JOIN fleet.living l ON l.host_id = i.host AND l.generation = i.generation
                                        AND l.incarnation = i.incarnation
     JOIN fleet.presence p ON p.host = i.host
UNION ALL
SELECT l.host, l.domid, l.domain, l.uuid, l.incarnation, NULL, NULL, NULL,
       CASE l.state WHEN 'creating' THEN 'create' ELSE 'destroy' END, 'open', fleet.at(d.changed_us),
       date_trunc('second', fleet.age(d.changed_us, p.clock_us, p.seen)), '', NULL, NULL, NULL, l.as_of_commit, l.seen
FROM fleet.living l JOIN fleet.domain d ON d.host = l.host_id AND d.generation = l.generation
                                        AND d.incarnation = l.incarnation
     JOIN fleet.presence p ON p.host = l.host_id
WHERE l.state IN ('creating', 'destroying');
COMMENT ON VIEW fleet.in_doubt IS 'What was promised and is not settled: which host, which domain, since when, what the plan was';

CREATE VIEW fleet.domains_everywhere WITH (security_invoker = true) AS
SELECT l.uuid, count(*) AS places, count(DISTINCT l.host_id) AS hosts,
       count(*) FILTER (WHERE l.state = 'running' AND NOT l.closed) AS claims,
       CASE WHEN count(*) = 1 THEN 'one place'
            WHEN count(*) FILTER (WHERE l.state = 'running' AND NOT l.closed) > 1 THEN 'mistake'
            ELSE 'migration' END AS verdict,
       string_agg(l.host || ': domain ' || l.domid || ' (' || l.domain || ') ' || l.state
                  || CASE WHEN l.closed THEN ', closed: ' || coalesce(l.closed_reason, '') ELSE '' END,
                  '; ' ORDER BY l.host, l.domid) AS where_it_is
FROM fleet.living l WHERE l.uuid <> '00000000-0000-0000-0000-000000000000' GROUP BY l.uuid;
COMMENT ON VIEW fleet.domains_everywhere IS 'Each uuid with all places that have it; more than one is a migration or a mistake';

CREATE VIEW fleet.two_primaries WITH (security_invoker = true) AS
SELECT e.uuid, e.claims, e.where_it_is FROM fleet.domains_everywhere e WHERE e.claims > 1;
COMMENT ON VIEW fleet.two_primaries IS
    'Breaches of what holds over a migration: never two running incarnations of a uuid whose documents are open. Empty when all is well';

CREATE VIEW fleet.who_changed WITH (security_invoker = true) AS
SELECT h.name AS host, x.generation, x.line, fleet.at(x.at_us) AS at, x.received, x.incarnation, x.domid,
       d.name AS domain, d.uuid, x.operation, x.class, x.key, x.intent, x.outcome, x.medium_before, x.medium_after,
       coalesce(x.author_program, x.program) AS program, coalesce(x.author_pid, x.pid) AS pid,
       coalesce(x.author_uid, x.uid) AS uid, x.program AS settled_by, x.evidence
FROM fleet.history x JOIN fleet.host h ON h.host = x.host
     LEFT JOIN fleet.domain d ON d.host = x.host AND d.generation = x.generation AND d.incarnation = x.incarnation;
COMMENT ON VIEW fleet.who_changed IS 'All lines of history of all hosts and generations. Order them by host, generation and line';

CREATE VIEW fleet.images_in_use WITH (security_invoker = true) AS
SELECT t.image, count(*) AS uses, count(DISTINCT l.uuid) AS guests, count(DISTINCT l.host_id) AS hosts,
       bool_or(t.json NOT LIKE '%"is_cdrom":1%' AND t.json LIKE '%"readwrite":1%') AS written,
       string_agg(l.host || ': domain ' || l.domid || ' (' || l.domain || ') ' || t.class || '/' || t.key, '; '
                  ORDER BY l.host, l.domid, t.key) AS used_by
FROM fleet.thing t JOIN fleet.living l ON l.host_id = t.host AND l.generation = t.generation
                                       AND l.incarnation = t.incarnation
WHERE t.image IS NOT NULL AND t.state <> 'stale' GROUP BY t.image;
COMMENT ON VIEW fleet.images_in_use IS 'Each image with the disks that show it, over all hosts: a path is one image only where hosts share storage';

CREATE VIEW fleet.stale WITH (security_invoker = true) AS
SELECT l.host, l.domid, l.domain, l.uuid, t.class, t.key, t.json,
       date_trunc('second', fleet.age(t.changed_us, p.clock_us, p.seen)) AS age, l.as_of_commit, l.seen
FROM fleet.thing t JOIN fleet.living l ON l.host_id = t.host AND l.generation = t.generation
                                       AND l.incarnation = t.incarnation
     JOIN fleet.presence p ON p.host = t.host
WHERE t.state = 'stale';
COMMENT ON VIEW fleet.stale IS 'Entries whose thing was seen absent from its primary';

CREATE VIEW fleet.unmanaged WITH (security_invoker = true) AS
SELECT h.name AS host, f.code, f.problem, f.subject, f.message, f.evidence, f.action, p.checked
FROM fleet.finding f JOIN fleet.host h ON h.host = f.host JOIN fleet.presence p ON p.host = f.host
WHERE f.problem IN ('thing_unknown', 'thing_unwanted', 'thing_perhaps_initial', 'medium_other', 'medium_unknown',
                    'device_unknown', 'qemu_unknown', 'qemu_homeless', 'domain_survives');
COMMENT ON VIEW fleet.unmanaged IS 'What xlfsck saw in QEMU, xenstore or Xen that no entry knows';

-- Each column of each view, in words: \d+ fleet.hosts shows them.
DO $$
DECLARE
    words json := '{
    "host": "name of the host", "host_id": "its number", "generation": "counts the times its store went back or was replaced",
    "incarnation": "number of the domain''s life on that host, never used again there", "domid": "as Xen has it",
    "domain": "name of the domain", "uuid": "of the domain", "vm_uuid": "the uuid that it goes by since it was preserved",
    "state": "creating, running or destroying", "closed": "its document is closed, as a rule for a migration",
    "closed_reason": "why", "qemu_pid": "of the registered QEMU", "revision": "counts the changes of the document",
    "as_of_commit": "the commit of the host''s store that this is at least as new as", "seen": "last push of the host (clock of this server)",
    "health": "never seen; silent: no push for 2 minutes; catching up; in doubt: intents are open; findings: of xlfsck; well",
    "last_seen": "last push (clock of this server)", "lag": "time since then", "behind": "lines of history that were not sent then",
    "store_uuid": "of the store", "last_line": "the last line of history that is here", "domains": "that are not over",
    "open_intents": "how many", "gaps": "ranges of lines that were pruned before they were sent",
    "clock_ahead": "the host''s clock against this server''s, at the last push", "checked": "when the findings of xlfsck came",
    "check_status": "exit status of xlfsck, a sum of bits", "check_found": "what it found", "hostname": "as the host calls itself",
    "machine_id": "/etc/machine-id", "boot_id": "of the running kernel", "program": "which program",
    "kernel": "release of the kernel", "xen": "version of Xen, where there is one", "directory": "of the store",
    "class": "of the thing", "key": "of the thing", "intent": "number of the intent", "operation": "what was asked for",
    "waits_for": "open; or the guest", "since": "when it was opened (clock of the host)", "age": "how long ago; clocks that differ do not matter",
    "note": "why it is open still", "plan": "the QMP commands", "image_before": "the element before it", "image_after": "the element after it",
    "places": "incarnations that are not over", "hosts": "different hosts", "claims": "running, with an open document",
    "verdict": "one place; migration: at most one claims the primary; mistake: two do", "where_it_is": "each place in words",
    "line": "number in that host''s history", "at": "clock of the host; it orders nothing", "received": "clock of this server",
    "outcome": "done, not done or begun", "medium_before": "of a CD drive", "medium_after": "of a CD drive",
    "pid": "process that asked", "uid": "its user", "settled_by": "program that wrote the line", "evidence": "on what it rests",
    "image": "path or URI", "uses": "disks that show it", "guests": "different domains", "written": "one of them may write to it",
    "used_by": "each in words", "json": "the element of the document", "code": "as xlfsck(8) lists them", "problem": "the same in a word",
    "subject": "what it is about", "message": "what was found", "action": "what xlfsck did about it"}';
    col record;
BEGIN
    FOR col IN SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
               WHERE c.relnamespace = 'fleet'::regnamespace AND c.relkind = 'v' AND a.attnum > 0 LOOP
        EXECUTE format('COMMENT ON COLUMN fleet.%I.%I IS %L', col.relname, col.attname, words->>col.attname);
    END LOOP;
END $$;

GRANT SELECT ON fleet.living, fleet.hosts, fleet.in_doubt, fleet.domains_everywhere, fleet.two_primaries,
    fleet.who_changed, fleet.images_in_use, fleet.stale, fleet.unmanaged TO xlstore_fleet_host, xlstore_fleet_reader;
