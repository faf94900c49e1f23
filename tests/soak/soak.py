#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A toolstack that lives for long: is everything flat?

  soak.py --bin BUILD/bin [--hours 8 | --seconds 10] [--interval 60] [--out DIRECTORY]
  soak.py --bin BUILD/bin --self-test

Starts worker.c on a store of its own with a real QEMU, and beside it now and then the command line. Every interval one
line of figures goes to DIRECTORY/figures.csv; at the end figures.svg shows them, and each is judged: memory,
descriptors, the database, its log, the lock files and the lines of history must not grow once the first third is over.
With --self-test the worker leaks something, of one kind after the other, which has to be found.

The library may not be sanitized (BUILD/lib): a sanitizer keeps what was freed. Status 77: there is none.
"""

import argparse
import contextlib
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
LEAKS = {"result": "heap_kib", "descriptor": "descriptors", "history": "history_lines"}

WARM_ROUNDS = 150  # by then SQLite's caches are full, which a short run would take for a leak

# What each figure may grow by from the median of the second third to that of the last: a factor, and a constant for
# what comes and goes between two samples.
ALLOWED = {
    "rss_kib": (1.05, 1024),
    "heap_kib": (1.0, 192),      # caches of SQLite's fill in steps of some 100 KiB; a leaked result a round is 800
    "descriptors": (1.0, 2),      # two of the lock file are kept
    "worker_threads": (1.0, 0),
    "database_kib": (1.2, 256),
    "log_kib": (1.0, 4096),       # it is begun anew at 4 MiB
    "locks_kib": (1.2, 64),
    "history_lines": (1.0, 150),
    "sessions": (1.0, 2),
    "intents": (1.0, 1),
}
# An operation has some of these open for its time, and a busy machine makes that long: of each third the least tells.
LEAST = ("descriptors",)
LEAST_SAMPLES = 15
LEAK_SECONDS = 90      # within which a worker that leaks has to be found
COLUMNS = ["seconds", "rounds", "changes_told", *ALLOWED]


class Failure(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Failure(what)


def compile_worker(options, to):
    library = os.path.join(os.path.dirname(options.bin), "lib")
    subprocess.run(["cc", "-std=gnu99", "-O1", "-g", "-Wall", "-Wextra", "-Werror", f"-I{SOURCE}/store/include",
                    f"-I{SOURCE}/recovery/include", "-o", to, f"{HERE}/worker.c", f"-L{library}", "-lxlstore",
                    f"-Wl,-rpath,{library}"], check=True)


def usable(options):
    """Why there is nothing to run; None: there is."""
    library = os.path.join(os.path.dirname(options.bin), "lib", "libxlstore.so")
    if not os.path.exists(library):
        return f"there is no {library}: cmake --build build-asan --target plain makes one"
    newest = max(os.path.getmtime(os.path.join(folder, name)) for room in ("store", "recovery", "schema")
                 for folder, _, names in os.walk(f"{SOURCE}/{room}") for name in names if not name.endswith(".md"))
    if newest > os.path.getmtime(library):
        return f"{library} is older than its sources"
    return None


class Soak:
    def __init__(self, options, leak=""):
        self.options, self.leak = options, leak
        self.directory = tempfile.mkdtemp(prefix="xk-", dir="/tmp")
        self.store = f"{self.directory}/s"
        self.began = time.monotonic()
        compile_worker(options, f"{self.directory}/worker")
        image = f"{self.directory}/cd.iso"
        with open(image, "wb") as file:
            file.write(bytes(65536))
        self.worker = subprocess.Popen([f"{self.directory}/worker", self.store, image, *([leak] if leak else [])],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.samples = []

    def end(self):
        """The worker ends its domains; what does not end by itself is killed."""
        with contextlib.suppress(BrokenPipeError):
            self.worker.stdin.close()
        try:
            status = self.worker.wait(60)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            status = self.worker.wait()
        self.worker.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        return status

    def sql(self, query):
        return [int(word) for word in self.xlstore("sql", query).replace("|", " ").split()]

    def xlstore(self, *words):
        ended = subprocess.run([f"{self.options.bin}/xlstore", "--store", self.store, *words], check=False,
                               capture_output=True, text=True)
        need(ended.returncode == 0, f"xlstore {' '.join(words)}: status {ended.returncode}: {ended.stderr}")
        return ended.stdout

    def ask(self):
        """The worker's own words: rounds, heap, changes told."""
        try:
            self.worker.stdin.write("\n")
            self.worker.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.worker.stdout.readline().split()
        need(len(line) == 3, "the worker has ended")
        return line

    def sample(self):
        line = self.ask()
        pid = self.worker.pid
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(one.split(":", 1) for one in file)
        lines, sessions, intents = self.sql("SELECT (SELECT count(*) FROM history), (SELECT count(*) FROM session), "
                                            "(SELECT count(*) FROM intent)")
        kib = {name: os.stat(f"{self.store}/{name}") for name in ("store.db", "store.db-wal", "locks", "slow")}
        values = {"seconds": round(time.monotonic() - self.began, 1), "rounds": int(line[0]),
                  "changes_told": int(line[2]), "rss_kib": int(status["VmRSS"].split()[0]),
                  "heap_kib": int(line[1]) // 1024, "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
                  "worker_threads": int(status["Threads"]), "database_kib": kib["store.db"].st_size // 1024,
                  "log_kib": kib["store.db-wal"].st_size // 1024,
                  "locks_kib": (kib["locks"].st_blocks + kib["slow"].st_blocks) // 2,
                  "history_lines": lines, "sessions": sessions, "intents": intents}
        self.samples.append(values)
        return values

    def is_enough(self, until):
        """On a busy machine it lasts longer: fewer samples, or rounds, say nothing."""
        if len(self.samples) < LEAST_SAMPLES or time.monotonic() < until:
            return False
        return not self.leak or LEAKS[self.leak] in growing(self.samples) or time.monotonic() > until + LEAK_SECONDS

    def run(self, seconds, interval):
        os.makedirs(self.options.out, exist_ok=True)
        while not self.leak and int(self.ask()[0]) < WARM_ROUNDS:
            time.sleep(0.1)
        until = time.monotonic() + seconds
        with open(f"{self.options.out}/figures.csv", "w", encoding="ascii", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            while not self.is_enough(until):
                due = time.monotonic() + interval
                writer.writerow(self.sample())
                file.flush()
                # A process of its own, with a session and locks, as an administrator's would be.
                self.xlstore("rename", "domid:8", f"renamed-{len(self.samples)}")
                time.sleep(max(0, due - time.monotonic()))
        plot(self.samples, f"{self.options.out}/figures.svg")


def growing(samples):
    """The figures that are not flat, in words."""
    third = len(samples) // 3
    need(third >= 3, f"only {len(samples)} samples: run for longer, or with a shorter --interval")
    found = {}
    for name, (factor, constant) in ALLOWED.items():
        figure, figures = (min, "least figures") if name in LEAST else (statistics.median, "medians")
        before = figure(one[name] for one in samples[third:2 * third])
        after = figure(one[name] for one in samples[-third:])
        if after > before * factor + constant:
            found[name] = f"{name} grew from {before:g} to {after:g} ({figures} of the second and the last third)"
    if samples[-1]["rounds"] <= samples[third]["rounds"]:
        found["rounds"] = "the worker did not work on"
    return found


def plot(samples, path):
    """A curve for each figure, over time."""
    width, height, left = 900, 90, 150
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height * len(ALLOWED) + 20}" '
             'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>']
    times = [one["seconds"] for one in samples]
    span = max(times[-1] - times[0], 1e-9) if times else 1
    for number, name in enumerate(ALLOWED):
        values = [one[name] for one in samples]
        top, most = number * height + 10, max(values, default=0) or 1
        points = " ".join(f"{left + (t - times[0]) / span * (width - left - 20):.1f},"
                          f"{top + (height - 20) * (1 - value / most):.1f}" for t, value in zip(times, values))
        lines += [f'<text x="5" y="{top + 15}">{name}</text>',
                  f'<text x="5" y="{top + 30}" fill="gray">{min(values, default=0)} to {max(values, default=0)}</text>',
                  f'<line x1="{left}" y1="{top + height - 20}" x2="{width - 20}" y2="{top + height - 20}" stroke="silver"/>',
                  f'<polyline points="{points}" fill="none" stroke="steelblue"/>']
    lines.append(f'<text x="{left}" y="{height * len(ALLOWED) + 12}" fill="gray">{span:.0f} s, '
                 f'{samples[-1]["rounds"] if samples else 0} rounds</text></svg>')
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def soak(options, seconds, interval, leak=""):
    one = Soak(options, leak)
    try:
        one.run(seconds, interval)
        return growing(one.samples), one.samples[-1]
    finally:
        status = one.end()
        need(status == 0, f"the worker ended with status {status}")


def self_test(options):
    for leak, figure in LEAKS.items():
        found, _ = soak(options, options.seconds or 2.5, 0.1, leak)
        need(figure in found, f"a worker that leaks ({leak}) was not found: {found or 'all is flat'}")
        print(f"{leak}: found: {found[figure]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--hours", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--interval", type=float, default=60)
    parser.add_argument("--out")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    if why := usable(options):
        print("skipped:", why)
        return 77
    scratch = None if options.out else tempfile.mkdtemp(prefix="xk-figures-")
    options.out = options.out or scratch
    try:
        if options.self_test:
            self_test(options)
            return 0
        found, last = soak(options, options.hours * 3600 + options.seconds, options.interval)
        print(", ".join(f"{name} {value}" for name, value in last.items()))
        for words in found.values():
            print("GROWS:", words)
        return 1 if found else 0
    except Failure as failure:
        print("FAILED:", failure)
        return 1
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
