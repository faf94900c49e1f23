#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A backup is taken and put back. What a kill leaves: kills.py.

    restore_test.py --bin BUILD/bin [CLASS | CLASS.TEST] …
"""

import argparse
import fcntl
import json
import os
import pathlib
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = None      # set from the command line, below
SECONDS = 120


class Backup(unittest.TestCase):
    """Without a QEMU: documents of domains that run elsewhere."""

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="xlb-"))
        self.addCleanup(shutil.rmtree, self.place, True)
        self.store = self.place / "s"
        self.file = self.place / "backup.db"
        self.must("xlstore", "init")
        self.import_(7)

    def run_tool(self, program, *words, store=None, **options):
        return subprocess.run([BIN / program, "--store", store or self.store, *map(str, words)], capture_output=True,
                              text=True, timeout=SECONDS, check=False, **options)

    def must(self, program, *words, statuses=(0,), store=None, **options):
        done = self.run_tool(program, *words, store=store, **options)
        self.assertIn(done.returncode, statuses, (words, done.stdout, done.stderr))
        return done.stdout

    def refused(self, *words, saying, store=None):
        done = self.run_tool("xlstore", *words, store=store)
        self.assertEqual(done.returncode, 1, (words, done.stdout, done.stderr))
        self.assertRegex(done.stderr, saying)

    def import_(self, domid, store=None):
        text = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
        path = self.place / f"doc{domid}.json"
        path.write_text(text.replace("2f1e5a7b9c01", f"{domid:012}").replace('"web01"', f'"d{domid}"'), encoding="utf-8")
        self.must("xlstore", "import", domid, path, store=store)

    def sql(self, query, store=None):
        database = sqlite3.connect(f"file:{store or self.store}/store.db?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def names(self, store=None):
        return [row[0] for row in self.sql("SELECT name FROM domain WHERE state <> 'destroyed' ORDER BY 1", store)]

    def highest(self):
        return {**dict(self.sql("SELECT name, seq FROM sqlite_sequence")),
                **dict(self.sql("SELECT 'commits', commits FROM store"))}

    def usable(self, store=None):
        """It takes a writer, and nothing is wrong with it."""
        self.must("xlfsck", "-p", statuses=(0, 1), store=store)
        self.must("xlfsck", "-n", store=store)
        self.import_(50, store=store)
        self.must("xlstore", "destroy", 50, store=store)

    # ---- Taking one ----

    def test_a_backup_is_whole_private_and_named_last(self):
        told = json.loads(self.must("xlstore", "--json", "backup", self.file))
        self.assertEqual((told["file"], told["domains"]), (str(self.file), 1))
        self.assertEqual(stat.S_IMODE(self.file.stat().st_mode), 0o600)
        self.assertEqual(told["bytes"], self.file.stat().st_size)
        self.assertEqual([path.name for path in self.place.glob("backup*")], ["backup.db"])
        database = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)
        self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        self.assertEqual(database.execute("SELECT name FROM domain").fetchall(), [("d7",)])
        database.close()

    def test_what_is_there_is_not_written_over(self):
        self.file.write_text("mine", encoding="utf-8")
        self.refused("backup", self.file, saying="already")
        self.refused("backup", self.place / "no" / "such", saying="No such file")
        self.assertEqual(self.file.read_text(encoding="utf-8"), "mine")
        self.assertEqual(len(list(self.place.glob("**/*partial*"))), 0)

    def test_a_writer_is_not_waited_for(self):
        writer = sqlite3.connect(self.store / "store.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        self.must("xlstore", "backup", self.file)
        writer.execute("ROLLBACK")
        writer.close()

    # ---- Putting it back ----

    def change(self, *statements):
        database = sqlite3.connect(self.file, isolation_level=None)
        for statement in statements:
            database.execute(statement)
        database.close()

    def test_what_a_hand_changed_of_a_backup_s_schema_is_put_right_and_told(self):
        self.must("xlstore", "backup", self.file)
        self.change("CREATE TRIGGER not_today BEFORE INSERT ON session BEGIN SELECT RAISE(ABORT, 'not today'); END",
                    "CREATE TRIGGER swept AFTER UPDATE ON store BEGIN DELETE FROM domain; END",
                    "DROP VIEW stale_things")
        before = self.file.read_bytes()
        told = json.loads(self.must("xlstore", "--json", "restore", self.file))
        self.assertEqual((told["found"], told["corrected"]), (3, 3))
        self.assertEqual(self.file.read_bytes(), before)
        self.assertEqual(self.names(), ["d7"])
        self.assertEqual(self.sql("SELECT name FROM sqlite_schema WHERE name IN ('not_today', 'swept')"), [])
        self.usable()

    def test_a_turned_bit_of_a_backup_s_schema_is_put_right_and_told(self):
        self.must("xlstore", "backup", self.file)
        whole = self.file.read_bytes()
        for text, turned in ((b"    program       TEXT", b"    progral       TEXT"),
                             (b"-- advanced by each change", b"-- advanced by each chanee")):
            with self.subTest(turned=turned):
                self.assertIn(text, whole)
                self.file.write_bytes(whole.replace(text, turned))
                told = json.loads(self.must("xlstore", "--json", "restore", self.file))
                self.assertEqual((told["found"], told["corrected"]), (1, 1))
                self.assertEqual(self.names(), ["d7"])
                self.usable()

    def test_a_backup_s_version_that_a_hand_changed_is_told_by_its_tables(self):
        for version in (1, 9):
            with self.subTest(version=version):
                self.file.unlink(missing_ok=True)
                self.must("xlstore", "backup", self.file)
                self.change(f"PRAGMA user_version = {version}")
                self.must("xlstore", "restore", self.file)
                self.usable()

    def test_a_backup_whose_version_is_not_known_is_named_and_nothing_else(self):
        self.must("xlstore", "backup", self.file)
        self.change("PRAGMA user_version = 9", "CREATE TABLE mine (x)")
        before = self.highest()
        done = self.run_tool("xlstore", "restore", self.file)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(str(self.file), done.stderr)
        self.assertIn("tables were changed by hand", done.stderr)
        self.assertNotIn("/xlstore-", done.stderr)
        self.assertEqual(self.highest(), before)

    def test_the_older_state_is_the_store_and_no_number_is_given_twice(self):
        self.must("xlstore", "backup", self.file)
        self.import_(8)
        before = self.highest()
        told = json.loads(self.must("xlstore", "--json", "restore", self.file))
        self.assertEqual(self.names(), ["d7"])
        self.assertEqual([d["subject"] for d in told["domains"]], ["domain 7 (d7)"])
        kept = pathlib.Path(told["kept"])
        database = sqlite3.connect(f"file:{kept}?mode=ro", uri=True)    # R22
        self.assertEqual(database.execute("SELECT count(*) FROM domain").fetchall(), [(2,)])
        database.close()
        after = self.highest()
        for name in ("commits", "session", "domain", "thing", "history"):
            self.assertGreaterEqual(after[name], before[name], name)
        self.import_(9)
        self.assertGreater(self.sql("SELECT max(id) FROM domain")[0][0], before["domain"])
        self.usable()
        # What was replaced is kept as long as what is damaged (R20).
        old = kept.with_name("store.db.replaced-20200101T000000Z")
        shutil.copy(kept, old)
        self.must("xlstore", "prune", "damaged")
        self.assertFalse(old.exists())
        # What was replaced can be put back, too.
        self.must("xlstore", "restore", kept)
        self.assertEqual(self.names(), ["d7", "d8"])
        self.usable()

    def copy_of_the_files(self, *suffixes):
        """What is in the log alone is d8."""
        self.must("xlfsck", "-p", statuses=(0, 1))
        self.import_(8)
        copy = self.place / "copied.db"
        for suffix in suffixes:
            shutil.copy(f"{self.store}/store.db{suffix}", f"{copy}{suffix}")
        return copy

    def test_a_database_that_was_copied_without_its_log_is_refused(self):
        copy = self.copy_of_the_files("")
        before = self.highest()
        done = self.run_tool("xlstore", "restore", copy)
        self.assertEqual(done.returncode, 1, done.stdout)
        for said in (str(copy), "without its log store.db-wal", f"copy the log to {copy}-wal"):
            self.assertIn(said, done.stderr)
        other = self.place / "other"
        self.refused("restore", copy, saying="without its log", store=other)
        self.assertFalse(other.exists())
        self.assertEqual(self.highest(), before)
        self.assertEqual(self.names(), ["d7", "d8"])
        # As the error advises: the log beside it, or what there is without it.
        shutil.copy(self.store / "store.db-wal", f"{copy}-wal")
        self.must("xlstore", "restore", copy)
        self.assertEqual(self.names(), ["d7", "d8"])
        pathlib.Path(f"{copy}-wal").unlink()
        database = sqlite3.connect(copy, isolation_level=None)
        self.assertEqual(database.execute("PRAGMA journal_mode = DELETE").fetchall(), [("delete",)])
        database.close()
        self.must("xlstore", "restore", copy)
        self.usable()

    def test_a_backup_beside_the_log_of_another_state_is_refused(self):
        self.must("xlstore", "backup", self.file)
        shutil.copy(self.store / "store.db-wal", f"{self.file}-wal")
        self.refused("restore", self.file, saying=f"move {self.file}-wal away")
        pathlib.Path(f"{self.file}-wal").unlink()
        self.must("xlstore", "restore", self.file)

    def test_directories_behind_a_symbolic_link_are_as_good_as_others(self):
        (self.place / "real").mkdir()
        link = self.place / "link"
        link.symlink_to(self.place / "real")
        behind = {"env": {**os.environ, "TMPDIR": str(link)}, "store": link / "s"}
        self.must("xlstore", "init", **behind)
        self.import_(9, store=link / "s")
        for mode in ("-n", "-p"):
            self.must("xlfsck", mode, **behind)
        self.assertIn("d9", self.must("xlstore", "list", **behind))
        self.must("xlstore", "backup", link / "x.db", **behind)
        self.must("xlstore", "destroy", 9, **behind)
        self.must("xlstore", "restore", link / "x.db", **behind)
        self.assertEqual(self.names(link / "s"), ["d9"])
        self.must("xlstore", "bundle", link / "b.tar.gz", **behind)
        looked = subprocess.run([BIN / "xlfsck", "-n", "--bundle", link / "b.tar.gz"], capture_output=True, text=True,
                                timeout=SECONDS, check=False, env=behind["env"])
        self.assertIn("1 domains", looked.stdout, looked.stderr)
        # One in the place of the store is refused by every command, and nothing is done through it.
        (self.place / "last").symlink_to(self.store)
        before = self.highest()
        for program, *words in (("xlstore", "list"), ("xlfsck", "-n"), ("xlfsck", "-y"), ("xlstore", "restore", link / "x.db")):
            done = self.run_tool(program, *words, store=f"{self.place}/last/")
            self.assertNotEqual(done.returncode, 0, words)
            self.assertIn(f"{self.place}/last is a symbolic link", done.stderr)
        self.assertEqual(self.highest(), before)

    def test_a_store_is_made_where_there_is_none(self):
        self.must("xlstore", "backup", self.file)
        other = self.place / "other"
        self.assertIn("domain 7 (d7): no QEMU", self.must("xlstore", "restore", self.file, store=other))
        self.assertEqual(self.names(other), ["d7"])
        self.assertEqual(list(other.glob("store.db.*")), [])
        self.usable(other)

    def test_what_is_no_backup_is_refused_and_nothing_changes(self):
        self.must("xlstore", "backup", self.file)
        before = self.highest()
        no_store = self.place / "no_store.db"
        database = sqlite3.connect(no_store)
        database.execute("CREATE TABLE t (x)")
        database.close()
        newer = self.place / "newer.db"
        shutil.copy(self.file, newer)
        database = sqlite3.connect(newer)
        database.execute("PRAGMA user_version = 9999")
        database.close()
        damaged = self.place / "damaged.db"
        data = bytearray(self.file.read_bytes())
        data[8192:12288] = os.urandom(4096)
        damaged.write_bytes(data)
        text = self.place / "text"
        text.write_text("no database at all, and long enough for a header" * 40, encoding="utf-8")
        for file, saying in ((no_store, "no backup"), (newer, "schema version 9999"), (damaged, "damaged|malformed"),
                             (text, "not a database"), (self.place / "missing", "there is no")):
            with self.subTest(file=file.name):
                self.refused("restore", file, saying=saying)
        self.assertEqual(self.highest(), before)
        self.assertEqual(list(self.store.glob("store.db.*")), [])

    def test_who_has_it_open_is_named(self):
        self.must("xlstore", "backup", self.file)
        with open(self.store / "locks", "r+b") as locks:
            # A session's byte, as store/lock/locks.cc has it.
            fcntl.fcntl(locks, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, (1 << 41) + 5, 1, 0))
            self.refused("--timeout", "0.1", "restore", self.file, saying=f"open.*{os.getpid()}")
        self.must("xlstore", "restore", self.file)

    def test_a_damaged_store_is_replaced_and_kept(self):
        self.must("xlstore", "backup", self.file)
        with open(self.store / "store.db", "r+b") as database:
            database.write(b"no database at all")
        damaged = (self.store / "store.db").read_bytes()
        told = json.loads(self.must("xlstore", "--json", "restore", self.file))
        self.assertEqual(pathlib.Path(told["kept"]).read_bytes(), damaged)
        self.assertEqual(self.names(), ["d7"])
        self.usable()


def main():
    global BIN
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("tests", nargs="*")
    options = parser.parse_args()
    BIN = options.bin
    unittest.main(argv=[sys.argv[0], *options.tests])


if __name__ == "__main__":
    main()
