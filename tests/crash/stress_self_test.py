# SPDX-License-Identifier: MIT
"""Proves that the stress's observer is not blind: while workers are at work, breaches are planted
behind xlstore's back, and each must be reported; before it and once it is taken away, nothing may be.
Run it with `stress.py --self-test`."""

import contextlib
import subprocess
import time

import judge
import judge_xenstore
import stress
from worlds import Violation
from self_test import Checks

PLANT_SECONDS = 180.0   # for the workers to reach a state in which a breach can be planted


def ask(domain, pid, execute, **arguments):
    with judge.Monitor(domain.path("judge"), pid, time.monotonic() + judge.LOOK_SECONDS) as monitor:
        monitor.ask(execute, **arguments)


# Each is given the domain, its QEMU's pid and the whole, and says what has to be reported.

@contextlib.contextmanager
def node_by_stealth(domain, _, whole):
    path = f"/libxl/{domain.domid}/device/vif/9"
    whole.host.daemon.connection.write(path, "")
    yield f"R1: xenstore has vif/9 of domain {domain.domid} (note), and no entry says so"
    whole.host.daemon.connection.remove(path)


@contextlib.contextmanager
def device_by_stealth(domain, pid, _):
    ask(domain, pid, "device_add", driver="usb-mouse", id="unmanaged", bus="xenusb-0.0")
    yield 'R1: QEMU has device "unmanaged"'
    ask(domain, pid, "device_del", id="unmanaged")


@contextlib.contextmanager
def chardev_by_stealth(domain, pid, _):
    ask(domain, pid, "chardev-add", id="unmanaged", backend={"type": "null", "data": {}})
    yield 'R1: QEMU has chardev "unmanaged"'
    ask(domain, pid, "chardev-remove", id="unmanaged")


@contextlib.contextmanager
def acknowledged_thing_gone(domain, pid, _):
    ask(domain, pid, "chardev-remove", id="c1")
    yield f"domain {domain.domid}: acknowledged, but not so: chardev:c1 is absent"
    ask(domain, pid, "chardev-add", id="c1", backend={"type": "null", "data": {}})


@contextlib.contextmanager
def qemu_without_row(_, __, whole):
    process = subprocess.Popen(["qemu-system-x86_64", "-machine", "none", "-display", "none", "-nodefaults",
                                "-name", whole.directory], stdin=subprocess.DEVNULL)
    # exec closes the pipe that Popen waits for before the kernel shows the new command line.
    while process.pid not in judge.processes_with(whole.directory)[0] and process.poll() is None:
        time.sleep(0.01)
    try:
        yield f"R13: QEMU {process.pid} runs"
    finally:
        process.kill()
        process.wait()


def can_be_planted(domain, tables, qemus):
    """The pid of a running QEMU whose chardev was acknowledged, with no operation under way."""
    row = next((d for d in tables["domain"] if d["domid"] == domain.domid and d["state"] == "running"), None)
    if row and row["qemu_pid"] in qemus and "chardev:c1=present" in domain.things["qemu/c1"].promises:
        return row["qemu_pid"]
    return None


def plant(checks, whole, how):
    until = time.monotonic() + PLANT_SECONDS
    while time.monotonic() < until and not whole.over.is_set():
        with whole.everybody_stopped():
            qemus, _ = judge.processes_with(whole.directory)
            tables = judge.read_tables(whole.store)
            for domain in whole.domains:
                pid = can_be_planted(domain, tables, qemus)
                if pid is None:
                    continue
                checks.check(f"sound: before {how.__name__}", whole.breaches() == [])
                with how(domain, pid, whole) as text:
                    found = whole.breaches()
                    checks.check(f"breach: {how.__name__}", len(found) == 1 and found[0].startswith(text), found)
                found = whole.breaches()
                checks.check(f"sound: after {how.__name__}", found == [], found)
                return
        time.sleep(0.1)
    checks.check(f"{how.__name__} could be planted", False, whole.violation)


def missing_of_report(whole, text):
    """What the ordinary look does not say of a breach that is there."""
    try:
        whole.observe()
    except Violation as violation:
        report = whole.report(violation)
        missing = [part for part in (text, f"--seed {whole.options.seed}") if part not in report]
        # A command that was killed has a status too: at the end of a short run there may be no other.
        if not any("status " in line for line in whole.last):
            missing.append(f"the status of an operation in {list(whole.last)}")
        return missing
    return ["a violation"]


def run_all(options):
    checks = Checks()
    whole = stress.Stress(options)
    try:
        whole.begin()
        in_xenstore = (node_by_stealth,) if whole.host else ()
        for how in (device_by_stealth, chardev_by_stealth, acknowledged_thing_gone, qemu_without_row, *in_xenstore):
            plant(checks, whole, how)
        whole.stop()
        broken = judge_xenstore.judge_promise("nodes:vif/0=present", {})
        checks.check("breach: an acknowledged nic that is gone", bool(broken), broken)
        checks.check("the workers found nothing", whole.violation is None, whole.violation)
        checks.check("the workers were at work", whole.total()["done"] > 0)
        with qemu_without_row(None, None, whole) as text:
            missing = missing_of_report(whole, text)
            checks.check("the ordinary look finds it, too, and says how to repeat it", not missing, missing)
        whole.settle()
    except Violation as violation:
        checks.check("nothing else is found", False, whole.report(violation))
    finally:
        whole.end()
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0
