#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A store that release 0.1 made is opened, upgraded and recovered by this one, also when it is stopped on the way.

    upgrade_test.py --bin BUILD/bin [--share K/N] [Upgrade | FullDisk | CLASS.TEST] …

The store is old_store.py's: several layouts, present and stale entries, open intents of clients that were
killed, history, a destruction and a creation that were broken off. The upgrade is killed at its system-call
stops (K of every N of them) by tests/crash/killer. Exit status 77: a test was skipped, by name, and the rest is good.
"""

import argparse
import fcntl
import json
import os
import pathlib
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT / "tests/fsck")]
import old_store  # noqa: E402
import salvage_test  # noqa: E402

BIN = None      # set from the command line, below
SHARE = (1, 1)
SECONDS = 120
NEWEST = len(list((ROOT / "schema").glob("0*.sql")))
TABLES = ("store", "session", "domain", "document_member", "thing", "product", "intent", "set_aside", "tombstone",
          "history")
# What a QEMU was started with has a table of its own, of domains that have one.
MOVED = {("thing", "primary_at"), ("domain", "baseline")}
INITIAL = [(domain, kind, name) for domain in (1, 3, 5)
           for kind, name in (("chardev", "compat_monitor0"), ("chardev", "xlstore-cmd"), ("device", "ide-5632"),
                              ("device", "xenusb-0"), ("object", "pc.ram"))]
F_OFD_SETLK = 37
SESSION_BYTES = 1 << 41     # store/lock/locks.cc
KILLED = 99


def start_time(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])


class OldStore(unittest.TestCase):
    """A store of release 0.1 for each test."""

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="xlu-"))
        self.addCleanup(shutil.rmtree, self.place, True)
        self.store = old_store.make(self.place)
        self.kept = None

    # ---- Tools ----

    def run_tool(self, program, *words, store=None, **options):
        return subprocess.run([BIN / program, "--store", store or self.store, *words], capture_output=True, text=True,
                              timeout=SECONDS, check=False, **options)

    def must(self, program, *words, statuses=(0,), **options):
        done = self.run_tool(program, *words, **options)
        self.assertIn(done.returncode, statuses, (program, words, done.stdout, done.stderr))
        return done.stdout

    def sql(self, statement, *values, store=None):
        database = sqlite3.connect((store or self.store) / "store.db", isolation_level=None)
        try:
            return database.execute(statement, values).fetchall()
        finally:
            database.close()

    def version(self, store=None):
        return self.sql("PRAGMA user_version", store=store)[0][0]

    def rows(self, columns=None, store=None):
        """Every row of the tables of release 0.1, in the columns that it had and that have not moved."""
        columns = columns or {table: [row[1] for row in self.sql(f"PRAGMA table_info({table})", store=store)
                                      if (table, row[1]) not in MOVED]
                              for table in TABLES}
        return columns, {table: self.sql(f"SELECT {', '.join(names)} FROM {table} ORDER BY 1, 2", store=store)
                         for table, names in columns.items()}

    def schema(self, store=None):
        return sorted(self.sql("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'", store=store))

    def files(self):
        """Without the log's index and an empty log, which SQLite makes for a reader."""
        return {path.name: path.read_bytes() for path in self.store.iterdir()
                if path.is_file() and not path.name.endswith("-shm") and (path.stat().st_size or path.name != "store.db-wal")}

    def fresh(self):
        """A new store of this release."""
        store = self.place / "fresh"
        if not store.exists():
            self.must("xlstore", "init", store=store)
        return store

    def expect_upgraded(self, columns, before, store=None):
        """The schema of this release, and no row that is not as it was but those that an upgrade writes."""
        self.assertEqual(self.version(store), NEWEST)
        self.assertEqual(self.schema(store), self.schema(self.fresh()))
        after = self.rows(columns, store)[1]
        upgrades = [row for row in after["history"] if row not in before["history"]]
        self.assertEqual([row[columns["history"].index("operation")] for row in upgrades], ["upgrade"])
        after["history"] = [row for row in after["history"] if row not in upgrades]
        after["session"] = [row for row in after["session"] if row in before["session"]]
        for table in TABLES:
            self.assertEqual(after[table], before[table], table)
        self.assertEqual(self.sql("SELECT domain, kind, name FROM initial_device ORDER BY 1, 2, 3", store=store), INITIAL)


