#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Installs xlstore into a scratch directory, builds the programs that embed it against that alone,
runs them on real QEMUs, and looks from outside at what they did.

  run.py --build BUILD [--bin BUILD/bin] [--sanitize LIST] [--crash-points] [--keep]

--sanitize       what the library was built with; the programs have to be, too
--crash-points   the library has them: programs are stopped and killed between two commits as well

The C programs are built twice: by `cc` with what pkg-config says, and by a CMake project that uses
find_package(xlstore); the second time the least of them is linked statically. What is in QEMU is asked over a second monitor, what is in the store is read
from the raw tables (crash/judge.py).
"""

import argparse
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, os.pardir, "crash"))
import commands  # noqa: E402
import worlds  # noqa: E402
import judge  # noqa: E402

SECONDS = 120.0     # a command that takes longer hangs
C_PROGRAMS = ("minimal", "eventloop", "external_qmp", "toolstack")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


class Failure(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Failure(what)


def wait_until(condition, what):
    until = time.monotonic() + SECONDS
    while not condition():
        need(time.monotonic() < until, f"not within {SECONDS:.0f} s: {what}")
        time.sleep(0.02)


def command(argv, status=0, **more_environment):
    """Runs it to its end; what it printed on standard output, then on standard error."""
    print("$", " ".join(argv), flush=True)
    try:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                               timeout=SECONDS, env=dict(os.environ, **more_environment))
    except subprocess.TimeoutExpired as error:
        raise Failure(f"no end within {SECONDS:.0f} s") from error
    print(ended.stdout + ended.stderr, end="", flush=True)
    need(ended.returncode == status, f"status {ended.returncode}, not {status}: {' '.join(argv)}")
    return ended.stdout, ended.stderr


# ---- Installed, and built against that -----------------------------------------------------------

def install(options, prefix):
    command(["cmake", "--install", options.build, "--prefix", prefix])
    found = glob.glob(f"{prefix}/lib*/**/pkgconfig", recursive=True)
    need(len(found) == 1, f"one directory pkgconfig in {prefix}, not {found}")
    return found[0]


def check_symbols(prefix):
    """Nothing but xlstore_* can be seen from outside, and all of it is versioned."""
    library, = glob.glob(f"{prefix}/lib*/**/libxlstore.so", recursive=True)
    out, _ = command(["nm", "-D", "--defined-only", library])
    names = [line.split()[-1] for line in out.splitlines()]
    others = [n for n in names if not re.fullmatch(r"(xlstore_\w+@@)?XLSTORE_0\.2(\.\d+)?", n)]
    need(not others, f"these are exported: {others}")
    need(len(names) > 50, f"only {len(names)} symbols are exported")


def build_with_pkg_config(options, pkgconfig, to):
    flags, _ = command(["pkg-config", "--cflags", "--libs", "xlstore"], PKG_CONFIG_PATH=pkgconfig)
    libdir, _ = command(["pkg-config", "--variable=libdir", "xlstore"], PKG_CONFIG_PATH=pkgconfig)
    flags = [*flags.split(), f"-Wl,-rpath,{libdir.strip()}", *sanitize_flags(options)]
    os.mkdir(to)
    for name in C_PROGRAMS:
        command(["cc", "-std=c99", "-g", *WARNINGS, "-o", f"{to}/{name}", f"{HERE}/{name}.c", *flags])
    command(["c++", "-std=c++20", "-g", *WARNINGS, "-o", f"{to}/cxx", f"{HERE}/cxx.cc", *flags])


def check_documents(prefix):
    """What EMBEDDING.md is about is installed with it."""
    for name in ("EMBEDDING.md", "ABI.md", "DESIGN.md", *(f"examples/{name}.c" for name in C_PROGRAMS), "examples/cxx.cc"):
        need(os.path.exists(f"{prefix}/share/doc/xlstore/{name}"), f"{name} is not installed")
    for path in glob.glob(f"{prefix}/include/xlstore/*.h"):
        command(["cc", "-std=c99", "-fsyntax-only", *WARNINGS, f"-I{prefix}/include", path])


def needed(program):
    out, _ = command(["readelf", "-d", program])
    return re.findall(r"\(NEEDED\).*\[([^\]]+?)\.so", out)


def build_statically(options, prefix, pkgconfig, to):
    """minimal, as it is installed, without the shared library; without any, where no sanitizer needs one."""
    flags, _ = command(["pkg-config", "--static", "--cflags", "--libs", "xlstore"], PKG_CONFIG_PATH=pkgconfig)
    flags = flags.split()
    if options.sanitize:
        at = flags.index("-lxlstore")
        flags[at:at + 1] = ["-Wl,-Bstatic", "-lxlstore", "-Wl,-Bdynamic"]
    else:
        flags.insert(0, "-static")
    command(["cc", "-std=c99", "-g", "-o", to, f"{prefix}/share/doc/xlstore/examples/minimal.c", *flags,
             *sanitize_flags(options)])
    need("libxlstore" not in needed(to), "it does not need the shared library")
    need(options.sanitize or not needed(to), f"it needs no shared library, but {needed(to)}")


def check_consumer(options, prefix, to):
    """A project that uses find_package gets the targets that it asked for, and no others."""
    flags = " ".join(sanitize_flags(options))
    command(["cmake", "-G", "Ninja", "-S", f"{HERE}/consumer", "-B", to, f"-DCMAKE_PREFIX_PATH={prefix}",
             f"-DCMAKE_C_FLAGS={flags}"])
    command(["cmake", "--build", to])
    need("libxlstore" in needed(f"{to}/minimal-xlstore"), "xlstore::xlstore is the shared library")
    need("libxlstore" not in needed(f"{to}/minimal-static"), "xlstore::static is not")


def build_with_cmake(options, prefix, to):
    flags = " ".join(["-g", *sanitize_flags(options)])
    command(["cmake", "-G", "Ninja", "-S", HERE, "-B", to, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_C_FLAGS={flags}",
             f"-DCMAKE_CXX_FLAGS={flags}"])
    command(["cmake", "--build", to])


def sanitize_flags(options):
    return [f"-fsanitize={options.sanitize}", "-fno-sanitize-recover=all"] if options.sanitize else []


# ---- Three domains -------------------------------------------------------------------------------

class Domain:
    def __init__(self, world, domid):
        self.world = world
        self.domid = domid
        self.name = f"domid:{domid}"
        self.monitor = world.path(f"judge{domid}")
        config = world.path(f"config{domid}")
        with open(config, "w", encoding="utf-8") as file:
            json.dump(worlds.document(f"e{domid}", ""), file)
        qemu = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
                "-device", "usb-ehci,id=xenusb-0",
                "-chardev", f"socket,id=judge,path={self.monitor},server=on,wait=off",
                "-mon", "chardev=judge,mode=control"]
        world.xlstore("create", str(domid), config, "--", *qemu)
        self.initial_devices = self.devices()

    def row(self):
        tables = judge.read_tables(self.world.store)
        found, = [d for d in tables["domain"] if d["domid"] == self.domid and d["state"] != "destroyed"]
        return judge.Rows(tables, found)

    def pid(self):
        return self.row().domain["qemu_pid"]

    def devices(self):
        return judge.query_qemu(self.monitor, None)["device"]

    def entry(self, name):
        """The state of an entry; None: there is none."""
        return next((t["state"] for t in self.row().things if f"{t['class']}/{t['key']}" == name), None)

    def intents(self):
        return self.row().intents

    def expect(self, device, there, name, state):
        """QEMU has the device or not, its entry is in that state, and nothing is pending."""
        seen = device in self.devices()
        need(seen == there, f"{self.name}: QEMU {'has' if seen else 'has no'} device {device}")
        need(self.entry(name) == state, f"{self.name}: {name} is {self.entry(name)}, not {state}")
        need(not self.intents(), f"{self.name}: open intents: {self.intents()}")

    def expect_invariant(self):
        rows = self.row()
        known = {name for kind, name in rows.products if kind == "device"}
        unmanaged = self.devices() - self.initial_devices - known
        need(not unmanaged, f"{self.name}: R1: {unmanaged}")

    @contextlib.contextmanager
    def stopped_qemu(self):
        os.kill(self.pid(), signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid(), signal.SIGCONT)

    def reset(self):
        """What the guest was asked to give up goes with a reset of the machine."""
        with judge.Monitor(self.monitor, None, time.monotonic() + SECONDS) as monitor:
            monitor.ask("system_reset")
        wait_until(lambda: "xenusb-1" not in self.devices(), "the reset takes the device out")


class World:
    def __init__(self, options, programs):
        self.options = options
        self.programs = programs
        self.directory = tempfile.mkdtemp(prefix="xe-", dir="/tmp")  # short: sockets lie in it
        self.store = self.path("s")

    def path(self, name):
        return os.path.join(self.directory, name)

    def xlstore(self, *words):
        # By files: QEMU would keep a pipe open.
        ended = commands.run([os.path.join(self.options.bin, "xlstore"), "--store", self.store, *words])
        need(ended.status == 0, str(ended))

    def argv(self, program, *words):
        return [f"{self.programs}/{program}", self.store, *words]

    def run(self, program, *words, status=0, **more_environment):
        return command(self.argv(program, *words), status, **more_environment)

    @contextlib.contextmanager
    def running(self, program, *words, **more_environment):
        argv = self.argv(program, *words)
        print("$", " ".join(argv), flush=True)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=dict(os.environ, **more_environment))
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    @contextlib.contextmanager
    def stopped_before_sending(self, *words):
        """external_qmp with its intent committed, and nothing sent yet: its second commit after the session's."""
        with self.running("external_qmp", *words, XLSTORE_STOP_AT="commit.after:2") as process:
            wait_until(lambda: judge.stat_fields(process.pid)[0] == b"T", "external_qmp stops")
            yield process


