#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random damages, and what a repair makes of them.

    damage.py --bin BUILD/bin [--count N] [--share K/N] [--seed S] [--only KIND] [--verbose]

A store with living and destroyed domains, entries that were removed again, and a real QEMU; its files are damaged
in one way after another, and `xlfsck -y` is run twice. A reader of its own (pages.py) says of each row of the
undamaged files where its bytes are, so that a row whose bytes are all there and that is lost is seen. The table at
the end has, for each kind of damage: damages; intact rows that are lost; those that came back as stale, or were set
aside, because nothing proves that they had not been removed, or whose they are; rows that are back although they were
deleted; damages after which the second run still repairs something; guests harmed.
"""

import argparse
import collections
import json
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import os

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(ROOT / "tests/support")]
from kept import Kept  # noqa: E402  pylint: disable=wrong-import-position
import pages  # noqa: E402  pylint: disable=wrong-import-position

DOMAINS = 22  # so many that the log is not begun anew (1000 frames): it has all that was ever written
WIDE = 8192  # a page of a database that another program wrote anew
SECONDS = 180
FILES = ("store.db", "store.db-wal", "store.db-shm", "locks", "slow")
# Of each row: how it is found again, and what of it may not differ. A salvage gives epochs anew.
SHAPE = {
    "domain": (("id",), ("domid", "uuid", "name", "state", "boot_id", "qemu_pid", "qemu_start_time", "monitor_path")),
    "thing": (("domain", "class", "key"), ("state", "json", "primary_at")),
    "document_member": (("domain", "key"), ("key_text", "text")),
    "product": (("domain", "kind", "name", "thing"), ("claimed",)),
    "initial_device": (("domain", "kind", "name"), ("file",)),
    "history": (("id",), ("operation", "evidence")),
}


def contents(store, table):
    database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    database.text_factory = lambda text: text.decode(errors="replace")
    try:
        key, rest = SHAPE[table]
        return {tuple(row[c] for c in key): tuple(row[c] for c in rest)
                for row in database.execute(f"SELECT * FROM {table}")}
    finally:
        database.close()


class Truth:
    """The rows of the undamaged files, and where they are."""

    def __init__(self, place):
        log = place / "store.db-wal"
        self.files = pages.Files((place / "store.db").read_bytes(), log.read_bytes() if log.exists() else b"")
        scratch = place / "scratch"
        scratch.mkdir()
        for name in ("store.db", "store.db-wal"):
            if (place / name).exists():
                shutil.copy(place / name, scratch / name)
        database = sqlite3.connect(scratch / "store.db")
        self.rows = {}
        self.keys = {}
        for table, (key, rest) in SHAPE.items():
            columns = database.execute(f"SELECT name, pk FROM pragma_table_info('{table}') ORDER BY cid").fetchall()
            names = [name for name, _ in columns]
            root, sql = database.execute("SELECT rootpage, sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
            if sql.rstrip().endswith("WITHOUT ROWID"):
                first = [name for name, pk in sorted((c for c in columns if c[1]), key=lambda c: c[1])]
                names = first + [name for name in names if name not in first]
            defaults = database.execute(f"SELECT * FROM {table} LIMIT 0")
            assert defaults
            found = []
            for rowid, values, places in pages.rows(self.files, root):
                row = dict(zip(names, values))
                if rowid is not None and "id" in row:
                    row["id"] = rowid
                row = {name: row.get(name) for name in names}
                found.append((tuple(row[c] for c in key), tuple(row[c] for c in rest), places))
            self.rows[table] = found
            self.keys[table] = {row[0] for row in found}
        self.schema = [place for _, _, places in pages.rows(self.files, 1) for place in places]
        self.roots = dict(database.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0"))
        self.living = {row[0] for row in database.execute("SELECT id FROM domain WHERE state <> 'destroyed'")}
        database.close()
        shutil.rmtree(scratch)

    def intact(self, damaged):
        """By table, the rows whose bytes are all as they were. A damage in the last commit of the log looks like
        the end that a kill leaves: what is in it counts as damaged."""
        log = "store.db-wal"
        torn = damaged.get(log, b"")[self.files.last_commit:] != self.files.bytes[log][self.files.last_commit:]

        def same(name, start, end):
            if torn and name == log and start >= self.files.last_commit:
                return False
            before = self.files.bytes[name][start:end]
            return damaged.get(name, b"")[start:end] == before
        return {table: [(key, rest) for key, rest, places in found if all(same(*place) for place in places)]
                for table, found in self.rows.items()}


class Base:
    """The store, its guest, and the files as they were: with a log, and without one."""

    def __init__(self, place, binaries):
        self.bin = binaries
        self.store = place / "s"
        self.place = place
        example = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
        self.must("xlstore", "init")
        uuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"
        for domid in range(1, DOMAINS + 1):
            path = place / "document.json"
            path.write_text(example.replace(uuid, f"8f2c7d10-4b6e-4a51-9d3c-{domid:012}")
                            .replace('"web01"', f'"d{domid}"'), encoding="utf-8")
            if domid == 1:
                self.must("xlstore", "create", "1", str(path), "--", "qemu-system-x86_64", "-S", "-nodefaults",
                          "-display", "none", "-machine", "pc,accel=tcg", "-m", "32", "-drive",
                          "if=none,readonly=on,id=ide-5632", "-device",
                          "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0", "-device", "usb-ehci,id=xenusb-0")
            else:
                self.must("xlstore", "import", str(domid), str(path))
        for name in ("a", "b", "c"):
            plan = {"key": name, "steps": [{"execute": "device_add", "arguments": {"driver": "usb-tablet", "id": name,
                                                                                   "bus": "xenusb-0.0"}}]}
            self.must("xlstore", "attach", "1", "qemu", json.dumps(plan))
        self.must("xlstore", "detach", "1", "qemu", "b")
        for domid in range(2, DOMAINS, 3):
            self.must("xlstore", "destroy", str(domid))
        self.qemu = int(self.sql("SELECT qemu_pid FROM domain WHERE qemu_pid IS NOT NULL"))
        self.forms = {}
        self.kept = {}
        assert (self.store / "store.db-wal").read_bytes()[12:16] == bytes(4), "the log was begun anew"
        self.keep("log")
        database = sqlite3.connect(self.store / "store.db")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        self.keep("whole")
        self.write_anew()
        self.keep("wide")

    def write_anew(self):
        database = sqlite3.connect(self.store / "store.db", isolation_level=None)
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute(f"PRAGMA page_size = {WIDE}")
        database.execute("VACUUM")
        database.close()

    def keep(self, form):
        # SQLite makes the index of the log anew.
        others = {path.name for path in self.store.iterdir()} - set(FILES) | {"store.db-shm"}
        self.kept[form] = Kept(self.store, without=others)
        to = self.place / form
        to.mkdir()
        for name in self.kept[form].files:
            shutil.copy(self.store / name, to / name)
        self.forms[form] = Truth(to)

    def sql(self, text):
        database = sqlite3.connect(f"file:{self.store}/store.db?mode=ro", uri=True)
        try:
            return database.execute(text).fetchone()[0]
        finally:
            database.close()

    def run(self, program, *words):
        return subprocess.run([self.bin / program, "--store", self.store, *words], capture_output=True, text=True,
                              errors="replace", timeout=SECONDS, check=False)

    def must(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)

    def guest_lives(self):
        try:
            return b"qemu-system" in pathlib.Path(f"/proc/{self.qemu}/cmdline").read_bytes()
        except OSError:
            return False

    def end(self):
        try:
            os.kill(self.qemu, signal.SIGKILL)
        except (AttributeError, OSError):
            pass


def write_at(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def flip(path, at, bit):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        if byte:
            file.seek(at)
            file.write(bytes([byte[0] ^ 1 << bit]))


class Damages:
    """Each method is a kind of damage; the first word of its name is the form of the store it is done to."""

    def __init__(self, chance, truth):
        self.chance = chance
        self.truth = truth
        self.size = truth.files.size

    def page(self, store):
        return self.chance.randrange((store / "store.db").stat().st_size // self.size)

    def whole_pages_of_noise(self, store):
        for _ in range(self.chance.randrange(1, 4)):
            write_at(store / "store.db", self.page(store) * self.size, self.chance.randbytes(self.size))

    def whole_pages_of_zeros(self, store):
        for _ in range(self.chance.randrange(1, 4)):
            write_at(store / "store.db", self.page(store) * self.size, bytes(self.size))

    def whole_half_a_page(self, store):
        write_at(store / "store.db", self.page(store) * self.size + self.chance.choice((0, 512, 2048)), bytes(2048))

    def whole_bits(self, store):
        for _ in range(self.chance.randrange(1, 4)):
            flip(store / "store.db", self.chance.randrange((store / "store.db").stat().st_size),
                 self.chance.randrange(8))

    def whole_bytes(self, store):
        for _ in range(self.chance.randrange(1, 4)):
            write_at(store / "store.db", self.chance.randrange((store / "store.db").stat().st_size),
                     self.chance.randbytes(self.chance.randrange(1, 64)))

    def whole_bit_in_a_row(self, store):
        table = self.chance.choice(("domain", "domain", "thing", "document_member"))
        places = self.chance.choice(self.truth.rows[table])[2]
        name, start, end = self.chance.choice(places)
        flip(store / name, self.chance.randrange(start, end), self.chance.randrange(8))

    def whole_head_of_a_page(self, store):
        write_at(store / "store.db", self.page(store) * self.size, self.chance.randbytes(self.chance.choice((1, 8, 12, 40))))

    def whole_root(self, store):
        name = self.chance.choice(sorted(self.truth.roots))
        write_at(store / "store.db", (self.truth.roots[name] - 1) * self.size, bytes(self.size))

    def whole_header(self, store):
        at, size = self.chance.choice(((0, 16), (16, 2), (18, 2), (32, 8), (60, 4), (68, 4), (0, 100)))
        write_at(store / "store.db", at, self.chance.randbytes(size))

    def whole_cut(self, store):
        size = (store / "store.db").stat().st_size
        os.truncate(store / "store.db", self.chance.randrange(1, size))

    def whole_longer(self, store):
        with open(store / "store.db", "ab") as file:
            file.write(self.chance.randbytes(self.chance.randrange(1, 3 * self.size)))

    def whole_lock_files(self, store):
        name = self.chance.choice(("locks", "slow"))
        size = (store / name).stat().st_size
        how = self.chance.randrange(3)
        if how == 0:
            (store / name).unlink()
        elif how == 1:
            os.truncate(store / name, self.chance.randrange(size + 1))
        else:
            write_at(store / name, 0, self.chance.randbytes(size))

    def log_bits(self, store):
        for _ in range(self.chance.randrange(1, 3)):
            flip(store / "store.db-wal", self.chance.randrange((store / "store.db-wal").stat().st_size),
                 self.chance.randrange(8))

    def log_bytes(self, store):
        write_at(store / "store.db-wal", self.chance.randrange((store / "store.db-wal").stat().st_size),
                 self.chance.randbytes(self.chance.randrange(1, 64)))

    def log_header(self, store):
        at, size = self.chance.choice(((self.chance.randrange(32), 8), (0, 44), (0, 56), (0, 512), (0, 4096),
                                       (0, 8192)))
        write_at(store / "store.db-wal", at, self.chance.choice((bytes(size), self.chance.randbytes(size))))

    def log_of_a_lost_database(self, store):
        (store / "store.db").unlink()

    def log_of_an_empty_database(self, store):
        os.truncate(store / "store.db", 0)

    def log_beside_a_page_of_noise(self, store):
        write_at(store / "store.db", self.page(store) * self.size, self.chance.randbytes(self.size))

    def log_index_of_noise(self, store):
        (store / "store.db-shm").write_bytes(self.chance.randbytes(32768))

    def wide_as_it_is(self, store):
        pass

    def wide_pages_of_noise(self, store):
        self.whole_pages_of_noise(store)

    def wide_root(self, store):
        self.whole_root(store)

    def wide_bits(self, store):
        self.whole_bits(store)

    def wide_header(self, store):
        self.whole_header(store)


KINDS = sorted(name for name in vars(Damages) if name.startswith(("whole_", "log_", "wide_")))


class Outcome:
    def __init__(self):
        self.lost = self.unproved = self.back = 0
        self.again = self.harmed = self.failed = False
        self.words = []


LOST = ("the document has lost it", "is a QEMU of this store, and no domain has it", "what to do about it: ")


def is_unreachable(base, truth):
    """Is the path of the QEMU's monitor another one? It has no other witness: that QEMU cannot be looked into (5002)."""
    paths = {key: rest[7] for key, rest, _ in truth.rows["domain"] if rest[7]}
    try:
        there = contents(base.store, "domain")
    except sqlite3.Error:
        return False
    return any(key in there and there[key][7] not in (None, path) for key, path in paths.items())


