#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Many processes at once on one store: workers run xlstore and xlfsck on three domains with real
QEMUs at random, and are stopped, continued and killed at random, while an observer looks.

  stress.py --bin BUILD/bin [--quiet-xen LIBRARY] [--seconds 30] [--seed N] [--workers 8] [--keep]
  stress.py --self-test --bin BUILD/bin [--quiet-xen LIBRARY]

The observer stops every process of the store but the QEMUs, reads the raw tables, asks each QEMU over
a second monitor that no other client uses, and lets go again. At the end every process is continued, and what
is left is recovered, judged once more, and destroyed. With --quiet-xen (tests/support/quiet_xen.c, built) there are
things of xenstore as well, in a real xenstored that is killed, too. README.md beside this file tells more.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import commands  # noqa: E402
import harness  # noqa: E402
import operations  # noqa: E402
import worlds  # noqa: E402
import judge  # noqa: E402
import judge_xenstore  # noqa: E402
import stress_xenstore  # noqa: E402
import xenstored  # noqa: E402
from stress_kinds import (AS_BORN, FATES, KILL_QEMU, KINDS, LOOK, LOOK_AT, LOST, NEVER, OUTCOMES, PLANS,  # noqa: E402
                          POINTS_OF, REFUSALS, STOPS_ITSELF, THINGS, UNDISTURBED, XENSTORE_KINDS)
from worlds import Violation  # noqa: E402

DOMIDS = (7, 8, 9)
HANGS_SECONDS = 300.0       # an operation that takes longer, however often it was stopped, hangs
STOP_SECONDS = 60.0         # for each process to be seen stopped
COVERAGE_TIMES = 10         # as many times --seconds may pass until everything was hit
DONE_SHARE = 0.60           # of the operations that the state allowed
LAST = 40                   # operations that a report shows


# ---- The domains ---------------------------------------------------------------------------------

@dataclasses.dataclass
class Thing:
    guess: object = None    # what it was when it was last known, to choose operations that fit
    promises: tuple = ()    # what the last operation acknowledged, if no other ran beside it or since
    touched: int = 0        # operations begun on it
    at_work: int = 0        # operations that have not ended


class Domain(worlds.World):
    """One of several domains in one store. What the workers know of it is guarded by Stress.lock."""

    def __init__(self, programs, work, store, domid, log):
        super().__init__(programs, None, work)
        self.store = store
        self.domid = domid
        self.log = log
        self.things = {name: Thing() for name in (*THINGS, "life")}
        self.initial_devices = None
        self.script = "/bin/true"
        with open(self.path("config.json"), encoding="utf-8") as file:
            self.uuid = json.load(file)["c_info"]["uuid"]

    def begin(self):
        self.record_initial_devices()
        with open(self.path("initial_devices.json"), encoding="utf-8") as file:
            self.initial_devices = json.load(file)

    def fill(self, words):
        here = {f"domid:{operations.DOMID}": f"domid:{self.domid}", str(operations.DOMID): str(self.domid),
                "{look}": LOOK + str(self.domid)}
        return super().fill([here.get(word, word).replace("{script}", self.script) for word in words])

    def promise(self, text):
        return super().promise(text.replace(f"domain:{operations.DOMID}=", f"domain:{self.domid}="))

    def fits(self, kind):
        for name, wanted in kind.needs.items():
            thing = self.things[name]
            if name in kind.makes and thing.at_work:
                return False
            if thing.guess not in wanted:
                return False
        return not self.things["life"].at_work

    def touch(self, names):
        for name in names:
            self.things[name].touched += 1
            self.things[name].promises = ()

    def seen_by_look(self, rows):
        """What a worker's SELECT says, where nothing is known."""
        life = self.things["life"]
        if life.guess is None and not life.at_work:
            if not rows:
                life.guess = "gone"
            elif rows[0]["state"] == "running":
                life.guess = "running" if rows[0]["qemu_pid"] else "dead"
        entries = {row["thing"]: row for row in rows}
        for name in THINGS:
            thing, row = self.things[name], entries.get(name)
            if thing.guess is not None or thing.at_work:
                continue
            if row is None:
                thing.guess = "absent"
            elif row["entry"] == "present":
                is_drive = name in ("disks/hdc", stress_xenstore.DRIVE)
                thing.guess = self.what_holds(row["json"]) if is_drive else "present"

    def what_holds(self, disk):
        found = judge.medium_of(disk)
        return next((n for n in "ab" if found == f"raw:{self.path(n + '.iso')}"), "empty")


