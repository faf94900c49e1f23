#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Includes follow the rooms of store/README.md and recovery/README.md.

    tests/docs/rooms_test.py [--source DIR] [TEST ...]

A room is a folder. It may use itself and the rooms above it in the table of its README. recovery/ uses store/, but for
its C interface; tools/ uses both; never the other way round. A unit is a header and the source of the same name: inside
a room, too, no unit may use one that uses it, over any number of others.
"""
import argparse
import pathlib
import re
import sys
import tempfile
import unittest

SOURCE = None  # set from the command line, below
LAYERS = ("store", "recovery", "tools")
# Files that do input or output have one of these; a value or a pure function has none.
OUTSIDE = re.compile(r'#include <(?:sys/(?!types\.h)\w+\.h|unistd\.h|fcntl\.h|sqlite3\.h|fstream|filesystem|poll\.h)>')


def rooms_of(source, layer):
    """The rooms in the order of their levels, without include/, which holds what is installed."""
    text = (source / layer / "README.md").read_text(encoding="utf-8")
    return [room for room in re.findall(r"^\| `(\w+)/` \| \S.*\.+ \|$", text, re.MULTILINE) if room != "include"]


def sources(source, layer):
    return sorted(p for p in (source / layer).rglob("*")
                  if p.suffix in (".cc", ".hpp") and "include" not in p.relative_to(source / layer).parts[:1])


def includes(path):
    return re.findall(r'^#include "(store|recovery|tools)/([^"]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)


def flaws(source):
    """What is in no room, and each include of a room or layer that may not be used."""
    rooms = {layer: rooms_of(source, layer) for layer in ("store", "recovery")}
    found = []
    for layer in LAYERS:
        for path in sources(source, layer):
            name = str(path.relative_to(source))
            room = path.relative_to(source / layer).parts[0]
            if layer in rooms and room not in rooms[layer]:
                found.append(f"{name} is in no room of {layer}/README.md")
                continue
            for to_layer, rest in includes(path):
                to_room = rest.split("/")[0]
                if LAYERS.index(to_layer) > LAYERS.index(layer):
                    found.append(f"{name} uses {to_layer}/{rest}, which is a layer above")
                elif to_layer in rooms and to_room not in rooms[to_layer]:
                    found.append(f"{name} uses {to_layer}/{rest}, which is in no room")
                elif to_layer == layer and layer in rooms and \
                        rooms[layer].index(to_room) > rooms[layer].index(room):
                    found.append(f"{name} uses {to_layer}/{rest}, which stands below it in the table")
                elif layer == "recovery" and (to_layer, to_room) == ("store", "capi") and room != "capi":
                    found.append(f"{name} uses {to_layer}/{rest}, which is for recovery/capi alone")
    return found


def units(source):
    """Each unit with those that its header and its source include."""
    uses = {}
    for layer in LAYERS:
        for path in sources(source, layer):
            unit = str(path.relative_to(source).with_suffix(""))
            used = {str(pathlib.PurePath(to_layer, rest).with_suffix("")) for to_layer, rest in includes(path)}
            uses.setdefault(unit, set()).update(used - {unit})
    return uses


def circles(uses):
    """Units that use each other, directly or over others: a sorted list for each such group (Tarjan)."""
    number, lowest, stack, found = {}, {}, [], []

    def visit(unit):
        number[unit] = lowest[unit] = len(number)
        stack.append(unit)
        for used in sorted(uses.get(unit, ())):
            if used not in number:
                visit(used)
                lowest[unit] = min(lowest[unit], lowest[used])
            elif used in stack:
                lowest[unit] = min(lowest[unit], number[used])
        if lowest[unit] == number[unit]:
            group = stack[stack.index(unit):]
            del stack[stack.index(unit):]
            if len(group) > 1:
                found.append(sorted(group))

    for unit in sorted(uses):
        if unit not in number:
            visit(unit)
    return found


class Rooms(unittest.TestCase):
    def test_no_include_points_upwards(self):
        self.assertEqual(flaws(SOURCE), [])

    def test_no_units_use_each_other(self):
        uses = units(SOURCE)
        self.assertGreater(len(uses), 150)
        self.assertEqual(circles(uses), [])

    def test_units_that_use_each_other_would_be_found(self):
        uses = {"a": {"b", "z"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "d"}, "z": set()}
        self.assertEqual(circles(uses), [["a", "b", "c"], ["d", "e"]])

    def test_each_room_of_the_tables_is_there_and_has_files(self):
        for layer, least in (("store", 10), ("recovery", 5)):
            rooms = rooms_of(SOURCE, layer)
            self.assertGreaterEqual(len(rooms), least)
            self.assertEqual(len(rooms), len(set(rooms)))
            there = {p.relative_to(SOURCE / layer).parts[0] for p in sources(SOURCE, layer)}
            self.assertEqual(there, set(rooms))

    def test_values_and_pure_functions_do_no_input_or_output(self):
        for room in ("text", "model", "classes"):
            for path in sources(SOURCE, f"store/{room}"):
                self.assertIsNone(OUTSIDE.search(path.read_text(encoding="utf-8")), path)

    def test_a_pure_unit_test_does_no_input_or_output(self):
        listed = re.search(r"add_library\(pure_test_objects OBJECT([^)]*)\)",
                           (SOURCE / "tests/CMakeLists.txt").read_text(encoding="utf-8")).group(1).split()
        self.assertGreater(len(listed), 20)
        for name in listed:
            text = (SOURCE / "tests" / name).read_text(encoding="utf-8")
            self.assertIsNone(OUTSIDE.search(text), name)
            self.assertEqual(re.findall(r'^#include "(?!store/)[^"]+"', text, re.MULTILINE), [], name)

    def test_an_include_that_points_upwards_would_be_found(self):
        with tempfile.TemporaryDirectory(prefix="xlrooms-") as directory:
            tree = pathlib.Path(directory)
            table = "| `{}/` | What. |\n| `{}/` | What. |\n"
            for layer, names in (("store", ("low", "capi")), ("recovery", ("low", "high"))):
                for name in names:
                    (tree / layer / name).mkdir(parents=True)
                (tree / layer / "README.md").write_text(table.format(*names), encoding="utf-8")
            (tree / "tools").mkdir()
            wrong = {"store/low/a.cc": "store/capi/b.hpp", "store/capi/b.cc": "recovery/low/c.hpp",
                     "recovery/low/c.cc": "recovery/high/d.hpp", "recovery/high/d.cc": "store/capi/b.hpp",
                     "recovery/high/e.cc": "store/f.hpp", "store/g.cc": "store/low/a.hpp"}
            right = {"store/capi/h.cc": "store/low/a.hpp", "recovery/high/i.cc": "store/low/a.hpp",
                     "tools/j.cc": "recovery/high/d.hpp", "store/low/k.cc": "store/low/a.hpp"}
            for name, used in (wrong | right).items():
                (tree / name).write_text(f'#include "{used}"\n', encoding="utf-8")
            self.assertEqual(sorted(flaw.split()[0] for flaw in flaws(tree)), sorted(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    arguments, rest = parser.parse_known_args()
    SOURCE = arguments.source.resolve()
    unittest.main(argv=[sys.argv[0], "-v", *rest])
