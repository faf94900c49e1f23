#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The eight-step race between a destruction, a creation and a hotplug, in every order of its steps.

  race.py --bin BUILD/bin [--share 1/20 [--start S]] [--order DCAADCDC]

What the xen-devel thread of 2018 was afraid of: a destruction that begins before the domain is there,
a creation, a hotplug in between, and a destruction that crashes before its end. Three real processes,
each stopped where the others may come in (XLSTORE_STOP_AT), and let go on one step at a time:

  D  destroy DOMID --uuid   has looked for the row | has marked, killed, cleaned up | is killed
  C  create                 has the row            | has QEMU's pid in the row      | to its end
  A  attach                 has its intent open    | to its end

Eight steps, 560 orders. A process that waits for another's lock goes on by itself when it gets it. In
every order the destruction has been told, so that in the end, after recovery, nothing may live: no
domain, no QEMU. Before recovery the judge must find the invariant whole.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import commands  # noqa: E402
import harness  # noqa: E402
import worlds  # noqa: E402
import judge  # noqa: E402

STEPS = {"D": 3, "C": 3, "A": 2}
ORDERS_OF_A_WORLD = 40      # as many go through one store
LOOK_SECONDS = 0.05
ASK_SECONDS = 0.3           # a process that is at work for so long may be waiting for a lock
END_SECONDS = 60.0
TABLET = json.dumps({"key": "tab", "steps": [
    {"execute": "device_add", "arguments": {"driver": "usb-tablet", "id": "tab", "bus": "xenusb-0.0"}}]})


def orders():
    """Every order of the steps, as the letters of who takes the next one."""
    letters = [letter for letter, count in STEPS.items() for _ in range(count)]
    return sorted(set(itertools.permutations(letters)))


class Actor:
    """A command that stops at each of these points."""

    def __init__(self, world, words, stops, dies=False):
        self.world = world
        self.argv = world.argv("xlstore", words)
        self.stops = stops
        self.dies = dies
        self.taken = 0
        self.running = None

    def step(self):
        self.taken += 1
        if self.running is None:
            self.running = commands.Running(self.argv, XLSTORE_STOP_AT=",".join(self.stops))
        elif self.is_stopped():
            last = self.taken == len(self.stops) + 1
            os.kill(self.pid, signal.SIGKILL if self.dies and last else signal.SIGCONT)
        self.settle()

    @property
    def pid(self):
        return self.running.process.pid

    def has_ended(self):
        return self.running.process.poll() is not None

    def is_stopped(self):
        return not self.has_ended() and judge.stat_fields(self.pid)[0] == b"T"

    def waits(self):
        """For a lock that another has: the file says so."""
        locks = json.loads(self.world.must(self.world.xlstore("--json", "locks")).out)
        return any(waiter["pid"] == self.pid for use in locks for waiter in use["waiters"])

    def settle(self):
        """Until it stops, ends, or waits for another."""
        begun = asked = time.monotonic()
        while not self.has_ended() and not self.is_stopped():
            time.sleep(LOOK_SECONDS)
            now = time.monotonic()
            if now - asked > ASK_SECONDS:
                if self.waits():
                    return
                asked = time.monotonic()
            if now - begun > END_SECONDS:
                raise worlds.Violation(f"{' '.join(self.argv)}: neither stops nor ends")

    def finish(self):
        """Its status; what it says is in the world's log."""
        until = time.monotonic() + END_SECONDS
        while not self.has_ended():
            if self.is_stopped():
                os.kill(self.pid, signal.SIGCONT)
            time.sleep(LOOK_SECONDS)
            if time.monotonic() > until:
                raise worlds.Violation(f"{' '.join(self.argv)}: does not end")
        return self.world.note(self.running.ended(self.running.process.returncode)).status

    def end(self):
        if self.running is not None and not self.has_ended():
            self.running.process.kill()
            self.running.process.wait()


def send_of_the_plan(world):
    """Which passing of qmp.before_send an attach is at once its intent is open."""
    world.must(world.xlstore("create", "7", "{config}", "--", "{qemu}"))
    for passing in range(1, 40):
        actor = Actor(world, ["attach", "7", "qemu", TABLET], [f"qmp.before_send:{passing}"])
        actor.step()
        found = len(judge.read_tables(world.store)["intent"])
        actor.end()
        if found:
            world.must(world.xlstore("destroy", "7"))
            return passing
    raise worlds.Violation("an attach sends nothing with its intent open")


def race(world, order, passing):
    """One order, to its end. Violation if it leaves anything behind."""
    with open(world.path("config.json"), encoding="utf-8") as file:
        uuid = json.load(file)["c_info"]["uuid"]
    actors = {
        "D": Actor(world, ["destroy", "7", "--uuid", uuid], ["destroy.before_mark:1", "destroy.before_end:1"], dies=True),
        "C": Actor(world, ["create", "7", "{config}", "--", "{qemu}"], ["spawn.before_fork:1", "spawn.before_start_barrier:1"]),
        "A": Actor(world, ["--timeout", "20", "attach", "7", "qemu", TABLET], [f"qmp.before_send:{passing}"]),
    }
    try:
        for letter in order:
            actors[letter].step()
        statuses = {letter: actor.finish() for letter, actor in actors.items()}
    finally:
        for actor in actors.values():
            actor.end()
    world.judge("before any recovery", "any")
    world.must(world.xlfsck("-p"), (0, 1), "recovery fails")
    world.must(world.xlfsck("-n"), (0,), "recovery left something")
    world.judge("after recovery", "none", ["domain:7=gone"], settled=True)
    return statuses


class World(worlds.World):
    def xlfsck(self, *words):
        return self.note(commands.run(self.argv("xlfsck", words)))


@contextlib.contextmanager
def a_world(options, work):
    world = World(options.bin, None, work)
    try:
        world.begin()
        yield world
    finally:
        world.end()


def chosen(options):
    every = orders()
    if options.order:
        return [tuple(options.order)], 0
    part, of = (int(n) for n in options.share.split("/"))
    start = harness.turn() % of if options.start is None else options.start
    return [order for n, order in enumerate(every) if (n - start) % of < part], start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--share", default="1/1")
    parser.add_argument("--start", type=int)
    parser.add_argument("--order")
    options = parser.parse_args()
    picked, start = chosen(options)
    print(f"{len(picked)} of {len(orders())} orders, share {options.share}, start {start}", flush=True)
    outcomes = {}
    bad = 0
    with tempfile.TemporaryDirectory(prefix="xr-") as work:
        for first in range(0, len(picked), ORDERS_OF_A_WORLD):
            with a_world(options, work) as world:
                passing = send_of_the_plan(world)
                for order in picked[first:first + ORDERS_OF_A_WORLD]:
                    world.log = []
                    try:
                        statuses = race(world, order, passing)
                        key = " ".join(f"{letter}={status}" for letter, status in statuses.items())
                        outcomes[key] = outcomes.get(key, 0) + 1
                    except (worlds.Violation, judge.CouldNotLook) as trouble:
                        bad += 1
                        print(f"order {''.join(order)}: {trouble}\n{''.join(world.log)}", flush=True)
                        break  # with a fresh world
    for key, count in sorted(outcomes.items()):
        print(f"{count:4}  {key}")
    print(f"{sum(outcomes.values())} orders, {bad} violations")
    return 1 if bad or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