class Upgrade(OldStore):
    # ---- The old store ----

    def test_steps_of_a_release_are_never_edited(self):
        self.assertEqual(old_store.edited_steps(), [])

    def test_it_is_refused_by_name_to_those_who_only_look(self):
        before = self.files()
        for words in (["list"], ["sql", "SELECT 1"], ["export", "2"]):
            done = self.run_tool("xlstore", *words)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("has schema version 3", done.stderr)
            self.assertIn("xlstore upgrade", done.stderr)
        self.assertEqual(self.files(), before)

    def test_xlfsck_looks_at_it_and_leaves_it_alone(self):
        before = self.files()
        looked = self.must("xlfsck", "-n", statuses=(4,))
        self.assertIn("domain 5 (d5): its destruction was ordered and not finished", looked)
        self.assertEqual(self.files(), before)

    def test_a_look_before_is_no_process_that_works_on_it(self):
        looked = self.must("xlfsck", "-n", statuses=(4,))
        refused = self.run_tool("xlstore", "list")      # leaves log and index
        self.assertEqual(refused.returncode, 1, refused.stderr)
        self.assertTrue((self.store / "store.db-wal").exists() and (self.store / "store.db-shm").exists())
        self.assertEqual(self.must("xlfsck", "-n", statuses=(4,)), looked)

    def test_a_refused_upgrade_before_is_no_process_that_works_on_it(self):
        looked = self.must("xlfsck", "-n", statuses=(4,))
        held = self.hold_a_session()
        try:
            self.assertEqual(self.run_tool("xlstore", "--timeout", "0.1", "upgrade").returncode, 1)
        finally:
            os.close(held)
        self.assertEqual(self.must("xlfsck", "-n", statuses=(4,)), looked)

    def test_xlfsck_looks_at_it_with_a_copy_behind_a_symbolic_link(self):
        real = self.place / "real"
        real.mkdir()
        (self.place / "link").symlink_to(real)
        self.must("xlfsck", "-n", statuses=(4,), env={**os.environ, "TMPDIR": str(self.place / "link")})
        self.assertEqual(list(real.iterdir()), [])

    def test_a_newer_one_is_refused_by_name(self):
        # Of another version than its tables are, it would be a damaged one.
        self.must("xlstore", "upgrade")
        self.sql("CREATE TABLE of_a_later_release (id INTEGER PRIMARY KEY) STRICT")
        self.sql(f"PRAGMA user_version = {NEWEST + 1}")
        before = self.rows()[1]
        for program, words in (("xlstore", ["list"]), ("xlstore", ["upgrade"]), ("xlfsck", ["-y"]), ("xlfsck", ["-n"])):
            done = self.run_tool(program, *words)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(f"has schema version {NEWEST + 1}", done.stderr)
        self.assertEqual(self.rows()[1], before)

    # ---- Upgraded ----

    def test_upgrade_keeps_every_row(self):
        columns, before = self.rows()
        documents = self.sql("SELECT * FROM libxl_json")
        self.assertIn(f"schema version {NEWEST}", self.must("xlstore", "upgrade"))
        self.expect_upgraded(columns, before)
        self.assertEqual([row[:4] for row in self.sql("SELECT * FROM libxl_json")], [row[:4] for row in documents])
        evidence = self.sql("SELECT evidence FROM history WHERE operation = 'upgrade'")
        self.assertEqual(evidence, [(f"schema version 3 to {NEWEST}",)])
        self.assertEqual(json.loads(self.must("xlstore", "--json", "upgrade")), {"schema_version": NEWEST})
        self.assertEqual(len(self.sql("SELECT 1 FROM history WHERE operation = 'upgrade'")), 1, "a second one")

    def test_any_command_that_writes_upgrades_it(self):
        self.must("xlstore", "rename", "2", "other")
        self.assertEqual(self.version(), NEWEST)
        self.assertIn('"name":"other"', self.must("xlstore", "sql", "SELECT json FROM libxl_json WHERE domid = 2"))

    def test_what_was_changed_by_hand_is_put_right(self):
        columns, before = self.rows()
        self.sql("DROP VIEW things")
        self.sql("DROP TRIGGER r8_thing_insert")
        self.sql("DROP TRIGGER r15_domain_epoch")
        self.sql("CREATE TRIGGER r15_domain_epoch BEFORE UPDATE ON domain WHEN 0 BEGIN SELECT 1; END")
        self.must("xlstore", "upgrade")
        self.expect_upgraded(columns, before)

    def test_recovery_after_it_converges(self):
        self.must("xlfsck", "-p", statuses=(1,))
        self.assertEqual(self.must("xlfsck", "-n").splitlines()[-1].partition("; ")[2], "0 found, 0 corrected")
        self.assertEqual(self.sql("SELECT count(*) FROM intent"), [(0,)])
        states = dict(self.sql("SELECT domid, state FROM domain"))
        self.assertEqual([states[domid] for domid in (2, 4, 5, 6)], ["running"] + ["destroyed"] * 3)

    def test_an_older_boot_is_recovered_as_such(self):
        shutil.rmtree(self.store)
        old_store.make(self.place, boot="00000000-0000-4000-8000-000000000000")
        self.must("xlfsck", "-p", statuses=(1,))
        self.must("xlfsck", "-n")

    def test_open_intents_on_a_living_qemu_are_settled(self):
        (self.place / "a.img").write_bytes(b"x" * 2048)
        monitor = self.store / "run/qmp-3"
        qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
             "-blockdev", f"driver=file,node-name=f,filename={self.place}/a.img,read-only=on",
             "-blockdev", "driver=raw,node-name=r,file=f,read-only=on",
             "-device", "ide-cd,id=ide-5632,drive=r,bus=ide.1,unit=0", "-device", "usb-ehci,id=xenusb-0",
             "-qmp", f"unix:{monitor},server=on,wait=off"], stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not monitor.exists():
                self.assertIsNone(qemu.poll())
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            socket = monitor.lstat()
            self.sql("UPDATE domain SET qemu_pid = ?1, qemu_start_time = ?2, qemu_pid_namespace = ?3, monitor_device = ?4,"
                     " monitor_inode = ?5, peer_pid = ?1, peer_uid = ?6, peer_gid = ?7 WHERE id = 3",
                     qemu.pid, start_time(qemu.pid), os.stat("/proc/self/ns/pid").st_ino, socket.st_dev, socket.st_ino,
                     os.getuid(), os.getgid())
            said = self.must("xlfsck", "-p", statuses=(1,))
            self.assertRegex(said, r"disks/hdc: intent 8 \(change\): is as it was before the intent .*SETTLED")
            self.assertRegex(said, r"qemu/half: intent 9 \(add\): is as it was before the intent .*SETTLED")
            self.assertRegex(said, r"qemu/c1, qemu/c2: intent 10, 11 \(add\): is as it was before the intent .*SETTLED")
            self.assertIn(("domain 3 (d3)", "running"),
                          [(f"domain {domid} ({name})", state) for domid, name, state in
                           self.sql("SELECT domid, name, state FROM domain")])
            self.assertIsNone(qemu.poll())
            self.must("xlfsck", "-n")
        finally:
            qemu.kill()
            qemu.wait()

    # ---- What is in the way ----

    def hold_a_session(self):
        """As a process of release 0.1 does that has the store open."""
        held = os.open(self.store / "locks", os.O_RDWR)
        fcntl.fcntl(held, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, SESSION_BYTES + 99, 1, 0))
        return held

    def test_it_waits_for_processes_that_have_it_open_and_names_them(self):
        columns, before = self.rows()
        held = self.hold_a_session()
        try:
            done = self.run_tool("xlstore", "--timeout", "0.3", "upgrade")
            self.assertEqual(done.returncode, 1, "upgraded while another process has it open")
            self.assertIn(f"pid {os.getpid()} (", done.stderr)
            self.assertEqual(self.version(), old_store.VERSION)
            self.assertEqual(self.rows(columns)[1], before)
            # They may look meanwhile, as before; and it is upgraded once they are gone.
            waiting = subprocess.Popen([BIN / "xlstore", "--store", self.store, "--timeout", "60", "upgrade"],
                                       stdout=subprocess.DEVNULL)
        finally:
            os.close(held)
        self.assertEqual(waiting.wait(SECONDS), 0)
        self.expect_upgraded(columns, before)

    def test_a_program_of_the_older_release_gets_no_session_afterwards(self):
        self.must("xlstore", "upgrade")
        with self.assertRaisesRegex(sqlite3.IntegrityError, "R17: the store was upgraded"):
            self.sql("INSERT INTO session (pid, start_time, pid_namespace, boot_id, program, opened_us)"
                     " VALUES (1, 1, 1, 'boot', 'xl', 1)")

    def test_without_room_it_is_as_it_was(self):
        columns, before = self.rows()
        sizes = [0, 4096, *range(20000, 1000000, 4096)]
        refused = 0
        for size in sizes:
            def limit(size=size):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            done = self.run_tool("xlstore", "upgrade", preexec_fn=limit)
            if done.returncode == 0:
                self.assertEqual(self.version(), NEWEST, size)
                break
            refused += 1
            self.assertEqual(self.version(), old_store.VERSION, size)
            self.assertEqual(self.rows(columns)[1], before)
        self.assertGreater(refused, 0)
        self.must("xlstore", "upgrade")
        self.expect_upgraded(columns, before)

    def test_killed_anywhere_nothing_is_lost(self):
        columns, before = self.rows()
        old = self.schema()
        part, parts = SHARE
        number, survived, seen = part, 0, set()
        while survived < 2:
            store = self.place / "killed"
            shutil.rmtree(store, ignore_errors=True)
            shutil.copytree(self.store, store)
            # LeakSanitizer cannot work under ptrace.
            done = subprocess.run([BIN / "killer", str(number), "--skip-pure", "--", BIN / "xlstore", "--store", store, "upgrade"],
                                  env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                                  capture_output=True, text=True, timeout=SECONDS, check=False)
            self.assertIn(done.returncode, (0, KILLED), done.stderr)
            survived += done.returncode == 0
            version = self.version(store)
            seen.add(version)
            if version == old_store.VERSION:
                self.assertEqual(self.schema(store), old, f"stop {number}")
                self.assertEqual(self.rows(columns, store)[1], before, f"stop {number}")
            self.must("xlstore", "upgrade", store=store)
            self.expect_upgraded(columns, before, store)
            number += parts
        self.assertEqual(seen, {old_store.VERSION, NEWEST}, "it was killed neither before nor after")
        print(f"killed at {number // parts} stops of an upgrade")

    # ---- Damaged ----

    def salvage(self, damage):
        base = salvage_test.Base.__new__(salvage_test.Base)
        base.bin, base.store = BIN, self.store
        # What a repair leaves of the sound one is what has to be there.
        sound = self.place / "sound"
        if not sound.exists():
            shutil.copytree(self.store, sound)
            self.must("xlfsck", "-y", store=sound, statuses=(0, 1))
        base.has = salvage_test.Base.contents(sound)
        self.kept = base.kept = self.kept or salvage_test.Kept(self.store)
        return salvage_test.check(base, str(damage), damage)

    def test_a_damaged_one_is_saved_and_upgraded(self):
        chance = salvage_test.random.Random(3)
        pages = (self.store / "store.db").stat().st_size // salvage_test.PAGE
        saved = 0
        for number in range(1, pages + 1):
            if number == 1 or number % SHARE[1] == SHARE[0] % SHARE[1]:
                saved += self.salvage(salvage_test.overwrite(number, chance))
                self.assertEqual(self.version(), NEWEST)
        self.assertGreater(saved, 0)

    def test_a_damaged_one_is_saved_after_an_upgrade(self):
        self.must("xlfsck", "-p", statuses=(1,))
        self.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        for number in (1, 2, 3):
            self.salvage(salvage_test.overwrite(number, salvage_test.random.Random(number)))
            self.assertEqual(self.schema(), self.schema(self.fresh()))

    def test_a_version_that_is_none_is_no_way_to_lose_a_row(self):
        def damage(store):
            with open(store / "store.db", "r+b") as file:
                file.write(b"no database at all")   # the name in the header
                file.seek(60)
                file.write(struct.pack(">I", NEWEST))
        self.salvage(damage)


