#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Situations that a host may come into one day, and that have little to do with what the program is for.

    situations.py --bin BUILD/bin [--plain BUILD/plain/bin] [TEST …]

A test is a situation. What holds of all of them: a command ends with a status that the manual has, with words if it is
not 0, and with no signal; what was refused has changed nothing; and the store is clean behind it, if the situation
itself has not damaged it. --plain: programs without a sanitizer, for where that cannot be.
"""

import argparse
import json
import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = PLAIN = None      # of the command line, below
SECONDS = 60
STATUSES = range(0, 6)
FSCK = range(0, 16)
DOCUMENT = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
UUID = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"
QEMU = """qemu-system-x86_64 -S -nodefaults -display none -machine pc,accel=tcg -m 32
    -drive if=none,readonly=on,id=ide-5632 -device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0
    -device usb-ehci,id=xenusb-0""".split()


class Situation(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="xlsi-"))
        self.addCleanup(shutil.rmtree, self.place, True)
        self.store = self.place / "s"
        self.environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "XENSTORED_PATH": f"{self.place}/none"}

    def run_in(self, program, *words, store=None, status=None, says=None, before=(), timeout=SECONDS, mute=False, of=None, **more):
        """The command as it ended: with a status that there is, and with words."""
        where = ["--store", str(store or self.store)] if store != "" else []
        done = subprocess.run([*before, str((of or BIN) / program), *where, *map(str, words)], timeout=timeout, check=False,
                              **{"env": self.environment, "capture_output": True, "stdin": subprocess.DEVNULL, **more})
        done.said = ((done.stdout or b"") + (done.stderr or b"")).decode(errors="replace")
        told = f"{words}: {done.returncode}: {done.said}"
        self.assertIn(done.returncode, FSCK if program == "xlfsck" else STATUSES, told)
        for sign in ("Sanitizer", "runtime error", "terminate called", "not be opened: (null)"):
            self.assertNotIn(sign, done.said, told)
        if done.returncode and done.stderr is not None and program == "xlstore" and not mute:
            self.assertTrue(done.said.strip(), f"{words} ended with {done.returncode} and said nothing")
        if status is not None:
            self.assertIn(done.returncode, status if isinstance(status, tuple) else (status,), told)
        if says:
            self.assertRegex(done.said, says)
        return done

    def xlstore(self, *words, **more):
        return self.run_in("xlstore", *words, **more)

    def fsck(self, *words, **more):
        return self.run_in("xlfsck", *words, **more)

    def document(self, domid, **changes):
        document = json.loads(DOCUMENT.replace('"web01"', f'"d{domid}"').replace(UUID, f"{UUID[:24]}{domid:012}"))
        document["c_info"].update(changes)
        path = self.place / f"doc{domid}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    def begin(self, *domids, qemu=False):
        self.xlstore("init", status=0)
        for domid in domids:
            if qemu:
                self.xlstore("create", domid, self.document(domid), "--", *QEMU, status=0)
                self.addCleanup(self.end_qemu, self.pid_of(domid))
            else:
                self.xlstore("import", domid, self.document(domid), status=0)

    @staticmethod
    def end_qemu(pid):
        try:
            if b"qemu-system" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        except OSError:
            pass

    def sql(self, query, path=None):
        database = sqlite3.connect(f"file:{path or self.store / 'store.db'}?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def pid_of(self, domid):
        return self.sql(f"SELECT qemu_pid FROM domain WHERE domid = {domid}")[0][0]

    def domids(self, path=None):
        return [row[0] for row in self.sql("SELECT domid FROM domain WHERE state <> 'destroyed' ORDER BY domid", path)]

    def is_clean(self):
        self.fsck("-n", status=0)

    def is_refused_and_clean(self, *words, says, status=(1, 2, 4), **more):
        before = self.domids()
        self.xlstore(*words, status=status, says=says, **more)
        self.assertEqual(self.domids(), before)
        self.is_clean()

    def wait_for(self, what, thing):
        until = time.monotonic() + SECONDS
        while not thing():
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.02)


def plain_user():
    """What makes the child one without privileges; nothing: this process is none of root's."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwuid(65534)

    def become():
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    return become


