#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck --libxl is killed at its system calls, on what real Xen hosts were left with, and run again.

    host_kills.py --bin BUILD/bin [--mode MODE] [--share K/N [--start S]] [--take N | --slice I/N] [--every-stop]
                  [--number N] [--verbose] [CASE…]

The cases are those of host_test.py; a mode is -p, -y, or --undo of what -y did. The command runs undisturbed: what
has to come of it. Then it is killed at its stops (tests/crash/killer.cc, --skip-pure), and each time:

  - each of libxl's files is, to the byte, as it was or as it is to be, and so is what libxl would read of it;
  - a look (-n) changes nothing, and knows what it looks at;
  - the same command once more ends well, and leaves libxl's files and the nodes of the undisturbed run; a look
    behind it says what it says behind that one;
  - what the runs kept to undo, undone the last run first, brings all back.

A kill that leaves a host that an earlier one has left (its files, nodes and their names) is counted, and no more is
done: what runs next sees nothing else. Not killed is where a run writes into the store of its own in TMPDIR, which
the next one takes away as a whole. Status 77: there is no xenstored. --take: that many pairs of case and mode, as
XLSTORE_TURN chooses; a share is of their stops. --slice: every N-th pair, all of it.
"""

import argparse
import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import host_test  # noqa: E402
import own_processes  # noqa: E402
from kills import KILLED, LEAVES_NOTHING  # noqa: E402

SECONDS = 300
TIMEOUT = "60"  # of xlfsck, for each domain: what it asks here answers, on a loaded machine late
# And where a document is missing: a look waits so long for one, which here no creation will write.
TIMEOUT_OF_MISSING = "2"
MODES = ("-p", "-y", "--undo")
SIDE_BY_SIDE = 8    # they wait, each for the second look of xlfsck
KNOWN = 15      # bits of a status that say what was found
# By it an undo knows that a run that was killed made a change. It goes with the undo.
PROOF = re.compile("/tool/xlfsck-[0-9a-f-]+")
# Each run has a number of its own, at random, in what it keeps to undo.
RUN = re.compile('"run":"[0-9a-f-]+"')


class Host(host_test.Host):
    """One that is put back as it was; its QEMU and its xenstored live on."""

    def timeout(self):
        return TIMEOUT if self.documents() else TIMEOUT_OF_MISSING

    def fsck(self, *words, timeout=None):
        return super().fsck(*words, timeout=timeout or self.timeout())

    def note(self):
        self.first = self.snapshot()
        self.kept = pathlib.Path(self.place, "kept")
        shutil.copytree(pathlib.Path(self.place, "var"), self.kept)

    def put_back(self):
        shutil.rmtree(pathlib.Path(self.place, "var"))
        shutil.copytree(self.kept, pathlib.Path(self.place, "var"))
        for left in pathlib.Path(self.place, "tmp").iterdir():
            shutil.rmtree(left)
        now = dict(node_lines(self.xenstored("dump")))
        then = dict(node_lines(self.first[1]))
        if now == then:
            return
        for path in sorted(now.keys() - then.keys()):
            self.xenstored("rm", path)
        self.xenstored("load", text="".join(f"{path} = {value}\n" for path, value in then.items() if now.get(path) != value))
        if self.xenstored("dump") != self.first[1]:     # permissions, or the order of names
            raise RuntimeError(f"not put back: {host_test.difference(self.first, self.snapshot())}")

    def undo_directories(self):
        place = pathlib.Path(self.place, "var/lib/xlfsck")
        # libxl-DATE, libxl-DATE-2, …: in the order in which they were made.
        return sorted(place.iterdir(), key=lambda path: ([int(n) for n in re.findall(r"\d+", path.name)])) \
            if place.exists() else []

    def documents(self):
        """What libxl reads: of each domain the file, to the byte; without what a writer left unfinished."""
        return {path.name: path.read_bytes() for path in self.lib.iterdir() if path.name.startswith("userdata-d.")}


def node_lines(dump):
    return [line.split(" = ", 1) for line in dump.splitlines() if " = " in line]


def result_of(host):
    """What has to be the same in the end: libxl's files and the nodes."""
    files, tree = host_test.without_lock_files(host.snapshot())
    return files, "\n".join(line for line in tree.splitlines() if not PROOF.match(line))


