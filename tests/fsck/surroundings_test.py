#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pass 6 of xlfsck: sockets, logs and QEMUs in the store's run/ that belong to no domain.

    surroundings_test.py --bin BUILD/bin
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = None
SECONDS = 120
QEMU = ["qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults"]
# As tools/quickstart.sh starts it, for the same document.
DOMAIN = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "64",
          "-netdev", "user,id=net0,restrict=on", "-device", "e1000,id=nic0,netdev=net0,mac=00:16:3e:1a:2b:3c",
          "-drive", "if=none,readonly=on,id=ide-5632", "-device",
          "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0", "-device", "usb-ehci,id=xenusb-0"]


class Surroundings(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory(prefix="xlss-")
        self.addCleanup(self.place.cleanup)
        self.store = pathlib.Path(self.place.name, "store")
        self.run_dir = self.store / "run"
        self.run_tool("xlstore", "init")

    def run_tool(self, program, *words, status=0):
        done = subprocess.run([str(BIN / program), "--store", str(self.store), *words], capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def findings(self, mode, status):
        """{problem: [(subject, evidence, action)]} of pass 6."""
        said = [json.loads(line) for line in self.run_tool("xlfsck", mode, "--json", status=status).splitlines()]
        found = {}
        for line in said:
            if 6000 < line.get("code", 0) < 7000:
                found.setdefault(line["problem"], []).append((line["subject"], line["evidence"], line["action"]))
        return found

    def listener(self, name):
        one = socket.socket(socket.AF_UNIX)
        self.addCleanup(one.close)
        one.bind(str(self.run_dir / name))
        one.listen(1)
        return one

    def start_qemu(self, monitor):
        qemu = subprocess.Popen([*QEMU, "-chardev", f"socket,id=xlstore-cmd,path={monitor},server=on,wait=off", "-mon",
                                 "chardev=xlstore-cmd,mode=control"], stderr=subprocess.PIPE)
        self.addCleanup(self.end, qemu)
        end = time.monotonic() + SECONDS
        while not monitor.exists():
            self.assertIsNone(qemu.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        return qemu

    @staticmethod
    def end(qemu):
        qemu.kill()
        qemu.wait()
        qemu.stderr.close()

    def test_what_belongs_to_a_living_domain_is_no_finding(self):
        self.run_tool("xlstore", "create", "7", str(ROOT / "tools/examples/web01.json"), "--", *DOMAIN)
        self.addCleanup(self.run_tool, "xlstore", "destroy", "7")
        self.assertEqual(sorted(path.name for path in self.run_dir.iterdir()), ["qemu-1.log", "qmp-1"])
        for mode in ("-n", "-y"):
            self.assertEqual(self.findings(mode, 0), {})
        self.assertEqual(len(list(self.run_dir.iterdir())), 2)

    def test_socket_at_which_no_process_listens_is_removed(self):
        names = ["qmp-4711", "qmp-4712-3"]
        for name in names:
            self.listener(name).close()
        self.assertEqual(sorted(subject for subject, _, _ in self.findings("-n", 0)["socket_left"]),
                         [str(self.run_dir / name) for name in names])
        self.assertEqual(len(list(self.run_dir.iterdir())), 2)
        self.assertEqual({action for _, _, action in self.findings("-p", 1)["socket_left"]}, {"fixed"})
        self.assertEqual(list(self.run_dir.iterdir()), [])
        self.assertEqual(self.findings("-p", 0), {})

    def test_socket_at_which_a_process_listens_stays(self):
        self.listener("qmp-4711")
        (served,) = self.findings("-y", 2)["socket_served"]
        self.assertIn(f"pid {os.getpid()} ", served[1])
        self.assertTrue((self.run_dir / "qmp-4711").exists())

    def test_files_of_other_programs_are_left_alone(self):
        for name in ("qmp-", "qmp-0", "qmp-x", "qmp-12x", "mine"):
            self.listener(name).close()
        for name in ("qmp-4711", "qemu-4711", "qemu-4711.log.old", "notes"):
            (self.run_dir / name).write_text("text", encoding="utf-8")
        self.assertEqual(self.findings("-y", 0), {})
        self.assertEqual(len(list(self.run_dir.iterdir())), 9)

    def test_qemu_that_no_row_has_is_named_and_lives(self):
        """As after a store that was put back from an older copy."""
        monitor = self.run_dir / "qmp-4711"
        qemu = self.start_qemu(monitor)
        for mode in ("-n", "-p", "-y"):
            found = self.findings(mode, 2)
            self.assertEqual(list(found), ["qemu_unknown"])
            self.assertTrue(found["qemu_unknown"][0][0].startswith(f"pid {qemu.pid} (qemu-system"))
            self.assertEqual(len(found["qemu_unknown"]), 1)
        self.assertIsNone(qemu.poll())
        self.assertTrue(monitor.exists())
        qemu.kill()
        qemu.wait()
        self.assertEqual(list(self.findings("-p", 1)), ["socket_left"])
        self.assertFalse(monitor.exists())

    def test_qemu_of_a_store_that_was_reached_through_a_symbolic_link_is_found(self):
        link = pathlib.Path(self.place.name, "link")
        link.symlink_to(self.place.name)
        real, self.store = self.store, link / "store"
        self.run_tool("xlstore", "create", "7", str(ROOT / "tools/examples/web01.json"), "--", *DOMAIN)
        self.addCleanup(self.run_tool, "xlstore", "destroy", "7")
        self.assertIn(f"{real}/run/qmp-1", self.command_lines())
        # One that no row has, by each path to the store.
        monitor = real / "run" / "qmp-4711"
        self.start_qemu(monitor)
        for self.store in (link / "store", real):
            self.assertEqual(list(self.findings("-y", 2)), ["qemu_unknown"])

    def command_lines(self):
        lines = []
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(path.read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
        return "\n".join(lines)

    def test_log_of_a_domain_that_is_gone_is_removed_on_request(self):
        log = self.run_dir / "qemu-4711.log"
        log.write_text("it said this\n", encoding="utf-8")
        self.assertEqual(list(self.findings("-p", 0)), ["log_left"])
        self.assertTrue(log.exists())
        self.assertEqual(list(self.findings("-y", 1)), ["log_left"])
        self.assertFalse(log.exists())

    def test_log_of_a_creation_that_failed_tells_why_and_stays(self):
        self.run_tool("xlstore", "create", "8", str(ROOT / "tools/examples/web01.json"), "--", QEMU[0],
                      "-no-such-option", status=1)
        (log,) = self.run_dir.glob("qemu-*.log")
        self.assertEqual(self.findings("-y", 0), {})
        self.assertTrue(log.exists())

    def test_directory_that_cannot_be_listed_is_said(self):
        shutil.rmtree(self.run_dir)
        self.assertEqual(list(self.findings("-n", 8)), ["surroundings_unseen"])


def main():
    global BIN
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="directory of xlstore and xlfsck")
    options, rest = parser.parse_known_args()
    BIN = options.bin.resolve()
    if not shutil.which(QEMU[0]):
        print(f"there is no {QEMU[0]}")
        sys.exit(1)
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
