#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""proof.py keeps its place, with parts that are toys: killed it goes on where it was, and it tells what is left."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


class Proof(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="xlproof-"))
        self.addCleanup(shutil.rmtree, self.place)
        self.begun = self.place / "begun"

    def toy(self, name, script="true", **more):
        """A part that notes each share that begins, and then does what the script says."""
        command = ("sh", "-c", f"echo {name} {{i}} >>{self.begun}; {script}")
        return {"name": name, "shares": 1, "command": command, **more}

    def run_proof(self, *parts, words=(), program=HERE / "proof.py"):
        (self.place / "parts").write_text(json.dumps(parts))
        # Apart: a share may kill it.
        return subprocess.run([sys.executable, program, self.place, "--parts", self.place / "parts", "--jobs", "1",
                               *words], capture_output=True, text=True, timeout=60, check=False)

    def begun_shares(self):
        return self.begun.read_text().splitlines() if self.begun.exists() else []

    def lines(self):
        return [json.loads(line) for line in (self.place / "proof" / "place").read_text().splitlines()]

    def test_killed_it_loses_the_share_that_was_at_work_and_goes_on(self):
        killer = f"[ {{i}} != 3 ] || [ -e {self.place}/killed ] || {{{{ touch {self.place}/killed; kill -9 $PPID; }}}}"
        part = self.toy("one", killer, shares=5, load=2)
        self.assertEqual(self.run_proof(part).returncode, -9)
        self.assertEqual([line["share"] for line in self.lines()], [1, 2])
        after = self.run_proof(part)
        self.assertEqual(after.returncode, 0, after.stdout + after.stderr)
        self.assertEqual(self.begun_shares(), [f"one {n}" for n in (1, 2, 3, 3, 4, 5)])
        self.assertIn("0 shares left", after.stdout)
        self.assertEqual(self.run_proof(part).returncode, 0)
        self.assertEqual(len(self.begun_shares()), 6, "what is proved is not done again")

    def test_a_share_ends_with_a_proof_that_was_killed(self):
        # It ends when it is told to, or never: there is no other way out of that pipe.
        os.mkfifo(self.place / "pipe")
        hangs = f"trap 'echo told >{self.place}/pipe; exit' TERM; kill -9 $PPID; while :; do read line <{self.place}/none; done"
        os.mkfifo(self.place / "none")
        self.assertEqual(self.run_proof(self.toy("hangs", hangs)).returncode, -9)
        self.assertEqual((self.place / "pipe").read_text(), "told\n")

    def test_parts_take_turns_in_the_order_of_their_value(self):
        self.assertEqual(self.run_proof(self.toy("most", shares=3, load=2), self.toy("less", shares=2, load=2)).returncode, 0)
        self.assertEqual(self.begun_shares(), ["most 1", "less 1", "most 2", "less 2", "most 3"])

    def test_a_failure_is_told_each_time_and_tried_again_when_asked(self):
        parts = self.toy("good", "echo 12 kills", counts=(r"^(?P<kills>\d+) kills",)), self.toy("bad", "echo why; false")
        for again in ((), (), ("--again",)):
            ran = self.run_proof(*parts, words=again)
            self.assertEqual(ran.returncode, 1)
            self.assertIn("FAILED: 1", ran.stdout)
            self.assertIn("12 kills", ran.stdout)
        self.assertEqual(self.begun_shares().count("bad 1"), 2)
        self.assertEqual(self.begun_shares().count("good 1"), 1)

    def test_what_cannot_be_is_left_by_name(self):
        ran = self.run_proof(self.toy("lacks", "exit 77"), self.toy("missing", needs="/no such file"))
        self.assertEqual(ran.returncode, 3)
        self.assertRegex(ran.stdout, r"lacks +1 of 1 shares; 1 SKIPPED")
        self.assertRegex(ran.stdout, r"missing +0 of 1 shares; missing: there is no /no such file")

    def test_no_share_is_begun_that_the_time_does_not_allow(self):
        parts = self.toy("long", minutes=600, load=2), self.toy("short", minutes=1)
        ran = self.run_proof(*parts, words=("--hours", "1"))
        self.assertEqual((ran.returncode, self.begun_shares()), (3, ["short 1"]))
        self.assertIn("1 shares left, about 10.0 hours", ran.stdout)
        self.run_proof(*parts, words=("--left",))
        self.assertEqual(self.begun_shares(), ["short 1"])

    def test_what_was_run_whole_by_hand_waits_and_is_told_apart(self):
        by_hand = self.toy("slow", minutes=600, load=2, whole_before=("abc123", "7 kills"))
        ran = self.run_proof(by_hand, self.toy("short", minutes=1), words=("--hours", "1"))
        self.assertEqual((ran.returncode, self.begun_shares()), (3, ["short 1"]))
        self.assertIn(": 0 shares left, about 0.0 hours\nbesides, of slow 1 shares, about 10.0 hours; the whole of it was run on "
                      "abc123 7 kills", ran.stdout)
        self.assertEqual(self.run_proof(by_hand, self.toy("other", load=2)).returncode, 0)
        self.assertEqual(self.begun_shares(), ["short 1", "other 1", "slow 1"])

    def test_a_line_says_by_which_build(self):
        (self.place / "CMakeCache.txt").write_text("XLSTORE_SANITIZE:STRING=address,undefined\n")
        self.assertEqual(self.run_proof(self.toy("one")).returncode, 0)
        self.assertEqual([line["sanitizers"] for line in self.lines()], ["address,undefined"])

    def test_another_commit_is_proved_anew_after_what_never_was(self):
        self.assertEqual(self.run_proof(self.toy("one", shares=2, load=2), words=("--minutes", "600")).returncode, 0)
        place = self.place / "proof" / "place"
        first = {**self.lines()[0], "commit": "older", "sources": "others"}
        place.write_text(json.dumps(first) + "\n" + '{"torn')
        self.begun.unlink()
        ran = self.run_proof(self.toy("one", shares=2, load=2))
        self.assertEqual((ran.returncode, self.begun_shares()), (0, ["one 2", "one 1"]))

    def in_a_tree(self):
        """proof.py in a tree of its own, whose file `source` changes with each commit but the last."""
        tree = self.place / "tree"
        (tree / "tests/crash").mkdir(parents=True)
        for name in ("proof.py", "proof_parts.py"):
            shutil.copy(HERE / name, tree / "tests/crash")
        self.git(tree, "init", "-q")
        for number, text in enumerate(("a", "b", "b")):
            (tree / "source").write_text(text)
            (tree / "other").write_text(str(number))
            self.git(tree, "add", "-A")
            self.git(tree, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", str(number))
        return tree, self.git(tree, "rev-list", "--reverse", "HEAD").split()

    @staticmethod
    def git(tree, *words):
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CEILING_DIRECTORIES": str(tree.parent)}
        return subprocess.run(["git", "-C", tree, *words], env=environment, capture_output=True, text=True, check=True).stdout

    def test_what_another_commit_proved_of_the_same_sources_counts(self):
        tree, commits = self.in_a_tree()
        part = self.toy("one", shares=3, load=2, runs=("source",))
        (self.place / "proof").mkdir()
        line = {"part": "one", "of": 3, "ended": "done", "status": 0, "seconds": 1, "counts": {}, "last": ""}
        (self.place / "proof" / "place").write_text("".join(
            json.dumps({**line, "share": share, "commit": commit}) + "\n" for share, commit in zip((1, 2), commits)))
        left = self.run_proof(part, words=("--left",), program=tree / "tests/crash/proof.py")
        self.assertEqual(left.returncode, 3, left.stdout + left.stderr)
        self.assertRegex(left.stdout, f"1 of 3 shares; 1 of them on {commits[1][:9]}, whose sources are the same; 1 more on older")
        # With --since the older counts as well, and what has changed since is told.
        since = ("--since", commits[0])
        left = self.run_proof(part, words=("--left", *since), program=tree / "tests/crash/proof.py")
        self.assertRegex(left.stdout, f"2 of 3 shares.*1 of them on {commits[0][:9]}, 1 files of its sources differ")
        done = self.run_proof(part, words=since, program=tree / "tests/crash/proof.py")
        self.assertEqual((done.returncode, self.begun_shares()), (0, ["one 3"]), done.stdout + done.stderr)
        # Not what is of another tree, and not what a changed tree has not committed.
        self.assertEqual(self.run_proof(part, words=("--since", "nowhere"), program=tree / "tests/crash/proof.py").returncode, 2)
        (tree / "source").write_text("c")
        left = self.run_proof(part, words=("--left",), program=tree / "tests/crash/proof.py")
        self.assertRegex(left.stdout, "0 of 3 shares; 3 more on older sources alone")

    def run_in(self, tree, *words):
        return subprocess.run([sys.executable, tree / "tests/crash/proof.py", *words], capture_output=True, text=True, timeout=60,
                              check=False)

    def test_the_record_is_in_the_tree_and_outlives_the_id_of_a_commit(self):
        tree, _ = self.in_a_tree()
        with open(tree / "tests/crash/proof_parts.py", "a", encoding="utf-8") as file:
            file.write("PARTS = (Part('one', 2, ('sh', '-c', 'echo 1200 kills'), counts=(r'^(?P<kills>\\d+) kills',), "
                       "targets=(), runs=('source',)),)\n")
        told_in = tree / "tests/PROOF.md"
        told_in.write_text("above\n<!-- the record: proof.sh --write -->\nold\n<!-- the record ends -->\nbelow\n", encoding="utf-8")
        record = tree / "tests/crash/proof.jsonl"
        record.touch()
        self.git(tree, "add", "-A")
        self.git(tree, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "parts")
        ran = self.run_in(tree, self.place)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        self.assertEqual([(line["share"], line["counts"]) for line in lines], [(1, {"kills": 1200}), (2, {"kills": 1200})])
        self.assertIn("2 of 2 shares", self.run_in(tree, self.place, "--left").stdout)
        self.assertEqual(self.run_in(tree, "--write").returncode, 0)
        text = told_in.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("above\n<!--") and text.endswith("ends -->\nbelow\n"), text)
        self.assertIn(f"| `one` | 2 of 2 | 2 400 kills |  | 0.00 | {lines[0]['commit'][:9]} |\n", text)
        # Its commit is gone, as behind a rebase: what it proved is known by its sources.
        self.git(tree, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--amend", "-qam", "with the record")
        record.write_text(record.read_text(encoding="utf-8").replace(lines[0]["commit"], "0" * 40), encoding="utf-8")
        self.assertIn("2 of 2 shares", self.run_in(tree, self.place, "--left").stdout)
        (tree / "source").write_text("another", encoding="utf-8")
        self.git(tree, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "source")
        self.assertIn("0 of 2 shares; 2 more on older sources alone", self.run_in(tree, self.place, "--left").stdout)
        # What is not committed has a place that is not in the tree.
        (tree / "source").write_text("not committed", encoding="utf-8")
        before = record.read_text(encoding="utf-8")
        self.assertEqual(self.run_in(tree, self.place).returncode, 0)
        self.assertEqual(record.read_text(encoding="utf-8"), before)
        self.assertEqual(len(self.lines()), 2)

    def test_the_table_is_what_the_record_says(self):
        import proof  # pylint: disable=import-outside-toplevel
        import proof_parts  # pylint: disable=import-outside-toplevel
        copy = shutil.copy(proof.RECORD, self.place / "record")
        place = proof.Place(copy, proof.Commits())
        self.addCleanup(place.file.close)
        table = proof.table_of(proof_parts.PARTS, place)
        self.assertIn(f"proof.sh --write -->\n{table}<!--", proof.TOLD_IN.read_text(encoding="utf-8"), "proof.sh --write")

    def test_sources_that_parts_name_are_there(self):
        import proof_parts  # pylint: disable=import-outside-toplevel
        for part in proof_parts.PARTS:
            for path in part.sources:
                self.assertTrue(path.startswith(":!") or (HERE.parent.parent / path).exists(), f"{part.name}: {path}")

    def test_each_part_has_a_hash_of_its_sources(self):
        import proof  # pylint: disable=import-outside-toplevel
        import proof_parts  # pylint: disable=import-outside-toplevel
        commits = proof.Commits()
        commits.here = "clean"
        by_hash = {}
        for part in proof_parts.PARTS:
            by_hash.setdefault(commits.hash_of(tuple(part.sources)), set()).add(part.sources)
        self.assertNotIn("", by_hash)
        self.assertEqual([sources for sources in by_hash.values() if len(sources) > 1], [], "others have the same hash")

    def test_two_at_once_are_refused(self):
        inner = f"{sys.executable} {HERE / 'proof.py'} {self.place} --parts {self.place / 'parts'} --left; test $? = 1"
        ran = self.run_proof(self.toy("outer", inner))
        self.assertEqual(ran.returncode, 0, ran.stdout)


if __name__ == "__main__":
    unittest.main()