# ---- What each of them does ----------------------------------------------------------------------

def try_minimal(world, seven):
    out, _ = world.run("minimal", "domid:7")
    document = json.loads(out)
    need([d["port"] for d in document["usbdevs"]] == [1], f"usbdevs of the document: {document['usbdevs']}")
    seven.expect("xenusb-emulated-0-1", True, "usbdevs/0.1", "present")
    _, err = world.run("minimal", "domid:7", status=1)
    need("xenusb-emulated-0-1" in err, "the refusal names what is there already")
    world.run("minimal", "domid:77", status=1)
    world.run("minimal", status=2)


def try_eventloop(world, domains):
    mouse = ("xenusb-emulated-0-2", "usbdevs/0.2")
    *lively, silent = domains
    names = [d.name for d in domains]

    # One QEMU is silent: the others are served all the same, and it can be given up.
    with silent.stopped_qemu(), world.running("eventloop", *names) as process:
        done = {process.stdout.readline().split()[1] for _ in lively}
        need(done == {str(d.domid) for d in lively}, f"done beside a silent QEMU: {done}")
        need(process.poll() is None, "it ended, and one operation was under way")
        _, err = process.communicate("\n", timeout=SECONDS)
        print(err, end="")
        need(process.returncode == 1 and f"{silent.name}: it was cancelled before anything" in err, f"status {process.returncode}")
    for domain in lively:
        domain.expect(mouse[0], True, mouse[1], "present")
    silent.expect(mouse[0], False, mouse[1], None)

    if world.options.crash_points:
        # Killed when QEMU had done it and the commit that says so was missing: its successor finds out at its start.
        world.run("eventloop", silent.name, status=-signal.SIGKILL, XLSTORE_CRASH_AT="commit.before:3")
        need(len(silent.intents()) == 1, "the killed one left its intent")
        need(mouse[0] in silent.devices(), "QEMU had done it")
        _, err = world.run("eventloop", *names)
        need("FIXED" in err, "its successor settles the intent")
    else:
        world.run("eventloop", *names)
    for domain in domains:
        domain.expect(mouse[0], True, mouse[1], "present")


