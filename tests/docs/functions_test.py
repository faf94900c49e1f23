#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""No function of store/ and recovery/ has more than 70 lines.

    tests/docs/functions_test.py [--source DIR] [TEST ...]

A function starts where its head does and ends with the brace that closes its body. What does not fit on a screen does
more than one thing: split it by what it does.
"""
import argparse
import pathlib
import re
import sys
import tempfile
import unittest

SOURCE = None  # set from the command line, below
MOST = 70
# A body opens with a brace alone on its line, or, within a class, at the end of the head.
BODY = re.compile(r"^(?P<indent> *)(?:\{|[^ ].*\) (?:const |noexcept |override )*\{)$")
NO_FUNCTION = re.compile(r"\b(?:if|for|while|switch|catch|namespace)\b")


def functions(text):
    """(first line, lines, head) of each function."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        body = BODY.match(lines[number])
        if not body or NO_FUNCTION.search(lines[number]):
            number += 1
            continue
        first = number
        while first > 0 and lines[first - 1].strip() and \
                not re.match(r" *(?:[})#]|//|/\*|\*|\w+:$)|.*[;{}]$", lines[first - 1]):
            first -= 1
        end = number
        while lines[end] != body["indent"] + "}" and lines[end] != body["indent"] + "};":
            end += 1
        yield first + 1, end - first + 1, lines[first].strip()
        number = end + 1


def sources(source):
    return sorted(p for layer in ("store", "recovery") for p in (source / layer).rglob("*")
                  if p.suffix in (".cc", ".hpp"))


def too_long(source):
    return [f"{path.relative_to(source)}:{first}: {lines} lines: {head}"
            for path in sources(source)
            for first, lines, head in functions(path.read_text(encoding="utf-8")) if lines > MOST]


class Functions(unittest.TestCase):
    def test_none_is_longer_than_a_screen(self):
        self.assertEqual(too_long(SOURCE), [])

    def test_functions_are_found(self):
        heads = [head for path in sources(SOURCE)
                 for _, _, head in functions(path.read_text(encoding="utf-8"))]
        self.assertGreater(len(heads), 1000)
        self.assertTrue(any(head.startswith("Result<Plan> compile_plan(") for head in heads))

    def test_a_long_one_would_be_found(self):
        statement = "    work();\n"
        for length, found in ((MOST, []), (MOST + 1, None)):
            for head in ("void f(int a,\n       int b)\n{{\n{}}}\n", "Task<int>\nf()\n{{\n{}}}\n"):
                with tempfile.TemporaryDirectory(prefix="xlfunctions-") as directory:
                    tree = pathlib.Path(directory)
                    (tree / "store").mkdir()
                    body = statement * (length - head.count("\n"))
                    (tree / "store/a.cc").write_text("// Before.\n" + head.format(body), encoding="utf-8")
                    names = [line.split(":")[0] for line in too_long(tree)]
                    self.assertEqual(names, ["store/a.cc"] if found is None else found)

    def test_one_within_a_class_would_be_found(self):
        with tempfile.TemporaryDirectory(prefix="xlfunctions-") as directory:
            tree = pathlib.Path(directory)
            (tree / "recovery").mkdir()
            text = "class A {\npublic:\n    int f() const noexcept {\n" + "        work();\n" * MOST + "    }\n};\n"
            (tree / "recovery/a.hpp").write_text(text, encoding="utf-8")
            self.assertEqual([line.split(": ")[0] for line in too_long(tree)], ["recovery/a.hpp:3"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    arguments, rest = parser.parse_known_args()
    SOURCE = arguments.source.resolve()
    unittest.main(argv=[sys.argv[0], "-v", *rest])
