#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""R21: destruction, settling and recovery succeed on a full disk, with any number of blocks left.

    full_disk.py --bin BUILD/bin [--levels A,B,…] [--shell] [--greedy | --salvage | --restore | --repair]

A store on a small tmpfs, in a mount namespace of our own. For each level a new store with three domains, each with a
real QEMU, a CD, and an intent whose client was killed; then a file takes what the disk has but for that many pages.
Then `xlfsck -p`, `xlfsck -y` and `xlstore recover` settle an intent each, a CD is ejected and a device taken out (done,
or refused with nothing changed: never in doubt), and the domains are destroyed; with --greedy the second one beside a
program that takes every block that becomes free. With --shell SQLite's own shell closes the database last before the
disk is full, which takes log and index away and cuts the database to its pages. Without --levels: every page near either
end, and steps between.

--greedy is for runs by hand: the first process to open a store makes the log's index (-shm, 32 KiB) anew, and now and
then such a program takes its blocks, and those of the spare file; the store can be opened again when 32 KiB are free.

With --salvage: a damaged database, and so many pages left. `xlfsck -y` salvages it, or says that there is no room and
leaves each file as it was, to the byte.

With --restore: so many pages left beside room for the new database. `xlstore restore` is done, or says that it is not
finished and names the file that it kept, or has changed nothing; then `prune --older-than 0` takes that file away, even
where there is no room for a commit.

With --repair: a document whose text is damaged and too large for a copy in the reserve, and a settle that is owed to
another domain. `xlfsck -y` settles; the repair is done, or said not to be, by name, and nothing of it is. Exit status
77: not allowed to mount here.
"""

import argparse
import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = 4096
DISK = 12 << 20
SECONDS = 120
NEAR = 25       # pages around the edges, of which each is a level of its own
STEP = 37


def on_a_disk_of_our_own(arguments):
    """This program again, in a namespace where it may mount."""
    flags = ["-m"] if os.geteuid() == 0 else ["-rm"]
    if subprocess.run(["unshare", *flags, "true"], capture_output=True, check=False).returncode != 0:
        print("full_disk: SKIPPED: no mount namespace is to be had here")
        sys.exit(77)
    os.execvp("unshare", ["unshare", *flags, sys.executable, "-B", __file__, "--mounted", *arguments])


class Filler:
    """A file that takes the rest of the disk, and one that keeps on taking what becomes free."""

    def __init__(self, disk):
        self.path = disk / "filler"
        self.disk = disk
        self.over = threading.Event()
        self.thread = None

    def fill(self, pages_left):
        with open(self.path, "wb", buffering=0) as file:
            while True:
                fs = os.statvfs(self.disk)
                more = fs.f_bavail - pages_left * PAGE // fs.f_frsize
                if more <= 0:
                    return
                file.write(bytes(min(more * fs.f_frsize, 1 << 20)))

    def keep_on(self):
        self.over.clear()
        self.thread = threading.Thread(target=self.take_all)
        self.thread.start()

    def take_all(self):
        with open(self.disk / "greedy", "ab", buffering=0) as file:
            while not self.over.is_set():
                try:
                    file.write(bytes(PAGE))
                except OSError:
                    self.over.wait(0.0005)

    def stop(self):
        self.over.set()
        if self.thread:
            self.thread.join()
        self.thread = None

    def remove(self):
        self.stop()
        for name in ("filler", "greedy"):
            (self.disk / name).unlink(missing_ok=True)


DOMAINS = (1, 2, 3)


class Trial:
    greedy = False
    shell = False

    def __init__(self, binaries, disk, outside):
        self.bin = binaries
        self.disk = disk
        self.outside = outside
        self.store = disk / "store"
        self.filler = Filler(disk)
        self.wrong = []

    def run(self, program, *words, environment=None):
        return subprocess.run([self.bin / program, "--store", self.store, *map(str, words)], capture_output=True,
                              text=True, timeout=SECONDS, check=False,
                              env={**os.environ, "TMPDIR": str(self.outside), **(environment or {})})

    def must(self, *words, statuses=(0,), why):
        done = self.run(*words)
        if done.returncode not in statuses:
            self.wrong.append(f"{why}: {' '.join(map(str, words))}: {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def create(self, domid):
        medium = self.outside / "a.iso"
        medium.write_bytes(bytes(PAGE))
        document = self.outside / f"{domid}.json"
        document.write_text(json.dumps({
            "c_info": {"type": "hvm", "name": f"vm{domid}", "uuid": f"5b1c0a77-2222-4333-8444-{domid:012}"},
            "b_info": {"max_vcpus": 1, "max_memkb": 65536, "target_memkb": 65536, "type.hvm": {}},
            "disks": [{"pdev_path": str(medium), "vdev": "hdc", "format": "raw", "removable": 1, "is_cdrom": 1}]}),
            encoding="utf-8")
        self.must("xlstore", "create", domid, document, "--", "qemu-system-x86_64", "-S", "-nodefaults", "-display", "none",
                  "-machine", "pc,accel=tcg", "-m", "64", "-drive", "if=none,readonly=on,id=ide-5632", "-device",
                  "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0", "-device", "usb-ehci,id=xenusb-0", why="setting up")

    @staticmethod
    def tablet(name):
        return json.dumps({"key": name, "steps": [{"execute": "device_add", "arguments": {
            "driver": "usb-tablet", "id": name, "bus": "xenusb-0.0"}}]})

    def sql(self, query):
        return self.run("xlstore", "sql", query).stdout.strip()

    def level(self, pages):
        """What was wrong with this many pages left."""
        self.wrong = []
        self.must("xlstore", "init", why="setting up")
        for domid in DOMAINS:
            self.create(domid)
            self.must("xlstore", "attach", domid, "qemu", self.tablet("there"), why="setting up")
            self.run("xlstore", "attach", domid, "qemu", self.tablet("left"),
                     environment={"XLSTORE_CRASH_AT": "commit.before:3"})
        if self.open_intents() != len(DOMAINS):
            self.wrong.append(f"setting up: {self.open_intents()} intents were left open")
        self.damage()
        if self.shell:
            subprocess.run(["sqlite3", self.store / "store.db", "PRAGMA user_version"], check=True, capture_output=True)
        self.filler.fill(pages)
        try:
            self.on_the_full_disk()
        finally:
            self.filler.remove()
        self.must("xlfsck", "-n", why="with room again")
        if self.sql("SELECT count(*) FROM domain WHERE state <> 'destroyed'") != "0":
            self.wrong.append("a domain is not destroyed")
        self.end_qemus()
        subprocess.run(["rm", "-rf", self.store], check=True)
        return self.wrong

    def damage(self):
        """More that is wrong before the disk is full."""

    def end_qemus(self):
        """What a trial that went wrong has left."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if str(self.store).encode() in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue

    def open_intents(self):
        return int(self.sql("SELECT count(*) FROM intent") or -1)

    def may_be_refused(self, *words):
        """Done, or not done for want of room: then no intent is left."""
        done = self.run("xlstore", "--json", *words)
        if done.returncode == 0:
            return
        code = json.loads(done.stdout)["error"]["code"] if done.stdout.startswith("{") else "none"
        if code != "io":
            self.wrong.append(f"{words}: {done.returncode}: {done.stdout}{done.stderr}")
        if self.open_intents() != 0:
            self.wrong.append(f"{words}: refused, and an intent is left")

    def on_the_full_disk(self):
        for left, (domid, command) in enumerate(zip(DOMAINS, (("xlfsck", "-p"), ("xlfsck", "-y"), ("xlstore", "recover")))):
            self.must(*command, domid, statuses=(0,) if command[1] == "recover" else (1,), why="recovery")
            if self.open_intents() != len(DOMAINS) - left - 1:
                self.wrong.append(f"{command}: {self.open_intents()} intents are open")
        self.may_be_refused("eject", 1, "hdc")
        self.may_be_refused("detach", 1, "qemu", "there")
        for domid in DOMAINS:
            if self.greedy and domid == DOMAINS[1]:
                self.filler.keep_on()
            self.must("xlstore", "destroy", domid, why="destruction")
        self.filler.stop()
        self.must("xlfsck", "-p", statuses=(0, 1), why="recovery at the end")


