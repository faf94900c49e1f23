#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Completion offers what --help, the manual and the store have, and nothing else.

    tests/docs/completion_test.py --bin build/bin [TEST ...]

The answers are those of tools/completion/xlstore-complete; bash, zsh and fish are asked to pass them on where they are.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ENGINE = SOURCE / "tools/completion/xlstore-complete"
BIN = None  # set from the command line, below

# What a synopsis may name and no list can offer: new names, numbers, text.
FREE = {"TIME", "WHO", "DOMID", "NAME", "UUID", "N", "GID", "TEXT", "JSON", "DAYS", "QUERY", "aside:N"}
OFFERED = {"DOM", "CLASS", "KEY", "THING", "VDEV", "INTENT", "RUN", "KIND...", "FILE", "CONFIG.json", "SOCKET", "DIR"}


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120, check=False, **options)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{' '.join(map(str, words))}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def offered(*words, program="xlstore"):
    """The words that are offered in place of the last one."""
    said = run("sh", ENGINE, BIN / program, *words, env={**os.environ, "XLSTORE_DIR": str(Completion.store)})
    return [line.split("\t")[0] for line in said.splitlines()]


class Completion(unittest.TestCase):
    store = None

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xlcomplete-")
        cls.store = pathlib.Path(cls.directory.name) / "store"
        for words in (("init",), ("import", 7, SOURCE / "tools/examples/web01.json")):
            run(BIN / "xlstore", "--store", cls.store, *words)
        cls.help = run(BIN / "xlstore", "--help")
        cls.verbs = re.findall(r"^  ([a-z]\S*)", cls.help.split("Subcommands:\n", 1)[1], re.MULTILINE)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_every_verb_is_offered(self):
        self.assertGreater(len(self.verbs), 25)
        self.assertEqual(offered(""), self.verbs)
        self.assertEqual(offered("--json", "--store", "x", "de"), [v for v in self.verbs if v.startswith("de")])

    def test_every_option_is_offered(self):
        def options(text):
            return set(re.findall(r"(?<![\w-])(--?[A-Za-z][\w-]*)", "\n".join(re.findall(r"^  (-.*?)(?:  |$)", text, re.MULTILINE))))
        for verb in ("export", "locks", "prune"):
            own = options(run(BIN / "xlstore", verb, "--help"))
            self.assertGreater(len(own), 2)
            self.assertEqual(set(offered(verb, "-")), own | options(self.help), verb)
        self.assertEqual(set(offered("-", program="xlfsck")), options(run(BIN / "xlfsck", "--help")))

    def test_what_a_synopsis_names_is_known(self):
        """A new kind of word gets an answer in xlstore-complete, or is named here as one that has none."""
        table = (SOURCE / "tools/xlstore/verbs.cc").read_text(encoding="utf-8")
        rows = re.findall(r'\{"([a-z-]+)",\s+"((?:[^"\\]|\\.)*)",', table)
        self.assertEqual([verb for verb, _ in rows], self.verbs)
        for verb, synopsis in rows:
            words = re.sub(r" -- .*|--?[a-z-]+|[][|]", " ", synopsis).split()
            unknown = [w for w in words if w not in FREE | OFFERED and not re.fullmatch(r"[a-z]+", w)]
            self.assertEqual(unknown, [], verb)

    def test_domains_and_their_things_are_offered(self):
        self.assertEqual(offered("show", ""), ["7", "web01"])
        self.assertEqual(offered("show", "w"), ["web01"])
        self.assertEqual(offered("locks", "--break", ""), ["7", "web01"])
        self.assertEqual(offered("", program="xlfsck"), ["7", "web01"])
        for domain in ("7", "web01", "domid:7", "name:web01"):
            self.assertEqual(sorted(offered("detach", domain, "")), ["disks", "nics", "usbctrls", "vfbs", "vkbs"])
            self.assertEqual(sorted(offered("detach", domain, "disks", "")), ["hdc", "xvda"])
            self.assertEqual(offered("eject", domain, ""), ["hdc"])
        self.assertEqual(offered("detach", "it's", "disks", ""), [])

    def test_a_domain_is_the_one_that_the_store_takes_the_word_for(self):
        rows = run(BIN / "xlstore", "--store", self.store, "--json", "sql", "SELECT incarnation, uuid FROM domains WHERE domid = 7")
        incarnation, uuid = json.loads(rows)[0].values()
        self.assertNotEqual(incarnation, 7)
        for domain in (f"id:{incarnation}", f"uuid:{uuid}"):
            self.assertEqual(offered("eject", domain, ""), ["hdc"], domain)
            self.assertEqual(sorted(offered("detach", domain, "disks", "")), ["hdc", "xvda"], domain)
        for domain in ("id:7", "name:7", f"domid:{incarnation}", f"uuid:{uuid[:-1]}"):
            self.assertEqual(offered("eject", domain, ""), [], domain)

    def test_domains_that_are_over_are_offered_behind_retired(self):
        for words in (("import", 9, SOURCE / "tools/examples/web01.json", "--force"), ("destroy", 9)):
            run(BIN / "xlstore", "--store", self.store, *words)
        over = run(BIN / "xlstore", "--store", self.store, "sql", "SELECT 'id:' || incarnation FROM retired_documents").split()
        self.assertEqual(len(over), 1)
        self.assertEqual(offered("export", "--retired", ""), over)
        self.assertEqual(offered("export", ""), ["7", "web01"])

    def test_behind_two_dashes_stands_no_option_of_ours(self):
        self.assertEqual(offered("create", "8", "c.json", "--", "qemu", "-"), [":files"])
        self.assertEqual(offered("create", "8", "c.json", "--", "--retired", "x", ""), [":files"])
        self.assertEqual(offered("show", "--", ""), ["7", "web01"])
        self.assertEqual(offered("show", "--", "-"), [])

    def test_classes_are_those_of_the_table(self):
        table = (SOURCE / "tools/README.md").read_text(encoding="utf-8").split("| class |", 1)[1].split("\n\n", 1)[0]
        listed = [name for row in table.splitlines()[2:] for name in row.split("|")[1].replace(" ", "").split(",")]
        self.assertIn("qemu", listed)
        self.assertEqual(sorted(offered("attach", "7", "")), sorted(listed))
        self.assertEqual(sorted(offered("history", "--class", "")), sorted(listed))

    def test_files_directories_and_lists(self):
        self.assertEqual(offered("insert", "7", "hdc", ""), [":files"])
        self.assertEqual(offered("--store", ""), [":directories"])
        self.assertEqual(offered("-n", "--bundle", "", program="xlfsck"), [":files"])
        self.assertEqual(offered("--userdata", "", program="xlfsck"), [":directories"])
        self.assertEqual(offered("create", "8", "c.json", "--things", ""), [":files"])
        self.assertEqual(offered("bridge", ""), ["status", "sync", "write"])
        self.assertIn("retired", offered("prune", "history", ""))
        self.assertEqual(offered("register", "7", "--pid", ""), [])

    def test_queries_are_ones_that_the_store_answers(self):
        """Where there is no intent and no run, an error would look like an empty list."""
        queries = re.findall(r'ask "(SELECT[^"]*FROM (?:pending_intents|undo_runs))"', ENGINE.read_text(encoding="utf-8"))
        self.assertEqual(len(queries), 2)
        for query in queries:
            self.assertEqual(run(BIN / "xlstore", "--store", self.store, "sql", query), "")

    def test_without_a_store_nothing_is_said(self):
        self.assertEqual(offered("--store", "/nonexistent", "show", ""), [])
        self.assertEqual(offered("nosuchverb", ""), [])
        before = sorted(p.name for p in self.store.iterdir())
        offered("show", "")
        self.assertEqual(sorted(p.name for p in self.store.iterdir()), before)


