#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Would the tests notice? Disables each guard of the protocol in turn; a test has to fail, for the right reason.

    mutants.py --build BUILD [--only GUARD | --share K/N | --take N] [--control]

A build with mutations (store/testing/mutation.hpp) disables the guard that XLSTORE_DISABLE_GUARD names. Each row runs one
test or proof, which has to fail and to say what went wrong because the guard is gone: the violation that the
guard keeps away, never just that something failed. --control: first with the guard in place, when it has to
pass, as it does elsewhere among the tests. Exit status: 0 all are caught, 1 one is not.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECONDS = 300


@dataclasses.dataclass
class Guard:
    name: str
    rule: str
    test: str       # its name
    command: tuple  # {bin}: the commands without the guard; {build}: the build
    reason: str     # the violation that it has to report, as a pattern
    environment: dict = dataclasses.field(default_factory=dict)


def harness(name, rule, operation, share, reason, *more):
    return Guard(name, rule, " ".join(("kill harness,", operation, *more)),
                 ("{python}", str(ROOT / "tests/crash/harness.py"), "--bin", "{bin}", "--operations", operation,
                  "--share", share, "--start", "1", "--violations", "1", *more), reason)


def failed(test, reason):
    """That test's own failure, not another's."""
    return rf"\[ RUN      \] {re.escape(test)}\n(?:(?!\[ RUN)[\s\S])*?{reason}"


def unit(name, rule, test, reason):
    return Guard(name, rule, test, ("{bin}/unit_tests_with_mutations", "--gtest_filter=" + test), failed(test, reason))


def integration(name, rule, test, reason):
    """The commands come without the guard."""
    return Guard(name, rule, test, ("{build}/bin/integration_tests", "--gtest_filter=" + test), failed(test, reason))


GUARDS = (
    unit("products of each step", "R1", "PlanTest.DerivesUndoAndProbeFromWhatTheStepsMake",
         r"plan->probe\.products\.size\(\)\n    Which is: 1"),
    unit("fast lock", "R2", "LocksTest.TimeoutNamesTheHolder", r"Value of: lock\n  Actual: true"),
    unit("slow lock", "R3", "LocksTest.SlowLocksOfOthersDoNotCount", r"Value of: waiting\.done\(\)\n  Actual: true"),
    unit("hold over the plan", "R4", "JournalTest.HoldLastsFromCommitToCommit",
         "R4: the slow lock is free while a plan is carried out"),
    unit("seen absent", "R5", "JournalTest.EntryGoesOnlyWhenItsThingWasSeenAbsent", "it was seen there"),
    unit("its own thing alone", "R6", "JournalTest.SettleWritesItsOwnThingAlone", r"cell\(others\)"),
    unit("lock order", "R7", "LocksTest.NothingIsTakenInsideASection", r"LockOrder::may_take\(kind\)"),
    unit("state at commit", "R8", "JournalTest.DomainThatIsBeingDestroyedTakesNoCommit",
         "R8: the domain is destroyed or being destroyed"),
    integration("dead before the document", "R9", "LifecycleTest.DestroysAStoppedQemu",
                r"Value of: is_alive\(domain\.qemu_pid\(\)\)\n  Actual: true"),
    Guard("intent commit", "R10", "quickstart's story", ("sh", str(ROOT / "tools/quickstart.sh")),
          r"no entry and no open intent has it", {"XLSTORE_QUICKSTART_NO_BUILD": "1"}),
    integration("peer proof", "R11", "LifecycleTest.SocketOfAnotherQemuIsRefused", r"state_of\(other\.judge"),
    integration("holder of the socket", "R11", "RegisterPeersTest.PidThatDoesNotHoldTheSocketIsRefused",
                r"Value of: is_alive\(sleeper\.pid\(\)\)\n  Actual: false"),
    integration("look before the mark", "R11", "NamespaceTest.DestroyFromWhereQemuIsNotSeenChangesNothing",
                r"not marked, so that no recovery kills it"),
    integration("socket that is listened at", "R11", "SocketTest.DestroyLeavesTheSocketOfAProcessThatListens",
                r"file_identity\(monitor_\)"),
    Guard("barrier", "R12", "barrier_test", ("{bin}/barrier_test_with_mutations",),
          r"recovery believed a wrong probe", {"XLSTORE_BARRIER_RUNS": "60"}),
    harness("start barrier before run", "R13", "create", "1/16", r"R13: QEMU \d+ runs"),
    harness("mark before kill", "R14", "destroy", "1/12", r"its row is not marked yet"),
    unit("epoch check", "R15", "JournalTest.HoldThatWasLostCannotCommit", "R15: a lost hold is believed"),
    unit("id of another thing", "R16", "JournalTest.QemuIdOfAnotherThingIsRefused", "R16: two entries have one device"),
    integration("probe before commit 1", "R16", "OperationTest.AddsOfWhatIsThereAreRefused",
                r"QEMU refused device_add: .*Duplicate device ID"),
    integration("products of the entry", "R16", "ThingIdentityTest.SecondImageOfWhatIsThereIsRefused",
                r"Actual: false \(ended with 0, not 1"),
    unit("files unchanged", "R17", "StoreTest.EachReplacedFileIsNoticed", r"Value of: written\n  Actual: true"),
    Guard("alone for an upgrade", "R17", "upgrade_test.py",
          ("{python}", str(ROOT / "tests/upgrade/upgrade_test.py"), "--bin", "{bin}",
           "Upgrade.test_it_waits_for_processes_that_have_it_open_and_names_them"),
          r"AssertionError: 0 != 1 : upgraded while another process has it open"),
    integration("doubt of what is not proved", "R18", "OperationTest.FailedUndoOfAStepThatMakesNothingIsDoubt",
                r"Actual: false \(ended with 1, not 3"),
    harness("own earlier intent", "R18", "detach_usb", "1/16", r"it says .no such thing., and had found intent \d+ open",
            "--retry"),
    integration("intent of another request", "R18", "OtherTest.AttachDuringAWaitingRemovalIsRefused",
                r"Actual: false \(ended with 3, not 1"),
    integration("doubt after commit 1", "R18", "SettleTest.CommitThatThrowsIsInDoubt",
                r"Actual: false \(ended with 1, not 3"),
    integration("mark that is committed", "R18", "UnfinishedTest.IsNeverCalledNotDone",
                r"Actual: false \(ended with 1, not 3"),
    harness("initial devices anew", "R19", "register_anew", "1/60", r"R1: QEMU has device \"odd\""),
    harness("registration only asks", "R19", "register", "1/60", r"R19: media of ide-5632"),
    unit("bound of a line", "R20", "Protocol.BoundsTheLine",
         r"protocol\.buffered\(\)\), actual: \d+ vs 8388608|line_\.size\(\) <= limits::qmp_line_bytes_max"),
    unit("reserve", "R21", "ReserveTest.OrdinaryCommitsLeaveItAndOthersMayTakeIt", "R21: the reserve was taken"),
    unit("copy of a document", "R22", "RetiredTest.DocumentComesBackAsItWasExportedInTheLayoutThatItCameIn",
         "no retired document of a domain"),
    integration("undo", "3", "OperationTest.UndoesItsStepsWhenALaterOneIsRefused", r"state_of\(domain_\.judge\(\)\)[\s\S]*?c0"),
    Guard("fsync", "5", "power cut", ("{bin}/power_cut_with_mutations", "--share", "1/20", "--first"),
          r"was acknowledged, and it is as after"),
    Guard("cut synced before zeros", "5", "power cut",
          ("{bin}/power_cut_with_mutations", "--share", "1/10", "--first"),
          r"its rows are those of no commit|was acknowledged, and it is as after", {"XLSTORE_TURN": "8"}),
)