def try_external_qmp(world, domain):
    add, remove = (domain.name, "add"), (domain.name, "remove")
    device, entry = "xenusb-1", "usbctrls/1"
    if world.options.crash_points:
        # Dead between intent and sending: the next one finds it open, looks, and carries on.
        with world.stopped_before_sending(*add) as process:
            need(device not in domain.devices(), "R10: QEMU was changed before the intent was committed")
            process.kill()
            process.wait()
        need([i["operation"] for i in domain.intents()] == ["add"], "its intent is open")
        _, err = world.run("external_qmp", *add)
        need("is taken over" in err, "it says that it found the intent")
        domain.expect(device, True, entry, "present")
        world.run("external_qmp", *remove, status=3)
        domain.reset()
        world.run("external_qmp", *remove)
        domain.expect(device, False, entry, None)

        # A QEMU that falls silent leaves it in doubt, and does it later or never: recovery finds out which.
        with world.stopped_before_sending(*add) as process, domain.stopped_qemu():
            process.send_signal(signal.SIGCONT)
            _, err = process.communicate(timeout=SECONDS)
            print(err, end="")
            need(process.returncode == 3 and "in doubt" in err, f"status {process.returncode}")
            need(domain.entry(entry) == "adding", f"the entry is {domain.entry(entry)}")
        world.xlstore("recover", domain.name)
        there = device in domain.devices()
        domain.expect(device, there, entry, "present" if there else None)
    if domain.entry(entry) is None:
        world.run("external_qmp", *add)
    domain.expect(device, True, entry, "present")

    # There already: refused, and nothing is changed.
    world.run("external_qmp", *add, status=1)
    domain.expect(device, True, entry, "present")

    # The guest has no operating system, and lets go of nothing before it is reset.
    _, err = world.run("external_qmp", *remove, status=3)
    need("in doubt" in err, "it says so")
    intent, = domain.intents()
    need(intent["asked_us"] is not None and domain.entry(entry) == "removing", f"asked: {intent}")
    domain.reset()
    world.run("external_qmp", *remove)
    domain.expect(device, False, entry, None)


