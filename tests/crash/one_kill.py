# SPDX-License-Identifier: MIT
"""One kill of an operation, and what has to hold after it."""

import dataclasses
import json
import os
import signal
import sys

from commands import COMMAND_SECONDS, Running, run, to_its_end
from worlds import Violation

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import asked  # noqa: E402  pylint: disable=wrong-import-position

KILLED = 99                 # what killer ends with


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


def killer_of(world, number, skip_pure, program, words, *more):
    pure = ["--skip-pure"] if skip_pure else []
    return [world.killer, str(number), *pure, *more, "--record", world.path("record"), "--", *world.argv(program, words)]


def kill_at(world, number, skip_pure, program, words):
    """One command under the killer: how it ended, and where it was killed."""
    return outcome_of(world, number, run(killer_of(world, number, skip_pure, program, words)))


def kill_where(world, skip_pure, program, words, kill_here):
    """The same, killed at the first stop of which `kill_here(number, call)` says so."""
    number = 0

    def is_here(stop, call):
        nonlocal number
        number = stop
        return kill_here(stop, call)

    running = asked.under_killer(
        lambda fd: Running(killer_of(world, 0, skip_pure, program, words, "--ask", str(fd)), keep=[fd]), is_here, COMMAND_SECONDS)
    return outcome_of(world, number, to_its_end(running))


def outcome_of(world, number, ended):
    world.note(ended)
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
        return seen

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
