#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python package on a real QEMU: calls that wait, asyncio, cancellation, changes, errors.

  python_test.py            $PYTHONPATH has the package, $XLSTORE_LIBRARY names the library
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

import xlstore

# A sanitized library is loaded by an interpreter that is not: the sanitizer comes first. QEMU is to have none of it.
PYTHON_ENVIRONMENT = dict(os.environ)
os.environ.pop("LD_PRELOAD", None)

QEMU = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
        "-drive", "if=none,id=ide-5632,readonly=on", "-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
        "-device", "usb-ehci,id=xenusb-0"]
CONTROLLER = {"type": "devicemodel", "devid": 3, "version": 2}
NIC = {"devid": 4, "mac": "00:16:3e:00:00:04"}
# Another process that edits the same store.
PUT_NIC = "import sys, xlstore; xlstore.Store(sys.argv[1]).put_thing('domid:7', 'nics', sys.argv[2])"


def document(domid):
    return {"c_info": {"type": "hvm", "name": f"py{domid}", "uuid": f"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9d{domid:02}"},
            "b_info": {"type.hvm": {}},
            "disks": [{"pdev_path": "", "vdev": "hdc", "format": "empty", "removable": 1, "is_cdrom": 1}]}


class BindingTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="xp-", dir="/tmp")  # short: sockets lie in it
        self.addCleanup(self.directory.cleanup)
        self.path = os.path.join(self.directory.name, "s")
        self.image = os.path.join(self.directory.name, "a.iso")
        with open(self.image, "wb") as file:
            file.truncate(1 << 20)
        xlstore.Store.init(self.path)
        self.store = xlstore.Store(self.path)
        self.addCleanup(self.end)
        self.store.create(7, document(7), QEMU)

    def end(self):
        if not self.store.is_open:
            self.store = xlstore.Store(self.path)
        for domain in list(self.store.domains()):
            self.store.destroy(f"id:{domain.id}")
        self.store.close()

    def entry(self, device_class, key):
        states = [one["state"] for one in self.store.things("domid:7") if (one["class"], one["key"]) == (device_class, key)]
        return states[0] if states else None

    def test_calls_that_wait(self):
        done = self.store.attach("domid:7", "usbctrls", CONTROLLER)
        self.assertEqual(done.details["result"], "done")
        self.assertGreater(done.intent, 0)
        self.assertEqual(self.entry("usbctrls", "3"), "present")
        self.store.insert("name:py7", "hdc", self.image)
        text, revision = self.store.document("domid:7")
        self.assertEqual(json.loads(text.rstrip("\0"))["disks"][0]["pdev_path"], self.image)
        self.assertGreater(revision, 0)
        domain, = self.store.domains()
        self.assertEqual((domain.domid, domain.name, domain.state, domain.qemu_alive), (7, "py7", "running", True))
        self.assertTrue(os.path.exists(self.store.monitor_path("domid:7")))
        self.assertEqual(self.store.query("SELECT domid FROM domains WHERE name = ?1", "py7"), [{"domid": 7}])
        lines = self.store.history("domid:7")
        self.assertIn("create", [line["operation"] for line in lines])
        self.assertEqual(self.store.recover().details["fsck_status"], 0)

    def test_errors_say_what_and_what_next(self):
        with self.assertRaises(xlstore.NotFoundError):
            self.store.find("name:nothing")
        self.store.attach("domid:7", "usbctrls", CONTROLLER)
        with self.assertRaises(xlstore.ExistsError) as caught:
            self.store.attach("domid:7", "usbctrls", CONTROLLER)
        self.assertIn("usbctrls/3", caught.exception.message)
        self.assertTrue(caught.exception.advice)
        with self.assertRaises(xlstore.InvalidError):
            self.store.attach("domid:7", "usbctrls", "{")
        with self.assertRaises(xlstore.StoreError):
            xlstore.Store(os.path.join(self.directory.name, "none"))
        self.store.close()
        with self.assertRaises(xlstore.OrderError):
            self.store.find("domid:7")

    def test_asyncio(self):
        async def work():
            await asyncio.gather(*[
                self.store.aio.attach("domid:7", "usbctrls", {**CONTROLLER, "devid": devid}) for devid in range(3, 8)])
            with self.assertRaises(xlstore.NotFoundError):
                await self.store.aio.detach("domid:7", "usbctrls", "77")
            return await self.store.aio.eject("domid:7", "hdc")
        asyncio.run(work())
        self.assertEqual([self.entry("usbctrls", str(devid)) for devid in range(3, 8)], ["present"] * 5)
        async def recover():
            return await self.store.aio.recover()
        self.assertEqual(asyncio.run(recover()).details["found"], 0)  # on another loop, later

    def test_a_cancelled_task_cancels_its_operation(self):
        qemu = self.store.find("domid:7").qemu_pid

        async def work():
            operation = self.store.aio.attach("domid:7", "usbctrls", CONTROLLER)
            async def waiting():
                return await operation
            task = asyncio.create_task(waiting())
            await asyncio.sleep(0.1)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.1)
            self.assertIsInstance(operation.error, xlstore.CancelledError)
            second = self.store.aio.attach("domid:7", "usbctrls", CONTROLLER)
            await asyncio.sleep(0.1)
            second.cancel()
            with self.assertRaises(xlstore.CancelledError):
                await second
        os.kill(qemu, signal.SIGSTOP)  # it gives no answer
        try:
            asyncio.run(work())
        finally:
            os.kill(qemu, signal.SIGCONT)
        self.assertIsNone(self.entry("usbctrls", "3"))

    def test_changes_by_another_process(self):
        async def work():
            changes = self.store.aio.changes()
            first = asyncio.create_task(anext(changes))
            await asyncio.sleep(0)
            child = await asyncio.create_subprocess_exec(sys.executable, "-c", PUT_NIC, self.path, json.dumps(NIC),
                                                         env=PYTHON_ENVIRONMENT)
            change = await asyncio.wait_for(first, 60)
            self.assertEqual(await child.wait(), 0)
            await changes.aclose()
            return change
        change = asyncio.run(work())
        self.assertEqual((change.domid, change.id), (7, self.store.find("domid:7").id))
        self.assertEqual(self.entry("nics", "4"), "present")

    def test_closing_ends_what_is_under_way(self):
        qemu = self.store.find("domid:7").qemu_pid

        async def work():
            operation = self.store.aio.attach("domid:7", "usbctrls", CONTROLLER)
            await asyncio.sleep(0.1)
            self.store.close()
            with self.assertRaises(asyncio.CancelledError):
                await operation
        os.kill(qemu, signal.SIGSTOP)
        try:
            asyncio.run(work())
        finally:
            os.kill(qemu, signal.SIGCONT)

    def test_an_operation_that_is_refused_is_not_carried_out(self):
        qemu = self.store.find("domid:7").qemu_pid
        os.kill(qemu, signal.SIGSTOP)
        one, two = asyncio.new_event_loop(), asyncio.new_event_loop()

        async def begun():
            return self.store.aio.attach("domid:7", "usbctrls", CONTROLLER)

        async def rename():
            await self.store.aio.rename("domid:7", "refused")
        try:
            first = one.run_until_complete(begun())
            with self.assertRaises(xlstore.OrderError):
                two.run_until_complete(rename())
        finally:
            os.kill(qemu, signal.SIGCONT)
        self.assertEqual(self.store.find("domid:7").name, "py7")
        one.close()  # and what was begun on it is owned by none
        two.run_until_complete(rename())
        self.assertEqual(self.store.find("domid:7").name, "refused")
        first.cancel()
        two.close()
        self.store.close()

    def test_closing_ends_the_changes(self):
        async def work():
            changes = self.store.aio.changes()
            waiting = asyncio.create_task(anext(changes, "over"))
            await asyncio.sleep(0.1)
            self.store.close()
            self.assertEqual(await asyncio.wait_for(waiting, 60), "over")
            self.assertEqual([one async for one in changes], [])
        asyncio.run(work())

    def test_a_forked_child_may_let_go(self):
        async def work():
            changes = self.store.aio.changes()
            child = os.fork()
            if child == 0:
                try:
                    list(self.store.domains())
                except xlstore.OrderError:
                    self.store.close()
                    os._exit(0)
                os._exit(1)
            self.assertEqual(os.waitpid(child, 0)[1], 0)
            self.store.put_thing("domid:7", "nics", NIC)
            change = await asyncio.wait_for(anext(changes), 60)
            self.assertEqual(change.domid, 7)
            await changes.aclose()
        asyncio.run(work())

    def test_one_recovery_at_a_time(self):
        async def work():
            return await asyncio.gather(self.store.aio.recover(), self.store.aio.recover(), return_exceptions=True)
        first, second = asyncio.run(work())
        self.assertEqual(first.details["found"], 0)
        self.assertIsInstance(second, xlstore.BusyError)
        self.assertEqual(self.store.recover().details["found"], 0)

    def test_text_that_c_would_cut_is_refused(self):
        with self.assertRaises(xlstore.InvalidError):
            self.store.rename("domid:7", "abc\0def")
        with self.assertRaises(xlstore.InvalidError):
            self.store.backup(os.path.join(self.directory.name, "a\0b"))
        for timeout in (float("nan"), float("inf"), -1, 4294967.297):
            with self.assertRaises(xlstore.InvalidError):
                self.store.rename("domid:7", "other", timeout=timeout)
        self.assertEqual(self.store.find("domid:7").name, "py7")

    def test_numbers_that_c_would_cut_are_refused(self):
        for call in (lambda: self.store.import_(2**33 + 8, document(8)), lambda: self.store.wait(2**64),
                     lambda: self.store.history(after=2**70), lambda: self.store.history(most=-1),
                     lambda: self.store.rename("domid:7", "other", revision=-2**63 - 1),
                     lambda: self.store.recover(mode=2**32), lambda: self.store.recover(flags=2**32)):
            with self.assertRaises(xlstore.InvalidError) as caught:
                call()
            self.assertIn(" is none of ", caught.exception.message)
        self.assertEqual([(one.domid, one.name) for one in self.store.domains()], [(7, "py7")])

    def test_bytes_that_are_not_utf8_come_and_go(self):
        for call in (lambda: self.store.find("name:\ud800"), lambda: self.store.backup("/\ud800")):
            with self.assertRaises(xlstore.InvalidError):
                call()
        with self.assertRaises(xlstore.NotFoundError):
            self.store.find("name:\udcff")
        given = document(8)
        given["disks"][0].update(pdev_path="/a\udcff.iso", format="raw")
        self.store.import_(8, given)
        text, revision = self.store.document("domid:8")
        self.assertEqual(json.loads(text.rstrip("\0"))["disks"][0]["pdev_path"], "/a\udcff.iso")
        self.store.write_document("domid:8", text, revision=revision)
        self.assertEqual(self.store.things("domid:8")[0]["json"]["pdev_path"], "/a\udcff.iso")

    def test_an_empty_path_is_not_the_standard_store(self):
        with self.assertRaises(xlstore.InvalidError):
            xlstore.Store("")

    def test_infinity_is_none(self):
        self.assertEqual(self.store.query("SELECT 9e999 AS big, -9e999 AS low"), [{"big": None, "low": None}])

    def test_lock_that_another_process_has_is_named(self):
        holder = subprocess.Popen([sys.executable, "-c",
                                   "import sys, xlstore, ctypes; from xlstore import _library as l\n"
                                   "s = xlstore.Store(sys.argv[1]); hold = ctypes.c_void_p()\n"
                                   "l.check(l.lib.xlstore_slow_lock(s.handle(), b'domid:7', b'maintenance', None, "
                                   "ctypes.byref(hold)))\nprint('held', flush=True); sys.stdin.read()", self.path],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=PYTHON_ENVIRONMENT)
        with holder:
            self.assertEqual(holder.stdout.readline(), b"held\n")
            with self.assertRaises(xlstore.TimedOutError) as caught:
                self.store.attach("domid:7", "usbctrls", CONTROLLER, timeout=0.1)
            self.assertIn("maintenance", caught.exception.message)


if __name__ == "__main__":
    unittest.main()
