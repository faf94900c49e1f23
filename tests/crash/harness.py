#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Kills xlstore at its 1st, 2nd, 3rd … system-call stop, on a real QEMU, until a run survives.

  harness.py --bin BUILD/bin [--operations insert,eject,…] [--share 1/10 [--start S]] [--jobs 2]
             [--seconds T] [--every-stop] [--number N] [--log FILE] [--keep]
  harness.py --bin BUILD/bin --two-deep [--second N] [as above]
  harness.py --bin BUILD/bin --retry [as above]
  harness.py --self-test [--bin BUILD/bin]

For each operation and each N: the world is brought into the operation's start state; the operation
is run under `killer N`; then `judge.py` looks, before any recovery; `xlfsck -p` must end with 0 or 1
and `xlfsck -n` after it with 0 (2 instead where a guest must let go first); the judge looks again.
What was acknowledged must be there, what survived must have succeeded, a QEMU that ran must run
still unless its destruction had begun, and after recovery the operation must be possible again.

With --two-deep the recovery is killed as well, see two_deep.py. With --retry the operation is asked for
once more before any recovery, see retry.py.

What is run is a row of OPERATIONS below. README.md beside this file tells more.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import judge  # noqa: E402  (for its look at processes and QEMU; its verdicts come from its own process)

PYTHON = ["/usr/bin/python3", "-I", "-S"]
KILLED = 99
COMMAND_SECONDS = 90.0      # a command that takes longer hangs
RENEW_KILLS = 25            # kills that one store and QEMU live through
AGAIN_KILLS = 20            # every so many, the operation is run to its end after the recovery
VIOLATIONS_MAX = 5          # of one operation, before it is given up
SURVIVALS = 2               # in a row: the number of stops varies by a few from run to run
DOMID = 7
DRIVE = "ide-5632"          # hdc


# ---- The operations ------------------------------------------------------------------------------

def need(promise, *command):
    """A fact of the start state (as judge.py has it), and the command that makes it so; or a function of
    the world, for what no plain command does."""
    return promise, command


@dataclasses.dataclass(frozen=True)
class Operation:
    name: str
    start: tuple            # facts with their commands, in order
    command: tuple          # what is killed; {…} as in World.fill
    promises: tuple         # what holds once it has ended with 0
    qemu: str = "lives"     # lives: one runs before and after. begins, ends, anew (another one): it may or may not
    anew: bool = False          # on a domain made for it: what it leaves needs a guest to go
    guest_holds: bool = False   # xlfsck may say 2: the guest must let go first
    program: str = "xlstore"
    statuses: tuple = (0,)      # of a run that survived
    left: tuple = ()            # (crash point, command): what a crash left behind before; wants crash points
    prepare: object = None      # a function of the world, before anything else
    unchanged: bool = False     # QEMU stays as it is
    tolerated: tuple = ()       # what the store need not know of before it is recovered, KIND:NAME


RUNNING = need("domain:7=running", "create", "7", "{config}", "--", "{qemu}")
GONE = need("domain:7=gone", "destroy", "domid:7")
EMPTY = need(f"medium:{DRIVE}=empty", "eject", "domid:7", "hdc")
HOLDS_A = need(f"medium:{DRIVE}=raw:{{a}}", "insert", "domid:7", "hdc", "{a}")
HOLDS_B = need(f"medium:{DRIVE}=raw:{{b}}", "insert", "domid:7", "hdc", "{b}")
TABLET = need("device:tablet=present", "attach", "domid:7", "qemu", json.dumps(
    {"key": "tablet", "steps": [{"execute": "device_add", "arguments": {
        "driver": "usb-tablet", "id": "tablet", "bus": "xenusb-0.0"}}]}))
NO_TABLET = need("device:tablet=absent", "detach", "domid:7", "qemu", "tablet")
CHARDEV = need("chardev:c1=present", "attach", "domid:7", "qemu", json.dumps(
    {"key": "c1", "steps": [{"execute": "chardev-add", "arguments": {
        "id": "c1", "backend": {"type": "null", "data": {}}}}]}))
NO_CHARDEV = need("chardev:c1=absent", "detach", "domid:7", "qemu", "c1")

DISK_JSON = json.dumps({"key": "disk", "steps": [
    {"execute": "add-fd", "arguments": {"opaque": "qemu/disk"}, "file": "{b}"},
    {"execute": "blockdev-add", "arguments": {
        "node-name": "disk-file", "driver": "file", "read-only": True, "filename": "/dev/fdset/$fdset"}},
    {"execute": "blockdev-add", "arguments": {
        "node-name": "disk", "driver": "raw", "read-only": True, "file": "disk-file"}},
    {"execute": "device_add", "arguments": {
        "driver": "usb-storage", "id": "disk-dev", "drive": "disk", "bus": "xenusb-0.0"}}]})
DISK = need("device:disk-dev=present", "attach", "domid:7", "qemu", DISK_JSON)
NO_DISK = need("node:disk-file=absent", "detach", "domid:7", "qemu", "disk")
USBDEV = need("device:xenusb-emulated-0-3=present", "attach", "domid:7", "usbdevs", json.dumps(
    {"ctrl": 0, "port": 3, "type.emulated": {"driver": "usb-mouse"}}))