class FullDisk(OldStore):
    def test_on_a_full_disk_it_is_as_it_was_and_says_so(self):
        """On a file system of its own, in a mount namespace of its own, with less and less room."""
        (self.place / "full").mkdir()
        able = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", self.place / "full"], check=False,
                              capture_output=True, text=True)
        if able.returncode != 0:
            self.skipTest("no user and mount namespaces here: " + able.stderr.strip())
        columns, before = self.rows()
        script = """set -eu
            mount -t tmpfs -o size=6m,mode=700 tmpfs "$PLACE/full"
            for room in 0 40 80 120 160; do
                rm -rf "$PLACE/full/s" "$PLACE/full/filler"
                cp -a "$PLACE/s" "$PLACE/full/s"
                free=$(df --output=avail -k "$PLACE/full" | tail -1)
                head -c $(((free - room) * 1024)) /dev/zero > "$PLACE/full/filler"
                status=0
                "$BIN/xlstore" --store "$PLACE/full/s" upgrade >> "$PLACE/said" 2>&1 || status=$?
                test $status -le 1
                if test $status -eq 1; then cp -a "$PLACE/full/s" "$PLACE/left$room"; fi
                rm "$PLACE/full/filler"
                "$BIN/xlstore" --store "$PLACE/full/s" upgrade
            done"""
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script], check=False, capture_output=True, text=True,
                              env={**os.environ, "BIN": str(BIN), "PLACE": str(self.place)}, timeout=SECONDS)
        said = (self.place / "said").read_text(encoding="utf-8")
        self.assertEqual(done.returncode, 0, (done.stdout, done.stderr, said))
        self.assertRegex(said, "could not be upgraded, and is as it was: .*no room for a commit")
        left = sorted(self.place.glob("left*"))
        self.assertGreater(len(left), 1)
        # Where it was upgraded, and there was no room for the session of the command, that is said instead.
        as_it_was = [store for store in left if self.version(store) == old_store.VERSION]
        self.assertGreater(len(as_it_was), 0)
        self.assertEqual({self.version(store) for store in left} - {old_store.VERSION, NEWEST}, set())
        for store in as_it_was:
            self.assertEqual(self.rows(columns, store)[1], before)


def main():
    global BIN, SHARE
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--share", default="1/1", help="K/N: of stops and pages")
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    BIN = options.bin.resolve()
    SHARE = tuple(int(part) for part in options.share.split("/"))
    ended = unittest.main(argv=[sys.argv[0], *options.tests], verbosity=2, exit=False).result
    sys.exit(0 if ended.wasSuccessful() and not ended.skipped else 77 if ended.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
