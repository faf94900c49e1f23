# SPDX-License-Identifier: MIT
"""The cookbook, a domain in doubt on a real QEMU, a lost host, a move, and what is kept."""
import json
import os
import re
import shutil
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


@unittest.skipUnless(shutil.which(QEMU[0]), f"{QEMU[0]} is not installed")
class InDoubt(FleetTest):
    def leave_open(self, host, image):
        """Kills an insert at one of its commands to QEMU, the first that has an intent."""
        for passing in range(1, 20):
            killed = subprocess.run(
                [fixture.BIN / "xlstore", "--store", host.store, "insert", "domid:7", "hdc", image], check=False,
                env=dict(os.environ, XLSTORE_CRASH_AT=f"qmp.after_send:{passing}"), capture_output=True)
            if killed.returncode == 0:
                break
            if host.rows("SELECT id FROM intent"):
                return
        self.skipTest("this build has no crash points")

    def test_five_commands_to_which_hosts_are_in_doubt(self):
        image = os.path.join(self.directory, "a.iso")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        for host in (self.a, self.b):
            host.xlstore("create", "7", "-", "--", *QEMU, input=document(7))
        try:
            self.leave_open(self.a, image)
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
    def test_its_documents_are_a_store_again(self):
        self.a.xlstore("import", "7", fixture.SOURCE / "tools/examples/web01.json")
        self.a.add(8)
        self.a.push()
        spare = os.path.join(self.directory, "spare")
        told = json.loads(self.fleet("--json", "export", "a", spare))
        self.assertEqual(str(told["commits"]), self.a.rows("SELECT commits FROM store")[0][0])
        for domid in (7, 8):
            there = subprocess.run([fixture.BIN / "xlstore", "--store", spare, "export", f"domid:{domid}"], check=True,
                                   capture_output=True, text=True).stdout
            self.assertEqual(json.loads(there), json.loads(self.a.xlstore("export", f"domid:{domid}")))
        with open(spare + ".left.json", encoding="utf-8") as file:
            left = json.load(file)
        self.assertEqual(left["intents"], [])
        self.assertEqual(os.stat(spare + ".left.json").st_mode & 0o777, 0o600)
        self.assertEqual(len([thing for thing in left["things"] if thing["domid"] == 8]), 1)
        done = subprocess.run([fixture.BIN / "xlfsck", "--store", spare, "-n"], check=False, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_is_not_there_is_named(self):
        self.assertIn("no host c", self.fleet("export", "c", "/nowhere/x", status=4))
        self.assertIn("nothing whole yet", self.fleet("export", "a", "/nowhere/x", status=4))
        self.a.push()
        self.assertIn("note: host a was seen", subprocess.run(
            [fixture.BIN / "xlstore-fleet", "--database", fixture.SERVER.conninfo(self.database, "reader"), "export", "a",
             os.path.join(self.directory, "s")], check=True, capture_output=True, text=True).stderr)


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