class Surroundings(Situation):
    """Of the process."""

    def test_umask_without_any_right_as_a_plain_user(self):
        become = plain_user()
        self.place.chmod(0o777)

        def start():
            if become:
                become()
            os.umask(0o777)
        self.xlstore("init", status=0, preexec_fn=start)
        self.assertEqual({path.name: oct(path.stat().st_mode & 0o777) for path in self.store.iterdir()
                          if path.is_file() and path.stat().st_mode & 0o777 != 0o600}, {})
        self.xlstore("import", 7, self.document(7), status=0, preexec_fn=start)
        self.xlstore("backup", self.place / "b.db", status=0, preexec_fn=start)
        self.fsck("-n", status=0, preexec_fn=start)

    # A sanitizer needs /proc itself.
    def test_no_proc(self):
        self.begin(7)
        before = ["unshare", "-m", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]
        if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
            self.skipTest("no mount namespaces")
        for words in (("list",), ("status",), ("destroy", "domid:7"), ("import", 8, self.document(8))):
            done = self.xlstore(*words, before=before, of=PLAIN)
            if done.returncode:
                self.assertRegex(done.said, "/proc", words)
                self.assertRegex(done.said, "mount", words)
        self.fsck("-n", before=before, of=PLAIN)
        self.is_clean()

    def test_a_read_only_file_system_is_no_directory_that_is_missing(self):
        place = self.place / "ro"
        place.mkdir()
        before = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o ro none {place} && exec "$@"', "sh"]
        if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
            self.skipTest("no mount namespaces")
        done = self.xlstore("--json", "init", before=before, store=place / "s", status=1, says='"code":"readonly"')
        self.assertNotIn("create its parent", done.said)

    def test_descriptors_0_to_2_are_closed(self):
        self.begin(7)

        def close_all():
            for descriptor in (0, 1, 2):
                os.close(descriptor)
        self.xlstore("list", preexec_fn=close_all, status=(0, 5), mute=True)
        self.xlstore("destroy", "domid:7", preexec_fn=close_all, status=(0, 5), mute=True)
        self.assertEqual(self.domids(), [])
        self.is_clean()

    def test_descriptors_are_closed_and_there_is_no_dev_null(self):
        self.begin(7)
        before = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /dev && exec "$@"', "sh"]
        if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
            self.skipTest("no mount namespaces")
        closing = [*before, "sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
        self.xlstore("list", before=closing, status=(0, 5), mute=True)
        self.xlstore("destroy", "domid:7", before=closing, status=(0, 5), mute=True)
        self.fsck("-n", before=closing)
        self.is_clean()

    def test_an_empty_environment(self):
        self.begin(7)
        self.xlstore("list", env={}, status=0)
        self.xlstore("list", store="", env={"XLSTORE_DIR": ""}, status=(0, 1), says="/var/lib/xlstore|DOMID")

    def test_locales_with_other_digits_and_letters(self):
        self.begin(7)
        for name in ("tr_TR.UTF-8", "de_DE.UTF-8", "ar_EG.UTF-8", "no such"):
            done = self.xlstore("--json", "show", "domid:7", env={**self.environment, "LC_ALL": name}, status=0)
            self.assertEqual(json.loads(done.stdout)["domid"], 7)

    def test_a_time_zone_that_there_is_not(self):
        self.begin(7)
        self.xlstore("history", env={**self.environment, "TZ": "Nowhere/None"}, status=0, says="import")

    def test_the_working_directory_is_gone(self):
        self.begin(7)
        gone = self.place / "gone"
        words = ["sh", "-c", f'mkdir -p {gone}; cd {gone}; rmdir {gone}; exec "$@"', "sh"]
        self.xlstore("list", before=words, status=0)
        self.xlstore("list", before=words, store="s", status=1, says="absolute path")
        self.is_clean()

    def test_a_reader_that_goes_away(self):
        self.begin(*range(7, 12))
        script = '"$@" | true'
        for words in (("list",), ("history",), ("export", "domid:7")):
            self.xlstore(*words, before=["sh", "-c", script, "sh"], status=0)
        with open("/dev/full", "wb") as full:
            done = self.xlstore("export", "domid:7", stdout=full, stderr=subprocess.PIPE, capture_output=False, status=5)
        self.assertIn("cannot write to standard output", done.stderr.decode())

    def test_a_limit_on_file_sizes(self):
        self.begin(7)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
        self.xlstore("import", 8, self.document(8), preexec_fn=limit, status=(0, 1))
        self.xlstore("backup", self.place / "b.db", preexec_fn=limit, status=1, says="[Ll]imit|File too large|room")
        self.assertFalse((self.place / "b.db").exists())
        self.is_clean()

    def test_few_descriptors(self):
        self.begin(7)
        for count in (8, 12, 16, 24):
            limit = lambda count=count: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))  # noqa: E731
            done = self.xlstore("export", "domid:7", preexec_fn=limit, status=(0, 1))
            if done.returncode:
                self.assertRegex(done.said, "Too many open files|descriptor|limit")
        self.is_clean()

    def test_signals_that_were_ignored_by_the_parent(self):
        self.begin(7)

        def ignore():
            for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_IGN)
        self.xlstore("create", 8, self.document(8), "--", "qemu-system-x86_64", "-no-such-option", preexec_fn=ignore, status=1,
                     says="no-such-option")
        self.is_clean()

    def test_no_temporary_directory(self):
        self.begin(7)
        done = self.xlstore("bundle", self.place / "b.tar", env={**self.environment, "TMPDIR": "/no/such"})
        self.assertTrue(done.returncode == 0 or "TMPDIR" in done.said or "/no/such" in done.said, done.said)
        self.is_clean()


