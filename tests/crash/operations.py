# SPDX-License-Identifier: MIT
"""The operations that are killed: start state, command, what its success promises. To add one, add a row."""

import dataclasses
import json

from commands import run

DOMID = 7
DRIVE = "ide-5632"          # hdc


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
    stops: int = 280            # that a run has, about: where a kill lies that is one of a few (--kills)


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
NAMED = need("name:7={name}", "rename", "domid:7", "{name}")
RENAMED = need("name:7=renamed", "rename", "domid:7", "renamed")
CLOSED = need("closed:7=yes", "close", "domid:7", "--reason", "moves to another host")


# ---- What is done behind the store's back ----

def lose_tablet(world):
    """An administrator takes it out by a monitor of their own; xlfsck calls the entry stale."""
    if not world.holds(TABLET[0]):
        world.must(world.xlstore(*TABLET[1]))
    world.ask("device_del", id="tablet")
    world.must(world.note(run(world.argv("xlfsck", ["-p"]))), (1,), "xlfsck -p of an entry without its thing")


STALE_TABLET = need("entry:qemu/tablet=stale", lose_tablet)


def plug_odd_device(world):
    world.ask("device_add", driver="usb-tablet", id="odd", bus="xenusb-0.0")


def plug_odd(world):
    plug_odd_device(world)
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


def need_odd(plug):
    return (need("entry:qemu/odd=absent", "destroy", "domid:7"), RUNNING, need("device:odd=present", plug))


NEED_ODD = need_odd(plug_odd)
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
    Operation("ask_guest", (RUNNING, USBCTRL), ("--timeout", "1", "detach", "domid:7", "usbctrls", "1"), (),
              anew=True, guest_holds=True, statuses=(3,)),
    Operation("attach_vcpu", (RUNNING,), VCPU[1], (VCPU[0], "entry:vcpus/1=present"), anew=True),
    Operation("batch_all", (RUNNING, NO_CHARDEV, NO_TABLET), BATCH_ALL,
              (CHARDEV[0], TABLET[0], "entry:qemu/c1=present", "entry:qemu/tablet=present")),
    Operation("batch_each", (RUNNING, TABLET, HOLDS_A), BATCH_EACH, (NO_TABLET[0], HOLDS_B[0]), stops=410),
    Operation("create", (GONE,), RUNNING[1], (RUNNING[0], "qemu=running"), qemu="begins", stops=420),
    Operation("create_inserting", (GONE,), ("create", "7", "{config}", "--", "{qemu, empty}"),
              (RUNNING[0], HOLDS_A[0], "qemu=running"), qemu="begins", stops=550),
    Operation("destroy", (RUNNING,), GONE[1], (GONE[0], "qemu=none"), qemu="ends"),
    Operation("attach_two", (RUNNING, NO_TWO), TWO[1], (TWO[0], "device:two-a=present", "entry:qemu/two=present")),
    Operation("detach_two", (RUNNING, TWO), NO_TWO[1], (NO_TWO[0], "device:two-a=absent", "entry:qemu/two=absent")),
    Operation("ask_guest_two", (RUNNING, TWO_PCI), ("--timeout", "1", "detach", "domid:7", "qemu", "pci"), (),
              anew=True, guest_holds=True, statuses=(3,), stops=350),
    # Refused, and nothing is another's for it.
    Operation("attach_second_image", (RUNNING, TABLET), SECOND_IMAGE,
              (TABLET[0], "device:other=absent", "entry:qemu/tablet=present"), statuses=(1,), unchanged=True, stops=180),
    Operation("detach_stale", (RUNNING, STALE_TABLET), NO_TABLET[1],
              (NO_TABLET[0], "entry:qemu/tablet=absent"), unchanged=True),
    Operation("soft_reset", (RUNNING, TABLET, USBCTRL_2, USBCTRL), ("soft-reset", "domid:7", "--", "{qemu}"),
              (RUNNING[0], "qemu=running", TABLET[0], *SLOTS), qemu="anew", anew=True, stops=800),
    Operation("close", (RUNNING, OPEN), CLOSED[1], (CLOSED[0],), unchanged=True, stops=180),
    Operation("reopen", (RUNNING, CLOSED), OPEN[1], (OPEN[0],), unchanged=True, stops=160),
    Operation("rename", (RUNNING, NAMED), RENAMED[1], (RENAMED[0], RUNNING[0]), unchanged=True, stops=170),
    Operation("preserve", (RUNNING,), ("preserve", "domid:7", "kept"), ("name:7=kept", RUNNING[0]), anew=True, unchanged=True,
              stops=170),
    Operation("adopt_one", need_odd(plug_odd_device), ("adopt", "domid:7", "qemu/odd"), ADOPTED[:2], unchanged=True, tolerated=ODD[:1]),
    Operation("forget", (RUNNING, STALE_TABLET), ("forget", "domid:7", "qemu/tablet"), ("entry:qemu/tablet=absent",),
              unchanged=True),
    Operation("import", (GONE,), ("import", "7", "{config}"), (RUNNING[0], "entry:disks/hdc=present"), qemu="begins", stops=170),
    Operation("adopt", NEED_ODD, ("-p",), ADOPTED, program="xlfsck", statuses=(1,), unchanged=True, tolerated=ODD, stops=640),
    Operation("adopt_all", NEED_ODD, ("-y",), ADOPTED, program="xlfsck", statuses=(1,), unchanged=True, tolerated=ODD, stops=640),
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
    Operation("python_attach", (RUNNING, NO_MOUSE), ("domid:7",), MOUSE, program="attach_usb.py", stops=180),
    # It recovers at its start: killed while it settles what a crash left, or while it goes on from there.
    Operation("eventloop_recovers", (RUNNING, NO_TABLET, NO_MOUSE), ("domid:7",), MOUSE, program="eventloop",
              left=("commit.before:3", TABLET[1])),
    recovery("recover_undone", TABLET[1], "commit.after:2", (RUNNING, NO_TABLET)),
    recovery("recover_done", TABLET[1], "commit.before:3", (RUNNING, NO_TABLET)),
    recovery("recover_emptied", HOLDS_B[1], "qmp.before_send:7", (RUNNING, HOLDS_A)),
    recovery("recover_disk", DISK[1], "qmp.before_send:9", (RUNNING, NO_DISK)),
    recovery("recover_batch", BATCH_ALL, "qmp.before_send:5", (RUNNING, NO_CHARDEV, NO_TABLET)),
    recovery("recover_create", RUNNING[1], "spawn.after_start_barrier", (GONE,)),
    recovery("recover_destroy", GONE[1], "destroy.before_kill", (RUNNING,)),
)}
