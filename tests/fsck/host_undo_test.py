#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What xlfsck --libxl replaced, put back: nothing that another client made is taken away.

    host_undo_test.py --bin BUILD/bin [TEST …]
"""

import contextlib
import fcntl
import json
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import host_case  # noqa: E402


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


class UndoTest(host_case.HostTest):
    PCI = "xen_pci_attach_02_killed_after_device_add"
    LIST = "/local/domain/0/backend/pci/4/0"
    MEDIUM = "xen_cd_insert_killed_after_change"

    def undo(self, host, status):
        """What became of each, by its path."""
        done = self.run_undo(host)
        self.assertEqual(done.returncode, status, done.stdout)
        return {line["object"]: line["done"] for line in map(json.loads, done.stdout.splitlines())}

    def run_undo(self, host, as_json=True):
        directory, = pathlib.Path(host.place, "var/lib/xlfsck").iterdir()
        return subprocess.run([host_case.BIN / "xlfsck", "--libxl", *["--json"] * as_json, "--undo", directory],
                              env=host.environment, stdout=subprocess.PIPE, text=True, check=False)

    def killed_undo(self, host, point):
        host.environment["XLSTORE_CRASH_AT"] = point
        self.assertEqual(self.run_undo(host).returncode, -signal.SIGKILL, point)
        del host.environment["XLSTORE_CRASH_AT"]

    def nodes(self, host):
        return [line for line in host.xenstored("dump").splitlines() if "/tool/" in line or "/pci" in line]

    def index(self, host):
        index, = pathlib.Path(host.place, "var/lib/xlfsck").glob("*/index")
        return index

    def lines(self, host):
        return list(map(json.loads, self.index(host).read_text(encoding="utf-8").splitlines()))

    def make_equal(self, host):
        """Another client makes the nodes that the repair made."""
        host.xenstored("load", text="".join(f'{line["node"]} = "{line["after"]}"\n' for line in self.lines(host) if "node" in line))

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


class Undo(UndoTest):
    """What another client did since, or at the same time, is never taken away."""

    def test_all_goes_that_the_repair_made(self):
        host = self.host(host_case.state_of(self.PCI))
        before = host.xenstored("dump")
        host.fsck("-y")
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(host.xenstored("dump"), before)

    def test_what_changed_since_a_repair_is_not_undone(self):
        host = self.host(host_case.state_of(self.MEDIUM))
        host.fsck("-y")
        host.file("d").write_text("{}\0", encoding="utf-8")
        tree = host.xenstored("dump")
        done = self.undo(host, 4)
        self.assertEqual(host.file("d").read_text(encoding="utf-8"), "{}\0")
        self.assertEqual(set(done.values()), {False}, "what came before it in the repair of the domain")
        self.assertEqual(host.xenstored("dump"), tree)

    def test_what_was_listed_since_stays(self):
        host = self.host(host_case.state_of(self.PCI))
        host.fsck("-y")
        self.list_another(host, 1)
        listed = self.nodes(host)
        done = self.undo(host, 4)
        self.assertFalse(done[f"{self.LIST}/num_devs"])
        self.assertFalse(done[self.LIST])
        self.assertEqual(self.nodes(host), listed, "half a list is none")

    def test_a_parent_stays_with_what_came_below_it(self):
        host = self.host(host_case.state_of(self.PCI))
        host.fsck("-y")
        host.xenstored("load", text='/local/domain/0/backend/pci/5/0/num_devs = "0"\n')
        done = self.undo(host, 4)
        self.assertEqual([path for path, one in done.items() if not one], ["/local/domain/0/backend/pci"])
        again = [json.loads(line) for line in self.run_undo(host).stdout.splitlines()]
        self.assertEqual({(line["earlier"], line["over"]) for line in again}, {(True, True)})
        self.assertEqual(self.undo(host, 1), done, "what stayed then is no failure of this run")
        tree = host.xenstored("dump")
        self.assertIn("/local/domain/0/backend/pci/5/0/num_devs", tree)
        self.assertNotIn("/local/domain/0/backend/pci/4", tree)

    def test_what_was_listed_meanwhile_stays(self):
        host = self.host(host_case.state_of(self.PCI))
        listed = []

        def change():
            self.list_another(host, 0)
            listed.extend(self.nodes(host))

        status, said = self.raced(host, change)
        self.assertEqual(status, 1, said)
        self.assertIn("0000:00:10.0", host.xenstored("dump", self.LIST))
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(self.nodes(host), listed)
        self.assertTrue([line for line in self.lines(host) if "withdrawn" in line])

    def test_what_a_dead_repair_never_made_is_not_undone(self):
        host = self.host(host_case.state_of(self.PCI))
        self.raced(host, lambda: "drop")
        self.assertFalse([line for line in self.lines(host) if "made" in line])
        self.assertNotIn(self.LIST, host.xenstored("dump"))
        self.make_equal(host)
        listed = self.nodes(host)
        self.assertFalse(self.undo(host, 4)[self.LIST])
        self.assertEqual(self.nodes(host), listed)

    def test_what_a_dead_repair_made_is_undone(self):
        host = self.host(host_case.state_of(self.PCI))
        before = host.xenstored("dump")
        host.environment["XLSTORE_CRASH_AT"] = "xenstore.after_commit"
        self.assertEqual(host.fsck("-y")[0], -signal.SIGKILL)
        del host.environment["XLSTORE_CRASH_AT"]
        self.assertFalse([line for line in self.lines(host) if "made" in line])
        self.assertIn(self.LIST, host.xenstored("dump"))
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(host.xenstored("dump"), before)

    def test_what_another_wrote_meanwhile_is_what_comes_back(self):
        host = self.host(host_case.state_of("xen_usbdev_detach_killed_before_qmp"))
        port = "/libxl/1/device/vusb/0/port/1"
        self.raced(host, lambda: host.xenstored("write", port, "9-9"))
        self.assertNotIn("9-9", host.xenstored("dump", port))
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertIn("9-9", host.xenstored("dump", port))

    def test_a_kinds_node_of_another_domain_keeps_no_device_from_coming_back(self):
        host = self.host(host_case.pvh_state())
        domid = re.search(r"^/libxl/(\d+) ", host.xenstored("dump"), re.MULTILINE)[1]
        back = f"/local/domain/0/backend/vif/{domid}"
        host.xenstored("load", text=f'{back}/5/state = "2"\n')
        before = host.xenstored("dump")
        host.fsck("-y")
        self.assertNotIn("/local/domain/0/backend/vif", host.xenstored("dump"))
        another = '/local/domain/0/backend/vif/44/0/state = "4"\n'
        host.xenstored("load", text=another)
        self.assertTrue(all(self.undo(host, 1).values()))
        host.xenstored("rm", "/local/domain/0/backend/vif/44")
        self.assertEqual(host.xenstored("dump"), before)

    def left_of_nine(self):
        host = self.host(host_case.pvh_state())
        host.xenstored("load", text='/libxl/9/device/vbd/51712/frontend = "1"\n/libxl/9/type = "pvh"\n')
        return host

    def test_nodes_that_went_do_not_come_to_those_of_a_new_domain(self):
        for made, stays in (('/libxl/9/type = "hvm"', "/libxl/9/type"), ('/libxl/9/name = "new"', "/libxl/9")):
            host = self.left_of_nine()
            host.fsck("-y")
            host.xenstored("load", text=f"{made}\n")
            tree = host.xenstored("dump")
            self.assertFalse(self.undo(host, 4)[stays], made)
            self.assertEqual(host.xenstored("dump"), tree)

    def test_nor_does_anything_else_of_the_old_domain(self):
        host = self.left_of_nine()
        back = "/local/domain/0/backend/vbd/9/51712"
        host.xenstored("load", text=f'{back}/state = "4"\n')
        host.fsck("-y")
        host.xenstored("load", text='/libxl/9/type = "hvm"\n')
        self.assertFalse(self.undo(host, 4)[back])
        self.assertNotIn(back, host.xenstored("dump"))

    def test_nodes_whose_removal_was_not_committed_are_not_put_back(self):
        host = self.left_of_nine()
        self.raced(host, lambda: host.xenstored("write", "/libxl/9/type", "hvm"))
        host.xenstored("rm", "/libxl/9")
        self.assertEqual(self.undo(host, 0), {})
        self.assertNotIn("/libxl/9", host.xenstored("dump"))
        self.assertTrue([line for line in self.lines(host) if "withdrawn" in line])

    def test_what_was_repaired_in_another_boot_is_no_longer_the_repairs(self):
        host = self.host(host_case.state_of(self.MEDIUM))
        host.fsck("-y")
        tree, repaired = host.xenstored("dump"), host.file("d").read_bytes()
        index = self.index(host)
        first, rest = index.read_text(encoding="utf-8").split("\n", 1)
        index.write_text(json.dumps({**json.loads(first), "boot": "another"}) + "\n" + rest, encoding="utf-8")
        for _ in range(2):
            done = self.run_undo(host)
            self.assertEqual(done.returncode, 0, "there is nothing left to do")
            told = list(map(json.loads, done.stdout.splitlines()))
            self.assertEqual({(line["done"], line["over"]) for line in told}, {(False, True)})
            self.assertIn("was booted since", told[0]["error"]["message"])
            self.assertEqual((host.file("d").read_bytes(), host.xenstored("dump")), (repaired, tree))


class Again(UndoTest):
    """An undo after an undo: what was put back is not put back again: what is there by then is another's."""

    def documents(self):
        """A host for each way in which a repair changes a document, with the file, and what another process makes of it
        that is as the repair left it."""
        replaced = self.host(host_case.state_of(self.MEDIUM))
        came = self.host({**host_case.pvh_state(), "document is in": "nowhere"})
        went = self.host(host_case.pvh_state())
        left = went.file("d", uuid=host_case.OTHER)
        left.write_text("{}\0", encoding="utf-8")
        for host, file in ((replaced, replaced.file("d")), (came, came.file("d")), (went, left)):
            before = self.bytes_of(file)
            host.fsck("-y")
            after = self.bytes_of(file)
            self.assertNotEqual(before, after)
            yield host, file, before, after

    @staticmethod
    def bytes_of(file):
        return file.read_bytes() if file.exists() else None

    @staticmethod
    def put(file, content):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)

    def is_tidy(self, host):
        self.assertEqual([path.name for path in host.lib.iterdir() if "xlfsck" in path.name], [])
        self.assertNotIn("/tool/xlfsck", host.xenstored("dump"))

    def test_nodes_that_another_made_equal_stay(self):
        host = self.host(host_case.state_of(self.PCI))
        host.fsck("-y")
        self.undo(host, 1)
        self.make_equal(host)
        listed = self.nodes(host)
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual(self.nodes(host), listed)

    def test_a_document_that_another_made_equal_stays(self):
        for host, file, before, after in self.documents():
            self.undo(host, 1)
            self.assertEqual(self.bytes_of(file), before)
            self.put(file, after)
            self.assertTrue(all(self.undo(host, 1).values()))
            self.assertEqual(self.bytes_of(file), after)
            self.is_tidy(host)

    def test_what_was_as_before_is_not_taken_later(self):
        host = self.host(host_case.state_of(self.PCI))
        before = host.xenstored("dump")
        host.fsck("-y")
        for line in self.lines(host):
            if line.get("node", "").endswith("/pci"):
                host.xenstored("rm", line["node"])
        self.assertEqual(host.xenstored("dump"), before)
        self.undo(host, 1)
        self.make_equal(host)
        listed = self.nodes(host)
        self.undo(host, 1)
        self.assertEqual(self.nodes(host), listed)

    def test_nodes_of_an_undo_that_was_killed(self):
        for point, is_made in (("xenstore.before_commit", False), ("xenstore.after_commit", True)):
            host = self.host(host_case.state_of(self.PCI))
            before = host.xenstored("dump")
            host.fsck("-y")
            self.killed_undo(host, point)
            self.assertFalse([line for line in self.lines(host) if line.get("undone") == 1], point)
            if is_made:
                self.make_equal(host)
            else:
                self.assertIn(self.LIST, host.xenstored("dump"))
            listed = self.nodes(host)
            self.assertTrue(all(self.undo(host, 1).values()), point)
            self.is_tidy(host)
            if is_made:
                self.assertEqual(self.nodes(host), [line for line in listed if "/tool/xlfsck" not in line])
            else:
                self.assertEqual(host.xenstored("dump"), before)

    def test_documents_of_an_undo_that_was_killed(self):
        for point, is_made in (("libxl.before_rename", False), ("libxl.after_rename", True)):
            for host, file, before, after in self.documents():
                self.killed_undo(host, point)
                self.assertEqual(self.bytes_of(file), before if is_made else after)
                if is_made:
                    self.put(file, after)
                self.assertTrue(all(self.undo(host, 1).values()), point)
                self.assertEqual(self.bytes_of(file), after if is_made else before)
                self.is_tidy(host)

    def test_one_that_was_killed_between_document_and_nodes(self):
        host = self.host(host_case.state_of(self.MEDIUM))
        document, tree = host.file("d").read_bytes(), host.xenstored("dump")
        host.fsck("-y")
        self.assertEqual([{"node": "node", "file": "file"}.get(next(iter(line))) for line in self.lines(host)
                          if "file" in line or "node" in line][-1], "file", "the document is undone first")
        self.killed_undo(host, "xenstore.before_commit")
        self.assertEqual(host.file("d").read_bytes(), document)
        self.assertNotEqual(host.xenstored("dump"), tree)
        changed = document.replace(b"4,", b"2,", 1)
        self.assertNotEqual(changed, document)
        host.file("d").write_bytes(changed)     # by xl, of the document as it is now
        self.assertTrue(all(self.undo(host, 1).values()))
        self.assertEqual((host.file("d").read_bytes(), host.xenstored("dump")), (changed, tree))

    def test_a_parent_that_stayed_stays(self):
        host = self.host(host_case.state_of(self.PCI))
        host.fsck("-y")
        parent, below = "/local/domain/0/backend/pci", "/local/domain/0/backend/pci/5"
        host.xenstored("load", text=f'{below}/0/num_devs = "0"\n')
        self.undo(host, 4)
        host.xenstored("rm", below)
        self.assertEqual([path for path, one in self.undo(host, 1).items() if not one], [parent])
        self.assertIn(parent, host.xenstored("dump"))

    def test_a_line_that_is_cut_off_speaks_of_nothing(self):
        host = self.host(host_case.state_of(self.PCI))
        before = host.xenstored("dump")
        host.fsck("-y")
        with open(self.index(host), "a", encoding="utf-8") as index:
            index.write('{"file":"/var/lib/x')
        for _ in range(2):
            self.assertTrue(all(self.undo(host, 1).values()))
            self.assertEqual(host.xenstored("dump"), before)

    def test_what_is_no_line_of_a_repair_is_named(self):
        for change, named in (
                (lambda line: "{broken", ", line 2, is none of xlfsck's"),
                (lambda line: json.dumps({**json.loads(line), "file": str(other)}), "is not the document of domain 1"),
                (lambda line: json.dumps({**json.loads(line), "file": "/etc/passwd"}), "/etc/passwd is no file of libxl's")):
            host = self.host(host_case.state_of(self.MEDIUM))
            host.fsck("-y")
            other = host.file("d", uuid=host_case.OTHER)
            other.write_text("{}\0", encoding="utf-8")
            first, rest = self.index(host).read_text(encoding="utf-8").split("\n", 1)
            lines = [line for line in rest.splitlines() if "file" in json.loads(line)]
            self.index(host).write_text(f"{first}\n{change(lines[0])}\n", encoding="utf-8")
            tree = host.xenstored("dump")
            done = self.run_undo(host)
            self.assertIn(named, done.stdout)
            self.assertIn("the directory that xlfsck printed", done.stdout)
            self.assertGreaterEqual(done.returncode, 4)
            self.assertEqual((other.read_text(encoding="utf-8"), host.xenstored("dump")), ("{}\0", tree))

    def test_a_person_is_told_what_to_do(self):
        host = self.host(host_case.state_of(self.MEDIUM))
        host.fsck("-y")
        host.file("d").write_text("{}\0", encoding="utf-8")
        told = " ".join(self.run_undo(host, as_json=False).stdout.split())
        self.assertIn(f'left: {host.file("d")} was changed since the repair, and stays as it is; put it back by hand', told)
        self.assertEqual(told.count(f'{host.file("d")} was'), 1)

    def test_a_killed_undo_and_a_boot(self):
        """What it had put back is told, and what it had not yet leaves no file."""
        for point, is_put in (("libxl.before_rename", False), ("libxl.after_rename", True)):
            for host, file, before, after in self.documents():
                if after is None:
                    continue    # the document comes back without a rename of another
                self.killed_undo(host, point)
                first, rest = self.index(host).read_text(encoding="utf-8").split("\n", 1)
                self.index(host).write_text(json.dumps({**json.loads(first), "boot": "another"}) + "\n" + rest, encoding="utf-8")
                done = self.undo(host, int(is_put))
                self.assertEqual(done[str(file)], is_put, point)
                self.assertEqual(self.bytes_of(file), before if is_put else after, point)
                self.assertEqual([path.name for path in host.lib.iterdir() if "xlfsck" in path.name], [])

    def test_two_at_once(self):
        host = self.host(host_case.state_of(self.PCI))
        host.fsck("-y")
        tree = host.xenstored("dump")
        with open(self.index(host), "r", encoding="utf-8") as index:
            fcntl.flock(index, fcntl.LOCK_EX)
            done = self.run_undo(host)
        self.assertEqual(done.returncode, 8)
        self.assertIn("another process uses", done.stdout)
        self.assertEqual(host.xenstored("dump"), tree)


if __name__ == "__main__":
    host_case.main(__doc__)
