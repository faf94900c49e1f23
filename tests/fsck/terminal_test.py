#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck on a terminal: what each key does, the bar, interrupts; and what it does without one.

    terminal_test.py --bin BUILD/bin

Where no terminal is to be had, what needs one is skipped by name, and the exit status is 77.
"""

import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
import terminal  # noqa: E402

BIN = None
NO_TERMINAL = None  # why, see main
QUESTION = re.compile(rb"\[Y/n/a/s/q/\?\] $")
SECONDS = 60


class Terminal(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory(prefix="xlst-")
        self.addCleanup(self.place.cleanup)
        self.store = os.path.join(self.place.name, "store")
        self.kind = "xterm"
        self.run_ok("xlstore", "init")

    def command(self, program, *words):
        return [str(BIN / program), "--store", self.store, *words]

    def run_ok(self, program, *words, crash_at=None, status=0):
        environment = {**os.environ, **({"XLSTORE_CRASH_AT": crash_at} if crash_at else {})}
        done = subprocess.run(self.command(program, *words), env=environment, capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def abandon(self, domids):
        """Creations whose creator was killed before there was a QEMU: problem 3002, and a dead session each."""
        document = (ROOT / "tools/examples/web01.json").read_text(encoding="utf-8")
        for domid in domids:
            path = os.path.join(self.place.name, f"{domid}.json")
            uuid = f"8f2c7d10-4b6e-4a51-9d3c-0000000000{domid:02d}"
            pathlib.Path(path).write_text(
                re.sub(r'"uuid": "[^"]*"', f'"uuid": "{uuid}"', document).replace('"web01"', f'"d{domid}"'),
                encoding="utf-8")
            self.run_ok("xlstore", "create", str(domid), path, "--", "qemu-system-x86_64", crash_at="spawn.before_fork",
                        status=-signal.SIGKILL)

    def on_terminal(self, *words, keys=()):
        """Its exit status and what it said, each question answered with the next key; "^C" interrupts."""
        if NO_TERMINAL:
            self.skipTest(NO_TERMINAL)
        keys, seen = list(keys), 0

        def answer(said):
            nonlocal seen
            if not QUESTION.search(said[seen:]):
                return b""
            self.assertTrue(keys, "a question too many:\n" + said.decode())
            seen = len(said)
            key = keys.pop(0)
            if callable(key):
                key = key()
            return {"^C": b"\x03", "^D": b"\x04"}.get(key, key.encode() + b"\n")
        status, said = terminal.run(self.command("xlfsck", *words), answer, {**os.environ, "TERM": self.kind}, (24, 400), True,
                                    SECONDS)
        self.assertEqual(keys, [], said)
        return status, said

    def left(self):
        rows = json.loads(self.run_ok("xlstore", "--json", "sql", "SELECT domid FROM domains"))
        return [row["domid"] for row in rows]

    def test_yes_no_and_enter(self):
        self.abandon((7, 8, 9))
        status, said = self.on_terminal(keys=("y", "n", "", "s"))
        self.assertEqual(status, 1 + 4, said)
        self.assertEqual(self.left(), [8])
        self.assertEqual(said.count("MARKED DESTROYED."), 2)
        self.assertEqual(said.count("LEFT."), 3)  # and two sessions: s was for all of them

    def test_no_lock_is_held_while_a_person_thinks(self):
        """An operation on the domain goes through beside the question; what it did is seen by the repair."""
        nine = pathlib.Path(self.place.name, "9.json")
        nine.write_text(json.dumps({"c_info": {
            "type": "hvm", "name": "d9", "uuid": "8f2c7d10-4b6e-4a51-9d3c-000000000009"}, "b_info": {"type.hvm": {}}}),
            encoding="utf-8")
        self.run_ok("xlstore", "create", "9", str(nine), "--", "qemu-system-x86_64", "-nodefaults", "-display", "none",
                    "-machine", "pc,accel=tcg", "-m", "32", "-device", "usb-ehci,id=xenusb-0")
        self.addCleanup(lambda: self.run_ok("xlstore", "destroy", "9"))

        def thing(name):
            return json.dumps({"key": name, "steps": [{"execute": "device_add", "arguments": {
                "driver": "usb-tablet", "id": name, "bus": "xenusb-0.0"}}]})
        self.run_ok("xlstore", "attach", "9", "qemu", thing("one"), crash_at="commit.before:3", status=-signal.SIGKILL)

        def attach_another():
            self.run_ok("xlstore", "--timeout", "20", "attach", "9", "qemu", thing("two"))
            return "y"
        status, said = self.on_terminal("9", keys=(attach_another,))
        self.assertEqual(status, 1, said)
        self.assertIn("qemu/one: intent 1 (add): is as the intent wanted it", said)
        self.assertIn("SETTLED.", said)
        self.assertIn('"two"', self.run_ok("xlstore", "--json", "things", "9"))

    def test_all_of_a_kind(self):
        self.abandon((7, 8, 9))
        status, said = self.on_terminal(keys=("a", "a"))  # domains; sessions
        self.assertEqual(status, 1, said)
        self.assertEqual(self.left(), [])
        self.assertEqual(said.count("Mark it destroyed"), 1)
        self.assertEqual(said.count("MARKED DESTROYED."), 3)
        self.assertEqual(said.count("REMOVED."), 3)
        self.assertEqual(self.on_terminal(keys=())[0], 0)

    def test_none_of_a_kind(self):
        self.abandon((7, 8))
        status, said = self.on_terminal(keys=("s",))
        self.assertEqual(status, 4, said)
        self.assertEqual(self.left(), [7, 8])

    def test_quit_and_end_of_input(self):
        self.abandon((7, 8))
        for key in ("q", "^D"):
            status, said = self.on_terminal(keys=(key,))
            self.assertEqual(status, 4, said)
            self.assertEqual(self.left(), [7, 8])

    def test_other_keys_are_explained_and_asked_again(self):
        self.abandon((7,))
        status, said = self.on_terminal(keys=("?", "x", "n"))
        self.assertEqual(status, 4)
        self.assertEqual(said.count("yes to all of this kind"), 2)
        self.assertEqual(said.count("Mark it destroyed"), 3)

    def test_interrupt_leaves_the_rest(self):
        self.abandon((7, 8))
        status, said = self.on_terminal(keys=("y", "^C"))
        self.assertEqual(status & 32, 32, said)
        self.assertEqual(self.left(), [8])

    def test_bar_on_a_terminal_alone(self):
        self.abandon((7,))
        status, said = self.on_terminal("-n")
        self.assertEqual(status, 4)
        self.assertIn("\rpass 3 |", said)
        # Each line begins where the bar was erased, or at the beginning.
        self.assertIn("\r\x1b[Kdomain 7 (d7):", said)
        self.assertRegex(said, r"(\n|\x1b\[K)" + self.store + ":")
        self.kind = "dumb"
        self.assertNotIn("\x1b", self.on_terminal("-n")[1])
        done = subprocess.run(self.command("xlfsck", "-n"), capture_output=True, text=True, timeout=SECONDS,
                              check=False)
        self.assertNotIn("pass", done.stdout + done.stderr)
        done = subprocess.run(self.command("xlfsck", "-n", "-C", "2"), capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        self.assertIn("3 0 1\n", done.stderr)

    def test_progress_goes_to_no_descriptor_that_the_caller_has_not_open(self):
        # One that is free when xlfsck begins becomes that of a file of the store's.
        for fd in range(3, 13):
            done = subprocess.run(self.command("xlfsck", "-p", "-C", str(fd)), capture_output=True, text=True,
                                  timeout=SECONDS, check=False)
            self.assertEqual(done.returncode, 16, done.stderr)
            self.assertIn(f"{fd} is not open", done.stderr)
        done = subprocess.run(self.command("xlfsck", "-n"), capture_output=True, text=True, timeout=SECONDS,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_no_terminal_no_questions(self):
        done = subprocess.run(self.command("xlfsck"), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, 16)
        self.assertIn("questions need a terminal", done.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    options, rest = parser.parse_known_args()
    BIN = options.bin
    NO_TERMINAL = terminal.why_none()
    ended = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False).result
    sys.exit(0 if ended.wasSuccessful() and not ended.skipped else 77 if ended.wasSuccessful() else 1)
