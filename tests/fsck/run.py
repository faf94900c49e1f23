#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck's cases: a directory a case, at least one for each problem that it can find.

    run.py --bin BUILD/bin [--update] [CASE…]

damage    sh, in an empty directory: makes a store in ./s with the real commands and damages it; see lib.sh
flags     of xlfsck; default -p. `after`, if there is one, is sh that is run between the two runs
expected  what it says, with what differs from run to run replaced
status    exit status of the first and of the second run; the second may change nothing in the rows

XENSTORED_PATH is a socket in that directory, so that this machine's own xenstored, if it has one, is never asked.
A case may start one there (`xenstored start` of lib.sh); where none is installed it is skipped by name.

Each is run twice. A problem without a case has to be in WITHOUT, with the test that has it. --update writes
`expected` and `status` anew: read what it wrote.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECONDS = 120
SKIPPED = 77

WITHOUT = {
    4: "tests/integration/log_test.cc: it takes a log of 16 MiB",
    5: "tests/integration/log_test.cc: it takes a log of 16 MiB",
    6: "recovery/runs/recover.cc: a race of a look with a process that begins",
    20: "tests/fsck/unseen_test.py: one call of many fails",
    3008: "tests/integration/reuse_test.cc: another pid namespace",
    4008: "tests/integration/recovery_test.cc: an intent of another version",
    4009: "tests/integration/hostile_recovery_test.cc: a QEMU that answers, and slowly",
    5013: "tests/integration/class_test.cc: a host that shows USB devices",
}


# Only a run that repairs can say so.
WHEN_REPAIRED = {9: "could not be saved (", 10: "could be saved in part (", 11: "has no place, and is quarantined (",
                 1011: "the document has lost it (", 5004: "TAKEN OUT.", 6006: "REGISTERED."}


def problems():
    """Codes by name, as the one table has them."""
    text = (ROOT / "recovery/base/problem.hpp").read_text(encoding="utf-8")
    names = dict(re.findall(r"^    (\w+) = (\d+),", text[text.index("enum class Code"):text.index("/// Bits")],
                            re.MULTILINE))
    return {int(code): name for name, code in names.items()}