def run(guard, build, disabled):
    words = {"bin": str(build / "plain/bin"), "build": str(build), "python": sys.executable}
    environment = {**os.environ, **guard.environment, "XLSTORE_BIN": str(build / "plain/bin")}
    environment.pop("XLSTORE_DISABLE_GUARD", None)
    if disabled:
        environment["XLSTORE_DISABLE_GUARD"] = guard.name
    done = subprocess.run([part.format(**words) for part in guard.command], env=environment, timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def caught(guard, build, control):
    if control:
        status, said = run(guard, build, disabled=False)
        if status != 0:
            return False, f"{guard.test} fails with the guard in place:\n{said}"
    status, said = run(guard, build, disabled=True)
    if status == 0:
        return False, f"{guard.test} passes without it"
    why = re.search(guard.reason, said)
    if not why:
        return False, f"{guard.test} fails without it, but not for that ({guard.reason}):\n{said}"
    return True, f"{guard.test}: {why.group(0).strip().splitlines()[-1].strip()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--only", choices=[guard.name for guard in GUARDS])
    parser.add_argument("--share", default="1/1", metavar="K/N", help="each Nth guard from the Kth on")
    parser.add_argument("--take", type=int, default=len(GUARDS), help="so many guards, which the turn chooses")
    parser.add_argument("--control", action="store_true", help="each proof with the guard in place, too")
    options = parser.parse_args()
    missed = 0
    first, step = (int(number) for number in options.share.split("/"))
    turn = int(os.environ.get("XLSTORE_TURN", "0")) if options.take < len(GUARDS) else 0
    in_turn = (GUARDS * 2)[turn % len(GUARDS):][:options.take]
    guards = [guard for guard in in_turn[first - 1::step] if options.only in (None, guard.name)]
    for guard in guards:
        found, by = caught(guard, options.build, options.control)
        missed += not found
        print(f"{'caught' if found else 'NOT CAUGHT'}: without {guard.name} ({guard.rule}): {by}", flush=True)
    print(f"{len(guards)} guards disabled, {missed} not caught")
    sys.exit(missed != 0)


if __name__ == "__main__":
    main()