NO_USBDEV = need("device:xenusb-emulated-0-3=absent", "detach", "domid:7", "usbdevs", "0.3")
USBCTRL = need("device:xenusb-1=present", "attach", "domid:7", "usbctrls", json.dumps(
    {"type": "devicemodel", "devid": 1, "version": 2, "ports": 6}))
VCPU = need("device:cpu-1=present", "attach", "domid:7", "vcpus", json.dumps({"index": 1}))
MOUSE = ("device:xenusb-emulated-0-2=present", "entry:usbdevs/0.2=present")
NO_MOUSE = need("device:xenusb-emulated-0-2=absent", "detach", "domid:7", "usbdevs", "0.2")
USBCTRL_2 = need("device:xenusb-2=present", "attach", "domid:7", "usbctrls", json.dumps(
    {"type": "devicemodel", "devid": 2, "version": 2, "ports": 6}))
# The one that was made first has the lower slot; its name does not matter.
SLOTS = ("address:xenusb-2=24", "address:xenusb-1=32")
SECOND_IMAGE = ("attach", "domid:7", "qemu", TABLET[1][-1].replace('"id": "tablet"', '"id": "other"'))


def devices(key, *arguments):
    return json.dumps({"key": key, "steps": [{"execute": "device_add", "arguments": a} for a in arguments]})


TWO = need("device:two-b=present", "attach", "domid:7", "qemu", devices("two", *(
    {"driver": "usb-mouse", "id": name, "bus": "xenusb-0.0"} for name in ("two-a", "two-b"))))
NO_TWO = need("device:two-b=absent", "detach", "domid:7", "qemu", "two")
TWO_PCI = need("device:pci-b=present", "attach", "domid:7", "qemu", devices("pci", *(
    {"driver": "usb-ehci", "id": name} for name in ("pci-a", "pci-b"))))
OPEN = need("closed:7=no", "reopen", "domid:7")
CLOSED = need("closed:7=yes", "close", "domid:7", "--reason", "moves to another host")


# ---- What is done behind the store's back ----

def lose_tablet(world):
    """An administrator takes it out by a monitor of their own; xlfsck calls the entry stale."""
    if not world.holds(TABLET[0]):
        world.must(world.xlstore(*TABLET[1]))
    world.ask("device_del", id="tablet")
    world.must(world.note(run(world.argv("xlfsck", ["-p"]))), (1,), "xlfsck -p of an entry without its thing")


def plug_odd(world):
    world.ask("device_add", driver="usb-tablet", id="odd", bus="xenusb-0.0")
    world.ask("chardev-add", id="odd-chardev", backend={"type": "null", "data": {}})


def runs_elsewhere(world):
    """Another toolstack's domain: its QEMU has a device and a medium that its document does not know."""
    world.forget()
    world.must(world.xlstore("import", "7", "{config}"))
    world.begin_elsewhere()
    plug_odd(world)
    world.ask("blockdev-change-medium", id=DRIVE, filename=world.path("b.iso"), format="raw")


def runs_elsewhere_anew(world):
    """The first, with a device of its own on its command line, was registered and died; a second one runs,
    into which a device of that name was plugged."""
    world.forget()
    world.must(world.xlstore("import", "7", "{config}"))
    first = world.begin_elsewhere("-device", "usb-tablet,id=odd,bus=xenusb-0.0")
    world.must(world.xlstore("register", "domid:7", "--monitor", "{monitor}"))
    first.kill()
    first.wait()
    world.begin_elsewhere()
    plug_odd(world)


NEED_ODD = (need("entry:qemu/odd=absent", "destroy", "domid:7"), RUNNING, need("device:odd=present", plug_odd))
ODD = ("device:odd", "chardev:odd-chardev")
ADOPTED = ("device:odd=present", "entry:qemu/odd=present", "chardev:odd-chardev=present")
REGISTER = ("register", "domid:7", "--monitor", "{monitor}")

BATCH_ALL = ("batch", "domid:7", "--all-or-none", json.dumps(
    [{"attach": "qemu", "thing": json.loads(thing[1][-1])} for thing in (CHARDEV, TABLET)]))
BATCH_EACH = ("batch", "domid:7", json.dumps(
    [{"detach": "qemu", "key": "tablet"}, {"insert": "hdc", "file": "{b}"}]))

def recovery(name, of, crash_at, start):
    """xlfsck itself is killed, at work on what a crash of `of` left behind: two deep."""
    return Operation(name, start, ("-p",), (), {"create": "begins", "destroy": "ends"}.get(of[0], "lives"),
                     program="xlfsck", statuses=(0, 1), left=(crash_at, of))


