-- SPDX-License-Identifier: MIT
-- Tables. One file a step; a step is never edited once released; user_version counts
-- them. Times are microseconds of wall clock since 1970 UTC. Words are those of
-- the design: domain = one incarnation, thing = a device-like element and its entry, intent = a
-- pending operation, session = a process that has the store open for writing.
--
-- JSON is checked by the library before it comes here, and by xlfsck again. The columns only demand
-- its outer shape: SQLite 3.40 allows no JSON function in a schema that is not trusted, and this one
-- is opened untrusted, so that a damaged file cannot make it call anything.

-- The store itself: exactly one row.
CREATE TABLE store (
    id                   INTEGER PRIMARY KEY CHECK (id = 1),
    uuid                 TEXT    NOT NULL,            -- this store, to tell a copy or a replacement (R17)
    created_us           INTEGER NOT NULL,
    durability           TEXT    NOT NULL DEFAULT 'process' CHECK (durability IN ('process', 'power')),
    history_pruned_below INTEGER NOT NULL DEFAULT 0   -- rows of history with a lower id may be deleted
) STRICT;

-- A process that has the store open for writing. Its row outlives it while an open intent or an
-- unfinished creation names it; whether it lives is told by its byte in the file `locks`, never here.
CREATE TABLE session (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    pid           INTEGER NOT NULL,
    start_time    INTEGER NOT NULL,                   -- clock ticks since boot: tells a reused pid
    pid_namespace INTEGER NOT NULL,                   -- inode of the namespace that `pid` is a number in
    boot_id       TEXT    NOT NULL,
    program       TEXT    NOT NULL,
    opened_us     INTEGER NOT NULL
) STRICT;

-- One incarnation of a domain. Ids are never used again: lock bytes and sockets are named by them.
CREATE TABLE domain (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    domid         INTEGER NOT NULL CHECK (domid BETWEEN 0 AND 32751),  -- Xen: DOMID_FIRST_RESERVED - 1
    uuid          TEXT    NOT NULL CHECK (length(uuid) = 36),
    vm_uuid       TEXT CHECK (vm_uuid IS NULL OR length(vm_uuid) = 36),  -- given when it was preserved
    name          TEXT    NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('creating', 'running', 'destroying', 'destroyed')),
    epoch         INTEGER NOT NULL DEFAULT 1,         -- advanced by each commit of a slow hold (R15)
    revision      INTEGER NOT NULL DEFAULT 1,         -- advanced by each change of the document
    layout        TEXT    NOT NULL CHECK (layout IN ('yajl', 'json-c')),  -- how libxl wrote it
    boot_id       TEXT    NOT NULL,                   -- another boot: nothing of this row can be alive
    creator       INTEGER REFERENCES session (id) ON DELETE SET NULL,
    created_us    INTEGER NOT NULL,
    changed_us    INTEGER NOT NULL,
    born_us       INTEGER,                            -- when it first ran; NULL: its creation is not over
    -- QEMU as registered (R11). NULL: none, or proved dead and struck off.
    qemu_pid           INTEGER,
    qemu_start_time    INTEGER,
    qemu_pid_namespace INTEGER,
    monitor_path       TEXT,                          -- the socket that all commands go through
    monitor_device     INTEGER,
    monitor_inode      INTEGER,
    peer_pid           INTEGER,                       -- SO_PEERCRED at registration
    peer_uid           INTEGER,
    peer_gid           INTEGER,
    monitor_handed_in  INTEGER NOT NULL DEFAULT 0 CHECK (monitor_handed_in IN (0, 1)),
    baseline           TEXT CHECK (baseline IS NULL OR baseline GLOB '{*}'),  -- what QEMU was born with
    log_path           TEXT
) STRICT;

-- A domid has at most one incarnation that is not over (R14).
CREATE UNIQUE INDEX domain_living ON domain (domid) WHERE state <> 'destroyed';
CREATE INDEX domain_uuid ON domain (uuid);
CREATE INDEX domain_vm_uuid ON domain (vm_uuid) WHERE vm_uuid IS NOT NULL;

-- A destruction that found no row: it defeats the creation it raced with (R14), once.
CREATE TABLE tombstone (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    domid        INTEGER NOT NULL,
    uuid         TEXT    NOT NULL,
    boot_id      TEXT    NOT NULL,
    until_us     INTEGER NOT NULL,                    -- of CLOCK_BOOTTIME, not of wall clock
    UNIQUE (domid, uuid)
) STRICT;

-- The document but for its things: a row a top-level member, in order. The source text is kept,
-- without insignificant white space; numbers and strings are spelled as they came.
CREATE TABLE document_member (
    domain   INTEGER NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
    rank     INTEGER NOT NULL,                        -- order in the document
    key      TEXT    NOT NULL,
    key_text TEXT    NOT NULL,                        -- the key as spelled, with its quotes
    text     TEXT,                                    -- NULL: the array of this domain's things of class `key`
    PRIMARY KEY (domain, rank),
    UNIQUE (domain, key)
) STRICT, WITHOUT ROWID;

