#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the store that release 0.1 made (store_0.1.sql) in DIR/s, for tests.

    old_store.py DIR [--boot BOOT-ID]

The tables are made by the first three steps of schema/, which no later release may edit (their sums are
below); the rows are those of the release. Their paths are below DIR; they belong to this boot, unless another
is named, and to this pid namespace. No QEMU of theirs lives.
"""

import argparse
import hashlib
import os
import pathlib
import sqlite3

HERE = pathlib.Path(__file__).resolve().parent
SCHEMA = HERE.parent.parent / "schema"
APPLICATION = 0x786c7374
VERSION = 3
STEPS = {  # of release 0.1, and their SHA-256
    "0001_tables.sql": "88b8e7133f2227ee91329148e587d17e4949588543306a75773103e934fcd7c1",
    "0002_rules.sql": "e1b560eaed70d8aaeabe57556278aad230bbabf43c531f1520ec238f7ccc72f5",
    "0003_views.sql": "e9bb2a73629568a818032839330628e96a68a1b3bc71f9a4a8d756f74cd89ab2",
}


def boot_id():
    return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def edited_steps():
    """Steps that are not what the release had."""
    return [name for name, was in STEPS.items() if hashlib.sha256((SCHEMA / name).read_bytes()).hexdigest() != was]


def make(place, boot=None):
    """The store's directory."""
    place = pathlib.Path(place)
    store = place / "s"
    store.mkdir(mode=0o700)
    (store / "run").mkdir(mode=0o700)
    for name in ("locks", "slow", "store.db"):
        os.close(os.open(store / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    rows = (HERE / "store_0.1.sql").read_text(encoding="utf-8")
    rows = rows.replace("@DIR@", str(place)).replace("@BOOT@", boot or boot_id())
    rows = rows.replace("@PIDNS@", str(os.stat("/proc/self/ns/pid").st_ino))
    steps = "\n".join((SCHEMA / name).read_text(encoding="utf-8") for name in STEPS)
    database = sqlite3.connect(store / "store.db", isolation_level=None)
    database.executescript(f"BEGIN;\n{steps}\nPRAGMA application_id = {APPLICATION};\n"
                           f"PRAGMA user_version = {VERSION};\nCOMMIT;\nPRAGMA foreign_keys = ON;\nBEGIN;\n{rows}\nCOMMIT;")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    return store


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("directory")
    parser.add_argument("--boot", help="the boot that its rows belong to; default: this one")
    options = parser.parse_args()
    print(make(pathlib.Path(options.directory).resolve(), options.boot))


if __name__ == "__main__":
    main()
