#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Operations on things of xenstore, killed at each stop at a system call in turn: attach and detach of a nic, the same
with its hotplug script, the media of a CD drive, a PCI device and a USB device of a PV domain, and the domain's end.

The real xenstored holds the nodes. After each kill nothing may be in xenstore without an entry (R1). Then either the
same request is given again, or xlfsck -y recovers, in turn; in the end entry and nodes agree. A script has run then, if
the nic is there, and the entry of the drive names what xenstore says. For the host's devices the client is
pv_toolstack, which has the hypervisor's part, and recovers itself: list, hypervisor and owner follow the entry.

A console's removal is not killed but looked at, at each stop: between its commits it has the fast lock, since nothing
in xenstore tells a recovery that it goes.

    xenstore_kills.py --bin DIR --quiet-xen LIBRARY [--share 1/N]

Status 0: no violation; 77: there is no xenstored."""

import argparse
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(1, os.path.join(os.path.dirname(HERE), "support"))
import asked  # noqa: E402
import xenstored  # noqa: E402

UUID = "0badcafe-2222-4333-8444-555566667777"
DOCUMENT = '{"c_info":{"type":"pv","name":"pv","uuid":"%s"},"b_info":{"type.pv":{}}}' % UUID
NIC = '{"devid":0,"mac":"00:16:3e:00:00:01","script":"/bin/true"}'
CONSOLE = '{"devid":1,"name":"org.example","connection.pty":{}}'
DRIVE = '{"pdev_path":"/a.iso","vdev":"xvdd","format":"raw","is_cdrom":1,"backend":"qdisk"}'
PARAMS = "/local/domain/0/backend/qdisk/7/51760/params"
OWN = "/libxl/7/device/vif/0"
FRONT = "/local/domain/7/device/vif/0"
GUEST_SECONDS = 20
BACK = "/local/domain/0/backend/vif/7/0"
KILLED = 99  # killer's own status


class Driver(threading.Thread):
    """Answers for the back end of the nic, as a kernel does."""

    PLACE, ANSWERS = BACK, {b"1": b"2", b"5": b"6"}

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_connection, self.over = daemon.connect(), False
        self.start()

    def run(self):
        while not self.over:
            state = self.daemon_connection.read(self.PLACE + "/state")
            if state in self.ANSWERS:
                self.daemon_connection.write_over(self.PLACE + "/state", state, self.ANSWERS[state])
            time.sleep(0.002)

    def end(self):
        self.over = True
        self.join()
        self.daemon_connection.close()


class Reconnecting(Driver):
    """Answers as pciback does: what is to be configured anew is connected again."""

    PLACE, ANSWERS = "/local/domain/0/backend/pci/7/0", {b"1": b"4", b"7": b"4"}


class World:
    def __init__(self, options, directory):
        self.bin, self.store, self.violations = options.bin, os.path.join(directory, "s"), 0
        self.sysfs, self.assigned = os.path.join(directory, "sys"), os.path.join(directory, "hypervisor")
        self.daemon = xenstored.Daemon(directory, options.quiet_xen)
        self.xenstore = self.daemon.connection
        self.environment = dict(os.environ, XENSTORED_PATH=self.daemon.path, ASAN_OPTIONS="detect_leaks=0")
        document = os.path.join(directory, "pv.json")
        with open(document, "w", encoding="utf-8") as file:
            file.write(DOCUMENT)
        self.script = os.path.join(directory, "vif-script")
        with open(self.script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n[ $1 = offline ] || {self.bin}/scratch_xenstored {directory} write "
                       f"{BACK}/hotplug-status connected\n")
        os.chmod(self.script, 0o755)
        self.image = os.path.join(directory, "b.iso")
        with open(self.image, "w", encoding="utf-8") as file:
            file.write("medium")
        self.must("init")
        self.must("import", "7", document)
        self.xenstore.write("/local/domain/7/vm", "/vm/" + UUID)
        self.xenstore.introduce(7)

    def run(self, *argv):
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=120, check=False)

    def xlstore(self, *words):
        return self.run(os.path.join(self.bin, "xlstore"), "--store", self.store, *words)

    def must(self, *words):
        ended = self.xlstore(*words)
        if ended.returncode != 0:
            sys.exit(f"an undisturbed command fails: {words}: {ended.stderr}")

    def entry(self):
        with sqlite3.connect(f"file:{self.store}/store.db?mode=ro", uri=True) as database:
            row = database.execute("SELECT state FROM thing WHERE class = 'nics'").fetchone()
        database.close()
        return row[0] if row else None

    def nodes(self):
        return [self.xenstore.read(path) is not None for path in (OWN, FRONT, BACK)]

    def closed(self):
        if self.xenstore.read(BACK) is not None:
            self.xenstore.write(BACK + "/state", "6")

    def start(self, with_nic):
        if not any(self.nodes()) and self.entry() is None:
            if with_nic:
                self.must("attach", "7", "nics", NIC, "--no-scripts")
        elif not with_nic:
            self.closed()
            self.must("detach", "7", "nics", "0", "--no-scripts")
        elif not all(self.nodes()) or self.entry() != "present":
            self.start(False)
            self.start(True)
        if with_nic:
            self.closed()

    def violation(self, where, what, ended=None):
        self.violations += 1
        print(f"VIOLATION {where}: {what}; entry {self.entry()}, nodes {self.nodes()}"
              + (f"\n{ended.args} {ended.returncode}\n{ended.stdout}{ended.stderr}" if ended else ""))

    def judge(self, where, number, words):
        """After the kill: R1, then one of two ways on."""
        nodes, entry = self.nodes(), self.entry()
        if len(set(nodes)) != 1:
            self.violation(where, "some nodes are there, and some are not")
        if any(nodes) and entry is None:
            self.violation(where, "R1: nodes without an entry")
        if number % 2:
            again = self.xlstore(*words)
            wanted = (0,)
            if entry is None or (words[0] == "attach" and all(nodes)):
                wanted = (0, 1, 4)  # it is there already; there is no such entry any more
            if again.returncode not in wanted:
                self.violation(where, "the same request fails", again)
            if words[0] == "attach" and (self.entry() != "present" or not all(self.nodes())):
                self.violation(where, "it is not attached", again)
            if words[0] == "detach" and (self.entry() or any(self.nodes())):
                self.violation(where, "it is not detached", again)
            return
        if all(nodes):
            self.xenstore.write(BACK + "/hotplug-status", "connected")  # as its script does
        fsck = [os.path.join(self.bin, "xlfsck"), "--store", self.store, "-y"]
        first, second = self.run(*fsck), self.run(*fsck)
        if first.returncode not in (0, 1):
            self.violation(where, "recovery fails", first)
        if second.returncode & 1:
            self.violation(where, "the second run changes something", second)
        if any(self.nodes()) != (self.entry() not in (None, "stale")):
            self.violation(where, "entry and nodes do not agree", first)


def sweep(world, options, name, words):
    number, step = options.first, options.step
    kills = 0
    while True:
        world.start(with_nic=name == "detach")
        killed = world.run(os.path.join(world.bin, "killer"), str(number), "--skip-pure", "--",
                           os.path.join(world.bin, "xlstore"), "--store", world.store, *words)
        if killed.returncode != KILLED:
            if killed.returncode != 0:
                world.violation(f"{name} {number}", "not killed, and fails", killed)
            print(f"{name}: {kills} kills, survived at {number}")
            return
        kills += 1
        world.judge(f"{name} {number}", number, words)
        number += step


def scripts_ended(world):
    """Waits until what a killed client started has ended."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                with open(path, "rb") as file:
                    if world.script.encode() in file.read():
                        break
            except OSError:
                pass
        else:
            return
        time.sleep(0.02)