def is_at_its_end(done, unreachable=False):
    """Nothing was found, but for what no repair can give back and goes on being said: members that a document has
    lost (1011), and the QEMU of a row that is lost whole (6003), which --rebuild registers."""
    known = (*LOST, "its QEMU could not be looked into") if unreachable else LOST
    found = [line for line in done.stdout.splitlines() if not any(words in line for words in known)]
    return done.returncode & ~(14 if unreachable else 6) == 0 and len(found) == 1 and ", 0 corrected" in found[0]


def is_set_aside(store, table, row):
    """Is a row that has no place kept to be read (R22)?"""
    database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT text FROM set_aside WHERE what = 'row of ' || ?", (table,)).fetchall()
    finally:
        database.close()
    return any(all(kept.get(name) == value for name, value in row.items()) for kept in (json.loads(text) for text, in rows))


def is_without_its_entry(store, product):
    """A product of an entry of which nothing is left has no place."""
    database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
    try:
        there = database.execute("SELECT 1 FROM thing WHERE id = ?", (product["thing"],)).fetchone()
    finally:
        database.close()
    return not there and is_set_aside(store, "product", product)


def are_roots_lost(truth, damaged):
    """Another program wrote the file anew, so that the roots of its tables are where its schema says, and of that rows
    are damaged: of no row is it known whether it is in a tree still, or was removed."""
    return truth.files.size == WIDE and any(
        damaged[name][start:end] != truth.files.bytes[name][start:end] for name, start, end in truth.schema)


