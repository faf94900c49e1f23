#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Records traces of real xlstore processes on a real QEMU, and holds them against the model.

    record.py --bin BUILD/bin [--share 1/6 [--start S]] [--stress SECONDS] [--only TEXT] [--keep DIRECTORY]

What is recorded is below; of the crash points of an operation, a share.
Then traces that were tampered with are replayed: each has to be refused.

Exit status: 0 as it has to be, 1 not, 77 there is no spin, or the programs write no traces.
"""

import argparse
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash")]
import commands  # noqa: E402
import harness as h  # noqa: E402
import operations  # noqa: E402
import worlds  # noqa: E402
import judge  # noqa: E402
import replay  # noqa: E402

STOP_SECONDS = 60.0
KILLS_MAX = 60      # at one crash point of one operation; it has survived long before
KILLED = -signal.SIGKILL


# ---- Recording -----------------------------------------------------------------------------------

class World(worlds.World):
    """Its processes write a trace, and how they end is noted in it."""

    def __init__(self, programs, work):
        super().__init__(programs, None, work)
        self.trace = self.path("trace")

    def start(self, *words, **environment):
        return commands.Running(self.argv("xlstore", words), XLSTORE_TRACE=self.trace, **environment)

    def wait(self, running):
        try:
            status = commands.wait_for(running.process, commands.COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
            status = "hangs"
        if status != KILLED:
            with open(self.trace, "a", encoding="utf-8") as file:
                file.write(f"{running.process.pid} ended\n")
        return self.note(running.ended(status))

    def xlstore(self, *words, **environment):
        return self.wait(self.start(*words, **environment))

    def bring(self, facts):
        """Each is made so; a command for what is so already may fail."""
        for _, words in facts:
            self.must(self.xlstore(*words), (0, 1, 4))

    def stopped(self, running):
        """Until it has stopped itself, or ended."""
        until = time.monotonic() + STOP_SECONDS
        while running.process.poll() is None and judge.stat_fields(running.process.pid)[0] != b"T":
            if time.monotonic() > until:
                raise worlds.Violation(f"it does not stop: {running.argv}")
            time.sleep(0.005)
        return running.process.returncode is None

    def go_on(self, running):
        running.process.send_signal(signal.SIGCONT)
        return self.wait(running)


ASK = ("--timeout", "2", "detach", "domid:7", "usbctrls", "1")
RECOVER = operations.need("", "recover")


def straight(world, _):
    """One after the other; refused, waiting for its guest and resumed, too."""
    for _, words in (operations.RUNNING, operations.TABLET, operations.NO_TABLET, operations.HOLDS_B, operations.HOLDS_A, operations.EMPTY, operations.DISK):
        world.must(world.xlstore(*words))
    world.must(world.xlstore(*operations.DISK[1]), (1,))
    for _, words in (operations.NO_DISK, operations.USBDEV, operations.NO_USBDEV, operations.USBCTRL):
        world.must(world.xlstore(*words))
    for words in (operations.BATCH_ALL, operations.BATCH_EACH):
        world.must(world.xlstore(*words))
    for words in (ASK, RECOVER[1], ASK):
        world.must(world.xlstore(*words), (3,))
    world.must(world.xlstore(*operations.GONE[1]))


def beside(world, _):
    """Two at once, for the same thing and for another; then both stopped on their way."""
    world.bring((operations.RUNNING, operations.EMPTY))
    for one, other in ((operations.TABLET, operations.TABLET), (operations.DISK, operations.HOLDS_A), (operations.NO_TABLET, operations.NO_DISK), (operations.EMPTY, operations.HOLDS_B),
                       (operations.USBDEV, RECOVER), (operations.NO_USBDEV, operations.USBDEV)):
        both = [world.start(*words) for _, words in (one, other)]
        for running in both:
            world.must(world.wait(running), (0, 1, 3, 4))
    world.bring((operations.GONE,))


SENDS = tuple(f"qmp.{point}:{n}" for point in ("before_send", "after_send", "before_receive") for n in (1, 2, 3, 4, 5))
COMMITS = tuple(f"commit.{point}:{n}" for point in ("before", "after") for n in (2, 3))
SPAWNS = tuple(f"spawn.{when}_{point}" for point in ("fork", "start_barrier") for when in ("before", "after"))
ENDS = tuple(f"destroy.{when}_{point}" for point in ("kill", "unlink") for when in ("before", "after"))


def stopped_meanwhile(world, in_share, before, words, places, *others):
    """At each place, others are run; then it goes on. One that stops in a commit has the writer lock: they give up."""
    for place in places:
        if not next(in_share):
            continue
        world.bring(before)
        late = world.start(*words, XLSTORE_STOP_AT=place)
        if world.stopped(late):
            for other in others:
                world.xlstore("--timeout", "1", *other)
        world.go_on(late)
        world.xlstore(*RECOVER[1])
    world.bring((operations.GONE,))


def lock_broken(world, in_share):
    """The slow lock is taken from an owner that lives, another works, the owner goes on."""
    stopped_meanwhile(world, in_share, (operations.RUNNING, operations.NO_TABLET, operations.EMPTY), operations.TABLET[1], SENDS,
                      ("locks", "--break", "domid:7", "--force"), operations.HOLDS_A[1])


def destroyed_beside(world, in_share):
    """A domain is destroyed while a client is at work on it, and the other way round."""
    stopped_meanwhile(world, in_share, (operations.RUNNING, operations.NO_TABLET), operations.TABLET[1], SENDS[::2] + COMMITS, operations.GONE[1])
    stopped_meanwhile(world, in_share, (operations.RUNNING,), operations.GONE[1], ENDS + COMMITS, operations.TABLET[1], operations.GONE[1])
    stopped_meanwhile(world, in_share, (operations.GONE,), operations.RUNNING[1], SPAWNS + COMMITS + SENDS[::2], operations.GONE[1])


def elsewhere(world, in_share):
    """A QEMU that another toolstack began: imported, registered, worked on; it dies, and another takes its path. The
    registration is killed and stopped on its way, and then another one comes first."""
    register = operations.REGISTER
    world.forget()
    world.must(world.xlstore("import", "7", "{config}"))
    world.must(world.xlstore(*operations.TABLET[1]), (1,))     # there is no QEMU to ask
    first = world.begin_elsewhere()
    operations.plug_odd(world)
    kills = 0
    for place in COMMITS:
        if next(in_share):
            kills += world.xlstore(*register, XLSTORE_CRASH_AT=place).status == KILLED
    world.must(world.xlstore(*register), (0, 1))
    for words in (operations.TABLET[1], operations.HOLDS_B[1], operations.NO_TABLET[1], operations.EMPTY[1],
                  ("detach", "domid:7", "qemu", "odd")):
        world.must(world.xlstore(*words))
    first.kill()
    first.wait()
    world.must(world.xlstore(*operations.TABLET[1]), (1,))     # its QEMU is dead
    world.begin_elsewhere()
    if next(in_share):
        late = world.start(*register, XLSTORE_STOP_AT="commit.before:2")
        if world.stopped(late):
            world.xlstore("--timeout", "1", *RECOVER[1])
        world.go_on(late)
    world.must(world.xlstore(*register), (0, 1))
    world.must(world.xlstore(*operations.TABLET[1]))
    world.must(world.xlstore(*operations.GONE[1]))
    return kills


def soft_reset(world, in_share):
    """The row gets another QEMU, into which its things are put; killed on its way, and gone on with."""
    again = ("soft-reset", "domid:7", "--", "{qemu}")
    world.bring((operations.RUNNING, operations.TABLET, operations.USBCTRL))
    world.must(world.xlstore(*again))
    world.must(world.xlstore(*operations.NO_TABLET[1]))
    world.must(world.xlstore(*operations.TABLET[1]))
    kills = 0
    for place in ("destroy.before_kill", *SPAWNS, *COMMITS, "commit.after:5", "commit.before:7", *SENDS[::4]):
        if next(in_share):
            kills += world.xlstore(*again, XLSTORE_CRASH_AT=place).status == KILLED
            world.must(world.xlstore(*RECOVER[1]), (0, 1, 3))
            world.must(world.xlstore(*again))
    world.must(world.xlstore(*operations.GONE[1]))
    return kills


def tombstone(world, in_share):
    """A destruction comes before the creation that it is meant for; each is killed, and stopped beside the other."""
    world.forget()
    uuid = json.loads(pathlib.Path(world.path("config.json")).read_text(encoding="utf-8"))["c_info"]["uuid"]
    destroy = ("destroy", "7", "--uuid", uuid)
    create = operations.RUNNING[1]
    world.must(world.xlstore(*destroy))
    world.must(world.xlstore(*create), (1,))
    world.must(world.xlstore(*create))
    world.must(world.xlstore(*destroy))
    kills = 0
    for words in (destroy, create):
        for place in COMMITS:
            if next(in_share):
                world.xlstore(*destroy)
                kills += world.xlstore(*words, XLSTORE_CRASH_AT=place).status == KILLED
                world.xlstore(*create)
    both = [world.start(*words) for words in (create, destroy, create)]
    for running in both:
        world.must(world.wait(running), (0, 1))
    world.xlstore(*destroy)
    return kills


# name, what there is before, what is killed, and where
PLAN = ("commit.before", "commit.after", "qmp.before_connect", "qmp.after_connect", "qmp.before_send",
        "qmp.after_send", "qmp.before_receive", "qmp.after_receive")
KILLED_AT = (
    ("attach", (operations.RUNNING, operations.NO_TABLET), operations.TABLET[1], PLAN),
    ("attach a disk", (operations.RUNNING, operations.NO_DISK), operations.DISK[1], PLAN),
    ("detach a disk", (operations.RUNNING, operations.DISK), operations.NO_DISK[1], PLAN),
    ("swap", (operations.RUNNING, operations.HOLDS_A), operations.HOLDS_B[1], PLAN),
    ("batch", (operations.RUNNING, operations.NO_CHARDEV, operations.NO_TABLET), operations.BATCH_ALL, PLAN),
    ("create", (operations.GONE,), operations.RUNNING[1], SPAWNS + PLAN),
    ("destroy", (operations.RUNNING,), operations.GONE[1], (*PLAN[:2], *ENDS)),
)


def killed(what, world, in_share):
    """At each passing of each point, in turn, and recovered."""
    before, words, points = what
    kills = 0
    for point in points:
        for number in range(1, KILLS_MAX):
            if not next(in_share):
                continue
            world.bring(before)
            ended = world.xlstore(*words, XLSTORE_CRASH_AT=f"{point}:{number}")
            world.must(world.xlstore(*RECOVER[1]), (0, 1, 3))
            if ended.status != KILLED:
                break
            kills += 1
    return kills


# ---- Traces that are wrong -----------------------------------------------------------------------

class Tampered:
    """A trace with something moved, taken out or put in; the line that has to be refused."""

    def __init__(self, what, lines):
        self.what = what
        self.lines = list(lines)
        self.expected = None

    def find(self, pattern, after=0):
        return next(at for at in range(after, len(self.lines)) if pattern in self.lines[at])

    def move(self, at, before):
        self.lines.insert(before, self.lines.pop(at))

    def text(self):
        return "\n".join(self.lines) + "\n"


def tampered(text):
    """Of what straight() wrote: its first lines are a creation, an attach, a detach."""
    lines = text.splitlines()

    one = Tampered("R10: a command is sent before its intent", lines)
    one.move(one.find(" sending "), one.find(" intent "))
    one.expected = " sending "
    yield one

    one = Tampered("R16: an add without a look", lines)
    del one.lines[one.find(" probed ")]
    one.expected = " open intent"
    yield one

    one = Tampered("R11: a look without a connection", lines)
    del one.lines[one.find(" connected ", one.find(" probed ") - 2)]
    one.expected = " probed "
    yield one

    one = Tampered("R4: settled after the lock was given back", lines)
    settled = one.find(" settled ")
    one.move(one.find(" slow.given ", settled), settled)
    one.expected = " settle intent"
    yield one

    one = Tampered("R3: two hold the slow lock", lines)
    given = one.find(" slow.given ", one.find(" settled "))
    one.move(one.find(" slow.taken ", given), given)
    one.expected = " slow.taken "
    yield one

    one = Tampered("R15: a commit after the lock was broken", lines)
    settled = one.find(" settled ")
    one.lines[settled:settled] = [f"1 slow.broken {lines[settled].split()[2]}", "1 ended"]
    one.expected = " settle intent"
    yield one

    one = Tampered("R5: settled without a command", lines)
    sending = one.find(" sending ")
    del one.lines[sending:sending + 2]
    one.expected = " settle intent"
    yield one

    one = Tampered("R13: the start barrier opens before the pid is in the row", lines)
    one.move(one.find(" start_barrier "), one.find(" register"))
    one.expected = " start_barrier "
    yield one

    one = Tampered("R9: the document goes before QEMU is seen dead", lines)
    one.move(one.find(" destroy.end "), one.find(" destroy.dead "))
    one.expected = " destroy.end "
    yield one

    one = Tampered("R14: killed without a mark", lines)
    del one.lines[one.find(" destroy.mark ")]
    one.expected = " destroy.dead "
    yield one


def tampered_elsewhere(text):
    """Of what elsewhere() wrote."""
    lines = text.splitlines()

    one = Tampered("R11: a command is sent to a QEMU that is not registered", lines)
    registered = one.find(" register running")
    sending = one.find(" sending ", registered)
    one.lines.insert(registered, one.lines[sending])
    one.expected = " sending "
    yield one

    one = Tampered("R14: a second QEMU is registered beside one that is", lines)
    # One whose commit is known to have had its effect: its process went on.
    registered = next(at for at, line in enumerate(lines) if " register running" in line and
                      f"{line.split()[0]} slow.given 1" in lines[at:])
    one.lines.insert(registered, lines[registered])
    one.expected = " register running"
    yield one


def tampered_tombstone(text):
    """Of what tombstone() wrote: a tombstone, a creation that uses it up, one that does not."""
    lines = text.splitlines()

    one = Tampered("R14: a creation passes a tombstone", lines)
    del one.lines[one.find(" forestalled ")]
    one.expected = " row "
    yield one

    one = Tampered("R14: a creation is refused, and there is no tombstone", lines)
    del one.lines[one.find(" tombstone ")]
    one.expected = " forestalled "
    yield one


def tampered_reset(text):
    """Of what soft_reset() wrote."""
    lines = text.splitlines()

    one = Tampered("R14: the new QEMU is begun before the old one is seen dead", lines)
    gone = one.find(" unregister QEMU")
    one.move(gone, one.find(" spawned ", gone) + 1)
    one.expected = " spawned "
    yield one


TAMPERED = {straight: tampered, elsewhere: tampered_elsewhere, tombstone: tampered_tombstone, soft_reset: tampered_reset}
QEMU_DEATHS = {elsewhere: 1}    # of themselves


def check_tampered(wrong_traces, replayer):
    wrong = 0
    for one in wrong_traces:
        refused = [at for _, at in replay.replay(one.text(), replayer)[2]]
        good = len(refused) == 1 and one.expected in one.lines[refused[0] - 1]
        wrong += not good
        print(f"{'refused' if good else 'NOT REFUSED'}: {one.what}"
              f"{'' if good else f': {[one.lines[at - 1] for at in refused]}'}", flush=True)
    return wrong


# ---- All of it -----------------------------------------------------------------------------------

def shares(text, start):
    """Forever: is the next one in the share?"""
    take, of = (int(n) for n in text.split("/"))
    number = -start
    while True:
        yield number % of < take
        number += 1


class Recorder:
    def __init__(self, options, place):
        self.options = options
        self.in_share = shares(options.share, options.start)
        self.replayers = [replay.Replayer(place, deaths) for deaths in (0, 1)]
        self.traces = self.steps = self.kills = self.wrong = 0

    def record(self, name, scenario):
        """And replay it."""
        begun = time.monotonic()
        world = World(self.options.bin, self.options.work)
        try:
            world.begin()
            self.kills += scenario(world, self.in_share) or 0
        except worlds.Violation as violation:    # the trace may tell why
            self.found(f"{name}: {violation}")
        finally:
            trace = pathlib.Path(world.trace)
            text = trace.read_text(encoding="utf-8") if trace.exists() else ""
            world.end()
        self.replay(name, text, begun, QEMU_DEATHS.get(scenario, 0))
        if scenario in TAMPERED and not self.wrong:
            self.wrong += check_tampered(TAMPERED[scenario](text), self.replayers[QEMU_DEATHS.get(scenario, 0)])

    def stress(self, seconds):
        """What ../crash/stress.py does, which kills QEMUs, too. Whether it tried enough is not asked here."""
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="xs-trace-", dir=self.options.work) as place:
            trace = pathlib.Path(place) / "trace"
            done = subprocess.run([sys.executable, str(HERE.parent / "crash" / "stress.py"), "--bin", self.options.bin,
                                   "--seconds", str(seconds), "--seed", str(self.options.start)],
                                  env=dict(os.environ, XLSTORE_TRACE=str(trace)), stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            text = trace.read_text(encoding="utf-8") if trace.exists() else ""
        if "VIOLATION" in done.stdout or done.returncode not in (0, 1):
            self.found(f"stress: {done.stdout}")
        self.replay("stress", text, begun, 1)

    def found(self, what):
        self.wrong += 1
        print(what, flush=True)

    def replay(self, name, text, begun, qemu_deaths):
        # A share of kills may all come before there is anything to write: the first recording has none.
        # What failed is no reason to skip.
        if self.traces == 0 and not self.wrong and " slow.taken " not in text and " tombstone " not in text:
            print("these programs write no traces")
            sys.exit(replay.SKIPPED)
        if self.options.keep:
            self.options.keep.mkdir(exist_ok=True)
            (self.options.keep / name.replace(": ", "-").replace(" ", "-")).write_text(text, encoding="utf-8")
        recorded = time.monotonic()
        found = replay.replay(text, self.replayers[qemu_deaths])
        replay.report(name, text, *found)
        print(f"  recorded in {recorded - begun:.0f} s, replayed in {time.monotonic() - recorded:.0f} s", flush=True)
        self.traces += 1
        self.steps += found[0]
        self.wrong += len(found[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=os.path.abspath, help="where xlstore is, with crash points")
    parser.add_argument("--share", default="1/1", metavar="K/M", help="of the crash points, K of every M passings")
    parser.add_argument("--start", type=int, default=h.turn(),
                        help="the first of the share; default: the turn")
    parser.add_argument("--stress", type=float, default=0, metavar="SECONDS", help="of ../crash/stress.py; default: none")
    parser.add_argument("--only", default="", metavar="TEXT", help="the recordings that have it in their name")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIRECTORY", help="put the traces there")
    parser.add_argument("--work", default="/tmp", help="where directories are made; a short path")
    options = parser.parse_args()
    if not shutil.which("spin"):
        print("there is no spin")
        sys.exit(replay.SKIPPED)
    print(f"share {options.share} (--share {options.share} --start {options.start} repeats it)", flush=True)
    recordings = {scenario.__name__: scenario for scenario in (straight, beside, lock_broken, destroyed_beside, elsewhere,
                                                                   soft_reset, tombstone)}
    recordings |= {f"killed: {name}": functools.partial(killed, rest) for name, *rest in KILLED_AT}
    with tempfile.TemporaryDirectory(prefix="xlstore-replay-") as place:
        recorder = Recorder(options, place)
        for name, scenario in recordings.items():
            if options.only in name:
                recorder.record(name, scenario)
        if options.stress:
            recorder.stress(options.stress)
    print(f"{recorder.traces} traces, {recorder.steps} steps, {recorder.kills} kills; {recorder.wrong} wrong")
    sys.exit(recorder.wrong != 0)


if __name__ == "__main__":
    main()
