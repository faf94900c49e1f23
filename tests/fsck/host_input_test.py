#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck --libxl and what a host may have lying about: bad files, links, locks that are held, a QEMU that is stopped.

    host_input_test.py --bin BUILD/bin [TEST …]
"""

import argparse
import contextlib
import copy
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import host_test  # noqa: E402
import own_processes  # noqa: E402

BIN = None  # set from the command line, below
OTHER = "0badcafe-2222-4333-8444-000000000009"


def state_of(name):
    return json.loads((HERE / name / "state.json").read_text(encoding="utf-8"))


def pvh_state():
    """A domain without a device model."""
    uuid = "0badcafe-2222-4333-8444-000000000007"
    return {"domid": 7, "document": {"c_info": {"type": "pvh", "name": "d7", "uuid": uuid},
                                     "b_info": {"max_vcpus": 2, "type.pvh": {}},
                                     "disks": [{"pdev_path": "/a.img", "vdev": "xvda", "format": "raw",
                                                "readwrite": 1}]},
            "xenstore": {"local": {"domain": {
                "0": {"backend": {"qdisk": {"7": {"51712": {
                    "frontend": "/local/domain/7/device/vbd/51712", "online": "1", "state": "4", "dev": "xvda",
                    "params": "aio:/a.img", "type": "qdisk", "mode": "w", "device-type": "disk"}}}}},
                "7": {"vm": f"/vm/{uuid}", "name": "d7", "device": {"vbd": {"51712": {
                    "backend": "/local/domain/0/backend/qdisk/7/51712", "state": "4"}}}}}},
                "vm": {uuid: {"uuid": uuid}},
                "libxl": {"7": {"type": "pvh", "device": {"vbd": {"51712": {
                    "frontend": "/local/domain/7/device/vbd/51712",
                    "backend": "/local/domain/0/backend/qdisk/7/51712", "dev": "xvda", "params": "aio:/a.img",
                    "type": "qdisk", "mode": "w", "device-type": "disk"}}}}}}}


class HostTest(unittest.TestCase):
    def host(self, state):
        directory = tempfile.TemporaryDirectory(prefix="xli-")
        self.addCleanup(directory.cleanup)
        host = host_test.Host(directory.name, BIN, copy.deepcopy(state))
        self.addCleanup(host.end)
        host.begin()
        return host

    def findings(self, host, *words, timeout="3"):
        """Codes, what was said, status."""
        status, said = host.fsck("--json", *words, timeout=timeout)
        lines = [json.loads(line) for line in said.splitlines()]
        return [line["code"] for line in lines[:-1]], said, status

    def is_clean(self, host):
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((status, codes), (0, []), said)


class Documents(HostTest):
    def damaged(self, content):
        host = self.host(pvh_state())
        host.file("d").write_bytes(content)
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7003], 4), said)
        codes, said, status = self.findings(host, "-p")
        self.assertEqual((codes, status), ([7003], 4), said)
        self.assertEqual(host.file("d").read_bytes(), content, "no unattended run guesses")
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7003, 7010], 1), said)
        self.assertTrue(host.file("d").read_bytes().endswith(b"}\n\0"))
        self.is_clean(host)

    def test_one_that_is_cut_off(self):
        self.damaged(b'{"c_info": {"type": "pvh", "na\0')

    def test_one_that_is_empty(self):
        self.damaged(b"")

    def test_one_that_is_no_json(self):
        self.damaged(b"\x7fELF\xff\0\0")

    def test_one_of_another_domain(self):
        self.damaged(json.dumps({"c_info": {"name": "x", "uuid": OTHER}, "b_info": {}}).encode() + b"\0")

    def test_two_for_one_number(self):
        host = self.host(pvh_state())
        host.file("d", uuid=OTHER).write_text("{}\0", encoding="utf-8")
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7006], 0), said)
        self.findings(host, "-p")
        self.assertTrue(host.file("d", uuid=OTHER).exists())
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7006], 1), said)
        self.assertFalse(host.file("d", uuid=OTHER).exists())
        self.is_clean(host)

    def test_a_link_is_not_followed(self):
        host = self.host(pvh_state())
        text = host.file("d").read_bytes()
        host.file("d").rename(f"{host.place}/elsewhere")
        host.file("d").symlink_to(f"{host.place}/elsewhere")
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7005], 8), said)
        self.assertEqual(pathlib.Path(host.place, "elsewhere").read_bytes(), text)

    def test_a_directory_in_its_place(self):
        host = self.host(pvh_state())
        host.file("d").unlink()
        host.file("d").mkdir()
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7005], 8), said)

    def test_one_without_a_nul(self):
        host = self.host(pvh_state())
        text = host.file("d").read_bytes()
        host.file("d").write_bytes(text[:-1])
        codes, said, status = self.findings(host, "-p")
        self.assertEqual((codes, status), ([7004], 1), said)
        self.assertEqual(host.file("d").read_bytes(), text)
        self.is_clean(host)

    def test_members_of_a_newer_libxl_and_its_layout_stay(self):
        state = state_of("xen_cd_insert_killed_after_eject")
        host = self.host(state)
        text = json.dumps(state["document"], indent=2).replace('": ', '":').replace("/", "\\/")
        text = text.replace("{}", "{\n    }").replace('"b_info":{', '"b_info":{\n    "altp2m_count":1.50,', 1)
        host.file("d").write_bytes(text.encode() + b"\0")
        _, said, status = self.findings(host, "-y")
        self.assertEqual(status, 1, said)
        after = host.file("d").read_text(encoding="utf-8")
        self.assertIn('"altp2m_count":1.50,', after)
        self.assertEqual(after, text.replace('"pdev_path":"\\/srv\\/guest\\/a.iso"', '"pdev_path":""')
                         .replace('"format":"raw",\n      "removable"', '"format":"empty",\n      "removable"') + "\0")


class Surroundings(HostTest):
    def test_a_host_of_pvh_domains_has_domains(self):
        host = self.host(pvh_state())
        _, said, status = self.findings(host, "-n")
        self.assertEqual((status, json.loads(said.splitlines()[-1])["summary"]["domains"]), (0, 1), said)

    def test_figures_for_monitoring_before_there_is_a_store(self):
        host = self.host(state_of("xen_cd_insert_killed_after_change"))
        file = pathlib.Path(host.place, "tmp/host.prom")
        subprocess.run(["sh", HERE.parent.parent / "tools/systemd/xlstore-metrics", "--libxl", "--root", host.place, file],
                       env={**host.environment, "PATH": f"{BIN}:/usr/bin:/bin"}, check=True)
        lines = file.read_text(encoding="utf-8").splitlines()
        for line in ("xlstore_libxl_fsck_status 4", "xlstore_libxl_domains 1", "xlstore_libxl_problems 2"):
            self.assertIn(line, lines)

    def test_without_xenstore_nothing_is_said_to_be_clean(self):
        host = self.host(pvh_state())
        host.environment["XENSTORED_PATH"] = f"{host.place}/none"
        status, said = host.fsck("-n")
        self.assertEqual(status, 8, said)

    def test_no_such_domain(self):
        host = self.host(pvh_state())
        self.assertEqual(host.fsck("-n", "8")[0], 8)
        for word in ("7", "d7", host.uuid):
            self.assertEqual(host.fsck("-n", word)[0], 0)

    def test_the_holder_of_a_lock_is_named(self):
        host = self.host(state_of("xen_hvm_clean"))
        lock = host.file("l", "qmp-socket-lock")
        with open(lock, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            codes, said, status = self.findings(host, "-n")
            self.assertEqual((codes, status), ([7022], 8), said)
            self.assertIn(f"pid {os.getpid()}", said)
            self.assertTrue(lock.exists())
        self.is_clean(host)

    def test_a_stopped_qemu_costs_its_time_and_the_others_are_looked_at(self):
        host = self.host(state_of("xen_hvm_clean"))
        host.processes[0].send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7022], 8), said)
        self.assertIn("stopped", said)
        self.assertLess(time.monotonic() - begun, 15)
        host.processes[0].send_signal(signal.SIGCONT)
        self.is_clean(host)

    def test_a_dead_device_model(self):
        host = self.host(state_of("xen_hvm_clean"))
        host.processes[0].kill()
        host.processes[0].wait()
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7020], 2), said)

    def test_what_is_left_of_domains_that_are_over(self):
        host = self.host(pvh_state())
        left = host.lib / f"userdata-d.3.{OTHER}.libxl-json"
        left.write_text("{}\0", encoding="utf-8")
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7006], 0), said)
        status, said = host.fsck("-y")
        self.assertEqual(status, 1, said)
        self.assertFalse(left.exists())

    def test_nodes_of_a_domain_that_is_over(self):
        host = self.host(pvh_state())
        nodes = "".join(f'{path} = "1"\n' for path in (
            "/libxl/9/device/vbd/51712/frontend", "/local/domain/0/backend/vbd/9/51712/online"))
        host.xenstored("load", text=nodes)
        before = host.xenstored("dump")
        status, said = host.fsck("-n")
        self.assertEqual(status, 4, said)
        self.assertIn("/libxl/9", said)
        self.assertEqual(host.xenstored("dump"), before)
        status, said = host.fsck("-y")
        self.assertEqual(status, 1, said)
        self.assertNotIn("/9/", host.xenstored("dump"))
        self.is_clean(host)
        undo = re.search(r"--undo (\S+)'", said)[1]
        subprocess.run([BIN / "xlfsck", "--libxl", "--undo", undo], env=host.environment, stdout=subprocess.DEVNULL,
                       check=False)
        self.assertEqual(host.xenstored("dump"), before)

    def test_a_domain_that_xl_creates_just_now(self):
        state = pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        host.xenstored("write", f"/vm/{state['document']['c_info']['uuid']}/start_time", f"{int(time.time()) - 86400}.05")
        log = pathlib.Path(host.place, "xl-d.log")
        other = pathlib.Path(host.place, "unit.log")
        # By whom it was started does not count: a unit of systemd's leads a session, too. The one that xl leaves
        # behind for a domain writes a log of its own.
        for leads, output, creates in ((False, other, True), (True, other, True), (False, log, True),
                                       (True, log, False)):
            with open(output, "wb") as out:
                xl = subprocess.Popen(["xl", "-cimport time; time.sleep(600)", "create"], executable=sys.executable,
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=leads)
            try:
                status, said = host.fsck("-n", "-v")
            finally:
                xl.kill()
                xl.wait()
            self.assertEqual(status, 0 if creates else 4, said)
            self.assertEqual(f"process {xl.pid}" in said, creates, said)
        status, said = host.fsck("-n")
        self.assertEqual(status, 4, said)

    def test_a_domain_that_xl_makes_anew_when_its_guest_reboots(self):
        state = pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        name, uuid = state["document"]["c_info"]["name"], state["document"]["c_info"]["uuid"]
        now = int(time.time())
        # The one that was left behind for this domain, until libxl has built it and for a while after.
        for of, built, creates in ((name, None, True), (name, f"{now}.05", True), (name, f"{now - 86400}.05", False)):
            host.xenstored("rm", f"/vm/{uuid}/start_time")
            if built:
                host.xenstored("write", f"/vm/{uuid}/start_time", built)
            with open(pathlib.Path(host.place, f"xl-{of}.log"), "wb") as out:
                xl = subprocess.Popen(["xl", "-cimport time; time.sleep(600)", "create"], executable=sys.executable,
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            try:
                status, said = host.fsck("-n", "-v")
            finally:
                xl.kill()
                xl.wait()
            self.assertEqual(status, 0 if creates else 4, said)
            self.assertEqual(f"process {xl.pid}" in said, creates, said)

    def test_an_xl_that_waits_for_its_domain_makes_none(self):
        """A destruction was killed: libxl's nodes are gone, the domain and the xl that waits for its end are there."""
        state = pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        name = state["document"]["c_info"]["name"]
        host.xenstored("rm", f"/vm/{state['document']['c_info']['uuid']}/start_time")
        waits, ends = "Waiting for domain %s (domid 7) to die [pid %d]", "Domain 7 has shut down, reason code 1 0x1"
        # It tells the newest wait apart from one that is over, and believes no log that is another's or was cut.
        for lines, creates in (([waits], False), ([waits, ends], True), ([waits, ends, waits], False),
                               ([waits, "libxl: error: it is slow"], False), ([waits.replace("%d]", "1%d]")], True),
                               ([ends], True)):
            path = pathlib.Path(host.place, f"xl-{name}.log")
            with open(path, "wb") as out:
                xl = subprocess.Popen(["xl", "-cimport time; time.sleep(600)", "create"], executable=sys.executable,
                                      stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            path.write_text("".join(line % (name, xl.pid) + "\n" if "%" in line else line + "\n" for line in lines))
            path.rename(f"{path}.1")  # as it is rotated
            try:
                status, said = host.fsck("-n", "-v")
            finally:
                xl.kill()
                xl.wait()
            self.assertEqual(status, 0 if creates else 4, (lines, said))
            self.assertEqual(f"process {xl.pid}" in said, creates, (lines, said))

    def test_a_renamed_domain_that_xl_makes_anew(self):
        """xl's log has the name that its domain was created with: it is known by that no other domain has it."""
        state = pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        host.xenstored("rm", f"/vm/{state['document']['c_info']['uuid']}/start_time")
        for has_namesake, left_behind, creates in ((False, 1, True), (True, 1, False), (True, 2, True)):
            if has_namesake:
                for path, value in (("/local/domain/9/name", "before"), ("/local/domain/9/vm", f"/vm/{OTHER}"),
                                    (f"/vm/{OTHER}/start_time", f"{int(time.time()) - 86400}.05")):
                    host.xenstored("write", path, value)
            with open(pathlib.Path(host.place, "xl-before.log"), "wb") as out:
                xls = [subprocess.Popen(["xl", "-cimport time; time.sleep(600)", "create"], executable=sys.executable,
                                        stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
                       for _ in range(left_behind)]
            try:
                _, said = host.fsck("-n")
            finally:
                for xl in xls:
                    xl.kill()
                    xl.wait()
            told = [line for line in said.split("\n") if line.startswith(f"domain {state['domid']} ")]
            self.assertEqual(any("makes its domain anew" in line for line in told), creates, said)

    def test_a_domain_that_another_toolstack_may_create(self):
        """libvirtd is known by libxenlight, and is always there: it counts for a domain that libxl has not noted as built."""
        state = pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        uuid = state["document"]["c_info"]["uuid"]
        library = pathlib.Path(host.place, "libxenlight.so.4.17")
        library.write_bytes(bytes(4096))
        maps = ("-cimport mmap, sys, time; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ); "
                "print('ready', flush=True); time.sleep(600)")
        for of, built, program, creates in ((library, None, "libvirtd", True), (sys.executable, None, "libvirtd", False),
                                            (library, f"{int(time.time()) - 86400}.05", "libvirtd", False),
                                            (library, None, "xlfsck", False)):
            host.xenstored("rm", f"/vm/{uuid}/start_time")
            if built:
                host.xenstored("write", f"/vm/{uuid}/start_time", built)
            with subprocess.Popen([f"/usr/sbin/{program}", maps, of], executable=sys.executable, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE) as daemon:
                try:
                    daemon.stdout.readline()
                    status, said = host.fsck("-n")
                finally:
                    daemon.kill()
            self.assertEqual(status, 0 if creates else 4, said)
            for told in (f"process {daemon.pid} is libvirtd", f"'xl destroy {state['domid']}' ends the domain if its creation"):
                self.assertEqual(told in said, creates, said)

    def test_a_domain_that_goes_away_while_it_is_looked_at(self):
        state = state_of("xen_hvm_clean")
        host = self.host(state)
        host.processes[0].send_signal(signal.SIGSTOP)
        look = subprocess.Popen([BIN / "xlfsck", "--libxl", "--root", host.place, "--timeout", "3", "-n"],
                                env=host.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        deadline = time.monotonic() + 20
        while not list(host.lib.glob("userdata-l.*qmp-socket-lock")):  # it waits for QEMU
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        for path in (f"/local/domain/{state['domid']}", f"/libxl/{state['domid']}"):
            host.xenstored("rm", path)
        host.file("d").unlink()
        said, _ = look.communicate(timeout=60)
        self.assertEqual(look.returncode, 0, said)

    def test_a_file_that_may_not_be_read(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to be another user")
        host = self.host(pvh_state())
        for path in (host.place, host.lib, pathlib.Path(host.place, "tmp"), pathlib.Path(host.place, "xs")):
            os.chmod(path, 0o777)
        os.chmod(f"{host.place}/xs/socket", 0o666)
        done = subprocess.run([BIN / "xlfsck", "--libxl", "--root", host.place, "-n"], env=host.environment, user=65534,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 8, done.stdout)
        self.assertIn(str(host.file("d")), done.stdout)

    def test_a_front_end_says_what_it_likes(self):
        host = self.host(pvh_state())
        front = "/local/domain/7/device/vbd/51712"
        for path, value in ((f"{front}/backend", "/etc"), (f"{front}/state", "9" * 2000), ("/local/domain/7/name", "\x1b[2J")):
            host.xenstored("write", path, value)
        _, said, status = self.findings(host, "-y")
        self.assertEqual(status, 0, said)
        self.assertNotIn("\x1b", said)

    def test_a_repair_that_is_killed_is_done_by_the_next(self):
        state = state_of("xen_cd_insert_killed_after_change")
        for point in ("libxl.before_write", "libxl.before_rename", "libxl.after_rename", "xenstore.before_commit"):
            host = self.host(state)
            host.environment["XLSTORE_CRASH_AT"] = point
            killed = host.fsck("-y")[0]
            del host.environment["XLSTORE_CRASH_AT"]
            if not point.startswith("xenstore"):
                self.assertEqual(killed, -signal.SIGKILL, point)
            host.fsck("-y")
            self.is_clean(host)
            self.assertEqual(json.loads(host.file("d").read_text(encoding="utf-8").rstrip("\0"))["disks"][1]["pdev_path"],
                             "/srv/guest/b.iso")

    def test_what_changed_since_a_repair_is_not_undone(self):
        host = self.host(state_of("xen_cd_insert_killed_after_change"))
        _, said = host.fsck("-y")
        undo = said.split("--undo ")[1].split("'")[0]
        host.file("d").write_text("{}\0", encoding="utf-8")
        done = subprocess.run([BIN / "xlfsck", "--libxl", "--undo", undo], env=host.environment, stdout=subprocess.PIPE,
                              text=True, check=False)
        self.assertEqual(done.returncode, 4, done.stdout)
        self.assertEqual(host.file("d").read_text(encoding="utf-8"), "{}\0")


class Between:
    """A way to the host's xenstored on which `at_commit` is called before each request that commits a transaction."""

    TRANSACTION_END = 7     # xs_wire.h

    def __init__(self, host, at_commit):
        self.real, self.path, self.at_commit = host.environment["XENSTORED_PATH"], f"{host.place}/between", at_commit
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def end(self):
        self.listener.shutdown(socket.SHUT_RDWR)    # wakes accept
        self.listener.close()
        self.thread.join()

    def accept(self):
        with contextlib.suppress(OSError):      # closed
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(self.real)
            back = threading.Thread(target=self.pass_on, args=(daemon, client), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                self.pass_requests(client, daemon)
            for end in (daemon, client):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            back.join()

    def pass_requests(self, client, daemon):
        with client.makefile("rb") as requests:
            while header := requests.read(16):
                kind, _, _, length = struct.unpack("<IIII", header)
                payload = requests.read(length)
                if kind == self.TRANSACTION_END and payload[:1] == b"T" and self.at_commit() == "drop":
                    return
                daemon.sendall(header + payload)

    @staticmethod
    def pass_on(daemon, client):
        with contextlib.suppress(OSError):
            while said := daemon.recv(65536):
                client.sendall(said)


class Undo(HostTest):
    """What another client did since, or at the same time, is never taken away."""

    PCI = "xen_pci_attach_02_killed_after_device_add"
    LIST = "/local/domain/0/backend/pci/4/0"

    def undo(self, host, status):
        """What became of each, by its path."""
        directory, = pathlib.Path(host.place, "var/lib/xlfsck").iterdir()
        done = subprocess.run([BIN / "xlfsck", "--libxl", "--json", "--undo", directory], env=host.environment,
                              stdout=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stdout)
        return {line["object"]: line["done"] for line in map(json.loads, done.stdout.splitlines())}

    def nodes(self, host):
        return [line for line in host.xenstored("dump").splitlines() if "/tool/" in line or "/pci" in line]

    def index(self, host):
        index, = pathlib.Path(host.place, "var/lib/xlfsck").glob("*/index")
        return index.read_text(encoding="utf-8")

    def list_another(self, host, at):
        """As a toolstack lists 0000:00:11.0."""
        host.xenstored("load", text="".join(f'{self.LIST}/{name} = "{value}"\n' for name, value in (
            (f"dev-{at}", "0000:00:11.0"), (f"key-{at}", "0000:00:11.0"), (f"state-{at}", "1"), ("num_devs", at + 1),
            ("state", "1"))))

    def raced(self, host, change):
        """A repair, and `change` before its first commit of nodes that its index has."""
        calls = []

        def at_commit():
            index = list(pathlib.Path(host.place, "var/lib/xlfsck").glob("*/index"))
            if calls or not index or '"node"' not in index[0].read_text(encoding="utf-8"):
                return None
            calls.append(1)
            return change()

        between = Between(host, at_commit)
        self.addCleanup(between.end)
        real, host.environment["XENSTORED_PATH"] = host.environment["XENSTORED_PATH"], between.path
        status, said = host.fsck("-y", timeout="20")
        host.environment["XENSTORED_PATH"] = real
        self.assertEqual(calls, [1], said)
        return status, said

    def test_all_goes_that_the_repair_made(self):
        host = self.host(state_of(self.PCI))
        before = host.xenstored("dump")
        host.fsck("-y")
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(host.xenstored("dump"), before)

    def test_what_was_listed_since_stays(self):
        host = self.host(state_of(self.PCI))
        host.fsck("-y")
        self.list_another(host, 1)
        listed = self.nodes(host)
        done = self.undo(host, 4)
        self.assertFalse(done[f"{self.LIST}/num_devs"])
        self.assertFalse(done[self.LIST])
        self.assertEqual(self.nodes(host), listed, "half a list is none")

    def test_a_parent_stays_with_what_came_below_it(self):
        host = self.host(state_of(self.PCI))
        host.fsck("-y")
        host.xenstored("load", text='/local/domain/0/backend/pci/5/0/num_devs = "0"\n')
        done = self.undo(host, 4)
        self.assertEqual([path for path, one in done.items() if not one], ["/local/domain/0/backend/pci"])
        tree = host.xenstored("dump")
        self.assertIn("/local/domain/0/backend/pci/5/0/num_devs", tree)
        self.assertNotIn("/local/domain/0/backend/pci/4", tree)

    def test_what_was_listed_meanwhile_stays(self):
        host = self.host(state_of(self.PCI))
        listed = []

        def change():
            self.list_another(host, 0)
            listed.extend(self.nodes(host))

        status, said = self.raced(host, change)
        self.assertEqual(status, 1, said)
        self.assertIn("0000:00:10.0", host.xenstored("dump", self.LIST))
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(self.nodes(host), listed)
        self.assertIn("withdrawn", self.index(host))

    def test_what_a_dead_repair_never_made_is_not_undone(self):
        host = self.host(state_of(self.PCI))
        self.raced(host, lambda: "drop")
        self.assertNotIn("made", self.index(host))
        self.assertNotIn(self.LIST, host.xenstored("dump"))
        lines = [line for line in map(json.loads, self.index(host).splitlines()) if "node" in line]
        host.xenstored("load", text="".join(f'{line["node"]} = "{line["after"]}"\n' for line in lines))
        listed = self.nodes(host)
        self.assertFalse(self.undo(host, 4)[self.LIST])
        self.assertEqual(self.nodes(host), listed)

    def test_what_a_dead_repair_made_is_undone(self):
        host = self.host(state_of(self.PCI))
        before = host.xenstored("dump")
        host.environment["XLSTORE_CRASH_AT"] = "xenstore.after_commit"
        self.assertEqual(host.fsck("-y")[0], -signal.SIGKILL)
        del host.environment["XLSTORE_CRASH_AT"]
        self.assertNotIn("made", self.index(host))
        self.assertIn(self.LIST, host.xenstored("dump"))
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(host.xenstored("dump"), before)

    def test_what_another_wrote_meanwhile_is_what_comes_back(self):
        host = self.host(state_of("xen_usbdev_detach_killed_before_qmp"))
        port = "/libxl/1/device/vusb/0/port/1"
        self.raced(host, lambda: host.xenstored("write", port, "9-9"))
        self.assertNotIn("9-9", host.xenstored("dump", port))
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertIn("9-9", host.xenstored("dump", port))

    def left_of_nine(self):
        host = self.host(pvh_state())
        host.xenstored("load", text='/libxl/9/device/vbd/51712/frontend = "1"\n/libxl/9/type = "pvh"\n')
        return host

    def test_nodes_that_went_do_not_come_among_those_of_a_new_domain(self):
        host = self.left_of_nine()
        host.fsck("-y")
        host.xenstored("load", text='/libxl/9/type = "hvm"\n')
        tree = host.xenstored("dump")
        self.assertFalse(self.undo(host, 4)["/libxl/9/type"])
        self.assertEqual(host.xenstored("dump"), tree)

    def test_nodes_that_went_do_not_come_below_those_of_a_new_domain(self):
        host = self.left_of_nine()
        host.fsck("-y")
        host.xenstored("load", text='/libxl/9/name = "new"\n')
        tree = host.xenstored("dump")
        self.assertFalse(self.undo(host, 4)["/libxl/9"])
        self.assertEqual(host.xenstored("dump"), tree)

    def test_nodes_whose_removal_was_not_committed_are_not_put_back(self):
        host = self.left_of_nine()
        self.raced(host, lambda: host.xenstored("write", "/libxl/9/type", "hvm"))
        host.xenstored("rm", "/libxl/9")
        self.assertEqual(self.undo(host, 1), {})
        self.assertNotIn("/libxl/9", host.xenstored("dump"))
        self.assertIn("withdrawn", self.index(host))


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
        done = subprocess.run([BIN / "xlstore", "--store", f"{self.place}/s", *words], stdout=subprocess.PIPE,
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
        process = subprocess.Popen([BIN / "xlstore", "--store", f"{self.place}/s", "insert", "7", "hdc", self.image],
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
        self.state = pvh_state()
        uuid = self.state["document"]["c_info"]["uuid"]
        self.file = pathlib.Path(self.place, f"var/lib/xen/userdata-d.7.{uuid}.libxl-json")
        self.lock = pathlib.Path(self.place, f"var/lib/xen/userdata-l.7.{uuid}.domain-userdata-lock")
        self.put(self.state["document"])
        self.xlstore("init")

    def put(self, document):
        self.file.write_text(host_test.yajl(document) + "\n\0", encoding="utf-8")

    def xlstore(self, *words, status=0):
        done = subprocess.run([BIN / "xlstore", "--store", f"{self.place}/s", *words], stdout=subprocess.PIPE,
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

    def test_a_bad_file_is_named_and_nothing_is_done(self):
        self.bridge("sync")
        self.file.write_text("{", encoding="utf-8")
        self.assertIsNotNone(json.loads(self.bridge("sync"))["domains"][0]["trouble"])
        self.bridge("write", "7", status=1)
        self.assertEqual(self.file.read_text(encoding="utf-8"), "{")

    def test_the_holder_of_libxls_lock_is_named(self):
        self.bridge("sync")
        with open(self.lock, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn(f"pid {os.getpid()}", self.bridge("--timeout", "0.3", "write", "7", status=1))


if __name__ == "__main__":
    own_processes.begin_alone()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    options, rest = parser.parse_known_args()
    BIN = options.bin
    unittest.main(argv=[sys.argv[0], *rest])
