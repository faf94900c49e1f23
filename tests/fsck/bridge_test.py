#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libxl's own files and locks, and a store beside them: each side keeps out of the other's way.

    bridge_test.py --bin BUILD/bin [TEST …]
"""

import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import host_case  # noqa: E402
import host_test  # noqa: E402


class BothWorlds(unittest.TestCase):
    """A QEMU that is libxl's, and xlstore's operations on it: each keeps out of the other's way."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="xlb-")
        self.addCleanup(directory.cleanup)
        self.place = directory.name
        self.lib = pathlib.Path(self.place, "var/lib/xen")
        self.uuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"
        for path in (self.lib, pathlib.Path(self.place, "run/xen")):
            path.mkdir(parents=True)
        self.image = f"{self.place}/a.iso"
        pathlib.Path(self.image).write_bytes(b"\0" * 65536)
        self.monitor = f"{self.place}/run/xen/qmp-libxl-7"
        qemu = subprocess.Popen(
            ["qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
             "-drive", "if=none,readonly=on,id=ide-5632", "-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
             "-qmp", f"unix:{self.monitor},server=on,wait=off"], stdin=subprocess.DEVNULL)
        self.addCleanup(qemu.wait)
        self.addCleanup(qemu.kill)
        deadline = time.monotonic() + 60
        while not os.path.exists(self.monitor):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        document = pathlib.Path(self.place, "d.json")
        document.write_text(json.dumps({
            "c_info": {"type": "hvm", "name": "web", "uuid": self.uuid}, "b_info": {"type.hvm": {}},
            "disks": [{"vdev": "hdc", "format": "empty", "is_cdrom": 1, "removable": 1, "pdev_path": ""}]}), encoding="utf-8")
        self.xlstore("init")
        self.xlstore("import", "7", str(document))
        self.xlstore("register", "7", "--monitor", self.monitor)

    def xlstore(self, *words, status=0):
        done = subprocess.run([host_case.BIN / "xlstore", "--store", f"{self.place}/s", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False,
                              env={**os.environ, "XENSTORED_PATH": f"{self.place}/none"})
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def lock(self, userid):
        return self.lib / f"userdata-l.7.{self.uuid}.{userid}"

    def test_each_of_libxls_locks_keeps_an_operation_out(self):
        for userid in ("libxl-device-changes-lock", "qmp-socket-lock"):
            with open(self.lock(userid), "w", encoding="utf-8") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                said = self.xlstore("--timeout", "0.3", "insert", "7", "hdc", self.image, status=1)
                self.assertIn(f"pid {os.getpid()}", said)
        self.xlstore("insert", "7", "hdc", self.image)
        self.assertEqual(list(self.lib.iterdir()), [])

    def test_the_bridge_says_which_side_qemu_bears_out(self):
        document = json.loads(pathlib.Path(self.place, "d.json").read_text(encoding="utf-8"))
        file = self.lib / f"userdata-d.7.{self.uuid}.libxl-json"

        def difference(medium):
            document["disks"][0].update(pdev_path=medium, format="raw" if medium else "empty")
            file.write_text(host_test.yajl(document) + "\n\0", encoding="utf-8")
            said = json.loads(self.xlstore("--json", "bridge", "status", "--root", self.place))
            one, = said["domains"][0]["differences"]
            return one["right"], one["evidence"]

        self.xlstore("insert", "7", "hdc", self.image)
        self.assertEqual(difference(""), ("store", f"the drive holds raw:{self.image}"))
        self.assertEqual(difference("/other.iso")[0], "store")
        self.xlstore("eject", "7", "hdc")
        with open(self.lock("qmp-socket-lock"), "w", encoding="utf-8") as held:  # QEMU cannot be asked
            fcntl.flock(held, fcntl.LOCK_EX)
            said = json.loads(self.xlstore("--json", "--timeout", "0.3", "bridge", "status", "--root", self.place))
            one, = said["domains"][0]["differences"]
            self.assertEqual(one["right"], "unknown")
            self.assertIn(f"pid {os.getpid()}", one["evidence"])
        self.assertEqual(difference(self.image), ("store", "the drive is empty"))

    def test_an_operation_holds_both_until_it_is_over(self):
        process = subprocess.Popen([host_case.BIN / "xlstore", "--store", f"{self.place}/s", "insert", "7", "hdc", self.image],
                                   stdout=subprocess.DEVNULL, env={**os.environ, "XLSTORE_STOP_AT": "qmp.after_send",
                                                                   "XENSTORED_PATH": f"{self.place}/none"})
        self.addCleanup(process.kill)
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status))
        for userid in ("libxl-device-changes-lock", "qmp-socket-lock"):
            with open(self.lock(userid), "r+", encoding="utf-8") as tried:
                self.assertRaises(BlockingIOError, fcntl.flock, tried, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send_signal(signal.SIGCONT)
        os.waitpid(process.pid, 0)
        self.assertEqual(list(self.lib.iterdir()), [])


class Bridge(unittest.TestCase):
    """libxl's files and a store."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="xlb-")
        self.addCleanup(directory.cleanup)
        self.place = directory.name
        pathlib.Path(self.place, "var/lib/xen").mkdir(parents=True)
        self.state = host_case.pvh_state()
        uuid = self.state["document"]["c_info"]["uuid"]
        self.file = pathlib.Path(self.place, f"var/lib/xen/userdata-d.7.{uuid}.libxl-json")
        self.lock = pathlib.Path(self.place, f"var/lib/xen/userdata-l.7.{uuid}.domain-userdata-lock")
        self.put(self.state["document"])
        self.xlstore("init")

    def put(self, document):
        self.file.write_text(host_test.yajl(document) + "\n\0", encoding="utf-8")

    def xlstore(self, *words, status=0):
        done = subprocess.run([host_case.BIN / "xlstore", "--store", f"{self.place}/s", *words], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def bridge(self, *words, status=0):
        return self.xlstore("--json", "bridge", *words, "--root", self.place, status=status)

    def differences(self):
        domain, = json.loads(self.bridge("status"))["domains"]
        return [(one["thing"], one["store"] is not None, one["file"] is not None) for one in domain["differences"]]

    def test_a_file_comes_into_the_store_and_back_byte_for_byte(self):
        text = self.file.read_bytes()
        self.assertFalse(json.loads(self.bridge("status"))["domains"][0]["in_store"])
        self.bridge("sync")
        self.assertEqual(self.differences(), [])
        self.file.unlink()
        self.bridge("write", "7")
        self.assertEqual(self.file.read_bytes(), text)
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.assertFalse(self.lock.exists())

    def test_what_libxl_attached_comes_and_what_it_never_knew_stays(self):
        self.bridge("sync")
        document = self.state["document"]
        document["nics"] = [{"devid": 0, "mac": "00:16:3e:00:00:01"}]
        document["disks"][0]["readwrite"] = 0
        self.put(document)
        self.assertEqual(sorted(self.differences()), [("disks/xvda", True, True), ("nics/0", False, True)])
        self.bridge("write", "7", status=1)  # it would lose the nic
        self.bridge("sync")
        self.assertEqual(self.differences(), [])
        del document["disks"]
        self.put(document)
        self.assertEqual(self.differences(), [("disks/xvda", True, False)])
        self.bridge("sync")
        self.assertIn("xvda", self.xlstore("things", "7"))
        self.bridge("write", "7")
        self.assertEqual(self.differences(), [])

    def test_a_name_that_the_store_changed_is_not_changed_back(self):
        self.bridge("sync")
        self.xlstore("rename", "7", "new")
        self.state["document"]["nics"] = [{"devid": 0, "mac": "00:16:3e:00:00:01"}]
        self.put(self.state["document"])
        self.bridge("sync")
        self.assertIn("new", self.xlstore("list"))
        self.assertEqual(self.differences(), [])
        self.bridge("write", "7")
        self.assertIn(b"new", self.file.read_bytes())

    def test_the_rest_of_the_document_is_compared_and_not_lost(self):
        self.bridge("sync")
        document = self.state["document"]
        document["c_info"]["ssidref"] = 5
        document["b_info"]["max_memkb"] = 777
        document["on_crash"] = "preserve"
        self.put(document)
        self.assertEqual(sorted(self.differences()), [("member/b_info", True, True), ("member/c_info", True, True),
                                                      ("member/on_crash", False, True)])
        before = self.file.read_bytes()
        self.assertIn("member/on_crash, which the store lacks", self.bridge("write", "7", status=1))
        self.assertEqual(self.file.read_bytes(), before)
        self.bridge("sync")
        self.assertEqual(self.differences(), [])
        self.assertEqual(json.loads(self.xlstore("export", "7"))["b_info"]["max_memkb"], 777)
        document["b_info"]["max_memkb"] = 778
        self.put(document)
        before = self.file.read_bytes()
        self.bridge("write", "7")
        self.assertEqual(self.differences(), [])
        kept, = json.loads(self.xlstore("--json", "sql", "SELECT what, text FROM set_aside"))
        self.assertEqual((kept["what"], kept["text"].encode()), ("libxl's document", before.rstrip(b"\0")))

    def test_a_bad_file_is_named_and_nothing_is_done(self):
        self.bridge("sync")
        self.file.write_text("{", encoding="utf-8")
        self.assertIsNotNone(json.loads(self.bridge("sync", status=1))["domains"][0]["trouble"])
        self.bridge("write", "7", status=1)
        self.assertEqual(self.file.read_text(encoding="utf-8"), "{")

    def test_the_holder_of_libxls_lock_is_named(self):
        self.bridge("sync")
        with open(self.lock, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn(f"pid {os.getpid()}", self.bridge("--timeout", "0.3", "write", "7", status=1))


if __name__ == "__main__":
    host_case.main(__doc__)
