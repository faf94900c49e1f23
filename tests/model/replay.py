#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Holds traces of real runs against the model's steps (README.md).

    replay.py TRACE...                   each incarnation in it; a step that is not allowed fails
    replay.py --qemu-deaths 3 TRACE...   where QEMU may have died of itself

A trace is what XLSTORE_TRACE=FILE wrote (store/testing/trace.hpp). A line "PID ended" may have been put
behind a process's last, which then had its effect; otherwise the process may have been killed in it.

Exit status: 0 all are allowed, 1 one is not, 77 there is no spin.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
MEMORY_MB = 2000

KINDS = {**dict.fromkeys(("device_add", "blockdev-add", "chardev-add", "object-add", "netdev_add", "add-fd"), "MAKE_WHOLE"),
         **dict.fromkeys(("blockdev-del", "chardev-remove", "object-del", "netdev_del", "remove-fd"), "TAKE_PART"),
         **dict.fromkeys(("eject", "blockdev-remove-medium"), "TAKE_OUT"),
         **dict.fromkeys(("blockdev-change-medium", "blockdev-insert-medium"), "PUT_IN"),
         "device_del": "ASK_GUEST"}
IMAGES = {"after": "WAS_AFTER", "before": "WAS_BEFORE", "neither": "EMPTY", "half": "HALF", "nothing": "ANY"}
VERBS = {"add": "ADD", "remove": "REMOVE", "change": "CHANGE"}
SEEN_FOR = {"add": "ABSENT", "remove": "ANY", "change": "IN_DRIVE"}
REPLIES = {"done": "REPLY_DONE", "refused": "REPLY_REFUSED", "nothing": "NO_REPLY"}
COMMITS = {"register": "REGISTER", "register running": "REGISTER_RUNNING", "born": "BORN", "running": "STARTED", "unregister QEMU": "UNREGISTER",
           "open intent": None, "settle intent": None, "note intent": None}
STEPS = {"slow.taken": "TAKE", "slow.given": "GIVE", "slow.broken": "BREAK_LOCK", "connected": "CONNECT",
         "refused": "REFUSED_COMMIT", "spawned": "SPAWN", "start_barrier": "GATE", "destroy.locked": "DESTROY_LOCK",
         "destroy.mark": "MARK", "destroy.kill": "KILL", "destroy.dead": "SEEN_DEAD", "destroy.unlink": "UNLINK",
         "destroy.end": "END"}


def numbers():
    """Of the names that replay.pml and steps.pml define."""
    found = {}
    for file in ("steps.pml", "replay.pml"):
        text = (HERE / file).read_text(encoding="utf-8")
        found.update((name, int(value)) for name, value in re.findall(r"^#define (\w+) (\d+)\b", text, re.MULTILINE))
    return found


NUMBERS = numbers()


