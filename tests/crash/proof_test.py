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


class Proof(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="xlproof-"))
        self.addCleanup(shutil.rmtree, self.place)
        self.begun = self.place / "begun"

    def toy(self, name, script="true", **more):
        """A part that notes each share that begins, and then does what the script says."""
        command = ("sh", "-c", f"echo {name} {{i}} >>{self.begun}; {script}")
        return {"name": name, "shares": 1, "command": command, **more}

    def run_proof(self, *parts, words=()):
        (self.place / "parts").write_text(json.dumps(parts))
        # Apart: a share may kill it.
        return subprocess.run([sys.executable, HERE / "proof.py", self.place, "--parts", self.place / "parts", "--jobs", "1",
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

    def test_another_commit_is_proved_anew_after_what_never_was(self):
        self.assertEqual(self.run_proof(self.toy("one", shares=2, load=2), words=("--minutes", "600")).returncode, 0)
        place = self.place / "proof" / "place"
        first = {**self.lines()[0], "commit": "older"}
        place.write_text(json.dumps(first) + "\n" + '{"torn')
        self.begun.unlink()
        ran = self.run_proof(self.toy("one", shares=2, load=2))
        self.assertEqual((ran.returncode, self.begun_shares()), (0, ["one 2", "one 1"]))

    def test_two_at_once_are_refused(self):
        inner = f"{sys.executable} {HERE / 'proof.py'} {self.place} --parts {self.place / 'parts'} --left; test $? = 1"
        ran = self.run_proof(self.toy("outer", inner))
        self.assertEqual(ran.returncode, 0, ran.stdout)


if __name__ == "__main__":
    unittest.main()
