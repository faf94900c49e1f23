#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Salvage: after each damage to the file, nothing is lost in silence.

    salvage_test.py --bin BUILD/bin [--share K/N] [--seed S]

A store of several domains, each page of it overwritten in turn (of several, K/N of them), then random damage:
pages, bytes, cuts, the log. After `xlfsck -y` a look finds nothing to do, the damaged files are there to the
byte, and every entry and member that the store had is there, or named, or said to be beyond knowing. The
program is shown to notice an entry that is missing without a word.
"""

import argparse
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
from damage import is_at_its_end  # noqa: E402  pylint: disable=wrong-import-position
from kept import Kept  # noqa: E402  pylint: disable=wrong-import-position

DOMAINS = 24
PAGE = 4096
SECONDS = 120


class Base:
    """The sound store, and what it has."""

    def __init__(self, place, binaries):
        self.bin = binaries
        self.store = place / "base"
        example = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
        self.must("xlstore", "init")
        for domid in range(1, DOMAINS + 1):
            path = place / "document.json"
            path.write_text(example.replace("8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01", f"8f2c7d10-4b6e-4a51-9d3c-{domid:012}")
                            .replace('"web01"', f'"d{domid}"'), encoding="utf-8")
            self.must("xlstore", "import", str(domid), str(path))
        self.has = self.contents(self.store)
        database = sqlite3.connect(self.store / "store.db")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        self.kept = Kept(self.store)

    def run(self, program, *words, store=None):
        return subprocess.run([self.bin / program, "--store", store or self.store, *words], capture_output=True,
                              text=True, timeout=SECONDS, check=False)

    def must(self, *words):
        done = self.run(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)

    @staticmethod
    def contents(store):
        """Entries and members, each as xlfsck names it."""
        database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
        try:
            entries = database.execute("SELECT d.domid, t.class || '/' || t.key FROM thing t JOIN domain d ON d.id = t.domain")
            members = database.execute("SELECT d.domid, 'member \"' || m.key || '\"' FROM document_member m "
                                       "JOIN domain d ON d.id = m.domain WHERE m.text IS NOT NULL")
            return {*entries, *members}
        finally:
            database.close()


def silently_lost(before, after, said):
    """What is neither there nor spoken of."""
    beyond = {what for what in ("entries", "members of documents", "domains")
              if f"{what}: could not be saved" in said}
    lost = set()
    for domid, what in before - after:
        if "domains" in beyond or ("entries" in beyond and not what.startswith("member")) \
                or ("members of documents" in beyond and what.startswith("member")):
            continue
        if re.search(rf"^domain {domid} \([^)]*\): {re.escape(what)}: ", said, re.MULTILINE):
            continue
        lost.add((domid, what))
    return lost


def called_lost(store, said):
    """What all of it was said to be lost, and is there."""
    database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
    try:
        return [what for what, table in (("domains", "domain"), ("entries", "thing"),
                                         ("members of documents", "document_member"))
                if f"\n{what}: could not be saved" in said and database.execute(f"SELECT 1 FROM {table}").fetchone()]
    finally:
        database.close()


def schema_of_a_file_written_anew(store):
    """Each table is at another page than in a new store, and a page of the schema is damaged."""
    database = sqlite3.connect(store / "store.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode = DELETE", "PRAGMA auto_vacuum = FULL", "VACUUM"):
        database.execute(statement)
    pages = [number for number, in database.execute("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema' ORDER BY path")]
    database.close()
    overwrite(pages[1], random.Random(1))(store)


def check(base, name, damage, never_said=()):
    store = base.store
    base.kept.put_back()
    damage(store)
    damaged = (store / "store.db").read_bytes()
    repaired = base.run("xlfsck", "-y", "-v")
    assert repaired.returncode >= 0 and repaired.returncode & ~5 == 0, (name, repaired)
    looked = base.run("xlfsck", "-n")
    assert is_at_its_end(looked), (name, repaired.stdout, looked.stdout, looked.stderr)
    kept = sorted(store.glob("store.db.damaged-*Z"))
    # A store of release 0.1 gets its reserve, zeros, when it is opened.
    assert not kept or kept[0].read_bytes().rstrip(b"\0") == damaged.rstrip(b"\0"), \
        f"{name}: the damaged file is not as it was\n{repaired.stdout}"
    for words in never_said:
        assert not re.search(words, repaired.stdout, re.MULTILINE), f"{name}: it says {words}\n{repaired.stdout}"
    untrue = called_lost(store, repaired.stdout)
    assert not untrue, f"{name}: {untrue} came back, and was called lost\n{repaired.stdout}"
    lost = silently_lost(base.has, base.contents(store), repaired.stdout)
    assert not lost, f"{name}: lost without a word: {sorted(lost)[:5]}\n{repaired.stdout}"
    return bool(kept)


def overwrite(number, chance):
    def damage(store):
        with open(store / "store.db", "r+b") as file:
            file.seek((number - 1) * PAGE)
            file.write(chance.randbytes(PAGE))
    return damage


def at_random(chance):
    """Several blows of one kind."""
    kind = chance.choice(("pages", "bytes", "zeros", "cut", "long"))
    blows = chance.randrange(1, 6)

    def damage(store):
        path = store / "store.db"
        size = path.stat().st_size
        with open(path, "r+b") as file:
            for _ in range(blows):
                at = chance.randrange(size)
                if kind == "pages":
                    file.seek(at // PAGE * PAGE)
                    file.write(chance.randbytes(PAGE))
                elif kind == "bytes":
                    file.seek(at)
                    file.write(chance.randbytes(chance.randrange(1, 64)))
                elif kind == "zeros":
                    file.seek(at // PAGE * PAGE)
                    file.write(bytes(PAGE))
            if kind == "cut":
                file.truncate(max(1, size - chance.randrange(1, 6 * PAGE)))
            elif kind == "long":
                file.seek(0, 2)
                file.write(chance.randbytes(chance.randrange(1, 3 * PAGE)))
    return kind, damage


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--share", default="1/1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=40, help="blows at random, before the share is taken")
    options = parser.parse_args()
    part, parts = (int(n) for n in options.share.split("/"))
    options.bin = options.bin.resolve()
    saved = runs = 0
    with tempfile.TemporaryDirectory(prefix="xlv-") as directory:
        place = pathlib.Path(directory)
        base = Base(place, options.bin)
        assert silently_lost({(7, "disks/hdc")}, set(), "domain 77 (d77): disks/hdc: could not be saved"), "it is blind"
        assert not silently_lost({(7, "disks/hdc")}, set(), "domain 7 (d7): disks/hdc: could not be saved")
        pages = (base.store / "store.db").stat().st_size // PAGE
        for number in range(1, pages + 1):
            if number % parts == part % parts:
                saved += check(base, f"page {number}", overwrite(number, random.Random(number)))
                runs += 1
        saved += check(base, "schema of a file written anew", schema_of_a_file_written_anew,
                       (r"^undo_row \d+: ",))  # rows of the schema, taken for others
        runs += 1
        for number in range(options.random):
            if number % parts == part % parts:
                kind, damage = at_random(random.Random(f"{options.seed} {number}"))
                saved += check(base, f"seed {options.seed}, {number}: {kind}", damage)
                runs += 1
    print(f"{runs} damaged stores, {saved} of them made anew, nothing lost without a word")
    assert saved
    return 0


if __name__ == "__main__":
    sys.exit(main())
