-- SPDX-License-Identifier: MIT
-- Who may do what. A host writes its own rows and sees no others; a reader sees all and writes nothing; the owner
-- of the schema administers. None of them is a superuser; the roles themselves are made by 'xlstore-fleet init'.

-- The host that the role of this connection speaks for; NULL: none.
CREATE FUNCTION fleet.my_host() RETURNS integer LANGUAGE sql STABLE
AS 'SELECT host FROM fleet.host WHERE role = current_user';

GRANT USAGE ON SCHEMA fleet TO xlstore_fleet_host, xlstore_fleet_reader;
GRANT SELECT ON fleet.step TO xlstore_fleet_host, xlstore_fleet_reader;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA fleet FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fleet.my_host() TO xlstore_fleet_host, xlstore_fleet_reader;

ALTER TABLE fleet.host ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON fleet.host TO xlstore_fleet_host, xlstore_fleet_reader;
CREATE POLICY own ON fleet.host FOR SELECT TO xlstore_fleet_host USING (role = current_user);
CREATE POLICY reader ON fleet.host FOR SELECT TO xlstore_fleet_reader USING (true);

DO $$
DECLARE
    name text;
    rights text;
BEGIN
    FOREACH name IN ARRAY ARRAY['presence', 'generation', 'gap', 'domain', 'document', 'thing', 'intent',
                                'history', 'finding'] LOOP
        EXECUTE format('ALTER TABLE fleet.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own ON fleet.%I TO xlstore_fleet_host '
                       'USING (host = (SELECT fleet.my_host())) '
                       'WITH CHECK (host = (SELECT fleet.my_host()))', name);
        EXECUTE format('CREATE POLICY reader ON fleet.%I FOR SELECT TO xlstore_fleet_reader USING (true)', name);
        -- History, its generations and its gaps only grow; the row of a presence is the administrator's to make.
        rights := CASE name WHEN 'history' THEN 'SELECT, INSERT'
                            WHEN 'gap' THEN 'SELECT, INSERT'
                            WHEN 'generation' THEN 'SELECT, INSERT, UPDATE'
                            WHEN 'presence' THEN 'SELECT, UPDATE'
                            ELSE 'SELECT, INSERT, UPDATE, DELETE' END;
        EXECUTE format('GRANT %s ON fleet.%I TO xlstore_fleet_host', rights, name);
        EXECUTE format('GRANT SELECT ON fleet.%I TO xlstore_fleet_reader', name);
    END LOOP;
END $$;
