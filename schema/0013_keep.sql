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
    -- (store/operation/migration.hpp). NULL: there were none, or they could not be read.
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

-- A run of recovery that took something away or rewrote it: made by its first such change.
CREATE TABLE undo_run (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    token   TEXT    NOT NULL UNIQUE,                  -- of that run alone
    at_us   INTEGER NOT NULL,                         -- when the run began
    mode    TEXT    NOT NULL,                         -- preen, yes, ask
    pid     INTEGER NOT NULL,
    program TEXT    NOT NULL
) STRICT;

-- Row by row what was there before, in the order of the changes, and what came in its place. Written
-- by the transaction of the change.
CREATE TABLE undo_row (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    run       INTEGER NOT NULL REFERENCES undo_run (id) ON DELETE CASCADE,
    domain    INTEGER,                                -- the incarnation; NULL: the store itself
    kind      TEXT    NOT NULL,                       -- the table; 'schema': a trigger, view or index
    operation TEXT    NOT NULL CHECK (operation IN ('insert', 'update', 'delete')),
    before    TEXT    CHECK (before IS NULL OR before GLOB '{*}'),  -- the row as an object by column
    after     TEXT    CHECK (after IS NULL OR after GLOB '{*}'),
    undone_us INTEGER                                 -- when it was put back
) STRICT;
CREATE INDEX undo_row_run ON undo_row (run, domain);

-- The generation in which a run left a domain: what changed it later is not undone by accident.
CREATE TABLE undo_mark (
    run      INTEGER NOT NULL REFERENCES undo_run (id) ON DELETE CASCADE,
    domain   INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (run, domain)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER only_xlstore_undo_run_delete BEFORE DELETE ON undo_run
BEGIN SELECT only_xlstore_changes_this(); END;
CREATE TRIGGER only_xlstore_undo_row_delete BEFORE DELETE ON undo_row
BEGIN SELECT only_xlstore_changes_this(); END;
CREATE TRIGGER r22_undo_row_update BEFORE UPDATE ON undo_row
WHEN NEW.id IS NOT OLD.id OR NEW.run IS NOT OLD.run OR NEW.domain IS NOT OLD.domain OR NEW.kind IS NOT OLD.kind
  OR NEW.operation IS NOT OLD.operation OR NEW.before IS NOT OLD.before OR NEW.after IS NOT OLD.after
BEGIN SELECT RAISE(ABORT, 'R22: a copy is not changed; xlstore prune takes old ones away'); END;
CREATE TRIGGER r22_undo_row_replace BEFORE INSERT ON undo_row
WHEN EXISTS (SELECT 1 FROM undo_row WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'R22: UNIQUE: this number is taken'); END;

-- The runs that left something to undo or to read, the newest first.
CREATE VIEW undo_runs AS
SELECT r.id AS run, datetime(r.at_us / 1000000, 'unixepoch') AS began, r.mode, r.program, r.pid,
       (SELECT count(*) FROM undo_row u WHERE u.run = r.id) AS kept,
       (SELECT count(*) FROM undo_row u WHERE u.run = r.id AND undone_us IS NOT NULL) AS put_back,
       (SELECT count(DISTINCT domain) FROM undo_row u WHERE u.run = r.id) AS domains,
       'xlstore undo ' || r.id || ' --dry-run' AS shown_by,
       datetime(r.at_us / 1000000, 'unixepoch') AS as_of, 'committed rows' AS evidence
FROM undo_run r ORDER BY r.id DESC;

-- Their rows, in the order of the changes.
CREATE VIEW undo_rows AS
SELECT u.id AS line, u.run, u.domain AS incarnation, d.domid, d.name AS domain, u.kind, u.operation,
       u.before, u.after, datetime(u.undone_us / 1000000, 'unixepoch') AS put_back,
       datetime(r.at_us / 1000000, 'unixepoch') AS as_of,
       'committed row, written by the transaction of the change' AS evidence
FROM undo_row u JOIN undo_run r ON r.id = u.run LEFT JOIN domain d ON d.id = u.domain ORDER BY u.id;
