# SPDX-License-Identifier: MIT
"""init, push and the views: what comes, in what order, and what does not."""
import json
import os
import sqlite3
import subprocess

import fixture
from fixture import FleetTest, UUID


FOUND_A_SECRET = ('{"code":5001,"problem":"thing_unknown","subject":"x","message":"m",'
                  '"evidence":"drive holds nbd://me:sesame@host/disk","action":"left"}\n'
                  '{"summary":{"status":4,"found":1}}\n')


class Init(FleetTest):
    own_database = True

    def test_it_may_be_run_again(self):
        before = self.sql("SELECT step, name, applied FROM fleet.step")
        self.assertIn("already", self.run_as("owner", "init", "--host", "a", "--host", "c=d", "--reader", "reader"))
        self.assertEqual(self.sql("SELECT step, name, applied FROM fleet.step"), before)
        self.assertEqual(self.sql("SELECT name, role FROM fleet.host ORDER BY name"), [["a", "a"], ["b", "b"], ["c", "d"]])

    def test_no_superuser_is_needed(self):
        self.assertEqual(self.sql("SELECT rolsuper FROM pg_roles WHERE rolname IN ('owner', 'a', 'reader')"), [["f"]] * 3)

    def test_a_role_speaks_for_one_host(self):
        self.assertIn("speaks for another host", self.run_as("owner", "init", "--host", "c=a", status=1))
        self.assertIn("has the role a", self.run_as("owner", "init", "--host", "a=b", status=1))
        self.assertEqual(self.sql("SELECT name FROM fleet.host ORDER BY 1"), [["a"], ["b"]])

    def test_a_newer_schema_is_left_alone(self):
        self.sql("INSERT INTO fleet.step (step, name) VALUES (99, 'of tomorrow')")
        self.assertIn("knows", self.run_as("owner", "init", status=1))
        self.assertIn("install the newer xlstore-fleet", self.a.push(status=1))
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.generation"), [["0"]])

    def test_an_older_schema_and_none_are_told(self):
        self.sql("DELETE FROM fleet.step WHERE step = (SELECT max(step) FROM fleet.step)")
        self.assertIn("init", self.a.push(status=1))
        self.sql("DROP SCHEMA fleet CASCADE")
        self.assertIn("has no fleet in it", self.a.push(status=1))

    def test_a_fleet_of_an_older_version_goes_on(self):
        """Made by the first steps alone, with what a program of that time had sent."""
        self.sql("DROP SCHEMA fleet CASCADE")
        steps = sorted((fixture.SOURCE / "tools/fleet/schema").glob("*.sql"))
        for number, step in enumerate(steps[:4], 1):
            self.sql(step.read_text(encoding="utf-8"))
            self.sql(f"INSERT INTO fleet.step (step, name) VALUES ({number}, '{step.stem}')")
        self.sql("""INSERT INTO fleet.host (name, role) VALUES ('a', 'a'); INSERT INTO fleet.presence (host) VALUES (1)""")
        cd = json.loads(fixture.document(7))["disks"][0]
        old = {"generation": 1, "after": 0, "line": 0, "told_of_restore": False, "lines": [], "gone": [], "commits": 3,
               "domains": [{"incarnation": 1, "domid": 7, "uuid": UUID.format(7), "name": "web7", "state": "running",
                            "epoch": 1, "revision": 1, "boot_id": UUID.format(9), "created_us": 1, "changed_us": 1, "digest": "0",
                            "commits": 3, "document": fixture.document(7)}],
               "things": [{"thing": 1, "incarnation": 1, "class": "disks", "key": "hdc", "position": 0, "state": "changing",
                           "primary_at": "qemu", "changed_us": 1, "json": json.dumps(cd)}],
               "intents": [{"intent": 5, "incarnation": 1, "class": "disks", "key": "hdc", "operation": "change",
                            "opened_us": 1, "note": "", "image_before": "{}", "image_after": "{}", "plan": "[]"}],
               "facts": {"clock_us": 1, "behind": 0},
               "begins": {"store_uuid": UUID.format(1), "why": "first push", "expects_restore": False}}
        text = json.dumps(old).replace("'", "''")
        self.sql(f"SELECT fleet.begin_push(); SELECT fleet.take('{text}')", user="a")
        self.assertIn(f"version {len(steps)} now", self.run_as("owner", "init", "--host", "b", "--reader", "reader"))
        self.assertEqual(self.sql("SELECT host, domain FROM fleet.living"), [["a", "web7"]])
        # What that program did not send is not missed in a store of its host.
        spare = os.path.join(self.directory, "spare")
        self.assertEqual(json.loads(self.fleet("--json", "export", "a", spare))["intents"], 1)
        self.assertEqual(json.loads(self.b.xlstore("export", "domid:7", store=spare)), json.loads(fixture.document(7)))
        self.b.add(8)
        self.b.push()
        self.assert_same(self.b)

    def test_each_column_of_each_view_is_explained(self):
        bare = self.sql("SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
                        "WHERE c.relnamespace = 'fleet'::regnamespace AND c.relkind = 'v' AND a.attnum > 0 "
                        "AND col_description(c.oid, a.attnum) IS NULL")
        self.assertEqual(bare, [])