-- A thing and its entry (R1).
CREATE TABLE thing (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    domain     INTEGER NOT NULL REFERENCES domain (id) ON DELETE RESTRICT,
    class      TEXT    NOT NULL,                      -- the array in the document; or 'qemu', 'vcpus'
    key        TEXT    NOT NULL,                      -- as libxl compares it
    position   INTEGER NOT NULL,                      -- order in the array
    primary_at TEXT    NOT NULL CHECK (primary_at IN ('qemu', 'xenstore', 'none')),
    state      TEXT    NOT NULL CHECK (state IN ('adding', 'present', 'changing', 'removing', 'stale')),
    json       TEXT    NOT NULL CHECK (json GLOB '{*}'),  -- what the document shows: the new image
    changed_us INTEGER NOT NULL,
    UNIQUE (domain, class, key)
) STRICT;
CREATE INDEX thing_order ON thing (domain, class, position);

-- What a thing is made of in QEMU. The key keeps QEMU's ids unique within an incarnation, among
-- entries and open intents (R16): libxl's own ids can collide.
CREATE TABLE product (
    domain INTEGER NOT NULL REFERENCES domain (id) ON DELETE RESTRICT,
    kind   TEXT    NOT NULL CHECK (kind IN ('device', 'anonymous', 'node', 'chardev', 'object', 'netdev', 'fdset')),
    name   TEXT    NOT NULL,                          -- QEMU's id; of a descriptor set its opaque text
    thing  INTEGER NOT NULL REFERENCES thing (id) ON DELETE CASCADE,
    PRIMARY KEY (domain, kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX product_thing ON product (thing);

-- A promise made before QEMU hears of a change (R10); see store/intent.hpp. Open ones only: the
-- transaction that settles the entry moves the row to history.
CREATE TABLE intent (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used again
    domain       INTEGER NOT NULL REFERENCES domain (id) ON DELETE RESTRICT,
    thing        INTEGER NOT NULL UNIQUE REFERENCES thing (id) ON DELETE RESTRICT,  -- at most one a thing
    batch        INTEGER,                             -- intents of one batch share it
    owner        INTEGER NOT NULL REFERENCES session (id) ON DELETE RESTRICT,
    operation    TEXT    NOT NULL CHECK (operation IN ('add', 'remove', 'change')),
    image_before TEXT    CHECK (image_before IS NULL OR image_before GLOB '{*}'),  -- NULL: an add
    image_after  TEXT    CHECK (image_after IS NULL OR image_after GLOB '{*}'),    -- NULL: a removal
    image_neither TEXT   CHECK (image_neither IS NULL OR image_neither GLOB '{*}'),  -- an emptied drive
    image_stale  TEXT    CHECK (image_stale IS NULL OR image_stale GLOB '{*}'),  -- what an add replaces, or a change puts back
    plan         TEXT    NOT NULL CHECK (plan GLOB '[[]*]'),   -- QMP commands in order, each with its undo
    probe        TEXT    NOT NULL CHECK (probe GLOB '{*}'),  -- what to look for, and what it proves
    monitor_path TEXT    NOT NULL,                    -- the socket that the plan goes through
    epoch        INTEGER NOT NULL,                    -- of the slow hold that opened it
    opened_us    INTEGER NOT NULL,
    asked_us     INTEGER,                             -- since when the guest has been asked to let go
    note         TEXT    NOT NULL DEFAULT '',         -- what was last seen of it, and why it is open
    CHECK ((operation = 'add') = (image_before IS NULL)),
    CHECK ((operation = 'remove') = (image_after IS NULL))
) STRICT;
CREATE INDEX intent_domain ON intent (domain);
CREATE INDEX intent_owner ON intent (owner);

-- What was damaged, or has no place any more, and was set aside by xlfsck; nothing reads it.
CREATE TABLE set_aside (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us  INTEGER NOT NULL,
    domain INTEGER,                                   -- the incarnation; NULL: none, or not known
    what   TEXT    NOT NULL,                          -- "entry disks/hdc", "member b_info", "row of intent"
    why    TEXT    NOT NULL,
    text   TEXT    NOT NULL                           -- as it was, or what could be read of it
) STRICT;

-- Who did what, when, what was asked of QEMU and answered. Append-only. Secrets never enter it.
-- No foreign keys: history outlives what it speaks of.
CREATE TABLE history (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us     INTEGER NOT NULL,
    domain    INTEGER,                                -- NULL: the store itself
    domid     INTEGER,
    operation TEXT    NOT NULL,                       -- create register destroy add remove change recover …
    class     TEXT,
    key       TEXT,
    intent    INTEGER,
    outcome   TEXT    NOT NULL CHECK (outcome IN ('done', 'not done', 'begun')),
    image     TEXT    CHECK (image IS NULL OR image IN ('before', 'after', 'neither')),  -- what was seen
    asked     TEXT,                                   -- the QMP commands of the plan, without arguments
    evidence  TEXT    NOT NULL,                       -- what that rests on; QEMU's text is quoted and bounded
    pid       INTEGER NOT NULL,
    program   TEXT    NOT NULL
) STRICT;
CREATE INDEX history_domain ON history (domain);
CREATE INDEX history_intent ON history (intent) WHERE intent IS NOT NULL;
