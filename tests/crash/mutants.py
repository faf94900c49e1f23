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
CANNOT = 77     # a test's status: this system does not have what it needs


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


def fsck(name, rule, case, reason):
    """A case of xlfsck's, in which another thing is said."""
    return Guard(name, rule, case, ("{python}", str(ROOT / "tests/fsck/run.py"), "--bin", "{bin}", case), reason)


def host_undo(name, rule, test, reason):
    return Guard(name, rule, test, ("{python}", str(ROOT / "tests/fsck/host_undo_test.py"), "--bin", "{bin}", test),
                 reason)


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
    harness("mark before kill", "R14", "destroy", "1/6", r"its row is not marked yet"),
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
    harness("own earlier intent", "R18", "detach_usb", "1/16",
               r"it says .no such thing., and had found intent \d+ open",
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
          r"was acknowledged, and it is as after", {"XLSTORE_TURN": "0"}),  # some twentieths have no such step
    Guard("cut synced before zeros", "5", "power cut",
          ("{bin}/power_cut_with_mutations", "--share", "1/10", "--first"),
          r"its rows are those of no commit|was acknowledged, and it is as after", {"XLSTORE_TURN": "8"}),
    # xenstore: attach and removal
    integration("entry before the nodes", "R10", "Points/XenstoreCrashTest.AttachIsDoneOrHasItsEntryAlone/3",
                r"Value of: entry \|\| !there\n  Actual: false"),
    integration("nodes before the entry", "R5", "Points/XenstoreCrashTest.DetachGoesOnWhereItEnded/2",
                r"R1|its nodes are gone, and domain 7 \(pv\) has no nics/0"),
    integration("mark before closing", "R10", "XenstoreTest.TheGuestIsWaitedFor", r"Which is: \"nics/0 present\""),
    integration("wait for the back end", "5", "XenstoreTest.TheGuestIsWaitedFor",
                r"Actual: false \(ended with 0, not 3"),
    integration("what comes late", "R5", "XenstoreTest.ADeadClientsNodesThatComeLateAreNotPassedOver",
                r"Actual: false \(ended with 0, not 3"),
    integration("domain of the number", "R11", "XenstoreTest.AnotherDomainOfThatNumberIsLeftAlone",
                r"Actual: false \(ended with 0, not 1"),
    integration("commit of the nodes", "R18", "XenstoreTest.AConflictIsTriedAgain", r"Which is: \"\(none\)\""),
    Guard("refusal of a node", "R18", "the quota on a value",
          ("{build}/bin/integration_tests", "--gtest_filter=XenstoreQuotaTest.*"),
         r"Actual: false \(ended with 0, not 1"),
    unit("only the daemon says absent", "R5", "XenstoreClient.OnlyTheDaemonsWordIsAbsence", r"Which is: \"read\""),
    unit("tree of one moment", "R12", "XenstoreTree.IsReadAnewUntilItStoodStill", r"Which is: \(\"old\"\)"),
    unit("node that cannot be read", "R5", "XenstoreTree.ANodeThatCannotBeReadIsNotAbsent",
         r"Value of: tree\n  Actual: true"),
    unit("own back end", "R6", "DeviceNodes.BackEndOfADriverDomainIsNotRemoved", r"/local/domain/3/backend/vif/7/0"),
    unit("path of that back end", "R11", "DeviceNodes.OnlyAPathOfThatDevicesBackEndIsTakenForOne",
         r"is_back_end_of\(path, 7, 1\)\n  Actual: true"),
    # hotplug scripts, and the devices of a domain that is destroyed
    integration("slow lock over a script", "R3", "HotplugTest.RunsUnderTheSlowLock",
                r"Value of: held\(\"attach\"\)\n  Actual: false"),
    integration("script of a removal", "R3", "HotplugTest.RunsUnderTheSlowLock",
                r"Value of: held\(\"detach\"\)\n  Actual: false"),
    integration("one script at a time", "R3", "HotplugTest.OfADeadClientIsLeftToEnd",
                r"Actual: false \(\"runs yet\" is not in"),
    integration("script that writes late", "R1", "HotplugTest.OfADeadClientIsWaitedForByADestruction",
                r"Actual: false \(ended with 0, not 3"),
    integration("devices of a destroyed domain", "R5", "DeviceEndingTest.DevicesGoAndTheirScriptsTidyUp",
                r"Which is: \".*/libxl/7/device/console/1"),
    integration("scripts of a destroyed domain", "5", "DeviceEndingTest.DevicesGoAndTheirScriptsTidyUp",
                r"Which is: \"online\\n\""),
    # recovery: xenstore, older databases, salvage, what is put back
    unit("open intent is left alone", "R6", "XenstoreSurveyTest.EntryWithAnOpenIntentIsLeftAlone",
         r"Which is: \"nics/0 device_absent\\n\""),
    unit("back end that serves", "R19", "XenstoreSurveyTest.BackEndThatServesAGuestIsNotTakenOut",
         r"Which is: \"nics/0 device_partial\\n\""),
    unit("older database", "R17", "PlaceTest.OlderCopyThatWasPutBackIsNotWrittenTo", r"displaced\(\)\n  Actual: false"),
    integration("intents of an older state", "R19", "OlderStateTest.HalfDoneIntentOfFilesPutBackTakesNothingOut",
                r"\"UNDONE\"\)\n  Actual: true"),
    unit("another machine", "R17", "OtherMachineTest.StoreOfAnotherMachineIsNotWrittenTo",
         r"Value of: refused\n  Actual: true"),
    unit("number that was set back", "R15", "PlaceTest.NumbersThatAHandSetBackOrFarUpAreGivenByNoCommit",
         r"Value of: refused\n  Actual: true"),
    unit("epoch above all", "R15", "MendedDomainTest.GenerationThatIsLostIsAboveEveryOther",
         r"row_\.integer\(\"revision\"\)\n    Which is: 1\n"),
    unit("unknown is not over", "5", "MendedDomainTest.UnknownStateIsNeverTakenForDestroyedUnlessAnIndexSaysSo",
         r"Which is: \"destroyed\""),
    unit("two witnesses", "R17", "MendedDomainTest.OfThreeUuidsTheTwoThatAgreeAreRight",
         r"mend_domain\(row_, witness_\)\.size\(\)\n    Which is: 0"),
    unit("doubt of a found row", "R1", "PageScanTest.BehindADamagedHeadRowsAreFoundAndMarked",
         r"\(proved\(rows\)\) < \(300U\), actual: 300 vs 300"),
    unit("commit that was cut off", "5", "Sizes/DamagedLogTest.FramesWithoutTheirCommitAreNoneOfIt/0",
         r"log\.size_in_pages\(\)\n    Which is: 4"),
    fsck("damaged files told", "R22", "salvage_untold",
         r"salvage_untold: FAILED: it said\n.*0 found, 0 corrected\nand not"),
    fsck("lost intent is no absence", "5", "intent_lost", r"and no intent says how \(the entry is adding\)"),
    fsck("eviction taken up", "5", "eviction_unfinished",
         r"eviction_unfinished: FAILED: it said\n.*is as it was before the intent .*SETTLED"),
    integration("living qemus of a restore", "R1", "RestoreTest.OverALivingQemuItIsRefusedAndNamesIt",
                r"Actual: false \(ended with 0, not 1"),
    integration("undo of what it left", "R17", "UndoTest.IsRefusedByNameWhereTheDomainHasChangedSince",
                r"Actual: false \(ended with 0, not 1"),
    unit("put back as stale", "R1", "PutBackTest.AnEntryComesBackAsStaleAndAMemberAtItsPlace",
         r'Which is: "present\{\\"devid\\":9\}"'),
    # libxl's files and locks, and the bridge
    unit("locks of libxl", "R7", "HostLockTest.AMonitorOfLibxlsHasBothCompanionsInOrder",
         r"Value of: hold && \*hold\n  Actual: false"),
    unit("lock that is at its path", "R17", "HostLockTest.AFileThatIsNoLongerAtThePathIsNotTheLock",
         r"is_held\(\)\n  Actual: true"),
    unit("lock file of another", "R6", "HostLockTest.AFileThatIsNoLongerAtThePathIsNotTheLock", "it is another one's file"),
    unit("no link is followed", "R17", "DocumentFileTest.ALinkIsNeitherReadNorWrittenThrough",
         r"read_document_file\(where_\.document\(domain_\)\)\n  Actual: true"),
    unit("document written beside", "5", "DocumentFileTest.AFailedWriteLeavesTheOldOne", r"\n  Actual: true"),
    unit("edit of what was seen", "R17", "DocumentEditsTest.WhatAnotherProgramChangedMeanwhileIsNotOverwritten",
         r"Value of: text\n  Actual: true"),
    host_undo("changed since the repair", "R17", "Undo.test_what_changed_since_a_repair_is_not_undone", r"1 != 4 : "),
    host_undo("undone once", "R18", "Again.test_nodes_that_another_made_equal_stay",
              r"AssertionError: Lists differ: [\s\S]*Second list contains \d+ additional"),
    host_undo("undone in another boot", "R1", "Undo.test_what_was_repaired_in_another_boot_is_no_longer_the_repairs",
              r"1 != 0 : there is nothing left to do"),
    host_undo("kept before it is replaced", "R22", "Undo.test_what_changed_since_a_repair_is_not_undone", r"1 != 4 : "),
    integration("nothing is lost by a bridge", "R1", "BridgeTest.WhatTheStoreLacksIsNotOverwritten",
                r"Actual: false \(ended with 0, not 1"),
    integration("pending beside a bridge", "R6", "BridgeTest.WhatIsPendingStaysAsItIs", r"Which is: \"xenbr8 xenbr9\""),
    integration("libxls lock over a bridge", "R7", "BridgeTest.LibxlsLockIsKeptByBoth",
                r"\"domain-userdata-lock is held by\" is not in"),
    # documents, moves, questions
    integration("closed document", "R8", "ClosingTest.RefusesWhatWouldChangeTheDomainAndSaysByWhomAndHowItIsOpened",
                r"Which is: \"store\""),
    integration("eviction from a closed document", "R8", "ClosingTest.NothingIsEvictedFromAClosedDocument",
                r"Actual: false \(ended with 4, not 1"),
    unit("open intent of a migration", "R10", "OutgoingDocumentTest.OpenIntentIsInTheWayAndNamed",
         r"Value of: document\n  Actual: true"),
    unit("revision that was read", "R15", "EditTest.OnlyTheExpectedRevisionIsEdited",
         r"edit\(put, 1\)\n    Which is: \(nullopt\)"),
    unit("query that reads", "R17", "QueryTest.WhatDoesMoreThanReadIsRefused", r"Value of: asked\n  Actual: true"),
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
    """Is it noticed, and by what? None: this system has not what the test needs, a xenstored for instance."""
    if control:
        status, said = run(guard, build, disabled=False)
        if status != 0:
            return False, f"{guard.test} fails with the guard in place:\n{said}"
    status, said = run(guard, build, disabled=True)
    if status == CANNOT or (status == 0 and "[  SKIPPED ]" in said):
        return None, f"{guard.test} is skipped here"
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
        missed += found is False
        print(f"{'caught' if found else 'skipped' if found is None else 'NOT CAUGHT'}: without {guard.name} ({guard.rule}): {by}", flush=True)
    print(f"{len(guards)} guards disabled, {missed} not caught")
    sys.exit(missed != 0)


if __name__ == "__main__":
    main()
