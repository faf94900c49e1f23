#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What gcov says of the rooms of store/ and recovery/; see coverage.sh.

    coverage.py BUILD

A line a room: its lines, those that ran, its branches, those that were taken. Branches that an exception alone takes are
left out (gcc has one behind nearly each call). BUILD/uncovered has each line with a branch that was never taken, or that
never ran, of the rooms that matter most.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROOM = re.compile(r"(?:^|/)((?:store|recovery)/[a-z]+)/[a-z0-9_]+\.(?:cc|hpp)$")
LISTED = ("store/core", "store/operation", "recovery/passes")


def outputs(build):
    """gcov's JSON, a document for each object that ran."""
    for data in sorted(build.rglob("*.gcda")):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", str(data.relative_to(build))],
                              cwd=build, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                yield json.loads(line)


class Coverage:
    """The sums over all objects: a header's lines are in many."""

    def __init__(self):
        self.lines = collections.Counter()                          # (file, line) to how often it ran
        self.branches = collections.defaultdict(collections.Counter)    # (file, line) to branch to how often it was taken

    def add(self, document):
        for file in document["files"]:
            name = os.path.relpath(os.path.join(document["current_working_directory"], file["file"]), ROOT)
            if not ROOM.search(name):
                continue
            for line in file["lines"]:
                at = name, line["line_number"]
                self.lines[at] += line["count"]
                for number, branch in enumerate(line["branches"]):
                    if not branch["throw"]:
                        self.branches[at][number] += branch["count"]

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
        for (name, number), count in sorted(self.lines.items()):
            if not name.startswith(LISTED):
                continue
            missed = sum(not taken for taken in self.branches.get((name, number), {}).values())
            if count == 0:
                yield f"{name}:{number}: never ran"
            elif missed:
                yield f"{name}:{number}: {missed} of {len(self.branches[(name, number)])} branches"


def percent(part, whole):
    return f"{100 * part / whole:5.1f} %" if whole else "      -"


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    coverage = Coverage()
    for document in outputs(build):
        coverage.add(document)
    if not coverage.lines:
        sys.exit(f"{build} has no coverage: run tests/coverage.sh")
    rooms = coverage.rooms()
    rooms["all"] = [sum(numbers) for numbers in zip(*rooms.values())]
    print(f"{'room':<20} {'lines':>7} {'ran':>9} {'branches':>9} {'taken':>9}")
    for room, (lines, ran, branches, taken) in rooms.items():
        print(f"{room:<20} {lines:>7} {percent(ran, lines):>9} {branches:>9} {percent(taken, branches):>9}")
    sources = {(ROOT / name): (ROOT / name).read_text(encoding="utf-8").splitlines()
               for name in {name for name, _ in coverage.lines} if name.startswith(LISTED)}
    with open(build / "uncovered", "w", encoding="utf-8") as file:
        for line in coverage.uncovered():
            name, number = line.split(":")[:2]
            file.write(f"{line}: {sources[ROOT / name][int(number) - 1].strip()}\n")


if __name__ == "__main__":
    main()
