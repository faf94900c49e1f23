# SPDX-License-Identifier: MIT
"""The second level: the recovery is killed as well, at each of its stops, from every distinct state that
the first level leaves. See README.md; run by `harness.py --two-deep`.

A state is what a recovery can find: the rows but for times, pids and numbers that only count; who claims a
lock since the kill; which files lie in `run`; whether QEMU lives, and its lists as the judge sees them. To
come back to a state the store's files are put back into themselves, if the same QEMU has what it had then; the
state is looked at anew, and has to be that one. Where the recovery has changed QEMU, the same operation is killed
at the same stop again. It may leave another state then: the recovery is killed all the same, and it is counted as
strayed.
"""

import hashlib
import itertools
import json
import os
import pathlib
import re
import sys
import tempfile
import time

import harness
import one_kill
import worlds
import judge

sys.path.insert(0, os.path.join(harness.HERE, "..", "support"))
from kept import Kept  # noqa: E402  pylint: disable=wrong-import-position

SHIFT = 80              # so much lower may the number of a stop be in another run, which waits shorter
SAMPLE = 4              # kills of the recovery from one state when there is a limit
OPERATION_SECONDS = 10  # what an operation gets at least then
# store/model/numbers.cc: format, inode, birth, commits, the highest id of each of these, sum
NUMBERS = "xlstore-numbers-1"
NUMBERED = ("session", "domain", "thing", "intent", "history")


def plain(world, rows, value):
    """Without what differs from one world, or from one kill, to the next."""
    text = json.dumps(value, sort_keys=True)
    for domain in rows:
        for word, instead in ((domain["uuid"], "UUID"), (domain["name"], "NAME")):
            text = text.replace(word, instead)
    text = text.replace(world.directory, "DIR")
    return json.loads(re.sub(r"qmp-\d+|qemu-\d+", lambda found: found[0].split("-")[0] + "-N", text))


def lines_of_locks(world):
    """(file, words) of each line in the lock files."""
    for name in ("locks", "slow"):
        with open(os.path.join(world.store, name), "rb") as file:
            for text in re.split(rb"[\0\n]+", file.read()):
                yield name, text.decode(errors="replace").split()


def claims(world):
    """Who is written down as holder or waiter, with the pid that tells a new claim from an old one."""
    return {(name, *words) for name, words in lines_of_locks(world) if len(words) > 4 and words[0] != NUMBERS}


def memories(world, tables):
    """By how much the numbers that the directory remembers (R17) are below those of the database: its commits and ids. The
    numbers themselves only count."""
    ids = {row["name"]: row["seq"] for row in tables["sqlite_sequence"]}
    now = [tables["store"][0]["commits"], *(ids.get(name, 0) for name in NUMBERED)]
    return [(name, *(mine - int(word) for mine, word in zip(now, words[3:9], strict=True)))
            for name, words in lines_of_locks(world) if words and words[0] == NUMBERS]


def qemus_of(world, look=None):
    """The QEMUs of the world, and what they have: by a look of the judge's, or asked now."""
    if look:
        pids, seen = look["qemus"], [look["seen"]] if look["seen"] else []
    else:
        pids, _ = judge.processes_with(world.directory)
        seen = [judge.query_qemu_twice(world.path("judge"), pid) for pid in pids]
    return sorted(pids), [{
        **{kind: sorted(one[kind]) for kind in ("device", "anonymous", "object", "node", "chardev", "netdev")},
        "media": one["media"], "unused fdsets": sorted(one["unused_fdsets"].values())} for one in seen]


def state_of(world, old_claims, pids, qemus):
    """The state that a kill left, as JSON has it."""
    tables = judge.read_tables(world.store)
    living = [d for d in tables["domain"] if d["state"] != "destroyed"]
    state = {
        "claims": sorted({(name, *words[4:]) for name, *words in claims(world) - old_claims}),
        "memories": memories(world, tables),
        "dead sessions": len(tables["session"]),
        "tombstones": len(tables["tombstone"]),
        "run": sorted(os.listdir(world.path("s/run"))),
        "domains": [],
        "QEMUs": qemus,
    }
    for domain in living:
        rows = judge.Rows(tables, domain)
        keys = {t["id"]: f"{t['class']}/{t['key']}" for t in rows.things}
        state["domains"].append({
            **{name: domain[name] for name in ("domid", "state", "layout", "monitor_path", "monitor_handed_in")},
            **{f"has {name}": domain[name] is not None for name in ("creator", "born_us", "peer_pid", "initial_from")},
            "qemu": domain["qemu_pid"] and ("lives" if domain["qemu_pid"] in pids else "dead"),
            "document": [(m["rank"], m["key_text"], m["text"]) for m in tables["document_member"]
                         if m["domain"] == domain["id"]],
            "things": sorted((keys[t["id"]], t["primary_at"], t["state"], t["json"]) for t in rows.things),
            "products": sorted((kind, name, keys[thing]) for (kind, name), thing in rows.products.items()),
            "intents": sorted(
                [keys[i["thing"]], i["operation"], i["batch"] is not None, i["asked_us"] is not None,
                 domain["epoch"] - i["epoch"], re.sub(r"\d+", "N", i["note"]),
                 *(i[name] or "" for name in ("image_before", "image_after", "image_neither", "image_stale", "plan",
                                              "probe"))]
                for i in rows.intents)})
    return plain(world, living, state)


