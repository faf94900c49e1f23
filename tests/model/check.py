#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Explores the model of the protocol (README.md).

    check.py             the sound model, small enough for every run of the tests
    check.py --whole     and with more that goes wrong: minutes, and some GB
    check.py --mutants   each rule omitted in turn: its claim has to break

Exit status: 0 as it has to be, 1 not, 77 there is no spin.
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
MEMORY_MB = 4000
COMPILER = "tcc" if shutil.which("tcc") else "gcc"
SKIPPED = 77

# name, file, definitions
SOUND = [
    ("operations", "operations", "CRASHES=1 BREAKS=1"),
    ("operations, two crashes", "operations", "CRASHES=2"),
    ("two images of other ids", "operations", "TWO_IDS CRASHES=1"),
    ("two recoveries", "operations", "TWO_RECOVERIES CRASHES=2"),
    ("medium of a drive", "operations", "DRIVE CRASHES=2"),
    ("medium of a drive, broken connection", "operations", "DRIVE CRASHES=1 BREAKS=1"),
    ("medium of a drive, lost lock", "operations", "DRIVE CRASHES=0 BREAKS=1 LOSSES=1"),
    ("every operation ends", "operations", "ENDS CRASHES=0"),
    ("device of xenstore, domain without QEMU", "xenstore", "CRASHES=1 BREAKS=1"),
    ("medium in two primaries", "primaries", "CRASHES=1 SILENCES=1"),
    ("database that goes back", "older", "CRASHES=1"),
    ("move between two hosts", "migration", "CRASHES=1"),
    ("domain on two hosts by mistake", "migration", "MISTAKE CRASHES=2"),
    ("document below its locks", "document", "CRASHES=1"),
    ("registration of what runs, soft reset, tombstone", "registration", "CRASHES=1"),
    ("lifecycle, few processes", "lifecycle", "FEW CRASHES=1"),
    ("lifecycle, a late operation", "lifecycle", "LATE CRASHES=1 BREAKS=1"),
]
WHOLE = [
    ("operations, lost lock", "operations", "CRASHES=1 BREAKS=1 LOSSES=1"),
    ("operations, two crashes, lost lock", "operations", "CRASHES=2 BREAKS=1 LOSSES=1"),
    # Two of each do not fit into the memory: 72 million states, and no end.
    ("medium of a drive, two crashes, broken connection, lost lock", "operations", "DRIVE CRASHES=2 BREAKS=1 LOSSES=1"),
    ("every operation ends, a crash", "operations", "ENDS CRASHES=1"),
    ("device of xenstore, two of each", "xenstore", "CRASHES=2 BREAKS=2"),
    ("medium in two primaries, three of each", "primaries", "CRASHES=3 SILENCES=3"),
    ("database that goes back, two crashes", "older", "CRASHES=2"),
    ("move between two hosts, three crashes", "migration", "CRASHES=3"),
    ("document below its locks, three crashes", "document", "CRASHES=3"),
    ("registration of what runs, three crashes", "registration", "CRASHES=3"),
    ("lifecycle", "lifecycle", "CRASHES=1"),
    ("lifecycle, few, two crashes and a QEMU's death", "lifecycle",
     "FEW CRASHES=2 QEMU_DEATHS=1"),
]
# name, file, definitions, the claim that has to break
MUTANTS = [
    ("R4", "operations", "DROP_R4 CRASHES=1",
     "image_differs"),
    ("R5", "operations", "DROP_R5 CRASHES=1",
     "thing_without_entry"),
    ("R10", "operations", "DROP_R10 CRASHES=1",
     "thing_without_entry"),
    ("R11", "lifecycle", "LATE DROP_R11 CRASHES=1 BREAKS=1",
     "other_qemu_commanded"),
    ("R12", "operations", "DROP_R12 CRASHES=1",
     "thing_without_entry"),
    ("R13", "lifecycle", "FEW DROP_R13 CRASHES=1",
     "qemu_without_row"),
    ("R14 (one incarnation a domid)", "lifecycle", "FEW DROP_R14_DOMID CRASHES=1",
     "qemu_unreachable"),
    ("R14 (document last)", "lifecycle", "FEW DROP_R14_LAST CRASHES=1",
     "qemu_without_row"),
    ("R14 (creation looks at the state)", "lifecycle", "FEW DROP_R14_STATE CRASHES=1",
     "qemu_without_row"),
    ("R15", "operations", "DROP_R15 CRASHES=1 BREAKS=1 LOSSES=1",
     "image_differs"),
    ("R16", "operations", "DROP_R16 CRASHES=1",
     "image_differs"),
    ("R16 (what the entry is made of)", "operations", "TWO_IDS DROP_R16_ENTRY CRASHES=0",
     "thing_without_entry"),
    ("R16 (what an add replaces)", "operations", "TWO_IDS DROP_R16_KEPT CRASHES=0",
     "entry_not_as_before"),
    ("R3 (a lock does not outlive its holder)", "operations", "ENDS DROP_R3 CRASHES=1",
     "acceptance cycle"),
    ("R18 (a removal that waits stays open)", "operations", "DROP_R18_WAITS CRASHES=0",
     "waiting_removal_closed"),
    ("R2 (xenstore)", "xenstore", "DROP_R2", "nodes_without_entry"),
    ("R10 (xenstore)", "xenstore", "DROP_R10", "nodes_without_entry"),
    ("R5 (xenstore: nodes first)", "xenstore", "DROP_R5", "nodes_without_entry"),
    ("R5 (xenstore: absence is made sure)", "xenstore", "DROP_R5_SURE", "nodes_without_entry"),
    ("R5 (xenstore: what comes late)", "xenstore", "DROP_R5_LATE", "nodes_without_entry"),
    ("the wait for the back end", "xenstore", "DROP_WAIT", "taken_from_guest"),
    ("R10 (two primaries: commit 1)", "primaries", "DROP_R10", "entry_differs"),
    ("R10 (two primaries: both told)", "primaries", "DROP_R10_BOTH", "primaries_differ"),
    ("R2 (an edit is one section)", "document", "DROP_R2 CRASHES=0", "edit_lost"),
    ("R6 (commit 2 writes its own thing alone)", "document", "DROP_R6 CRASHES=0", "edit_lost"),
    ("R7 (the embedder's lock in front of the fast lock)", "document", "DROP_R7 CRASHES=0", "invalid end state"),
    ("R8", "document", "DROP_R8 CRASHES=0", "entry_of_a_domain_that_goes"),
    ("R9 (no slow lock)", "document", "DROP_R9 CRASHES=0", "invalid end state"),
    ("R9 (QEMU is dead first)", "document", "DROP_R9_DEAD CRASHES=0", "document_before_qemu"),
    ("R22 (kept before it goes)", "document", "DROP_R22 CRASHES=1", "document_not_kept"),
    ("R11 (registration)", "registration", "DROP_R11 CRASHES=0", "other_qemu_registered"),
    ("R19 (registration and initial devices are one commit)", "registration", "DROP_R19 CRASHES=1",
     "initial_called_stranger"),
    ("R14 (soft reset)", "registration", "DROP_R14_RESET CRASHES=0", "two_qemus"),
    ("R14 (tombstone)", "registration", "DROP_TOMBSTONE CRASHES=0", "lives_after_destruction"),
    ("R17", "older", "DROP_R17", "number_given_twice"),
    ("R17 (numbers go on above)", "older", "DROP_R17_NUMBERS", "number_given_twice"),
    ("R19 (an older intent is closed by looking)", "older", "DROP_R19", "sent_by_older"),
    ("the close before a move", "migration", "DROP_CLOSE CRASHES=0", "two_claims"),
    ("the tombstone behind a move that is given up", "migration", "DROP_FORESTALL CRASHES=0", "two_claims"),
    ("the question whether the target has the guest whole", "migration", "DROP_ASK CRASHES=0", "domain_nowhere"),
    ("the end of the stream before that question", "migration", "DROP_CANCEL CRASHES=0", "resumed_behind_the_other"),
    ("the lock of a push (a move)", "migration", "DROP_PUSH_LOCK CRASHES=0", "fleet_differs"),
    ("the lock of a push (a mistake)", "migration", "MISTAKE DROP_PUSH_LOCK CRASHES=0", "mistake_unseen"),
]


