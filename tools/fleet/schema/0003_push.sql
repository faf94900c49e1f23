-- SPDX-License-Identifier: MIT
-- How a push is taken: begin_push() says what is here, take() puts one batch on top of it, in one transaction.
-- Both run with the rights of the host's role: what it may not write, they may not.

-- Makes the partitions of this month and the next. It takes nothing from its caller, so that a host can make
-- no others; the owner's rights are needed to make a table.
CREATE FUNCTION fleet.open_months() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first date;
    name text;
BEGIN
    FOR ahead IN 0..1 LOOP
        first := date_trunc('month', now() AT TIME ZONE 'UTC')::date + make_interval(months => ahead);
        name := 'history_' || to_char(first, 'YYYYMM');
        CONTINUE WHEN to_regclass('fleet.' || name) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('xlstore-fleet: months'));
        CONTINUE WHEN to_regclass('fleet.' || name) IS NOT NULL;
        EXECUTE format('CREATE TABLE fleet.%I PARTITION OF fleet.history FOR VALUES FROM (%L) TO (%L) '
                       'PARTITION BY HASH (host)', name, first, first + interval '1 month');
        FOR part IN 0..7 LOOP
            EXECUTE format('CREATE TABLE fleet.%I PARTITION OF fleet.%I FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
                           name || '_' || part, name, part);
        END LOOP;
    END LOOP;
END $$;

-- What is here of the host of this role, with its lock held until the transaction ends. NULL: the role is no host's.
CREATE FUNCTION fleet.begin_push() RETURNS json LANGUAGE plpgsql
AS $$
DECLARE
    p fleet.presence;
    g fleet.generation;
BEGIN
    SELECT * INTO p FROM fleet.presence WHERE host = fleet.my_host() FOR UPDATE;
    IF NOT FOUND THEN RETURN NULL; END IF;
    SELECT * INTO g FROM fleet.generation WHERE host = p.host AND generation = p.generation;
    RETURN json_build_object(
        'host', p.host, 'name', (SELECT name FROM fleet.host WHERE host = p.host), 'machine_id', p.machine_id,
        'generation', p.generation, 'store_uuid', g.store_uuid, 'line', g.line, 'anchor', g.anchor,
        'commits', g.commits, 'expects_restore', g.expects_restore,
        'living', (SELECT coalesce(json_object_agg(incarnation, digest), '{}')
                   FROM fleet.domain WHERE host = p.host AND generation = p.generation
                                       AND state NOT IN ('destroyed', 'gone')));
END $$;

-- The last lines of a generation up to `below`, the newest first: what a store that went back is compared with.
CREATE FUNCTION fleet.last_lines(of integer, below bigint, most integer)
RETURNS TABLE (line bigint, anchor text) LANGUAGE sql STABLE
AS $$
    SELECT line, concat_ws('|', at_us, operation, coalesce(incarnation, 0), coalesce(intent, 0), outcome, pid)
    FROM fleet.history WHERE host = fleet.my_host() AND generation = of AND line <= below
    ORDER BY line DESC LIMIT most
$$;

CREATE FUNCTION fleet.take_lines(me integer, gen integer, above bigint, lines json) RETURNS void LANGUAGE sql
AS $$
    INSERT INTO fleet.history (host, generation, month, line, at_us, incarnation, domid, operation, class, key, intent,
                               outcome, image, medium_before, medium_after, pid, program, uid, author_pid,
                               author_program, author_uid, asked, evidence)
    SELECT me, gen, date_trunc('month', now() AT TIME ZONE 'UTC')::date, r.*
    FROM json_to_recordset(lines)
         AS r(line bigint, at_us bigint, incarnation bigint, domid integer, operation text, class text, key text,
              intent bigint, outcome text, image text, medium_before text, medium_after text, pid bigint, program text,
              uid bigint, author_pid bigint, author_program text, author_uid bigint, asked text, evidence text)
    WHERE r.line > above
$$;

