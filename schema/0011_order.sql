-- SPDX-License-Identifier: MIT
-- The order in which things were made, where QEMU put them, and documents that are closed.

-- Place in the order of making within the domain: what is put into another QEMU goes in by it. Not
-- the order of the document, which is libxl's. A thing that is added again moves to the end.
ALTER TABLE thing ADD COLUMN made INTEGER NOT NULL DEFAULT 0;  -- 0: the trigger below gives one
-- Where QEMU put its devices (store/qmp/address.hpp). NULL: it never said. It outlives the QEMU.
ALTER TABLE thing ADD COLUMN address TEXT CHECK (address IS NULL OR address GLOB '{*}');
-- The place that the entry gets when this add is done. NULL: it keeps the one that it has.
ALTER TABLE intent ADD COLUMN made INTEGER;
CREATE INDEX thing_made ON thing (domain, made);

-- Until today: by id. What is being destroyed takes no change (R8), and is never put back.
UPDATE thing SET made = id
WHERE (SELECT state FROM domain WHERE id = thing.domain) IN ('creating', 'running');

CREATE TRIGGER thing_made AFTER INSERT ON thing WHEN NEW.made = 0
BEGIN
    UPDATE thing SET made = 1 + (SELECT max(coalesce((SELECT max(made) FROM thing WHERE domain = NEW.domain), 0),
                                            coalesce((SELECT max(made) FROM intent WHERE domain = NEW.domain), 0)))
    WHERE id = NEW.id;
END;

-- Closed for a time, as a rule that of a migration: then nothing is added to the domain, taken out or
-- edited, until it is opened again. All NULL: open. Destruction and recovery do not ask.
ALTER TABLE domain ADD COLUMN closed_us INTEGER;
ALTER TABLE domain ADD COLUMN closed_pid INTEGER;
ALTER TABLE domain ADD COLUMN closed_program TEXT;
ALTER TABLE domain ADD COLUMN closed_reason TEXT;

-- While it is 'creating' (a QEMU is registered, a soft reset puts back what was there) nothing is new.
CREATE TRIGGER closed_intent BEFORE INSERT ON intent
WHEN (SELECT closed_us IS NOT NULL AND state = 'running' FROM domain WHERE id = NEW.domain)
BEGIN SELECT RAISE(ABORT, 'closed: the document is closed; xlstore reopen opens it'); END;
-- Things of QEMU change by intents, and by recovery.
CREATE TRIGGER closed_thing_insert BEFORE INSERT ON thing
WHEN NEW.primary_at <> 'qemu' AND (SELECT closed_us IS NOT NULL FROM domain WHERE id = NEW.domain)
BEGIN SELECT RAISE(ABORT, 'closed: the document is closed; xlstore reopen opens it'); END;
CREATE TRIGGER closed_domain BEFORE UPDATE OF closed_us ON domain
WHEN OLD.closed_us IS NULL AND NEW.closed_us IS NOT NULL
 AND (NEW.state <> 'running' OR EXISTS (SELECT 1 FROM intent WHERE domain = NEW.id))
BEGIN SELECT RAISE(ABORT, 'closed: an intent is open, or the domain does not run'); END;

-- Documents that are closed: by whom, since when, why, and how they are opened.
CREATE VIEW closed_documents AS
SELECT d.domid, d.name AS domain, d.id AS incarnation,
       datetime(d.closed_us / 1000000, 'unixepoch') AS closed_since,
       d.closed_pid, d.closed_program, d.closed_reason AS reason,
       'xlstore reopen domid:' || d.domid AS opened_by,
       datetime(d.closed_us / 1000000, 'unixepoch') AS as_of,
       'committed row; whether its closer still lives was not asked' AS evidence
FROM domain d WHERE d.closed_us IS NOT NULL AND d.state <> 'destroyed' ORDER BY d.domid;

-- The things of each domain in the order in which they were made, and where QEMU put them.
CREATE VIEW things_as_made AS
SELECT d.domid, d.name AS domain, d.id AS incarnation, t.made, t.class, t.key, t.state, t.address,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of,
       'committed row; the address is what QEMU said after the thing was added' AS evidence
FROM thing t JOIN domain d ON d.id = t.domain
WHERE d.state <> 'destroyed' ORDER BY d.domid, t.made, t.id;
