-- SPDX-License-Identifier: MIT
-- What a careless hand can do with SQL alone, and may not. A rule that the rows themselves can tell is
-- written as such. Where they cannot, the statement asks for the function only_xlstore_changes_this():
-- the library's connections have it and no other has, so that a statement of this kind by another
-- program fails before it changes anything ("no such function"). Reading asks for nothing.

-- R10: an intent goes with the line of history that says what became of it.
CREATE TRIGGER r10_intent_delete BEFORE DELETE ON intent
WHEN NOT EXISTS (SELECT 1 FROM history WHERE intent = OLD.id AND outcome IN ('done', 'not done'))
BEGIN SELECT RAISE(ABORT, 'R10: an open intent is settled, not deleted: xlstore recover'); END;

-- Until then the entry says what the intent is about to do.
CREATE TRIGGER r10_thing_state BEFORE UPDATE OF state ON thing
WHEN NEW.state IS NOT OLD.state AND EXISTS (SELECT 1 FROM intent WHERE thing = OLD.id)
BEGIN SELECT RAISE(ABORT, 'R10: this thing has an open intent, which says what becomes of it'); END;

-- A session names the process that owns an intent; whether that lives is told by its id.
CREATE TRIGGER r10_session_delete BEFORE DELETE ON session
WHEN EXISTS (SELECT 1 FROM intent WHERE owner = OLD.id)
BEGIN SELECT RAISE(ABORT, 'R10: this session owns an open intent'); END;
CREATE TRIGGER only_xlstore_session_delete BEFORE DELETE ON session
BEGIN SELECT only_xlstore_changes_this(); END;
CREATE TRIGGER session_update BEFORE UPDATE ON session
BEGIN SELECT RAISE(ABORT, 'a session is written once'); END;
CREATE TRIGGER session_replace BEFORE INSERT ON session
WHEN EXISTS (SELECT 1 FROM session WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'UNIQUE: this session is there already'); END;

-- R16: what a thing is made of in QEMU stays its own. A product that is lost leaves a device in QEMU
-- that no entry has (R1).
CREATE TRIGGER r16_product_identity BEFORE UPDATE OF domain, kind, name, thing ON product
WHEN NEW.domain IS NOT OLD.domain OR NEW.kind IS NOT OLD.kind OR NEW.name IS NOT OLD.name
  OR NEW.thing IS NOT OLD.thing
BEGIN SELECT RAISE(ABORT, 'R16: a product stays that of its thing'); END;
CREATE TRIGGER r16_product_domain BEFORE INSERT ON product
WHEN NEW.domain <> (SELECT domain FROM thing WHERE id = NEW.thing)
BEGIN SELECT RAISE(ABORT, 'R16: a product is in the QEMU of the domain that its thing belongs to'); END;
CREATE TRIGGER only_xlstore_product_delete BEFORE DELETE ON product
BEGIN SELECT only_xlstore_changes_this(); END;
CREATE TRIGGER only_xlstore_initial_device_delete BEFORE DELETE ON initial_device
BEGIN SELECT only_xlstore_changes_this(); END;

-- R9: QEMU is dead, and no longer registered, before a domain is over.
CREATE TRIGGER r9_domain_destroyed BEFORE UPDATE OF state ON domain
WHEN NEW.state = 'destroyed' AND OLD.state <> 'destroyed' AND NEW.qemu_pid IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'R9: its QEMU is still registered: xlstore destroy'); END;
-- R11: one QEMU, one domain.
CREATE TRIGGER r11_domain_qemu BEFORE UPDATE OF qemu_pid, qemu_start_time, qemu_pid_namespace, boot_id ON domain
WHEN NEW.qemu_pid IS NOT NULL AND NEW.state <> 'destroyed'
 AND EXISTS (SELECT 1 FROM domain WHERE id <> NEW.id AND state <> 'destroyed' AND qemu_pid = NEW.qemu_pid
             AND qemu_start_time IS NEW.qemu_start_time AND qemu_pid_namespace IS NEW.qemu_pid_namespace
             AND boot_id = NEW.boot_id)
BEGIN SELECT RAISE(ABORT, 'R11: this QEMU is registered as that of another domain'); END;
-- The life of a domain and its QEMU: by these columns processes are killed and documents go.
CREATE TRIGGER only_xlstore_domain_update BEFORE UPDATE OF state, boot_id, creator, born_us, creation_mark,
    qemu_pid, qemu_start_time, qemu_pid_namespace, monitor_path, monitor_device, monitor_inode, peer_pid,
    peer_uid, peer_gid, monitor_handed_in, initial_from, log_path ON domain
BEGIN SELECT only_xlstore_changes_this(); END;

-- The document: a member goes, or is replaced, when the library writes it anew.
CREATE TRIGGER only_xlstore_member_delete BEFORE DELETE ON document_member
BEGIN SELECT only_xlstore_changes_this(); END;
CREATE TRIGGER member_identity BEFORE UPDATE OF domain, rank, key ON document_member
WHEN NEW.domain IS NOT OLD.domain OR NEW.rank IS NOT OLD.rank OR NEW.key IS NOT OLD.key
BEGIN SELECT RAISE(ABORT, 'a member stays where it is in its document'); END;
CREATE TRIGGER member_replace BEFORE INSERT ON document_member
WHEN EXISTS (SELECT 1 FROM document_member WHERE domain = NEW.domain AND (rank = NEW.rank OR key = NEW.key))
BEGIN SELECT RAISE(ABORT, 'UNIQUE: this member is there already'); END;

