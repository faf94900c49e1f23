-- SPDX-License-Identifier: MIT
-- A push, faster: its statements are planned once a connection (plpgsql keeps plans, a function of SQL does not), its batch
-- is taken apart once, and one that changes no domain touches none. Room on each page lets a row that changes stay on it, where
-- no index has to learn of it.

ALTER TABLE fleet.domain SET (fillfactor = 70);
ALTER TABLE fleet.document SET (fillfactor = 70);
ALTER TABLE fleet.thing SET (fillfactor = 70);
ALTER TABLE fleet.generation SET (fillfactor = 50);
ALTER TABLE fleet.presence SET (fillfactor = 50);

-- Each table's policy asks it, some twenty times a push.
CREATE OR REPLACE FUNCTION fleet.my_host() RETURNS integer LANGUAGE plpgsql STABLE
AS $$ BEGIN RETURN (SELECT host FROM fleet.host WHERE role = current_user); END $$;

CREATE OR REPLACE FUNCTION fleet.take_lines(me integer, gen integer, above bigint, lines json) RETURNS void LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO fleet.history (host, generation, month, line, at_us, incarnation, domid, operation, class, key, intent,
                               outcome, image, medium_before, medium_after, pid, program, uid, author_pid,
                               author_program, author_uid, asked, evidence)
    SELECT me, gen, date_trunc('month', now() AT TIME ZONE 'UTC')::date, r.*
    FROM json_to_recordset(lines)
         AS r(line bigint, at_us bigint, incarnation bigint, domid integer, operation text, class text, key text,
              intent bigint, outcome text, image text, medium_before text, medium_after text, pid bigint, program text,
              uid bigint, author_pid bigint, author_program text, author_uid bigint, asked text, evidence text)
    WHERE r.line > above;
END $$;

CREATE OR REPLACE FUNCTION fleet.take_domains(me integer, gen integer, domains json) RETURNS void LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO fleet.domain (host, generation, incarnation, domid, uuid, vm_uuid, name, state, epoch, revision, boot_id,
                              created_us, changed_us, born_us, closed_us, closed_reason, closed_pid, closed_program,
                              layout, layout_tight, without_qemu, qemu_pid, monitor_path, digest, commits)
    SELECT me, gen, r.*
    FROM json_to_recordset(domains)
         AS r(incarnation bigint, domid integer, uuid text, vm_uuid text, name text, state text, epoch bigint,
              revision bigint, boot_id text, created_us bigint, changed_us bigint, born_us bigint, closed_us bigint,
              closed_reason text, closed_pid bigint, closed_program text, layout text, layout_tight integer,
              without_qemu integer, qemu_pid bigint, monitor_path text, digest text, commits bigint)
    ON CONFLICT (host, generation, incarnation) DO UPDATE
    SET domid = excluded.domid, uuid = excluded.uuid, vm_uuid = excluded.vm_uuid, name = excluded.name,
        state = excluded.state, epoch = excluded.epoch, revision = excluded.revision, boot_id = excluded.boot_id,
        created_us = excluded.created_us, changed_us = excluded.changed_us, born_us = excluded.born_us,
        closed_us = excluded.closed_us, closed_reason = excluded.closed_reason, closed_pid = excluded.closed_pid,
        closed_program = excluded.closed_program, layout = excluded.layout, layout_tight = excluded.layout_tight,
        without_qemu = excluded.without_qemu, qemu_pid = excluded.qemu_pid, monitor_path = excluded.monitor_path,
        digest = excluded.digest, commits = excluded.commits, received = now();

    -- What a domain had at its end stays: the document is not sent again once it is destroyed.
    INSERT INTO fleet.document (host, generation, incarnation, revision, json)
    SELECT me, gen, r.* FROM json_to_recordset(domains) AS r(incarnation bigint, revision bigint, document text)
    WHERE r.document IS NOT NULL
    ON CONFLICT (host, generation, incarnation) DO UPDATE SET revision = excluded.revision, json = excluded.json
    WHERE document.json <> excluded.json;
END $$;

CREATE OR REPLACE FUNCTION fleet.take_things(me integer, gen integer, of bigint[], things json) RETURNS void LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM fleet.thing WHERE host = me AND generation = gen AND incarnation = ANY (of)
        AND thing NOT IN (SELECT thing FROM json_to_recordset(things) AS r(thing bigint));
    INSERT INTO fleet.thing (host, generation, thing, incarnation, class, key, position, state, primary_at, image, json,
                             changed_us, made, address)
    SELECT me, gen, r.*
    FROM json_to_recordset(things)
         AS r(thing bigint, incarnation bigint, class text, key text, position bigint, state text, primary_at text,
              image text, json text, changed_us bigint, made bigint, address text)
    ON CONFLICT (host, generation, thing) DO UPDATE
    SET incarnation = excluded.incarnation, class = excluded.class, key = excluded.key, position = excluded.position,
        state = excluded.state, primary_at = excluded.primary_at, image = excluded.image, json = excluded.json,
        changed_us = excluded.changed_us, made = excluded.made, address = excluded.address
    WHERE (thing.position, thing.state, thing.primary_at, thing.image, thing.json, thing.changed_us, thing.made,
           thing.address)
          IS DISTINCT FROM (excluded.position, excluded.state, excluded.primary_at, excluded.image, excluded.json,
                            excluded.changed_us, excluded.made, excluded.address);