def name_of(state):
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12]


def in_short(state):
    """A line for the log."""
    words = []
    for domain in state["domains"]:
        words.append(f"domain {domain['state']}, qemu {domain['qemu']}")
        words += [f"{key} {what}" for key, _, what, _ in domain["things"] if what != "present"]
        words += [f"intent {key} {operation}" for key, operation, *_ in domain["intents"]]
    words += [f"claimed: {' '.join(claim)}" for claim in state["claims"]]
    words += [f"fdset {names}" for qemu in state["QEMUs"] for names in qemu["unused fdsets"]]
    return "; ".join(words) or "nothing"


class Left:
    """What a first kill left, and the way back to it."""

    def __init__(self, world, operation, number, skip_pure):
        self.world = world
        self.kill = one_kill.Kill(world, operation)
        self.old = claims(world)
        self.kill.at(number, skip_pure)
        self.pids, self.qemus = qemus_of(world, self.kill.look())
        self.state = state_of(world, self.old, self.pids, self.qemus)
        self.name = name_of(self.state)
        self.kept = []
        self.kills = world.kills

    def keep(self):
        store = pathlib.Path(self.world.store)
        aside = pathlib.Path(tempfile.mkdtemp(prefix="kept-", dir=self.world.directory))
        self.kept = [Kept(store), Kept(store / "run", aside)]

    def come_back(self):
        """False: QEMU is another, or has something else than then, and nothing was touched."""
        if qemus_of(self.world) != (self.pids, self.qemus):
            return False
        for kept in self.kept:
            kept.put_back()
        self.world.kills = self.kills
        self.world.log.clear()
        now = state_of(self.world, self.old, self.pids, self.qemus)
        if name_of(now) != self.name:
            raise worlds.Violation(f"put back, the state is another:\n{json.dumps(self.state)}\n{json.dumps(now)}")
        return True


class States:
    """Distinct ones, of this process or of all that were given the same file: a state is in it once all of its
    recovery's kills were tried."""

    def __init__(self, path):
        self.path = path
        self.begun = {}     # name to the kill of this process that left it first
        self.elsewhere = 0  # that another process had done

    def is_new(self, name, kill):
        if name in self.begun:
            return False
        self.begun[name] = kill
        if self.path and os.path.exists(self.path) and name in pathlib.Path(self.path).read_text(encoding="utf-8").split():
            self.elsewhere += 1
            return False
        return True

    def done(self, name):
        if self.path:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(name + "\n")


class Watch:
    """How the world is at the stops of a recovery: as a kill there leaves it."""

    def __init__(self, left):
        self.left = left
        self.key = self.qemus = None

    def now(self, call):
        """The name of its state. QEMU is asked behind what may have made it do something."""
        world = self.left.world
        if not self.qemus or call.split()[0] in one_kill.ASYNCHRONOUS:
            self.qemus = qemus_of(world)
        paths = [pathlib.Path(world.store, name) for name in ("store.db", "store.db-wal", "locks", "slow")]
        key = (self.qemus, [path.read_bytes() if path.exists() else b"" for path in paths], os.listdir(world.path("s/run")))
        if key != self.key:
            self.key, self.name = key, name_of(state_of(world, self.left.old, *self.qemus))
        return self.name