class Push(FleetTest):
    def test_what_is_there_is_sent_once(self):
        self.a.add(7)
        self.a.add(8)
        self.assertEqual(json.loads(self.a.push("--json"))["lines"], 2)
        self.assert_same(self.a)
        again = json.loads(self.a.push("--json"))
        self.assertEqual((again["lines"], again["domains"]), (0, 0))
        self.assert_same(self.a)

    def test_changes_follow_in_small_batches(self):
        for number in range(7, 12):
            self.a.add(number)
        self.a.push("--lines", "1")
        self.a.xlstore("rename", "domid:8", "other")
        self.a.xlstore("destroy", "domid:9")
        self.a.add(12)
        self.a.xlstore("destroy", "domid:12")  # came and went between two pushes
        self.a.push("--lines", "2")
        self.assert_same(self.a)
        # Its name is known all the same.
        self.assertEqual(self.sql("SELECT DISTINCT domain FROM fleet.who_changed WHERE domid = 12"), [["web12"]])
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.thing"), [["4"]])

    def test_documents_come_as_the_store_shows_them(self):
        self.a.xlstore("import", "7", fixture.SOURCE / "tools/examples/web01.json")
        self.a.push()
        self.assertEqual(self.sql("SELECT json FROM fleet.document"), self.a.rows("SELECT json FROM libxl_json"))

    def test_secrets_stay(self):
        self.a.add(7, vfbs=[{"devid": 0, "vnc": {"passwd": "sesame"}}], image="nbd://me:sesame@host/disk")
        self.a.push()
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.document WHERE json LIKE '%sesame%'"), [["0"]])
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.thing WHERE json LIKE '%sesame%'"), [["0"]])
        self.assertEqual(self.sql("SELECT image FROM fleet.images_in_use"), [["nbd://host/disk"]])
        self.note_secrets()
        self.a.push("--findings", "-", input=FOUND_A_SECRET)
        self.assertEqual(self.tables_with("sesame"), set())
        self.assertEqual(self.sql("SELECT evidence FROM fleet.finding"), [["drive holds nbd://host/disk"]])
        self.a.push("--with-secrets", "--findings", "-", input=FOUND_A_SECRET)
        self.assertLessEqual({"document", "thing", "finding"}, self.tables_with("sesame"))
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.document WHERE json LIKE '%sesame%'"), [["1"]])

    def note_secrets(self):
        """A line of history with a secret in each of its texts."""
        base = sqlite3.connect(os.path.join(self.a.store, "store.db"))
        with base:
            base.execute("INSERT INTO history (at_us, domain, operation, outcome, image, medium_before, medium_after, "
                         "evidence, pid, program) SELECT 1, id, 'note', 'done', 'before', "
                         "'nbd://me:sesame@host/a rbd:p/i:key=sesame:mon=a', 'json:{\"password\":\"sesame\"}', "
                         "'-object secret,id=a,data=sesame', 1, 't' FROM domain")
        base.close()

    def tables_with(self, word):
        names = self.sql("SELECT relname FROM pg_class WHERE relnamespace = 'fleet'::regnamespace AND relkind IN ('r', 'p') "
                         "AND NOT relispartition")
        return {name for (name,) in names
                if self.sql(f"SELECT count(*) FROM fleet.{name} x WHERE x::text LIKE '%{word}%'") != [["0"]]}

    def test_a_uuid_and_an_image_on_two_hosts(self):
        self.a.add(7, image="/srv/a.iso")
        self.a.add(8)
        self.b.add(7, image="/srv/a.iso")
        self.a.push()
        self.b.push()
        self.assertEqual(self.sql("SELECT uuid, places, hosts, verdict FROM fleet.domains_everywhere WHERE places > 1"),
                         [[UUID.format(7), "2", "2", "mistake"]])
        self.assertEqual(self.sql("SELECT image, uses, hosts FROM fleet.images_in_use"), [["/srv/a.iso", "2", "2"]])
        self.assertEqual(self.sql("SELECT uuid FROM fleet.two_primaries"), [[UUID.format(7)]])
        self.a.xlstore("close", "domid:7", "--reason", "migration")
        self.a.push()
        self.assertEqual(self.sql("SELECT uuid FROM fleet.two_primaries"), [])
        self.assertEqual(self.sql(f"SELECT verdict FROM fleet.domains_everywhere WHERE uuid = '{UUID.format(7)}'"),
                         [["migration"]])

    def test_findings_replace_those_before(self):
        line = '{"code":5001,"problem":"thing_unknown","subject":"x","message":"m","evidence":"e","action":"left"}\n'
        self.a.push("--findings", "-", input=line + '{"summary":{"status":4,"found":1}}\n')
        self.assertEqual(self.sql("SELECT host, problem, subject FROM fleet.unmanaged"), [["a", "thing_unknown", "x"]])
        self.assertEqual(self.sql("SELECT health, check_status FROM fleet.hosts WHERE host = 'a'"), [["findings", "4"]])
        self.assertIn("no summary", self.a.push("--findings", "-", input=line, status=1))
        self.a.push("--findings", "-", input='{"summary":{"status":0,"found":0}}\n')
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.finding"), [["0"]])

    def test_findings_are_not_forgotten_by_one_that_stays(self):
        self.assertIn("--follow", self.a.push("--follow", "--findings", "-", input=FOUND_A_SECRET, status=2))

    def test_another_machine_is_refused(self):
        self.a.push()
        self.sql("UPDATE fleet.presence SET machine_id = 'other' WHERE host = 1")
        self.assertIn("--new-machine", self.a.push(status=1))
        self.a.push("--new-machine")
        self.a.push()

    def test_no_order_comes_of_a_clock(self):
        """A line from the future, one from before all time, and a host whose clock is an hour off."""
        self.a.add(7)
        base = sqlite3.connect(os.path.join(self.a.store, "store.db"))
        with base:
            for at in (9223372036854775807, -9223372036854775808, 4102444800000000):
                base.execute("INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
                             "VALUES (?, 'note', 'done', '', 1, 't')", (at,))
        base.close()
        self.a.push()
        self.assert_same(self.a)
        self.assertEqual(self.sql("SELECT line FROM fleet.who_changed ORDER BY host, generation, line"),
                         [["1"], ["2"], ["3"], ["4"]])
        self.sql("SELECT at FROM fleet.who_changed")  # none is out of a calendar's range
        self.sql("UPDATE fleet.presence SET clock_us = clock_us + 3600000000")
        self.assertEqual(self.sql("SELECT clock_ahead BETWEEN '59 min' AND '61 min' FROM fleet.hosts WHERE host = 'a'"), [["t"]])
        self.assertEqual(self.sql("SELECT count(*) FROM pg_class WHERE relname LIKE 'history_2%' AND relkind = 'p'"), [["2"]])

    def test_bytes_of_any_kind_stop_no_push(self):
        self.a.add(7)
        base = sqlite3.connect(os.path.join(self.a.store, "store.db"))
        with base:
            base.execute("INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
                         "VALUES (1, 'note', 'done', CAST(x'61ff62' AS TEXT), 1, 'a\\u0000b')")
        base.close()
        self.a.push()
        self.assertEqual(self.sql("SELECT evidence, program FROM fleet.history WHERE line = 2"), [["a?b", "a\\u0000b"]])

    def test_a_role_of_no_host_is_refused(self):
        self.assertIn("is no host's", self.fleet("push", user="owner", store=self.a.store, status=1))
        self.assertIn("permission denied", self.fleet("push", user="reader", store=self.a.store, status=1))


