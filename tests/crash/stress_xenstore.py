# SPDX-License-Identifier: MIT
"""The stress's things of xenstore: the operations, the real xenstored that holds them, which is killed and started anew
now and then, and the drivers of their back ends. A nic has a hotplug script; a drive changes its media."""

import contextlib
import os
import random
import shutil
import tempfile
import threading
import time

import judge_xenstore
import xenstored

NIC, TPM, DISK, DRIVE = "nics/0", "vtpms/0", "disks/xvdb", "disks/xvdf"
THINGS = (NIC, TPM, DISK, DRIVE)
DEVICES = {NIC: "vif/0", TPM: "vtpm/0", DISK: "vbd/51728", DRIVE: "vbd/51792"}
JSON = {
    NIC: '{"devid":0,"mac":"00:16:3e:00:00:01","script":"{script}"}',
    TPM: '{"devid":0,"uuid":"11111111-2222-4333-8444-555566667777"}',
    DISK: '{"pdev_path":"{b}","vdev":"xvdb","format":"raw","readwrite":1,"backend":"qdisk"}',
    DRIVE: '{"pdev_path":"{a}","vdev":"xvdf","format":"raw","is_cdrom":1,"backend":"qdisk"}',
}
BACKS = ("vif", "vtpm", "qdisk")
LIVES_SECONDS = (3.0, 12.0)     # of a xenstored, at least and at most
DRIVER_SECONDS = 0.02           # between two looks of the drivers
SLOW_SHARE, SLOW_SECONDS = 0.05, 0.5    # of the answers


def promises(thing, medium):
    """What holds once the thing is there, or gone; of the drive, with that in it."""
    is_there = medium != "absent"
    found = (f"nodes:{DEVICES[thing]}={'present' if is_there else 'absent'}",
             f"entry:{thing}={'present' if is_there else 'absent'}")
    if thing == DRIVE and is_there:
        text = "" if medium == "empty" else f"aio:{{{medium}}}"
        found += (f"params:{DEVICES[thing]}={text}",)
    return found


def kinds(kind):
    """The rows of the stress's table, made by `kind`. They share names, so that each name is done and killed in
    a short run."""
    life = {"life": ("running",)}
    rows = []
    for thing in THINGS:
        there = "a" if thing == DRIVE else "present"
        rows.append(kind("xenstore", ("attach", "domid:7", thing.split("/", 1)[0], JSON[thing]),
                         {thing: ("absent",), **life}, {thing: (there, promises(thing, there))}, 2.0))
        rows.append(kind("xenstore", ("detach", "domid:7", *thing.split("/", 1)),
                         {thing: ("a", "b", "empty", "present"), **life}, {thing: ("absent", promises(thing, "absent"))}))
    for medium, before in (("a", ("b", "empty")), ("b", ("a", "empty"))):
        rows.append(kind("insert", ("insert", "domid:7", "xvdf", f"{{{medium}}}"), {DRIVE: before, **life},
                         {DRIVE: (medium, promises(DRIVE, medium))}))
    rows.append(kind("eject", ("eject", "domid:7", "xvdf"), {DRIVE: ("a", "b"), **life},
                     {DRIVE: ("empty", promises(DRIVE, "empty"))}))
    return rows


POINTS = {"commit.before": (1, 3), "commit.after": (1, 3), "xenstore.before_commit": (1, 2), "xenstore.after_commit": (1, 2),
          "hotplug.before_script": (1, 1), "hotplug.after_script": (1, 1)}
POINTS_OF = {"xenstore": POINTS}


class Host:
    """The xenstored of all the stress's domains. `quiet` is held by its observer."""

    def __init__(self, options, quiet, domains, home):
        self.directory = tempfile.mkdtemp(prefix="xx-", dir=options.work)
        self.quiet = quiet
        self.uuids = {domain.domid: domain.uuid for domain in domains}
        self.chance = random.Random(f"{options.seed} xenstored")
        self.daemon = xenstored.Daemon(self.directory, options.quiet_xen)
        self.drivers = self.daemon.connect()    # of their thread; the daemon's own is the observer's
        self.kills = 0
        self.over = threading.Event()
        self.late = {}      # a back end whose driver is slow, and until when
        self.next_kill = time.monotonic() + self.chance.uniform(*LIVES_SECONDS)
        self.script = os.path.join(home, "vif-script")  # stopped with the rest
        with open(self.script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n[ $1 = offline ] || {options.bin}/scratch_xenstored {self.directory} write "
                       "\"/local/domain/0/$XENBUS_PATH/hotplug-status\" connected\n")
        os.chmod(self.script, 0o755)
        self.seed()
        self.thread = threading.Thread(target=self.drive, daemon=True)
        self.thread.start()

    @property
    def environment(self):
        return {"XENSTORED_PATH": self.daemon.path}

    def seed(self):
        """The domains, as their toolstack makes them."""
        for domid, uuid in self.uuids.items():
            self.daemon.connection.write(f"/libxl/{domid}/device", "")
            self.daemon.connection.write(f"/local/domain/{domid}/vm", f"/vm/{uuid}")
            self.daemon.connection.introduce(domid)

    def forget(self, domids):
        """As their toolstack does once they are destroyed."""
        for domid in domids:
            self.daemon.connection.release(domid)
            for path in (f"/libxl/{domid}", f"/local/domain/{domid}"):
                self.daemon.connection.remove(path)

    def is_due(self):
        return time.monotonic() > self.next_kill

    def restart(self):
        """It is killed, and another one begins with nothing but the domains. To be called under `quiet`."""
        self.drivers.close()
        self.daemon.kill()
        self.daemon.start()
        self.drivers = self.daemon.connect()
        self.seed()
        self.kills += 1
        self.next_kill = time.monotonic() + self.chance.uniform(*LIVES_SECONDS)

    def look(self, domid):
        return judge_xenstore.look(self.daemon.connection, domid)

    # The drivers: kernels and QEMUs that serve the back ends. While the observer looks they hold still.
    def drive(self):
        while not self.over.wait(DRIVER_SECONDS):
            with self.quiet, contextlib.suppress(xenstored.Gone):
                for kind in BACKS:
                    for domid in self.drivers.names(f"/local/domain/0/backend/{kind}"):
                        for number in self.drivers.names(f"/local/domain/0/backend/{kind}/{domid}"):
                            self.serve(f"/local/domain/0/backend/{kind}/{domid}/{number}")

    def serve(self, back):
        if time.monotonic() < self.late.get(back, 0):
            return
        state = self.drivers.read(f"{back}/state")
        answer = {b"1": b"2", b"5": b"6"}.get(state)
        if answer is None:
            return
        if self.chance.random() < SLOW_SHARE and back not in self.late:
            self.late[back] = time.monotonic() + SLOW_SECONDS
            return
        self.late.pop(back, None)
        self.drivers.write_over(f"{back}/state", state, answer)

    def end(self):
        self.over.set()
        self.thread.join()
        self.drivers.close()
        self.daemon.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
