#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck --libxl is killed at its system calls, on what real Xen hosts were left with, and run again.

    host_kills.py --bin BUILD/bin [--mode MODE] [--share K/N [--start S]] [--take N | --slice I/N] [--every-stop]
                  [--every-kill] [--number N] [--verbose] [CASE…]

The cases are those of host_test.py; a mode is -p, -y, or --undo of what -y did. The command runs undisturbed: what
has to come of it. Then it is stopped at each of its stops (tests/crash/killer.cc, --skip-pure --ask): what is there, a
kill leaves. It is killed at the first stop where the host is as it was at no stop before, by files, nodes and their
names: what runs next sees nothing else. Then from the beginning, until no stop is new. Each time:

  - each of libxl's files is, to the byte, as it was or as it is to be, and so is what libxl would read of it; what a
    libxl that was killed had written, and not yet put in its place, is as it was;
  - a look (-n) changes nothing, and knows what it looks at;
  - the same command once more ends well, and leaves libxl's files and the nodes of the undisturbed run; a look
    behind it says what it says behind that one;
  - what the runs kept to undo, undone the last run first, brings all back.

Not looked at is where a run writes into the store of its own in TMPDIR, which the next one takes away as a whole.
Status 77: there is no xenstored. --take: that many pairs of case and mode, as XLSTORE_TURN chooses; a share is of their
stops. --slice: every N-th pair, all of it. --every-kill: at each stop.
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

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(1, str(HERE.parent / "support"))
import asked  # noqa: E402
import host_test  # noqa: E402
import own_processes  # noqa: E402
from kills import KILLED, LEAVES_NOTHING  # noqa: E402

SECONDS = 300
TIMEOUT = "60"  # of xlfsck, for each domain: what it asks here answers, on a loaded machine late
# And where a document is missing: a look waits so long for one, which here no creation will write.
TIMEOUT_OF_MISSING = "2"
MODES = ("-p", "-y", "--undo")
SIDE_BY_SIDE = 4    # they wait, each for the second look of xlfsck
SHIFT = 80      # so much lower may the number of a stop be in another run, which waits shorter
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

    def begun(self):
        """What a libxl that was killed had written beside them: it may be the only copy."""
        return {path.name: path.read_bytes() for path in self.lib.glob("userdata-n.*.libxl-json")}


def node_lines(dump):
    return [line.split(" = ", 1) for line in dump.splitlines() if " = " in line]


def result_of(host):
    """What has to be the same in the end: libxl's files and the nodes."""
    files, tree = host_test.without_lock_files(host.snapshot())
    return files, "\n".join(line for line in tree.splitlines() if not PROOF.match(line))


