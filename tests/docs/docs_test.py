#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Documents say what the programs do.

    tests/docs/docs_test.py --bin build/bin [--source DIR] [TEST ...]

Runs what the documents tell a reader to run, and compares manual pages with the programs and tables
they describe. Needs Python 3 alone; where another program is missing (man, a compiler), the test that
needs it is skipped and says so.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

BIN = SOURCE = None  # set from the command line, below


def run(*words, status=0, **options):
    """Output of a command that has to end with `status` and say nothing on standard error."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120, check=False,
                          **options)
    if done.returncode != status or (status == 0 and done.stderr):
        raise AssertionError(f"{' '.join(map(str, words))}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read(name):
    return (SOURCE / name).read_text(encoding="utf-8")


def fences(name, language):
    """(line number, text) of each fenced block of a Markdown file."""
    text = read(name)
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start()) + 2, m.group(1)) for m in found]


def verbs_of_help():
    listed = run(BIN / "xlstore", "--help").split("Subcommands:\n", 1)[1]
    return re.findall(r"^  (\S+)", listed, re.MULTILINE)


def options_of(text):
    return set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", text))


def options_of_page(page):
    """Every option that the page has an entry for, or that stands in the heading of another entry."""
    flags = set()
    for heading in re.findall(r"^\.It (.*)$", page, re.MULTILINE):
        for part in re.findall(r"\bFl ((?:-?[\w-]+)(?: , -?[\w-]+)*)", heading):
            flags |= {"-" + flag for flag in part.split(" , ")}
    return flags


class Cookbook(unittest.TestCase):
    """schema/README.md, on a store with two domains."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xldocs-")
        cls.store = pathlib.Path(cls.directory.name) / "store"
        cls.xlstore("init")
        cls.xlstore("import", 7, SOURCE / "tools/examples/web01.json")
        cls.xlstore("import", 8, SOURCE / "tests/unit/samples/pvh-60-disks.json")

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @classmethod
    def xlstore(cls, *words):
        return run(BIN / "xlstore", "--store", cls.store, *words)

    def columns(self, view):
        return self.xlstore("sql", f"SELECT name FROM pragma_table_info('{view}')").split()

    def test_every_query_runs_as_written(self):
        queries = fences("schema/README.md", "sql")
        self.assertGreaterEqual(len(queries), 15)
        for line, query in queries:
            with self.subTest(line=line):
                self.xlstore("sql", query)

    def test_every_view_is_explained_with_its_columns(self):
        sections = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", read("schema/README.md"), re.MULTILINE | re.DOTALL))
        views = self.xlstore("sql", "SELECT name FROM sqlite_master WHERE type = 'view'").split()
        self.assertEqual(sorted(sections), sorted(views))
        for view, section in sections.items():
            with self.subTest(view=view):
                cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
                told = re.findall(r"`(\w+)`", " ".join(cells) if cells else section)
                columns = self.columns(view)
                self.assertEqual([c for c in columns if c not in told], [], "not explained")
                if cells:
                    self.assertEqual([c for c in told if c not in columns], [], "no such column")

    def test_columns_of_history_are_explained(self):
        section = re.search(r"^### History\n(.*?)^##", read("schema/README.md"), re.MULTILINE | re.DOTALL).group(1)
        told = re.findall(r"`(\w+)`", section)
        self.assertEqual([c for c in self.columns("history") if c not in told], [])

    def test_the_example_document_comes_back_byte_for_byte(self):
        exported = run(BIN / "xlstore", "--store", self.store, "export", "domid:7")
        self.assertEqual(exported.rstrip("\n"), read("tools/examples/web01.json").rstrip("\n"))