# To add an operation, add a row.
OPERATIONS = {o.name: o for o in (
    Operation("insert", (RUNNING, EMPTY), HOLDS_B[1], (HOLDS_B[0], "entry:disks/hdc=present")),
    Operation("eject", (RUNNING, HOLDS_A), EMPTY[1], (EMPTY[0], "entry:disks/hdc=present")),
    Operation("swap", (RUNNING, HOLDS_A), HOLDS_B[1], (HOLDS_B[0], "entry:disks/hdc=present")),
    Operation("attach_usb", (RUNNING, NO_TABLET), TABLET[1], (TABLET[0], "entry:qemu/tablet=present")),
    Operation("detach_usb", (RUNNING, TABLET), NO_TABLET[1], (NO_TABLET[0], "entry:qemu/tablet=absent")),
    Operation("attach_chardev", (RUNNING, NO_CHARDEV), CHARDEV[1], (CHARDEV[0], "entry:qemu/c1=present")),
    Operation("detach_chardev", (RUNNING, CHARDEV), NO_CHARDEV[1], (NO_CHARDEV[0], "entry:qemu/c1=absent")),
    Operation("attach_disk", (RUNNING, NO_DISK), DISK[1], (DISK[0], "entry:qemu/disk=present")),
    Operation("detach_disk", (RUNNING, DISK), NO_DISK[1], (NO_DISK[0], "entry:qemu/disk=absent")),
    Operation("attach_usbdev", (RUNNING, NO_USBDEV), USBDEV[1], (USBDEV[0], "entry:usbdevs/0.3=present")),
    Operation("detach_usbdev", (RUNNING, USBDEV), NO_USBDEV[1], (NO_USBDEV[0], "entry:usbdevs/0.3=absent")),
    # A PCI device and a processor go only with their guest.
    Operation("attach_usbctrl", (RUNNING,), USBCTRL[1], (USBCTRL[0], "entry:usbctrls/1=present"), anew=True),
    Operation("ask_guest", (RUNNING, USBCTRL), ("--timeout", "0.2", "detach", "domid:7", "usbctrls", "1"), (),
              anew=True, guest_holds=True, statuses=(3,)),
    Operation("attach_vcpu", (RUNNING,), VCPU[1], (VCPU[0], "entry:vcpus/1=present"), anew=True),
    Operation("batch_all", (RUNNING, NO_CHARDEV, NO_TABLET), BATCH_ALL,
              (CHARDEV[0], TABLET[0], "entry:qemu/c1=present", "entry:qemu/tablet=present")),
    Operation("batch_each", (RUNNING, TABLET, HOLDS_A), BATCH_EACH, (NO_TABLET[0], HOLDS_B[0])),
    Operation("create", (GONE,), RUNNING[1], (RUNNING[0], "qemu=running"), qemu="begins"),
    Operation("create_inserting", (GONE,), ("create", "7", "{config}", "--", "{qemu, empty}"),
              (RUNNING[0], HOLDS_A[0], "qemu=running"), qemu="begins"),
    Operation("destroy", (RUNNING,), GONE[1], (GONE[0], "qemu=none"), qemu="ends"),
    Operation("attach_two", (RUNNING, NO_TWO), TWO[1], (TWO[0], "device:two-a=present", "entry:qemu/two=present")),
    Operation("detach_two", (RUNNING, TWO), NO_TWO[1], (NO_TWO[0], "device:two-a=absent", "entry:qemu/two=absent")),
    Operation("ask_guest_two", (RUNNING, TWO_PCI), ("--timeout", "1", "detach", "domid:7", "qemu", "pci"), (),
              anew=True, guest_holds=True, statuses=(3,)),
    # Refused, and nothing is another's for it.
    Operation("attach_second_image", (RUNNING, TABLET), SECOND_IMAGE,
              (TABLET[0], "device:other=absent", "entry:qemu/tablet=present"), statuses=(1,), unchanged=True),
    Operation("detach_stale", (RUNNING, need("entry:qemu/tablet=stale", lose_tablet)), NO_TABLET[1],
              (NO_TABLET[0], "entry:qemu/tablet=absent"), unchanged=True),
    Operation("soft_reset", (RUNNING, TABLET, USBCTRL_2, USBCTRL), ("soft-reset", "domid:7", "--", "{qemu}"),
              (RUNNING[0], "qemu=running", TABLET[0], *SLOTS), qemu="anew", anew=True),
    Operation("close", (RUNNING, OPEN), CLOSED[1], (CLOSED[0],), unchanged=True),
    Operation("reopen", (RUNNING, CLOSED), OPEN[1], (OPEN[0],), unchanged=True),
    Operation("import", (GONE,), ("import", "7", "{config}"), (RUNNING[0], "entry:disks/hdc=present"), qemu="begins"),
    Operation("adopt", NEED_ODD, ("-p",), ADOPTED, program="xlfsck", statuses=(1,), unchanged=True, tolerated=ODD),
    Operation("adopt_all", NEED_ODD, ("-y",), ADOPTED, program="xlfsck", statuses=(1,), unchanged=True, tolerated=ODD),
    Operation("register", (), REGISTER, (RUNNING[0], "qemu=running", "entry:disks/hdc=present"),
              prepare=runs_elsewhere, unchanged=True),
    Operation("register_anew", (), REGISTER, (RUNNING[0], "qemu=running", "entry:disks/hdc=present"),
              prepare=runs_elsewhere_anew, unchanged=True),
    # Programs that embed the library (../embed).
    Operation("eventloop", (RUNNING, NO_MOUSE), ("domid:7",), MOUSE, program="eventloop"),
    Operation("external_qmp_add", (RUNNING,), ("domid:7", "add"), (USBCTRL[0], "entry:usbctrls/1=present"),
              anew=True, program="external_qmp"),
    Operation("external_qmp_ask", (RUNNING, USBCTRL), ("domid:7", "remove"), (),
              anew=True, guest_holds=True, program="external_qmp", statuses=(3,)),
    # It recovers at its start: killed while it settles what a crash left, or while it goes on from there.
    Operation("eventloop_recovers", (RUNNING, NO_TABLET, NO_MOUSE), ("domid:7",), MOUSE, program="eventloop",
              left=("commit.before:3", TABLET[1])),
    recovery("recover_undone", TABLET[1], "commit.after:2", (RUNNING, NO_TABLET)),
    recovery("recover_done", TABLET[1], "commit.before:3", (RUNNING, NO_TABLET)),
    recovery("recover_emptied", HOLDS_B[1], "qmp.before_send:7", (RUNNING, HOLDS_A)),
    recovery("recover_disk", DISK[1], "qmp.before_send:9", (RUNNING, NO_DISK)),
    recovery("recover_batch", BATCH_ALL, "qmp.before_send:5", (RUNNING, NO_CHARDEV, NO_TABLET)),
    recovery("recover_create", RUNNING[1], "spawn.after_gate", (GONE,)),
    recovery("recover_destroy", GONE[1], "destroy.before_kill", (RUNNING,)),
)}