-- Rows keep their numbers: UPDATE OR REPLACE of one deletes what has the new number, and asks no
-- trigger of DELETE. Domain and intent have such a rule already.
CREATE TRIGGER thing_number BEFORE UPDATE OF id ON thing WHEN NEW.id IS NOT OLD.id
BEGIN SELECT RAISE(ABORT, 'R1: an entry keeps its number'); END;
CREATE TRIGGER tombstone_number BEFORE UPDATE OF id ON tombstone WHEN NEW.id IS NOT OLD.id
BEGIN SELECT RAISE(ABORT, 'R14: a tombstone keeps its number'); END;
CREATE TRIGGER tombstone_replace BEFORE INSERT ON tombstone
WHEN EXISTS (SELECT 1 FROM tombstone WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'R14: UNIQUE: this tombstone is there already'); END;
CREATE TRIGGER set_aside_number BEFORE UPDATE OF id ON set_aside WHEN NEW.id IS NOT OLD.id
BEGIN SELECT RAISE(ABORT, 'R22: what was set aside keeps its number'); END;
CREATE TRIGGER set_aside_replace BEFORE INSERT ON set_aside
WHEN EXISTS (SELECT 1 FROM set_aside WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'R22: UNIQUE: this number is taken'); END;
CREATE TRIGGER only_xlstore_set_aside_delete BEFORE DELETE ON set_aside
BEGIN SELECT only_xlstore_changes_this(); END;

-- R17: a number that was given is not given again, also when sqlite_sequence went back. A row that is
-- put back (its number lies below the sequence) is no new one.
CREATE TRIGGER r17_domain_number AFTER INSERT ON domain
WHEN NEW.id > coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'domain'), 0)
 AND NEW.id <= (SELECT max(domain) FROM history)
BEGIN SELECT RAISE(ABORT, 'R17: this number was given before, and sqlite_sequence went back: xlfsck -p'); END;
CREATE TRIGGER r17_intent_number AFTER INSERT ON intent
WHEN NEW.id > coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'intent'), 0)
 AND NEW.id <= (SELECT max(intent) FROM history WHERE intent IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'R17: this number was given before, and sqlite_sequence went back: xlfsck -p'); END;

-- R20: what may go of history is decided by the library, which prunes it; the identity of a store by it, too.
CREATE TRIGGER only_xlstore_store_update BEFORE UPDATE ON store
BEGIN SELECT only_xlstore_changes_this(); END;

-- As before, and what the rows say of products and QEMUs.
DROP VIEW IF EXISTS invariant_breaches;
CREATE VIEW invariant_breaches AS
SELECT 'R10' AS rule, d.domid, t.class, t.key,
       'entry is ' || t.state || ' but no open intent says why' AS breach,
       datetime(t.changed_us / 1000000, 'unixepoch') AS as_of, 'committed rows' AS evidence
FROM thing t JOIN domain d ON d.id = t.domain
WHERE t.state IN ('adding', 'changing', 'removing') AND d.state = 'running'
  AND NOT EXISTS (SELECT 1 FROM intent i WHERE i.thing = t.id)
UNION ALL
SELECT 'R10', d.domid, t.class, t.key, 'intent ' || i.id || ' is open but its entry is ' || t.state,
       datetime(i.opened_us / 1000000, 'unixepoch'), 'committed rows'
FROM intent i JOIN thing t ON t.id = i.thing JOIN domain d ON d.id = i.domain
WHERE t.state NOT IN ('adding', 'changing', 'removing')
UNION ALL
SELECT 'R14', d.domid, NULL, NULL, 'destroyed, yet QEMU ' || d.qemu_pid || ' is still registered',
       datetime(d.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM domain d WHERE d.state = 'destroyed' AND d.qemu_pid IS NOT NULL
UNION ALL
SELECT 'R11', d.domid, NULL, NULL,
       'QEMU ' || d.qemu_pid || ' is registered as that of domain ' || o.domid || ', too',
       datetime(d.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM domain d JOIN domain o ON o.id <> d.id AND o.qemu_pid = d.qemu_pid
 AND o.qemu_start_time IS d.qemu_start_time AND o.qemu_pid_namespace IS d.qemu_pid_namespace
 AND o.boot_id = d.boot_id
WHERE d.state <> 'destroyed' AND o.state <> 'destroyed'
UNION ALL
SELECT 'R16', d.domid, t.class, t.key, 'its product ' || p.kind || ' ' || p.name || ' is filed under domain '
       || coalesce((SELECT domid FROM domain WHERE id = p.domain), 'of no row'),
       datetime(t.changed_us / 1000000, 'unixepoch'), 'committed rows'
FROM product p JOIN thing t ON t.id = p.thing JOIN domain d ON d.id = t.domain
WHERE p.domain <> t.domain;