END $$;

CREATE OR REPLACE FUNCTION fleet.take_intents(me integer, gen integer, of bigint[], intents json) RETURNS void LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM fleet.intent WHERE host = me AND generation = gen AND incarnation = ANY (of)
        AND intent NOT IN (SELECT intent FROM json_to_recordset(intents) AS r(intent bigint));
    INSERT INTO fleet.intent (host, generation, intent, incarnation, class, key, operation, opened_us, asked_us, owner_pid,
                              owner_program, owner_uid, note, image_before, image_after, image_neither, image_stale,
                              replaced_state, plan, probe, batch, epoch, monitor_path, made)
    SELECT me, gen, r.*
    FROM json_to_recordset(intents)
         AS r(intent bigint, incarnation bigint, class text, key text, operation text, opened_us bigint,
              asked_us bigint, owner_pid bigint, owner_program text, owner_uid bigint, note text, image_before text,
              image_after text, image_neither text, image_stale text, replaced_state text, plan text, probe text,
              batch bigint, epoch bigint, monitor_path text, made bigint)
    ON CONFLICT (host, generation, intent) DO UPDATE
    SET asked_us = excluded.asked_us, owner_pid = excluded.owner_pid, owner_program = excluded.owner_program,
        owner_uid = excluded.owner_uid, note = excluded.note, image_before = excluded.image_before,
        image_after = excluded.image_after, image_neither = excluded.image_neither, image_stale = excluded.image_stale,
        replaced_state = excluded.replaced_state, plan = excluded.plan, probe = excluded.probe, batch = excluded.batch,
        epoch = excluded.epoch, monitor_path = excluded.monitor_path, made = excluded.made;
END $$;

-- The last of a batch: what the host says of itself, and how many domains and intents it has now.
CREATE OR REPLACE FUNCTION fleet.take_facts(me integer, facts json) RETURNS void LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    UPDATE fleet.presence p
    SET seen = clock_timestamp(), clock_us = f.clock_us, hostname = f.hostname, machine_id = f.machine_id,
        boot_id = f.boot_id, program = f.program, kernel = f.kernel, xen = f.xen, directory = f.directory,
        behind = f.behind,
        domains = (SELECT count(*) FROM fleet.domain d WHERE d.host = me AND d.generation = p.generation
                                                         AND d.state NOT IN ('destroyed', 'gone')),
        open_intents = (SELECT count(*) FROM fleet.intent i WHERE i.host = me AND i.generation = p.generation)
    FROM json_to_record(facts) AS f(clock_us bigint, hostname text, machine_id text, boot_id text, program text,
                                    kernel text, xen text, directory text, behind bigint)
    WHERE p.host = me;
END $$;

-- One batch. `after` has to be the line that is here: a batch is put on top of what it was made for, or not at all.
CREATE OR REPLACE FUNCTION fleet.take(batch json) RETURNS void LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    me integer := fleet.my_host();
    b record;
    gen integer;
    above bigint;
    changed bigint[];
    ended bigint[];
BEGIN
    SELECT * INTO b FROM json_to_record(batch)
        AS x(generation integer, after bigint, line bigint, told_of_restore boolean, lines json, domains json, things json,
             intents json, gone json, facts json, begins json, gap json, anchor text, commits bigint);
    gen := b.generation;
    changed := ARRAY(SELECT incarnation FROM json_to_recordset(b.domains) AS r(incarnation bigint));
    ended := ARRAY(SELECT value::bigint FROM json_array_elements_text(b.gone));
    IF b.begins IS NOT NULL THEN
        INSERT INTO fleet.generation (host, generation, store_uuid, why, first_after, line, expects_restore)
        VALUES (me, gen, b.begins->>'store_uuid', b.begins->>'why', b.after, b.after,
                (b.begins->>'expects_restore')::boolean);
        UPDATE fleet.presence SET generation = gen WHERE host = me;
    END IF;
    SELECT line INTO above FROM fleet.generation WHERE host = me AND generation = gen FOR UPDATE;
    IF above IS DISTINCT FROM b.after THEN
        RAISE EXCEPTION 'a batch after line % does not fit: generation % has line %', b.after, gen, above;
    END IF;
    IF b.gap IS NOT NULL THEN
        INSERT INTO fleet.gap (host, generation, first_line, last_line)
        VALUES (me, gen, (b.gap->>'first')::bigint, (b.gap->>'last')::bigint);
    END IF;
    IF json_array_length(b.lines) > 0 THEN
        PERFORM fleet.open_months();
        PERFORM fleet.take_lines(me, gen, above, b.lines);
    END IF;
    IF changed <> '{}' OR ended <> '{}' THEN
        PERFORM fleet.take_domains(me, gen, b.domains);
        UPDATE fleet.domain SET state = 'gone', received = now()
        WHERE host = me AND generation = gen AND incarnation = ANY (ended);
        PERFORM fleet.take_things(me, gen, changed || ended, b.things);
        PERFORM fleet.take_intents(me, gen, changed || ended, b.intents);
    END IF;
    UPDATE fleet.generation
    SET line = b.line, anchor = coalesce(b.anchor, anchor), commits = coalesce(b.commits, commits),
        expects_restore = expects_restore AND NOT b.told_of_restore
    WHERE host = me AND generation = gen;
    PERFORM fleet.take_facts(me, b.facts);
END $$;