def is_told_as_unproved(words, table, domid, thing, rest, there):
    """Is the entry back as it was, but for its state, and was that said of this one? What a QEMU was started with is
    read from its command line."""
    if table == "initial_device":
        return "initial devices: could not be saved" in words
    if table != "thing":
        return False
    subject = f"domain {domid} (d{domid}): {thing[1]}/{thing[2]}: could be saved in part ("
    return (there is not None and there[0] == "stale" and there[1:] == rest[1:]
            and any(line.startswith(subject) and "called stale until" in line for line in words.splitlines()))


def is_registered_again(base, done):
    """The QEMU of a row that is lost whole is not lost."""
    if LOST[1] not in done.stdout:
        return True
    base.run("xlfsck", "-y", "--rebuild")
    return LOST[1] not in base.run("xlfsck", "-n").stdout


def is_kept(store, member):
    """Is the text of that member of a document there to be put back (R22)?"""
    database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
    try:
        return database.execute("SELECT count(*) FROM undo_row WHERE json_extract(before, '$.text') = ?", (member[1],)).fetchone()[0] > 0
    finally:
        database.close()


def judge(base, form, damage):
    """One damage, two runs, and what became of the rows."""
    base.kept[form].put_back()
    damage(base.store)
    damaged = {path.name: path.read_bytes() for path in base.store.iterdir() if path.is_file()}
    truth = base.forms[form]
    intact = truth.intact(damaged)
    domids = {key[0]: rest[0] for key, rest, _ in truth.rows["domain"]}
    overwritten = set(domids) - {key[0] for key, _ in intact["domain"]}
    first = base.run("xlfsck", "-y")
    second = base.run("xlfsck", "-y")
    out = Outcome()
    unreachable = is_unreachable(base, truth)
    out.again = not is_at_its_end(second, unreachable)
    out.failed = first.returncode < 0 or first.returncode & ~(15 if unreachable else 7) != 0
    out.harmed = not base.guest_lives()
    try:
        for table, (key, _) in SHAPE.items():
            there = contents(base.store, table)
            for row, rest in intact[table]:
                if table == "domain" and row not in there or there.get(row) != rest:
                    if table == "document_member" and is_kept(base.store, rest):
                        continue    # it follows its row, whose name or uuid the blow has changed
                    # Its domain's row was overwritten, and no index of that one is found.
                    homeless = key[0] == "domain" and row[0] in overwritten
                    if are_roots_lost(truth, damaged) and (
                            is_told_as_unproved(first.stdout, table, domids.get(row[0]), row, rest, there.get(row))
                            or homeless and (table == "initial_device"  # read from QEMU's command line again
                                             or is_set_aside(base.store, table, dict(zip(key, row))))):
                        out.unproved += 1
                        continue
                    if table == "product" and is_without_its_entry(base.store, dict(zip(key, row))):
                        continue
                    out.lost += 1
                    out.words.append(f"lost: {table} {dict(zip(key, row))} {rest} is {there.get(row)}")
            if table == "domain" and damage.__name__ == "whole_bit_in_a_row":
                # One damaged column costs no domain.
                gone = truth.living - {row[0] for row, rest in there.items() if rest[3] != "destroyed"}
                out.lost += len(gone)
                out.words += [f"lost: living domain of row {row}" for row in gone]
            if table == "thing":
                for row, rest in there.items():
                    if row not in truth.keys[table] and rest[0] != "stale" and "cut" not in damage.__name__:
                        out.back += 1
                        out.words.append(f"back: {row} {rest}")
            if table == "domain":
                for row, rest in there.items():
                    if row[0] not in truth.living and rest[3] != "destroyed":
                        out.back += 1
                        out.words.append(f"back: {row} {rest}")
    except sqlite3.Error as error:
        out.failed = True
        out.words.append(f"{error}")
    out.again = out.again or not is_registered_again(base, second)
    out.words.append(f"first, {first.returncode}: " + first.stdout + first.stderr)
    out.words.append("second: " + second.stdout + second.stderr)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), required=True)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--share", default="1/1", help="K/N of them")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    table = collections.defaultdict(collections.Counter)
    bad = 0
    part, parts = (int(n) for n in options.share.split("/"))
    with tempfile.TemporaryDirectory(prefix="xld-") as directory:
        base = Base(pathlib.Path(directory), options.bin)
        try:
            for number in range(options.first, options.first + options.count):
                if number % parts != part % parts:
                    continue
                kind = options.only or KINDS[number % len(KINDS)]
                form = kind.split("_", maxsplit=1)[0]
                damages = Damages(random.Random(f"{options.seed} {number}"), base.forms[form])
                out = judge(base, form, getattr(damages, kind))
                line = table[kind]
                line.update(damages=1, lost=out.lost, unproved=out.unproved, back=out.back, again=out.again,
                            harmed=out.harmed, failed=out.failed)
                if out.lost or out.back or out.again or out.harmed or out.failed:
                    bad += 1
                    print(f"{number} {kind}: lost {out.lost}, back {out.back}, again {out.again}, harmed {out.harmed}, "
                          f"failed {out.failed}", flush=True)
                    if options.verbose:
                        print("    " + "\n    ".join(line for text in out.words[:6] + out.words[-2:]
                                                     for line in text.splitlines()[:12]), flush=True)
        finally:
            base.end()
    heads = ("damages", "lost", "unproved", "back", "again", "harmed", "failed")
    print(f"{'kind':28}" + "".join(f"{head:>9}" for head in heads))
    total = collections.Counter()
    for kind, line in sorted(table.items()):
        print(f"{kind:28}" + "".join(f"{line[head]:9}" for head in heads))
        total.update(line)
    print(f"{'all':28}" + "".join(f"{total[head]:9}" for head in heads))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