def recover(world, where):
    fsck = [os.path.join(world.bin, "xlfsck"), "--store", world.store, "-y"]
    first, second = world.run(*fsck), world.run(*fsck)
    if first.returncode not in (0, 1):
        world.violation(where, "recovery fails", first)
    if second.returncode != 0:
        world.violation(where, "the second run finds something", second)


def kills_of(world, options, name, prepare, words, judge, program=None):
    """`program`: another command line than that of xlstore with `words`."""
    number, kills = options.first, 0
    command = program or (os.path.join(world.bin, "xlstore"), "--store", world.store, *words)
    while True:
        prepare()
        killed = world.run(os.path.join(world.bin, "killer"), str(number), "--skip-pure", "--", *command)
        if killed.returncode != KILLED:
            if killed.returncode != 0:
                world.violation(f"{name} {number}", "not killed, and fails", killed)
            print(f"{name}: {kills} kills, survived at {number}")
            return
        kills += 1
        judge(f"{name} {number}")
        number += options.step


def scripts(world, options):
    """With its script, which a dead client leaves running."""
    nic = NIC.replace("/bin/true", world.script)
    driver = Driver(world.daemon)

    def without():
        if world.entry() is not None:
            world.must("detach", "7", "nics", "0")

    def attached():
        without()
        world.must("attach", "7", "nics", nic)

    def judge(where):
        if any(world.nodes()) and world.entry() is None:
            world.violation(where, "R1: nodes without an entry")
        scripts_ended(world)
        if world.xenstore.read(BACK + "/state") in (b"1", b"5"):
            time.sleep(0.1)  # the driver's turn
        recover(world, where)
        if world.entry() == "present" and world.xenstore.read(BACK + "/hotplug-status") != b"connected":
            world.violation(where, "its script has not run")
        if any(world.nodes()) != (world.entry() not in (None, "stale")):
            world.violation(where, "entry and nodes do not agree")

    kills_of(world, options, "attach with a script", without, ("attach", "7", "nics", nic), judge)
    kills_of(world, options, "detach with a script", attached, ("detach", "7", "nics", "0"), judge)
    without()
    driver.end()


