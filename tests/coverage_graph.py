# SPDX-License-Identifier: MIT
"""What gcov knows of an object and does not print, for coverage.py.

**Bodies of coroutines.** gcc makes a function of its own of each and marks it as artificial, so that gcov says nothing of
its lines. with_coroutines() takes that mark from a copy of the .gcno file, in which it is one word.

**Branches of gcc's own.** gcov marks the branch that an exception takes ("throw"), not those behind it, nor those by which a
coroutine waits. Both follow from the graph of blocks in the .gcno file (Graph):

    1. An arc that is neither the fall through nor the way out of the function is a throw, where its block is a call's.
    2. A block that no way from the function's entry reaches without a throw is an exception's alone.
    3. A line has the branches of the blocks whose last file it is in and whose highest line there it is, function by
       function, in gcov's order; functions that begin on one line have lists of their own for the lines of their heads.
    4. A branch to a block that the coroutine's table of numbers leads to as well decides whether it waits there. So do those
       on the line of its head and on that of its last brace: what it does where it waits, goes on, or is destroyed where it
       waits. Destructors of its variables are on the last brace as well.
"""

import collections
import re
import struct
import subprocess

ACTOR = re.compile(rb"\.actor\0")
FUNCTION = re.compile(r":FUNCTION .*?, `(.*)' (\S+):(\d+):\d+-(\d+):\d+(, artificial)?$")
ARCS = re.compile(r"block (\d+):((?: \d+:[0-9a-f]{4}(?:\([a-z,]*\))?)+)\s*$")
ARC = re.compile(r" (\d+):([0-9a-f]{4})")
LINES = re.compile(r"block (\d+):(`.*)$")
FILE_OR_LINE = re.compile(r"`([^']*)'|(\d+)")
FAKE, FALL = 2, 4           # an arc's flags: the way out of a function that a call may take; the way that falls through
EXCEPTION, COROUTINE = "exception", "coroutine"


def with_coroutines(notes):
    """The bytes of a .gcno file, with coroutines' bodies as functions like others. Behind a name stands the mark."""
    content = bytearray(notes)
    for name in ACTOR.finditer(notes):
        if struct.unpack_from("<I", content, name.end())[0] == 1:
            struct.pack_into("<I", content, name.end(), 0)
    return bytes(content)


Branch = collections.namedtuple("Branch", "function block to throw own")


class Function:
    def __init__(self, name, file, first, last):
        self.name, self.file, self.first, self.last = name, file, first, last
        self.arcs = collections.defaultdict(list)       # block to [(block, flags)]
        self.ends = {}                                  # block to (file, line)
        self.taken = set()                              # (block, block), from counts

    def throws(self, block, flags):
        return not flags & (FAKE | FALL) and any(each & FAKE for _, each in self.arcs[block])

    def usual(self):
        """The blocks that need no exception."""
        reached, todo = {0}, [0]
        while todo:
            block = todo.pop()
            for to, flags in self.arcs[block]:
                if not flags & FAKE and not self.throws(block, flags) and to not in reached:
                    reached.add(to)
                    todo.append(to)
        return reached

    def ways(self, block):
        return sorted(arc for arc in self.arcs[block] if not arc[1] & FAKE)

    def resumed(self):
        """The blocks at which a coroutine goes on, each behind its number: whether it waits is decided before it."""
        if not self.name.endswith(".actor"):
            return set()
        first = next(iter(self.ways(0)))[0]
        return {way[0][0] for table, _ in self.ways(first) for case, _ in self.ways(table)
                if len(way := self.ways(case)) == 1}

    def branches(self, waits):
        """(file, line) to its branches; `waits`: the lines that have a coroutine's own."""
        usual, resumed = self.usual(), self.resumed()
        found = collections.defaultdict(list)
        for block, place in sorted(self.ends.items()):
            ways = self.ways(block)
            if len(ways) > 1:
                own = EXCEPTION if block not in usual else \
                    COROUTINE if place in waits or any(to in resumed for to, _ in ways) else ""
                found[place] += [Branch(self, block, to, self.throws(block, flags), own) for to, flags in ways]
        return found

    def ran(self):
        """The blocks that ran, from the branches that were taken."""
        reached = {0} | {to for _, to in self.taken}
        todo = list(reached)
        while todo:
            ways = self.ways(todo.pop())
            if len(ways) == 1 and ways[0][0] not in reached:
                reached.add(ways[0][0])
                todo.append(ways[0][0])
        return reached


def functions_of(notes):
    """Those of a .gcno file that gcov speaks of."""
    dump = subprocess.run(["gcov-dump", "-l", str(notes)], capture_output=True, text=True, check=True).stdout
    functions = []
    for line in dump.splitlines():
        if found := FUNCTION.search(line):
            function = Function(found[1], found[2], int(found[3]), int(found[4]))
            if not found[5]:
                functions.append(function)
        elif found := ARCS.search(line):
            function.arcs[int(found[1])] += [(int(to), int(flags, 16)) for to, flags in ARC.findall(found[2])]
        elif found := LINES.search(line):
            for file, number in FILE_OR_LINE.findall(found[2]):
                if file:
                    name, last = file, 0
                else:
                    last = max(last, int(number))
                    function.ends[int(found[1])] = name, last
    return functions


class Graph:
    """Of one .gcno file."""

    def __init__(self, notes):
        functions = functions_of(notes)
        begun = collections.defaultdict(list)
        for function in functions:
            begun[function.file, function.first].append(function)
        self.heads = collections.defaultdict(dict)              # function that begins with another to place to branches
        self.others = collections.defaultdict(list)             # (file, line) to branches
        self.ranges = {}                                        # such a function to the lines of its head and body
        for function in functions:
            together = begun[function.file, function.first]
            waits = () if not function.name.endswith(".actor") else \
                [(each.file, line) for each in together for line in (each.first, each.last)]
            if len(together) > 1:
                self.ranges[function.name] = function.file, range(function.first, function.last + 1)
            for place, branches in function.branches(waits).items():
                if self.is_apart(function.name, *place):
                    self.heads[function.name][place] = branches
                else:
                    self.others[place] += branches

    def is_apart(self, function, file, line):
        """Whether gcov has a list of its own for this line of the function."""
        own_file, lines = self.ranges.get(function, ("", range(0)))
        return file == own_file and line in lines

    def branches(self, file, line, function, counts):
        """Those of a line, of which gcov says [(how often, whether it is a throw)]; None where the lists differ."""
        lists = self.heads[function] if self.is_apart(function, file, line) else self.others
        found = lists.get((file, line), [])
        if [branch.throw for branch in found] != [throw for _, throw in counts]:
            return None
        for branch, (count, _) in zip(found, counts):
            if count:
                branch.function.taken.add((branch.block, branch.to))
        return found