class Incarnation:
    """The lines of one, and what they are as moves."""

    def __init__(self):
        self.lines = []     # (line number, pid, step, detail)

    def happened(self, at):
        """A commit whose epoch a later hold began with. Of any other last line that is not known."""
        epoch = re.compile(r"epoch=(\d+)")
        if self.lines[at][2] != "commit" or any(step == "slow.broken" for _, _, step, _ in self.lines):
            return False
        taken = next((detail for _, _, step, detail in self.lines[at:] if step == "slow.taken"), "epoch=0")
        return int(epoch.search(taken)[1]) >= int(epoch.search(self.lines[at][3])[1])

    def moves(self, ended):
        last = {pid: at for at, (_, pid, _, _) in enumerate(self.lines)}
        things, born, intents, batched, slots, waiting = {}, set(), {}, set(), {}, {}
        moves, self.slots = [], 0

        def thing(name):
            return things.setdefault(name, len(things))

        def field(detail, name):
            return re.search(rf"(?:^| ){name}=(\S+)", detail)[1]

        for at, (line, pid, step, detail) in enumerate(self.lines):
            if pid not in slots:
                slots[pid] = next(n for n in range(len(slots) + 1) if n not in slots.values())
                self.slots = max(self.slots, len(slots))
            made = []

            def move(what, it=0, with_=0):
                if it is None:  # an intent that was never opened
                    what, it = "NEVER", 0
                made.append((NUMBERS[what], slots[pid], it, with_ if isinstance(with_, int) else NUMBERS[with_], line))

            if step == "slow.taken" and waiting.get(pid) == "row":
                del waiting[pid]
                move("ROW", 0, "ANY")   # its argument is known at the end
            elif step == "row" and detail.startswith("creating "):
                waiting[pid] = "row"
            elif step == "row":
                move("IMPORT", 0, "ANY")
            elif step == "probed":
                if detail.startswith("thing="):
                    name, verb = field(detail, "thing"), field(detail, "verb")
                    if name not in things and verb != "add":
                        born.add(name)
                    move("LOOK", thing(name), SEEN_FOR[verb])
                else:
                    intent, image = field(detail, "intent"), field(detail, "image")
                    # Of a batch: not each of its things is half there.
                    move("LOOK", intents.get(intent), "ANY" if image == "half" and intent in batched else IMAGES[image])
            elif step in ("intent", "noted", "settled"):
                waiting.setdefault(pid, []).append((step, detail))
            elif step == "commit":
                what = detail.split(" ", 1)[1]
                group = waiting.pop(pid, [])
                if len(group) > 1:
                    batched.update(field(more, "intent") for _, more in group)
                for of, more in group:
                    if of == "intent":
                        it = intents[field(more, "intent")] = thing(field(more, "thing"))
                        move("OPEN", it, VERBS[field(more, "verb")])
                    elif of == "noted":
                        move("NOTE", intents.get(field(more, "intent")), int(field(more, "asked")))
                    else:
                        move("SETTLE", intents.get(field(more, "intent")), IMAGES[field(more, "image")])
                if COMMITS.get(what, "OTHER_COMMIT"):
                    move(COMMITS.get(what, "OTHER_COMMIT"))
            elif step == "sending":
                move("SEND", 0, KINDS[detail]) if detail in KINDS else move("QUERY")
            elif step == "replied":
                asked = next(s for s in reversed(self.lines[:at]) if s[1] == pid and s[2] == "sending")
                if asked[3] in KINDS or detail == "nothing":
                    move(REPLIES[detail])
            elif step == "refused":
                waiting.pop(pid, None)
                move("REFUSED_COMMIT")
            else:
                move(STEPS[step])
            if at == last[pid]:
                if made and pid not in ended and not self.happened(at):
                    made.insert(0, (NUMBERS["MAYBE"], 0, 0, len(made), line))
                move("DIES")
                slots.pop(pid)
            moves += made
        document = sum(1 << things[name] for name in born)
        self.things = max(len(things), 1)
        return [(*m[:3], document, m[4]) if m[0] in (NUMBERS["ROW"], NUMBERS["IMPORT"]) else m for m in moves]


class Number:
    """The incarnations of one domid and uuid, one after the other, and the tombstones between them."""

    things, slots = 1, 1
    MOVES = {"tombstone": "TOMBSTONE", "forestalled": "FORESTALLED", "row": "LIFE_BEGINS", "destroy.end": "LIFE_ENDS"}

    def __init__(self):
        self.lines = []     # as those of an incarnation
        self.lasts = set()  # those that are their process's last

    def moves(self, ended):
        made = []
        for line, pid, step, detail in self.lines:
            if line in self.lasts and pid not in ended:
                made.append((NUMBERS["MAYBE"], 0, 0, 1, line))
            made.append((NUMBERS[self.MOVES[step]], 0, 0, int(detail.startswith("running ")), line))
        return made


