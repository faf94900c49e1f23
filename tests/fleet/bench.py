#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a fleet costs, on this machine; run by hand.

    tests/fleet/bench.py --bin build/bin [--lines 20000] [--hosts 20] [--rounds 5]

Figures are CPU seconds of the processes, which do not depend on what else runs here, unless they say otherwise.
"""
import argparse
import json
import os
import pathlib
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import fixture  # noqa: E402  pylint: disable=wrong-import-position
import server  # noqa: E402  pylint: disable=wrong-import-position

TICKS = os.sysconf("SC_CLK_TCK")
DOMAINS = 50  # of a host
CONNECTIONS = 20  # of hosts: the server has room for 30


def server_cpu(one):
    """CPU seconds of the server and all that it ever started."""
    total = 0
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(stat.parent.name) == one.process.pid:
            total += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == one.process.pid:
            total += sum(int(field) for field in fields[11:13])
    return total / TICKS


def settled_cpu(one):
    """The same once those that end are counted by their parent."""
    until = time.monotonic() + 10
    while time.monotonic() < until and one.sql("SELECT count(*) FROM pg_stat_activity WHERE usename IN ('a', 'b')",
                                               database="postgres", user="admin") != [["0"]]:
        time.sleep(0.05)
    time.sleep(0.5)
    return server_cpu(one)


def told(what, value, unit):
    print(f"{what:<62} {value:>12,.1f} {unit}", flush=True)


def fill(host, lines):
    base = sqlite3.connect(os.path.join(host.store, "store.db"))
    with base:
        base.executemany(
            "INSERT INTO history (at_us, domain, domid, operation, class, key, intent, outcome, image, asked, evidence, pid, "
            "program, uid) VALUES (?, 1, 7, 'change', 'disks', 'hdc', ?, 'done', 'after', 'blockdev-change-medium', "
            "'QEMU acknowledged each of 4 steps', 4242, 'xlstore', 0)",
            ((1795994524000000 + n * 100000, n) for n in range(lines)))
    base.close()


def history(case, lines):
    """The queue of one host, sent at one go."""
    case.a.add(7)
    fill(case.a, lines)
    size = int(case.sql("SELECT pg_database_size(current_database())")[0][0])
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    theirs, begun = server_cpu(fixture.SERVER), time.monotonic()
    case.a.push()
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    theirs = settled_cpu(fixture.SERVER) - theirs
    ours = after.ru_utime + after.ru_stime - ours.ru_utime - ours.ru_stime
    told("lines a CPU second of xlstore-fleet", lines / ours, "lines/s")
    told("lines a CPU second of PostgreSQL", lines / max(theirs, 1 / TICKS), "lines/s")
    told("lines a second, by the clock", lines / wall, "lines/s")
    told("peak memory of xlstore-fleet", after.ru_maxrss / 1024, "MiB")
    size = int(case.sql("SELECT pg_database_size(current_database())")[0][0]) - size
    told("size of a million lines", size / lines * 1e6 / 2**20, "MiB")


def batch(host, after, domains, changes=10):
    """Changes of one host, as a push of it makes them: a line and a domain each."""
    now = int(time.time() * 1e6)
    lines = [{"line": after + n, "at_us": now, "incarnation": 1 + (after + n) % DOMAINS, "domid": 7, "operation": "change",
              "class": "disks", "key": "hdc", "intent": after + n, "outcome": "done", "image": "after", "pid": 4242,
              "program": "xlstore", "asked": "blockdev-change-medium", "evidence": "QEMU acknowledged each of 4 steps"}
             for n in range(1, changes + 1)]
    text = fixture.document(host % 90)
    rows = [{"incarnation": n, "domid": n, "uuid": f"8f2c7d10-4b6e-4a51-9d3c-{host:06}{n:06}", "name": f"web{n}",
             "state": "running", "epoch": after, "revision": after, "boot_id": "b", "created_us": now, "changed_us": now,
             "digest": str(after), "commits": after, "document": text} for n in domains]
    things = [{"thing": n, "incarnation": n, "class": "disks", "key": "hdc", "position": 0, "state": "present",
               "primary_at": "qemu", "image": f"/srv/{after}.iso", "json": "{}", "changed_us": now} for n in domains]
    whole = {"generation": 1, "after": after, "line": after + changes, "told_of_restore": False, "lines": lines,
             "domains": rows, "things": things, "intents": [], "gone": [], "commits": after + changes,
             "facts": {"clock_us": now, "behind": 0}}
    if after == 0:
        whole["begins"] = {"store_uuid": "u", "why": "first push", "expects_restore": False}
    return json.dumps(whole).replace("'", "''")


def push_as(case, name, text, own):
    """One push, over a connection that the host keeps, or as it over one that all share."""
    as_host = "" if own else f"SET LOCAL ROLE {name}; "
    case.sql(f"BEGIN; {as_host}SELECT fleet.begin_push(); SELECT fleet.take('{text}'); COMMIT", user=name if own else "admin")


def turn_of(turn, changes):
    """Which domains change in it: all of them first, then as many as there are changes, in turn."""
    return range(1, DOMAINS + 1) if turn == 0 else sorted({1 + (turn * 10 + n) % DOMAINS for n in range(changes)})


def many_hosts(case, hosts, rounds):
    """Each host's push of one second, one after the other."""
    own = hosts <= CONNECTIONS
    names = [f"h{n}" for n in range(hosts)]
    for first in range(0, hosts, 100):
        case.run_as("owner", "init", *[word for name in names[first:first + 100] for word in ("--host", name)])
    after, spans, text = 0, [], "one connection a host" if own else "one connection"
    for turn, changes in enumerate([10] + [10] * rounds + [1] * rounds + [100] * rounds):
        if turn in (1, 1 + rounds, 1 + 2 * rounds):  # the first brings all domains, and is no measure
            seconds, began, spans = server_cpu(fixture.SERVER), time.monotonic(), []
        for number, name in enumerate(names):
            begun = time.monotonic()
            push_as(case, name, batch(number, after, turn_of(turn, changes), changes), own)
            spans.append(time.monotonic() - begun)
        after += changes
        if turn > 0 and turn % rounds == 0:
            seconds, wall = server_cpu(fixture.SERVER) - seconds, time.monotonic() - began
            what = f"pushes of {changes} changes, {hosts} hosts, {text}"
            told(f"{what}: a CPU second of PostgreSQL", len(spans) / seconds, "pushes/s")
            told("changes a CPU second of PostgreSQL", len(spans) * changes / seconds, "changes/s")
            told("changes a second, by the clock", len(spans) * changes / wall, "changes/s")
            told("a push, by the clock, median", statistics.median(spans) * 1e3, "ms")
            told("a push, by the clock, p99", statistics.quantiles(spans, n=100)[98] * 1e3, "ms")