CREATE FUNCTION fleet.take_domains(me integer, gen integer, domains json) RETURNS void LANGUAGE sql
AS $$
    INSERT INTO fleet.domain (host, generation, incarnation, domid, uuid, vm_uuid, name, state, epoch, revision, boot_id,
                              created_us, changed_us, born_us, closed_us, closed_reason, qemu_pid, monitor_path, digest,
                              commits)
    SELECT me, gen, r.*
    FROM json_to_recordset(domains)
         AS r(incarnation bigint, domid integer, uuid text, vm_uuid text, name text, state text, epoch bigint,
              revision bigint, boot_id text, created_us bigint, changed_us bigint, born_us bigint, closed_us bigint,
              closed_reason text, qemu_pid bigint, monitor_path text, digest text, commits bigint)
    ON CONFLICT (host, generation, incarnation) DO UPDATE
    SET domid = excluded.domid, uuid = excluded.uuid, vm_uuid = excluded.vm_uuid, name = excluded.name,
        state = excluded.state, epoch = excluded.epoch, revision = excluded.revision, boot_id = excluded.boot_id,
        created_us = excluded.created_us, changed_us = excluded.changed_us, born_us = excluded.born_us,
        closed_us = excluded.closed_us, closed_reason = excluded.closed_reason, qemu_pid = excluded.qemu_pid,
        monitor_path = excluded.monitor_path, digest = excluded.digest, commits = excluded.commits, received = now();

    -- What a domain had at its end stays: the document is not sent again once it is destroyed.
    INSERT INTO fleet.document (host, generation, incarnation, revision, json)
    SELECT me, gen, r.* FROM json_to_recordset(domains) AS r(incarnation bigint, revision bigint, document text)
    WHERE r.document IS NOT NULL
    ON CONFLICT (host, generation, incarnation) DO UPDATE SET revision = excluded.revision, json = excluded.json
    WHERE document.json <> excluded.json
$$;

CREATE FUNCTION fleet.take_things(me integer, gen integer, of bigint[], things json) RETURNS void LANGUAGE sql
AS $$
    DELETE FROM fleet.thing WHERE host = me AND generation = gen AND incarnation = ANY (of)
        AND thing NOT IN (SELECT thing FROM json_to_recordset(things) AS r(thing bigint));
    INSERT INTO fleet.thing (host, generation, thing, incarnation, class, key, position, state, primary_at, image, json,
                             changed_us)
    SELECT me, gen, r.*
    FROM json_to_recordset(things)
         AS r(thing bigint, incarnation bigint, class text, key text, position bigint, state text, primary_at text,
              image text, json text, changed_us bigint)
    ON CONFLICT (host, generation, thing) DO UPDATE
    SET incarnation = excluded.incarnation, class = excluded.class, key = excluded.key, position = excluded.position,
        state = excluded.state, primary_at = excluded.primary_at, image = excluded.image, json = excluded.json,
        changed_us = excluded.changed_us
    WHERE (thing.position, thing.state, thing.primary_at, thing.image, thing.json, thing.changed_us)
          IS DISTINCT FROM (excluded.position, excluded.state, excluded.primary_at, excluded.image, excluded.json,
                            excluded.changed_us)
$$;

CREATE FUNCTION fleet.take_intents(me integer, gen integer, of bigint[], intents json) RETURNS void LANGUAGE sql
AS $$
    DELETE FROM fleet.intent WHERE host = me AND generation = gen AND incarnation = ANY (of)
        AND intent NOT IN (SELECT intent FROM json_to_recordset(intents) AS r(intent bigint));
    INSERT INTO fleet.intent (host, generation, intent, incarnation, class, key, operation, opened_us, asked_us, owner_pid,
                              owner_program, note, image_before, image_after, plan)
    SELECT me, gen, r.*
    FROM json_to_recordset(intents)
         AS r(intent bigint, incarnation bigint, class text, key text, operation text, opened_us bigint,
              asked_us bigint, owner_pid bigint, owner_program text, note text, image_before text, image_after text,
              plan text)
    ON CONFLICT (host, generation, intent) DO UPDATE
    SET asked_us = excluded.asked_us, owner_pid = excluded.owner_pid, owner_program = excluded.owner_program,
        note = excluded.note, image_before = excluded.image_before, image_after = excluded.image_after,
        plan = excluded.plan
