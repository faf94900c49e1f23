-- SPDX-License-Identifier: MIT
-- Answers over thousands of hosts. What a question is about is found by an index, or kept by the push that changes it;
-- what is put into words is so for the rows alone that are asked for.

-- A domain's things go with it (take_things): where there is a thing of the current generation, its domain lives.
CREATE INDEX domain_at_uuid ON fleet.domain (uuid);
DROP INDEX fleet.domain_uuid;
CREATE INDEX domain_under_way ON fleet.domain (host, generation, incarnation) WHERE state IN ('creating', 'destroying');
CREATE INDEX domain_living ON fleet.domain (host, generation) WHERE state NOT IN ('destroyed', 'gone');
CREATE INDEX thing_stale ON fleet.thing (host, generation, incarnation) WHERE state = 'stale';
ALTER TABLE fleet.thing ADD COLUMN written boolean
    GENERATED ALWAYS AS (json NOT LIKE '%"is_cdrom":1%' AND json LIKE '%"readwrite":1%') STORED;

-- Counted by each push, of its host.
ALTER TABLE fleet.presence
    ADD COLUMN domains      integer NOT NULL DEFAULT 0,
    ADD COLUMN open_intents integer NOT NULL DEFAULT 0;

UPDATE fleet.presence p
SET domains = (SELECT count(*) FROM fleet.domain d WHERE d.host = p.host AND d.generation = p.generation
                                                     AND d.state NOT IN ('destroyed', 'gone')),
    open_intents = (SELECT count(*) FROM fleet.intent i WHERE i.host = p.host AND i.generation = p.generation);

CREATE OR REPLACE VIEW fleet.hosts WITH (security_invoker = true) AS
SELECT h.name AS host,
       CASE WHEN p.seen IS NULL THEN 'never seen'
            WHEN p.seen < now() - interval '2 minutes' THEN 'silent'
            WHEN g.commits IS NULL OR p.behind > 0 THEN 'catching up'
            WHEN p.open_intents > 0 THEN 'in doubt'
            WHEN coalesce(p.check_status & ~3, 0) <> 0 THEN 'findings'
            ELSE 'well' END AS health,
       p.seen AS last_seen, now() - p.seen AS lag, p.behind, p.generation, g.store_uuid, g.commits AS as_of_commit,
       g.line AS last_line, p.domains::bigint AS domains, p.open_intents::bigint AS open_intents,
       (SELECT count(*) FROM fleet.gap x WHERE x.host = h.host) AS gaps,
       CASE WHEN abs(p.clock_us / 1000000.0 - extract(epoch FROM p.seen)) < 1000000000
            THEN make_interval(secs => round((p.clock_us / 1000000.0 - extract(epoch FROM p.seen))::numeric, 1)::float)
            END AS clock_ahead,
       p.checked, p.check_status, p.check_found, p.hostname, p.machine_id, p.boot_id, p.program, p.kernel, p.xen,
       p.directory
FROM fleet.host h JOIN fleet.presence p ON p.host = h.host
     LEFT JOIN fleet.generation g ON g.host = p.host AND g.generation = p.generation;

CREATE OR REPLACE VIEW fleet.domains_everywhere WITH (security_invoker = true) AS
SELECT e.uuid, e.places, CASE e.places WHEN 1 THEN 1 ELSE (SELECT count(DISTINCT l.host_id) FROM fleet.living l
                                                            WHERE l.uuid = e.uuid) END AS hosts,
       e.claims,
       CASE WHEN e.places = 1 THEN 'one place' WHEN e.claims > 1 THEN 'mistake' ELSE 'migration' END AS verdict,
       (SELECT string_agg(l.host || ': domain ' || l.domid || ' (' || l.domain || ') ' || l.state
                          || CASE WHEN l.closed THEN ', closed: ' || coalesce(l.closed_reason, '') ELSE '' END,
                          '; ' ORDER BY l.host, l.domid) FROM fleet.living l WHERE l.uuid = e.uuid) AS where_it_is
FROM (SELECT d.uuid, count(*) AS places, count(*) FILTER (WHERE d.state = 'running' AND d.closed_us IS NULL) AS claims
      FROM fleet.domain d JOIN fleet.presence p ON p.host = d.host AND p.generation = d.generation
      WHERE d.state NOT IN ('destroyed', 'gone') AND d.uuid <> '00000000-0000-0000-0000-000000000000'
      GROUP BY d.uuid) e;

CREATE OR REPLACE VIEW fleet.images_in_use WITH (security_invoker = true) AS
SELECT e.image, e.uses,
       CASE e.uses WHEN 1 THEN 1 ELSE (SELECT count(DISTINCT d.uuid) FROM fleet.thing t
                                       JOIN fleet.presence p ON p.host = t.host AND p.generation = t.generation
                                       JOIN fleet.domain d ON d.host = t.host AND d.generation = t.generation
                                                            AND d.incarnation = t.incarnation
                                       WHERE t.image = e.image AND t.state <> 'stale') END AS guests,
       CASE e.uses WHEN 1 THEN 1 ELSE (SELECT count(DISTINCT t.host) FROM fleet.thing t
                                       JOIN fleet.presence p ON p.host = t.host AND p.generation = t.generation
                                       WHERE t.image = e.image AND t.state <> 'stale') END AS hosts,
       e.written,
       (SELECT string_agg(h.name || ': domain ' || d.domid || ' (' || d.name || ') ' || t.class || '/' || t.key, '; '
                          ORDER BY h.name, d.domid, t.key)
        FROM fleet.thing t JOIN fleet.presence p ON p.host = t.host AND p.generation = t.generation
             JOIN fleet.domain d ON d.host = t.host AND d.generation = t.generation AND d.incarnation = t.incarnation
             JOIN fleet.host h ON h.host = t.host
        WHERE t.image = e.image AND t.state <> 'stale') AS used_by
FROM (SELECT t.image, count(*) AS uses, bool_or(t.written) AS written
      FROM fleet.thing t JOIN fleet.presence p ON p.host = t.host AND p.generation = t.generation
      WHERE t.image IS NOT NULL AND t.state <> 'stale' GROUP BY t.image) e;
