# SPDX-License-Identifier: MIT
"""Killed on either side, at any step: nothing comes twice, nothing is missing. Here a share; --share 1/1: all."""
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time

import fixture
from fixture import FleetTest
from link import OldServer, Proxy

DEADLINE = 60


def share(steps):
    """Those of the steps that this run tries."""
    part, of = fixture.SHARE
    return range(min(part, steps) if of > 1 else 0, steps, of)


class Kills(FleetTest):
    def setUp(self):
        super().setUp()
        for number in range(7, 11):
            self.a.add(number)
        self.a.push("--lines", "3")
        self.a.xlstore("rename", "domid:7", "other")
        self.a.xlstore("destroy", "domid:8")
        self.a.add(11)
        self.before = self.sql("SELECT line FROM fleet.history ORDER BY line")

    def back(self):
        """As it was before the push that is killed."""
        self.sql(f"DELETE FROM fleet.history WHERE line > {self.before[-1][0]}; DELETE FROM fleet.domain; "
                 f"UPDATE fleet.generation SET line = {self.before[-1][0]}, anchor = NULL")

    def through(self, stop=None, then=None, status=None):
        """A push over a connection that ends at step `stop`; how many steps there were."""
        with tempfile.TemporaryDirectory(prefix="xlpx-", dir="/tmp") as directory:
            proxy = Proxy(directory, fixture.SERVER.directory, stop, then)
            try:
                said = self.a.push("--lines", "2", status=status,
                                   database=f"host={directory} dbname={self.database} user=a sslmode=disable "
                                            "gssencmode=disable")
            finally:
                proxy.close()
            return proxy.passed, said

    def assert_whole(self):
        self.a.push("--lines", "2")
        self.assert_same(self.a)
        self.assertEqual(json.loads(self.a.push("--json"))["lines"], 0)

    def test_the_connection_is_lost(self):
        steps, _ = self.through(status=0)
        self.assertGreater(steps, 30)
        for step in share(steps - 1):  # the last message is the client's farewell
            with self.subTest(step=step):
                self.back()
                _, said = self.through(step, status=None)
                if step < steps // 2:  # behind the last commit it may be lost unnoticed
                    self.assertIn("connection", said)
                self.assert_whole()

    def test_the_server_dies(self):
        steps, _ = self.through(status=0)
        for step in list(share(steps - 1))[:6 if fixture.SHARE[1] > 1 else None][-2 if fixture.SHARE[1] > 1 else 0:]:
            with self.subTest(step=step):
                self.back()
                self.through(step, fixture.SERVER.crash, status=1)
                fixture.SERVER.start()
                self.assert_whole()

    def test_the_program_is_killed(self):
        """At each message that it sends or is sent: it is told nothing, and ends."""
        steps, _ = self.through(status=0)
        for step in share(steps - 1):
            with self.subTest(step=step):
                self.back()
                with tempfile.TemporaryDirectory(prefix="xlpx-", dir="/tmp") as directory:
                    program = []
                    proxy = Proxy(directory, fixture.SERVER.directory, step, lambda: program[0].kill())
                    program.append(subprocess.Popen(
                        [fixture.BIN / "xlstore-fleet", "--store", self.a.store, "--database",
                         f"host={directory} dbname={self.database} user=a sslmode=disable gssencmode=disable", "push",
                         "--lines", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                    self.assertEqual(program[0].wait(DEADLINE), -signal.SIGKILL)
                    proxy.close()
                self.assert_whole()


class Follow(FleetTest):
    def until(self, sql, wanted):
        end = time.monotonic() + DEADLINE
        while True:
            rows, said = fixture.SERVER.sql(sql, database=self.database, check=False)
            if rows == wanted:
                return
            self.assertLess(time.monotonic(), end, f"{sql}: {rows} {said}")
            time.sleep(0.05)

    def test_changes_come_by_themselves_and_a_server_that_was_gone_is_found_again(self):
        program = subprocess.Popen(
            [fixture.BIN / "xlstore-fleet", "--store", self.a.store, "--database",
             fixture.SERVER.conninfo(self.database, "a"), "push", "--follow"], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        try:
            self.a.add(7)
            self.until("SELECT domid FROM fleet.living", [["7"]])
            self.a.xlstore("rename", "domid:7", "other")
            self.until("SELECT domain FROM fleet.living", [["other"]])
            fixture.SERVER.stop()
            self.a.add(8)  # no operation waits for it
            fixture.SERVER.start()
            self.until("SELECT domid FROM fleet.living ORDER BY 1", [["7"], ["8"]])
        finally:
            program.terminate()
            _, said = program.communicate(timeout=DEADLINE)
        self.assertEqual(program.returncode, 0)
        self.assertIn("connection", said)
        self.assert_same(self.a)

    def test_changes_of_some_seconds_go_together(self):
        """Beside a host that sends each as it comes."""
        programs = [subprocess.Popen([fixture.BIN / "xlstore-fleet", "--store", host.store, "--database",
                                      fixture.SERVER.conninfo(self.database, host.name), "push", "--follow", *words],
                                     stdout=subprocess.DEVNULL)
                    for host, words in ((self.a, ("--every", "3600")), (self.b, ()))]
        try:
            self.until("SELECT count(*) FROM fleet.generation", [["2"]])
            self.a.add(7)
            self.b.add(8)
            self.until("SELECT count(*) FROM fleet.living WHERE host = 'b'", [["1"]])
            self.assertEqual(self.sql("SELECT host FROM fleet.living"), [["b"]])
        finally:
            for program in programs:
                program.terminate()
        self.assertEqual([program.wait(DEADLINE) for program in programs], [0, 0])
        self.assertIn("--follow", self.a.push("--every", "5", status=2))

    def test_a_server_that_does_not_answer_holds_up_nothing(self):
        """Neither an operation on the host nor the end of the program; while it connects, and in a push."""
        self.a.add(7)
        for step in (0, 20):
            with self.subTest(step=step), tempfile.TemporaryDirectory(prefix="xlpx-", dir="/tmp") as directory:
                reached, over = threading.Event(), threading.Event()
                proxy = Proxy(directory, fixture.SERVER.directory, step, lambda: (reached.set(), over.wait(DEADLINE)))
                program = subprocess.Popen(
                    [fixture.BIN / "xlstore-fleet", "--store", self.a.store, "--database",
                     f"host={directory} dbname={self.database} user=a sslmode=disable gssencmode=disable", "push",
                     "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    self.assertTrue(reached.wait(DEADLINE))
                    self.a.xlstore("rename", "domid:7", f"n{step}")
                    program.terminate()
                    _, said = program.communicate(timeout=DEADLINE)
                    self.assertEqual((program.returncode, said), (0, ""))
                finally:
                    program.kill()
                    over.set()
                    proxy.close()
            self.a.push()
            self.assert_same(self.a)

    def test_new_findings_are_sent_by_one_that_stays(self):
        file = os.path.join(self.directory, "findings")
        found = '{"code":5001,"problem":"thing_unknown","subject":"%s","message":"m","evidence":"e","action":"left"}\n'

        def put(text):
            with open(file + ".new", "w", encoding="utf-8") as out:
                out.write(text)
            os.rename(file + ".new", file)

        program = subprocess.Popen(
            [fixture.BIN / "xlstore-fleet", "--store", self.a.store, "--database",
             fixture.SERVER.conninfo(self.database, "a"), "push", "--follow", "--findings", file], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        try:
            self.a.add(7)  # a file that is not there yet holds up nothing
            self.until("SELECT domid FROM fleet.living", [["7"]])
            for subject in ("one", "two"):
                put(found % subject + '{"summary":{"status":4,"found":1}}\n')
                self.until("SELECT subject FROM fleet.unmanaged", [[subject]])
            put(found % "cut off")
            self.a.xlstore("rename", "domid:7", "other")
            self.until("SELECT domain FROM fleet.living", [["other"]])
            self.assertEqual(self.sql("SELECT subject FROM fleet.unmanaged"), [["two"]])
        finally:
            program.terminate()
            _, said = program.communicate(timeout=DEADLINE)
        self.assertEqual(program.returncode, 0)
        self.assertEqual(said.count("has no summary"), 1, said)


class Refused(FleetTest):
    """Servers that cannot take it say why, and what to do."""

    def test_no_server(self):
        said = self.a.push(database="host=/nowhere dbname=x user=a", status=1)
        self.assertIn("no connection to PostgreSQL", said)
        self.assertIn("pg_hba.conf", said)

    def test_an_older_server(self):
        with tempfile.TemporaryDirectory(prefix="xlpx-", dir="/tmp") as directory:
            old = OldServer(directory)
            said = self.a.push(database=f"host={directory} dbname=x user=a sslmode=disable gssencmode=disable", status=1)
            old.close()
        self.assertIn("needs 15 or later", said)

    def test_a_full_disk(self):
        """The database's own files on a small file system. Nothing of the batch is taken, and it goes on with room."""
        place = os.path.join(fixture.SERVER.directory, f"small{os.getpid()}")
        os.mkdir(place)
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "xlstore", place],
                                               capture_output=True, check=False).returncode != 0:
            self.skipTest("a small file system cannot be mounted here")
        owner = fixture.SERVER.user
        os.chown(place, owner.pw_uid, owner.pw_gid)
        database = "small"
        try:
            fixture.SERVER.sql(f"CREATE TABLESPACE small LOCATION '{place}'", database="postgres", user="admin")
            fixture.SERVER.sql("CREATE DATABASE small TABLESPACE small OWNER owner", database="postgres", user="admin")
            self.fleet("init", "--host", "a", database=fixture.SERVER.conninfo(database, "owner"))
            self.database = database
            self.a.add(7)
            self.a.push()
            with open(os.path.join(place, "filler"), "wb", buffering=0) as filler, contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
            self.a.add(8, vfbs=[{"devid": n, "keymap": os.urandom(6000).hex()} for n in range(40)])
            said = self.a.push(status=1)
            self.assertIn("No space left on device", said)
            self.assertIn("it may be tried again", said)
            os.unlink(os.path.join(place, "filler"))
            self.a.push()
            self.assert_same(self.a)
        finally:
            fixture.SERVER.drop(database)
            fixture.SERVER.sql("DROP TABLESPACE IF EXISTS small", database="postgres", user="admin")
            subprocess.run(["umount", place], check=True)
