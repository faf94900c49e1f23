# SPDX-License-Identifier: MIT
"""The second level: the recovery is killed as well, at each of its stops, from every distinct state that
the first level leaves. See README.md; run by `harness.py --two-deep`.

A state is what a recovery can find: the rows but for times, pids and numbers that only count; who claims a
lock since the kill; which files lie in `run`; whether QEMU lives, and its lists as the judge sees them. To
come back to a state the same operation is killed at the same stop again. It may leave another state then:
the recovery is killed all the same, and it is counted as strayed.
"""

import hashlib
import itertools
import json
import os
import re
import time

import harness
import one_kill
import worlds
import judge

SAMPLE = 4              # kills of the recovery from one state when there is a limit
OPERATION_SECONDS = 10  # what an operation gets at least then


def plain(world, rows, value):
    """Without what differs from one world, or from one kill, to the next."""
    text = json.dumps(value, sort_keys=True)
    for domain in rows:
        for word, instead in ((domain["uuid"], "UUID"), (domain["name"], "NAME")):
            text = text.replace(word, instead)
    text = text.replace(world.directory, "DIR")
    return json.loads(re.sub(r"qmp-\d+|qemu-\d+", lambda found: found[0].split("-")[0] + "-N", text))


def claims(world):
    """Who is written down as holder or waiter, with the pid that tells a new claim from an old one."""
    found = set()
    for name in ("locks", "slow"):
        with open(os.path.join(world.store, name), "rb") as file:
            for text in re.split(rb"[\0\n]+", file.read()):
                words = text.decode(errors="replace").split()
                if len(words) > 4:
                    found.add((name, *words))
    return found


def state_of(world, old_claims):
    """The state that a kill left, as JSON has it."""
    tables = judge.read_tables(world.store)
    living = [d for d in tables["domain"] if d["state"] != "destroyed"]
    qemus, _ = judge.processes_with(world.directory)
    state = {
        "claims": sorted({(name, *words[4:]) for name, *words in claims(world) - old_claims}),
        "dead sessions": len(tables["session"]),
        "tombstones": len(tables["tombstone"]),
        "run": sorted(os.listdir(world.path("s/run"))),
        "domains": [],
        "QEMUs": [],
    }
    for domain in living:
        rows = judge.Rows(tables, domain)
        keys = {t["id"]: f"{t['class']}/{t['key']}" for t in rows.things}
        state["domains"].append({
            **{name: domain[name] for name in ("domid", "state", "layout", "monitor_path", "monitor_handed_in")},
            **{f"has {name}": domain[name] is not None for name in ("creator", "born_us", "peer_pid", "initial_from")},
            "qemu": domain["qemu_pid"] and ("lives" if domain["qemu_pid"] in qemus else "dead"),
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
    for pid in qemus:
        seen = judge.query_qemu_twice(world.path("judge"), pid)
        state["QEMUs"].append({
            **{kind: sorted(seen[kind]) for kind in ("device", "anonymous", "object", "node", "chardev", "netdev")},
            "media": seen["media"], "unused fdsets": sorted(seen["unused_fdsets"].values())})
    return plain(world, living, state)


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


class TwoDeep(harness.Harness):
    def __init__(self, options):
        super().__init__(options)
        self.states = {}    # hash -> the kill that left it first
        self.strays = set()
        self.second_take, self.second_of = (int(n) for n in (options.second_share or options.share).split("/"))
        if options.seconds:
            at = options.start * len(options.operations) // self.of % len(options.operations)
            fit = max(1, int(options.seconds * options.jobs / OPERATION_SECONDS))
            options.operations = (options.operations[at:] + options.operations[:at])[:fit]
            self.say(f"what the time is enough for: --operations {','.join(options.operations)}")

    def first(self, world, operation, number):
        """The first kill; what it left, by hash, and in full."""
        kill = one_kill.Kill(world, operation)
        old = claims(world)
        kill.at(number, not self.options.every_stop)
        kill.look()
        state = state_of(world, old)
        return kill, hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12], state

    def kill(self, world, operation, number, result):
        kill, name, state = self.first(world, operation, number)
        with self.lock:
            new = number > 0 and name not in self.states  # 0: only counted, with a time limit
            if new:
                self.states[name] = (operation.name, number)
        self.note(operation.name, number, kill.outcome.where or "survived", f"state {name}",
                  in_short(state) if new else "")
        if not kill.outcome.survived:
            result.kills += 1
            result.places.add(kill.outcome.where)
        if not new and not self.options.second:
            kill.recover()
            return kill.outcome
        result.states += 1
        stops = self.recover_under_killer(kill, 0).stops
        survivals = 0
        for second in self.seconds_of(stops):
            if self.stop.is_set() or result.until and time.monotonic() > result.until:
                break
            outcome = self.kill_twice(world, operation, number, second, name, result)
            if outcome.is_asynchronous():
                self.kill_twice(world, operation, number, second, name, result, look_first=False)
            survivals = survivals + 1 if outcome.survived else 0
            if survivals == harness.SURVIVALS and second > stops:
                break
        return kill.outcome

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
        ended, outcome = one_kill.kill_at(kill.world, second, not self.options.every_stop, "xlfsck", ("-p",))
        if outcome.survived:
            kill.world.must(ended, kill.recovered, "xlfsck -p")
        return outcome

    def kill_twice(self, world, operation, number, second, name, result, look_first=True):
        self.again_with = f" --two-deep --second {second}"
        try:
            kill, found, state = self.first(world, operation, number)
            outcome = self.recover_under_killer(kill, second)
            if look_first:
                kill.look("between two recoveries")
            kill.recover()
        except worlds.Violation as violation:
            raise worlds.Violation(f"the recovery killed at its stop {second}: {violation}") from violation
        if not outcome.survived:
            result.second += 1
            result.places.add(f"recovery: {outcome.where}")
        strayed = found != name
        if strayed:
            result.strayed += 1
            with self.lock:
                self.strays.add(found)
        self.note(operation.name, number, f"{second}{'' if look_first else ', recovery at once'}",
                  outcome.where or "survived", f"strayed to {found}: {in_short(state)}" if strayed else "")
        return outcome

    def all(self):
        results = super().all()
        only = len(self.strays - self.states.keys())
        self.say(f"\n{len(self.states)} distinct states left by the first level; {only} more came only where a kill "
                 f"strayed; {sum(r.second for r in results)} kills of the recovery")
        return results