def numbers_of(lines):
    """By domid and uuid."""
    found, of_incarnation, last = {}, {}, {}
    for number, pid, step, incarnation, detail in lines:
        last[pid] = number
        if step in ("tombstone", "forestalled", "row"):
            name = re.search(r"domid=\d+ uuid=\S+", detail)[0]
            of_incarnation[incarnation] = name
        elif step == "destroy.end":
            name = of_incarnation.get(incarnation)
        else:
            continue
        if name:
            found.setdefault(name, Number()).lines.append((number, pid, step, detail))
    for one in found.values():
        one.lasts = {number for number, pid, _, _ in one.lines if last[pid] == number}
    # Where there is no tombstone an incarnation's own replay has it all.
    return {name: one for name, one in found.items() if any(step in ("tombstone", "forestalled") for _, _, step, _ in one.lines)}


def read_trace(text):
    """Its incarnations and numbers, by name, and the processes that are known to have ended."""
    found, ended, lines = {}, set(), []
    for number, line in enumerate(text.splitlines(), 1):
        pid, step, *rest = line.split(" ", 3)
        if step == "ended":
            ended.add(pid)
            continue
        lines.append((number, pid, step, int(rest[0]), rest[1] if len(rest) > 1 else ""))
        if rest[0] != "0":
            name = f"incarnation {rest[0]}"
            found.setdefault(name, Incarnation()).lines.append((number, pid, step, lines[-1][-1]))
    return found | numbers_of(lines), ended


class Replayer:
    """The model, compiled once for each number of things and processes."""

    def __init__(self, place, qemu_deaths):
        self.place = pathlib.Path(place)
        self.qemu_deaths = qemu_deaths

    def program(self, things, slots):
        # Few sizes: each is compiled anew.
        things, slots = -(-things // 4) * 4, -(-slots // 6) * 6
        here = self.place / f"{things}-{slots}-{self.qemu_deaths}"
        if not here.exists():
            here.mkdir()

            def run(*command):
                done = subprocess.run(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      check=False)
                if done.returncode != 0:
                    sys.exit(f"{command[0]} failed:\n{done.stdout}")

            run("spin", "-a", f"-DNT={things}", f"-DNP={slots}", "-DSET=int", f"-DQEMU_DEATHS={self.qemu_deaths}",
                str(HERE / "replay.pml"))
            run("gcc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-DNOREDUCE", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c")
        return here / "pan"

    def refused_at(self, incarnation, moves):
        """The line that cannot be made, 0 if all can."""
        pan = self.program(incarnation.things, incarnation.slots)
        file = self.place / "moves"
        file.write_text("".join(" ".join(map(str, move)) + "\n" for move in moves), encoding="utf-8")
        said = subprocess.run([pan, "-E", "-m1000000"], env={"MOVES": str(file)}, cwd=self.place, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout
        if "assertion violated" in said:
            return 0
        furthest = re.search(r"^furthest (\d+)", said, re.MULTILINE)
        if not furthest or "errors: 0" not in said or re.search(r"max search depth too small|out of memory|not completed|memory limit|MEMLIM", said):
            sys.exit(f"pan did not search it all:\n{said}")
        return int(furthest[1])


def replay(text, replayer):
    """(lines replayed, incarnations and numbers, what is refused)"""
    found, ended = read_trace(text)
    refused = []
    for name, one in found.items():
        if at := replayer.refused_at(one, one.moves(ended)):
            refused.append((name, at))
    return sum(len(one.lines) for one in found.values()), len(found), refused


def report(name, text, steps, incarnations, refused):
    print(f"{name}: {incarnations} incarnations, {steps} steps, {len(refused)} refused")
    for which, at in refused:
        print(f"  {which}: line {at} is not allowed: {text.splitlines()[at - 1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("traces", nargs="+", metavar="TRACE")
    parser.add_argument("--qemu-deaths", type=int, default=0)
    options = parser.parse_args()
    if not shutil.which("spin"):
        print("there is no spin")
        sys.exit(SKIPPED)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="xlstore-replay-") as place:
        replayer = Replayer(place, options.qemu_deaths)
        for name in options.traces:
            text = pathlib.Path(name).read_text(encoding="utf-8")
            found = replay(text, replayer)
            wrong += len(found[2])
            report(name, text, *found)
    sys.exit(wrong != 0)


if __name__ == "__main__":
    main()