# ---- The world -----------------------------------------------------------------------------------

def turn():
    """Where a share of many points starts: XLSTORE_TURN, which ctest takes from the commit, or 0."""
    return int(os.environ.get("XLSTORE_TURN", "0"))


class Violation(Exception):
    pass


def document(name, medium):
    """An HVM domain as libxl writes it down, with a CD in hdc and nothing else of its own."""
    return {
        "c_info": {"type": "hvm", "name": name, "uuid": str(uuid.uuid4()), "run_hotplug_scripts": "True"},
        "b_info": {
            "max_vcpus": 2, "avail_vcpus": [0, 1], "max_memkb": 32768, "target_memkb": 32768,
            "video_memkb": 8192, "sched_params": {}, "claim_mode": "True",
            "type.hvm": {"vga": {}, "vnc": {"enable": "False"}, "sdl": {}, "spice": {}, "boot": "dc",
                         "usb": "True", "rdm": {}},
            "arch_arm": {}, "arch_x86": {"msr_relaxed": "False"}},
        "disks": [{"pdev_path": medium, "vdev": "hdc", "format": "raw", "removable": 1, "is_cdrom": 1,
                   "colo_restore_enable": "False"}],
        "on_reboot": "restart", "on_crash": "restart", "on_soft_reset": "soft_reset"}


@dataclasses.dataclass
class Ended:
    argv: list
    status: object          # a number, or "hangs"
    out: str
    err: str

    def __str__(self):
        return f"$ {' '.join(self.argv)}\n{self.out}{self.err}status {self.status}\n"


class Running:
    """A command at work, in a session of its own."""

    def __init__(self, argv, **more_environment):
        # LeakSanitizer traces its own process with ptrace, which a traced process cannot.
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", PYTHONDONTWRITEBYTECODE="1",
                           **more_environment)
        self.argv = argv
        # Into files: a QEMU that inherited a pipe would keep us waiting for its end.
        self.files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.files[0], stderr=self.files[1],
                                        env=environment, start_new_session=True)

    def ended(self, status):
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Ended(self.argv, status, *texts)


def run(argv, seconds=COMMAND_SECONDS, **more_environment):
    running = Running(argv, **more_environment)
    process = running.process
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # killer takes its command along
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        status = "hangs"
    return running.ended(status)


def end_processes(marker):
    """Ends, by pid, all processes of this world that still run."""
    for _ in range(100):
        qemus, others = judge.processes_with(marker)
        if not qemus and not others:
            return
        for pid in (*qemus, *others):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


