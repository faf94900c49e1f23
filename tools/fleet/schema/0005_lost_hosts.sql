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
