#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The proof, whole, in shares of some minutes: what tests/run.sh tries a share of.

    proof.sh BUILD [--hours H | --minutes M] [--only PART,...] [--since COMMIT] [--left]
    proof.sh --write

It goes on where the run before ended, even if that was killed: each share that has ended is a line of tests/crash/proof.jsonl,
the record in the tree, with the commit and the build that it is of; commit that file. Of a tree with changes that are not committed the
place is BUILD/proof/place. --write makes the table of tests/PROOF.md from the record. A share that failed is not tried
again on the same commit, unless with --again. What another commit proved counts as long as nothing has changed since
of what the part runs: its `sources`, of which a line has a hash. What was proved on other sources alone is done once more, after what never was; with --since it counts if
that was on COMMIT or later, and how many files have changed is told: a proof that took several runs is of each of
their commits, and of no single one. Shares that wait for a QEMU run side by side. What they run is built first. --left
tells what is left, and runs nothing. Each share's output is in BUILD/proof.

Exit status: 0 all of it is proved, 1 a share failed, 2 wrong use, 3 some is left, and nothing failed.
"""

import argparse
import collections
import ctypes
import dataclasses
import fcntl
import fnmatch
import functools
import hashlib
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time

import proof_parts

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RECORD = ROOT / "tests/crash/proof.jsonl"
TOLD_IN = ROOT / "tests/PROOF.md"
TABLE = re.compile(r"(?<=<!-- the record: proof\.sh --write -->\n).*?(?=<!-- the record ends -->\n)", re.DOTALL)
DONE, FAILED, SKIPPED = "done", "failed", "skipped"
CANNOT = 77             # a test's status: this system does not have what it needs
ALL_WELL, SOME_FAILED, WRONG_USE, SOME_LEFT = 0, 1, 2, 3
LIMIT = 12              # a share that takes so many times its minutes does not end,
LIMIT_LEAST = 30        # but not before so many minutes: a short one on a loaded machine
SECONDS_TO_END = 60     # of a share that is told to end, before it is killed
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


def git(*words):
    return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)


class Commits:
    """Which commits' shares count for the one at hand."""

    def __init__(self, since=None):
        head = git("rev-parse", "HEAD").stdout.strip()
        # What a proof writes itself is no change of what it proves.
        own = [f":!{path.relative_to(ROOT)}" for path in (RECORD, TOLD_IN)]
        self.here = (head or "unknown") + ("+changes" if git("status", "--porcelain", "-uno", "--", ".", *own).stdout.strip() else "")
        self.since = since
        self.changed_among = functools.cache(self.changed_among)
        self.hash_of = functools.cache(self.hash_of)
        self.is_since = functools.cache(self.is_since)

    def changed(self, part, entry):
        """How many files of what the part runs are others than on the commit of that line; None: that is not known. A commit
        may have got another id, or may not be in a copy of the repository: the hash tells as well."""
        sources = tuple(part.sources)
        if entry["commit"] == self.here or (entry.get("sources") and entry["sources"] == self.hash_of(sources)):
            return 0
        return self.changed_among(sources, entry["commit"])

    def hash_of(self, sources):
        """Of what is committed of them; nothing: they are changed, or there are none."""
        if "+" in self.here:
            return ""
        # What is left out is left out here: with it ls-files of git 2.39 finds nothing below a common folder.
        without = [word.removeprefix(":!") for word in sources if word.startswith(":!")]
        lines = [line for line in git("ls-tree", "-r", "HEAD", "--", *(word for word in sources if not word.startswith(":!")))
                 .stdout.splitlines() if not any(fnmatch.fnmatch(line.split("\t")[1], word) for word in without)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12] if lines else ""

    def changed_among(self, sources, commit):
        if "+" in commit or "+" in self.here:
            return None     # what was not committed then, or is not now
        done = git("diff", "--name-only", commit, "HEAD", "--", *sources)
        return len(done.stdout.splitlines()) if done.returncode == 0 else None

    def is_since(self, commit):
        return bool(self.since) and "+" not in commit and git("merge-base", "--is-ancestor", self.since, commit).returncode == 0

    def counts(self, part, entry):
        return self.changed(part, entry) == 0 or (entry["ended"] == DONE and self.is_since(entry["commit"]))