$$;

CREATE FUNCTION fleet.take_facts(me integer, facts json) RETURNS void LANGUAGE sql
AS $$
    UPDATE fleet.presence
    SET seen = clock_timestamp(), clock_us = (facts->>'clock_us')::bigint, hostname = facts->>'hostname',
        machine_id = facts->>'machine_id', boot_id = facts->>'boot_id', program = facts->>'program',
        kernel = facts->>'kernel', xen = facts->>'xen', directory = facts->>'directory',
        behind = (facts->>'behind')::bigint
    WHERE host = me
$$;

-- One batch. `after` has to be the line that is here: a batch is put on top of what it was made for, or not at all.
CREATE FUNCTION fleet.take(batch json) RETURNS void LANGUAGE plpgsql
AS $$
DECLARE
    me integer := fleet.my_host();
    gen integer := (batch->>'generation')::integer;
    above bigint;
    changed bigint[] := ARRAY(SELECT incarnation FROM json_to_recordset(batch->'domains') AS r(incarnation bigint));
    ended bigint[] := ARRAY(SELECT value::bigint FROM json_array_elements_text(batch->'gone'));
BEGIN
    IF batch->'begins' IS NOT NULL THEN
        INSERT INTO fleet.generation (host, generation, store_uuid, why, first_after, line, expects_restore)
        VALUES (me, gen, batch->'begins'->>'store_uuid', batch->'begins'->>'why', (batch->>'after')::bigint,
                (batch->>'after')::bigint, (batch->'begins'->>'expects_restore')::boolean);
        UPDATE fleet.presence SET generation = gen WHERE host = me;
    END IF;
    SELECT line INTO above FROM fleet.generation WHERE host = me AND generation = gen FOR UPDATE;
    IF above IS DISTINCT FROM (batch->>'after')::bigint THEN
        RAISE EXCEPTION 'a batch after line % does not fit: generation % has line %', batch->>'after', gen, above;
    END IF;
    IF batch->'gap' IS NOT NULL THEN
        INSERT INTO fleet.gap (host, generation, first_line, last_line)
        VALUES (me, gen, (batch->'gap'->>'first')::bigint, (batch->'gap'->>'last')::bigint);
    END IF;
    IF json_array_length(batch->'lines') > 0 THEN
        PERFORM fleet.open_months();
        PERFORM fleet.take_lines(me, gen, above, batch->'lines');
    END IF;
    PERFORM fleet.take_domains(me, gen, batch->'domains');
    UPDATE fleet.domain SET state = 'gone', received = now()
    WHERE host = me AND generation = gen AND incarnation = ANY (ended);
    PERFORM fleet.take_things(me, gen, changed || ended, batch->'things');
    PERFORM fleet.take_intents(me, gen, changed || ended, batch->'intents');
    UPDATE fleet.generation
    SET line = (batch->>'line')::bigint, anchor = coalesce(batch->>'anchor', anchor),
        commits = coalesce((batch->>'commits')::bigint, commits),
        expects_restore = expects_restore AND NOT (batch->>'told_of_restore')::boolean
    WHERE host = me AND generation = gen;
    PERFORM fleet.take_facts(me, batch->'facts');
END $$;

-- What xlfsck found: replaces what it found before.
CREATE FUNCTION fleet.take_findings(findings json, status integer, found integer) RETURNS void LANGUAGE sql
AS $$
    DELETE FROM fleet.finding WHERE host = fleet.my_host();
    INSERT INTO fleet.finding (host, number, code, problem, subject, message, evidence, action)
    SELECT fleet.my_host(), r.* FROM json_to_recordset(findings)
         AS r(number integer, code integer, problem text, subject text, message text, evidence text, action text);
    UPDATE fleet.presence SET checked = clock_timestamp(), check_status = status, check_found = found
    WHERE host = fleet.my_host();
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA fleet FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA fleet TO xlstore_fleet_host;
GRANT EXECUTE ON FUNCTION fleet.my_host() TO xlstore_fleet_reader;
