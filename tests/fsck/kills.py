#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What repairs, restores and prunes is killed at each of its system calls, and run again.

    kills.py --bin BUILD/bin [--mode MODE]… [--share K/N [--start S] | --slice I/N] [--every-stop] [--number N] [--keep]

A mode is a store in a state of its own and a command on it, most with a QEMU that lives. The command runs twice
undisturbed: what has to come of it, and which stops it has (tests/crash/killer.cc, --skip-pure). Then it is killed
at each of them that leaves something which the one before it does not; with --every-stop at each. After each kill
`xlfsck -n` looks and changes nothing; after every other one `xlfsck -p` runs, as at a boot; a restore has left the
old domains or the new ones; the same command runs again, and its answer is the truth; after one `xlfsck -y` there
is nothing more to find; rows, copies, history and files are those of the undisturbed run; the QEMU lives. Where -p
ends what the command was at in another way (it adopts what was to be evicted), that is the end: there is no more to find
than behind an undisturbed -p. The table has, by mode: kills, and those after which one of these was not so.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "tests/support")]
from damage import is_at_its_end  # noqa: E402  pylint: disable=wrong-import-position
from kept import Kept  # noqa: E402  pylint: disable=wrong-import-position

UUID = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"
PAGE = 4096
SECONDS = 600   # on a loaded machine
KILLED = 99
# Calls after which a dead process has left no more than before them: locks are dropped, what was read is gone.
LEAVES_NOTHING = ("fcntl", "close", "mmap", "fsync", "fdatasync", "recvfrom", "exit_group")

# What is compared; ids of rows, times and epochs may differ.
ROWS = {
    "domain": "SELECT domid, uuid, name, state, boot_id, qemu_pid, qemu_start_time, monitor_path FROM domain",
    "thing": "SELECT d.uuid, class, key, t.state, json, primary_at FROM thing t JOIN domain d ON d.id = t.domain",
    "member": "SELECT d.uuid, key, key_text, text FROM document_member m JOIN domain d ON d.id = m.domain",
    "product": "SELECT d.uuid, p.kind, p.name, t.class, t.key FROM product p JOIN domain d ON d.id = p.domain "
               "LEFT JOIN thing t ON t.id = p.thing",
    "initial": "SELECT d.uuid, i.kind, i.name FROM initial_device i JOIN domain d ON d.id = i.domain",
    "intent": "SELECT t.class, t.key, operation, image_before, image_after, i.plan FROM intent i "
              "JOIN thing t ON t.id = i.thing",
    "retired": "SELECT domid, uuid, name, json FROM retired_document",
    "undo": "SELECT kind, operation, before, after, undone_us IS NOT NULL FROM undo_row",
    "set aside": "SELECT what, why, text FROM set_aside",
}
# What a salvage says of what is lost. A run may be killed after it; that there is no second telling is no lie then.
LOSS = re.compile(r"^.*(?:could not be saved|could be saved in part|is quarantined).*$", re.MULTILINE)
VOLATILE = re.compile(r'"(\w+_us|epoch|owner|id)":\d+,?')


