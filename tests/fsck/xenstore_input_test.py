#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""xlfsck, and what may stand in a xenstored that is real: values that no toolstack writes, loops, nodes that are missing,
100 000 of them; and what answers in its place and is none. Each is a finding with a name, and the rest goes on.

    xenstore_input_test.py --bin BUILD/bin --quiet-xen LIBRARY [TEST …]

Status 77: there is no xenstored."""

import argparse
import contextlib
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "crash"))
import xenstored  # noqa: E402

OPTIONS = None      # of the command line, below
CONTROL = 900       # a domain whose finding has to be told, beside what the others have
UNSEEN, UNKNOWN, ABSENT, BACK, PARTIAL, LEAVING, WAITS, UNCONNECTED, COPY, STRANGE, MEDIUM = \
    5021, 5022, 5023, 5024, 5025, 5026, 5027, 5028, 5029, 5030, 5008


def uuid(domid):
    return f"0badcafe-2222-4333-8444-{domid:012d}"


def document(domid, **arrays):
    return json.dumps({"c_info": {"type": "pv", "name": f"d{domid}", "uuid": uuid(domid)}, "b_info": {"type.pv": {}}, **arrays})


def places(domid, kind, number, back):
    return (f"/libxl/{domid}/device/{kind}/{number}", f"/local/domain/{domid}/device/{kind}/{number}",
            f"/local/domain/0/backend/{back}/{domid}/{number}")


def device(domid, kind, number, back, **keys):
    """What libxl writes of one."""
    note, front, behind = places(domid, kind, number, back)
    nodes = {f"{note}/frontend": front, f"{note}/backend": behind, f"{front}/backend": behind, f"{front}/state": "4",
             f"{behind}/frontend": front, f"{behind}/online": "1", f"{behind}/state": "4"}
    for key, value in keys.items():
        nodes |= {f"{note}/{key}": value, f"{behind}/{key}": value}
    return nodes


def nic(domid):
    return device(domid, "vif", 0, "vif", mac="00:16:3e:00:00:01", bridge="b", script="/bin/true", type="vif") | \
        {f"{places(domid, 'vif', 0, 'vif')[2]}/hotplug-status": "connected"}


NIC = {"devid": 0, "mac": "00:16:3e:00:00:01", "bridge": "b"}


def accept_all(server):
    """Until the test is over."""
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.listening.accept()
            threading.Thread(target=server.serve, args=(client,), daemon=True).start()


class Crowded(threading.Thread):
    """Stands between a client and xenstored, counts the requests, and answers for more nodes below one of its than a
    test has the time to write: MANY times MANY."""

    MANY = 320

    def __init__(self, path, behind, node):
        super().__init__(daemon=True)
        self.behind, self.requests, self.node = behind, 0, node.encode()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen()
        self.start()

    def run(self):
        accept_all(self)

    def serve(self, client):
        daemon, whole = xenstored.Connection(self.behind), b""
        while True:
            data = client.recv(1 << 16)
            if not data:
                daemon.close()
                client.close()
                return
            whole += data
            at = 0
            while len(whole) - at >= 16 and len(whole) - at >= 16 + struct.unpack_from("=I", whole, at + 12)[0]:
                end = at + 16 + struct.unpack_from("=I", whole, at + 12)[0]
                client.sendall(self.answer(daemon, whole[at:end]))
                self.requests += 1
                at = end
            whole = whole[at:]

    def answer(self, daemon, request):
        kind, number, transaction, _ = struct.unpack_from("=IIII", request)
        path = request[16:].split(b"\0")[0]
        own = None
        if path == self.node and kind == xenstored.DIRECTORY:
            own = b"".join(b"%d\0" % i for i in range(self.MANY))
        elif path.startswith(self.node + b"/"):
            is_inner = path.count(b"/") == self.node.count(b"/") + 1
            own = b"x" if kind != xenstored.DIRECTORY else \
                b"".join(b"%d\0" % i for i in range(self.MANY)) if is_inner else b""
        if own is not None:
            return struct.pack("=IIII", kind, number, transaction, len(own)) + own
        daemon.socket.sendall(request)
        head = daemon.received(16)
        return head + daemon.received(struct.unpack_from("=I", head, 12)[0])


class Impostor(threading.Thread):
    """Listens in xenstored's place, and answers each request as `answer` says."""

    def __init__(self, path, answer):
        super().__init__(daemon=True)
        self.answer = answer
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        self.listening.listen()
        self.start()

    def run(self):
        accept_all(self)

    def serve(self, client):
        while True:
            data = client.recv(1 << 16)
            if not data:
                client.close()
                return
            at = 0
            while at < len(data):
                kind, number, transaction, length = struct.unpack_from("=IIII", data, at)
                at += 16 + length
                client.sendall(self.answer(kind, number, transaction))


class InputTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="xlxi-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.store = self.path("s")
        self.daemon = xenstored.Daemon(self.directory, OPTIONS.quiet_xen)
        self.addCleanup(self.daemon.kill)
        self.xenstore = self.daemon.connection
        self.environment = dict(os.environ, XENSTORED_PATH=self.daemon.path)
        self.run_program("xlstore", "init", statuses=(0,))
        self.domain(CONTROL)
        self.write(device(CONTROL, "vtpm", 0, "vtpm", uuid=uuid(1)))

    def path(self, name):
        return os.path.join(self.directory, name)

    def run_program(self, program, *words, statuses, text=None):
        ended = subprocess.run([os.path.join(OPTIONS.bin, program), "--store", self.store, *words], input=text, text=True,
                               env=self.environment, capture_output=True, check=False)
        self.assertIn(ended.returncode, statuses, f"{words}\n{ended.stdout[-3000:]}{ended.stderr[-3000:]}")
        return ended

    def domain(self, domid, **arrays):
        self.run_program("xlstore", "import", str(domid), "-", statuses=(0,), text=document(domid, **arrays))
        self.write({f"/local/domain/{domid}/vm": f"/vm/{uuid(domid)}", f"/libxl/{domid}/type": "pv"})
        self.xenstore.introduce(domid)

    def write(self, nodes):
        """All of them, several under way; None: it is removed."""
        waiting = list(nodes.items())
        for at in range(0, len(waiting), 64):
            some = waiting[at:at + 64]
            message = b""
            for path, value in some:
                payload = path.encode() + b"\0" + (value if isinstance(value, bytes) else (value or "").encode())
                message += struct.pack("=IIII", xenstored.REMOVE if value is None else xenstored.WRITE, 1, 0,
                                       len(payload)) + payload
            self.xenstore.socket.sendall(message)
            for path, _ in some:
                answered, _, _, length = struct.unpack("=IIII", self.xenstore.received(16))
                said = self.xenstore.received(length)
                self.assertNotEqual(answered, xenstored.ERROR, f"{path}: {said}")

    def fsck(self, *words, statuses):
        """{domid: [code, …]} of what is told; and all that was said."""
        ended = self.run_program("xlfsck", "--json", *words, statuses=statuses)
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        found = {}
        for line in lines:
            if "code" in line:
                found.setdefault(line.get("domid"), []).append(line["code"])
                self.assertLess(len(json.dumps(line)), 4000, "what it quotes has a bound")
        self.assertIn(UNKNOWN, found.get(CONTROL, []), "the rest goes on")
        return found, ended.stdout


class Values(InputTest):
    """One damaged node a domain, and all of them in one run."""

    def cases(self):
        note, front, back = places(0, "vif", 0, "vif")
        values = {"missing": None, "empty": "", "4 KB": "a" * 4000, "NUL": b"a\0b", "no UTF-8": b"\xff\xfe\x80", "dots": "../../vm",
                  "note": note, "front": front, "back": back, "number": "99999999999999999999", "minus": "-1"}
        nodes = {"note": note, "note/backend": f"{note}/backend", "note/frontend": f"{note}/frontend",
                 "note/script": f"{note}/script", "note/type": f"{note}/type", "front": front, "front/backend": f"{front}/backend",
                 "front/state": f"{front}/state", "back": back, "back/frontend": f"{back}/frontend",
                 "back/online": f"{back}/online", "back/state": f"{back}/state", "back/hotplug-status": f"{back}/hotplug-status"}
        return [(name, value, path, values[value]) for name, path in nodes.items() for value in values]

    def test_each_is_a_finding_or_silence(self):
        cases = {domid: case for domid, case in enumerate(self.cases(), 1)}
        for domid, (_, _, path, value) in cases.items():
            self.domain(domid, nics=[NIC])
            here = {"/libxl/0/": f"/libxl/{domid}/", "/domain/0/device": f"/domain/{domid}/device", "/vif/0/0": f"/vif/{domid}/0"}
            for old, new in here.items():
                path = path.replace(old, new)
                if isinstance(value, str):
                    value = value.replace(old, new)
            self.write(nic(domid) | ({} if value is None else {path: value}))
            if value is None:
                self.write({path: None})
        found, _ = self.fsck("-n", statuses=(4, 6))
        for domid, (name, value, _, _) in cases.items():
            self.assertEqual(found.get(domid, []), self.expected(name, value), f"{name}: {value}")
        # What can be put right is, once; the rest is told again, and nothing else.
        self.fsck_all("-y", (5, 7))
        again = self.fsck_all("-y", (4, 6))
        # A script that leaves no word of what it did has not come to its end.
        stay = {domid: self.expected(name, value) for domid, (name, value, _, _) in cases.items()
                if self.expected(name, value) in ([STRANGE], [UNCONNECTED])}
        self.assertEqual({domid: codes for domid, codes in again.items() if domid},
                         stay | {domid: [PARTIAL] for domid in self.connected(cases)})

    def fsck_all(self, flag, statuses):
        ended = self.run_program("xlfsck", "--json", flag, statuses=statuses)
        found = {}
        for line in map(json.loads, ended.stdout.splitlines()):
            if line.get("code", 0) >= 5000:
                found.setdefault(line.get("domid"), []).append(line["code"])
        return found

    @staticmethod
    def connected(cases):
        """A back end that serves a guest is not taken out, though a part of its device is missing."""
        return [domid for domid, (name, value, _, _) in cases.items() if value == "missing" and name in ("note", "front")]

    @staticmethod
    def expected(name, value):
        """Silence where nothing is read, or where any text may be."""
        if value == "missing" and name in ("note", "front", "back"):
            return [PARTIAL]
        right = {"note/backend": ("back",), "note/frontend": ("front", "missing")}
        if name in right and value not in right[name]:
            return [STRANGE]
        if (name, value) in (("back/hotplug-status", "missing"), ("back/hotplug-status", "empty")):
            return [UNCONNECTED]
        return []