class World:
    """A directory with a store, two CD images, and the QEMU of the one domain in it."""

    def __init__(self, programs, killer, work):
        self.programs = programs
        self.killer = killer
        self.directory = tempfile.mkdtemp(prefix="xk-", dir=work)  # short: sockets lie in it
        self.store = self.path("s")
        self.kills = 0
        self.log = []
        self.elsewhere = []     # QEMUs that another program started
        for name in ("a.iso", "b.iso"):
            with open(self.path(name), "wb") as file:
                file.write(os.urandom(4096) + bytes(1020 * 1024))
        self.qemu = [
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
            "-smp", "1,maxcpus=2",
            "-drive", f"if=none,readonly=on,id={DRIVE},file={self.path('a.iso')},format=raw",
            "-device", f"ide-cd,id={DRIVE},drive={DRIVE},bus=ide.1,unit=0",
            "-device", "usb-ehci,id=xenusb-0",
            "-chardev", f"socket,id=judge,path={self.path('judge')},server=on,wait=off",
            "-mon", "chardev=judge,mode=control"]
        # Born without what the document says: the creation has to put it in.
        self.qemu_empty = [f"if=none,readonly=on,id={DRIVE}" if word.startswith("if=none,") else word
                           for word in self.qemu]
        with open(self.path("config.json"), "w", encoding="utf-8") as file:
            json.dump(document(f"k{os.path.basename(self.directory)[3:]}", self.path("a.iso")), file, indent=4)

    def path(self, name):
        return os.path.join(self.directory, name)

    def begin(self):
        self.must(self.xlstore("init"))
        self.record_initial_devices()

    def record_initial_devices(self):
        """The initial devices of a QEMU with this command line."""
        with self.plain_qemu():
            self.record("initial_devices.json")

    def record(self, name):
        self.must(run([*PYTHON, os.path.join(HERE, "judge.py"), "--second-monitor", self.path("judge"),
                       "--record-initial-devices", self.path(name)]))

    @contextlib.contextmanager
    def plain_qemu(self):
        process = subprocess.Popen(self.qemu, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    # Behind the store's back.
    def ask(self, execute, **arguments):
        with judge.Monitor(self.path("judge"), None, time.monotonic() + judge.LOOK_SECONDS) as monitor:
            return monitor.ask(execute, **arguments)

    def begin_elsewhere(self, *more):
        """A QEMU with a monitor for the store, as another toolstack starts it."""
        process = subprocess.Popen(
            [*self.qemu, *more, "-chardev", f"socket,id=cmd,path={self.path('monitor')},server=on,wait=off",
             "-mon", "chardev=cmd,mode=control"], stdin=subprocess.DEVNULL, start_new_session=True)
        self.elsewhere.append(process)
        self.ask("query-status")
        return process

    def forget(self):
        """No domain, and no QEMU."""
        if any(d["state"] != "destroyed" for d in judge.read_tables(self.store)["domain"]):
            self.must(self.xlstore(*GONE[1]))
        for process in self.elsewhere:
            process.kill()
            process.wait()
        self.elsewhere.clear()

    def end(self, keep=False):
        end_processes(self.directory)
        for process in self.elsewhere:
            process.wait()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    # Commands.
    def fill(self, words):
        texts = {"{config}": self.path("config.json"), "{monitor}": self.path("monitor"), "{a}": self.path("a.iso"), "{b}": self.path("b.iso")}
        filled = []
        for word in words:
            for name, text in texts.items():
                word = word.replace(name, text)
            filled += {"{qemu}": self.qemu, "{qemu, empty}": self.qemu_empty}.get(word, [word])
        return filled

    def promise(self, text):
        return text.replace("{a}", self.path("a.iso")).replace("{b}", self.path("b.iso"))

    def argv(self, program, words):
        option = ["--store"] if program in ("xlstore", "xlfsck") else []
        return [os.path.join(self.programs, program), *option, self.store, *self.fill(words)]

    def note(self, ended):
        self.log.append(str(ended))
        for sign in ("Sanitizer", "runtime error:"):
            if sign in ended.err:
                raise Violation(f"a sanitizer complains:\n{ended}")
        if ended.status == "hangs":
            raise Violation(f"no end within {COMMAND_SECONDS:.0f} s:\n{ended}")
        return ended

    def xlstore(self, *words):
        return self.note(run(self.argv("xlstore", words)))

    def must(self, ended, statuses=(0,), what="an undisturbed command fails"):
        if ended.status not in statuses:
            raise Violation(f"{what} (status {ended.status}, not {' or '.join(map(str, statuses))}):\n{ended}")
        return ended

    def judge(self, when, qemu_pid, promises=(), settled=False, answers=(), tolerated=(), unchanged=False):
        """The separate judge's verdict; what it saw, as a dictionary."""
        words = ["--qemu-pid", str(qemu_pid), "--second-monitor", self.path("judge"),
                 "--initial-devices", self.path("initial_devices.json"), "--marker", self.directory, "--json", self.path("seen.json")]
        for promise in promises:
            words += ["--acknowledged", self.promise(promise)]
        if settled:
            words.append("--settled")
        for process in self.elsewhere:
            words += ["--elsewhere", str(process.pid)]
        for name in tolerated:
            words += ["--tolerated", name]
        if unchanged:
            words += ["--unchanged", self.path("before.json")]
        if answers:
            with open(self.path("answers.json"), "w", encoding="utf-8") as file:
                json.dump(answers, file)
            words += ["--answers", self.path("answers.json")]
        ended = self.note(run([*PYTHON, os.path.join(HERE, "judge.py"), self.store, *words]))
        if ended.status != 0:
            raise Violation(f"{when}:\n{ended.out}{ended.err}")
        with open(self.path("seen.json"), encoding="utf-8") as file:
            return json.load(file)

    def holds(self, promise):
        """A look of our own at one fact, to find out what the start state lacks."""
        qemus, _ = judge.processes_with(self.directory)
        pid = next(iter(qemus), None)
        tables = judge.read_tables(self.store)
        living = [d for d in tables["domain"] if d["state"] != "destroyed"]
        rows = judge.Rows(tables, living[0]) if living else None
        seen = judge.query_qemu(self.path("judge"), pid) if pid else None
        return judge.judge_promise(self.promise(promise), tables, rows, seen, qemus) is None

    def bring_about(self, operation):
        if operation.prepare:
            operation.prepare(self)
        if operation.anew and self.holds(RUNNING[0]):
            self.must(self.xlstore(*GONE[1]))
        for fact, command in operation.start:
            if self.holds(fact):
                continue
            if callable(command[0]):
                command[0](self)
            else:
                self.must(self.xlstore(*command), what="after recovery the next operation fails")
        facts = [fact for fact, _ in operation.start]
        seen = self.judge("in the start state", "any", facts, settled=True, tolerated=operation.tolerated)
        if len(seen["qemus"]) != (1 if operation.qemu != "begins" else 0):
            raise Violation(f"in the start state these QEMUs run: {seen['qemus']}")
        if operation.unchanged:
            self.record("before.json")
        return seen


# ---- One kill ------------------------------------------------------------------------------------

@dataclasses.dataclass
class Outcome:
    survived: bool
    stops: int
    where: str

    def is_asynchronous(self):
        return not self.survived and self.where.split()[0] in ASYNCHRONOUS


def leave_behind(world, operation):
    crash_at, command = operation.left
    world.must(world.note(run(world.argv("xlstore", command), XLSTORE_CRASH_AT=crash_at)), (-signal.SIGKILL,),
               f"it does not die at its crash point {crash_at}")
    seen = world.judge("after the first crash", "any")
    if not seen["intents"] and not any(d["state"] in ("creating", "destroying") for d in seen["domains"]):
        raise Violation(f"crash point {crash_at} leaves nothing to recover")
    return seen


# Calls after whose death QEMU or a child may still be at work on what they were given.
ASYNCHRONOUS = {"sendmsg", "sendto", "recvmsg", "recvfrom", "connect", "shutdown", "close", "write", "clone",
                "clone3", "fork", "vfork", "kill", "pidfd_send_signal"}


def kill_at(world, number, skip_pure, program, words):
    """One command under the killer: how it ended, and where it was killed."""
    pure = ["--skip-pure"] if skip_pure else []
    ended = world.note(run([world.killer, str(number), *pure, "--record", world.path("record"), "--",
                            *world.argv(program, words)]))
    verdicts = [line for line in ended.err.splitlines() if line.startswith("killer: ")]
    if not verdicts:
        raise Violation(f"the killer says nothing:\n{ended}")
    if ended.status != KILLED:
        said = verdicts[-1].split()
        return ended, Outcome(True, int(said[said.index("after") + 1]), "")
    world.kills += 1
    return ended, Outcome(False, number, verdicts[-1].rsplit(": ", 1)[1])


class Kill:
    """One kill of an operation, and what has to hold after it."""

    def __init__(self, world, operation):
        self.world = world
        self.operation = operation
        self.seen = None        # by the judge, before any recovery
        world.log.clear()
        before = world.bring_about(operation)
        if operation.left:
            before = leave_behind(world, operation)
        self.qemu = before["qemus"][0] if before["qemus"] else "none"
        self.recovered = (0, 1, 2, 3) if operation.guest_holds else (0, 1)  # xlfsck -p may end with

    def at(self, number, skip_pure):
        world, operation = self.world, self.operation
        ended, self.outcome = kill_at(world, number, skip_pure, operation.program, operation.command)
        if self.outcome.survived:
            world.must(ended, operation.statuses, "nothing was killed, and yet it failed")
        # On standard output is only ever what is done: who read it may rely on it, killed afterwards or not.
        # xlfsck alone says there what it finds, one after the other.
        told = ended.out and operation.program != "xlfsck"
        self.promises = operation.promises if self.outcome.survived or told else ()

    def look(self, when="before recovery"):
        """Looking gives QEMU the time to finish what it was sent, so that recovery is tried without it as
        well: R12's barrier alone keeps it from looking too early then."""
        seen = self.world.judge(when, self.qemu if self.operation.qemu == "lives" else "any", self.promises,
                                tolerated=() if self.outcome.survived else self.operation.tolerated,
                                unchanged=self.operation.unchanged)
        if self.operation.qemu == "ends" and self.qemu not in seen["qemus"] and \
                "running" in [d["state"] for d in seen["domains"]]:
            raise Violation(f"{when}:\nR14: QEMU {self.qemu} was killed, and its row is not marked yet")
        self.seen = self.seen or seen

    def recover(self):
        """Recovery settles all, and changes nothing when it is run again."""
        world, holds = self.world, self.operation.guest_holds
        recovered = world.must(world.note(run(world.argv("xlfsck", ["-p", "--json"]))), self.recovered, "xlfsck -p")
        for finding in map(json.loads, recovered.out.splitlines()):
            # What pass 5 has to put right had no intent: recovery would hide what a kill laid bare.
            if finding.get("code", 0) // 1000 == 5 and not self.operation.tolerated:
                raise Violation(f"after the intents were settled QEMU and store still differ:\n{recovered}")
        world.must(world.note(run(world.argv("xlfsck", ["-n"]))), (0, 2) if holds else (0,), "xlfsck -n after xlfsck -p")

        # Recovery ends no QEMU but one whose destruction was ordered, and begins none.
        if self.operation.qemu == "lives":
            expected = self.qemu
        elif self.seen is None:
            expected = "any"
        elif not self.seen["qemus"] or "destroying" in [d["state"] for d in self.seen["domains"]]:
            expected = "none"
        else:
            expected = self.seen["qemus"][0]
        world.judge("after recovery", expected, self.promises, settled=not holds, unchanged=self.operation.unchanged)


def kill_once(world, operation, number, skip_pure, look_first=True):
    kill = Kill(world, operation)
    kill.at(number, skip_pure)
    if look_first:
        kill.look()
    kill.recover()
    return kill.outcome


def run_to_the_end(world, operation):
    world.bring_about(operation)
    if operation.left:
        leave_behind(world, operation)
    world.must(world.note(run(world.argv(operation.program, operation.command))), operation.statuses,
               "after recovery the operation is not possible")
    world.judge("after the operation was run to its end", "any", operation.promises,
                settled=not operation.guest_holds, unchanged=operation.unchanged)


# ---- All of them ---------------------------------------------------------------------------------

@dataclasses.dataclass
class Result:
    operation: str
    stops: int = 0              # of a run that survived
    kills: int = 0
    counted: int = 0            # of the run that was counted beforehand, if one was
    survived_at: str = "-"
    violations: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    places: set = dataclasses.field(default_factory=set)    # distinct calls, at entry or exit
    until: object = None        # begin no kill after that
    states: int = 0             # distinct ones that the kills left, not seen before (two_deep.py)
    second: int = 0             # kills of the recovery from them
    strayed: int = 0            # those that began from another state than they were meant to


class Harness:
    again_with = ""     # what else repeats a kill

    def __init__(self, options):
        self.options = options
        self.take, self.of = (int(n) for n in options.share.split("/"))
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.log = open(options.log, "w", encoding="utf-8") if options.log else None
        self.begun = time.monotonic()
        self.worlds = set()

    def say(self, text):
        with self.lock:
            print(text, flush=True)
            if self.log:
                print(text, file=self.log, flush=True)

    def in_share(self, number):
        return (number - self.options.start) % self.of < self.take

    def numbers(self, result):
        """The stops to kill at, endless; with a time limit, those of one counted run come first, in an
        order that is spread over all of it from the beginning."""
        if self.options.number:
            yield self.options.number
            return
        if self.options.seconds:
            yield 0
            result.counted = result.stops
            counted = [n for n in range(1, result.counted + 1) if self.in_share(n)]
            yield from sorted(counted, key=lambda n: n * 0.6180339887 % 1)
        yield from (n for n in itertools.count(result.counted + 1) if self.in_share(n))

    def new_world(self):
        world = World(self.options.bin, self.options.killer, self.options.work)
        self.worlds.add(world)
        try:
            world.begin()
        except BaseException:
            self.drop(world)
            raise
        return world

    def drop(self, world, keep=False):
        world.end(keep)
        self.worlds.discard(world)

    def again(self, operation, number):
        every = " --every-stop" if self.options.every_stop else ""
        return (f"{os.path.abspath(__file__)} --bin {self.options.bin} --operations {operation} "
                f"--number {number}{every}{self.again_with} --keep")

    def one_operation(self, operation, until):
        result = Result(operation.name, until=until)
        begun = time.monotonic()
        world = None
        survivals = 0
        again_at = AGAIN_KILLS
        try:
            for number in self.numbers(result):
                if self.stop.is_set():
                    result.survived_at = "broken off"
                    break
                if until and time.monotonic() > until:
                    result.survived_at = f"out of time{'' if result.counted else f' at {number}'}"
                    break
                try:
                    if world is None:
                        world = self.new_world()
                        again_at = AGAIN_KILLS
                    outcome = self.kill(world, operation, number, result)
                    if outcome.survived:
                        survivals += number > result.counted  # not the counted run, or one that was shorter
                        result.stops = max(result.stops, outcome.stops)
                        if survivals == 1 and number > result.counted:
                            result.survived_at = str(number)
                        if survivals == SURVIVALS:
                            break
                    else:
                        survivals = 0
                        if world.kills >= again_at:
                            run_to_the_end(world, operation)
                            again_at = world.kills + AGAIN_KILLS
                    if world.kills >= RENEW_KILLS:
                        self.drop(world)
                        world = None
                except Exception as violation:  # of the harness's own too: what was not seen is not in order
                    result.kills += 1
                    if not isinstance(violation, (Violation, judge.CouldNotLook)):
                        violation = f"the harness failed:\n{traceback.format_exc()}"
                    self.report(result, world, number, violation)
                    if world:
                        self.drop(world, keep=True)
                        world = None
                    if len(result.violations) >= VIOLATIONS_MAX:
                        result.survived_at = f"given up at {number}"
                        break
        finally:
            if world:
                if self.options.keep:
                    self.say(f"kept: {world.directory}")
                self.drop(world, keep=self.options.keep)
        result.seconds = time.monotonic() - begun
        return result

    def kill(self, world, operation, number, result):
        outcome = self.kill_and_recover(world, operation, number, result, look_first=True)
        if outcome.is_asynchronous():
            self.kill_and_recover(world, operation, number, result, look_first=False)
        return outcome

    def kill_and_recover(self, world, operation, number, result, look_first):
        outcome = kill_once(world, operation, number, not self.options.every_stop, look_first)
        if not outcome.survived:
            result.kills += 1
            result.places.add(outcome.where)
        self.note(operation.name, number, f"{'' if look_first else 'recovery at once: '}{outcome.where or 'survived'}")
        return outcome

    def note(self, *columns):
        if self.log:
            with self.lock:
                print(*columns, sep="\t", file=self.log, flush=True)

    def report(self, result, world, number, violation):
        result.violations.append(number)
        text = f"VIOLATION: {result.operation}, stop {number}: {violation}"
        if world:
            with contextlib.suppress(OSError), open(world.path("record"), encoding="utf-8", errors="replace") as file:
                text += "\n  last stops:\n    " + "    ".join(file.readlines()[-4:])
            with open(world.path("report"), "w", encoding="utf-8") as file:
                file.write(text + "\n\n" + "\n".join(world.log))
            text += f"\n  kept: {world.directory} (report, record, store s)"
        self.say(text + f"\n  again: {self.again(result.operation, number)}")

    def all(self):
        options = self.options
        work = queue.SimpleQueue()
        for name in options.operations:
            work.put(OPERATIONS[name])
        results = {}
        left = len(options.operations)

        def worker():
            nonlocal left
            while not self.stop.is_set():
                with self.lock:
                    try:
                        operation = work.get_nowait()
                    except queue.Empty:
                        return
                    until = None
                    if options.seconds:
                        now = time.monotonic()
                        share = (self.begun + options.seconds - now) * options.jobs / max(left, options.jobs)
                        until = now + share
                    left -= 1
                results[operation.name] = self.one_operation(operation, until)

        threads = [threading.Thread(target=worker) for _ in range(options.jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self.stop.set()
            self.say("broken off")
            for thread in threads:
                thread.join()
        return [results[name] for name in options.operations if name in results]


def print_table(harness, results):
    wide = max([len(r.operation) for r in results] + [9])
    say = harness.say
    say("")
    two_deep = harness.options.two_deep

    def row(name, of, places, seconds, survived_at, violations):
        second = "".join(f"{n:>8}" for n in of(("states", "second", "strayed"))) if two_deep else ""
        stops, kills = of(("stops", "kills"))
        say(f"{name:<{wide}}  {stops:>6}  {kills:>6}  {places:>6}{second}  {seconds:>7}  {survived_at:<20}  {violations}")

    row("operation", lambda names: names, "places", "seconds", "survived at", "violations")
    for r in results:
        row(r.operation, lambda names, r=r: [getattr(r, n) for n in names], len(r.places), f"{r.seconds:.0f}", r.survived_at,
            f"{len(r.violations)}{' at ' + ', '.join(map(str, r.violations)) if r.violations else ''}")
    violations = sum(len(r.violations) for r in results)
    row("total", lambda names: [sum(getattr(r, n) for r in results) for n in names],
        len({p for r in results for p in r.places}), f"{time.monotonic() - harness.begun:.0f}", "", violations)
    return violations


def find_killer(options, work):
    if options.killer:
        return options.killer
    built = os.path.join(options.bin or "", "killer")
    if os.access(built, os.X_OK):
        return built
    built = os.path.join(work, "killer")
    subprocess.run(["c++", "-std=c++20", "-O1", "-o", built, os.path.join(HERE, "killer.cc")], check=True)
    return built


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", help="where xlstore and xlfsck are (and killer; else it is compiled)")
    parser.add_argument("--operations", default=",".join(name for name, o in OPERATIONS.items() if not o.left),
                        help="some of: " + " ".join(OPERATIONS))
    parser.add_argument("--share", default="1/1", metavar="K/M", help="K of every M stops")
    parser.add_argument("--start", type=int, help="the first stop of the share; default: the turn")
    parser.add_argument("--number", type=int, help="this stop only")
    parser.add_argument("--two-deep", action="store_true", help="kill the recovery, too, from every distinct state")
    parser.add_argument("--retry", action="store_true", help="ask again at once, without a recovery")
    parser.add_argument("--second", type=int, help="with --two-deep and --number: this stop of the recovery only")
    parser.add_argument("--seconds", type=float, help="begin no kill after so many seconds")
    parser.add_argument("--jobs", type=int, default=2)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--skip-pure", action="store_true", help="leave out stops that change nothing outside (default)")
    which.add_argument("--every-stop", action="store_true")
    parser.add_argument("--log", help="a line for each kill, too")
    parser.add_argument("--keep", action="store_true", help="keep the directory of a good run as well")
    parser.add_argument("--work", default="/tmp", help="where the directories are made; a short path")
    parser.add_argument("--killer", help="the program killer")
    parser.add_argument("--self-test", action="store_true", help="prove that killer and judge are not blind")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))

    build = tempfile.mkdtemp(prefix="xk-build-", dir=options.work)
    try:
        options.killer = find_killer(options, build)
        if options.self_test:
            import self_test
            return self_test.run_all(options)
        if not options.bin:
            parser.error("--bin is needed")
        options.bin = os.path.abspath(options.bin)
        options.operations = options.operations.split(",")
        for name in options.operations:
            if name not in OPERATIONS:
                parser.error(f"no operation {name}; there are {', '.join(OPERATIONS)}")
        of = int(options.share.split("/")[1])
        if options.start is None:
            options.start = 1 + turn() % of
        if options.two_deep:
            import two_deep
            harness = two_deep.TwoDeep(options)
        elif options.retry:
            import retry
            harness = retry.Retry(options)
        else:
            harness = Harness(options)
        if not options.number:
            kind = "every stop" if options.every_stop else "stops that may change something outside"
            harness.say(f"killing at {kind}; share {options.share} from {options.start} "
                        f"(--share {options.share} --start {options.start} repeats it)")
        results = harness.all()
        violations = print_table(harness, results)
        return 1 if violations or harness.stop.is_set() or len(results) < len(options.operations) else 0
    finally:
        shutil.rmtree(build, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