# ---- The stress ----------------------------------------------------------------------------------

def is_stopped(pid):
    try:
        return judge.stat_fields(pid)[0] in (b"T", b"Z", b"X")
    except OSError:
        return True


class Stress:
    def __init__(self, options):
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="xs-", dir=options.work)
        self.store = os.path.join(self.directory, "s")
        self.last = collections.deque(maxlen=2 * LAST)  # a line of ours and the command's own, each
        self.domains = [Domain(options.bin, self.directory, self.store, domid, self.last) for domid in DOMIDS]
        self.log = open(options.log, "w", encoding="utf-8") if options.log else None
        self.lock = threading.Lock()    # what is known and counted
        self.quiet = threading.Lock()   # held by the observer, and by what begins, signals or answers a process
        self.over = threading.Event()
        self.violation = None
        self.begun = time.monotonic()
        self.mean = collections.defaultdict(lambda: 0.5)    # seconds, by kind
        has_xenstore = options.quiet_xen and xenstored.Daemon.programs()
        self.kinds = KINDS + (XENSTORE_KINDS if has_xenstore else ())
        self.host = stress_xenstore.Host(options, self.quiet, self.domains, self.directory) if has_xenstore else None
        self.outcomes = {kind.name: collections.Counter() for kind in self.kinds}
        self.fates = collections.Counter()
        self.codes = collections.Counter()
        self.possible = list(FATES)     # of the fates, in this build
        self.looks = 0
        self.looked_into = 0
        self.looking = 0.0
        self.threads = []

    def begin(self):
        first = self.domains[0]
        if self.host:
            os.environ |= self.host.environment
            for domain in self.domains:
                domain.script = self.host.script
        else:
            print("no xenstored: there are no things of it")
        first.must(first.xlstore("init"))
        if commands.run(first.argv("xlstore", ["recover"]), XLSTORE_STOP_AT="nowhere").status == 0:
            self.possible = [name for name in FATES if STOPS_ITSELF not in FATES[name][1]]
            print("these programs have no crash points: none will stop or be killed within")
        create = next(kind for kind in KINDS if kind.name == "create")
        for domain in self.domains:
            domain.begin()
            domain.must(domain.xlstore(*create.command))
            self.know(domain, create)
        self.begun = time.monotonic()
        self.threads = [threading.Thread(target=self.work, args=(number,)) for number in range(self.options.workers)]
        for thread in self.threads:
            thread.start()

    def end(self):
        self.stop()
        if self.log:
            self.log.close()
        commands.end_processes(self.directory)
        if self.host:
            self.host.end()
        if not self.options.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        """A stopped process is continued by its worker; each ends its operation."""
        self.over.set()
        for thread in self.threads:
            thread.join()

    # A worker.
    def work(self, number):
        chance = random.Random(f"{self.options.seed} {number}")
        domain, outcome = None, "done"
        try:
            while not self.over.is_set():
                # A worker whose operation was not done has a look at what it is like now.
                domain = domain if outcome != "done" else chance.choice(self.domains)
                with self.lock:
                    kind = LOOK_AT if outcome != "done" else self.choose_kind(chance, domain)
                    fate = self.choose_fate(chance, kind)
                    mine = self.start(domain, kind)
                outcome = self.perform(number, chance, domain, kind, fate, mine)
        except Violation as violation:
            self.found(violation)
        except Exception:  # a worker that is gone would test nothing any more
            self.found(Violation(f"worker {number} failed:\n{traceback.format_exc()}"))

    def found(self, violation):
        with self.lock:
            self.violation = self.violation or violation
        self.over.set()

    def choose_kind(self, chance, domain):
        fitting = [kind for kind in self.kinds if domain.fits(kind)]
        if not fitting or chance.random() < 0.03:
            return chance.choice(self.kinds)     # in the way of others, or refused
        return chance.choices(fitting, [kind.weight * (1 if self.outcomes[kind.name]["done"] else 4)
                                        for kind in fitting])[0]

    def choose_fate(self, chance, kind):
        if self.share() < DONE_SHARE + 0.05:
            return UNDISTURBED
        possible = [name for name in self.possible
                    if STOPS_ITSELF not in FATES[name][1] or POINTS_OF.get(kind.name, PLANS)]
        unkilled = not self.outcomes[kind.name]["killed"]
        return chance.choices(possible, [
            FATES[name][0] * (1 if self.fates[name] else 4) * (4 if unkilled and signal.SIGKILL in FATES[name][1] else 1)
            for name in possible])[0]

    def start(self, domain, kind):
        domain.touch(kind.makes)
        for name in kind.makes:
            domain.things[name].at_work += 1
        return {name: domain.things[name].touched for name in {"life", *kind.makes}}

    def perform(self, number, chance, domain, kind, fate, mine):
        json_flag = ("--json",) if kind.program == "xlstore" else ()
        begun = time.monotonic()
        environment = {}
        if STOPS_ITSELF in FATES[fate][1]:
            points = POINTS_OF.get(kind.name, PLANS)
            point = chance.choices(list(points), [many for _, many in points.values()])[0]
            first, many = points[point]
            environment["XLSTORE_STOP_AT"] = f"{point}:{chance.randrange(first, first + many)}"
        with self.quiet:
            running = commands.Running(domain.argv(kind.program, (*json_flag, *kind.command)), **environment)
        hit = self.bring_fate(chance, domain, running, FATES[fate][1], self.mean[kind.name])
        try:
            status = commands.wait_for(running.process, HANGS_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(running, signal.SIGKILL)
            running.process.wait()
            status = "hangs"
        ended = running.ended(status)
        seconds = time.monotonic() - begun
        codes = set(re.findall(r'"code":"(\w+)"', ended.out))
        outcome = self.outcome_of(kind, ended, codes, fate if hit else UNDISTURBED)
        with self.lock:
            if LOST in codes and domain.things["life"].touched == mine["life"]:
                outcome = None
            self.last.append(f"{begun - self.begun:.2f} to {begun - self.begun + seconds:.2f} s, worker {number}, domain "
                             f"{domain.domid}, {kind.name}: {fate if hit else UNDISTURBED}, {outcome}")
            domain.note(ended)
            if self.log:
                print(self.last[-2], self.last[-1], sep="\n", file=self.log, flush=True)
            if outcome is None:
                raise Violation(f"{kind.name} of worker {number} ends as it must not:\n{ended}")
            self.outcomes[kind.name][outcome] += 1
            self.codes.update(f"{kind.name}: {code}" for code in codes)
            self.fates[fate] += hit
            if outcome == "done":
                self.mean[kind.name] += 0.2 * (seconds - self.mean[kind.name])
            self.finish(domain, kind, outcome, codes, mine, ended)
        return outcome

    def bring_fate(self, chance, domain, running, signals, mean):
        """Whether all of it befell the process: it may be quicker."""
        if not signals:
            return False
        delay = 0 if STOPS_ITSELF in signals else chance.uniform(0, 1.1 * mean)
        for number in signals:
            with contextlib.suppress(subprocess.TimeoutExpired):
                commands.wait_for(running.process, delay)
            if number == KILL_QEMU:
                return self.kill_qemu(domain)
            hit = self.stops_itself(running) if number == STOPS_ITSELF else self.signal(running, number)
            if not hit:
                return False
            # A process that stopped within holds locks: each other one may be waiting for it.
            delay = chance.uniform(0, {signal.SIGCONT: 0.5 * mean, signal.SIGSTOP: 1.2, STOPS_ITSELF: 0.3}.get(number, 0))
        return True

    def stops_itself(self, running):
        until = time.monotonic() + HANGS_SECONDS
        while running.process.poll() is None and time.monotonic() < until:
            with self.quiet:    # so that it is not the observer who stopped it
                if running.process.poll() is None and is_stopped(running.process.pid):
                    return True
            time.sleep(0.01)
        return False

    def signal(self, running, number):
        with self.quiet:
            if running.process.poll() is not None:
                return False
            running.process.send_signal(number)
            while number == signal.SIGSTOP and not is_stopped(running.process.pid):
                time.sleep(0.001)
        return True

    def kill_qemu(self, domain):
        with self.quiet:
            qemus, _ = judge.processes_with(domain.directory)
            with self.lock:
                domain.touch(domain.things)
                for thing in domain.things.values():
                    thing.guess = None
            for pid in qemus:
                os.kill(pid, signal.SIGKILL)
        return bool(qemus)

    @staticmethod
    def outcome_of(kind, ended, codes, fate):
        """None: it must never end like this."""
        if ended.status == -signal.SIGKILL and signal.SIGKILL in FATES[fate][1]:
            return "killed"
        if ended.status in kind.done:
            return "done"
        if kind.program == "xlfsck":
            return "not done" if ended.status in range(2, 16) else None
        if ended.status not in (1, 3, 4) or codes & NEVER:
            return None
        if ended.status == 3:
            return "in doubt"
        return "refused" if codes & REFUSALS else "not done"

    def know(self, domain, kind):
        for name, (guess, promises) in kind.makes.items():
            domain.things[name].guess = guess
            domain.things[name].promises = promises

    def finish(self, domain, kind, outcome, codes, mine, ended):
        # On standard output is only ever what is done: who read it may rely on it.
        done = outcome == "done" or (outcome == "killed" and '"result":"done"' in ended.out)
        for name, (guess, promises) in kind.makes.items():
            thing = domain.things[name]
            thing.at_work -= 1
            alone = thing.touched == mine[name] and thing.at_work == 0
            thing.guess = guess if done and alone else None
            thing.promises = promises if done and alone else ()
        if codes & {"gone", "no_qemu", "not_found"}:
            domain.things["life"].guess = None
        if kind.name == "look" and outcome == "done":
            domain.seen_by_look(json.loads(ended.out))

    # The observer.
    @contextlib.contextmanager
    def everybody_stopped(self):
        """All processes of this store but the QEMUs; no worker begins or signals one meanwhile."""
        stopped = set()
        with self.quiet:
            try:
                until = time.monotonic() + STOP_SECONDS
                while True:
                    qemus, others = judge.processes_with(self.directory)
                    for pid in stopped & set(qemus):    # it went through its start barrier before the signal came
                        os.kill(pid, signal.SIGCONT)
                        stopped.discard(pid)
                    going = [pid for pid in others if not is_stopped(pid)]
                    if not going:
                        break
                    if time.monotonic() > until:
                        raise judge.CouldNotLook(f"these do not stop: {[others[pid] for pid in going]}")
                    for pid in going:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGSTOP)
                            stopped.add(pid)
                yield
            finally:
                for pid in stopped:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)

    def breaches(self, settled=False):
        """What is not as it has to be, seen while all are stopped."""
        # The processes first: R13 wants the row before its QEMU.
        qemus, _ = judge.processes_with(self.directory)
        tables = judge.read_tables(self.store)
        living = [d for d in tables["domain"] if d["state"] != "destroyed"]
        found = judge.judge_processes(qemus, living)
        for domain in self.domains:
            mine = [pid for pid, command in qemus.items() if domain.directory in command]
            row = next((d for d in living if d["domid"] == domain.domid), None)
            rows = judge.Rows(tables, row) if row else None
            seen = None
            if row and row["qemu_pid"] in mine:
                try:
                    look = judge.query_qemu_twice if settled else judge.query_qemu
                    seen = look(domain.path("judge"), row["qemu_pid"])
                    self.looked_into += 1
                except judge.CouldNotLook:
                    if not judge.ends_soon(row["qemu_pid"]):
                        raise
            if seen and not settled:
                # QEMU keeps a set that nothing uses any more while it has a client, and a process that is
                # stopped with its work done may be one. They are judged when all have left.
                seen["unused_fdsets"] = {}
            if seen:
                found += judge.judge_qemu(rows, seen, domain.initial_devices)
            if settled and rows:
                found += judge.judge_settled(rows, seen)
            with self.lock:
                promises = [p for thing in domain.things.values() for p in thing.promises]
            nodes = self.host.look(domain.domid) if self.host else {}
            found += judge_xenstore.judge(rows, nodes, domain.domid)
            if settled and rows and self.host:
                found += judge_xenstore.judge_settled(rows, nodes)
            for promise in map(domain.promise, promises):
                if judge_xenstore.is_mine(promise):
                    breach = judge_xenstore.judge_promise(promise, nodes)
                else:
                    breach = judge.judge_promise(promise, tables, rows, seen, mine)
                if breach:
                    found.append(f"domain {domain.domid}: {breach}")
        return found

    def kill_xenstored(self):
        """What it held is gone, and no answer that comes of before may be relied on."""
        with self.quiet:
            with self.lock:
                for domain in self.domains:
                    domain.touch(stress_xenstore.THINGS)
                    for thing in stress_xenstore.THINGS:
                        domain.things[thing].guess = None
            self.host.restart()

    def observe(self):
        begun = time.monotonic()
        with self.everybody_stopped():
            found = self.breaches()
            if found:
                self.keep_copy()
        self.looks += 1
        self.looking += time.monotonic() - begun
        if found:
            raise Violation("seen by the observer:\n" + "\n".join(found))

    def keep_copy(self):
        """The store as the observer saw it, beside what becomes of it."""
        if self.options.keep:
            shutil.copytree(self.store, os.path.join(self.directory, "seen"),
                            ignore=lambda _, names: [name for name in names if name.startswith("qmp-")])

    def run(self):
        """The stress itself; then what was left behind."""
        try:
            while not self.over.wait(1.0):
                self.observe()
                if self.host and self.host.is_due():
                    self.kill_xenstored()
                seconds = time.monotonic() - self.begun
                if seconds > self.options.seconds and \
                        (not self.missed() or seconds > COVERAGE_TIMES * self.options.seconds):
                    break
            self.stop()
            if self.violation:
                raise self.violation
            self.observe()
            self.settle()
        except judge.CouldNotLook as error:
            raise Violation(f"could not look: {error}") from error

    def forget_destroyed(self):
        if self.host:
            living = {row["domid"] for row in judge.read_tables(self.store)["domain"] if row["state"] != "destroyed"}
            self.host.forget(set(DOMIDS) - living)

    def settle(self):
        first = self.domains[0]
        _, others = judge.processes_at_rest(self.directory)
        if others:
            raise Violation(f"these outlive those that made them: {list(others.values())}")
        # Xen has a domain until its toolstack ends it there, behind the end of its destruction here (6021: status 2).
        goes = any(row["state"] == "destroying" for row in judge.read_tables(self.store)["domain"])
        self.forget_destroyed()
        # What is left of a removal in xenstore is taken out with -y alone.
        flag = "-y" if self.host else "-p"
        first.must(first.note(commands.run(first.argv("xlfsck", [flag]))), (0, 1, 3) if self.host and goes else (0, 1),
                   f"xlfsck {flag} with no other at work")
        self.forget_destroyed()
        first.must(first.note(commands.run(first.argv("xlfsck", ["-n"]))), (0,), f"xlfsck -n after xlfsck {flag}")
        found = self.breaches(settled=True)
        if found:
            self.keep_copy()
            raise Violation("after recovery:\n" + "\n".join(found))
        for row in judge.read_tables(self.store)["domain"]:
            if row["state"] != "destroyed":
                first.must(first.xlstore("destroy", f"domid:{row['domid']}"), what="after recovery destroying fails")
        qemus, others = judge.processes_at_rest(self.directory)
        if qemus or others:
            raise Violation(f"after all domains were destroyed these run: {[*qemus.values(), *others.values()]}")
        if self.host:
            self.host.forget(DOMIDS)
        first.must(first.note(commands.run(first.argv("xlfsck", ["-n"]))), (0,), "xlfsck -n at the end")

    # Figures.
    def total(self):
        return sum(self.outcomes.values(), collections.Counter())

    def share(self):
        """Of the operations that the state allowed, looks apart, how many ended as done."""
        total = self.total() - self.outcomes[LOOK_AT.name]
        allowed = total.total() - total["refused"]
        return total["done"] / allowed if allowed else 1.0

    def missed(self):
        with self.lock:
            return [f"no {name} was {outcome}" for name, count in self.outcomes.items() for outcome in ("done", "killed")
                    if not count[outcome]] + \
                   [f"no process was {name}" for name in self.possible if name != UNDISTURBED and not self.fates[name]] + \
                   ["xenstored was not killed"] * bool(self.host and not self.host.kills)

    def print_table(self):
        def row(name, count):
            print(f"{name:<22}  {count.total():>6}" + "".join(f"  {count[o]:>8}" for o in OUTCOMES))

        print(f"{'operation':<22}  {'begun':>6}" + "".join(f"  {o:>8}" for o in OUTCOMES))
        for name, count in self.outcomes.items():
            row(name, count)
        row("total", self.total())
        print()
        for name in self.possible:
            if name != UNDISTURBED:
                print(f"{name:<22}  {self.fates[name]:>6}")
        print(f"{'looks':<22}  {self.looks:>6}  ({self.looked_into} into a QEMU, "
              f"{self.looking / max(self.looks, 1):.2f} s each)")
        if self.host:
            print(f"{'xenstored killed':<22}  {self.host.kills:>6}")
        print("refusals and the like:", ", ".join(f"{code} {n}" for code, n in sorted(self.codes.items())) or "none")
        print(f"{100 * self.share():.0f} % done of what the state allowed", flush=True)

    def report(self, violation):
        """For the person who has to find out."""
        again = f"{os.path.abspath(__file__)} --bin {self.options.bin} --seed {self.options.seed} --keep"
        kept = f"kept: {self.directory} (store s; as the observer saw it: seen)\n" if self.options.keep else ""
        with self.lock:
            return f"VIOLATION: seed {self.options.seed}: {violation}\n{kept}again: {again}"


