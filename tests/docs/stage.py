# SPDX-License-Identifier: MIT
"""Of the tests of what xlstore prints: a store with one domain on a real QEMU, and a terminal."""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
import terminal  # noqa: E402

BIN = None
SECONDS = 60
QEMU = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
        "-drive", "if=none,id=ide-5632,readonly=on", "-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
        "-device", "usb-ehci,id=xenusb-0"]
SECRET = "hunter2"


def document(domid):
    return {"c_info": {"type": "hvm", "name": f"out{domid}", "uuid": f"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9e{domid:02}"},
            "b_info": {"type.hvm": {"vnc": {"enable": "True", "passwd": SECRET}}},
            "disks": [{"pdev_path": "", "vdev": "hdc", "format": "empty", "removable": 1, "is_cdrom": 1}]}


def tablet(name):
    return json.dumps({"key": name, "steps": [{"execute": "device_add", "arguments": {
        "driver": "usb-tablet", "id": name, "bus": "xenusb-0.0"}}]})


def program(name):
    return str(BIN / name)


class Stage(unittest.TestCase):
    """A store with one domain on a QEMU, for all tests of a class."""
    STORE = "s"

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="xo-", dir="/tmp")  # short: sockets lie in it
        cls.place = pathlib.Path(cls.directory.name)
        cls.store = cls.place / cls.STORE
        cls.seen = {}
        cls.xl("init")
        (cls.place / "7.json").write_text(json.dumps(document(7)), encoding="utf-8")
        cls.xl("create", "7", cls.place / "7.json", "--", *QEMU)

    @classmethod
    def tearDownClass(cls):
        for row in json.loads(cls.run_xl("--json", "sql", "SELECT incarnation FROM domains").stdout or "[]"):
            cls.run_xl("destroy", f"id:{row['incarnation']}")
        cls.directory.cleanup()

    @classmethod
    def run_xl(cls, *words, by="xlstore", crash_at=None, **more):
        environment = {**os.environ, **({"XLSTORE_CRASH_AT": crash_at} if crash_at else {})}
        return subprocess.run([program(by), "--store", str(cls.store), *map(str, words)], capture_output=True,
                              text=True, timeout=SECONDS, check=False, env=environment, stdin=subprocess.DEVNULL, **more)

    @classmethod
    def xl(cls, *words, status=0, **more):
        done = cls.run_xl(*words, **more)
        if done.returncode != status:
            raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def qmp(self, *commands):
        monitor = json.loads(self.xl("--json", "show", "7"))["monitor"]
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(monitor)
            stream = peer.makefile("rw", encoding="utf-8")
            stream.readline()
            for execute, arguments in (("qmp_capabilities", {}), *commands):
                stream.write(json.dumps({"execute": execute, "arguments": arguments}) + "\n")
                stream.flush()
                while "event" in (answer := json.loads(stream.readline())):
                    pass
                self.assertIn("return", answer)

    def on_terminal(self, *words, keys=(), size=(24, 80), environment=(), by="xlstore", set_size_first=False):
        """Exit status and output; each of `keys` is (what has to be shown, what is typed then)."""
        if why := terminal.why_none():
            self.skipTest(why)
        keys, looked = list(keys), 0

        def answer(said):
            nonlocal looked
            said, typed = said.decode(errors="replace"), b""
            while keys and (at := said.find(keys[0][0], looked)) >= 0:
                looked = at + len(keys[0][0])
                does = keys.pop(0)[1]
                if callable(does):
                    does()
                else:
                    typed += does.encode()
            return typed
        environment = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, "TERM": "xterm",
                       "XLSTORE_PAGER": "cat", **dict(environment)}
        environment = {name: value for name, value in environment.items() if value is not None}
        status, said = terminal.run([program(by), "--store", str(self.store), *map(str, words)], answer, environment, size,
                                    set_size_first, SECONDS)
        self.assertEqual(keys, [], said)
        return status, said


def main():
    global BIN
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=lambda path: pathlib.Path(path).resolve(), required=True)
    parser.add_argument("tests", nargs="*")
    given = parser.parse_args()
    BIN = given.bin
    unittest.main("__main__", argv=[sys.argv[0], *given.tests])
