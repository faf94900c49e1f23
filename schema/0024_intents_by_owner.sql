-- SPDX-License-Identifier: MIT
-- Open intents are few, and are asked for by their owner only when a session begins or ends: each
-- operation wrote a page of this index twice.

DROP INDEX intent_owner;