class Salvage(Trial):
    """A store whose database is damaged, and too little room for a new one; no QEMU is needed."""

    done = 0

    def files(self):
        """But for the log, to which the opening of the store was written, its index, for which the spare file is cut, and
        who claims locks."""
        return {path.name: path.read_bytes() for path in self.store.iterdir()
                if path.is_file() and path.name not in (
                    "store.db-wal", "store.db-shm", "spare", "locks", "slow")}

    def level(self, pages):
        self.wrong = []
        self.must("xlstore", "init", why="setting up")
        document = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
        for domid in range(1, 9):
            path = self.outside / "document.json"
            path.write_text(document.replace("9d3c-2f1e5a7b9c01", f"9d3c-{domid:012}").replace('"web01"', f'"d{domid}"'),
                            encoding="utf-8")
            self.must("xlstore", "import", domid, path, why="setting up")
        subprocess.run(["sqlite3", self.store / "store.db", "PRAGMA wal_checkpoint(TRUNCATE)"], check=True,
                       capture_output=True)
        with open(self.store / "store.db", "r+b") as file:
            file.seek(3 * PAGE)
            file.write(b"damaged" * 500)
        before = self.files()
        self.filler.fill(pages)
        try:
            said = self.run("xlfsck", "-y")
            self.judge(said, before)
        finally:
            self.filler.remove()
        self.must("xlfsck", "-y", statuses=(0, 1, 4, 5), why="with room again")
        self.must("xlfsck", "-n", why="in the end")
        subprocess.run(["rm", "-rf", self.store], check=True)
        return self.wrong

    def judge(self, said, before):
        text = said.stdout + said.stderr
        if "SAVED" in said.stdout:
            self.done += 1
            return
        if self.files() != before:
            names = sorted(set(self.files()) ^ set(before)) or [n for n in before if self.files()[n] != before[n]]
            self.wrong.append(f"a file is not as it was: {names}: {text}")
        if said.returncode not in (4, 8) or "KiB are free on the file system of" not in text:
            self.wrong.append(f"xlfsck -y: {said.returncode}: {text}")


