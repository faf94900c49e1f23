-- SPDX-License-Identifier: MIT
-- The rules of the design, kept even against hand-written SQL. Each message names its rule.

-- R8: the document of a domain that is destroyed or being destroyed takes no additions and no edits.
CREATE TRIGGER r8_thing_insert BEFORE INSERT ON thing
WHEN (SELECT state FROM domain WHERE id = NEW.domain) IN ('destroying', 'destroyed')
BEGIN SELECT RAISE(ABORT, 'R8: the domain is destroyed or being destroyed'); END;
CREATE TRIGGER r8_thing_update BEFORE UPDATE ON thing
WHEN (SELECT state FROM domain WHERE id = NEW.domain) IN ('destroying', 'destroyed')
BEGIN SELECT RAISE(ABORT, 'R8: the domain is destroyed or being destroyed'); END;
CREATE TRIGGER r8_member_update BEFORE UPDATE ON document_member
WHEN (SELECT state FROM domain WHERE id = NEW.domain) IN ('destroying', 'destroyed')
BEGIN SELECT RAISE(ABORT, 'R8: the domain is destroyed or being destroyed'); END;
CREATE TRIGGER r8_intent_insert BEFORE INSERT ON intent
WHEN (SELECT state FROM domain WHERE id = NEW.domain) IN ('destroying', 'destroyed')
BEGIN SELECT RAISE(ABORT, 'R8: the domain is destroyed or being destroyed'); END;

-- A thing stays what it is: another class, key or domain is another thing.
CREATE TRIGGER r1_thing_identity BEFORE UPDATE OF domain, class, key ON thing
WHEN NEW.domain IS NOT OLD.domain OR NEW.class IS NOT OLD.class OR NEW.key IS NOT OLD.key
BEGIN SELECT RAISE(ABORT, 'R1: an entry cannot become the entry of another thing'); END;

-- R1 R5: an entry goes only after its thing was seen absent; until then it is no more than 'removing'
-- or 'stale' (or 'adding', and was never there), unless the whole domain is being destroyed.
CREATE TRIGGER r5_thing_delete BEFORE DELETE ON thing
WHEN OLD.state IN ('present', 'changing')
 AND (SELECT state FROM domain WHERE id = OLD.domain) NOT IN ('destroying', 'destroyed')
BEGIN SELECT RAISE(ABORT, 'R5: the entry of a present thing may not go before the thing is seen absent'); END;

CREATE TRIGGER r1_thing_state BEFORE UPDATE OF state ON thing
WHEN NOT (OLD.state = NEW.state
       OR (OLD.state = 'adding'   AND NEW.state IN ('present', 'stale'))
       OR (OLD.state = 'present'  AND NEW.state IN ('changing', 'removing', 'stale'))
       OR (OLD.state = 'changing' AND NEW.state IN ('present', 'stale'))
       OR (OLD.state = 'removing' AND NEW.state IN ('present', 'stale'))
       OR (OLD.state = 'stale'    AND NEW.state IN ('adding', 'present', 'changing', 'removing')))
BEGIN SELECT RAISE(ABORT, 'R1: an entry cannot go from that state to this one'); END;

-- R10: what was promised cannot be promised otherwise afterwards.
CREATE TRIGGER r10_intent_update BEFORE UPDATE ON intent
WHEN NEW.id IS NOT OLD.id OR NEW.domain IS NOT OLD.domain OR NEW.thing IS NOT OLD.thing
  OR NEW.operation IS NOT OLD.operation OR NEW.plan IS NOT OLD.plan OR NEW.probe IS NOT OLD.probe
  OR NEW.image_before IS NOT OLD.image_before OR NEW.image_after IS NOT OLD.image_after
  OR NEW.monitor_path IS NOT OLD.monitor_path
BEGIN SELECT RAISE(ABORT, 'R10: an intent is not rewritten once it is committed'); END;
CREATE TRIGGER r10_intent_state BEFORE INSERT ON intent
WHEN (SELECT state FROM thing WHERE id = NEW.thing AND domain = NEW.domain)
     IS NOT (CASE NEW.operation WHEN 'add' THEN 'adding' WHEN 'remove' THEN 'removing' ELSE 'changing' END)