class TwoDeep(harness.Harness):
    def __init__(self, options):
        super().__init__(options)
        self.states = States(options.states)
        self.second_states = States(options.states and options.states + ".second")
        self.strays = set()
        self.put_back = 0
        self.second_take, self.second_of = (int(n) for n in (options.second_share or options.share).split("/"))
        if options.seconds:
            at = options.start * len(options.operations) // self.of % len(options.operations)
            fit = max(1, int(options.seconds * options.jobs / OPERATION_SECONDS))
            options.operations = (options.operations[at:] + options.operations[:at])[:fit]
            self.say(f"what the time is enough for: --operations {','.join(options.operations)}")

    def first(self, world, operation, number):
        return Left(world, operation, number, not self.options.every_stop)

    def kill(self, world, operation, number, result):
        left = self.first(world, operation, number)
        with self.lock:     # 0: only counted, with a time limit
            new = number > 0 and self.states.is_new(left.name, (operation.name, number))
        outcome = left.kill.outcome
        self.note(operation.name, number, outcome.where or "survived", f"state {left.name}", in_short(left.state) if new else "")
        if not outcome.survived:
            result.kills += 1
            result.places.add(outcome.where)
        if not new and not self.options.second:
            left.kill.recover()
            return outcome
        result.states += 1
        left.keep()
        if self.options.second_states:
            self.kill_at_new_states(left, number, result)
            self.states.done(left.name)
            return outcome
        stops = self.recover_under_killer(left.kill, 0).stops
        survivals = 0
        for second in self.seconds_of(stops):
            if self.stop.is_set() or result.until and time.monotonic() > result.until:
                return outcome
            ended, left = self.kill_twice(left, number, second, result)
            if ended.is_asynchronous():
                _, left = self.kill_twice(left, number, second, result, look_first=False)
            survivals = survivals + 1 if ended.survived else 0
            if survivals == harness.SURVIVALS and second > stops:
                break
        self.states.done(left.name)
        return outcome

    def kill_at_new_states(self, left, number, result):
        """The recovery is killed at the first stop that leaves a state which no recovery's kill has left; then from the
        beginning, until no stop is new."""
        last = 0
        while not self.stop.is_set():
            def begin(again, last=last):
                watch = Watch(again)
                return self.recover_under_killer(again.kill, lambda stop, call: stop > last - SHIFT and self.is_new(
                    watch.now(call), number, stop))

            ended, left = self.kill_twice(left, number, begin, result)
            if ended.survived:
                break
            last = ended.stops
            if ended.is_asynchronous():
                _, left = self.kill_twice(left, number, last, result, look_first=False)

    def is_new(self, name, number, second):
        with self.lock:
            return self.second_states.is_new(name, (number, second))

    def seconds_of(self, stops):
        """The stops of the recovery to kill at, endless but for a sample."""
        if self.options.second:
            return [self.options.second]
        if not self.options.seconds and not self.options.kills:
            return (n for n in itertools.count(1) if self.in_second_share(n))
        counted = [n for n in range(1, stops + 1) if self.in_second_share(n)]
        return sorted(counted, key=lambda n: (n + self.options.start) * harness.SPREAD % 1)[:SAMPLE]

    def in_second_share(self, number):
        return (number - self.options.start) % self.second_of < self.second_take

    def recover_under_killer(self, kill, second):
        """`second`: the stop to kill at, or what says so of a stop."""
        if callable(second):
            # Each stop takes time. A guest that is waited for is waited for all of it.
            words = ("-p",) if kill.operation.guest_holds else ("-p", "--timeout", "60")
            ended, outcome = one_kill.kill_where(kill.world, not self.options.every_stop, "xlfsck", words, second)
        else:
            ended, outcome = one_kill.kill_at(kill.world, second, not self.options.every_stop, "xlfsck", ("-p",))
        if outcome.survived:
            kill.world.must(ended, kill.recovered, "xlfsck -p")
        return outcome

    def again_in(self, left, number):
        """The state again; or, where the kill strays, another one."""
        if left.come_back():
            self.put_back += 1
            return left
        again = self.first(left.world, left.kill.operation, number)
        again.keep()
        return again

    def kill_twice(self, left, number, second, result, look_first=True):
        """How the recovery ended, and the way back to the state. `second`: its stop, or what begins it, killed somewhere."""
        operation = left.kill.operation
        begin = second if callable(second) else lambda again: self.recover_under_killer(again.kill, second)
        try:
            again = self.again_in(left, number)
            outcome = begin(again)
            second = outcome.stops
            self.again_with = f" --two-deep --second {second}"
            if look_first:
                again.kill.look("between two recoveries")
            again.kill.recover()
        except worlds.Violation as violation:
            raise worlds.Violation(f"the recovery killed at its stop {second}: {violation}") from violation
        if not outcome.survived:
            result.second += 1
            result.places.add(f"recovery: {outcome.where}")
        strayed = again.name != left.name
        if strayed:
            result.strayed += 1
            with self.lock:
                self.strays.add(again.name)
        self.note(operation.name, number, f"{second}{'' if look_first else ', recovery at once'}",
                  outcome.where or "survived", f"strayed to {again.name}: {in_short(again.state)}" if strayed else "")
        return outcome, left if strayed else again

    def all(self):
        results = super().all()
        only = len(self.strays - self.states.begun.keys())
        self.say(f"\n{len(self.states.begun)} distinct states left by the first level, {self.states.elsewhere} of them done by "
                 f"another process; {only} more came only where a kill strayed; {sum(r.second for r in results)} kills of the "
                 f"recovery; {self.put_back} times a state was put back")
        return results