class Place:
    """What was done, a line for each share that has ended; one process at a time writes it."""

    def __init__(self, path, commits):
        self.commits = commits
        self.file = open(path, "a+b", buffering=0)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{path}: another proof.sh is at work on it; wait for its end, or give --place another file")
        self.lines = {}     # (part, share, of) to its last line of each commit
        self.seconds = {}   # part to how long its shares took
        self.file.seek(0)
        text = self.file.read()
        if text and not text.endswith(b"\n"):   # the machine went down within a line
            self.file.write(b"\n")
        for line in text.splitlines():
            try:
                self.take(json.loads(line))
            except (ValueError, KeyError):
                print(f"{path}: left out: {line[:80]!r}")

    def take(self, entry):
        key = entry["part"], entry["share"], entry["of"]
        lines = self.lines.setdefault(key, {})
        lines.pop(entry["commit"], None)
        lines[entry["commit"]] = entry
        self.seconds.setdefault(entry["part"], []).append(entry["seconds"])

    def add(self, part, **entry):
        entry = {"commit": self.commits.here, "sources": self.commits.hash_of(tuple(part.sources)), "part": part.name, **entry}
        self.file.write((json.dumps(entry) + "\n").encode())
        self.take(entry)

    def all_of(self, part, number):
        """Of a share the lines of all commits, the last first."""
        return list(reversed(self.lines.get((part.name, number, part.shares), {}).values()))

    def of(self, part):
        """Of each share the line that counts: of the same sources, or else since; or None."""
        found = {}
        for number in range(1, part.shares + 1):
            lines = [line for line in self.all_of(part, number) if self.commits.counts(part, line)]
            same = [line for line in lines if self.commits.changed(part, line) == 0]
            found[number] = (same or lines or [None])[0]
        return found

    def seconds_of(self, part):
        took = self.seconds.get(part.name)
        return sum(took) / len(took) if took else 60 * part.minutes


@dataclasses.dataclass
class Share:
    part: object
    number: int
    order: tuple = ()
    process: object = None
    begun: float = 0
    told: float = 0         # when it was told to end

    def name(self):
        return f"{self.part.name} {self.number}/{self.part.shares}"


def counts_in(part, said):
    """What it tried, as its output has it: the sums of the numbers that the part's patterns find."""
    counts = {}
    for pattern in part.counts:
        for match in re.finditer(pattern, said, re.MULTILINE):
            for name, number in match.groupdict().items():
                counts[name] = counts.get(name, 0) + int(number or 0)
    return counts


def limit_of(part):
    return max(LIMIT_LEAST, LIMIT * part.minutes)