class Restore(Trial):
    """A backup put back; no QEMU is needed."""

    def level(self, pages):
        self.wrong = []
        backup = self.outside / "backup.db"
        backup.unlink(missing_ok=True)
        self.must("xlstore", "init", why="setting up")
        document = self.outside / "document.json"
        document.write_text((ROOT / "tools/examples/web01.json").read_text(encoding="utf-8"), encoding="utf-8")
        self.must("xlstore", "import", 1, document, why="setting up")
        self.must("xlstore", "backup", backup, why="setting up")
        self.must("xlstore", "destroy", 1, why="setting up")
        self.filler.fill(pages)
        try:
            self.judge(self.run("xlstore", "restore", backup))
        finally:
            self.filler.remove()
        self.must("xlfsck", "-p", statuses=(0, 1), why="with room again")
        self.must("xlfsck", "-n", why="in the end")
        subprocess.run(["rm", "-rf", self.store], check=True)
        return self.wrong

    def judge(self, said):
        text = said.stdout + said.stderr
        kept = [path.name for path in self.store.glob("store.db.replaced-*")]
        if bool(kept) != (said.returncode in (0, 3)):
            self.wrong.append(f"restore: {said.returncode}, and {kept} is kept: {text}")
        if any(name not in text for name in kept):
            self.wrong.append(f"restore: {kept} is not named: {text}")
        pruned = self.run("xlstore", "prune", "--older-than", 0)
        if list(self.store.glob("store.db.replaced-*")):
            self.wrong.append(f"prune: {pruned.returncode}: {pruned.stdout}{pruned.stderr}")


class Repair(Trial):
    """A repair needs room for a copy of what it takes away (R22); it may be left, and stands in no settle's way."""

    TEXT = '{"broken": ' + "x" * (1500 << 10)

    database = None

    def damage(self):
        # Open until the end: with the last to close it the log would go.
        self.database = sqlite3.connect(self.store / "store.db")
        self.database.create_function("only_xlstore_changes_this", 0, lambda: 1)
        with self.database:
            changed = self.database.execute("UPDATE document_member SET text = ? WHERE key = 'b_info' AND domain = "
                                            "(SELECT id FROM domain WHERE domid = 1)", (self.TEXT,))
            if changed.rowcount != 1:
                self.wrong.append("setting up: nothing was damaged")

    def end_qemus(self):
        self.database.close()
        super().end_qemus()

    def is_damaged(self):
        return self.sql("SELECT count(*) FROM document_member WHERE key = 'b_info' AND text LIKE '%broken%'") == "1"

    def on_the_full_disk(self):
        said = self.run("xlfsck", "-y")
        if self.open_intents() != 0:
            self.wrong.append(f"a settle was kept from its turn: {said.stdout}{said.stderr}")
        text = 'member "b_info"'
        lines = [line for line in said.stdout.splitlines() if text in line and "its text cannot be read" in line]
        if self.is_damaged() == any("QUARANTINED" in line and "NOT" not in line for line in lines) or not lines:
            self.wrong.append(f"what was done of the repair is not what was said: {said.stdout}{said.stderr}")
        if self.is_damaged() and (not said.returncode & 4 or "nothing was done" not in said.stdout):
            self.wrong.append(f"the repair that was left is not named: {said.returncode}: {said.stdout}{said.stderr}")
        for domid in DOMAINS:
            self.must("xlstore", "destroy", domid, why="destruction")


def all_levels():
    end = DISK // PAGE
    return [*range(NEAR), *range(NEAR, end // 2, STEP)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--levels")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="each Nth level from the Kth on")
    parser.add_argument("--salvage", action="store_true")
    parser.add_argument("--restore", action="store_true")
    parser.add_argument("--repair", action="store_true")
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--shell", action="store_true")
    parser.add_argument("--mounted", action="store_true")
    given = parser.parse_args()
    if not given.mounted:
        on_a_disk_of_our_own(sys.argv[1:])
    levels = [int(word) for word in given.levels.split(",")] if given.levels else all_levels()
    first, step = (int(number) for number in given.share.split("/"))
    levels = levels[first - 1::step]
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="xlfull-") as place:
        disk, outside = pathlib.Path(place) / "disk", pathlib.Path(place) / "outside"
        disk.mkdir()
        outside.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", disk], check=True)
        kind = Salvage if given.salvage else Restore if given.restore else Repair if given.repair else Trial
        trial = kind(given.bin.resolve(), disk, outside)
        trial.greedy = given.greedy
        trial.shell = given.shell
        try:
            for pages in levels:
                said = trial.level(pages)
                wrong += bool(said)
                for line in said:
                    print(f"VIOLATION: {pages} pages left: {line}")
        finally:
            subprocess.run(["umount", "-l", disk], check=False)
    print(f"full_disk: {len(levels)} levels, {wrong} wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
