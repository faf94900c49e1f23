-- SPDX-License-Identifier: MIT
-- What was under way in an older state of the store (R17). When a database that went back or was copied
-- is made its place's store, or a backup is put back, QEMU has gone on since: what an intent of that
-- state left half done may be a later operation's by now, and a creation may be long over. Such an intent
-- is closed by what QEMU shows, and such a creation is registered by looking (R19); nothing is undone.

ALTER TABLE intent ADD COLUMN older_state INTEGER NOT NULL DEFAULT 0 CHECK (older_state IN (0, 1));
-- Of a row that is 'creating'; 0 again from its next registration on.
ALTER TABLE domain ADD COLUMN older_state INTEGER NOT NULL DEFAULT 0 CHECK (older_state IN (0, 1));

-- By these columns devices are taken out of a guest, or left in it.
CREATE TRIGGER only_xlstore_intent_older BEFORE UPDATE OF older_state ON intent
BEGIN SELECT only_xlstore_changes_this(); END;
CREATE TRIGGER only_xlstore_domain_older BEFORE UPDATE OF older_state ON domain
BEGIN SELECT only_xlstore_changes_this(); END;