def questions(case):
    """The cookbook's, over what the hosts have: CPU milliseconds of the backend that answers, the best of three."""
    case.sql("ANALYZE")
    (pid,), = case.sql("SELECT pg_backend_pid()", user="reader")
    readme = (fixture.SOURCE / "tools/fleet/README.md").read_text(encoding="utf-8")
    for query in re.findall(r"^```sql\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        spans = []
        for _ in range(3):
            begun = backend_ms(pid)
            case.sql(query, user="reader")
            spans.append(backend_ms(pid) - begun)
        told(" ".join(query.split())[:60], min(spans), "ms CPU")


def backend_ms(pid):
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text(encoding="utf-8").split()[0]) / 1e6


def latency(case, changes):
    """From the end of a command on the host to the row in the view, by the clock."""
    with subprocess.Popen([fixture.BIN / "xlstore-fleet", "--store", case.b.store, "--database",
                           fixture.SERVER.conninfo(case.database, "b"), "push", "--follow"]) as program:
        case.b.add(8)
        spans = []
        for number in range(changes):
            case.b.xlstore("rename", "domid:8", f"n{number}")
            begun = time.monotonic()
            while case.sql("SELECT domain FROM fleet.living WHERE host = 'b'") != [[f"n{number}"]]:
                time.sleep(0.005)
            spans.append(time.monotonic() - begun)
            time.sleep(0.3)
        program.terminate()
    spans.sort()
    told("commit to view, median", statistics.median(spans) * 1e3, "ms")
    told(f"commit to view, the worst of {changes}", spans[-1] * 1e3, "ms")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--bin", required=True, type=pathlib.Path)
    options.add_argument("--lines", type=int, default=20000)
    options.add_argument("--hosts", type=int, default=20)
    options.add_argument("--rounds", type=int, default=5)
    asked = options.parse_args()
    fixture.BIN = asked.bin.resolve()
    fixture.SERVER = server.Server()
    try:
        fixture.make_fleet("fleet")
        case = fixture.FleetTest()
        case.database, case.directory = "fleet", tempfile.mkdtemp(prefix="xlfl-", dir="/tmp")
        history(case, asked.lines)
        many_hosts(case, asked.hosts, asked.rounds)
        questions(case)
        latency(case, 20)
    finally:
        fixture.SERVER.remove()


if __name__ == "__main__":
    main()
