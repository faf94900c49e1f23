-- SPDX-License-Identifier: MIT
-- Nothing goes without a copy (R22).

-- The document that an incarnation had when it was destroyed or retired, entries in every state
-- included, written by the transaction that took it away. No foreign key: it is whole without the
-- row of its domain. It holds what the document held, VNC passwords too.
CREATE TABLE retired_document (
    id         INTEGER PRIMARY KEY,                   -- the incarnation
    domid      INTEGER NOT NULL,
    uuid       TEXT    NOT NULL,
    vm_uuid    TEXT,
    name       TEXT    NOT NULL,
    layout     TEXT    NOT NULL CHECK (layout IN ('yajl', 'json-c')),
    created_us INTEGER NOT NULL,
    born_us    INTEGER,                               -- when it first ran; NULL: it never did
    retired_us INTEGER NOT NULL,
    why        TEXT    NOT NULL,
    json       TEXT    NOT NULL CHECK (json GLOB '{*}'),  -- minified
    -- What the document cannot say of QEMU's things: order, addresses, things of no document
    -- (store/migration.hpp). NULL: there were none, or they could not be read.
    things     TEXT    CHECK (things IS NULL OR things GLOB '{*}')
) STRICT;
CREATE INDEX retired_document_at ON retired_document (retired_us);

CREATE TRIGGER r22_retired_update BEFORE UPDATE ON retired_document
BEGIN SELECT RAISE(ABORT, 'R22: a copy is not changed; xlstore prune takes old ones away'); END;
CREATE TRIGGER r22_retired_replace BEFORE INSERT ON retired_document
WHEN EXISTS (SELECT 1 FROM retired_document WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'R22: UNIQUE: the document of this incarnation is kept already'); END;
CREATE TRIGGER only_xlstore_retired_delete BEFORE DELETE ON retired_document
BEGIN SELECT only_xlstore_changes_this(); END;

-- The documents of incarnations that are over, the newest first.
CREATE VIEW retired_documents AS
SELECT id AS incarnation, domid, name AS domain, uuid, vm_uuid,
       datetime(created_us / 1000000, 'unixepoch') AS created,
       datetime(born_us / 1000000, 'unixepoch') AS first_ran,
       datetime(retired_us / 1000000, 'unixepoch') AS retired,
       why, json, things IS NOT NULL AS has_things,
       length(CAST(json AS BLOB)) + coalesce(length(CAST(things AS BLOB)), 0) AS bytes,
       'xlstore export --retired id:' || id AS printed_by,
       datetime(retired_us / 1000000, 'unixepoch') AS as_of,
       'committed row; the domain is over' AS evidence
FROM retired_document ORDER BY id DESC;