class Sweep:
    """A case and a mode."""

    def __init__(self, path, mode, options):
        self.path, self.mode, self.options = path, mode, options
        self.stops = self.kills = self.strayed = self.bad = 0
        self.seen, self.last = set(), 0     # how the host was at the stops; the stop of the last kill

    def name(self):
        return f"{self.path.name} {self.mode}"

    def run(self):
        state = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory(prefix="xlhk-") as place:
            host = self.host = Host(place, self.options.bin, state)
            try:
                host.begin()
                if self.prepare():
                    self.kill_it()
            finally:
                host.end()
        return self

    def kill_it(self):
        if self.options.number:
            self.host.put_back()
            self.killed(self.options.number, None, *self.fsck(self.options.bin / "killer", str(self.options.number),
                                                              "--skip-pure", "--"))
            return
        share = self.share()
        while self.kill_at_a_new_stop(share):
            pass
        self.say(f"{self.stops} stops, {self.kills} kills")

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
        self.begun = host.begun()
        self.status, told = self.fsck()
        if self.status & 8:
            raise RuntimeError(f"{self.name()}: undisturbed it could not look: {told}")
        self.after = host.documents()
        self.result = result_of(host)
        self.looked = host.fsck("-n")[0]
        return True

    def start(self, *before, keep=()):
        where = ["--libxl"] if self.mode == "--undo" else ["--libxl", "--root", self.host.place, "--timeout", self.host.timeout()]
        # LeakSanitizer traces its own process with ptrace, which a traced process cannot.
        environment = {**self.host.environment, **({"ASAN_OPTIONS": "detect_leaks=0"} if before else {})}
        return subprocess.Popen([*before, self.options.bin / "xlfsck", *where, *self.command], env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", pass_fds=keep)

    def fsck(self, *before):
        return ended(self.start(*before))

    def share(self):
        """The numbers of the stops of this share."""
        self.host.put_back()
        record = pathlib.Path(self.host.place, "record")
        self.fsck(self.options.bin / "killer", "0", "--record", record, "--skip-pure", "--")
        stops = [line.split("\t") for line in record.read_text(encoding="utf-8", errors="replace").splitlines()]
        chosen = [int(words[0]) for words in stops if words[0].isdigit() and
                  (self.options.every_stop or leaves_something(words[2]))]
        share = chosen[self.options.start % min(self.options.of, len(chosen))::self.options.of] if chosen else []
        self.say(f"undisturbed, {self.status}; {len(stops)} stops, {len(chosen)} of them to look at, {len(share)} in this share")
        self.stops = len(share)
        return set(share)

    def kill_at_a_new_stop(self, share):
        """False: it ended by itself, since there was none."""
        self.host.put_back()
        new = None

        def is_new(number, _):
            nonlocal new
            if number in share and number > self.last - SHIFT:
                name = number if self.options.every_kill else self.how_it_is()
                new = None if name in self.seen else (number, name)
            return new

        status, said = ended(asked.under_killer(
            lambda fd: self.start(self.options.bin / "killer", "0", "--skip-pure", "--ask", str(fd), "--", keep=[fd]),
            is_new, SECONDS))
        if new:
            self.last = new[0]
            self.seen.add(new[1])
            self.killed(*new, status, said)
        elif status != self.status:
            self.judge(0, [f"stopped and continued it ended with {status}, and not {self.status}"], said)
        return new is not None

    def say(self, text):
        if self.options.verbose:
            print(f"{self.name()}: {text}", flush=True)

    def killed(self, number, name, status, said):
        words = []
        if status == KILLED:
            self.kills += 1
            words = self.whole()
            if isinstance(name, str) and self.how_it_is() != name:
                self.strayed += 1
                self.seen.add(self.how_it_is())
            words += self.after_kill()
        elif name is not None or status != self.status:
            words = [f"survived, and ended with {status}: {said}"]
        self.judge(number, words, said)

    def judge(self, number, words, said):
        if not words:
            return
        self.bad += 1
        verdict = ([line for line in said.splitlines() if line.startswith("killer: ")] or [said.strip()])[-1]
        print(f"VIOLATION: {self.name()}, stop {number} ({verdict}):\n    " + "\n    ".join(words) +
              f"\n    again: host_kills.py --mode={self.mode} --number {number} {self.path.name}", flush=True)

    def whole(self):
        now = self.host.documents()
        lost = [f"{name} is not as it was: {self.host.begun().get(name)!r}"
                for name, content in self.begun.items() if self.host.begun().get(name) != content]
        return lost + [f"{name} is neither as it was nor as it is to be: {now.get(name)!r}"
                for name in sorted(now.keys() | self.before.keys() | self.after.keys())
                if now.get(name) not in (self.before.get(name), self.after.get(name))]

    def how_it_is(self):
        """A name for how the host is, the same of another host. What a dead process left in TMPDIR is known by its name
        alone, and the next run takes it away, so that what is in it does not matter."""
        files, tree = self.host.snapshot()
        kept = {re.sub(r"\d{8}T\d{6}Z", "DATE", name): content[:2] for name, content in files.items()
                if not name.startswith("tmp/")}
        left = any(pathlib.Path(self.host.place, "tmp").iterdir())
        kept = {name: PROOF.sub("PROOF", content[0].decode(errors="replace")) for name, content in kept.items()}
        state = repr((sorted(kept.items()), PROOF.sub("PROOF", tree), left)).replace(self.host.place, "DIR")
        return hashlib.sha256(RUN.sub("RUN", state).encode()).hexdigest()

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


def ended(run):
    try:
        said = run.communicate(timeout=SECONDS)[0]
    except subprocess.TimeoutExpired:
        run.kill()
        return None, run.communicate()[0] + f"\nit did not end in {SECONDS} s"
    return run.returncode, said


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
    parser.add_argument("--every-kill", action="store_true", help="at stops where the host is as at another, too")
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
    if options.slice:
        number, of = map(int, options.slice.split("/"))
        pairs = pairs[number - 1::of]
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        table = list(pool.map(lambda pair: Sweep(*pair, options).run(), pairs))
    for sweep in table if options.verbose else []:
        print(f"{sweep.name():60}{sweep.stops:8}{sweep.kills:8}{sweep.strayed:8}{sweep.bad:12}")
    stops, kills, strayed, bad = (sum(getattr(sweep, what) for sweep in table) for what in ("stops", "kills", "strayed", "bad"))
    print(f"{len(table)} cases and modes, {stops} stops, {kills} kills, {strayed} of them strayed, {bad} violations")
    return 1 if bad or not kills else 0


if __name__ == "__main__":
    own_processes.begin_alone()
    sys.exit(main())