PCI, PCI_LIST = "0000:03:00.0", "/local/domain/0/backend/pci/7/0"
USB_PORT = "/local/domain/0/backend/qusb/7/0/port/1"


def toolstack(world, *words):
    """pv_toolstack.c, which has the hypervisor's part."""
    return (os.path.join(world.bin, "pv_toolstack"), world.store, world.sysfs, world.assigned, *words)


def host_devices(world):
    """A PCI device that pciback has, and a USB device."""
    os.makedirs(f"{world.sysfs}/bus/pci/drivers/pciback/{PCI}")
    os.makedirs(f"{world.sysfs}/bus/usb/devices/1-4")
    os.makedirs(world.assigned)
    for name, value in (("busnum", 1), ("devnum", 9)):
        with open(f"{world.sysfs}/bus/usb/devices/1-4/{name}", "w", encoding="utf-8") as file:
            file.write(f"{value}\n")


def state_of(world, device_class, key):
    with sqlite3.connect(f"file:{world.store}/store.db?mode=ro", uri=True) as database:
        row = database.execute("SELECT state FROM thing WHERE class = ? AND key = ?", (device_class, key)).fetchone()
    database.close()
    return row[0] if row else None


def host_device(world, options, device_class, json, key, look):
    """Kills over an attach and a detach. `look` says where the thing is: in what follows from the entry. Recovery, or
    the same request once more, in turn, has to bring both together."""
    attach = toolstack(world, "attach", "7", device_class, json)
    detach = toolstack(world, "detach", "7", device_class, key)
    kills = {"n": 0}

    def must(words, statuses=(0,)):
        ended = world.run(*words)
        if ended.returncode not in statuses:
            world.violation(f"{device_class}: {words[4:]}", "an undisturbed command fails", ended)
        return ended.returncode

    def without():
        if state_of(world, device_class, key) is not None:
            must(detach)

    def attached():
        if state_of(world, device_class, key) == "present" and set(look().values()) == {True}:
            return
        without()
        must(attach)

    def judge(words):
        def after(where):
            kills["n"] += 1
            there = look()
            if any(there.values()) and state_of(world, device_class, key) is None:
                world.violation(where, f"R1: no entry, and {there}")
            if kills["n"] % 2 == 0:
                must(words, (0, 1, 4))  # it may be done already, or have come to nothing
            recovered = must(toolstack(world, "recover"), (0, 3))
            # Only where recovery itself says that the guest has not let go yet (3) it is run again.
            end = time.monotonic() + GUEST_SECONDS
            while True:
                there, state = look(), state_of(world, device_class, key)
                if set(there.values()) == {state == "present"}:
                    return
                if recovered != 3 or time.monotonic() > end:
                    break
                recovered = must(toolstack(world, "recover"), (0, 3))
            world.violation(where, f"entry and devices do not agree: {state}, {there}")
        return after

    for name, prepare, words in (("attach", without, attach), ("detach", attached, detach)):
        kills_of(world, options, f"{name} of {device_class}", prepare, words, judge(words), program=words)
    without()


def host_device_kills(world, options):
    host_devices(world)
    serving = Reconnecting(world.daemon)
    host_device(world, options, "pcidevs", '{"bus":3}', PCI, lambda: {
        "list": world.xenstore.read(f"{PCI_LIST}/dev-0") is not None,
        "hypervisor": os.path.exists(f"{world.assigned}/{PCI}"),
        "owner": world.xenstore.read("/libxl/pci/0000-03-00-0/domid") is not None})
    serving.end()
    world.must("attach", "7", "usbctrls", '{"devid":0,"type":"qusb","ports":2}')
    host_device(world, options, "usbdevs", '{"ctrl":0,"port":1,"type.hostdev":{"hostbus":1,"hostaddr":9}}', "0.1", lambda: {
        "port": bool(world.xenstore.read(USB_PORT))})


