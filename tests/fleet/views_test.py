# SPDX-License-Identifier: MIT
"""The cookbook, a domain in doubt on a real QEMU, a lost host, a move, and what is kept."""
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import unittest

import fixture
from fixture import FleetTest, UUID, document

QEMU = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
        "-drive", "if=none,id=ide-5632,readonly=on", "-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0"]


class Cookbook(FleetTest):
    def test_every_query_runs_as_written(self):
        for host in (self.a, self.b):
            host.add(7, image="/srv/a.iso")
            host.push()
        readme = (fixture.SOURCE / "tools/fleet/README.md").read_text(encoding="utf-8")
        queries = re.findall(r"^```sql\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        self.assertGreaterEqual(len(queries), 10)
        for query in queries:
            with self.subTest(query=query):
                self.fleet("query", query)
                json.loads(self.fleet("--json", "query", query))

    def test_status_has_a_line_a_host(self):
        self.a.push()
        rows = {row["host"]: row["health"] for row in json.loads(self.fleet("--json", "status"))}
        self.assertEqual(rows, {"a": "well", "b": "never seen"})

    def test_a_statement_that_is_none_is_named(self):
        self.assertIn("syntax error", self.fleet("query", "SELEKT 1", status=1))
        self.assertIn("syntax error", self.fleet("--json", "query", "SELECT 1; SELECT 2", status=1) +
                      self.fleet("query", "SELECT (", status=1))


needs_qemu = unittest.skipUnless(shutil.which(QEMU[0]), f"{QEMU[0]} is not installed")


def leave_open(host, image):
    """Kills an insert at one of its commands to QEMU, the first that has an intent."""
    for passing in range(1, 20):
        killed = subprocess.run(
            [fixture.BIN / "xlstore", "--store", host.store, "insert", "domid:7", "hdc", image], check=False,
            env=dict(host.environment or os.environ, XLSTORE_CRASH_AT=f"qmp.after_send:{passing}"), capture_output=True)
        if killed.returncode == 0:
            break
        if host.rows("SELECT id FROM intent"):
            return
    raise unittest.SkipTest("this build has no crash points")


def make_image(directory, name):
    image = os.path.join(directory, name)
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    return image


@needs_qemu
class InDoubt(FleetTest):
    def test_five_commands_to_which_hosts_are_in_doubt(self):
        image = make_image(self.directory, "a.iso")
        for host in (self.a, self.b):
            host.xlstore("create", "7", "-", "--", *QEMU, input=document(7))
        try:
            leave_open(self.a, image)
            self.a.push()
            self.b.push()
            rows = json.loads(self.fleet("--json", "query", "SELECT * FROM fleet.in_doubt"))
            self.assertEqual([(row["host"], row["domain"], row["class"], row["key"], row["operation"]) for row in rows],
                             [("a", "web7", "disks", "hdc", "change")])
            self.assertIn("blockdev", rows[0]["plan"])
            self.assertIsNotNone(rows[0]["since"])
            self.assertEqual(self.sql("SELECT host, health FROM fleet.hosts ORDER BY 1"), [["a", "in doubt"], ["b", "well"]])
            self.a.xlstore("recover")
            self.a.push()
            self.assert_same(self.a)
            self.assertEqual(self.sql("SELECT count(*) FROM fleet.in_doubt"), [["0"]])
        finally:
            for host in (self.a, self.b):
                host.xlstore("destroy", "domid:7", status=None)


class LostHost(FleetTest):
    """`a` ran in a boot that is over; the spare is this machine."""

    def setUp(self):
        super().setUp()
        self.a = fixture.Host(self, "a", self.directory, boot="11111111-2222-3333-4444-555555555555")
        self.spare = os.path.join(self.directory, "spare")

    def on_spare(self, program, *words, status=0, **options):
        done = subprocess.run([fixture.BIN / program, "--store", self.spare, *map(str, words)], check=False,
                              capture_output=True, text=True, timeout=120, **options)
        self.assertEqual(done.returncode, status, f"{words}\n{done.stdout}{done.stderr}")
        return done.stdout if status == 0 or done.stdout else done.stderr

    def assert_same_document(self, domid, *words):
        there = self.on_spare("xlstore", "export", *words, f"domid:{domid}")
        self.assertEqual(there, self.a.xlstore("export", f"domid:{domid}"))

    def test_its_documents_are_a_store_again(self):
        self.a.xlstore("import", "7", fixture.SOURCE / "tools/examples/web01.json")
        self.a.add(8)
        self.a.push()
        told = json.loads(self.fleet("--json", "export", "a", self.spare))
        self.assertEqual(str(told["commits"]), self.a.rows("SELECT commits FROM store")[0][0])
        self.assertEqual((told["domains"], told["intents"]), (2, 0))
        for domid in (7, 8):
            self.assert_same_document(domid)
        self.assertEqual(os.listdir(self.directory).count("spare"), len([n for n in os.listdir(self.directory) if "spare" in n]))
        self.assertIn("domain 8 (web8): belongs to an older boot", self.on_spare("xlfsck", "-n", status=4))
        self.on_spare("xlfsck", "-p", status=1)
        self.assert_same_document(8, "--retired")
        self.on_spare("xlfsck", "-n")

    def test_what_no_document_holds_comes_along(self):
        """Entries of no document, their order, who closed a document, and states between two others."""
        self.a.add(7)
        self.a.add(8)
        self.a.xlstore("close", "domid:7", "--reason", "migration")
        rows = ["SELECT id, domid, name, state, epoch, revision, layout, closed_reason, closed_program FROM domain ORDER BY id",
                "SELECT id, domain, class, key, position, state, primary_at, made, json FROM thing ORDER BY id"]
        base = sqlite3.connect(os.path.join(self.a.store, "store.db"))
        with base:
            base.execute("INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) SELECT id, 'qemu', "
                         "'tab', 0, 'qemu', 'stale', '{\"key\":\"tab\"}', 1 FROM domain WHERE domid = 8")
            base.create_function("only_xlstore_changes_this", 0, lambda: 1)
            base.execute("UPDATE domain SET state = 'destroying' WHERE domid = 8")
        base.close()
        self.a.push()
        self.fleet("export", "a", self.spare)
        for sql in rows:
            before, after = self.a.rows(sql), [line.split("|") for line in self.on_spare("xlstore", "sql", sql).splitlines()]
            if "FROM domain" in sql:  # R17: epochs and revisions may have gone on
                before, after = ([row[:4] + row[6:] for row in some] for some in (before, after))
            self.assertEqual(after, before)
        self.assertIn("destruction was ordered", self.on_spare("xlfsck", "-n", status=4))

    def test_numbers_go_on_above_all_that_the_host_has_given(self):
        """R17: also those of what is gone: a domain of many entries has one line of history, and a look writes none."""
        self.a.add(7)
        base = sqlite3.connect(os.path.join(self.a.store, "store.db"))
        with base:
            base.execute("UPDATE sqlite_sequence SET seq = 300000 WHERE name = 'thing'")
        base.close()
        self.a.xlstore("rename", "domid:7", "other")
        self.a.push()
        self.fleet("export", "a", self.spare)
        with contextlib.closing(sqlite3.connect(f"file:{self.spare}/store.db?mode=ro", uri=True)) as base:
            numbers = dict(base.execute("SELECT name, seq FROM sqlite_sequence"))
        self.assertLessEqual({"session", "domain", "thing", "intent", "history"}, set(numbers))
        self.assertGreaterEqual(min(numbers.values()), 400000, numbers)

    @needs_qemu
    def test_an_open_intent_is_told_and_keeps_no_create_away(self):
        image = make_image(self.directory, "a.iso")
        self.a.xlstore("create", "7", "-", "--", *QEMU, input=document(7))
        leave_open(self.a, image)
        (number,), = self.a.rows("SELECT id FROM intent")
        (plan,), = self.a.rows("SELECT plan FROM intent")
        self.a.push()
        os.kill(int(self.a.rows("SELECT qemu_pid FROM domain WHERE domid = 7")[0][0]), signal.SIGKILL)  # with its host
        self.assertEqual(json.loads(self.fleet("--json", "export", "a", self.spare))["intents"], 1)
        said = self.on_spare("xlfsck", "-n", status=4)
        self.assertRegex(said, rf"domain 7 \(web7\): disks/hdc: intent {number} \(change\): was under way when the boot of "
                         r"its host ended.*blockdev-")
        open_ones = json.loads(self.on_spare("xlstore", "--json", "sql", "SELECT * FROM pending_intents"))
        self.assertEqual([(str(row["intent"]), row["plan"]) for row in open_ones], [(number, plan)])
        self.assertIn(image, open_ones[0]["image_after"])
        self.assertIn(f"{number} ", self.on_spare("xlstore", "intents"))
        self.assert_same_document(7)
        self.assertEqual(self.on_spare("xlstore", "sql", "SELECT qemu_pid FROM domain"), "\n")
        # No QEMU can settle it, and no QEMU can be changed: each says at once what does help.
        for status, *words in ((3, "wait", number), (1, "insert", "domid:7", "hdc", image), (1, "eject", "domid:7", "hdc")):
            told = self.on_spare("xlstore", "--timeout", "600", *words, status=status)
            self.assertIn("xlfsck -p", told)
            self.assertNotIn("--monitor", told)
        # Before xlfsck the domid is taken, and the uuid is not.
        self.assertIn("xlfsck -p", self.on_spare("xlstore", "create", "7", "-", "--", *QEMU, input=document(7), status=1))
        self.on_spare("xlstore", "create", "9", "-", "--", *QEMU, input=document(7))
        try:
            self.assertIn("MARKED DESTROYED", self.on_spare("xlfsck", "-p", status=1))
            lines = json.loads(self.on_spare("xlstore", "--json", "sql",
                                             f"SELECT operation, outcome, asked, evidence FROM history WHERE intent = {number}"))
            self.assertEqual([(line["operation"], line["outcome"]) for line in lines], [("change", "not done")])
            self.assertIn("blockdev-", lines[0]["asked"])
            self.assertIn("another one", lines[0]["evidence"])
            kept = self.on_spare("xlstore", "export", "--retired", "id:1")
            self.assertEqual(kept, self.a.xlstore("export", "domid:7"))
            self.on_spare("xlstore", "destroy", "domid:9")
            self.on_spare("xlstore", "create", "7", "-", "--", *QEMU, input=kept)
            self.on_spare("xlfsck", "-n")
        finally:
            for domid in (7, 9):
                subprocess.run([fixture.BIN / "xlstore", "--store", self.spare, "destroy", f"domid:{domid}"], check=False,
                               capture_output=True)

    def test_a_destruction_tells_what_was_seen(self):
        """No QEMU of a lost host was looked at: history has the same evidence as recovery writes."""
        for domid in (7, 8):
            self.a.add(domid)
        self.a.push()
        self.fleet("export", "a", self.spare)
        self.on_spare("xlstore", "destroy", "domid:7")
        self.on_spare("xlfsck", "-p", status=1)
        told = self.on_spare("xlstore", "sql", "SELECT DISTINCT evidence FROM history "
                             "WHERE operation = 'destroy' AND evidence <> ''").splitlines()
        self.assertEqual(told, ["the host was booted since, or is another one"])

    def test_numbers_of_what_was_destroyed_are_given_to_no_other(self):
        """Nor those that the host gave and never sent, nor those of its lines and intents."""
        for domid in (7, 8):
            self.a.add(domid)
        self.a.xlstore("destroy", "domid:8")
        self.a.push()
        destroyed = int(self.a.rows("SELECT max(id) FROM domain")[0][0])
        line = int(self.a.rows("SELECT max(id) FROM history")[0][0])
        self.a.add(9)
        unsent = int(self.a.rows("SELECT max(id) FROM domain")[0][0])
        self.assertLess(destroyed, unsent)
        self.fleet("export", "a", self.spare)
        self.assertGreater(int(self.on_spare("xlstore", "sql", "SELECT min(id) FROM history")), line)
        self.a.xlstore("import", "9", "-", store=self.spare, input=document(9))
        self.assertGreater(int(self.on_spare("xlstore", "sql", "SELECT max(id) FROM domain")), unsent)

    def test_history_names_the_host(self):
        """The file is gone by then."""
        self.a.add(7)
        self.a.push()
        self.fleet("export", "a", self.spare)
        told = self.on_spare("xlstore", "sql", "SELECT evidence FROM history WHERE operation = 'restore'")
        self.assertRegex(told, r"^what the fleet had of host a of [0-9]+ commits$")

    @needs_qemu
    def test_an_open_intent_that_an_older_program_pushed(self):
        """It had no columns for the probe, for one, and recovery closes the intent all the same."""
        self.a.xlstore("create", "7", "-", "--", *QEMU, input=document(7))
        leave_open(self.a, make_image(self.directory, "a.iso"))
        self.a.push()
        os.kill(int(self.a.rows("SELECT qemu_pid FROM domain WHERE domid = 7")[0][0]), signal.SIGKILL)  # with its host
        self.sql("UPDATE fleet.intent SET probe = NULL, monitor_path = NULL, epoch = NULL, owner_uid = NULL, made = NULL")
        self.fleet("export", "a", self.spare)
        self.assertIn("was under way when the boot of its host ended", self.on_spare("xlfsck", "-n", status=4))
        self.on_spare("xlfsck", "-p", status=1)
        self.assertIn("blockdev-", self.on_spare("xlstore", "sql", "SELECT asked FROM history WHERE operation = 'change'"))
        self.sql("DELETE FROM fleet.thing")  # an intent needs its entry
        self.spare += "2"
        self.assertEqual(json.loads(self.fleet("--json", "export", "a", self.spare))["intents"], 0)
        self.assertEqual(self.on_spare("xlstore", "sql", "SELECT count(*) FROM intent"), "0\n")

    def test_what_is_not_there_is_named(self):
        self.assertIn("no host c", self.fleet("export", "c", "/nowhere/x", status=4))
        self.assertIn("nothing whole yet", self.fleet("export", "a", "/nowhere/x", status=4))
        self.a.add(7)
        self.a.push()
        self.assertIn("cannot make", self.fleet("export", "a", "/nowhere/x", status=1))
        os.mkdir(self.spare)
        self.assertIn("already", self.fleet("export", "a", self.spare, status=1))
        self.assertEqual([name for name in os.listdir(self.directory) if "partial" in name], [])
        os.rmdir(self.spare)
        self.assertIn("note: host a was seen", subprocess.run(
            [fixture.BIN / "xlstore-fleet", "--database", fixture.SERVER.conninfo(self.database, "reader"), "export", "a",
             self.spare], check=True, capture_output=True, text=True).stderr)

    def test_a_host_that_is_this_machine_as_it_runs_is_refused(self):
        self.b.add(8)
        self.b.push()
        self.assertIn("domain 8 (web8) may live here", self.fleet("export", "b", self.spare, status=1))
        self.assertFalse(os.path.exists(self.spare))


class Move(FleetTest):
    def test_what_it_would_meet_is_said(self):
        self.a.add(7, image="/srv/a.iso")
        self.b.add(8, image="/srv/a.iso")
        self.b.push()
        self.a.push()
        points = json.loads(self.fleet("--json", "move-plan", "web7", "b"))["points"]
        self.assertTrue(any("on host a: xlstore close domid:7 --reason" in point for point in points), points)
        self.assertFalse(any(" here" in point or " there" in point for point in points), points)
        self.assertTrue(any("/srv/a.iso" in point for point in points), points)
        self.a.xlstore("close", "domid:7", "--reason", "migration")
        self.b.add(7, domid=9, image="/srv/b.iso")
        self.a.push()
        self.b.push()
        plan = json.loads(self.fleet("--json", "move-plan", UUID.format(7), "b"))
        self.assertTrue(any('differs: disks[0].pdev_path: "/srv/a.iso" here, "/srv/b.iso" there' == point
                            for point in plan["points"]), plan["points"])
        self.assertEqual((plan["here"]["disks"][0]["pdev_path"], plan["there"]["disks"][0]["pdev_path"]),
                         ("/srv/a.iso", "/srv/b.iso"))
        self.assertIn("no host c", self.fleet("move-plan", "web7", "c", status=4))
        self.assertIn("no host has a domain", self.fleet("move-plan", "web99", "b", status=4))
        self.assertIn("on no other", self.fleet("move-plan", "web8", "b", status=1))

    def test_each_place_is_named(self):
        self.run_as("owner", "init", "--host", "c")
        c = fixture.Host(self, "c", self.directory)
        for host in (self.a, c):
            host.add(7)
            host.push()
        plan = json.loads(self.fleet("--json", "move-plan", "web7", "b"))
        self.assertTrue(any("further place" in point and "host c" in point for point in plan["points"]), plan["points"])
        self.assertIn("on host a", self.fleet("move-plan", "web7", "b").splitlines()[0])


class Retain(FleetTest):
    own_database = True

    def test_whole_months_go(self):
        self.a.add(7)
        self.a.add(8)
        self.a.push()
        self.a.xlstore("destroy", "domid:8")
        self.a.push()
        self.sql("CREATE TABLE fleet.history_202001 PARTITION OF fleet.history FOR VALUES FROM ('2020-01-01') TO "
                 "('2020-02-01'); INSERT INTO fleet.history SELECT host, 1, line + 1000, '2020-01-15', received, at_us, "
                 "incarnation, domid, operation, class, key, intent, outcome, image, medium_before, medium_after, pid, "
                 "program, uid, author_pid, author_program, author_uid, asked, evidence FROM fleet.history; "
                 "UPDATE fleet.domain SET received = '2020-01-15'")
        self.assertEqual(json.loads(self.fleet("--json", "retain", "--months", "3", "--dry-run", user="owner")),
                         {"months": ["2020-01"], "domains": 1})
        self.assertIn("2020-01", self.fleet("retain", "--months", "3", user="owner"))
        self.assert_same(self.a)
        self.assertEqual(self.sql("SELECT domid FROM fleet.domain"), [["7"]])
        self.assertIn("none", self.fleet("retain", "--months", "0", user="owner"))
        self.assertIn("must be owner", self.sql_refused_drop())

    def sql_refused_drop(self):
        return self.refused("DROP TABLE fleet.history", "reader")