class Generations(FleetTest):
    def test_a_store_that_went_back_begins_another(self):
        self.a.add(7)
        self.a.push()
        backup = os.path.join(self.directory, "backup")
        self.a.xlstore("backup", backup)
        self.a.add(8)
        self.a.push()
        self.a.xlstore("restore", backup)
        self.a.add(9)
        self.assertIn("a new generation: the store went back", self.a.push())
        self.assertEqual(self.sql("SELECT domid FROM fleet.living ORDER BY 1"), [["7"], ["9"]])
        # Nothing of the old one is overwritten, and no line is there twice.
        self.assertEqual(self.sql("SELECT domid FROM fleet.domain WHERE generation = 1 AND state = 'running' ORDER BY 1"),
                         [["7"], ["8"]])
        self.assertEqual(self.sql("SELECT line FROM fleet.history WHERE generation = 1 ORDER BY 1"), [["1"], ["2"]])
        here = self.a.rows("SELECT id FROM history WHERE id > 1 ORDER BY id")
        self.assertEqual(self.sql("SELECT line FROM fleet.history WHERE generation = 2 ORDER BY line"), here)
        self.a.add(10)
        self.assertIn("generation 2, 1 lines", self.a.push())

    def test_a_restore_that_left_no_gap_begins_another_too(self):
        self.a.add(7)
        self.a.push()
        self.a.add(8)
        backup = os.path.join(self.directory, "backup")
        self.a.xlstore("backup", backup)
        self.a.xlstore("restore", backup)
        self.assertIn("a new generation: a backup was put back", self.a.push())
        self.assertEqual(self.sql("SELECT generation, operation FROM fleet.history ORDER BY line"),
                         [["1", "import"], ["1", "import"], ["2", "restore"]])
        self.assertEqual(self.sql("SELECT domid FROM fleet.living ORDER BY 1"), [["7"], ["8"]])

    def test_another_store_begins_another(self):
        self.a.add(7)
        self.a.push()
        subprocess.run(["rm", "-r", self.a.store], check=True)
        self.a.xlstore("init")
        self.a.add(8)
        self.assertIn("another store", self.a.push())
        self.assertEqual(self.sql("SELECT generation, line FROM fleet.history ORDER BY 1, 2"), [["1", "1"], ["2", "1"]])
        self.assertEqual(self.sql("SELECT domid FROM fleet.living"), [["8"]])

    def test_a_prune_that_comes_first_is_named(self):
        self.a.add(7)
        self.a.push()
        self.a.add(8)
        self.a.add(9)
        self.a.xlstore("prune", "history", "--older-than", "0")
        self.assertIn("lines 2 to 3 were pruned here before they were sent", self.a.push())
        self.assertEqual(self.sql("SELECT first_line, last_line FROM fleet.gap"), [["2", "3"]])
        self.assertEqual(self.sql("SELECT gaps FROM fleet.hosts WHERE host = 'a'"), [["1"]])
        self.a.add(10)
        self.assertNotIn("pruned", self.a.push())
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.living"), [["4"]])