class Files(Situation):
    """Of the store."""

    def test_a_bare_database_without_its_log(self):
        """Proxmox, SQLite: a copy by cp of the one file that looks like the database."""
        self.begin(7)
        other = self.place / "other"
        other.mkdir(mode=0o700)
        shutil.copy(self.store / "store.db", other / "store.db")
        (other / "store.db").chmod(0o600)
        told = self.fsck("-p", store=other)
        self.assertRegex(told.said, r"store\.db-wal|its log", told.said)
        self.assertNotEqual(told.returncode & ~1, 0, told.said)
        # It has no domain but in its log: it may not pass for a store without domains.
        self.xlstore("list", store=other, says="is a copy")
        self.xlstore("import", 8, self.document(8), store=other, status=1)

    def test_a_torn_log_beside_a_copy(self):
        self.begin(7, 8)
        other = self.place / "other"
        other.mkdir(mode=0o700)
        for name in ("store.db", "store.db-wal"):
            shutil.copy(self.store / name, other / name)
            (other / name).chmod(0o600)
        size = (other / "store.db-wal").stat().st_size
        used = len((other / "store.db-wal").read_bytes().rstrip(b"\0"))
        with open(other / "store.db-wal", "r+b") as file:
            file.seek(used * 2 // 3)
            file.write(b"\xa5" * 6000)
        self.assertEqual((other / "store.db-wal").stat().st_size, size)
        told = self.fsck("-p", store=other)
        self.assertRegex(told.said, "log", told.said)
        self.assertNotEqual(told.returncode, 0, told.said)
        self.is_clean()

    def test_a_page_is_damaged_and_a_bundle_is_asked_for(self):
        self.begin(7, 8)
        database = sqlite3.connect(self.store / "store.db")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'history'").fetchone()
        database.close()
        with open(self.store / "store.db", "r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xa5" * 4096)
        self.xlstore("bundle", self.place / "b.tar", status=0)
        self.xlstore("bundle", "--show", self.place / "b.tar", status=0)
        listed = subprocess.run(["tar", "tf", self.place / "b.tar"], capture_output=True, text=True, check=True).stdout
        whole = subprocess.run(["tar", "xOf", self.place / "b.tar"], capture_output=True, check=True).stdout.decode(errors="replace")
        self.assertIn("d7", whole, listed)
        self.assertIn("d8", whole, listed)

    def test_names_with_signs_that_mean_something_to_sqlite_and_shells(self):
        for name in ("a?b", "a#b", "a%20b", "a'b\"c", "a\nb", "äöü", "-a", "a b;c"):
            self.store = self.place / name
            self.begin(7)
            self.assertEqual(self.domids_in(self.store), [7])
            self.is_clean()

    def domids_in(self, store):
        done = self.xlstore("--json", "list", store=store, status=0)
        return [one["domid"] for one in json.loads(done.stdout)["domains"]] if b"domains" in done.stdout else \
            [one["domid"] for one in json.loads(done.stdout)]

    def test_another_program_has_vacuumed_and_changed_the_journal(self):
        self.begin(7)
        database = sqlite3.connect(self.store / "store.db", isolation_level=None)
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("VACUUM")
        database.close()
        self.xlstore("import", 8, self.document(8), status=0)
        self.assertEqual(self.domids(), [7, 8])
        self.is_clean()

    def test_another_program_holds_a_transaction(self):
        self.begin(7)
        database = sqlite3.connect(self.store / "store.db", isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        try:
            self.xlstore("--timeout", "0.5", "import", 8, self.document(8), status=1, says=f"pid {os.getpid()}")
        finally:
            database.close()
        self.xlstore("import", 8, self.document(8), status=0)
        self.is_clean()

    def test_a_copy_made_of_hard_links(self):
        self.begin(7)
        other = self.place / "other"
        shutil.copytree(self.store, other, copy_function=os.link)
        self.xlstore("list", store=other, status=(0, 1))
        self.xlstore("import", 8, self.document(8), store=other, status=1, says=re.escape(str(self.store)))
        self.assertEqual(self.domids(), [7])
        self.is_clean()

    def test_things_that_are_no_files_in_the_place_of_files(self):
        """A directory, a link that leads nowhere, a pipe: refused by name, and no command waits for one."""
        for name in ("store.db", "store.db-wal", "locks", "slow", "run"):
            for kind, make in (("directory", os.mkdir), ("pipe", os.mkfifo), ("link", lambda path: os.symlink("/no/such", path))):
                if (name, kind) == ("run", "directory"):
                    continue
                with self.subTest(name=name, kind=kind):
                    self.store = self.place / f"{name}-{kind}"
                    self.begin(7)
                    path = self.store / name
                    aside = self.place / "aside"
                    path.rename(aside)
                    make(path)
                    for words in (("list",), ("import", 8, self.document(8))):
                        done = self.xlstore("--timeout", "2", *words)
                        self.assertTrue(done.returncode == 0 or name.split("-")[0] in done.said, done.said)
                    self.fsck("-n")
                    if path.is_dir() and not path.is_symlink():
                        path.rmdir()
                    else:
                        path.unlink()
                    aside.rename(path)
                    self.is_clean()

    def test_a_directory_that_may_not_be_written(self):
        become = plain_user()
        if not become:
            self.skipTest("this is no root")
        self.begin(7)
        for path in [*self.store.iterdir(), self.store]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        self.place.chmod(0o755)
        self.xlstore("import", 8, self.document(8), preexec_fn=become, status=1, says="s")
        for path in [self.store, *self.store.iterdir()]:
            path.chmod(0o700 if path.is_dir() else 0o600)
        self.is_clean()

    def test_a_backup_onto_the_store_itself(self):
        self.begin(7)
        for target in (self.store / "store.db", self.store / "store.db-wal", self.store, self.store / "locks"):
            self.is_refused_and_clean("backup", target, says="already|exists|there is")

    def test_restores_of_what_is_no_backup(self):
        self.begin(7)
        text, empty = self.place / "text", self.place / "empty"
        text.write_text("SQLite format 3\0 and not more", encoding="utf-8")
        empty.touch()
        foreign = self.place / "foreign.db"
        database = sqlite3.connect(foreign)
        database.execute("CREATE TABLE domain (domid)")
        database.close()
        os.mkfifo(self.place / "pipe")
        for path in (text, empty, foreign, self.place, self.place / "none", self.place / "pipe"):
            self.is_refused_and_clean("restore", path, says=re.escape(path.name))
        # Its own database is one, with its log.
        self.xlstore("restore", self.store / "store.db", status=(0, 1))
        self.assertEqual(self.domids(), [7])

    def test_three_restores_within_a_second(self):
        self.begin(7)
        self.xlstore("backup", self.place / "b.db", status=0)
        self.xlstore("import", 8, self.document(8), status=0)
        for _ in range(3):
            self.xlstore("restore", self.place / "b.db", status=0)
        self.assertEqual(self.domids(), [7])
        self.assertEqual(len([path for path in self.store.glob("store.db.replaced-*") if not path.name.endswith("-wal")]), 3)

    def test_the_database_is_cut_to_nothing(self):
        self.begin(7)
        os.truncate(self.store / "store.db", 0)
        self.xlstore("list", status=1, says="xlfsck")
        self.fsck("-y")
        self.assertEqual(self.domids_in(self.store), [7], "the log has it")


class Documents(Situation):
    """What toolstacks and people write."""

    def is_no_document(self, text, says):
        path = self.place / "odd.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.is_refused_and_clean("import", 9, path, says=says)

    def test_texts_that_are_no_document(self):
        self.begin(7)
        document = self.document(9).read_bytes()
        for text in (b"\xef\xbb\xbf" + document, document.decode().encode("utf-16"), b"", b"\0", b"null", b"[" * 100_000,
                     document[:-20], document + document, document.replace(b'"c_info"', b'"c_inf\\ud800"'),
                     document.replace(b'"name"', b'"name": "a", "name"'), document.replace(b'"d9"', b'"a\\u0000b"')):
            with self.subTest(text=text[:40]):
                self.is_no_document(text, "odd.json")

    def test_a_uuid_in_capitals_is_the_same_domain(self):
        self.begin(10)
        document = json.loads(self.document(10).read_text(encoding="utf-8"))
        document["c_info"]["uuid"] = document["c_info"]["uuid"].upper()
        path = self.place / "capitals.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        self.is_refused_and_clean("import", 11, path, says="uuid|d10")

    def test_names_that_no_shell_likes(self):
        self.begin()
        for domid, name in enumerate(("a b", "-rf", "$(reboot)", "a'b", "..", "domid:7", "7", "ä\u202eb"), 20):
            done = self.xlstore("import", domid, self.document(domid, name=name))
            if done.returncode == 0:
                self.xlstore("show", f"domid:{domid}", status=0)
                self.xlstore("destroy", f"name:{name}", status=0)
        self.is_clean()

    def test_numbers_that_are_no_domid(self):
        self.begin()
        for domid in ("-1", "0x7", "7 ", "７", "1e3", "65535999999999999999", "4294967295", "", "+7"):
            self.is_refused_and_clean("import", domid, self.document(7), says=".")


class Living(Situation):
    """With a real QEMU."""

    def medium(self, name, content=b""):
        path = self.place / name
        path.write_bytes(content.ljust(1 << 20, b"\0"))
        return path

    def test_images_whose_names_mean_something_to_qemu(self):
        self.begin(7, qemu=True)
        for name in ("a,b.iso", "json:{}", "nbd:host:1", "fat:rw:x", "a=b,readonly=off", "http:x", "%s%n"):
            path = self.medium(name)
            self.xlstore("insert", "domid:7", "hdc", path, status=0)
            text = json.loads(self.xlstore("export", "domid:7", status=0).stdout.rstrip(b"\0"))
            self.assertEqual([disk["pdev_path"] for disk in text["disks"] if disk["vdev"] == "hdc"], [str(path)])
        done = self.xlstore("insert", "domid:7", "hdc", "nbd:host:1", status=(0, 1), cwd=self.place)
        self.is_clean()
        self.assertNotIn("refused by host", done.said)

    def test_images_that_are_no_images(self):
        self.begin(7, qemu=True)
        os.mkfifo(self.place / "pipe")
        (self.place / "folder").mkdir()
        (self.place / "dangling").symlink_to("/no/such")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.place / "socket"))
            for name in ("pipe", "folder", "dangling", "socket", "none"):
                self.is_refused_and_clean("--timeout", "5", "insert", "domid:7", "hdc", self.place / name, says=name)
        self.xlstore("insert", "domid:7", "hdc", self.medium("good.iso"), status=0)
        self.is_clean()

    def test_the_image_is_moved_and_another_takes_its_name(self):
        self.begin(7, qemu=True)
        first = self.medium("a.iso", b"first")
        self.xlstore("insert", "domid:7", "hdc", first, status=0)
        first.rename(self.place / "old.iso")
        self.medium("a.iso", b"second")
        self.fsck("-p", status=(0, 1))
        self.xlstore("insert", "domid:7", "hdc", first, status=0)
        self.xlstore("eject", "domid:7", "hdc", status=0)
        self.is_clean()

    def test_the_monitors_socket_is_removed(self):
        self.begin(7, qemu=True)
        for path in (self.store / "run").glob("qmp-*"):
            path.unlink()
        self.xlstore("insert", "domid:7", "hdc", self.medium("a.iso"), status=1, says="socket|monitor|qmp-")
        self.fsck("-n")
        self.xlstore("destroy", "domid:7", status=0)
        self.is_clean()

    def test_qemu_dies_and_the_number_is_used_again_at_once(self):
        self.begin(7, qemu=True)
        pid = self.pid_of(7)
        os.kill(pid, signal.SIGKILL)
        self.xlstore("create", 7, self.document(7), "--", *QEMU, status=1, says="domid 7|d7")
        self.xlstore("destroy", "domid:7", status=0)
        self.xlstore("create", 7, self.document(7), "--", *QEMU, status=0)
        self.xlstore("destroy", "domid:7", status=0)
        self.is_clean()

    def test_a_stopped_qemu_and_a_destruction(self):
        """libvirt: a monitor that does not answer keeps a domain from being destroyed."""
        self.begin(7, qemu=True)
        pid = self.pid_of(7)
        os.kill(pid, signal.SIGSTOP)
        self.xlstore("--timeout", "1", "insert", "domid:7", "hdc", self.medium("a.iso"), status=(1, 3), says="answer|stopped|time")
        self.xlstore("destroy", "domid:7", status=0)
        self.is_clean()

    def test_the_holder_of_a_lock_is_stopped(self):
        """A command under ^Z: the next one names it instead of waiting for ever."""
        self.begin(7, qemu=True)
        image = self.medium("a.iso")
        help_text = self.xlstore("crash-points").stdout
        if b"commit" not in help_text:
            self.skipTest("no crash points in this build")
        stopped = subprocess.Popen([BIN / "xlstore", "--store", self.store, "insert", "domid:7", "hdc", image],
                                   env={**self.environment, "XLSTORE_STOP_AT": "qmp.before_send:1"},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.wait_for("it stops", lambda: pathlib.Path(f"/proc/{stopped.pid}/stat").read_text(
                encoding="utf-8").rpartition(")")[2].split()[0] == "T")
            self.xlstore("--timeout", "0.5", "eject", "domid:7", "hdc", status=1, says=f"pid {stopped.pid}")
            self.xlstore("list", status=0)
        finally:
            stopped.send_signal(signal.SIGCONT)
            stopped.wait(SECONDS)
        self.is_clean()

    def test_a_path_that_is_too_long_for_a_socket(self):
        """QEMU, libvirt: 107 bytes."""
        deep = self.place / ("d" * 90)
        deep.mkdir(mode=0o700)
        self.store = deep / "s"
        self.begin()
        self.is_refused_and_clean("create", 7, self.document(7), "--", *QEMU, says="long|bytes")


def main():
    global BIN, PLAIN
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--plain", type=lambda path: pathlib.Path(path).resolve())
    options, rest = parser.parse_known_args()
    BIN, PLAIN = options.bin, options.plain or options.bin
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