class Seen:
    """The states in which kills of a case and mode left their hosts; its pieces have one in common."""

    def __init__(self):
        self.names, self.lock = set(), threading.Lock()

    def is_new(self, name):
        with self.lock:
            new = name not in self.names
            self.names.add(name)
        return new


class Sweep:
    """A case and a mode, or a piece of them."""

    def __init__(self, path, mode, start, of, seen, options):
        self.path, self.mode, self.start, self.of, self.seen, self.options = path, mode, start, of, seen, options
        self.kills = self.states = self.bad = 0

    def name(self):
        return f"{self.path.name} {self.mode}"

    def run(self):
        state = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory(prefix="xlhk-") as place:
            host = self.host = Host(place, self.options.bin, state)
            try:
                host.begin()
                if self.prepare():
                    for number in [self.options.number] if self.options.number else self.stops():
                        self.one(number)
            finally:
                host.end()
        return self

    def prepare(self):
        """False: there is nothing to undo here."""
        host = self.host
        self.original = result_of(host)
        self.command = [self.mode]
        if self.mode == "--undo":
            host.fsck("-y")
            directories = host.undo_directories()
            if not directories:
                return False
            self.command = ["--undo", *directories]
        host.note()
        self.before = host.documents()
        self.status, told = self.fsck()
        if self.status & 8:
            raise RuntimeError(f"{self.name()}: undisturbed it could not look: {told}")
        self.after = host.documents()
        self.result = result_of(host)
        self.looked = host.fsck("-n")[0]
        return True

    def fsck(self, *before):
        where = ["--libxl"] if self.mode == "--undo" else ["--libxl", "--root", self.host.place, "--timeout", self.host.timeout()]
        done = subprocess.run([*before, self.options.bin / "xlfsck", *where, *self.command], env=self.host.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=SECONDS, check=False)
        return done.returncode, done.stdout

    def stops(self):
        self.host.put_back()
        record = pathlib.Path(self.host.place, "record")
        self.fsck(self.options.bin / "killer", "0", "--record", record, "--skip-pure", "--")
        stops = [line.split("\t") for line in record.read_text(encoding="utf-8", errors="replace").splitlines()]
        chosen = [int(words[0]) for words in stops if words[0].isdigit() and
                  (self.options.every_stop or leaves_something(words[2]))]
        share = chosen[self.start % min(self.of, len(chosen))::self.of] if chosen else []
        self.say(f"undisturbed, {self.status}; {len(stops)} stops, {len(chosen)} of them to kill at, {len(share)} in this share")
        return share

    def say(self, text):
        if self.options.verbose:
            print(f"{self.name()}: {text}", flush=True)

    def one(self, number):
        self.host.put_back()
        status, said = self.fsck(self.options.bin / "killer", str(number), "--skip-pure", "--")
        words = []
        if status == KILLED:
            self.kills += 1
            words = self.whole()
            if self.is_new():
                self.states += 1
                words += self.after_kill()
        elif status != self.status:
            words = [f"survived, and ended with {status}: {said}"]
        if words:
            self.bad += 1
            verdict = ([line for line in said.splitlines() if line.startswith("killer: ")] or ["?"])[-1]
            print(f"VIOLATION: {self.name()}, stop {number} ({verdict}):\n    " + "\n    ".join(words) +
                  f"\n    again: host_kills.py --mode={self.mode} --number {number} {self.path.name}", flush=True)

    def whole(self):
        now = self.host.documents()
        return [f"{name} is neither as it was nor as it is to be: {now.get(name)!r}"
                for name in sorted(now.keys() | self.before.keys() | self.after.keys())
                if now.get(name) not in (self.before.get(name), self.after.get(name))]

    def is_new(self):
        """No kill before left a host so. What a dead process left in TMPDIR is known by its name alone, and the next
        run takes it away, so that what is in it does not matter."""
        files, tree = self.host.snapshot()
        kept = {re.sub(r"\d{8}T\d{6}Z", "DATE", name): content[:2] for name, content in files.items()
                if not name.startswith("tmp/")}
        left = any(pathlib.Path(self.host.place, "tmp").iterdir())
        kept = {name: PROOF.sub("PROOF", content[0].decode(errors="replace")) for name, content in kept.items()}
        state = repr((sorted(kept.items()), PROOF.sub("PROOF", tree), left)).replace(self.host.place, "DIR")
        return self.seen.is_new(hashlib.sha256(RUN.sub("RUN", state).encode()).digest())

    def after_kill(self):
        host, words = self.host, []
        before = host.snapshot()
        looked, said = host.fsck("-n")
        after = host.snapshot()
        # Of a directory that a dead run left in TMPDIR a look may free the host.
        if (without_tmp(after)) != without_tmp(before):
            words.append(f"a look changed something: {host_test.difference(before, after)}\n{said}")
        if looked < 0 or looked & ~KNOWN:
            words.append(f"a look ended with {looked}: {said}")
        status, said = self.fsck()
        if status < 0 or status & ~(self.status | 1) or (self.mode == "--undo" and status != self.status):
            words.append(f"again it ended with {status}: {said}")
        if result_of(host) != self.result:
            words.append(f"not what the undisturbed run left: {host_test.difference(self.result, result_of(host))}\n{said}")
        looked, said = host.fsck("-n")
        if looked != self.looked:
            words.append(f"a look at the end says {looked}, and not {self.looked}: {said}")
        if list(pathlib.Path(host.place, "tmp").iterdir()):
            words.append("what the killed run left in TMPDIR is there for ever")
        return words + (self.undone() if self.mode != "--undo" else [])

    def undone(self):
        host = self.host
        told = [host.fsck("--undo", directory)[1] for directory in reversed(host.undo_directories())]
        now = result_of(host)
        if now != self.original:
            return [f"undone it is not as it was: {host_test.difference(self.original, now)}\n{''.join(told)}"]
        if PROOF.search(host.xenstored("dump")):
            return [f"undone, the node that proved a change is left:\n{''.join(told)}"]
        return []


