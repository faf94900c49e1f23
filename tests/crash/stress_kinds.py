# SPDX-License-Identifier: MIT
"""What the workers of stress.py do, and what befalls the processes meanwhile. To add an operation, add a row."""

import dataclasses
import signal

import operations
import stress_xenstore


@dataclasses.dataclass(frozen=True)
class Kind:
    """An operation. Its things are named by their entries, "life" is the domain itself."""
    name: str
    command: tuple
    needs: dict             # thing: what it may be beforehand
    makes: dict             # thing: (what it is afterwards, promises as judge.py has them)
    weight: float = 1.0
    program: str = "xlstore"
    done: tuple = (0,)      # exit statuses


def attaching(name, thing, weight=1.0):
    return Kind(name, operations.OPERATIONS[name].command, {thing: ("absent",), "life": ("running",)},
                {thing: ("present", operations.OPERATIONS[name].promises)}, weight)


def detaching(name, thing):
    return Kind(name, operations.OPERATIONS[name].command, {thing: ("present",), "life": ("running",)},
                {thing: ("absent", operations.OPERATIONS[name].promises)})


def medium(name, fact, before, after):
    return Kind(name, fact[1], {"disks/hdc": before, "life": ("running",)}, {"disks/hdc": (after, (fact[0],))})


ATTACHES = (attaching("attach_usb", "qemu/tablet"), attaching("attach_chardev", "qemu/c1"),
            attaching("attach_disk", "qemu/disk", 2.0), attaching("attach_usbdev", "usbdevs/0.3"))
DETACHES = (detaching("detach_usb", "qemu/tablet"), detaching("detach_chardev", "qemu/c1"),
            detaching("detach_disk", "qemu/disk"), detaching("detach_usbdev", "usbdevs/0.3"))
TABLET, CHARDEV = ATTACHES[:2]
THINGS = ("disks/hdc", *(thing for kind in ATTACHES for thing in kind.makes), *stress_xenstore.THINGS)
AS_BORN = {"disks/hdc": ("a", (operations.HOLDS_A[0],)), **{t: m for kind in DETACHES for t, m in kind.makes.items()},
           **dict.fromkeys(stress_xenstore.THINGS, ("absent", ()))}
ANY_LIFE = ("running", "dead", "gone", None)    # None: not known, which fits no other need
LOOK_AT = Kind("look", ("sql", "{look}"), {"life": ANY_LIFE}, {}, 0.5)

KINDS = (
    medium("insert", operations.HOLDS_A, ("empty", "b"), "a"),
    medium("insert", operations.HOLDS_B, ("empty", "a"), "b"),
    medium("eject", operations.EMPTY, ("a", "b"), "empty"),
    *ATTACHES, *DETACHES,
    Kind("batch_all", operations.BATCH_ALL, TABLET.needs | CHARDEV.needs, TABLET.makes | CHARDEV.makes, 4.0),
    Kind("create", operations.RUNNING[1], {"life": ("gone",)},
         {**AS_BORN, "life": ("running", operations.OPERATIONS["create"].promises)}, 8.0),
    Kind("destroy", operations.GONE[1], {"life": ("running", "dead", None)},
         {**dict.fromkeys(AS_BORN, (None, ())), "life": ("gone", operations.OPERATIONS["destroy"].promises)}, 0.3),
    Kind("recover", ("recover",), {"life": ANY_LIFE}, {}, 0.5),
    Kind("recover", ("recover", "domid:7"), {"life": ("running", "dead", None)}, {}, 0.5),
    Kind("xlfsck", ("-p",), {"life": ANY_LIFE}, {}, 0.7, "xlfsck", (0, 1)),
    LOOK_AT,
)
XENSTORE_KINDS = tuple(stress_xenstore.kinds(Kind))
LOOK = """SELECT d.state, d.qemu_pid, t.class || '/' || t.key AS thing, t.state AS entry, t.json
          FROM domain d LEFT JOIN thing t ON t.domain = d.id WHERE d.state <> 'destroyed' AND d.domid = """

# What happens to the process meanwhile: (weight, what it is sent, in turn).
KILL_QEMU = "kill its QEMU"
STOPS_ITSELF = "stops itself"   # at a crash point: most of a process's time is spent on other things
FATES = {
    "runs": (40, ()),
    "stopped": (10, (signal.SIGSTOP, signal.SIGCONT)),
    "killed": (9, (signal.SIGKILL,)),
    "killed while stopped": (4, (signal.SIGSTOP, signal.SIGKILL)),
    "killed once continued": (4, (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL)),
    "stopped within": (11, (STOPS_ITSELF, signal.SIGCONT)),
    "killed within": (19, (STOPS_ITSELF, signal.SIGKILL)),
    "its QEMU killed": (3, (KILL_QEMU,)),
}
UNDISTURBED = "runs"
# Crash points that a process may stop at, and how many passings of each are tried from which on. Most
# of the first commands ask what is there: the plans of these kinds begin with the fourth or so.
COMMITS = {"commit.before": (1, 3), "commit.after": (1, 3)}
PLANS = COMMITS | {f"qmp.{point}": (3, 7) for point in ("before_send", "after_send", "before_receive", "after_receive")}
POINTS_OF = {
    "create": PLANS | {f"spawn.{point}": (1, 1) for point in ("before_fork", "after_fork", "before_start_barrier", "after_start_barrier")},
    "destroy": COMMITS | {f"destroy.{point}": (1, 1) for point in ("before_kill", "after_kill", "before_unlink", "after_unlink")},
    "recover": COMMITS,
    "xlfsck": COMMITS,
    "look": {},     # it writes nothing
    **stress_xenstore.POINTS_OF,
}

OUTCOMES = ("done", "refused", "not done", "in doubt", "killed")
# The start state did not allow it: another worker was faster. Counted apart.
REFUSALS = {"gone", "exists", "not_found", "no_qemu", "lost"}
# Nothing touches locks or database behind the store's back here, and no command line is wrong.
NEVER = {"invalid", "order", "store"}
LOST = "lost"   # never either, but for an intent that the domain's destroyer closed (R9)