class World:
    """A directory with a store, QEMUs and documents, and the commands on them."""

    def __init__(self, binaries):
        self.bin = binaries
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="xlk-"))
        self.store = self.place / "s"
        self.tmp = self.place / "tmp"
        self.tmp.mkdir()
        self.environment = {**os.environ, "TMPDIR": str(self.tmp), "ASAN_OPTIONS": "detect_leaks=0",
                            "XENSTORED_PATH": str(self.place / "no xenstored")}
        self.qemus = {}     # by domid
        self.wanted = []    # what the living QEMU has, as commands of QMP that make it so
        self.library = None     # where libxl's files are, of a mode that has some
        self.must("xlstore", "init")

    def run(self, program, *words, before=(), **environment):
        return subprocess.run([*before, self.bin / program, "--store", self.store, *map(str, words)],
                              capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False,
                              env={**self.environment, **environment})

    def must(self, program, *words, statuses=(0,), **environment):
        done = self.run(program, *words, **environment)
        assert done.returncode in statuses, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def crash(self, point, *words):
        self.must("xlstore", *words, statuses=(-signal.SIGKILL,), XLSTORE_CRASH_AT=point)

    def document(self, domid):
        text = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
        path = self.place / f"doc{domid}.json"
        path.write_text(text.replace(UUID, f"{UUID[:24]}{domid:012}").replace('"web01"', f'"d{domid}"'),
                        encoding="utf-8")
        return path

    def import_(self, domid, **environment):
        self.must("xlstore", "import", domid, self.document(domid), **environment)

    def create(self, domid, *more):
        told = json.loads(self.must("xlstore", "--json", "create", domid, self.document(domid), "--", *f"""
            qemu-system-x86_64 -S -nodefaults -display none -machine pc,accel=tcg -m 32
            -drive if=none,readonly=on,id=ide-5632 -device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0
            -device usb-ehci,id=xenusb-0 -qmp unix:{self.place}/j{domid},server=on,wait=off""".split(), *more))
        self.qemus[domid] = self.sql(f"SELECT qemu_pid FROM domain WHERE domid = {domid}")[0][0]
        return told

    def attach(self, name):
        self.must("xlstore", "attach", "domid:7", "qemu", json.dumps({"key": name, "steps": [tablet(name)]}))
        self.wanted.append(tablet(name))

    def qmp(self, *commands):
        """Over a monitor that the store does not know. A product that is there already is no error."""
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(self.place / "j7"))
            stream = end.makefile("rw")
            stream.readline()
            for command in ({"execute": "qmp_capabilities"}, *commands):
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                while "event" in json.loads(stream.readline()):
                    pass

    def sql(self, query, file=None):
        database = sqlite3.connect(f"file:{file or self.store / 'store.db'}?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def by_hand(self, script):
        """Past the guards, as no program of ours does it."""
        database = sqlite3.connect(self.store / "store.db", isolation_level=None)
        database.create_function("only_xlstore_changes_this", 0, lambda: 1)
        database.executescript(script)
        database.close()

    def kill_qemu(self, domid):
        pid = self.qemus.pop(domid)
        os.kill(pid, signal.SIGKILL)
        while lives(pid):
            pass

    def note(self):
        aside = self.place / "sockets"
        aside.mkdir()
        self.kept = [Kept(self.place), Kept(self.store), Kept(self.store / "run", aside)]
        self.kept += [Kept(self.library)] if self.library else []

    def documents(self):
        """libxl's, by domid; what a dead writer left unfinished libxl does not read."""
        return {path.name.split(".")[1]: path.read_bytes()
                for path in (self.library.glob("userdata-d.*") if self.library else ())}

    def put_back(self):
        for kept in self.kept:
            kept.put_back()
        for path in self.tmp.iterdir():
            shutil.rmtree(path)
        if 7 in self.qemus:
            self.qmp(*self.wanted)

    def harmed(self):
        return [domid for domid, pid in self.qemus.items() if not lives(pid)]

    def end(self, keep):
        for pid in self.qemus.values():
            os.kill(pid, signal.SIGKILL)
        if not keep:
            shutil.rmtree(self.place, True)


def lives(pid):
    try:
        return b"qemu-system" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def tablet(name):
    return {"execute": "device_add", "arguments": {"driver": "usb-tablet", "id": name, "bus": "xenusb-0.0"}}


def chardev(name):
    return {"execute": "chardev-add", "arguments": {"id": name, "backend": {"type": "null", "data": {}}}}


# ---- The states ----

def with_qemu(world):
    """A guest, intents that clients left, things that came and went behind the store's back, a QEMU that died, an
    older boot, a client that died, a document that no creation came for."""
    world.create(7, "-uuid", UUID[:24] + f"{7:012}", "-name", "d7")
    for name in ("a", "b"):
        world.attach(name)
    iso = world.place / "a.iso"
    iso.write_bytes(bytes(1 << 20))
    world.must("xlstore", "insert", "domid:7", "hdc", iso)
    for domid in (9, 10, 11):
        world.import_(domid)
    world.must("xlstore", "destroy", "domid:11")


def hurt(world):
    with_qemu(world)
    world.create(8)
    world.import_(12, XLSTORE_TEST_BOOT_ID="00000000-0000-0000-0000-00000000aaaa")
    world.crash("spawn.before_fork:1", "create", 13, world.document(13), "--", "qemu-system-x86_64")
    world.attach("gone")
    gone = world.wanted.pop()
    two = {"key": "two", "steps": [chardev("wire"), chardev("other")]}
    for key, plan, point in (("done", {"key": "done", "steps": [tablet("done")]}, "commit.before:3"),
                             ("undone", {"key": "undone", "steps": [tablet("undone")]}, "commit.after:2"),
                             ("two", two, "commit.after:2")):
        world.crash(point, "attach", "domid:7", "qemu", json.dumps(plan))
    world.wanted += [tablet("done"), chardev("wire"), tablet("unmanaged")]
    world.qmp({"execute": "device_del", "arguments": {"id": gone["arguments"]["id"]}}, *world.wanted)
    world.kill_qemu(8)


def torn_documents(world):
    """What -y alone mends: it is in the undo file then."""
    world.by_hand("""UPDATE thing SET json = '{"vdev":' || key || '}' WHERE domain = (SELECT id FROM domain
                       WHERE domid = 9) AND class IN ('disks', 'vkbs');
                     UPDATE document_member SET key_text = '"on_crush"' WHERE key = 'on_crash' AND domain =
                       (SELECT id FROM domain WHERE domid = 10)""")


def checkpointed(world):
    database = sqlite3.connect(world.store / "store.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def beside_libxl(world):
    """libxl's files of two domains that the store has, one of them with another nic there."""
    world.library = world.place / "host/var/lib/xen"
    world.library.mkdir(parents=True)
    for domid in (7, 8):
        world.import_(domid)
        libxls_document(world, domid)
    libxls_document(world, 7, bridge="br7")


def libxls_document(world, domid, bridge=None):
    document = json.loads(world.document(domid).read_text(encoding="utf-8"))
    if bridge:
        document["nics"][0]["bridge"] = bridge
    path = world.library / f"userdata-d.{domid}.{UUID[:24]}{domid:012}.libxl-json"
    path.write_text(json.dumps(document, indent=4) + "\n\0", encoding="utf-8")
    path.chmod(0o600)


# ---- The modes: each makes its state and gives the command ----

def preen(world):
    hurt(world)
    return "xlfsck", "-p"


def yes(world):
    hurt(world)
    torn_documents(world)
    return "xlfsck", "-y"


def evict(world):
    """What no entry knows is taken out of QEMU."""
    hurt(world)
    return "xlfsck", "-y", "--evict"


def salvage(world):
    hurt(world)
    checkpointed(world)
    page = world.sql("SELECT rootpage FROM sqlite_schema WHERE name = 'document_member'")[0][0]
    with open(world.store / "store.db", "r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(bytes(range(256)) * (PAGE // 256))
    return "xlfsck", "-y"


def log_alone(world):
    hurt(world)
    (world.store / "store.db").unlink()
    return "xlfsck", "-y"


def rebuild(world):
    with_qemu(world)
    for path in world.store.glob("store.db*"):
        path.unlink()
    library = world.place / "lib"
    library.mkdir()
    return "xlfsck", "-y", "--rebuild", "--userdata", library


def restore(world):
    for domid in (7, 8):
        world.import_(domid)
    world.must("xlstore", "backup", world.place / "backup.db")
    world.import_(9)
    world.must("xlstore", "destroy", "domid:8")
    return "xlstore", "restore", world.place / "backup.db"


def adopt(world):
    with_qemu(world)
    world.must("xlstore", "backup", world.place / "backup.db")
    world.attach("later")
    world.import_(14)
    return "xlstore", "restore", "--adopt", world.place / "backup.db"


def undo(world):
    for domid in (9, 10):
        world.import_(domid)
    torn_documents(world)
    world.must("xlfsck", "-y", statuses=(1,))
    return "xlstore", "undo", world.sql("SELECT max(id) FROM undo_run")[0][0]


def prune(world):
    for domid in (7, 8, 9, 10):
        world.import_(domid)
    torn_documents(world)
    world.must("xlfsck", "-y", statuses=(1,))
    for domid in (7, 8):
        world.must("xlstore", "destroy", f"domid:{domid}")
    for name in ("damaged-20200102T030405Z", "damaged-20200102T030405Z-wal", "replaced-20200102T030405Z"):
        (world.store / f"store.db.{name}").write_text("old", encoding="utf-8")
    return "xlstore", "prune", "--older-than", 0


def backup(world):
    for domid in (7, 8):
        world.import_(domid)
    return "xlstore", "backup", world.place / "backup.db"


def bridge_sync(world):
    beside_libxl(world)
    libxls_document(world, 9)
    return "xlstore", "--timeout", "1", "bridge", "sync", "--root", world.place / "host"


def bridge_write(world):
    beside_libxl(world)
    return "xlstore", "--timeout", "1", "bridge", "write", "domid:7", "--root", world.place / "host"


# The command again, after a kill that it does not show: it did it. A status, and what it says.
AGAIN = {backup: (1, "there is a .*backup.db already")}
MODES = {mode.__name__.replace("_", "-"): mode
         for mode in (preen, yes, evict, salvage, log_alone, rebuild, restore, adopt, undo, prune, backup, bridge_sync,
                      bridge_write)}
# -p adopts what is to be taken out: behind it the same command has nothing to do.
ADOPTED_BY_PREEN = (evict,)


# ---- What came of it ----

class Outcome:
    """All that is there afterwards."""

    def __init__(self, world):
        self.rows = collections.Counter()
        for table, query in ROWS.items():
            for row in world.sql(query):
                self.rows[(table, *(VOLATILE.sub("", value) if isinstance(value, str) else value
                                    for value in row))] += 1
        self.documents = world.documents()
        self.history = {row for row in world.sql("SELECT domid, operation, class, key, outcome, image FROM history")}
        self.files = collections.Counter()
        for directory in (world.place, world.store, world.store / "run", world.tmp):
            for path in directory.iterdir():
                name = re.sub(r"\d{8}T\d{6}Z(-\d+(?=$|-wal))?", "DATE", path.name)
                # What is kept twice or was broken off, and is named after it, may be there more than once.
                self.files[re.sub(r"partial-\w{6}", "partial", f"{directory.name}/{name}")] += 1
        self.backup = None
        if (world.place / "backup.db").exists():
            self.backup = world.sql("SELECT domid, name, state FROM domain", world.place / "backup.db")

    def differs_from(self, reference):
        """In words; nothing: it does not."""
        words = [f"lost: {row}" for row in (reference.rows - self.rows)]
        words += [f"too much: {row}" for row in (self.rows - reference.rows)]
        words += [f"history has lost {line}" for line in sorted(reference.history - self.history, key=str)]
        if self.documents != reference.documents:
            words.append(f"libxl's files are {self.documents}")
        if self.backup != reference.backup:
            words.append(f"the backup has {self.backup}")
        more = self.files - reference.files
        for name in list(more):
            if re.search(r"/store\.db\.(damaged|replaced)-DATE(-wal)?$|\.partial(-journal)?$", name):
                del more[name]
        words += [f"file left: {name}" for name in more]
        words += [f"file lost: {name}" for name in reference.files - self.files]
        return words


class Sweep:
    """One mode."""

    def __init__(self, name, options):
        self.name = name
        self.mode = MODES[name]
        self.options = options
        self.kills = 0
        self.bad = 0

    def run(self):
        self.world = World(self.options.bin)
        try:
            self.command = self.mode(self.world)
            self.world.note()
            self.documents = self.world.documents()
            self.old = self.domids() if self.mode in (restore, adopt) else None
            self.damaged = {text.rstrip(b"\0") for name, text in self.world.kept[1].files.items()
                            if self.mode in (salvage, log_alone) and name in ("store.db", "store.db-wal") and text}
            first = self.world.run(*self.command)
            self.status = first.returncode
            self.losses = set(LOSS.findall(first.stdout))
            self.say(f"undisturbed, {first.returncode}: {' '.join(map(str, self.command))}\n{first.stdout}{first.stderr}")
            self.world.must("xlfsck", "-y", statuses=(0, 1, 4, 5))
            self.last = self.world.run("xlfsck", "-n").returncode
            self.reference = Outcome(self.world)
            self.new = self.domids()
            if self.mode in ADOPTED_BY_PREEN:
                self.world.put_back()
                self.world.must("xlfsck", "-p", statuses=(0, 1, 4, 5))
                self.behind_preen = self.world.run("xlfsck", "-n").returncode
            for number in [self.options.number] if self.options.number else self.stops():
                self.one(number)
        finally:
            self.world.end(self.options.keep and self.bad)

    def stops(self):
        """Numbers of those to kill at."""
        self.world.put_back()
        record = self.world.place / "record"
        self.world.run(*self.command, before=[*self.killer(0), "--record", record, "--skip-pure", "--"])
        stops = [line.split("\t") for line in record.read_text(encoding="utf-8", errors="replace").splitlines()]
        record.unlink()
        chosen = [int(words[0]) for words in stops if words[0].isdigit() and
                  (self.options.every_stop or words[2].split()[0] not in LEAVES_NOTHING)]
        share = chosen[self.options.start % len(chosen)::self.options.of]
        self.say(f"{len(stops)} stops, {len(chosen)} of them to kill at, {len(share)} in this share")
        return share

    def domids(self):
        return sorted(row[0] for row in self.world.sql("SELECT domid FROM domain WHERE state <> 'destroyed'"))

    def killer(self, number):
        return [self.options.bin / "killer", str(number)]

    def say(self, text):
        if self.options.verbose:
            print(f"{self.name}: {text}", flush=True)

    def one(self, number):
        self.world.put_back()
        done = self.world.run(*self.command, before=[*self.killer(number), "--skip-pure", "--"])
        verdict = (done.stderr.splitlines() or ["it said nothing"])[-1]
        if done.returncode not in (KILLED, self.status):
            self.violation(number, verdict, [f"survived, and ended with {done.returncode}", done.stdout + done.stderr])
            return
        killed = done.returncode == KILLED
        self.kills += killed
        if killed and number % 2 and self.mode in ADOPTED_BY_PREEN:
            words = self.look() + self.adopted()
        else:
            words = self.after_kill(number, done.stdout) if killed else []
            words += self.judge()
        if words:
            self.violation(number, verdict, words)

    def violation(self, number, verdict, words):
        self.bad += 1
        print(f"VIOLATION: {self.name}, stop {number} ({verdict}):\n    " + "\n    ".join(words[:12]) +
              f"\n    again: kills.py --mode {self.name} --number {number} --keep", flush=True)

    def look(self):
        """What is wrong with a look, in words."""
        world = self.world
        words = []
        before = Kept(world.store, without=("store.db-shm",)).files
        looked = world.run("xlfsck", "-n", "-f")
        if Kept(world.store, without=("store.db-shm",)).files != before:
            words.append(f"a look changed something: {looked.stdout}{looked.stderr}")
        if looked.returncode < 0 or looked.returncode & ~15:
            words.append(f"a look ended with {looked.returncode}: {looked.stdout}{looked.stderr}")
        return words

    def adopted(self):
        """What is wrong with a -p that is the end of it."""
        preened = self.world.run("xlfsck", "-p")
        looked = self.world.run("xlfsck", "-n")
        words = [f"guest {domid} was harmed" for domid in self.world.harmed()]
        if preened.returncode < 0 or preened.returncode & ~5:
            words.append(f"-p ended with {preened.returncode}: {preened.stdout}{preened.stderr}")
        if looked.returncode != self.behind_preen or self.world.sql("SELECT count(*) FROM intent") != [(0,)]:
            words.append(f"a look behind -p says {looked.returncode}: {preened.stdout}{looked.stdout}{looked.stderr}")
        return words

    def after_kill(self, number, told):
        """What is wrong before the command runs again, and with its answer, in words."""
        world = self.world
        words = self.look()
        if number % 2 and self.mode not in ADOPTED_BY_PREEN:
            preened = world.run("xlfsck", "-p")
            if preened.returncode < 0 or preened.returncode & ~15:
                words.append(f"-p ended with {preened.returncode}: {preened.stdout}{preened.stderr}")
            told += preened.stdout
        now = world.documents()
        words += [f"libxl's file of {domid} is neither as it was nor as it is to be: {now.get(domid)!r}"
                  for domid in self.reference.documents.keys() | now.keys()
                  if now.get(domid) not in (self.documents.get(domid), self.reference.documents.get(domid))]
        if self.old and self.domids() not in (self.old, self.new):
            words.append(f"neither the old domains nor the new ones: {self.domids()}")
        again = world.run(*self.command)
        untold = self.losses - set(LOSS.findall(told + again.stdout))
        words += [f"lost without a word: {line}" for line in sorted(untold)]
        return words + self.untrue(again)

    def judge(self):
        """What is wrong in the end."""
        world = self.world
        words = []
        mended = world.run("xlfsck", "-y")
        if mended.returncode < 0 or mended.returncode & ~5:
            words.append(f"-y ended with {mended.returncode}: {mended.stdout}{mended.stderr}")
        looked = world.run("xlfsck", "-n")
        if looked.returncode != self.last or not is_at_its_end(looked):
            words.append(f"a look at the end says {looked.returncode}: {looked.stdout}{looked.stderr}")
        try:
            words += Outcome(world).differs_from(self.reference)
        except sqlite3.Error as error:
            words.append(f"no store: {error}")
        words += [f"guest {domid} was harmed" for domid in world.harmed()]
        words += self.not_kept()
        return words

    def untrue(self, again):
        """The answer of the command that was run again."""
        if again.returncode == self.status:
            return []
        # What the killed run has mended and told is not told again.
        if self.command[0] == "xlfsck" and again.returncode >= 0 and not again.returncode & ~(self.status | 1):
            return []
        status, saying = AGAIN.get(self.mode, (None, None))
        if again.returncode == status and re.search(saying, again.stderr):
            return []
        return [f"again it ended with {again.returncode}: {again.stdout}{again.stderr}"]

    def not_kept(self):
        """The files that a salvage or a restore took away are there, with their log under the same name (R22)."""
        there = {path.read_bytes().rstrip(b"\0") for path in self.world.store.glob("store.db.damaged-*")}
        words = [f"damaged files are not kept ({len(text)} bytes)" for text in self.damaged - there]
        if self.mode in (restore, adopt):
            domids = [sorted(row[0] for row in self.world.sql("SELECT domid FROM domain", path))
                      for path in self.world.store.glob("store.db.replaced-*")]
            if max(map(len, domids), default=0) <= len(self.reference.backup):
                words.append(f"what was replaced is not kept: {domids}")
        return words


def commit_start(parts):
    """Another start of the share for each commit, so that a red run belongs to its commit."""
    done = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return int(done.stdout or "0", 16) % parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="K of N stops, spread evenly")
    parser.add_argument("--start", type=int, help="the first of them, from 0; default: follows from the commit")
    parser.add_argument("--slice", metavar="I/N", help="the I-th of N parts of the whole, a share of one mode: to make a mode's "
                        "state takes longer than to kill it")
    parser.add_argument("--every-stop", action="store_true")
    parser.add_argument("--number", type=int, help="this stop alone")
    parser.add_argument("--keep", action="store_true", help="the directory of a mode with violations")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    part, parts = map(int, re.fullmatch(r"(\d+)/(\d+)", options.share).groups())
    options.of = max(1, parts // part)
    if options.start is None:
        options.start = commit_start(options.of)
    if options.slice:
        number, of = map(int, options.slice.split("/"))
        options.mode = [list(MODES)[(number - 1) % len(MODES)]]
        options.start = (number - 1) // len(MODES)
        options.of = -(-of // len(MODES))

    def one(name):
        sweep = Sweep(name, options)
        sweep.run()
        return name, sweep.kills, sweep.bad

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        table = list(pool.map(one, options.mode or list(MODES)))
    print(f"{'mode':12}{'kills':>8}{'violations':>12}")
    for row in [*table, ("all", sum(row[1] for row in table), sum(row[2] for row in table))]:
        print(f"{row[0]:12}{row[1]:8}{row[2]:12}")
    return 1 if any(bad for _, _, bad in table) or not any(kills for _, kills, _ in table) else 0


if __name__ == "__main__":
    sys.exit(main())