class Crowds(InputTest):
    """More nodes than one look takes in, below a front end, where its guest writes."""

    def test_they_are_read_for_no_domain_that_is_well_and_bounded_for_another(self):
        self.domain(1, nics=[NIC])
        crowd = f"{places(1, 'vif', 0, 'vif')[1]}/crowd"
        self.write(nic(1) | {crowd: ""})
        proxy = Crowded(self.path("counted"), self.daemon.path, crowd)
        self.addCleanup(proxy.listening.close)
        self.environment["XENSTORED_PATH"] = self.path("counted")
        found, said = self.fsck("-n", statuses=(4,))
        self.assertNotIn(1, found, said)
        self.assertLess(proxy.requests, 1000, "what is well costs a glance")
        # A device without an entry, for which the whole is to be looked at.
        self.write(device(1, "vtpm", 0, "vtpm", uuid=uuid(1)))
        found, said = self.fsck("-n", statuses=(12,))
        self.assertEqual(found[1], [UNSEEN], said)
        self.assertIn("is larger than one look takes in (100000 nodes", said)
        self.assertLess(proxy.requests, 2 * 100_000 + 2000, "no more than its bound")
        self.fsck("-y", statuses=(9,))  # the other one is repaired beside it


class Clashes(InputTest):
    def test_two_vdevs_of_one_device(self):
        first, second = ({"pdev_path": f"/{name}", "vdev": name, "format": "qcow2", "readwrite": 1} for name in ("xvda", "d0p0"))
        self.domain(1, disks=[first, second])
        self.write(device(1, "vbd", 51712, "qdisk", dev="xvda", params="qcow2:/xvda", type="qdisk"))
        found, said = self.fsck("-n", statuses=(4,))
        self.assertEqual(found[1], [ABSENT], said)
        self.assertIn("disks/d0p0", said)
        self.assertIn("/libxl/1/device/vbd/51712 is that of another entry", said)
        self.fsck("-y", statuses=(1,))
        ended = self.run_program("xlstore", "attach", "domid:1", "disks", json.dumps(second), statuses=(1,))
        self.assertIn("cannot be added: xenstore has /libxl/1/device/vbd/51712", ended.stderr)


class Impostors(InputTest):
    """What answers at the daemon's place, and is none, or another version, or gives no rights."""

    def unseen(self, answer, said):
        path = self.path("impostor")
        self.addCleanup(Impostor(path, answer).listening.close)
        self.environment["XENSTORED_PATH"] = path
        ended = self.run_program("xlfsck", "--json", "-n", statuses=(8,))
        lines = [json.loads(line) for line in ended.stdout.splitlines()]
        unseen = [line for line in lines if line.get("code") == UNSEEN]
        self.assertIn(CONTROL, [line.get("domid") for line in unseen], ended.stdout)
        self.assertIn(said, ended.stdout)
        self.run_program("xlstore", "attach", f"domid:{CONTROL}", "vtpms", "{}", statuses=(1,))
        self.assertEqual(self.run_program("xlstore", "sql", "SELECT count(*) AS n FROM thing", statuses=(0,)).stdout.split()[-1],
                         "0", "nothing was changed")

    @staticmethod
    def error(number, transaction, word):
        return struct.pack("=IIII", xenstored.ERROR, number, transaction, len(word)) + word

    def test_nonsense(self):
        self.unseen(lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, "the protocol allows 4096")

    def test_another_version_that_knows_no_request(self):
        self.unseen(lambda _, number, transaction: self.error(number, transaction, b"ENOSYS\0"), "ENOSYS")

    def test_no_rights(self):
        self.unseen(lambda _, number, transaction: self.error(number, transaction, b"EACCES\0"), "EACCES")


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--quiet-xen", required=True)
    parser.add_argument("tests", nargs="*")
    OPTIONS = parser.parse_args()
    if not xenstored.Daemon.programs():
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *OPTIONS.tests])


if __name__ == "__main__":
    main()