def normal(text, place):
    text = text.replace(place, "DIR")
    text = re.sub(r"\b(pid|QEMU|session|intent|qmp-|row) ?\d+", r"\1 N", text)
    text = re.sub(r"boot [0-9a-f-]{36}", "boot B", text)
    text = re.sub(r"opened \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "opened T", text)
    text = re.sub(r"\bdamaged-\d+T\d+Z", "damaged-DATE", text)
    text = re.sub(r"\d+\.\d+ s\b|\b\d+ s\b", "T s", text)
    text = re.sub(r"inode \d+", "inode N", text)
    text = re.sub(r"\btree page \d+ cell \d+", "tree page N cell N", text)
    text = re.sub(r"has \d+ commits, and this directory has seen \d+", "has N commits, and this directory has seen M",
                  text)
    # How many frames the commits before have written follows from the library's ways.
    text = re.sub(r"breaks off at frame \d+", "breaks off at frame N", text)
    # How long a store's file is follows from its schema.
    text = re.sub(r"cut off after \d+ of \d+ bytes", "cut off after N of M bytes", text)
    return re.sub(r"since \S+", "since T", text)


def rows(place):
    database = sqlite3.connect(f"file:{place}/s/store.db?mode=ro", uri=True)
    try:
        return {table: database.execute(f"SELECT * FROM {table}").fetchall()
                for table in ("domain", "thing", "product", "intent", "document_member", "initial_device", "history")}
    except sqlite3.DatabaseError as error:
        return str(error)
    finally:
        database.close()


def end_all(place):
    """Ends every process that has the case's directory on its command line or in its environment: one that stopped itself,
    too."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if any(place.encode() in (entry / name).read_bytes() for name in ("cmdline", "environ")):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                pass


class Skipped(Exception):
    """What the case needs is not here."""


class Case:
    def __init__(self, path, binaries):
        self.path = path
        self.bin = binaries

    def text(self, name, otherwise=""):
        path = self.path / name
        return path.read_text(encoding="utf-8") if path.exists() else otherwise

    @staticmethod
    def environment(place):
        return {**os.environ, "XENSTORED_PATH": place + "/xs/socket"}

    def sh(self, script, place):
        environment = {**self.environment(place), "BIN": str(self.bin), "ROOT": str(ROOT), "DIR": place,
                       # This interpreter itself: "python3" may be a script that looks for one first.
                       "PATH": f"{self.bin}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
                       "XLSTORE_DIR": place + "/s"}
        done = subprocess.run(["sh", "-euc", f". {HERE}/lib.sh\n{script}"], cwd=place, env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              check=False)
        if done.returncode == SKIPPED:
            raise Skipped(done.stdout.strip())
        if done.returncode != 0:
            raise RuntimeError(f"{script}\nended with {done.returncode}:\n{done.stdout}")

    def flags(self, place):
        return self.text("flags", "-p").replace("DIR", place).split()

    def fsck(self, place):
        flags = self.flags(place)
        done = subprocess.run([str(self.bin / "xlfsck"), "--store", place + "/s", *flags], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
                              env=self.environment(place))
        return done.returncode, normal(done.stdout, place)

    def run(self):
        """(what it said, "S1 S2", codes it found)"""
        with tempfile.TemporaryDirectory(prefix="xlf-") as place:
            try:
                self.sh(self.text("damage"), place)
                flags = [word for word in self.flags(place) if word not in ("-p", "-y")]
                looked = subprocess.run([str(self.bin / "xlfsck"), "--store", place + "/s", "-n", "-f", "--json", *flags],
                                        stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False,
                                        env=self.environment(place)).stdout
                codes = {int(code) for code in re.findall(r'"code":(\d+)', looked)}
                first, said = self.fsck(place)
                codes |= {code for code, message in WHEN_REPAIRED.items() if message in said}
                if self.text("after"):
                    self.sh(self.text("after"), place)
                before = rows(place)
                second, said_again = self.fsck(place)
                if rows(place) != before:
                    raise RuntimeError(f"the second run changes something:\n{said_again}")
                return said, f"{first} {second}", codes
            finally:
                end_all(place)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--update", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    paths = sorted(path.parent for path in HERE.glob("*/damage"))
    if options.cases:
        paths = [path for path in paths if path.name in options.cases]
    failed = 0
    seen = set()
    skipped = 0

    def one(path):
        case = Case(path, options.bin)
        try:
            return path, case, case.run(), None
        except Skipped as reason:
            return path, case, None, reason
        except (RuntimeError, subprocess.TimeoutExpired, OSError) as error:
            return path, case, None, str(error)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, case, result, error in pool.map(one, paths):
            if isinstance(error, Skipped):
                skipped += 1
                print(f"{path.name}: skipped: {error}", flush=True)
                continue
            if error is None:
                said, status, codes = result
                seen |= codes
                if options.update:
                    (path / "expected").write_text(said, encoding="utf-8")
                    (path / "status").write_text(status + "\n", encoding="utf-8")
                if said != case.text("expected"):
                    error = f"it said\n{said}and not\n{case.text('expected')}"
                elif status != case.text("status").strip():
                    error = f"it ended with {status}, not {case.text('status')}{said}"
            failed += error is not None
            print(f"{path.name}: {'ok' if error is None else 'FAILED: ' + error}", flush=True)
    if not options.cases:
        for code, name in problems().items():
            if code // 1000 == 7:
                continue  # a host without a store: host_test.py
            if code not in seen and code not in WITHOUT and not skipped:
                failed += 1
                print(f"FAILED: problem {code} {name} has no case")
            if code in seen and code in WITHOUT:
                failed += 1
                print(f"FAILED: problem {code} {name} has a case, and is listed as one without")
    print(f"{len(paths)} cases, {len(seen)} problems, {failed} failed, {skipped} skipped")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
