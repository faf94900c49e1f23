-- SPDX-License-Identifier: MIT
-- Tables of a fleet: what the hosts' stores said, as of a commit of each. One file a step; a step is never
-- edited once it is released, and table `step` says which of them a database has had. Words are those of the
-- store: incarnation, thing, intent, line of history.
--
-- Order is that of a host's own commits and lines of history. Clocks order nothing: a column that ends in _us
-- is what a clock of the host said, and one of type timestamptz is what the clock of this server said.

CREATE SCHEMA fleet;
COMMENT ON SCHEMA fleet IS 'What xlstore-fleet keeps of many hosts. The stores on the hosts are the truth.';

CREATE TABLE fleet.step (
    step    integer PRIMARY KEY,
    name    text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);

-- A host and the role that speaks for it. Made by 'xlstore-fleet init --host'; a host cannot change it.
CREATE TABLE fleet.host (
    host  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name  text NOT NULL UNIQUE,
    role  name NOT NULL UNIQUE,
    added timestamptz NOT NULL DEFAULT now()
);

-- What a host said of itself last: one row each, made with the host. A push holds its lock.
CREATE TABLE fleet.presence (
    host          integer PRIMARY KEY REFERENCES fleet.host (host) ON DELETE CASCADE,
    generation    integer NOT NULL DEFAULT 0,   -- the current one; 0: nothing was ever sent
    seen          timestamptz,
    clock_us      bigint,                       -- the host's clock at that moment
    hostname      text,
    machine_id    text,
    boot_id       text,
    program       text,                         -- release of xlstore-fleet and the library
    kernel        text,
    xen           text,
    directory     text,                         -- of the store
    behind        bigint,                       -- lines of history that were not sent yet
    checked       timestamptz,                  -- when the findings of xlfsck came
    check_status  integer,                      -- its exit status, a sum of bits
    check_found   integer
);

-- A store from one going-back to the next (R17): another store, or an older state of it, begins a new one.
CREATE TABLE fleet.generation (
    host            integer NOT NULL REFERENCES fleet.host (host) ON DELETE CASCADE,
    generation      integer NOT NULL,
    store_uuid      text NOT NULL,
    began           timestamptz NOT NULL DEFAULT now(),
    why             text NOT NULL,
    first_after     bigint NOT NULL,            -- its lines are above this one
    line            bigint NOT NULL,            -- the last line of history that is here
    anchor          text,                       -- what that line was, to tell a store that went back
    commits         bigint,                     -- all that is here is at least as of that commit; NULL: not yet
    expects_restore boolean NOT NULL,           -- the line that tells of the going-back is still to come
    PRIMARY KEY (host, generation)
);

-- Lines that were pruned on the host before they were sent.
CREATE TABLE fleet.gap (
    host       integer NOT NULL REFERENCES fleet.host (host) ON DELETE CASCADE,
    generation integer NOT NULL,
    first_line bigint NOT NULL,
    last_line  bigint NOT NULL,
    found      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host, generation, first_line)
);

CREATE TABLE fleet.domain (
    host          integer NOT NULL REFERENCES fleet.host (host) ON DELETE CASCADE,
    generation    integer NOT NULL,
    incarnation   bigint NOT NULL,
    domid         integer NOT NULL,
    uuid          text NOT NULL,
    vm_uuid       text,
    name          text NOT NULL,
    state         text NOT NULL,                -- creating, running, destroying, destroyed, gone (no row any more)
    epoch         bigint NOT NULL,
    revision      bigint NOT NULL,
    boot_id       text NOT NULL,
    created_us    bigint NOT NULL,
    changed_us    bigint NOT NULL,
    born_us       bigint,
    closed_us     bigint,
    closed_reason text,
    qemu_pid      bigint,
    monitor_path  text,
    digest        text NOT NULL,                -- of all that is here of it; a push compares it
    commits       bigint NOT NULL,              -- as of that commit
    received      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host, generation, incarnation)
);
CREATE INDEX domain_uuid ON fleet.domain (uuid) WHERE state NOT IN ('destroyed', 'gone');

CREATE TABLE fleet.document (
    host        integer NOT NULL,
    generation  integer NOT NULL,
    incarnation bigint NOT NULL,
    revision    bigint NOT NULL,
    json        text NOT NULL,                  -- as the store shows it, but for secrets
    PRIMARY KEY (host, generation, incarnation),
    FOREIGN KEY (host, generation, incarnation) REFERENCES fleet.domain ON DELETE CASCADE
);

CREATE TABLE fleet.thing (
    host        integer NOT NULL,
    generation  integer NOT NULL,
    thing       bigint NOT NULL,
    incarnation bigint NOT NULL,
    class       text NOT NULL,
    key         text NOT NULL,
    position    bigint NOT NULL,
    state       text NOT NULL,
    primary_at  text NOT NULL,
    image       text,                           -- of a disk: the image that it shows; NULL: none
    json        text,                           -- NULL: it cannot be read
    changed_us  bigint NOT NULL,
    PRIMARY KEY (host, generation, thing),
    FOREIGN KEY (host, generation, incarnation) REFERENCES fleet.domain ON DELETE CASCADE
);
CREATE INDEX thing_of ON fleet.thing (host, generation, incarnation);
CREATE INDEX thing_image ON fleet.thing (image) WHERE image IS NOT NULL;

-- Open intents alone; what became of one is in history.
CREATE TABLE fleet.intent (
    host         integer NOT NULL,
    generation   integer NOT NULL,
    intent       bigint NOT NULL,
    incarnation  bigint NOT NULL,
    class        text NOT NULL,
    key          text NOT NULL,
    operation    text NOT NULL,
    opened_us    bigint NOT NULL,
    asked_us     bigint,
    owner_pid     bigint,
    owner_program text,
    note         text NOT NULL,
    image_before text,
    image_after  text,
    plan         text,
    PRIMARY KEY (host, generation, intent),
    FOREIGN KEY (host, generation, incarnation) REFERENCES fleet.domain ON DELETE CASCADE
);
CREATE INDEX intent_of ON fleet.intent (host, generation, incarnation);

-- By the month in which a line came (this server's clock: a host's clock may say any month), and by host. All
-- hosts share the partitions of a month: a fleet of 10 000 has no more tables than one of 2.
CREATE TABLE fleet.history (
    host           integer NOT NULL,
    generation     integer NOT NULL,
    line           bigint NOT NULL,
    month          date NOT NULL,
    received       timestamptz NOT NULL DEFAULT now(),
    at_us          bigint NOT NULL,
    incarnation    bigint,
    domid          integer,
    operation      text NOT NULL,
    class          text,
    key            text,
    intent         bigint,
    outcome        text NOT NULL,
    image          text,
    medium_before  text,
    medium_after   text,
    pid            bigint,
    program        text,
    uid            bigint,
    author_pid     bigint,
    author_program text,
    author_uid     bigint,
    asked          text,
    evidence       text NOT NULL,
    PRIMARY KEY (host, generation, line, month)
) PARTITION BY RANGE (month);
CREATE INDEX history_incarnation ON fleet.history (host, generation, incarnation);

-- What xlfsck found last on a host.
CREATE TABLE fleet.finding (
    host     integer NOT NULL REFERENCES fleet.host (host) ON DELETE CASCADE,
    number   integer NOT NULL,
    code     integer NOT NULL,
    problem  text NOT NULL,
    subject  text NOT NULL,
    message  text NOT NULL,
    evidence text NOT NULL,
    action   text NOT NULL,
    PRIMARY KEY (host, number)
);