def run_stress(options):
    print(f"{options.workers} workers, {options.seconds:g} s, seed {options.seed} (--seed {options.seed} repeats the choices)",
          flush=True)
    stress = Stress(options)
    try:
        stress.begin()
        stress.run()
        stress.print_table()
        lacking = stress.missed()
        if stress.share() < DONE_SHARE:
            lacking.append(f"fewer than {100 * DONE_SHARE:.0f} % were done")
        for what in lacking:
            print(f"too little was tried: {what}")
        return 1 if lacking else 0
    except Violation as violation:
        stress.stop()
        print("last operations:", *stress.last, sep="\n")
        stress.print_table()
        print(stress.report(violation))     # last: of a long log one has the end
        return 1
    finally:
        stress.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bin", required=True, help="where xlstore and xlfsck are")
    parser.add_argument("--quiet-xen", help="the library that stands for Xen; without it there is no xenstore")
    parser.add_argument("--seconds", type=float, default=30, help="of the stress, without its end; default: 30")
    parser.add_argument("--seed", type=int, default=harness.turn(), help="default: the turn")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--log", help="a file for every operation with its output")
    parser.add_argument("--keep", action="store_true", help="keep the directory")
    parser.add_argument("--work", default="/tmp", help="where the directory is made; a short path")
    parser.add_argument("--self-test", action="store_true", help="prove that the observer is not blind")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    if options.self_test:
        import stress_self_test
        return stress_self_test.run_all(options)
    return run_stress(options)


if __name__ == "__main__":
    sys.exit(main())
