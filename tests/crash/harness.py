#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Kills xlstore at its 1st, 2nd, 3rd … system-call stop, on a real QEMU, until a run survives.

  harness.py --bin BUILD/bin [--operations insert,eject,…] [--share 1/10 [--start S]] [--jobs 2]
             [--kills K [--take N] | --seconds T] [--every-stop] [--number N] [--violations N] [--log FILE] [--keep]
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

What is run is a row of OPERATIONS (operations.py). README.md beside this file tells more.
"""

import argparse
import contextlib
import dataclasses
import itertools
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
import zlib

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import judge  # noqa: E402
from one_kill import kill_once, run_to_the_end  # noqa: E402
from operations import OPERATIONS  # noqa: E402
from worlds import Violation, World  # noqa: E402

RENEW_KILLS = 25            # kills that one store and QEMU live through
AGAIN_KILLS = 20            # every so many, the operation is run to its end after the recovery
SURVIVALS = 2               # in a row: the number of stops varies by a few from run to run
SPREAD = 0.6180339887


def turn():
    """Where a share of many points starts: XLSTORE_TURN, which ctest takes from the commit, or 0."""
    return int(os.environ.get("XLSTORE_TURN", "0"))


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

    def in_share(self, number, name):
        start, of = (self.options.slice or {}).get(name, (self.options.start, self.of))
        return (number - start) % of < self.take

    def numbers(self, result):
        """The stops to kill at, endless; with a time limit, those of one counted run come first, in an
        order that is spread over all of it from the beginning. With --kills so many, wherever --start has them."""
        if self.options.number:
            yield self.options.number
            return
        if self.options.kills:
            first = self.options.start * SPREAD + zlib.crc32(result.operation.encode()) / 2 ** 32
            for kill in range(self.options.kills):
                place = (first + kill * SPREAD) % 1
                before = result.kills
                yield 1 + int(place * (result.stops or OPERATIONS[result.operation].stops))
                if result.kills == before:
                    yield 1 + int(place * result.stops)     # it survived, and said how many stops it has
            return
        if self.options.seconds:
            yield 0
            result.counted = result.stops
            counted = [n for n in range(1, result.counted + 1) if self.in_share(n, result.operation)]
            yield from sorted(counted, key=lambda n: n * SPREAD % 1)
        yield from (n for n in itertools.count(result.counted + 1) if self.in_share(n, result.operation))

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
                        if survivals == SURVIVALS and not self.options.kills:
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
                    if len(result.violations) >= self.options.violations:
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

        ended = queue.SimpleQueue()

        def to_its_end():
            try:
                worker()
            finally:
                ended.put(None)

        for _ in range(options.jobs):
            threading.Thread(target=to_its_end).start()
        # A join() that was interrupted returns at once the next time (CPython 3.11), and worlds would be left behind.
        running = options.jobs
        while running:
            try:
                ended.get()
                running -= 1
            except KeyboardInterrupt:
                self.stop.set()
                self.say("broken off")
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


def slice_of(names, number, of):
    """Of so many slices with about as many stops each, one: its operations, and of each the first stop and the step. Few
    operations in each: a world for each of all of them takes longer than the kills in it."""
    stops = sum(OPERATIONS[name].stops for name in names)
    pieces = []
    for name in names:
        count = max(1, round(OPERATIONS[name].stops * of / stops))
        pieces += [(name, start, count) for start in range(1, count + 1)]
    return {name: (start, count) for name, start, count in pieces[number - 1::of]}


def find_killer(options, work):
    if options.killer:
        return options.killer
    built = os.path.join(options.bin or "", "killer")
    if os.access(built, os.X_OK):
        return built
    built = os.path.join(work, "killer")
    sources = [os.path.join(HERE, name) for name in ("call_record.cc", "effect.cc", "killer.cc")]
    top = os.path.dirname(os.path.dirname(HERE))
    subprocess.run(["c++", "-std=c++20", "-O1", "-I", top, "-o", built, *sources], check=True)
    return built


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bin", help="where xlstore and xlfsck are (and killer; else it is compiled)")
    parser.add_argument("--operations", default=",".join(name for name, o in OPERATIONS.items() if not o.left),
                        help="some of: " + " ".join(OPERATIONS))
    parser.add_argument("--share", default="1/1", metavar="K/M", help="K of every M stops")
    parser.add_argument("--start", type=int, help="the first stop of the share; default: the turn")
    parser.add_argument("--slice", metavar="I/N", help="the I-th of N parts of the whole, each of a few operations")
    parser.add_argument("--number", type=int, help="this stop only")
    parser.add_argument("--two-deep", action="store_true", help="kill the recovery, too, from every distinct state")
    parser.add_argument("--retry", action="store_true", help="ask again at once, without a recovery")
    parser.add_argument("--second-share", metavar="K/M", help="with --two-deep: K of every M stops of the recovery; default: --share")
    parser.add_argument("--second-states", action="store_true",
                        help="with --two-deep: kill the recovery at stops that leave what none before has left")
    parser.add_argument("--states", metavar="FILE", help="with --two-deep: states that other processes have done, and this one does")
    parser.add_argument("--second", type=int, help="with --two-deep and --number: this stop of the recovery only")
    parser.add_argument("--kills", type=int, help="so many of each operation, at stops that the turn chooses")
    parser.add_argument("--take", type=int, help="with --kills: so many of the operations, which the turn chooses")
    parser.add_argument("--seconds", type=float, help="begin no kill after so many seconds")
    parser.add_argument("--violations", type=int, default=5, help="of one operation, before it is given up")
    parser.add_argument("--jobs", type=int, default=2)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--skip-pure", action="store_true", help="omit stops that change nothing outside (default)")
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
        options.bin = options.bin and os.path.abspath(options.bin)
        options.killer = find_killer(options, build)
        if options.self_test:
            import self_test
            return self_test.run_all(options)
        if not options.bin:
            parser.error("--bin is needed")
        options.operations = options.operations.split(",")
        for name in options.operations:
            if name not in OPERATIONS:
                parser.error(f"no operation {name}; there are {', '.join(OPERATIONS)}")
        if options.slice:   # one of many may have no operation
            options.slice = slice_of(options.operations, *map(int, options.slice.split("/")))
            options.operations = list(options.slice)
        of = int(options.share.split("/")[1])
        if options.start is None:
            options.start = turn() if options.kills else 1 + turn() % of
        if options.take:
            at = options.start % len(options.operations)
            options.operations = (options.operations * 2)[at:at + options.take]
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
            share = f"--kills {options.kills}" if options.kills else f"--share {options.share}"
            harness.say(f"killing at {kind}; {share} --start {options.start} repeats it" if options.slice is None else
                        f"killing at {kind}; a slice: operation, first stop and step: {options.slice}")
        results = harness.all()
        violations = print_table(harness, results)
        return 1 if violations or harness.stop.is_set() or len(results) < len(options.operations) else 0
    finally:
        shutil.rmtree(build, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
