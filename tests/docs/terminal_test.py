#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlstore on a terminal, on a real QEMU: watch, the question of destroy, the pager, colours, widths.

    terminal_test.py --bin BUILD/bin [TEST ...]

Without a terminal each is skipped by name.
"""

import json
import os
import re
import shutil
import signal
import tempfile

import stage
from stage import SECONDS, Stage, document, tablet


class OnATerminal(Stage):
    def test_watch_is_live_and_ends_with_q(self):
        status, said = self.on_terminal("watch", size=(24, 60), environment={"NO_COLOR": "1"}.items(), keys=[
            ("intents  none is open", lambda: self.xl("attach", "7", "qemu", tablet("w"))), ("  2       0  ", "q")])
        self.assertEqual(status, 0, said)
        self.assertTrue(said.endswith("\x1b[?25h\x1b[?1049l"), "the terminal is as it was before")
        self.assertNotIn("\x1b[2J", said, "nothing is cleared before it is drawn")

    def test_watch_fits_a_narrow_terminal(self):
        status, said = self.on_terminal("watch", size=(10, 30), keys=[("q: end", " "), ("q: end", "q")])
        self.assertEqual(status, 0, said)
        last = said.rsplit("\x1b[H", 1)[1].split("\x1b[J")[0]
        for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", last).splitlines():
            self.assertLessEqual(len(line), 30, line)

    def test_watch_takes_keys_while_a_qemu_is_silent(self):
        qemu = json.loads(self.xl("--json", "show", "7"))["qemu_pid"]
        os.kill(qemu, signal.SIGSTOP)
        try:  # it would not answer for ten times as long as this test may take
            status, said = self.on_terminal("--timeout", str(10 * SECONDS), "watch", keys=[("not looked at yet", "q")])
        finally:
            os.kill(qemu, signal.SIGCONT)
        self.assertEqual(status, 0, said)

    def test_watch_wants_a_terminal(self):
        self.assertIn("no terminal", self.run_xl("watch").stderr)

    def test_colours_are_for_terminals_that_want_them(self):
        self.assertIn("\x1b[", self.on_terminal("status")[1])
        self.assertNotIn("\x1b[", self.on_terminal("status", environment={"NO_COLOR": "1"}.items())[1])
        self.assertNotIn("\x1b[", self.on_terminal("status", environment={"TERM": "dumb"}.items())[1])
        self.assertNotIn("\x1b", self.xl("status"))

    def test_long_output_goes_through_a_pager(self):
        pager = {"XLSTORE_PAGER": "sed s/^/paged:/"}.items()
        self.assertIn("paged:", self.on_terminal("crash-points", environment=pager)[1] +
                      self.on_terminal("status", size=(5, 80), environment=pager)[1])
        self.assertNotIn("paged:", self.on_terminal("--no-pager", "status", size=(5, 80), environment=pager)[1])
        self.assertNotIn("paged:", self.on_terminal("status", size=(60, 100), environment=pager)[1])

    def test_without_a_pager_on_the_host_output_goes_to_the_terminal(self):
        with tempfile.TemporaryDirectory() as place:
            os.symlink(shutil.which("cat"), place + "/cat")
            none = {"PATH": place, "XLSTORE_PAGER": None, "PAGER": None}.items()
            status, said = self.on_terminal("status", size=(5, 80), environment=none)
        self.assertEqual(status, 0, said)
        self.assertIn("out7", said)

    def test_a_pager_that_cannot_be_run_is_told(self):
        for pager in ("no-such-pager", "/etc/passwd"):
            status, said = self.on_terminal("crash-points", size=(5, 80), environment={"XLSTORE_PAGER": pager}.items())
            self.assertEqual(status, 0)
            self.assertIn("spawn.before_fork", said)
            status, said = self.on_terminal("status", size=(5, 80), environment={"XLSTORE_PAGER": pager}.items())
            self.assertEqual(status, 5, said)
            self.assertIn(f'the pager "{pager}" could not be run', said)
            self.assertIn("--no-pager", said)

    def test_nothing_is_drawn_on_a_terminal_that_cannot_be(self):
        dumb = {"TERM": "dumb"}.items()
        self.assertIn("cannot be drawn on", self.on_terminal("watch", environment=dumb)[1])
        self.assertNotIn("\x1b", self.on_terminal("-n", environment=dumb, by="xlfsck")[1])
        qemu = json.loads(self.xl("--json", "show", "7"))["qemu_pid"]
        os.kill(qemu, signal.SIGSTOP)
        try:
            said = self.on_terminal("--timeout", "2", "attach", "7", "qemu", tablet("d"), environment=dumb)[1]
        finally:
            os.kill(qemu, signal.SIGCONT)
        self.assertNotIn("\x1b", said)

    def test_what_sql_gives_steers_no_terminal(self):
        said = self.on_terminal("sql", "SELECT char(27) || '[31m' || char(155), 'a' || char(10) || 'b'")[1]
        self.assertEqual(said.replace("\r\n", "\n"), "\\x1b[31m\\xc2\\x9b|a\nb\n")
        self.assertIn("\x1b[31m", self.xl("sql", "SELECT char(27) || '[31m'"))
        self.assertNotIn("\u009b", self.on_terminal("--json", "sql", "SELECT char(155) AS a")[1])

    def test_destroy_asks_a_person_once(self):
        (self.place / "6.json").write_text(json.dumps(document(6)), encoding="utf-8")
        self.xl("import", "6", self.place / "6.json")
        status, said = self.on_terminal("destroy", "6", keys=[("[y/N] ", "n\n")])
        self.assertEqual(status, 1, said)
        self.assertIn("domain 6 (out6)", said)
        self.assertIn("nothing was changed", said)
        self.assertEqual(self.on_terminal("destroy", "6", keys=[("[y/N] ", "y\n")])[0], 0)
        self.xl("import", "6", self.place / "6.json")
        self.assertNotIn("[y/N]", self.on_terminal("destroy", "6", "--yes")[1])
        self.xl("import", "6", self.place / "6.json")
        self.xl("destroy", "6")  # a script is not asked
        self.assertNotIn("[y/N]", self.on_terminal("destroy", "no-such-domain")[1])
        self.assertNotIn("[y/N]", self.on_terminal("destroy", "6")[1])

    def test_what_lasts_gives_a_sign_of_life(self):
        qemu = json.loads(self.xl("--json", "show", "7"))["qemu_pid"]
        os.kill(qemu, signal.SIGSTOP)
        try:
            said = self.on_terminal("--timeout", "2", "attach", "7", "qemu", tablet("q"))[1]
        finally:
            os.kill(qemu, signal.SIGCONT)
        self.assertIn("xlstore attach \u2026 1 s", said)


class OnANarrowTerminal(Stage):
    def test_no_line_is_wider_than_the_terminal(self):
        """Each page of what was done and what is there, with long words and an open intent."""
        self.xl("rename", "7", "a-domain-with-a-rather-long-name.example.org")
        self.xl("attach", "7", "qemu", tablet("a-tablet-with-a-long-name"))
        self.xl("attach", "7", "qemu", tablet("wide"), crash_at="commit.before:3", status=-signal.SIGKILL)
        self.run_xl("bundle", self.place / "wide.tar")
        pages = [["diff", "7"], ["timeline", "7"], ["history"], ["history", "7"], ["status"], ["list"], ["things", "7"],
                 ["show", "7"], ["intents"], ["locks"], ["undo"], ["list", "--retired"], ["bundle", self.place / "wide.tar", "--show"]]
        wide = []
        for columns in (20, 40, 80, 200):
            for by, words in [*(("xlstore", words) for words in [*pages, ["watch"]]), ("xlfsck", ["-n"])]:
                keys = [("q: end", "q")] if words == ["watch"] else ()
                said = self.on_terminal(*words, by=by, size=(24, columns), keys=keys, set_size_first=True)[1]
                said = said.replace("\x1b[H", "\n")    # drawn once more, from the first line on
                for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)):
                    if len(line) > columns and not line.startswith("xlstore: "):
                        wide.append((columns, by, words[0], line))
        self.assertEqual(wide, [])


if __name__ == "__main__":
    stage.main()
