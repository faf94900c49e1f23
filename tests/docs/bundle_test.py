#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `xlstore bundle` puts together, of a store on a real QEMU.

    bundle_test.py --bin BUILD/bin [TEST ...]
"""

import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tarfile
import tempfile

import stage
from stage import ROOT, SECONDS, SECRET, Stage, document, tablet


class Bundle(Stage):
    def test_has_no_secret_and_a_list_of_what_it_has(self):
        self.xl("attach", "7", "qemu", tablet("b1"), crash_at="commit.before:3", status=-signal.SIGKILL)
        file = self.place / "b.tar"
        self.assertIn("store.db", self.xl("bundle", file))
        self.assertIn(SECRET, self.xl("export", "7"), "there was something to take out")
        self.assertNotIn(SECRET.encode(), file.read_bytes())
        listed = subprocess.run(["tar", "-tf", file], check=True, capture_output=True, text=True).stdout.split()
        manifest = json.loads(self.xl("--json", "bundle", file, "--show"))["manifest"]
        self.assertEqual(listed, ["MANIFEST.json", *(member["name"] for member in manifest["members"])])
        said = self.xl("bundle", file, "--show")
        self.assertIn("is as the intent wanted it", said)
        self.assertIn("health", said)
        self.xl("bundle", file, status=1)  # it is there already
        (self.place / "junk").write_bytes(b"x" * 5000)
        self.xl("bundle", self.place / "junk", "--show", status=1)

    def other_store(self, name):
        """A store of its own, which no process has open, with a domain that has a password."""
        store = self.place / name
        written = {**document(6), "vnc_password": SECRET}  # its name is in another column
        written["b_info"]["extra"] = ["-spice", f"port=1,password=correct {SECRET} battery"]
        (self.place / "6.json").write_text(json.dumps(written), encoding="utf-8")
        for words in (("init",), ("import", "6", self.place / "6.json")):
            subprocess.run([stage.program("xlstore"), "--store", store, *words], check=True, capture_output=True)
        opened = sqlite3.connect(store / "store.db")
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it is in the database then
        opened.close()
        return store

    def bundle_of(self, store):
        """The members of its bundle, which has no password in it, and can be shown."""
        file = store.with_suffix(".tar")
        run = lambda *words: subprocess.run([stage.program("xlstore"), "--store", store, *words], capture_output=True, text=True,
                                            check=False, timeout=SECONDS)
        made = run("bundle", file)
        self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
        self.assertNotIn(SECRET.encode(), file.read_bytes())
        self.assertIn("could not be opened", run("bundle", file, "--show").stdout)
        shown = json.loads(run("--json", "bundle", file, "--show").stdout)
        self.assertIsNone(shown["status"])
        self.assertTrue(shown["manifest"]["store_error"])
        with tarfile.open(file) as archive:
            return file, {name: archive.extractfile(name).read() for name in archive.getnames()}

    def test_of_a_sound_store_takes_them_out_of_rows_and_arguments(self):
        store = self.other_store("sound")
        file = store.with_suffix(".tar")
        subprocess.run([stage.program("xlstore"), "--store", store, "bundle", file], check=True, capture_output=True,
                       timeout=SECONDS)
        with tarfile.open(file) as archive:
            (self.place / "copy.db").write_bytes(archive.extractfile("store.db").read())
        self.assertNotIn(SECRET.encode(), file.read_bytes())
        done = subprocess.run([stage.program("xlfsck"), "-n", "--bundle", file], capture_output=True, text=True, check=False,
                              timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        copy = sqlite3.connect(self.place / "copy.db")
        members = dict(copy.execute("SELECT key, text FROM document_member"))
        copy.close()
        self.assertEqual(members["vnc_password"], '"(removed)"')
        self.assertIn("port=1,password=(removed)", members["b_info"])

    def test_of_a_damaged_store_has_what_can_be_read(self):
        store = self.other_store("damaged")
        database = store / "store.db"
        with contextlib.closing(sqlite3.connect(database)) as opened:
            page = opened.execute("SELECT rootpage FROM sqlite_master WHERE name = 'history'").fetchone()[0]
            size = opened.execute("PRAGMA page_size").fetchone()[0]
        self.assertIn(SECRET.encode(), database.read_bytes(), "there is something to take out")
        with database.open("r+b") as file:
            file.seek((page - 1) * size)
            file.write(b"\x55" * size)
        file, members = self.bundle_of(store)
        damage = json.loads(members["damage.json"])
        self.assertTrue(damage["error"])
        self.assertTrue(any("history" in line or "page" in line.lower() for line in damage["integrity"]), damage["integrity"])
        self.assertTrue(damage["tables"]["history"]["lost"])
        self.assertIsNone(damage["tables"]["domain"]["lost"])
        self.assertTrue(json.loads(members["findings.json"])["findings"])
        copy = self.place / "salvaged.db"
        copy.write_bytes(members["store.db"])
        with contextlib.closing(sqlite3.connect(copy)) as opened:
            self.assertEqual(opened.execute("SELECT domid, name FROM domain").fetchall(), [(6, "out6")])
            self.assertEqual(opened.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
        done = subprocess.run([stage.program("xlfsck"), "-n", "--bundle", file], capture_output=True, text=True, check=False, timeout=SECONDS)
        self.assertIn("1 domains", done.stdout, done.stderr)

    def test_of_no_database_at_all_says_so(self):
        store = self.other_store("none")
        with (store / "store.db").open("r+b") as file:
            file.write(b"\x55" * 4096)
        file, members = self.bundle_of(store)
        self.assertNotIn("store.db", members)
        self.assertTrue(json.loads(members["damage.json"])["header"].startswith("5555"))
        done = subprocess.run([stage.program("xlfsck"), "-n", "--bundle", file], capture_output=True, text=True, check=False, timeout=SECONDS)
        self.assertEqual(done.returncode, 8)
        self.assertIn("there is no database in it", done.stderr)

    def test_of_a_store_of_release_0_1(self):
        sys.path.insert(0, str(ROOT / "tests/upgrade"))
        import old_store
        (self.place / "old").mkdir()
        store = old_store.make(self.place / "old")
        before = (store / "store.db").read_bytes()
        _, members = self.bundle_of(store)
        self.assertIn("store.db", members)
        self.assertIsNone(json.loads(members["damage.json"])["tables"], "nothing is lost of it")
        self.assertEqual((store / "store.db").read_bytes(), before)

    def test_a_full_temporary_directory_says_nothing_of_the_store(self):
        """From room for nothing to enough of it: a whole bundle, or none. Of a damaged store the same."""
        sound = self.other_store("roomy")
        damaged = self.other_store("roomless")
        with (damaged / "store.db").open("r+b") as file:
            file.write(b"\x55" * 4096)
        full = self.place / "full"
        full.mkdir()
        enter = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-mUr"]
        script = 'mount -t tmpfs -o "size=$1" tmpfs "$TMPDIR" || exit 99; shift; exec "$@"'
        bytes_of = (sound / "store.db").stat().st_size
        ended = []
        for store, size in ((damaged, 16384), *((sound, kib << 10) for kib in range(16, (bytes_of >> 10) + 512, 64))):
            bundle = self.place / f"room{size}.tar"
            done = subprocess.run([*enter, "sh", "-c", script, "sh", str(size), stage.program("xlstore"), "--store", store, "bundle",
                                   bundle], capture_output=True, text=True, check=False, timeout=SECONDS,
                                  env={**os.environ, "TMPDIR": str(full)})
            if done.returncode == 99 or "unshare" in done.stderr:
                self.skipTest(f"no file system can be mounted here: {done.stderr}")
            ended.append(done.returncode)
            if done.returncode == 0:
                self.assertIsNone(json.loads(self.xl("--json", "bundle", bundle, "--show"))["manifest"]["store_error"])
                continue
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn(f"no copy of the database could be made in {full}: ", done.stderr)
            self.assertIn("TMPDIR", done.stderr)
            self.assertFalse(bundle.exists())
        self.assertEqual((ended[:2], ended[-1]), ([1, 1], 0), "both were seen")

    def test_goes_to_standard_output_and_comes_from_standard_input(self):
        done = subprocess.run([stage.program("xlstore"), "--store", self.store, "bundle", "-"], capture_output=True, check=True, timeout=SECONDS)
        shown = subprocess.run([stage.program("xlstore"), "bundle", "-", "--show"], input=done.stdout, capture_output=True, check=True,
                               timeout=SECONDS)
        self.assertIn(b"MEMBER", shown.stdout)
        self.assertFalse(any(path.name.endswith("-") for path in pathlib.Path.cwd().iterdir()))

    def test_a_silent_qemu_takes_no_more_than_its_time(self):
        qemu = json.loads(self.xl("--json", "show", "7"))["qemu_pid"]
        os.kill(qemu, signal.SIGSTOP)
        try:
            self.xl("--timeout", "1", "bundle", self.place / "late.tar")
        finally:
            os.kill(qemu, signal.SIGCONT)
        look = json.loads(self.xl("--json", "bundle", self.place / "late.tar", "--show"))
        self.assertTrue(look["manifest"]["look"]["error"] or
                        any(finding["problem"] == "primary_unseen" for finding in look["findings"]), look)

    def test_is_looked_at_elsewhere(self):
        file = self.place / "c.tar"
        self.xl("bundle", file)
        done = subprocess.run([stage.program("xlfsck"), "-n", "--bundle", str(file)], capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        here = self.run_xl("-n", by="xlfsck")
        self.assertEqual(done.returncode, here.returncode, done.stdout + done.stderr + here.stdout)
        self.assertIn("1 domains", done.stdout)
        self.assertIn("as it was seen", done.stdout)
        self.assertEqual(list(pathlib.Path(tempfile.gettempdir()).glob(f"xlstore-bundle-{os.getpid()}*")), [])


if __name__ == "__main__":
    stage.main()
