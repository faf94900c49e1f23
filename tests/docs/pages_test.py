#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The pages that are made from headers and schema say what those have, and render; examples of all pages run.

    tests/docs/pages_test.py --build build --bin build/bin [TEST ...]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = BIN = None  # set from the command line, below


def made(name):
    return (BUILD / "tools/man/made" / name).read_text(encoding="utf-8")


def unescaped(page):
    return re.sub(r"\\&|\\(?=-)", "", page).replace("\\e", "\\")


def rendered(path):
    done = subprocess.run(["man", "--warnings", "-l", str(path)], capture_output=True, text=True, check=False, timeout=60,
                          cwd=BUILD / "tools/man/made",
                          env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANPAGER": "cat"})
    if done.returncode or done.stderr:
        raise AssertionError(f"{path}\n{done.stderr}")
    return done.stdout


def xlstore(store, *words):
    done = subprocess.run([str(BIN / "xlstore"), "--store", str(store), *map(str, words)], capture_output=True, text=True,
                          check=False, timeout=60)
    if done.returncode or done.stderr:
        raise AssertionError(f"{words}: {done.returncode} {done.stderr}")
    return done.stdout


class Library(unittest.TestCase):
    """libxlstore(3) and its pages."""

    headers = [path for folder in ("store/include/xlstore", "recovery/include/xlstore") for path in (SOURCE / folder).glob("*.h")]

    def test_every_declaration_is_on_the_page_of_its_header(self):
        """A line of C is on the page as it is in the header, in its order."""
        count = 0
        for header in self.headers:
            text = re.sub(r"^/\*.*?\*/[ ]*$", "", header.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
            text = re.sub(r"#ifdef __(?:cplusplus|GNUC__)\n.*?#endif\n", "", text, flags=re.DOTALL)
            wanted = [line for line in text.splitlines()
                      if line.strip() and not re.match(r"#include|#(?:ifndef|define|endif)\b.*_H_\b", line)]
            if not wanted:
                continue
            page = unescaped(made(f"man3/libxlstore_{header.stem}.3")).splitlines()
            self.assertEqual([line for line in page if line in set(wanted)], wanted, header.name)
            count += len(wanted)
        self.assertGreater(count, 400)

    def test_every_word_of_the_comments_is_there(self):
        for header in self.headers:
            text = header.read_text(encoding="utf-8")
            comments = " ".join(re.findall(r"^/\*(.*?)\*/[ ]*$", text, re.MULTILINE | re.DOTALL))
            words = re.sub(r"^ ?\* ?| -{4,} | ?-{4,}|SPDX-License-Identifier: MIT", " ", comments, flags=re.MULTILINE).split()
            pages = made("man3/libxlstore.3")
            if (BUILD / f"tools/man/made/man3/libxlstore_{header.stem}.3").exists():
                pages += made(f"man3/libxlstore_{header.stem}.3")
            said = set(unescaped(pages).split())
            self.assertEqual([word for word in words if word not in said and word != "*"], [], header.name)

    def test_every_function_has_its_name_as_a_page(self):
        pages = {path.stem for path in (BUILD / "tools/man/made/man3").glob("*.3")}
        declared = set()
        for header in self.headers:
            text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
            declared |= set(re.findall(r"^\w[\w* ]*?\b(xlstore_\w+)\(", text, re.MULTILINE))
        self.assertGreater(len(declared), 100)
        self.assertEqual({page for page in pages if page.startswith("xlstore_")}, declared)
        for name in declared:
            to = re.fullmatch(r"\.so (man3/libxlstore_\w+\.3)\n", made(f"man3/{name}.3"))
            self.assertIn(name, made(to[1]))

    def test_pages_render_without_warnings(self):
        if not shutil.which("man"):
            self.skipTest("man is not there: the pages were not rendered")
        pages = sorted((BUILD / "tools/man/made/man3").glob("libxlstore*.3")) + [BUILD / "tools/man/made/man5/xlstore.db.5"]
        for page in pages:
            self.assertIn("SEE ALSO", rendered(page))
        self.assertIn("xlstore_recover", rendered(BUILD / "tools/man/made/man3/xlstore_recover.3"))


class Database(unittest.TestCase):
    """xlstore.db(5), beside a store as xlstore makes it."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xlpages-")
        cls.store = pathlib.Path(cls.directory.name) / "store"
        xlstore(cls.store, "init")
        cls.page = unescaped(made("man5/xlstore.db.5"))

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def names(self, kind):
        return xlstore(self.store, "sql", f"SELECT name FROM sqlite_master WHERE type = '{kind}' AND name NOT LIKE 'sqlite\\_%' "
                       "ESCAPE '\\'").split()

    def columns(self, name):
        return xlstore(self.store, "sql", f"SELECT name FROM pragma_table_info('{name}')").split()

    def test_every_view_with_its_columns(self):
        sections = dict(re.findall(r"^\.Ss (\w+)\n(.*?)(?=^\.S[sh])", self.page, re.MULTILINE | re.DOTALL))
        self.assertEqual(sorted(sections), sorted(self.names("view")))
        for view, section in sections.items():
            self.assertEqual([c for c in self.columns(view) if not re.search(rf"\b{c}\b", section)], [], view)

    def test_every_table_with_its_columns(self):
        entries = dict(re.findall(r"^\.It Sy (\w+)\n(.*?)(?=^\.It|^\.El)", self.page, re.MULTILINE | re.DOTALL))
        self.assertEqual(sorted(entries), sorted(self.names("table")))
        for table, entry in entries.items():
            told = re.search(r"Columns: (.*)\.$", " ".join(entry.split()))[1].split(", ")
            self.assertEqual(told, self.columns(table), table)

    def test_its_version_and_its_example(self):
        version = xlstore(self.store, "sql", "PRAGMA user_version").strip()
        self.assertIn(f"As of schema version {version}.", self.page)
        example = re.search(r"^\.Sh EXAMPLES\n.*?^\.Bd [^\n]*\n(.*?)^\.Ed", self.page, re.MULTILINE | re.DOTALL)[1]
        self.assertEqual(xlstore(self.store, "sql", example), "")


class Synopses(unittest.TestCase):
    """An option that may be given alone stands in no other's brackets: two `Op` on a line nest in mdoc."""

    @staticmethod
    def depths(tokens):
        """How deep each option stands in brackets: "[", "]", names of options; of one that is named twice the first."""
        depth, of = 0, {}
        for token in tokens:
            depth += (token == "[") - (token == "]")
            if token not in "[]":
                of.setdefault(token, depth)
        return of

    def of_page(self, line):
        words = line.replace(" Ns", "").split()
        tokens = []
        for at, word in enumerate(words):
            if word in ("Op", "Oo", "Oc"):
                tokens.append("]" if word == "Oc" else "[")
            elif word == "Fl" and words[at + 1].startswith("-") and len(words[at + 1]) > 1:
                tokens.append("-" + words[at + 1])
        return self.depths(tokens)

    def test_none_is_deeper_in_brackets_than_help_has_it(self):
        compared = 0
        for page, program in (("xlstore.1", "xlstore"), ("xlstore-fleet.1", "xlstore-fleet")):
            if not (BIN / program).exists():
                continue
            text = (SOURCE / "tools/man" / page).read_text(encoding="utf-8")
            for verb, rest in re.findall(r"^\.It Ic ([a-z-]+) (.*\bOp\b.*)$", text, re.MULTILINE):
                said = subprocess.run([BIN / program, verb, "--help"], capture_output=True, text=True, check=True).stdout
                synopsis = next(line for line in said.splitlines() if f"] {verb} " in line).split(" -- ")[0]
                here = self.of_page(rest)
                there = self.depths(re.findall(r"\[(?!OPTIONS)|(?<!OPTIONS)\]|--[a-z-]+", synopsis))
                compared += len(here.keys() & there.keys())
                deeper = {option for option, depth in here.items() if depth > there.get(option, depth)}
                self.assertEqual(deeper, set(), f"{program} {verb}: {synopsis}")
        self.assertGreater(compared, 20)


class Examples(unittest.TestCase):
    """What the hand-written pages show of xlstore and xlfsck is accepted by them: verbs and options exist."""

    def examples(self):
        for page in sorted((SOURCE / "tools/man").glob("*.[1-8]")):
            text = page.read_text(encoding="utf-8")
            for block in re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed", text, re.MULTILINE | re.DOTALL):
                for command in re.findall(r"^(?:[#$] )?((?:xlstore|xlfsck) .*(?:\\\n.*)*)", block, re.MULTILINE):
                    yield page.name, command.replace("\\\n", " ").replace("\\&", "").split(" -- ")[0].split()

    def test_every_command_of_an_example_exists(self):
        verbs = subprocess.run([BIN / "xlstore", "--help"], capture_output=True, text=True, check=True).stdout
        help_of = {"xlfsck": subprocess.run([BIN / "xlfsck", "--help"], capture_output=True, text=True, check=True).stdout}
        found = 0
        for page, words in self.examples():
            with self.subTest(page=page, words=words):
                found += 1
                program, *rest = words
                text = help_of.get("xlfsck")
                if program == "xlstore":
                    verb = next(word for word in rest if not word.startswith("-") and re.search(rf"^  {re.escape(word)} ", verbs, re.MULTILINE))
                    if verb not in help_of:
                        help_of[verb] = subprocess.run([BIN / "xlstore", verb, "--help"], capture_output=True, text=True, check=True).stdout
                    text = help_of[verb] + verbs
                for option in (word.split("=")[0] for word in rest if re.match(r"--?[a-zA-Z]", word)):
                    self.assertRegex(text, rf"(?<![\w-]){re.escape(option)}(?![\w-])")
        self.assertGreater(found, 5)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path, help="a directory that CMake has configured")
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="directory of xlstore and xlfsck")
    arguments, rest = parser.parse_known_args()
    BUILD, BIN = arguments.build.resolve(), arguments.bin.resolve()
    os.environ.pop("XLSTORE_DIR", None)
    unittest.main(argv=[sys.argv[0], "-v", *rest])