class ManualPages(unittest.TestCase):
    def test_every_verb_is_in_the_manual_and_in_the_tour(self):
        verbs = verbs_of_help()
        self.assertGreaterEqual(len(verbs), 20)
        page = re.findall(r"^\.It Ic (\S+)", read("tools/man/xlstore.1"), re.MULTILINE)
        self.assertEqual(sorted(set(page)), sorted(verbs))
        tour = read("tools/README.md")
        told = set(re.findall(r"xlstore ([a-z-]+)", tour)) | set(re.findall(r"`([a-z-]+)[ `]", tour))
        self.assertEqual([v for v in verbs if v not in told], [], "not in tools/README.md")

    def test_every_option_of_xlstore_is_in_its_manual(self):
        options = options_of(run(BIN / "xlstore", "--help"))
        for verb in verbs_of_help():
            options |= options_of(run(BIN / "xlstore", verb, "--help"))
        self.assertIn("--handed-in", options)
        self.assertEqual(sorted(options - options_of_page(read("tools/man/xlstore.1"))), [])
        self.assertEqual(sorted(options_of_page(read("tools/man/xlstore.1")) - options - {"--"}), [], "no such option")

    def test_every_option_of_xlfsck_is_in_its_manual(self):
        options = options_of(run(BIN / "xlfsck", "--help"))
        self.assertIn("-p", options)
        self.assertEqual(sorted(options - options_of_page(read("tools/man/xlfsck.8"))), [])
        self.assertEqual(sorted(options_of_page(read("tools/man/xlfsck.8")) - options), [], "no such option")

    def test_versions_are_those_of_what_is_there(self):
        release = re.search(r"project\(xlstore VERSION (\S+)", read("CMakeLists.txt")).group(1)
        schema = len(list((SOURCE / "schema").glob("0*.sql")))
        for tool in ("xlstore", "xlfsck"):
            for flag in ("-V", "--version"):
                lines = run(BIN / tool, flag).splitlines()
                self.assertEqual(lines[:2], [f"{tool} {release}", f"schema version {schema}"])
                self.assertRegex(lines[2], r"^SQLite 3\.\d+\.\d+$")
                qemu = shutil.which("qemu-system-x86_64")
                self.assertRegex(lines[3], r"^qemu-system-x86_64 \d+\.\d+" if qemu else "")
        told = json.loads(run(BIN / "xlstore", "--json", "--version"))
        self.assertEqual((told["version"], told["schema"]), (release, schema))

    def test_every_problem_has_an_entry(self):
        numbers = dict(re.findall(r"(\w+) = (\d+),", re.search(
            r"enum class Code.*?\};", read("recovery/base/problem.hpp"), re.DOTALL).group(0)))
        bits = dict(re.findall(r"(\w+) = (\d+),", re.search(
            r"enum class Exit.*?\};", read("recovery/base/problem.hpp"), re.DOTALL).group(0)))
        table = read("recovery/base/problem.cc")
        string = r'"((?:[^"\\]|\\.)*)"'
        rows = re.findall(rf"Problem\{{\s*Code::(\w+),\s*{string},\s*{string},\s*{string},\s*{string},"
                          r"\s*(?:true|false),\s*Exit::(\w+)\s*\}", table)
        self.assertEqual(len(rows), len(re.findall(r"Problem\{\s*Code::", table)), "the table is not read as it is written")
        entries = {}
        for number, name, text in re.findall(r"^\.It Sy (\d+) (\w+)\n(.*?)(?=^\.It|^\.El)",
                                             read("tools/man/xlfsck.8"), re.MULTILINE | re.DOTALL):
            entries[number] = (name, text)
        self.assertEqual(sorted(entries, key=int), sorted((numbers[row[0]] for row in rows), key=int))
        for code, name, message, question, fixed, exit_bit in rows:
            with self.subTest(problem=name):
                told_name, text = entries[numbers[code]]
                self.assertEqual(told_name, name)
                self.assertIn(f".Dq {message} .\n", text)
                self.assertIn("No bit." if bits[exit_bit] == "0" else f"Bit {bits[exit_bit]}.", text)
                if question:
                    self.assertIn(f".Pq {fixed} .\n", text)
                    self.assertIn(".Em Repair :\n", text)

    def test_the_passes_of_the_manual_are_those_that_run(self):
        declared = re.findall(r"\bpass(\d)_\w+\(", read("recovery/passes/passes.hpp"))
        declared = list(dict.fromkeys(declared))  # pass 6 has two parts
        page = read("tools/man/xlfsck.8")
        listed = re.search(r"^\.Ss Passes\n(.*?)^\.S[sh]", page, re.MULTILINE | re.DOTALL).group(1)
        self.assertEqual(re.findall(r"^\.It (\d)$", listed, re.MULTILINE), declared)
        sections = re.findall(r"^\.Ss Pass (\d): [^\n]*\n(.*?)(?=^\.S[sh])", page, re.MULTILINE | re.DOTALL)
        # The last is no pass over a store: a host that has none.
        self.assertEqual([number for number, _ in sections], [*sorted(declared), "7"])
        for number, section in sections:
            problems = re.findall(r"^\.It Sy (\d+) ", section, re.MULTILINE)
            self.assertEqual({int(problem) // 1000 for problem in problems}, {int(number)})

    def statuses_of_design(self, tool):
        """number: text, of one of the two tables of statuses."""
        table = re.search(rf"^\| status of `{tool}`.*?\n\n", read("store/DESIGN.md"), re.MULTILINE | re.DOTALL)
        return dict(re.findall(r"^\| (\d+) \| ([^|]*?) \|", table.group(0), re.MULTILINE))

    def statuses_of_page(self, page):
        listed = re.search(r"^\.Sh EXIT STATUS\n(.*?)^\.El", read(page), re.MULTILINE | re.DOTALL).group(1)
        items = re.findall(r"^\.It (\d+)\n(.*?)(?=^\.It|\Z)", listed, re.MULTILINE | re.DOTALL)
        return {number: " ".join(text.split()) for number, text in items}

    def test_a_status_means_the_same_everywhere(self):
        for tool, page in (("xlstore", "tools/man/xlstore.1"), ("xlfsck", "tools/man/xlfsck.8")):
            told = self.statuses_of_design(tool)
            self.assertGreaterEqual(len(told), 6)
            self.assertEqual(self.statuses_of_page(page), told)
        bits = re.findall(r"(?m)= (\d+), +///< (.*)$", re.search(
            r"enum class Exit.*?\};", read("recovery/base/problem.hpp"), re.DOTALL).group(0))
        self.assertEqual([bit for bit, _ in bits], list(told))
        header = re.findall(r"#define XLSTORE_FSCK_\w+ (\d+) +/\* (.*?) \*/", read("recovery/include/xlstore/recovery.h"))
        self.assertEqual(len(header), 4)
        for bit, text in bits + header:  # the manual may say more: the tool writes output, too
            self.assertTrue(told[bit].startswith(text), f"{bit}: {text}")

    def test_an_error_code_means_the_same_everywhere(self):
        def joined(text):
            return re.sub(r"\s*(?:///<)?\s+", " ", text).strip()
        codes = re.search(r"enum class Errc \{\n(.*?)\n\};", read("store/base/error.hpp"), re.DOTALL).group(1)
        codes = {name: joined(text) for name, text in re.findall(r"(\w+), +///< (.*?)(?=\n    \w|\Z)", codes, re.DOTALL)}
        self.assertGreater(len(codes), 15)
        header = re.findall(r"#define XLSTORE_E_(\w+) \(-\d+\) +/\* (.*?) \*/", read("store/include/xlstore/status.h"),
                            re.DOTALL)
        self.assertEqual({name.lower(): joined(text) for name, text in header}, codes)
        listed = re.search(r"^The codes never change:\n(.*?)^\.El", read("tools/man/xlstore.1"), re.MULTILINE | re.DOTALL)
        page = re.findall(r"^\.It Cm (\w+)\n(.*?)(?=^\.It|\Z)", listed.group(1), re.MULTILINE | re.DOTALL)
        self.assertEqual({name: joined(text) for name, text in page}, codes)

    def test_pages_render_without_warnings(self):
        if not shutil.which("man"):
            self.skipTest("man is not there: the pages were not rendered")
        for page in sorted((SOURCE / "tools/man").glob("*.[1-8]")):
            with self.subTest(page=page.name):
                text = run("man", "--warnings", "-l", page,
                           env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANPAGER": "cat"})
                self.assertIn("EXIT STATUS", text)


class Advice(unittest.TestCase):
    """Where a message or the manual tells to run a command, that command and its options exist."""

    # Literals that stand side by side are one; what is put in between at run time ends the command.
    LITERALS = re.compile(r'"(?:[^"\\\n]|\\.)*"(?:\s*"(?:[^"\\\n]|\\.)*")*')
    COMMAND = re.compile(r"(?:'|\brun |\band run )(xlstore|xlfsck)((?: [^',;:.]*)?)")

    def commands(self):
        """(file, "xlstore" or "xlfsck", its words)"""
        sources = [path for folder in ("store", "recovery", "tools") for path in (SOURCE / folder).rglob("*.cc")]
        self.assertGreater(len(sources), 50)
        for path in sources:
            text = re.sub(r"^\s*//.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
            for literal in self.LITERALS.findall(text):
                joined = re.sub(r'"\s*"', "", literal)[1:-1]
                for program, words in self.COMMAND.findall(joined):
                    yield path.name, program, words.split()
        for name in ("xlstore.1", "xlfsck.8"):
            for words in re.findall(r"^\.Ql (xl(?:store|fsck) [a-z].*)$", read(f"tools/man/{name}"), re.MULTILINE):
                program, *rest = words.replace(" .", "").split()
                yield name, program, rest

    def test_every_command_that_is_advised_exists(self):
        verbs = verbs_of_help()
        options = {verb: options_of(run(BIN / "xlstore", verb, "--help")) for verb in verbs}
        of_fsck = options_of(run(BIN / "xlfsck", "--help"))
        found = 0
        for where, program, words in self.commands():
            with self.subTest(where=where, program=program, words=words):
                found += 1
                flags = [word for word in words if word.startswith("-")]
                if program == "xlfsck":
                    self.assertEqual([f for f in flags if f not in of_fsck], [])
                elif words and words[0] not in ("--help",):
                    self.assertIn(words[0], verbs)
                    self.assertEqual([f for f in flags if f not in options[words[0]]], [])
        self.assertGreater(found, 20)

    def test_an_advice_that_leads_nowhere_would_be_found(self):
        wrong = "\n".join(['Error(x, "a", "run \'xlstore rescue\' "', '    "first");',
                           'Error(x, "a", "run xlfsck --heal");'])
        found = [(program, words.split()) for literal in self.LITERALS.findall(wrong)
                 for program, words in self.COMMAND.findall(re.sub(r'"\s*"', "", literal)[1:-1])]
        self.assertEqual(found, [("xlstore", ["rescue"]), ("xlfsck", ["--heal"])])


class Explain(unittest.TestCase):
    def test_every_problem_is_explained_by_the_manual(self):
        entries = re.findall(r"^\.It Sy (\d+) (\w+)$", read("tools/man/xlfsck.8"), re.MULTILINE)
        self.assertGreater(len(entries), 50)
        for number, name in entries:
            with self.subTest(problem=name):
                told = run(BIN / "xlfsck", "--explain", number)
                self.assertTrue(told.startswith(f"{number} {name}\n"), told)
                self.assertEqual(told, run(BIN / "xlfsck", f"--explain={name}"))


def long_lines(source):
    """Numbers of lines above 100 columns outside tables."""
    found, table = [], False
    for number, line in enumerate(source.splitlines(), 1):
        table = "clang-format off" in line or (table and "clang-format on" not in line)
        if len(line) > 100 and not table:
            found.append(number)
    return found


def mutations_with_code(source):
    """Guards whose mutation runs code of its own: `if (XLSTORE_MUTATION("…") …)` with more than a return."""
    found = re.finditer(r'\bif \(XLSTORE_MUTATION\("([^"]+)"\)[^;{]*?(?:\)\s*(?P<code>\{|for|if|while|[^;]*;))', source)
    return [one[1] for one in found if not re.match(r"(co_)?return\b", one["code"])]


class Design(unittest.TestCase):
    """store/DESIGN.md has a row for each rule: where it is kept, what tries it, what happens without it."""

    def setUp(self):
        self.rules = self.rules_of(read("store/DESIGN.md"))
        self.sources = [p for p in (SOURCE / "tests").rglob("*") if p.suffix in (".cc", ".py")]
        self.tests = "\n".join(p.read_text(encoding="utf-8") for p in self.sources)
        self.mutants = read("tests/crash/mutants.py")

    @staticmethod
    def rules_of(text):
        rows = re.findall(r"^\| (R\d+) \|[^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
        return {rule: (code, test, mutation.strip()) for rule, code, test, mutation in rows}

    def lacks(self, rule, test, mutation):
        """What the row of a rule lacks, in words; [] if it has a test that exists and a mutation that is tried."""
        lacking = []
        names = re.findall(r"`([^`]+)`", test)
        if not names:
            lacking.append("no test")
        for name in names:
            if name.endswith((".py", ".cc")):
                found = name in [p.name for p in self.sources]
            else:
                suite, _, case = name.partition(".")
                found = re.search(rf"TEST(_[FP])?\({suite}, {case}\)", self.tests)
            if not found:
                lacking.append(f"no such test: {name}")
        # "none: REASON" where no program can tell the difference; "none" alone is no answer.
        if not re.fullmatch(r"none: \w.{20,}", mutation) and not re.search(
                rf'"{re.escape(mutation)}",\s+"{rule}"', self.mutants):
            lacking.append(f"no such mutation: {mutation}")
        return lacking

    def test_each_rule_that_is_named_has_its_row(self):
        named = set()
        for folder in ("store", "recovery", "schema", "tools"):
            for path in (SOURCE / folder).rglob("*"):
                if path.suffix in (".cc", ".hpp", ".h", ".sql", ".md"):
                    named |= set(re.findall(r"\bR(?:[1-9]|1\d|2\d)\b", path.read_text(encoding="utf-8")))
        self.assertEqual(named, set(self.rules))

    def test_the_code_of_a_rule_names_it(self):
        for rule, (code, _, _) in self.rules.items():
            places = re.findall(r"`([^`]+)`", code)
            self.assertTrue(places, rule)
            for place in places:
                self.assertRegex(read(place), rf"\b{rule}\b", place)

    def test_each_rule_has_a_test_and_a_mutation(self):
        for rule, (_, test, mutation) in self.rules.items():
            with self.subTest(rule=rule):
                self.assertEqual(self.lacks(rule, test, mutation), [])

    def test_a_mutation_adds_nothing_to_the_product(self):
        """A guard is disabled by its condition; what else a mutation does is in a patch of tests/crash/mutants."""
        for folder in ("store", "recovery", "tools"):
            for path in (SOURCE / folder).rglob("*.cc"):
                self.assertEqual(mutations_with_code(path.read_text(encoding="utf-8")), [], path)
        self.assertEqual(mutations_with_code('if (!a && !XLSTORE_MUTATION("a guard")) {\n'), [])
        self.assertEqual(mutations_with_code('if (XLSTORE_MUTATION("a guard")) co_return ok;\n'), [])
        self.assertEqual(mutations_with_code('if (XLSTORE_MUTATION("a guard")) {\n  eject();\n}\n'), ["a guard"])
        self.assertEqual(mutations_with_code('if (XLSTORE_MUTATION("a guard") && kill) {\n'), ["a guard"])
        self.assertEqual(mutations_with_code('if (XLSTORE_MUTATION("a guard"))\n  for (auto d : drives)\n'),
                         ["a guard"])

    def test_a_row_without_them_would_be_found(self):
        _, test, mutation = self.rules["R21"]
        self.assertEqual(self.lacks("R21", " ", mutation), ["no test"])
        self.assertEqual(self.lacks("R21", " `ReserveTest.IsNotThere` ", mutation), ["no such test: ReserveTest.IsNotThere"])
        for nothing in ("", "none", "none: ", "fast lock"):
            self.assertEqual(self.lacks("R21", test, nothing), [f"no such mutation: {nothing}"])

    def test_the_files_of_its_walks_exist(self):
        for place in re.findall(r"`((?:store|recovery|tools|tests|schema)/[\w/.]+)", read("store/DESIGN.md")):
            self.assertTrue((SOURCE / place).exists(), place)


class Sources(unittest.TestCase):
    """What CONTRIBUTING.md says of files holds of all of them."""

    def test_longer_sources_open_with_what_they_do(self):
        without = []
        for folder in ("store", "recovery"):
            for path in (SOURCE / folder).rglob("*.cc"):
                lines = path.read_text(encoding="utf-8").splitlines()
                if len(lines) > 200 and not lines[1].startswith("//"):
                    without.append(path.name)
        self.assertEqual(without, [])

    def test_lines_have_at_most_100_columns(self):
        """But for tables, which a formatter does not touch (clang-format off)."""
        files = [path for folder in ("store", "recovery", "tools") for ending in ("*.h", "*.hpp", "*.cc")
                 for path in (SOURCE / folder).rglob(ending)]
        self.assertGreater(len(files), 300)
        long = [f"{path.name}:{number}" for path in files
                for number in long_lines(path.read_text(encoding="utf-8"))]
        self.assertEqual(long, [])
        table = "// clang-format off\n" + "x" * 101 + "\n// clang-format on\n"
        self.assertEqual(long_lines(table + "x" * 100 + "\n" + "x" * 101 + "\n"), [5])

    def test_a_command_within_a_step_is_named(self):
        """gcc 12 destroys it twice if what follows throws (CONTRIBUTING.md)."""
        unnamed = re.compile(r"\bStep\{\s*\{")
        self.assertTrue(unnamed.search('Step{{"add-fd", text()}, other()}'))
        self.assertEqual([path.name for folder in ("store", "recovery", "tools") for path in (SOURCE / folder).rglob("*.cc")
                          if unnamed.search(path.read_text(encoding="utf-8"))], [])

    def test_the_actor_is_named(self):
        """A pronoun for a process or a person hides who acts (CONTRIBUTING.md, style). The steps of 0.1 are kept."""
        words = re.compile(r"\b(?:no|some)" r"body\b|\bwho" r"ever\b|\bwhat" r"ever\b|\bwhich" r"ever\b", re.IGNORECASE)
        files = [path for folder in ("store", "recovery", "tools", "tests", "schema") for path in (SOURCE / folder).rglob("*")
                 if path.suffix in (".c", ".cc", ".h", ".hpp", ".md", ".py", ".sh", ".sql", ".txt", ".1", ".8")
                 and not re.match(r"000[123]_", path.name)] + list(SOURCE.glob("*.md"))
        self.assertGreater(len(files), 400)
        found = [f"{path.relative_to(SOURCE)}: {match}" for path in files
                 for match in words.findall(path.read_text(encoding="utf-8", errors="replace"))]
        self.assertEqual(found, [])

    def test_the_places_that_contributing_names_exist(self):
        page = read("CONTRIBUTING.md")
        places = re.findall(r"`((?:store|recovery|tools|tests|schema)/[\w/.]+)`", page)
        self.assertGreater(len(places), 12)
        self.assertEqual([place for place in places if not (SOURCE / place).exists()], [])
        presets = [preset["name"] for preset in json.loads(read("CMakePresets.json"))["configurePresets"]]
        self.assertEqual([name for name in re.findall(r"--preset (\w+)", page) if name not in presets], [])


class Readme(unittest.TestCase):
    def test_the_embedding_example_compiles(self):
        compiler = os.environ.get("CXX", "g++")
        if not shutil.which(compiler):
            self.skipTest(f"{compiler} is not there: the example was not compiled")
        examples = fences("store/EMBEDDING.md", "cpp")
        self.assertEqual(len(examples), 1)
        run(compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{SOURCE}", "-x", "c++", "-",
            input=examples[0][1])

    def test_what_embedders_are_told_to_call_is_declared(self):
        headers = "".join(path.read_text(encoding="utf-8") for path in [
            *(SOURCE / "store/include/xlstore").glob("*.h"), SOURCE / "recovery/include/xlstore/recovery.h"])
        declared = set(re.findall(r"\b(?:xlstore|XLSTORE)_\w+", headers))
        for name in re.findall(r"`((?:xlstore|XLSTORE)_\w+)", read("store/EMBEDDING.md")):
            self.assertTrue(name in declared or name.endswith("_") and any(d.startswith(name) for d in declared), name)

    def test_what_it_links_to_is_there(self):
        for name in ("README.md", "tools/README.md", "schema/README.md", "store/README.md", "store/DESIGN.md",
                     "store/EMBEDDING.md", "store/ABI.md", "recovery/README.md", "tests/README.md", "CONTRIBUTING.md",
                     "CHANGELOG.md"):
            for link in re.findall(r"\]\(([^)#]+)\)", read(name)):
                self.assertTrue((SOURCE / name).parent.joinpath(link).exists(), f"{name}: {link}")
        for folder in re.findall(r"^\| `(\w+)/` \|", read("README.md"), re.MULTILINE):
            self.assertTrue((SOURCE / folder).is_dir(), folder)


    def test_it_begins_with_a_picture_that_all_can_read(self):
        """Drawn for light and dark, with words for those who do not see it, and nothing from the network."""
        alt, file = re.match(r"# xlstore\n\n!\[(.*?)\]\((\S+)\)\n", read("README.md"), re.DOTALL).groups()
        self.assertGreater(len(alt.split()), 20)
        picture = read(file)
        root = xml.etree.ElementTree.fromstring(picture)
        space = "{http://www.w3.org/2000/svg}"
        self.assertEqual(root.get("role"), "img")
        for name in ("title", "desc"):
            self.assertIn(root.find(space + name).get("id"), root.get("aria-labelledby").split())
        light, dark = picture.split("@media (prefers-color-scheme: dark)")
        coloured = set(re.findall(r"^ *(\.?\w+) \{[^}]*(?:fill|stroke): #", light, re.MULTILINE))
        self.assertGreater(len(coloured), 8)
        self.assertEqual(coloured, set(re.findall(r"^ *(\.?\w+) \{[^}]*(?:fill|stroke): #", dark, re.MULTILINE)))
        self.assertEqual(re.findall(r"(?:https?:|file:)[^\"' ]*", picture.replace("http://www.w3.org/2000/svg", "")), [])


class Quickstart(unittest.TestCase):
    def test_the_story_holds_and_nothing_is_left(self):
        for program in ("qemu-system-x86_64", "sqlite3"):
            if not shutil.which(program):
                self.skipTest(f"{program} is not there: the story was not told")
        told = run("sh", SOURCE / "tools/quickstart.sh",
                   env={**os.environ, "XLSTORE_QUICKSTART_NO_BUILD": "1", "XLSTORE_BIN": str(BIN)})
        directory = re.search(r"store made in (\S+)/store", told).group(1)
        # README.md shows a part of it, with another directory and without pids.
        lines = [" ".join(re.sub(r"pid \d+", "pid N", line.replace(directory, "/tmp/xl")).split())
                 for line in told.splitlines()]
        shown = [" ".join(line.split()) for line in fences("README.md", "text")[0][1].splitlines()]
        self.assertGreater(len(shown), 20)
        self.assertEqual([line for line in shown if line not in lines], [])
        self.assertFalse(os.path.exists(directory), "the temporary directory is left")
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue  # gone meanwhile
            self.assertNotIn(directory.encode() + b"/", words, f"process {process.name} is left")

    def test_demo_is_the_same_story_and_says_what_it_misses(self):
        """It is found beside the program, and looks for what it needs before it does anything."""
        for name in ("story.sh", "ask_qemu.py", "kill_at.py"):
            self.assertEqual((BIN.parent / "share/xlstore/demo" / name).read_text(encoding="utf-8"),
                             read(f"tools/demo/{name}"))
        with tempfile.TemporaryDirectory(prefix="xldocs-") as empty:
            for tool in ("sh", "dirname"):
                os.symlink(shutil.which(tool), pathlib.Path(empty) / tool)
            done = subprocess.run([BIN / "xlstore", "demo"], capture_output=True, text=True, check=False, timeout=60,
                                  env={**os.environ, "PATH": empty})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("demo: not on this host: qemu-system-x86_64 sqlite3 python3; nothing was done\n", done.stderr)
        self.assertIn("apt-get install --no-install-recommends qemu-system-x86 sqlite3 python3", done.stderr)

    def test_the_story_kills_where_it_says(self):
        """kill_at.py passes a command's own end on, and kills a command at a call that is reached."""
        at = SOURCE / "tools/demo/kill_at.py"
        with tempfile.TemporaryDirectory(prefix="xldocs-") as directory:
            database = pathlib.Path(directory) / "store.db"
            rows = sqlite3.connect(database)
            rows.execute("CREATE TABLE pending_intents (class, key)")
            rows.commit()
            words = [sys.executable, "-sEB", str(at), "promised", str(database), "disks", "hdc", "--"]
            ended = subprocess.run([*words, "sh", "-c", "echo said; exit 3"], capture_output=True, text=True, check=False)
            self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (3, "said\n", ""))
            rows.execute("INSERT INTO pending_intents VALUES ('disks', 'hdc')")
            rows.commit()
            killed = subprocess.run([*words, "sh", "-c", "echo said; exit 3"], capture_output=True, text=True, check=False)
            self.assertEqual((killed.returncode, killed.stdout), (137, ""))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="directory of xlstore and xlfsck")
    parser.add_argument("--source", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    arguments, rest = parser.parse_known_args()
    BIN, SOURCE = arguments.bin.resolve(), arguments.source.resolve()
    os.environ.pop("XLSTORE_DIR", None)
    os.environ.pop("XLSTORE_CRASH_AT", None)
    os.environ.pop("XLSTORE_STOP_AT", None)
    unittest.main(argv=[sys.argv[0], "-v", *rest])
