#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Could not look is not broken: a healthy database is never replaced.

    unseen_test.py --bin BUILD/bin [--share K/N]

`xlfsck -fy` over a healthy store, once for each system call that may fail (of them, K/N), with that one call
failing (strace injects it), and with few descriptors. The database stays the same file with the same rows, no
line calls it damaged, and a run that could not look says so by bit 8. The program is shown to notice a database
that was replaced.
"""

import argparse
import os
import pathlib
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECONDS = 120
FAILURES = (("pread64", "EIO"), ("pread64", "ENOMEM"), ("fstat", "EIO"), ("newfstatat", "EIO"), ("fcntl", "ENOLCK"),
            ("mmap", "ENOMEM"), ("openat", "EMFILE"), ("pwrite64", "ENOSPC"), ("pwrite64", "EIO"),
            ("ftruncate", "EIO"), ("fdatasync", "EIO"))
SKIPPED = 77


def rows(store):
    database = sqlite3.connect(f"file:{store}/store.db?mode=ro", uri=True)
    try:
        # Of the store not how often a process has written to it: opening it for that counts.
        return {table: database.execute(f"SELECT {columns} FROM {table}").fetchall()
                for table, columns in (("store", "uuid, created_us, durability"), ("domain", "*"), ("thing", "*"),
                                       ("document_member", "*"))}
    finally:
        database.close()


class Sound:
    """A healthy store, and what must not become of it."""

    def __init__(self, place, binaries):
        self.bin = binaries
        self.store = place / "s"
        self.place = place
        subprocess.run([binaries / "xlstore", "--store", self.store, "init"], check=True, capture_output=True)
        for domid in (7, 8):
            text = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
            document = place / "document.json"
            document.write_text(text.replace('"web01"', f'"d{domid}"')
                                .replace("8f2c7d10", f"8f2c7d1{domid}"), encoding="utf-8")
            subprocess.run([binaries / "xlstore", "--store", self.store, "import", str(domid), document],
                           check=True, capture_output=True)
        self.note()

    def note(self):
        self.inode = (self.store / "store.db").stat().st_ino
        self.rows = rows(self.store)

    def fsck(self, *before, limit=None):
        return subprocess.run([*before, self.bin / "xlfsck", "--store", self.store, "-fy"], capture_output=True,
                              text=True, timeout=SECONDS, check=False,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},  # it does not work under strace
                              preexec_fn=limit and (lambda: resource.setrlimit(*limit)))

    def wrong(self, done):
        """What is wrong with the store after that run; nothing: it is as it was."""
        said = done.stdout + done.stderr
        if (self.store / "store.db").stat().st_ino != self.inode:
            return f"the database was replaced: {said}"
        if rows(self.store) != self.rows:
            return f"its rows are others: {said}"
        if re.search("AddressSanitizer(: out-of-memory| failed to allocate|: CHECK failed| cannot proceed)", said):
            return None  # a sanitized program dies of that before it can throw
        if "damaged" in said:
            return f"it is called damaged: {said}"
        if done.returncode < 0 or done.returncode & ~0x0d:
            return f"it ended with {done.returncode}: {said}"
        if not said.strip():
            return f"it ended with {done.returncode} and said nothing"
        return None


def failing(call, error, number):
    return ("strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call}", "-e",
            f"inject={call}:error={error}:when={number}")


def is_of_the_loader(done, call, error, number):
    """With its first mmap failing no program comes to its main()."""
    return (done.returncode == 127 or "error while loading" in done.stderr or
            done.returncode < 0 and subprocess.run((*failing(call, error, number), "/bin/true"), check=False).returncode < 0)


def calls_of(sound, call):
    """How often a run makes that call."""
    trace = sound.place / "trace"
    done = sound.fsck("strace", "-f", "--seccomp-bpf", "-o", trace, "-e", f"trace={call}")
    assert done.returncode & ~1 == 0, done
    return len(re.findall(rf"\b{call}\(", trace.read_text(encoding="utf-8")))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--share", default="1/1")
    options = parser.parse_args()
    if not shutil.which("strace"):
        print("skipped: there is no strace")
        return SKIPPED
    part, parts = (int(n) for n in options.share.split("/"))
    failed = runs = blind = 0
    with tempfile.TemporaryDirectory(prefix="xlu-") as directory:
        sound = Sound(pathlib.Path(directory), options.bin)
        for descriptors in range(4, 20, parts if parts < 4 else 4):
            done = sound.fsck(limit=(resource.RLIMIT_NOFILE, (descriptors, descriptors)))
            why = sound.wrong(done) if done.returncode != 127 else None  # not even its libraries
            failed += why is not None
            if why:
                print(f"FAILED: {descriptors} descriptors: {why}")
            runs += 1
        for call, error in FAILURES:
            for number in range(1 + part % parts, calls_of(sound, call) + 1, parts):
                done = sound.fsck(*failing(call, error, number))
                runs += 1
                if is_of_the_loader(done, call, error, number):
                    continue
                blind += done.returncode & 8 != 0
                if why := sound.wrong(done):
                    failed += 1
                    print(f"FAILED: {call} {number} fails with {error}: {why}")
                    sound.note()
        # It notices one that is replaced.
        copy = sound.store / "copy"
        shutil.copy(sound.store / "store.db", copy)
        copy.rename(sound.store / "store.db")
        assert sound.wrong(subprocess.CompletedProcess([], 0, "", "")), "it is blind"
    print(f"{runs} runs with a call that fails, {blind} of them could not look, {failed} wrong")
    assert blind
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
