-- SPDX-License-Identifier: MIT
-- A store is upgraded while no process has it open for writing. A program of release 0.1 may have
-- looked at the version before that and wait at the gate: its session must not begin afterwards.

-- The version of the schema that the program of this session knows; NULL: it began before there was this column.
ALTER TABLE session ADD COLUMN schema INTEGER;
CREATE TRIGGER r17_session_schema BEFORE INSERT ON session
WHEN NEW.schema IS NULL
BEGIN SELECT RAISE(ABORT, 'R17: the store was upgraded for a newer release: start this program anew, with that release'); END;