class Proof:
    def __init__(self, options, parts, place):
        self.options = options
        self.parts = parts
        self.place = place
        self.running = {}       # descriptor of its process to the share
        self.room = 2 * options.jobs
        self.ends_at = time.monotonic() + options.seconds
        self.told_to_end = False
        self.missing = [part for part in parts if is_missing(part, options.build)]
        self.sanitizers = sanitizers_of(options.build)

    def words(self, share):
        # What is kept from share to share is of the same sources; of changed ones it is of this run alone.
        sources = self.place.commits.hash_of(tuple(share.part.sources)) or f"changed.{os.getpid()}"
        named = {"i": share.number, "i0": share.number - 1, "n": share.part.shares, "bin": self.options.build / "bin",
                 "build": self.options.build, "root": ROOT, "python": sys.executable, "logs": self.options.logs,
                 "sources": sources}
        return [word.format(**named) for word in share.part.command], named

    def to_do(self):
        """The shares that are left: what was never done before what an older commit has, one of each part in turn, in
        the order of the table; so a run that ends early has seen some of all that matters most."""
        left = []
        for rank, part in enumerate(self.parts):
            if part in self.missing:
                continue
            shares = self.place.of(part)
            turn = sum(entry is not None for entry in shares.values())
            for number, entry in shares.items():
                if entry is None or (self.options.again and entry["ended"] != DONE):
                    older = bool(part.whole_before or self.place.all_of(part, number))
                    left.append(Share(part, number, (older, turn, rank)))
                    turn += 1
        return sorted(left, key=lambda share: share.order)

    def has_time(self, part):
        return not self.told_to_end and time.monotonic() + self.place.seconds_of(part) <= self.ends_at

    def begin(self, share):
        words, named = self.words(share)
        environment = {**os.environ, "XLSTORE_TURN": str(share.number - 1),
                       **{name: value.format(**named) for name, value in share.part.environment.items()}}
        with open(self.log(share), "wb") as log:
            # It ends with this process: what is begun again must not find the share that was cut off still at work.
            share.process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        share.begun = time.monotonic()
        self.running[os.pidfd_open(share.process.pid)] = share

    def log(self, share):
        return self.options.logs / f"{share.part.name}.{share.number}.out"

    def end(self, descriptor):
        share = self.running.pop(descriptor)
        os.close(descriptor)
        status = share.process.wait()
        seconds = time.monotonic() - share.begun
        said = self.log(share).read_text(errors="replace")
        if self.told_to_end and status != 0:
            return      # not to its end: it is left
        ended = {0: DONE, CANNOT: SKIPPED}.get(status, FAILED)
        last = ([line for line in said.splitlines() if line.strip()] or [""])[-1].strip()
        if share.told:
            last = f"did not end in {limit_of(share.part):g} minutes; {last}"
        violations = len(re.findall(r"^VIOLATION", said, re.MULTILINE))
        why = {} if ended == DONE else {"status": status, "violations": violations, "last": last[:300]}
        self.place.add(share.part, share=share.number, of=share.part.shares, ended=ended, seconds=round(seconds, 1),
                       sanitizers=self.sanitizers, counts=counts_in(share.part, said), **why)
        where = f", see {self.log(share)}" if ended != DONE else ""
        print(f"{share.name()}: {ended} after {seconds:.0f} s{where}: {last[:160]}", flush=True)

    def tell(self, share, number):
        try:
            os.killpg(share.process.pid, number)
        except ProcessLookupError:
            pass
        share.told = share.told or time.monotonic()

    def wait(self):
        poll = select.poll()
        for descriptor in self.running:
            poll.register(descriptor, select.POLLIN)
        now = time.monotonic()
        for share in self.running.values():
            if share.told and now > share.told + SECONDS_TO_END:
                self.tell(share, signal.SIGKILL)
            elif not share.told and now > share.begun + 60 * limit_of(share.part):
                self.tell(share, signal.SIGTERM)
        for descriptor, _ in poll.poll(10_000):
            self.end(descriptor)

    def stop(self, *_):
        self.told_to_end = True
        for share in self.running.values():
            self.tell(share, signal.SIGTERM)

    def run(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        queue = self.to_do()
        while queue or self.running:
            used = sum(share.part.load or self.room for share in self.running.values())
            for share in [one for one in queue if self.has_time(one.part)]:
                load = share.part.load or self.room
                if used + load > self.room and self.running:
                    if not share.part.load:
                        break   # what has to be alone waits for its turn, and lets none overtake it
                    continue
                queue.remove(share)
                self.begin(share)
                used += load
            if not self.running:
                break
            self.wait()

    def words_of_commits(self, part, ended):
        """Where what counts is of other commits."""
        commits = self.place.commits
        others = [entry for entry in ended if entry["commit"] != commits.here]
        by_commit = collections.Counter(entry["commit"] for entry in others)
        words = []
        for commit, number in by_commit.items():
            changed = max(commits.changed(part, entry) or 0 for entry in others if entry["commit"] == commit)
            words.append(f"{number} of them on {commit[:9]}, " + (
                "whose sources are the same" if changed == 0 else f"{changed} files of its sources differ"))
        return words

    def tell_of(self, part):
        shares = self.place.of(part)
        ended = [entry for entry in shares.values() if entry]
        failed = [n for n, entry in shares.items() if entry and entry["ended"] == FAILED]
        skipped = sum(entry["ended"] == SKIPPED for entry in ended)
        older = sum(entry is None and any(line["ended"] == DONE for line in self.place.all_of(part, n))
                    for n, entry in shares.items())
        words = [f"{len(ended)} of {part.shares} shares", *sums_of(ended)]
        words += [f"{skipped} SKIPPED: this system lacks something"] if skipped else []
        words += self.words_of_commits(part, ended)
        words += [f"{older} more on older sources alone"] if older else []
        words += [f"missing: there is no {part.needs}"] if part in self.missing else []
        words += [f"FAILED: {', '.join(map(str, failed))}"] if failed else []
        print(f"{part.name:<{max(len(one.name) for one in self.parts)}}  {'; '.join(words)}")
        left = 0 if part in self.missing else part.shares - len(ended)
        return bool(failed), left + skipped + (part in self.missing), left * self.place.seconds_of(part) * (
            part.load or self.room) / self.room

    def tell_all(self):
        told = [(part, *self.tell_of(part)) for part in self.parts]
        left = sum(one[2] for one in told)
        shares = sum(one[2] for one in told if not one[0].whole_before)
        hours = sum(one[3] for one in told if not one[0].whole_before) / 3600
        print(f"commit {self.place.commits.here}: {shares} shares left, about {hours:.1f} hours")
        for part, _, more, seconds in told:
            if part.whole_before and more:
                print(f"besides, of {part.name} {more} shares, about {seconds / 3600:.1f} hours; the whole of it was run on "
                      f"{' '.join(part.whole_before)}")
        return SOME_FAILED if any(one[1] for one in told) else SOME_LEFT if left else ALL_WELL


def sums_of(ended):
    """What shares tried, all in all, in words."""
    counts = collections.Counter()
    for entry in ended:
        counts.update(entry["counts"])
    return [f"{number:,} {name.replace('_', ' ')}".replace(",", " ") for name, number in counts.items()]


def table_of(parts, place):
    """The record as PROOF.md has it: of each share its last line, of any commit."""
    rows = ["| part | shares that ended well | figures | did not | hours | commits |", "| --- | --- | --- | --- | --- | --- |"]
    for part in parts:
        if part.whole_before:
            rows.append(f"| `{part.name}` | the whole, by hand | {part.whole_before[1]} | | | {part.whole_before[0]} |")
        last = [lines[0] for n in range(1, part.shares + 1) if (lines := place.all_of(part, n))]
        if not last:
            continue
        done = [entry for entry in last if entry["ended"] == DONE]
        failed = [f"{entry['share']}: {entry.get('violations') or entry['ended']}" for entry in last if entry["ended"] != DONE]
        commits = list(dict.fromkeys(entry["commit"][:9] for entry in last))
        rows.append(f"| `{part.name}` | {len(done)} of {part.shares} | {', '.join(sums_of(done))} | {', '.join(failed)} | "
                    f"{sum(entry['seconds'] for entry in last) / 3600:.2f} | {', '.join(commits)} |")
    return "\n".join(rows) + "\n"


def write_table(parts):
    text = TOLD_IN.read_text(encoding="utf-8")
    table = table_of(parts, Place(RECORD, Commits()))
    TOLD_IN.write_text(TABLE.sub(lambda _: table, text), encoding="utf-8")


def is_missing(part, build):
    return bool(part.needs) and not os.path.exists(part.needs.format(bin=build / "bin"))


def sanitizers_of(build):
    """As the build was configured; nothing: none."""
    cache = build / "CMakeCache.txt"
    found = re.search(r"^XLSTORE_SANITIZE:\w+=(.*)$", cache.read_text(encoding="utf-8"), re.MULTILINE) if cache.exists() else None
    return found[1] if found else ""


def build_all(build, parts):
    """What the parts run, of the sources as they are: else the proof would be of another commit. What went wrong, or
    nothing."""
    targets = sorted({target for part in parts if not is_missing(part, build) for target in part.targets})
    if not targets:
        return ""
    words = ["cmake", "--build", str(build), "--target", *targets]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{' '.join(words)}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def options_of(words):
    parser = argparse.ArgumentParser(prog="proof.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=lambda path: pathlib.Path(path).resolve(), help="of the preset proof, or another")
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument("--hours", type=float)
    how_long.add_argument("--minutes", type=float)
    parser.add_argument("--only", help="these parts, with commas between")
    parser.add_argument("--since", metavar="COMMIT", help="what was proved on it or later counts, of other sources too")
    parser.add_argument("--left", action="store_true", help="tell what is left, and run nothing")
    parser.add_argument("--again", action="store_true", help="what failed or was skipped, too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="cores to use; default: all")
    parser.add_argument("--write", action="store_true", help="make the table of tests/PROOF.md from the record")
    parser.add_argument("--place", type=pathlib.Path, help="default: tests/crash/proof.jsonl, or BUILD/proof/place")
    parser.add_argument("--parts", type=pathlib.Path, help=argparse.SUPPRESS)   # another list: proof_test.py
    options = parser.parse_args(words)
    if options.write == bool(options.build):
        parser.error("BUILD, or --write alone")
    if options.write:
        return parser, options
    options.logs = options.build / "proof"
    minutes = options.minutes if options.hours is None else 60 * options.hours
    options.seconds = float("inf") if minutes is None else 60 * minutes
    return parser, options


def main():
    parser, options = options_of(sys.argv[1:])
    parts = proof_parts.PARTS
    if options.write:
        write_table(parts)
        return ALL_WELL
    if options.parts:
        parts = [proof_parts.Part(**{"targets": (), **row}) for row in json.loads(options.parts.read_text())]
    if options.only:
        known = {part.name: part for part in parts}
        if unknown := set(options.only.split(",")) - set(known):
            parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(known)}")
        parts = [known[name] for name in options.only.split(",")]
    if options.since and git("rev-parse", "--verify", "--quiet", options.since + "^{commit}").returncode != 0:
        parser.error(f"there is no commit {options.since}")
    if not options.left and (why := build_all(options.build, parts)):
        parser.error(f"it does not build: {why}")
    options.logs.mkdir(parents=True, exist_ok=True)
    commits = Commits(options.since)
    on_record = not options.parts and "+" not in commits.here
    proof = Proof(options, parts, Place(options.place or (RECORD if on_record else options.logs / "place"), commits))
    if not options.left:
        proof.run()
    return proof.tell_all()


if __name__ == "__main__":
    sys.exit(main())
