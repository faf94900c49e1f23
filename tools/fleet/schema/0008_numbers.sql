-- SPDX-License-Identifier: MIT
-- What a host has given and no longer has, sessions and the entries of destroyed domains among it, is not sent. A store that
-- is made of what is here goes on above all of that (R17): so a push says which number was the highest.

ALTER TABLE fleet.presence ADD COLUMN highest_id bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN fleet.presence.highest_id IS 'the highest number that any table of its stores has given; 0: not said yet';

CREATE OR REPLACE FUNCTION fleet.take_facts(me integer, facts json) RETURNS void LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    UPDATE fleet.presence p
    SET seen = clock_timestamp(), clock_us = f.clock_us, hostname = f.hostname, machine_id = f.machine_id,
        boot_id = f.boot_id, program = f.program, kernel = f.kernel, xen = f.xen, directory = f.directory,
        behind = f.behind, highest_id = greatest(p.highest_id, f.highest_id),
        domains = (SELECT count(*) FROM fleet.domain d WHERE d.host = me AND d.generation = p.generation
                                                         AND d.state NOT IN ('destroyed', 'gone')),
        open_intents = (SELECT count(*) FROM fleet.intent i WHERE i.host = me AND i.generation = p.generation)
    FROM json_to_record(facts) AS f(clock_us bigint, hostname text, machine_id text, boot_id text, program text,
                                    kernel text, xen text, directory text, behind bigint, highest_id bigint)
    WHERE p.host = me;
END $$;