def try_toolstack(world, domain):
    """Recovery, an attach, a change of mind, a detach; and the store tells of the two that were done."""
    devices = domain.devices()
    out, _ = world.run("toolstack", domain.name)
    need(out.count("done: ") == 3 and out.count("cancelled: ") == 1, "three are done, and one is cancelled")
    for operation in ("add", "remove"):
        need(f": {operation} qemu/clock: done" in out, f"it is told of the {operation}")
    need("usbdevs/0.5" not in out, "what was cancelled left no trace")
    domain.expect("clock", False, "qemu/clock", None)
    need(domain.devices() == devices, "QEMU is as it was")
    # What a killed predecessor left is recovered at its start.
    if world.options.crash_points:
        with world.stopped_before_sending(domain.name, "add") as process:
            process.kill()
            process.wait()
        out, _ = world.run("toolstack", domain.name)
        need("recovery: " in out and "usbctrls/1" in out, "it says what was found")
        domain.expect("xenusb-1", False, "usbctrls/1", None)
    world.run("toolstack", "domid:77", status=1)


def try_cxx(world, domains):
    world.run("cxx", *[d.name for d in domains])
    for domain in domains:
        domain.expect("xenusb-emulated-0-3", True, "usbdevs/0.3", "present")
        domain.expect("xenusb-emulated-0-4", True, "usbdevs/0.4", "present")
    # Again: the keyboard is there already, so nothing is done.
    world.run("cxx", domains[0].name, "domid:77", status=1)
    domains[0].expect("xenusb-emulated-0-3", True, "usbdevs/0.3", "present")


def run_all(world):
    world.xlstore("init")
    domains = [Domain(world, domid) for domid in (7, 8, 9)]
    try_minimal(world, domains[0])
    try_eventloop(world, domains)
    try_external_qmp(world, domains[1])
    try_toolstack(world, domains[2])
    try_cxx(world, domains)
    for domain in domains:
        domain.expect_invariant()
        world.xlstore("destroy", domain.name)
    qemus, others = judge.processes_with(world.directory)
    need(not qemus and not others, f"these outlive their domains: {qemus} {others}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--bin")
    parser.add_argument("--sanitize", default="")
    parser.add_argument("--crash-points", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin or os.path.join(options.build, "bin"))
    scratch = tempfile.mkdtemp(prefix="xe-prefix-", dir="/tmp")
    worlds = []
    try:
        prefix = os.path.join(scratch, "usr")
        pkgconfig = install(options, prefix)
        check_symbols(prefix)
        build_with_pkg_config(options, pkgconfig, os.path.join(scratch, "by-pkg-config"))
        build_with_cmake(options, prefix, os.path.join(scratch, "by-cmake"))
        check_documents(prefix)
        check_consumer(options, prefix, os.path.join(scratch, "consumer"))
        build_statically(options, prefix, pkgconfig, os.path.join(scratch, "by-cmake", "minimal"))
        for programs in ("by-pkg-config", "by-cmake"):
            worlds.append(World(options, os.path.join(scratch, programs)))
            run_all(worlds[-1])
    except Failure as failure:
        print(f"FAILED: {failure}")
        return 1
    finally:
        for world in worlds:
            commands.end_processes(world.directory)
        for directory in [scratch, *[world.directory for world in worlds]]:
            if options.keep:
                print(f"kept: {directory}")
            else:
                shutil.rmtree(directory, ignore_errors=True)
    print("embed: all five programs do what they should")
    return 0


if __name__ == "__main__":
    sys.exit(main())