class Shells(unittest.TestCase):
    """Each shell offers what the script says. `ins` and a path have one answer, or are files."""

    def setUp(self):
        self.environment = {**os.environ, "XLSTORE_COMPLETE": str(ENGINE), "PATH": f"{BIN}:{os.environ['PATH']}",
                            "XLSTORE_DIR": str(Completion.store)}
        self.files = BIN.parent / "tools/completion"

    def shell(self, name, script):
        if not shutil.which(name):
            self.skipTest(f"{name} is not there: its completion was not tried")
        return run(*script, env={**self.environment, "HOME": "/nonexistent"}).split()

    def test_bash(self):
        library = "/usr/share/bash-completion/bash_completion"
        if not os.path.exists(library):
            self.skipTest("bash-completion is not there: its completion was not tried")
        script = (f". {library}; . {self.files}/xlstore.bash; COMP_WORDS=(xlstore ins); COMP_CWORD=1; COMP_LINE='xlstore ins';"
                  "COMP_POINT=${#COMP_LINE}; _xlstore; printf '%s\\n' \"${COMPREPLY[@]}\"")
        self.assertEqual(self.shell("bash", ("bash", "--norc", "-c", script)), ["insert"])

    def test_xlj_has_what_xl_has(self):
        """A stand-in for the completion that comes with xl, where bash looks for it."""
        library = "/usr/share/bash-completion/bash_completion"
        if not os.path.exists(library):
            self.skipTest("bash-completion is not there: its completion was not tried")
        directory = tempfile.TemporaryDirectory(prefix="xlcomplete-")
        self.addCleanup(directory.cleanup)
        user = pathlib.Path(directory.name)
        (user / "completions").mkdir()
        (user / "completions/xl").write_text("_xl() { COMPREPLY=(create cd-insert); }\ncomplete -F _xl xl\n", encoding="utf-8")
        self.environment["BASH_COMPLETION_USER_DIR"] = str(user)

        def words(*line):
            script = (f". {library}; . {SOURCE}/tools/completion/xlj.bash; COMP_WORDS=({' '.join(line)}); "
                      f"COMP_CWORD={len(line) - 1}; COMP_LINE='{' '.join(line)}'; COMP_POINT=${{#COMP_LINE}}; _xlj; "
                      "printf '%s\\n' \"${COMPREPLY[@]}\"")
            return self.shell("bash", ("bash", "--norc", "-c", script))
        self.assertEqual(words("xlj", "c"), ["create", "cd-insert"])
        self.assertIn("--run", words("xlj", "--r"))
        self.assertEqual(words("xlj", "--run", "xl", "c"), ["create", "cd-insert"])

    XL = "Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n create   Create a domain\n cd-insert Insert\n"

    def stand_in_for_xl(self):
        """One whose help lists two commands."""
        directory = tempfile.TemporaryDirectory(prefix="xlcomplete-")
        self.addCleanup(directory.cleanup)
        program = pathlib.Path(directory.name, "xl")
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{self.XL}END\n", encoding="utf-8")
        program.chmod(0o755)
        self.environment["PATH"] = f"{directory.name}:{self.environment['PATH']}"

    def test_xlj_in_fish(self):
        self.stand_in_for_xl()

        def words(line, before=""):
            script = f"{before}source {SOURCE}/tools/completion/xlj.fish; complete -C '{line}' | string split -f1 \\t; true"
            return self.shell("fish", ("fish", "--no-config", "-c", script))
        self.assertEqual(words("xlj c"), ["cd-insert", "create"])
        self.assertEqual(words("xlj --r"), ["--run"])
        self.assertNotIn("create", words("xlj cd-insert c"))
        self.assertIn("seven", words("xlj create se", "complete -c xl -a seven; "))
        self.assertIn("seven", words("xlj --run other se", "complete -c other -a seven; "))
        self.assertNotIn("seven", words("xlj --run other se", "complete -c xl -a seven; "))

    def test_xlj_in_zsh(self):
        self.stand_in_for_xl()

        def words(*line, of_xl=False):
            script = ("_describe() { print -l -- $found }; _files() { print files }; compadd() { print -- $2 };"
                      "_normal() { print -- normal $words[1] $CURRENT }; setopt extendedglob; typeset -A _comps;"
                      f"{'_comps[xl]=_xl;' if of_xl else ''} words=({' '.join(line)}); CURRENT=$#words;"
                      f"f() {{ . {SOURCE}/tools/completion/_xlj }}; f")
            return self.shell("zsh", ("zsh", "-f", "-c", script))
        self.assertEqual(words("xlj", "c"), ["--run", "create:Create", "a", "domain", "cd-insert:Insert"])
        self.assertEqual(words("xlj", "create", "x"), ["files"])
        self.assertEqual(words("xlj", "create", "x", of_xl=True), ["normal", "xl", "3"])
        self.assertEqual(words("xlj", "--run", "other", "x"), ["normal", "other", "2"])

    def test_fish(self):
        script = f"source {self.files}/xlstore.fish; complete -C 'xlstore ins'"
        self.assertEqual(self.shell("fish", ("fish", "--no-config", "-c", script))[:1], ["insert"])

    def test_zsh(self):
        script = (f"_describe() {{ print -l -- $found }}; _files() {{ print files }}; words=(xlstore ins); CURRENT=2; PREFIX=ins;"
                  f"f() {{ . {self.files}/_xlstore }}; f")
        self.assertEqual(self.shell("zsh", ("zsh", "-f", "-c", script))[0].split(":")[0], "insert")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="directory of xlstore and xlfsck")
    arguments, rest = parser.parse_known_args()
    BIN = arguments.bin.resolve()
    os.environ.pop("XLSTORE_DIR", None)
    unittest.main(argv=[sys.argv[0], "-v", *rest])