def media(world, options):
    world.must("attach", "7", "disks", DRIVE)

    def path():
        with sqlite3.connect(f"file:{world.store}/store.db?mode=ro", uri=True) as database:
            row = database.execute("SELECT json_extract(json, '$.pdev_path') FROM thing WHERE key = 'xvdd'").fetchone()
        database.close()
        return row[0]

    def judge(where):
        recover(world, where)
        params = world.xenstore.read(PARAMS).decode()
        if params != ("aio:" + path() if path() else ""):
            world.violation(where, f"the entry names {path()}, and xenstore {params}")

    kills_of(world, options, "insert", lambda: world.must("eject", "7", "xvdd"), ("insert", "7", "xvdd", world.image), judge)
    kills_of(world, options, "eject", lambda: world.must("insert", "7", "xvdd", world.image), ("eject", "7", "xvdd"), judge)


def console(world, options):
    if options.first != 1:
        return
    world.must("attach", "7", "channels", CONSOLE)
    looks = 0
    database = sqlite3.connect(f"file:{world.store}/store.db?mode=ro", uri=True)  # beforehand: it needs no lock later
    database.execute("SELECT state FROM thing").fetchall()

    def look(number, call):
        nonlocal looks
        if database.execute("SELECT state FROM thing WHERE class = 'channels'").fetchall() == [("removing",)]:
            looks += 1
            locks = json.loads(world.xlstore("--json", "locks").stdout)
            if not any(lock["lock"] == "fast lock" and lock["held"] for lock in locks):
                world.violation(f"detach of a console, stop {number}: {call}", f"no process has the fast lock: {locks}")
        return False

    killer = [os.path.join(world.bin, "killer"), "0", "--ask"]
    detach = [os.path.join(world.bin, "xlstore"), "--store", world.store, "detach", "7", "channels", "#0"]
    ended = asked.under_killer(
        lambda fd: subprocess.Popen([*killer, str(fd), "--", *detach], env=world.environment, pass_fds=[fd]), look, 60)
    database.close()
    if ended.wait() != 0 or not looks:
        world.violation("detach of a console", f"it ended with {ended.returncode}, looked at {looks} times")


def destruction(world, options):
    """Of a domain that has devices. Each kill is followed by a recovery that goes on with it."""
    document = os.path.join(os.path.dirname(world.store), "pv.json")

    def row():
        with sqlite3.connect(f"file:{world.store}/store.db?mode=ro", uri=True) as database:
            found = database.execute("SELECT state FROM domain ORDER BY id DESC LIMIT 1").fetchone()
        database.close()
        return found[0]

    driver = Driver(world.daemon)

    def whole():
        if row() == "destroyed":
            world.must("import", "7", document)
        if world.entry() is None:
            world.must("attach", "7", "nics", NIC, "--no-scripts")
            world.xenstore.write(BACK + "/hotplug-status", "connected")

    def judge(where):
        if any(world.nodes()) and world.entry() is None:
            world.violation(where, "R1: nodes without an entry")
        ended = world.run(os.path.join(world.bin, "xlfsck"), "--store", world.store, "-p")
        if ended.returncode & ~3:   # 2: Xen has the domain still
            world.violation(where, "recovery fails", ended)
        if row() == "destroyed" and any(world.nodes()):
            world.violation(where, "the domain is destroyed, and its nodes are there", ended)
        if row() not in ("destroyed", "running"):
            world.violation(where, f"the domain is {row()} after recovery", ended)

    kills_of(world, options, "destroy", whole, ("destroy", "7"), judge)
    driver.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--quiet-xen", required=True)
    parser.add_argument("--share", default="1/1", help="K/N: each Nth stop from the Kth on")
    options = parser.parse_args()
    options.first, options.step = (int(number) for number in options.share.split("/"))
    if not xenstored.Daemon.programs():
        sys.exit(77)
    directory = tempfile.mkdtemp(prefix="xlxs-")
    world = None
    try:
        world = World(options, directory)
        sweep(world, options, "attach", ("attach", "7", "nics", NIC, "--no-scripts"))
        sweep(world, options, "detach", ("detach", "7", "nics", "0", "--no-scripts"))
        world.start(False)
        scripts(world, options)
        media(world, options)
        console(world, options)
        host_device_kills(world, options)
        destruction(world, options)
    finally:
        if world:
            world.daemon.kill()
        shutil.rmtree(directory, ignore_errors=True)
    sys.exit(1 if world.violations else 0)


if __name__ == "__main__":
    main()
