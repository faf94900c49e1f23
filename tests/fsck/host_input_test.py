#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck --libxl and what a host may have lying about: bad files, links, locks that are held, a QEMU that is stopped.

    host_input_test.py --bin BUILD/bin [TEST …]
"""

import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import host_case  # noqa: E402


class Documents(host_case.HostTest):
    def damaged(self, content):
        host = self.host(host_case.pvh_state())
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
        self.damaged(json.dumps({"c_info": {"name": "x", "uuid": host_case.OTHER}, "b_info": {}}).encode() + b"\0")

    def test_two_for_one_number(self):
        host = self.host(host_case.pvh_state())
        host.file("d", uuid=host_case.OTHER).write_text("{}\0", encoding="utf-8")
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7006], 0), said)
        self.findings(host, "-p")
        self.assertTrue(host.file("d", uuid=host_case.OTHER).exists())
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7006], 1), said)
        self.assertFalse(host.file("d", uuid=host_case.OTHER).exists())
        self.is_clean(host)

    def test_a_link_is_not_followed(self):
        host = self.host(host_case.pvh_state())
        text = host.file("d").read_bytes()
        host.file("d").rename(f"{host.place}/elsewhere")
        host.file("d").symlink_to(f"{host.place}/elsewhere")
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7005], 8), said)
        self.assertEqual(pathlib.Path(host.place, "elsewhere").read_bytes(), text)

    def test_a_directory_in_its_place(self):
        host = self.host(host_case.pvh_state())
        host.file("d").unlink()
        host.file("d").mkdir()
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7005], 8), said)

    def test_one_without_a_nul(self):
        host = self.host(host_case.pvh_state())
        text = host.file("d").read_bytes()
        host.file("d").write_bytes(text[:-1])
        codes, said, status = self.findings(host, "-p")
        self.assertEqual((codes, status), ([7004], 1), said)
        self.assertEqual(host.file("d").read_bytes(), text)
        self.is_clean(host)

    def changed_meanwhile(self, host, which, code, commits=9):
        """libxl writes its document while xlfsck, which has looked at it, waits for libxl's lock. `commits`: xlfsck's to
        its own store, up to that of the document which it repairs."""
        lock = host.file("l", "domain-userdata-lock")
        with open(lock, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with subprocess.Popen([host_case.BIN / "xlfsck", "--libxl", "--root", host.place, "--timeout", "10", "--json", "-y"],
                                  env={**host.environment, "XLSTORE_STOP_AT": f"commit.after:{commits}"},
                                  stdout=subprocess.PIPE, text=True) as xlfsck:
                _, how = os.waitpid(xlfsck.pid, os.WUNTRACED)
                self.assertTrue(os.WIFSTOPPED(how))
                document = {**host.state["document"], "nics": [{"devid": 3, "mac": "00:16:3e:00:00:09"}]}
                now = json.dumps(document).encode() + b"\0"
                host.file(which).write_bytes(now)
                lock.unlink()
                fcntl.flock(held, fcntl.LOCK_UN)
                xlfsck.send_signal(signal.SIGCONT)
                said = xlfsck.stdout.read()
        lines = [json.loads(line) for line in said.splitlines()]
        found, = (line for line in lines if line.get("code") == code)
        self.assertIn("was changed meanwhile", found.get("error", ""), said)
        self.assertEqual(host.file(which).read_bytes(), now)

    def test_a_newer_one_is_not_closed_by_the_older(self):
        host = self.host(host_case.pvh_state())
        host.file("d").write_bytes(host.file("d").read_bytes()[:-1])
        self.changed_meanwhile(host, "d", 7004)

    def test_one_that_is_begun_anew_is_not_finished_by_the_older(self):
        host = self.host(host_case.pvh_state())
        host.file("d").rename(host.file("n"))
        self.changed_meanwhile(host, "n", 7001, commits=8)

    def test_one_that_is_damaged_anew_is_kept_for_its_own_look(self):
        host = self.host(host_case.pvh_state())
        host.file("d").write_bytes(b"{")
        host.state["document"] = {"c_info": {}}
        self.changed_meanwhile(host, "d", 7003)

    def test_members_of_a_newer_libxl_and_its_layout_stay(self):
        state = host_case.state_of("xen_cd_insert_killed_after_eject")
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


class Surroundings(host_case.HostTest):
    def test_a_host_of_pvh_domains_has_domains(self):
        host = self.host(host_case.pvh_state())
        _, said, status = self.findings(host, "-n")
        self.assertEqual((status, json.loads(said.splitlines()[-1])["summary"]["domains"]), (0, 1), said)

    def test_figures_for_monitoring_before_there_is_a_store(self):
        host = self.host(host_case.state_of("xen_cd_insert_killed_after_change"))
        file = pathlib.Path(host.place, "tmp/host.prom")
        subprocess.run(["sh", HERE.parent.parent / "tools/systemd/xlstore-metrics", "--libxl", "--root", host.place, file],
                       env={**host.environment, "PATH": f"{host_case.BIN}:/usr/bin:/bin"}, check=True)
        lines = file.read_text(encoding="utf-8").splitlines()
        for line in ("xlstore_libxl_fsck_status 4", "xlstore_libxl_domains 1", "xlstore_libxl_problems 2"):
            self.assertIn(line, lines)

    def test_without_xenstore_nothing_is_said_to_be_clean(self):
        host = self.host(host_case.pvh_state())
        host.environment["XENSTORED_PATH"] = f"{host.place}/none"
        status, said = host.fsck("-n")
        self.assertEqual(status, 8, said)

    def test_no_such_domain(self):
        host = self.host(host_case.pvh_state())
        self.assertEqual(host.fsck("-n", "8")[0], 8)
        for word in ("7", "d7", host.uuid):
            self.assertEqual(host.fsck("-n", word)[0], 0)

    def test_the_holder_of_a_lock_is_named(self):
        host = self.host(host_case.state_of("xen_hvm_clean"))
        lock = host.file("l", "qmp-socket-lock")
        with open(lock, "w", encoding="utf-8") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            codes, said, status = self.findings(host, "-n")
            self.assertEqual((codes, status), ([7022], 8), said)
            self.assertIn(f"pid {os.getpid()}", said)
            self.assertTrue(lock.exists())
        self.is_clean(host)

    def test_a_stopped_qemu_costs_its_time_and_the_others_are_looked_at(self):
        host = self.host(host_case.state_of("xen_hvm_clean"))
        host.processes[0].send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7022], 8), said)
        self.assertIn("stopped", said)
        self.assertLess(time.monotonic() - begun, 15)
        host.processes[0].send_signal(signal.SIGCONT)
        self.is_clean(host)

    def test_what_a_run_in_another_pid_namespace_works_on_stays(self):
        with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 600"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as outer:
            try:
                if not outer.stdout.readline():
                    self.skipTest("no pid namespace can be made here")
                inner, = pathlib.Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text(encoding="utf-8").split()
                started = pathlib.Path(f"/proc/{inner}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
                space, own = (os.stat(f"/proc/{pid}/ns/pid").st_ino for pid in (inner, "self"))
                host = self.host(host_case.pvh_state())
                living = pathlib.Path(host.place, f"tmp/xlfsck-host-1-{started}-{space}-abcdef")
                left = pathlib.Path(host.place, f"tmp/xlfsck-host-{inner}-1-{own}-abcdef")
                living.mkdir()
                left.mkdir()
                self.is_clean(host)
                self.assertTrue(living.exists())
                self.assertFalse(left.exists())
            finally:
                outer.kill()

    def test_a_dead_device_model(self):
        host = self.host(host_case.state_of("xen_hvm_clean"))
        host.processes[0].kill()
        host.processes[0].wait()
        codes, said, status = self.findings(host, "-y")
        self.assertEqual((codes, status), ([7020], 2), said)

    def test_what_is_left_of_domains_that_are_over(self):
        host = self.host(host_case.pvh_state())
        left = host.lib / f"userdata-d.3.{host_case.OTHER}.libxl-json"
        left.write_text("{}\0", encoding="utf-8")
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((codes, status), ([7006], 0), said)
        status, said = host.fsck("-y")
        self.assertEqual(status, 1, said)
        self.assertFalse(left.exists())

    def test_nodes_of_a_domain_that_is_over(self):
        host = self.host(host_case.pvh_state())
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
        subprocess.run([host_case.BIN / "xlfsck", "--libxl", "--undo", undo], env=host.environment, stdout=subprocess.DEVNULL,
                       check=False)
        self.assertEqual(host.xenstored("dump"), before)

    def test_a_domain_that_xl_creates_just_now(self):
        state = host_case.pvh_state()
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
        state = host_case.pvh_state()
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
        state = host_case.pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        name = state["document"]["c_info"]["name"]
        host.xenstored("rm", f"/vm/{state['document']['c_info']['uuid']}/start_time")
        waits, ends = "Waiting for domain %s (domid 7) to die [pid %d]", "Domain 7 has shut down, reason code 1 0x1"
        # It tells the newest wait apart from one that is over, and believes no log that is another's or was cut.
        for lines, creates in (([waits], False), ([waits, ends], True), ([waits, ends, waits], False),
                               ([waits, "libxl: error: it is slow"], False), ([waits, "no line feed: " + ends], True), ([waits.replace("%d]", "1%d]")], True),
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

    def test_what_libxl_leaves_between_a_killed_xl_and_a_device_model(self):
        """A fork of xl's with the words of xl, which waits for the device model that it started: it creates nothing."""
        state = host_case.pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        host.xenstored("rm", f"/vm/{state['document']['c_info']['uuid']}/start_time")
        started = ("-cimport os, sys\n"
                   "if not os.fork(): os.execv('/bin/sh', ['sh', '-c', 'echo ready; read line', *sys.argv[2:]])\n"
                   "os.wait()")
        for words, creates in ((["-xen-domid", "7"], False), (["-xen-domain", "7"], True)):
            with subprocess.Popen(["xl", started, "create", *words], executable=sys.executable,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE) as xl:
                xl.stdout.readline()
                status, said = host.fsck("-n")
                xl.stdin.close()  # its child ends, and it behind that
            self.assertEqual(status, 0 if creates else 4, said)
            self.assertEqual(f"process {xl.pid} is xl" in said, creates, said)

    def test_a_renamed_domain_that_xl_makes_anew(self):
        """xl's log has the name that its domain was created with: it is known by that no other domain has it."""
        state = host_case.pvh_state()
        state["document is in"] = "nowhere"
        host = self.host(state)
        host.xenstored("rm", f"/vm/{state['document']['c_info']['uuid']}/start_time")
        for has_namesake, left_behind, creates in ((False, 1, True), (True, 1, False), (True, 2, True)):
            if has_namesake:
                for path, value in (("/local/domain/9/name", "before"), ("/local/domain/9/vm", f"/vm/{host_case.OTHER}"),
                                    (f"/vm/{host_case.OTHER}/start_time", f"{int(time.time()) - 86400}.05")):
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
        state = host_case.pvh_state()
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
        state = host_case.state_of("xen_hvm_clean")
        host = self.host(state)
        host.processes[0].send_signal(signal.SIGSTOP)
        look = subprocess.Popen([host_case.BIN / "xlfsck", "--libxl", "--root", host.place, "--timeout", "3", "-n"],
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
        host = self.host(host_case.pvh_state())
        for path in (host.place, host.lib, pathlib.Path(host.place, "tmp"), pathlib.Path(host.place, "xs")):
            os.chmod(path, 0o777)
        os.chmod(f"{host.place}/xs/socket", 0o666)
        done = subprocess.run([host_case.BIN / "xlfsck", "--libxl", "--root", host.place, "-n"], env=host.environment, user=65534,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 8, done.stdout)
        self.assertIn(str(host.file("d")), done.stdout)

    def test_a_front_end_says_what_it_likes(self):
        host = self.host(host_case.pvh_state())
        front = "/local/domain/7/device/vbd/51712"
        for path, value in ((f"{front}/backend", "/etc"), (f"{front}/state", "9" * 2000), ("/local/domain/7/name", "\x1b[2J")):
            host.xenstored("write", path, value)
        _, said, status = self.findings(host, "-y")
        self.assertEqual(status, 0, said)
        self.assertNotIn("\x1b", said)

    def test_a_repair_that_is_killed_is_done_by_the_next(self):
        state = host_case.state_of("xen_cd_insert_killed_after_change")
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


if __name__ == "__main__":
    host_case.main(__doc__)
