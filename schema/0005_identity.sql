-- SPDX-License-Identifier: MIT
-- Identity of a thing (R16): what an add replaces is kept until it is settled, products are kept in one
-- place, and an element that libxl gives no identity has a key of its own.

-- The number above all that this incarnation ever gave to an element without an identity ("#7"): a key
-- is never used again.
ALTER TABLE domain ADD COLUMN next_key INTEGER NOT NULL DEFAULT 0;
UPDATE domain SET next_key =
    coalesce((SELECT max(CAST(substr(key, 2) AS INTEGER)) + 1 FROM thing
              WHERE domain = domain.id AND key GLOB '#[0-9]*'), 0);
CREATE TRIGGER r16_key_given AFTER INSERT ON thing
WHEN NEW.key GLOB '#[0-9]*'
BEGIN UPDATE domain SET next_key = max(next_key, CAST(substr(NEW.key, 2) AS INTEGER) + 1) WHERE id = NEW.domain; END;

-- The state of the entry that an add replaces; image_stale has its text. NULL: there was none.
ALTER TABLE intent ADD COLUMN replaced_state TEXT
    CHECK (replaced_state IS NULL OR replaced_state IN ('adding', 'present', 'stale'));
UPDATE intent SET replaced_state = 'stale' WHERE operation = 'add' AND image_stale IS NOT NULL;
CREATE TRIGGER r10_intent_replaced BEFORE UPDATE ON intent
WHEN NEW.image_neither IS NOT OLD.image_neither OR NEW.image_stale IS NOT OLD.image_stale
  OR NEW.replaced_state IS NOT OLD.replaced_state
BEGIN SELECT RAISE(ABORT, 'R10: an intent is not rewritten once it is committed'); END;

-- What a thing is made of in QEMU: nowhere else. While an add replaces an entry there are the products
-- of both images: 'before', which come back when the add fails, and 'after'. A name is claimed by one
-- thing of an incarnation, entry or open intent; a stale entry remembers names without claiming them.
CREATE TABLE product_of_0003 AS SELECT domain, kind, name, thing FROM product;
DROP TABLE product;
CREATE TABLE product (
    domain   INTEGER NOT NULL REFERENCES domain (id) ON DELETE RESTRICT,
    kind     TEXT    NOT NULL CHECK (kind IN ('device', 'anonymous', 'node', 'chardev', 'object', 'netdev', 'fdset')),
    name     TEXT    NOT NULL,                          -- QEMU's id; of a descriptor set its opaque text
    thing    INTEGER NOT NULL REFERENCES thing (id) ON DELETE CASCADE,
    image    TEXT    NOT NULL DEFAULT '' CHECK (image IN ('', 'before', 'after')),  -- '': of the entry as it is
    claimed  INTEGER NOT NULL DEFAULT 1 CHECK (claimed IN (0, 1)),
    seq      INTEGER NOT NULL DEFAULT 0,                -- the order of making; it is taken out backwards
    undo     TEXT    CHECK (undo IS NULL OR undo GLOB '{*}'),  -- what takes it out; NULL: what its kind has
    asked_us INTEGER,                                   -- since when the guest has been asked to let go of it
    PRIMARY KEY (domain, kind, name, thing, image)
) STRICT, WITHOUT ROWID;
CREATE INDEX product_thing ON product (thing);
-- For which of its devices the guest was asked was not written down: each may go.
INSERT INTO product (domain, kind, name, thing, claimed, asked_us)
SELECT p.domain, p.kind, p.name, p.thing, t.state <> 'stale',
       CASE WHEN p.kind IN ('device', 'anonymous')
            THEN (SELECT i.asked_us FROM intent i WHERE i.thing = p.thing) END
FROM product_of_0003 p JOIN thing t ON t.id = p.thing;
DROP TABLE product_of_0003;

CREATE TRIGGER r16_product_insert BEFORE INSERT ON product
WHEN NEW.claimed = 1
 AND EXISTS (SELECT 1 FROM product WHERE domain = NEW.domain AND kind = NEW.kind AND name = NEW.name
                                     AND thing <> NEW.thing AND claimed = 1)
BEGIN SELECT RAISE(ABORT, 'R16: another thing has that name in QEMU'); END;
CREATE TRIGGER r16_product_update BEFORE UPDATE ON product
WHEN NEW.claimed = 1
 AND EXISTS (SELECT 1 FROM product WHERE domain = NEW.domain AND kind = NEW.kind AND name = NEW.name
                                     AND thing <> NEW.thing AND claimed = 1)
BEGIN SELECT RAISE(ABORT, 'R16: another thing has that name in QEMU'); END;
CREATE TRIGGER r16_thing_stale AFTER UPDATE OF state ON thing
WHEN NEW.state = 'stale' AND OLD.state <> 'stale'
BEGIN UPDATE product SET claimed = 0 WHERE thing = NEW.id AND image = ''; END;

-- As before, but for names that a stale entry only remembers.
DROP VIEW things;
CREATE VIEW things AS
SELECT d.domid, d.name AS domain, d.id AS incarnation, t.class, t.key, t.state, t.primary_at,
       (SELECT group_concat(p.made, ' ')
        FROM (SELECT DISTINCT kind || ':' || name AS made FROM product
              WHERE thing = t.id AND claimed = 1 ORDER BY seq, kind, name) p) AS products,
       t.json, i.id AS intent,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of,
       CASE WHEN i.id IS NOT NULL THEN 'open intent: QEMU may have either image'
            WHEN t.state = 'stale' THEN 'seen absent from its primary'
            ELSE 'committed row; the primary was not asked' END AS evidence
FROM thing t JOIN domain d ON d.id = t.domain LEFT JOIN intent i ON i.thing = t.id
WHERE d.state <> 'destroyed' ORDER BY d.domid, t.class, t.position;
