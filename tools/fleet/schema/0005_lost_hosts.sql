-- SPDX-License-Identifier: MIT
-- What a store of a lost host needs besides (xlstore-fleet export): its rows are written anew from these. NULL: the
-- host has not sent it since the database has a place for it.

ALTER TABLE fleet.domain
    ADD COLUMN layout         text,             -- of the document: yajl or json-c, the library that wrote it
    ADD COLUMN layout_tight   integer,
    ADD COLUMN without_qemu   integer,
    ADD COLUMN closed_pid     bigint,
    ADD COLUMN closed_program text;
ALTER TABLE fleet.thing
    ADD COLUMN made    bigint,                  -- in which order a domain's things were made
    ADD COLUMN address text;                    -- where QEMU has put it
ALTER TABLE fleet.intent
    ADD COLUMN owner_uid      bigint,
    ADD COLUMN image_neither  text,             -- the element of an emptied drive
    ADD COLUMN image_stale    text,             -- the entry that an add replaces, or a change puts back
    ADD COLUMN replaced_state text,
    ADD COLUMN probe          text,
    ADD COLUMN batch          bigint,           -- intents of one batch share it
    ADD COLUMN epoch          bigint,
    ADD COLUMN monitor_path   text,
    ADD COLUMN made           bigint;

CREATE OR REPLACE FUNCTION fleet.take_domains(me integer, gen integer, domains json) RETURNS void LANGUAGE sql
AS $$
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
    WHERE document.json <> excluded.json
$$;

CREATE OR REPLACE FUNCTION fleet.take_things(me integer, gen integer, of bigint[], things json) RETURNS void LANGUAGE sql
AS $$
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
                            excluded.changed_us, excluded.made, excluded.address)
$$;

CREATE OR REPLACE FUNCTION fleet.take_intents(me integer, gen integer, of bigint[], intents json) RETURNS void LANGUAGE sql
AS $$
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
        epoch = excluded.epoch, monitor_path = excluded.monitor_path, made = excluded.made
$$;
