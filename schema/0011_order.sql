-- SPDX-License-Identifier: MIT
-- The order in which things were made, and where QEMU put them.

-- Place in the order of making within the domain: what is put into another QEMU goes in by it. Not
-- the order of the document, which is libxl's. A thing that is added again moves to the end.
ALTER TABLE thing ADD COLUMN made INTEGER NOT NULL DEFAULT 0;  -- 0: the trigger below gives one
-- Where QEMU put its devices (store/address.hpp). NULL: it never said. It outlives the QEMU.
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

-- The things of each domain in the order in which they were made, and where QEMU put them.
CREATE VIEW things_as_made AS
SELECT d.domid, d.name AS domain, d.id AS incarnation, t.made, t.class, t.key, t.state, t.address,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of,
       'committed row; the address is what QEMU said after the thing was added' AS evidence
FROM thing t JOIN domain d ON d.id = t.domain
WHERE d.state <> 'destroyed' ORDER BY d.domid, t.made, t.id;