class BreakIn(FleetTest):
    """A host that is not what it should be, and a reader."""

    def setUp(self):
        super().setUp()
        self.a.add(7)
        self.b.add(8)
        self.a.push()
        self.b.push()
        self.of_b = self.sql("SELECT d.*, p.seen FROM fleet.domain d JOIN fleet.presence p USING (host) WHERE host = 2")

    def tearDown(self):
        self.assertEqual(self.sql("SELECT d.*, p.seen FROM fleet.domain d JOIN fleet.presence p USING (host) "
                                  "WHERE host = 2"), self.of_b)
        super().tearDown()

    def test_a_host_sees_itself_alone(self):
        for table in ("host", "presence", "generation", "domain", "document", "thing", "history", "living", "who_changed"):
            column = "name" if table == "host" else "host"
            self.assertEqual(len({row[0] for row in self.sql(f"SELECT {column} FROM fleet.{table}", user="a")}), 1, table)

    def test_a_host_writes_itself_alone(self):
        self.sql("UPDATE fleet.domain SET name = 'stolen' WHERE host = 2", user="a")
        self.sql("DELETE FROM fleet.domain WHERE host = 2", user="a")
        self.sql("UPDATE fleet.presence SET seen = NULL WHERE host = 2", user="a")
        for statement in (
                "UPDATE fleet.domain SET host = 2",
                "INSERT INTO fleet.gap (host, generation, first_line, last_line) VALUES (2, 1, 1, 1)",
                "INSERT INTO fleet.generation (host, generation, store_uuid, why, first_after, line, expects_restore) "
                "VALUES (2, 2, 'x', 'x', 0, 0, false)",
                "SELECT fleet.take_lines(2, 1, 0, '[{\"line\":9,\"at_us\":1,\"operation\":\"x\",\"outcome\":\"done\","
                "\"pid\":1,\"evidence\":\"\"}]')",
                "SELECT fleet.take_domains(2, 1, (SELECT json_agg(row_to_json(d)) FROM fleet.domain d))",
                "INSERT INTO fleet.finding VALUES (2, 1, 1, 'x', 'x', 'x', 'x', 'x')"):
            self.assertRegex(self.refused(statement, "a"), "row-level security|permission denied", statement)

    def test_nor_does_it_leave_its_place(self):
        for statement in ("SET ROLE b", "SET ROLE owner", "SET SESSION AUTHORIZATION b", "UPDATE fleet.host SET role = 'a'",
                          "ALTER TABLE fleet.domain DISABLE ROW LEVEL SECURITY", "DROP POLICY own ON fleet.domain",
                          "CREATE TABLE fleet.mine (x int)", "CREATE FUNCTION fleet.my_host() RETURNS integer LANGUAGE sql "
                          "AS 'SELECT 2'", "DELETE FROM fleet.history", "UPDATE fleet.history SET outcome = 'done'",
                          "DELETE FROM fleet.generation", "INSERT INTO fleet.step VALUES (9, 'x')",
                          "INSERT INTO fleet.host (name, role) VALUES ('c', 'a')"):
            self.assertRegex(self.refused(statement, "a"), "permission denied|must be owner", statement)

    def test_partitions_are_no_way_round(self):
        parts = self.sql("SELECT relname FROM pg_class WHERE relnamespace = 'fleet'::regnamespace "
                         "AND relname LIKE 'history_2%' AND relkind IN ('r', 'p')")
        self.assertGreaterEqual(len(parts), 18)
        for (name,) in parts:
            self.assertIn("permission denied", self.refused(f"SELECT * FROM fleet.{name}", "a"))

    def test_a_reader_reads(self):
        self.assertEqual(self.sql("SELECT host FROM fleet.living ORDER BY 1", user="reader"), [["a"], ["b"]])
        for statement in ("UPDATE fleet.domain SET name = 'x'", "DELETE FROM fleet.presence",
                          "SELECT fleet.take_findings('[]', 0, 0)", "SELECT fleet.open_months()"):
            self.assertIn("permission denied", self.refused(statement, "reader"))
        self.assertIn("read-only", self.fleet("query", "UPDATE fleet.domain SET name = 'x'", user="owner", status=1))

    def test_a_stranger_has_nothing(self):
        self.sql("DO $$ BEGIN CREATE ROLE stranger LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
        self.assertIn("permission denied", self.refused("SELECT * FROM fleet.hosts", "stranger"))
        self.assertIn("permission denied", self.fleet("status", user="stranger", status=1))


class BrokenGuards(FleetTest):
    """What the tests above would say if a guard were not there: each fails then."""

    own_database = True

    def setUp(self):
        super().setUp()
        for host in (self.a, self.b):
            host.add(7)
            host.push()

    def test_each_tables_row_level_security_is_what_hides_the_others(self):
        for table in ("presence", "generation", "domain", "document", "thing", "history"):
            seen = f"SELECT DISTINCT host FROM fleet.{table} ORDER BY 1"
            self.assertEqual(self.sql(seen, user="a"), [["1"]], table)
            self.sql(f"ALTER TABLE fleet.{table} DISABLE ROW LEVEL SECURITY")
            self.assertEqual(self.sql(seen, user="a"), [["1"], ["2"]], table)

    def test_its_check_is_what_keeps_a_host_from_writing_as_another(self):
        statement = "INSERT INTO fleet.gap (host, generation, first_line, last_line) VALUES (2, 1, 1, 1)"
        self.assertIn("row-level security", self.refused(statement, "a"))
        self.sql("ALTER POLICY own ON fleet.gap WITH CHECK (true)")
        self.sql(statement, user="a")

    def test_secrets_are_there_once_they_are_not_taken_out(self):
        self.a.add(8, vfbs=[{"devid": 0, "vnc": {"passwd": "sesame"}}])
        seen = "SELECT count(*) FROM fleet.document WHERE json LIKE '%sesame%'"
        self.a.push()
        self.assertEqual(self.sql(seen), [["0"]])
        self.a.push("--with-secrets")
        self.assertEqual(self.sql(seen), [["1"]])


class Query(FleetTest):
    def test_it_is_one_statement_and_only_reads(self):
        self.a.add(7)
        self.a.push()
        delete = "DELETE FROM fleet.domain"
        for text in (f"SET TRANSACTION READ WRITE; {delete}", f"COMMIT; {delete}", f"SELECT 1; {delete}",
                     f"SELECT 1) x; COMMIT; {delete}; SELECT (SELECT 1", delete):
            for words in (("query",), ("--json", "query")):
                self.fleet(*words, text, user="owner", status=1)
        self.assertEqual(self.sql("SELECT count(*) FROM fleet.domain"), [["1"]])
        self.assertEqual(json.loads(self.fleet("--json", "query", "SELECT 1 AS one -- one")), [{"one": 1}])
        self.assertIn("1", self.fleet("query", "SELECT 1 AS one;"))


class Order(FleetTest):
    own_database = True

    def test_a_destruction_does_not_overtake_its_line(self):
        self.a.add(7)
        last = self.a.rows("SELECT max(id) FROM history")[0][0]
        self.a.push()
        self.a.xlstore("rename", "domid:7", "other")
        self.a.xlstore("destroy", "domid:7")
        self.sql(f"ALTER TABLE fleet.history ADD CHECK (line <= {int(last) + 1})")  # ends the push there
        self.a.push("--lines", "1", status=1)
        self.assertEqual(self.sql("SELECT state FROM fleet.domain"), [["running"]])
        self.sql("ALTER TABLE fleet.history DROP CONSTRAINT history_line_check")
        self.a.push("--lines", "1")
        self.assertEqual(self.sql("SELECT state FROM fleet.domain"), [["destroyed"]])
        self.assert_same(self.a)