def explore(name, file, definitions, mutant=False):
    """What pan says of one configuration."""
    flags = ["-D" + one for one in definitions.split()]
    with tempfile.TemporaryDirectory(prefix="xlstore-model-") as place:
        def run(*command):
            done = subprocess.run(command, cwd=place, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                sys.exit(f"{name}: {command[0]} failed:\n{done.stdout}")
            return done.stdout

        run("spin", "-a", *flags, str(HERE / (file + ".pml")))
        # Of one that says that something happens in the end, runs without an end are looked for, weakly fair ones.
        ends = "ENDS" in definitions.split()
        # Compiling takes longer than exploring: tcc takes 0.05 s, and gcc -O0 2.5 s.
        run(COMPILER, "-w", "-DNFAIR=3" if ends else "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c")
        # A mutant that gets stuck is no matter: a claim has to break.
        return run("./pan", "-m200000", *(["-a", "-f"] if ends else ["-E"] if mutant else []))


def figures(said):
    states = re.search(r"(\S+) states, stored", said)
    depth = re.search(r"depth reached (\d+)", said)
    memory = re.search(r"(\S+)\ttotal actual memory usage", said)
    return (f"{float(states[1]):.0f} states, depth {depth[1]}, {float(memory[1]):.0f} MB")


def error_of(said):
    """The claim that broke, or what else is wrong; None: the whole was explored and nothing is."""
    broken = re.search(r"^pan:1: (?:assertion violated )?(.*?) \(at depth", said, re.MULTILINE)
    if broken:
        return broken[1]
    incomplete = re.search(r"max search depth too small|out of memory|Search not completed|"
                           r"memory limit", said)
    if incomplete:
        return incomplete[0]
    return None if "errors: 0" in said else "pan said nothing of errors"


def claims():
    """Their names, as the assertions have them."""
    names = set()
    for source in HERE.glob("*.pml"):
        names.update(re.findall(r"assert\((\w+)\)", source.read_text(encoding="utf-8")))
    return names


def check_sound(runs):
    wrong = 0
    for run in runs:
        said = explore(*run)
        error = error_of(said)
        wrong += error is not None
        print(f"{'ok' if error is None else 'BROKEN: ' + error}: {run[0]} ({run[2]}): "
              f"{figures(said)}", flush=True)
    print(f"{len(runs)} configurations, {len(claims())} claims and no deadlock, {wrong} broken")
    return wrong == 0


def check_mutants(mutants):
    passed = 0
    for name, file, definitions, expected in mutants:
        error = error_of(explore(name, file, definitions, mutant=expected != "invalid end state"))
        # A mutant that merely stops, outgrows the memory, or breaks another claim was not caught.
        if error == expected:
            print(f"caught: without {name}: {error}", flush=True)
        else:
            passed += 1
            print(f"PASSED: without {name}: {error or 'no claim broke'}, not {expected}",
                  flush=True)
    print(f"{len(mutants)} mutants, {passed} not caught")
    return passed == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", action="store_true", help="the bigger configurations, too")
    parser.add_argument("--mutants", action="store_true", help="each rule omitted in turn")
    parser.add_argument("--share", default="1/1", metavar="K/N", help="each Nth of them from the Kth on")
    options = parser.parse_args()
    if not shutil.which("spin"):
        print("there is no spin")
        sys.exit(SKIPPED)
    first, step = (int(number) for number in options.share.split("/"))
    if options.mutants:
        sys.exit(not check_mutants(MUTANTS[first - 1::step]))
    sys.exit(not check_sound((SOUND + (WHOLE if options.whole else []))[first - 1::step]))


if __name__ == "__main__":
    main()
