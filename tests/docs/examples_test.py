#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every example of the hand-written manual pages, run as it stands there, in the order of the pages, on a real QEMU.

    examples_test.py --bin DIR [--bin DIR] --man DIR --document web01.json [TEST ...]

--bin        where xlstore and xlfsck are (build/bin, or /usr/bin and /usr/sbin of what is installed)
--man        where the pages are: tools/man, or /usr/share/man (compressed ones, too)
--document   the document web01.json that the examples name

Paths of the examples (/srv/xen, /run/xen) are those of a directory of the test. What needs systemd is run where systemd
runs, and named where it does not. Examples of output and of JSON are read, and named by what they are.
"""
import argparse
import gzip
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

BIN, MAN, DOCUMENT = [], None, None  # set from the command line, below
DEADLINE = 60
# As web01's document has it: the drive hdc, and the controller that an example names.
QEMU = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
        "-drive", "if=none,id=ide-5632,readonly=on", "-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
        "-device", "usb-ehci,id=xenusb-0"]
PAGES = ("xlstore.1", "xlfsck.8", "xlj.1", "xlstore-fleet.1", "xlstore-recover.service.8")
OF_SYSTEMD = ("systemctl", "journalctl", "systemd-run")
# Exit statuses that say that the example was done.
FINE = {"xlfsck": (0, 1)}


def text_of(name):
    found = sorted(path for path in MAN.rglob(f"{name}*") if path.name in (name, f"{name}.gz"))
    if not found:
        return ""
    raw = found[0].read_bytes()
    return (gzip.decompress(raw) if found[0].suffix == ".gz" else raw).decode("utf-8")


def blocks():
    """(page, section, block) of every literal display."""
    for name in PAGES:
        section = ""
        for match in re.finditer(r"^\.Sh ([^\n]*)\n|^\.Bd -literal[^\n]*\n(.*?)^\.Ed", text_of(name), re.MULTILINE | re.DOTALL):
            if match[1]:
                section = match[1]
            else:
                yield name, section, match[2].replace("\\&", "").replace("\\-", "-").replace("\\e", "\\")


def commands():
    """(page, block) of those that begin with a program."""
    for name, _, block in blocks():
        if re.match(r"(?:xlstore|xlfsck|xlj|xlstore-fleet|systemctl|journalctl|systemd-run)\b", block):
            yield name, block


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xlex-", dir="/tmp")  # short: sockets lie in it
        cls.place = pathlib.Path(cls.directory.name)
        for folder in ("srv/xen/iso", "run/xen"):
            (cls.place / folder).mkdir(parents=True)
        (cls.place / "srv/xen/iso/debian-12.iso").write_bytes(bytes(1 << 20))
        shutil.copy(DOCUMENT, cls.place / "web01.json")
        cls.environment = {**os.environ, "XLSTORE_DIR": str(cls.place / "store"),
                           "PATH": ":".join([*map(str, BIN), os.environ["PATH"]])}
        socket = cls.place / "run/xen/qmp-store-7"
        cls.qemu = subprocess.Popen([*QEMU, "-qmp", f"unix:{socket},server=on,wait=off"], stdin=subprocess.DEVNULL)
        until = time.monotonic() + DEADLINE
        while not socket.exists():
            if time.monotonic() > until or cls.qemu.poll() is not None:
                raise AssertionError("QEMU does not begin")
            time.sleep(0.02)
        cls.sh("xlstore init")

    @classmethod
    def tearDownClass(cls):
        cls.qemu.kill()
        cls.qemu.wait()
        cls.directory.cleanup()

    @classmethod
    def sh(cls, line, fine=(0,)):
        line = line.replace("/srv/xen", f"{cls.place}/srv/xen").replace("/run/xen", f"{cls.place}/run/xen")
        done = subprocess.run(["sh", "-euc", line], cwd=cls.place, env=cls.environment, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=DEADLINE, check=False)
        if done.returncode not in fine:
            raise AssertionError(f"{line}\nstatus {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_each_command_runs(self):
        """Those that bring the domain come first; the others as they stand."""
        def rank(example):
            return 0 if "xlstore import" in example[1] else 1
        ran, unseen = 0, []
        for page, block in sorted(commands(), key=rank):
            program = block.split()[0]
            if program in OF_SYSTEMD and ("..." in block or not os.path.isdir("/run/systemd/system")):
                unseen.append(program)
                continue
            with self.subTest(page=page, block=block):
                self.sh(block, FINE.get(program, (0,)))
                ran += 1
        self.assertGreaterEqual(ran, 7)
        if unseen:
            print(f"examples: systemd does not run here: {', '.join(unseen)} not tried", file=sys.stderr)

    def test_they_did_what_they_say(self):
        history = self.sh("xlstore history web01")
        for operation in ("import", "register", "add", "remove", "change"):
            self.assertIn(operation, history)
        self.assertEqual(self.sh("xlstore sql 'SELECT count(*) FROM pending_intents'").strip(), "0")

    def test_each_other_display_is_json_or_a_pattern(self):
        """Nothing that looks like a command is passed over."""
        seen = {"json": 0, "pattern": 0}
        for page, section, block in blocks():
            if (page, block) in set(commands()):
                continue
            with self.subTest(page=page, section=section, block=block):
                self.assertTrue(block.lstrip().startswith("{"), "neither a command nor JSON")
                if "\u2026" in block or re.search(r": [A-Z]+[,}]", block):
                    seen["pattern"] += 1
                    continue
                json.loads(block)
                seen["json"] += 1
        self.assertGreater(seen["json"], 5)


def main():
    global MAN, DOCUMENT  # pylint: disable=global-statement
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), required=True, action="append")
    parser.add_argument("--man", type=pathlib.Path, required=True)
    parser.add_argument("--document", type=pathlib.Path, required=True)
    given, rest = parser.parse_known_args()
    BIN.extend(given.bin)
    MAN, DOCUMENT = given.man, given.document.resolve()
    os.environ.pop("XLSTORE_DIR", None)
    unittest.main(argv=[sys.argv[0], "-v", *rest])


if __name__ == "__main__":
    main()