BEGIN SELECT RAISE(ABORT, 'R10: the entry does not say what the intent is about to do'); END;

-- R14: states of an incarnation; the document goes last.
CREATE TRIGGER r14_domain_state BEFORE UPDATE OF state ON domain
WHEN NOT (OLD.state = NEW.state
       OR (OLD.state = 'creating'   AND NEW.state IN ('running', 'destroying'))
       OR (OLD.state = 'running'    AND NEW.state IN ('creating', 'destroying'))  -- creating: QEMU registered later
       OR (OLD.state = 'destroying' AND NEW.state = 'destroyed'))
BEGIN SELECT RAISE(ABORT, 'R14: an incarnation cannot go from that state to this one'); END;
CREATE TRIGGER r14_domain_destroyed BEFORE UPDATE OF state ON domain
WHEN NEW.state = 'destroyed' AND OLD.state <> 'destroyed'
 AND (EXISTS (SELECT 1 FROM thing WHERE domain = NEW.id) OR EXISTS (SELECT 1 FROM intent WHERE domain = NEW.id))
BEGIN SELECT RAISE(ABORT, 'R14: the document goes with the last step of a destruction'); END;
CREATE TRIGGER r14_domain_delete BEFORE DELETE ON domain
WHEN OLD.state <> 'destroyed'
BEGIN SELECT RAISE(ABORT, 'R14: only a destroyed incarnation may be forgotten'); END;
CREATE TRIGGER r14_domain_identity BEFORE UPDATE OF id, domid, uuid ON domain
WHEN NEW.id IS NOT OLD.id OR NEW.domid IS NOT OLD.domid OR NEW.uuid IS NOT OLD.uuid
BEGIN SELECT RAISE(ABORT, 'R14: an incarnation keeps its id, domid and uuid'); END;

-- R15: epochs and revisions only go up.
CREATE TRIGGER r15_domain_epoch BEFORE UPDATE OF epoch, revision ON domain
WHEN NEW.epoch < OLD.epoch OR NEW.revision < OLD.revision
BEGIN SELECT RAISE(ABORT, 'R15: an epoch never goes back'); END;

-- History is written once and goes only by pruning, which is itself recorded.
CREATE TRIGGER history_update BEFORE UPDATE ON history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_delete BEFORE DELETE ON history
WHEN OLD.id >= (SELECT history_pruned_below FROM store)
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER store_delete BEFORE DELETE ON store
BEGIN SELECT RAISE(ABORT, 'a store keeps its identity'); END;

-- REPLACE deletes without asking the triggers above; what is there already is not inserted again.
CREATE TRIGGER domain_replace BEFORE INSERT ON domain
WHEN EXISTS (SELECT 1 FROM domain WHERE id = NEW.id OR (domid = NEW.domid AND state <> 'destroyed' AND NEW.state <> 'destroyed'))
BEGIN SELECT RAISE(ABORT, 'R14: UNIQUE: this incarnation, or a living one of its domid, is there already'); END;
CREATE TRIGGER thing_replace BEFORE INSERT ON thing
WHEN EXISTS (SELECT 1 FROM thing WHERE id = NEW.id OR (domain = NEW.domain AND class = NEW.class AND key = NEW.key))
BEGIN SELECT RAISE(ABORT, 'R1: UNIQUE: this thing has an entry already'); END;
CREATE TRIGGER intent_replace BEFORE INSERT ON intent
WHEN EXISTS (SELECT 1 FROM intent WHERE id = NEW.id OR thing = NEW.thing)
BEGIN SELECT RAISE(ABORT, 'R10: UNIQUE: this thing has an open intent already'); END;
CREATE TRIGGER history_replace BEFORE INSERT ON history
WHEN EXISTS (SELECT 1 FROM history WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER store_replace BEFORE INSERT ON store
WHEN EXISTS (SELECT 1 FROM store)
BEGIN SELECT RAISE(ABORT, 'a store keeps its identity'); END;
-- The shell has foreign keys off.
CREATE TRIGGER r10_thing_delete BEFORE DELETE ON thing
WHEN EXISTS (SELECT 1 FROM intent WHERE thing = OLD.id)
BEGIN SELECT RAISE(ABORT, 'R10: this thing has an open intent'); END;