def leaves_something(call):
    name = call.split()[0]
    in_its_store = "/tmp/xlfsck-host-" in call and name not in ("mkdir", "rmdir", "unlink", "renameat2")
    return name not in LEAVES_NOTHING and not in_its_store


def without_tmp(snapshot):
    files, tree = snapshot
    return {name: content for name, content in files.items() if not name.startswith("tmp/")}, tree


def options_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--mode", choices=MODES, help="default: all")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="K of N stops, spread evenly")
    parser.add_argument("--start", type=int, default=int(os.environ.get("XLSTORE_TURN", "0")))
    parser.add_argument("--take", type=int)
    parser.add_argument("--slice", metavar="I/N")
    parser.add_argument("--every-stop", action="store_true")
    parser.add_argument("--number", type=int, help="this stop alone")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    part, parts = map(int, re.fullmatch(r"(\d+)/(\d+)", options.share).groups())
    options.of = max(1, parts // part)
    return options


def main():
    options = options_of()
    paths = [path for path in host_test.cases() if not options.cases or path.name in options.cases]
    pairs = list(itertools.product(paths, [options.mode] if options.mode else MODES))
    if options.take:
        pairs = [pairs[(options.start + i * len(pairs) // options.take) % len(pairs)] for i in range(options.take)]
    pieces = [(*pair, options.start, options.of, Seen()) for pair in pairs]
    if options.slice:
        number, of = map(int, options.slice.split("/"))
        pieces = []
        for pair in pairs[number - 1::of]:
            seen = Seen()
            pieces += [(*pair, start, SIDE_BY_SIDE, seen) for start in range(SIDE_BY_SIDE)]
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        table = list(pool.map(lambda piece: Sweep(*piece, options).run(), pieces))
    for sweep in table if options.verbose else []:
        print(f"{sweep.name():60}{sweep.kills:8}{sweep.states:8}{sweep.bad:12}")
    kills, states, bad = (sum(getattr(sweep, what) for sweep in table) for what in ("kills", "states", "bad"))
    print(f"{len(table)} cases and modes, {kills} kills, {states} states, {bad} violations")
    return 1 if bad or not kills else 0


if __name__ == "__main__":
    own_processes.begin_alone()
    sys.exit(main())
