#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What gcov says of the rooms of store/ and recovery/; see coverage.sh.

    coverage.py BUILD

A line a room: its lines, those that ran, its branches, those that were taken. Branches that an exception alone takes are
left out (gcc has one behind nearly each call). Then the reasons for branches that were not taken, with how many each
has. BUILD/uncovered has each line with a branch that was never taken, or that never ran, and its reason; "?" is none.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOM = re.compile(r"(?:^|/)((?:store|recovery)/[a-z]+)/[a-z0-9_]+\.(?:cc|hpp)$")
LIBRARIES = ("xlstore_core.dir", "xlstore_recovery.dir")

# Why a line or a branch is not taken by these runs: the first row counts whose file and text fit.
REASONS = (
    ("", r"XLSTORE_MUTATION\(", "a mutation: tests/crash/mutants.py takes it"),
    ("", r"XLSTORE_CRASH_POINT\(|XLSTORE_TRACE\(", "a crash point: the kill harness takes it"),
    ("", r"std::abort\(\)|\babort\(\)", "never: it would be a mistake in the program"),
    ("", r"catch \(", "an exception of SQLite or for want of memory: failing_calls, no_memory"),
    ("", r"std::move\(\w+\)\.error\(\)|return \w+(\.|->)error\(\)|\.error\(\);|if \(!\w+\) (co_)?return \w+;",
     "the error of a call is handed on: failing_calls, no_memory, unseen"),
    ("", r"Errc::timeout|Clock::now\(\) >= ", "time that runs out: stall_test.cc, hostile_recovery_test.cc"),
    ("", r"Errc::busy|changed_meanwhile|Errc::gone|Errc::lost|Errc::conflict|meanwhile", "another process was faster: stress, record.py"),
    ("", r"errno|Errc::io|IoError|DbError", "a system call that fails: failing_calls, unseen"),
    ("", r"\bassert\(|static_assert|\bunreachable", "never: it is asserted"),
    ("", r"^\s*(break;|default:|case .*:|\}|\};|\{|\} else \{)\s*$", "a closing line: what leads to it has its own"),
    ("store/operation/external_", "", "external monitors: capi_test, external_qmp of the harness"),
    ("store/operation/migration", "", "a move: tests/embed, MoveTest's other process"),
    ("store/capi/", "", "the C interface: capi_test, tests/embed, tests/bindings"),
    ("store/upgrade/", "", "upgrade_test.py, on a store of release 0.1"),
    ("recovery/salvage/", "", "damage.py and salvage_test.py: a thousand damaged stores"),
    ("recovery/libxl/", "", "host_test.py, host_kills.py: hosts that a real Xen left"),
    ("recovery/rebuild/", "", "fuzz/userdata_fuzz.cc, fsck/kills.py --mode rebuild"),
    ("recovery/capi/", "", "capi_test"),
    ("store/testing/", "", "support of tests"),
)


def report_of(data):
    """What gcov says of one object: [(file, [(line, count, [branch counts])])] of the rooms."""
    done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", "--relative-only",
                           "--source-prefix", str(ROOT), data.name], cwd=data.parent, capture_output=True, text=True, check=False)
    found = []
    for text in done.stdout.splitlines():
        if not text.startswith("{"):
            continue
        document = json.loads(text)
        for file in document["files"]:
            name = file["file"]
            if os.path.isabs(name):
                name = os.path.relpath(name, ROOT)
            if ROOM.search(name):
                found.append((name, [(line["line_number"], line["count"],
                                      [branch["count"] for branch in line["branches"] if not branch["throw"]])
                                     for line in file["lines"]]))
    return found


class Coverage:
    """The sums over all objects: a header's lines are in many, and a template's more than once in one."""

    def __init__(self):
        self.lines = collections.Counter()                          # (file, line) to how often it ran
        self.branches = collections.defaultdict(collections.Counter)    # (file, line) to branch to how often it was taken

    def add(self, report):
        for name, lines in report:
            for number, count, branches in lines:
                self.lines[name, number] += count
                for which, taken in enumerate(branches):
                    self.branches[name, number][which] += taken

    def rooms(self):
        """room to [lines, run, branches, taken]"""
        rooms = collections.defaultdict(lambda: [0, 0, 0, 0])
        for (name, _), count in self.lines.items():
            room = rooms[ROOM.search(name)[1]]
            room[0] += 1
            room[1] += count > 0
        for (name, _), taken in self.branches.items():
            room = rooms[ROOM.search(name)[1]]
            room[2] += len(taken)
            room[3] += sum(count > 0 for count in taken.values())
        return rooms

    def uncovered(self):
        """(file, line, branches not taken, of how many) of each line that has some or never ran."""
        for (name, number), count in sorted(self.lines.items()):
            taken = self.branches.get((name, number), {})
            missed = sum(not one for one in taken.values())
            if count == 0 or missed:
                yield name, number, missed, len(taken), count == 0


def reason_of(name, text):
    for where, what, why in REASONS:
        if name.startswith(where) and re.search(what, text):
            return why
    return "?"


def percent(part, whole):
    return f"{100 * part / whole:5.1f} %" if whole else "      -"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    data = [path for library in LIBRARIES for path in sorted(build.glob(f"**/{library}/**/*.gcda"))]
    coverage = Coverage()
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for report in pool.map(report_of, data):
            coverage.add(report)
    if not coverage.lines:
        sys.exit(f"{build} has no coverage: run tests/coverage.sh")
    rooms = dict(sorted(coverage.rooms().items()))
    rooms["all"] = [sum(numbers) for numbers in zip(*rooms.values())]
    print(f"{'room':<20} {'lines':>7} {'ran':>9} {'branches':>9} {'taken':>9}")
    for room, (lines, ran, branches, taken) in rooms.items():
        print(f"{room:<20} {lines:>7} {percent(ran, lines):>9} {branches:>9} {percent(taken, branches):>9}")
    sources = {}
    reasons = collections.Counter()
    with open(build / "uncovered", "w", encoding="utf-8") as file:
        for name, number, missed, of, never in coverage.uncovered():
            if name not in sources:
                sources[name] = (ROOT / name).read_text(encoding="utf-8").splitlines()
            text = sources[name][number - 1]
            why = reason_of(name, text)
            reasons[why] += missed
            what = "never ran" if never else f"{missed} of {of} branches"
            file.write(f"{name}:{number}: {what}: {text.strip()}  # {why}\n")
    print("\nbranches not taken, and why (BUILD/uncovered has each)")
    for why, number in reasons.most_common():
        print(f"{number:>7}  {'not explained' if why == '?' else why}")


if __name__ == "__main__":
    main()
