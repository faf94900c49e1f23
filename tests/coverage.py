#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What gcov says of the rooms of store/ and recovery/; see coverage.sh.

    coverage.py BUILD

A line a room: its lines, those that ran, its branches, those that were taken. Branches that an exception alone takes are
left out (gcc has one behind nearly each call). Then the reasons for branches that were not taken, with how many each
has. BUILD/uncovered has each line with a branch that was never taken, or that never ran, and its reasons.

A reason is of these, the first that fits: what gcc has made of its own (coverage_graph.py); that where the branch leads was
reached all the same; the row of the line in coverage_reasons.txt; the row below; for what was never asked, the reason of
the line above that leads there. Where a branch has none, or a row of coverage_reasons.txt fits no line of its file, the
status is 1. BUILD/unneeded has the rows whose lines are all taken now: what depends on time is taken in some runs.
"""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from coverage_graph import COROUTINE, EXCEPTION, Graph, with_coroutines

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
    ("", r"Errc::timeout|Clock::now\(\) >= ", "time that runs out at this step: StallTest and HostileRecoveryTest at others"),
    ("", r"Errc::busy|changed_meanwhile|Errc::gone|Errc::lost|Errc::conflict|meanwhile",
     "another process was faster: stress, record.py"),
    ("", r"errno|Errc::io|IoError|DbError", "a system call that fails: failing_calls, unseen"),
    ("", r"\bassert\(|static_assert|\bunreachable", "never: it is asserted"),
    ("", r"^\s*(break;|default:|case .*:|\}|\};|\{|\} else \{)\s*$", "a closing line: what leads to it has its own"),
    ("", r"LockOrder::may_", "a callback that calls where it may not (R7): lock_order_test.cc, capi_test at some"),
    ("store/operation/external_", "", "an embedder with a monitor of its own that asks otherwise than these: external_qmp of the harness"),
    ("store/operation/migration", "", "a move that ends otherwise: tests/embed, MoveTest's other process"),
    ("store/capi/", "", "a caller of the C interface that asks otherwise than capi_test: tests/embed, tests/bindings"),
    ("recovery/salvage/", "", "damage that these shares have not: damage.py and salvage_test.py have a thousand damaged stores"),
    ("recovery/libxl/", "", "what these 31 hosts have not, or a step that fails: host_kills.py kills it at each"),
    ("recovery/rebuild/", "", "documents and QEMUs of other forms than these: fuzz/userdata_fuzz.cc, fsck/kills.py --mode rebuild"),
    ("recovery/capi/", "", "a caller of the C interface that asks otherwise than capi_test: tests/embed, tests/bindings"),
    ("store/testing/", "", "support of tests"),
)


PART, BEHIND = "part", "behind"
# Of branches that gcc makes of its own.
OWN = {
    EXCEPTION: "gcc's own, behind an exception: what it destroys on its way (failing_calls, no_memory)",
    COROUTINE: "gcc's own, of a coroutine: whether it waits, goes on, or is destroyed where it waits",
}
# The same of branches that lead where others led, by what stands in the line.
PARTS = (
    (r"^switch \(", "an enumeration has no other value, or one that is handled like another"),
    (r"&&|\|\|", "a part of a condition that did not decide alone: where it leads was reached by another"),
    (r"\bstatic const", "gcc's own: whether another thread makes the same constant"),
    ("", "an answer of a condition that has no code of its own: what follows was reached by the other"),
)


Taken = collections.namedtuple("Taken", "own count asked reached")     # asked: its block ran; reached: where it leads ran


def report_of(data):
    """What gcov says of one object, of the rooms: [(file, [(line, count, [Taken])], [(first line, last line) of a
    function])]."""
    with tempfile.TemporaryDirectory() as scratch:
        notes = pathlib.Path(scratch, data.with_suffix(".gcno").name)
        notes.write_bytes(with_coroutines(data.with_suffix(".gcno").read_bytes()))
        shutil.copy(data, scratch)
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", data.name], cwd=scratch,
                              capture_output=True, text=True, check=False)
        graph = Graph(notes)
    documents = [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]
    files = [file for document in documents for file in document["files"] if ROOM.search(file["file"])]
    branches = {(file["file"], at): branches_of(graph, file["file"], line)
                for file in files for at, line in enumerate(file["lines"])}
    ran = {}

    def taken(branch, count):
        blocks = ran.setdefault(branch.function, branch.function.ran())
        return Taken(branch.own, count, branch.block in blocks, branch.to in blocks)

    return [(os.path.relpath(file["file"], ROOT),
             [(line["line_number"], line["count"],
               [taken(branch, told["count"]) for branch, told in zip(branches[file["file"], at], line["branches"])
                if not branch.throw])
              for at, line in enumerate(file["lines"])],
             [(function["start_line"], function["end_line"]) for function in file["functions"]]) for file in files]


def branches_of(graph, file, line):
    found = graph.branches(file, line["line_number"], line.get("function_name"),
                           [(branch["count"], branch["throw"]) for branch in line["branches"]])
    if found is None:
        sys.exit(f"{file}:{line['line_number']}: gcov's branches are not those of the graph: coverage_graph.py")
    return found


class Coverage:
    """The sums over all objects: a header's lines are in many, and a template's more than once in one."""

    def __init__(self):
        self.lines = collections.Counter()                          # (file, line) to how often it ran
        self.branches = collections.defaultdict(dict)               # (file, line) to branch to [taken, asked, reached]
        self.functions = collections.defaultdict(set)               # file to (first line, last line)

    def add(self, report):
        for name, lines, functions in report:
            self.functions[name].update(functions)
            for number, count, branches in lines:
                self.lines[name, number] += count
                of_kind = collections.Counter()
                for branch in branches:
                    sums = self.branches[name, number].setdefault((branch.own, of_kind[branch.own]), [0, 0, 0])
                    of_kind[branch.own] += 1
                    for which, more in enumerate(branch[1:]):
                        sums[which] += more

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
            room[3] += sum(count > 0 for count, _, _ in taken.values())
        return rooms

    def missed(self, name, number):
        """Whose branches of this line were not taken, with how many."""
        return collections.Counter(own or (PART if reached else "" if asked else BEHIND)
                                   for (own, _), (count, asked, reached) in self.branches.get((name, number), {}).items()
                                   if not count)

    def uncovered(self):
        """(file, line, whose branches were not taken) of each line that has some or never ran."""
        for (name, number), count in sorted(self.lines.items()):
            missed = self.missed(name, number)
            if count == 0 or missed:
                yield name, number, missed

    def ways_to(self, name, number):
        """The lines above, in the function, from which there may be a way to this one that was not taken; nearest first."""
        first = min((first for first, last in self.functions[name] if first <= number <= last), default=number)
        return [above for above in range(number - 1, first - 1, -1)
                if (name, above) in self.lines and (not self.lines[name, above] or self.missed(name, above)[""])]


class Reasons:
    """Of branches that are not taken: those of coverage_reasons.txt, and those above."""

    def __init__(self, text):
        self.rows = collections.defaultdict(list)       # file to [(part of a line, why)]
        self.used = set()
        why = None
        for line in text.splitlines():
            if line.startswith("    "):
                name, part = line.strip().split(": ", 1)
                self.rows[name].append((part, why))
            elif line and not line.startswith("#"):
                why = line

    def of(self, name, text):
        for row in self.rows.get(name, ()):
            if row[0] in text:
                self.used.add((name, row))
                return row[1]
        for where, what, why in REASONS:
            if name.startswith(where) and re.search(what, text):
                return why
        return "?"

    def strays(self):
        """(file, part of a line) of the rows that fit no line of their file."""
        for name, rows in self.rows.items():
            path = ROOT / name
            lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
            yield from ((name, part) for part, _ in rows if not any(part in line for line in lines))

    def unneeded(self):
        return [(name, row[0]) for name, rows in self.rows.items() for row in rows if (name, row) not in self.used]


def percent(part, whole):
    return f"{100 * part / whole:5.1f} %" if whole else "      -"


def measured(build):
    data = [path for library in LIBRARIES for path in sorted(build.glob(f"**/{library}/**/*.gcda"))]
    coverage = Coverage()
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for report in pool.map(report_of, data):
            coverage.add(report)
    if not coverage.lines:
        sys.exit(f"{build} has no coverage: run tests/coverage.sh")
    return coverage


def print_rooms(coverage):
    rooms = dict(sorted(coverage.rooms().items()))
    rooms["all"] = [sum(numbers) for numbers in zip(*rooms.values())]
    text = [count > 0 for branches in coverage.branches.values() for (own, _), (count, _, _) in branches.items() if not own]
    rooms["without gcc's own"] = rooms["all"][:2] + [len(text), sum(text)]
    print(f"{'room':<20} {'lines':>7} {'ran':>9} {'branches':>9} {'taken':>9}")
    for room, (lines, ran, branches, taken) in rooms.items():
        print(f"{room:<20} {lines:>7} {percent(ran, lines):>9} {branches:>9} {percent(taken, branches):>9}")


class Explanation:
    """Each line that is not covered, with its reasons."""

    def __init__(self, coverage, reasons):
        self.coverage, self.reasons = coverage, reasons
        self.sources = {}
        self.numbers = collections.Counter()            # reason to branches

    def text(self, name, number):
        if name not in self.sources:
            self.sources[name] = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return self.sources[name][number - 1].strip()

    def of(self, whose, name, number):
        """The reason, and "as line N: " where it is another line's."""
        if whose in OWN:
            return OWN[whose], ""
        if whose == PART:
            return next(why for what, why in PARTS if re.search(what, self.text(name, number))), ""
        return self.why(name, number)

    def why(self, name, number):
        """Of the branches that are the text's; where none of them was ever asked, that of the line that leads to it."""
        why, way = self.reasons.of(name, self.text(name, number)), ""
        if why == "?" and not self.coverage.missed(name, number)[""]:
            for above in self.coverage.ways_to(name, number):
                if self.coverage.lines[name, above] or self.reasons.of(name, self.text(name, above)) != "?":
                    return self.reasons.of(name, self.text(name, above)), f"as line {above}: "
        return why, way

    def write(self, out):
        for name, number, missed in self.coverage.uncovered():
            told = []
            for whose, count in sorted(missed.items()):
                why, way = self.of(whose, name, number)
                self.numbers[why] += count
                told.append(f"{count}: {way}{why}")
            what = f"{missed.total()} of {len(self.coverage.branches.get((name, number), {}))} branches" \
                if self.coverage.lines[name, number] else "never ran"
            out.write(f"{name}:{number}: {what}: {self.text(name, number)}  # {'; '.join(told)}\n")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    coverage = measured(build)
    print_rooms(coverage)
    reasons = Reasons((ROOT / "tests/coverage_reasons.txt").read_text(encoding="utf-8"))
    explanation = Explanation(coverage, reasons)
    with open(build / "uncovered", "w", encoding="utf-8") as file:
        explanation.write(file)
    numbers = explanation.numbers
    print("\nbranches not taken, and why (BUILD/uncovered has each)")
    for why, number in numbers.most_common():
        print(f"{number:>7}  {'NOT EXPLAINED' if why == '?' else why}")
    unneeded = reasons.unneeded()
    (build / "unneeded").write_text("".join(f"{name}: {part}\n" for name, part in unneeded), encoding="utf-8")
    if unneeded:
        print(f"{len(unneeded)} rows of coverage_reasons.txt have no branch any more that is not taken: BUILD/unneeded")
    strays = list(reasons.strays())
    for name, part in strays:
        print(f"coverage_reasons.txt: {name}: no line has this: {part}")
    sys.exit(1 if strays or numbers["?"] else 0)


if __name__ == "__main__":
    main()
