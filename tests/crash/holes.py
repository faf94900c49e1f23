#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Is there a hole in the net? Leaves out each guard of the protocol in turn and has the proof notice.

    holes.py --build BUILD [--only GUARD] [--control]

A build with holes (store/hole.hpp) does without a guard that XLSTORE_LEAVE_OUT names. Each row runs one of
the proofs, which has to fail, and to say why. --control: first with the guard in place, when it has to
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
    proof: str      # its name
    command: tuple  # {bin}: the commands with holes; {build}: the build
    says: str       # what it has to say, as a pattern
    environment: dict = dataclasses.field(default_factory=dict)


def harness(operation, share):
    return ("{python}", str(ROOT / "tests/crash/harness.py"), "--bin", "{bin}", "--operations", operation,
            "--share", share, "--start", "1")


def test(name):
    return ("{build}/bin/integration_tests", "--gtest_filter=" + name)


GUARDS = (
    Guard("intent commit", "R10", "quickstart's story", ("sh", str(ROOT / "tools/quickstart.sh")),
          r"no entry and no open intent has it", {"XLSTORE_QUICKSTART_NO_BUILD": "1"}),
    Guard("barrier", "R12", "barrier_test", ("{bin}/barrier_test_with_holes",),
          r"recovery believed a wrong probe", {"XLSTORE_BARRIER_RUNS": "60"}),
    Guard("peer proof", "R11", "LifecycleTest", test("LifecycleTest.SocketOfAnotherQemuIsRefused"),
          r"state_of\(other\.judge\)"),
    Guard("epoch check", "R15", "LocksCommandTest", test("LocksCommandTest.LockOfALivingHolderIsBrokenByForceOnly"),
          r"dump\(store_\.path\(\)\)"),
    Guard("undo", "3", "OperationTest", test("OperationTest.UndoesItsStepsWhenALaterOneIsRefused"), r"FAILED"),
    Guard("mark before kill", "R14", "kill harness", harness("destroy", "1/12"), r"its row is not marked yet"),
    Guard("gate before run", "R13", "kill harness", harness("create", "1/16"), r"R13: QEMU \d+ runs"),
    Guard("fsync", "5", "power cut", ("{bin}/power_cut_with_holes", "--share", "1/60"),
          r"was acknowledged, and it is as after"),
)


def run(guard, build, left_out):
    words = {"bin": str(build / "holes"), "build": str(build), "python": sys.executable}
    environment = {**os.environ, **guard.environment, "XLSTORE_BIN": str(build / "holes")}
    environment.pop("XLSTORE_LEAVE_OUT", None)
    if left_out:
        environment["XLSTORE_LEAVE_OUT"] = guard.name
    done = subprocess.run([part.format(**words) for part in guard.command], env=environment, timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def caught(guard, build, control):
    if control:
        status, said = run(guard, build, left_out=False)
        if status != 0:
            return False, f"{guard.proof} fails with the guard in place:\n{said}"
    status, said = run(guard, build, left_out=True)
    if status == 0:
        return False, f"{guard.proof} passes without it"
    why = re.search(guard.says, said)
    if not why:
        return False, f"{guard.proof} fails without it, but not for that:\n{said}"
    return True, guard.proof


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--only", choices=[guard.name for guard in GUARDS])
    parser.add_argument("--control", action="store_true", help="each proof with the guard in place, too")
    options = parser.parse_args()
    holes = 0
    guards = [guard for guard in GUARDS if options.only in (None, guard.name)]
    for guard in guards:
        found, by = caught(guard, options.build, options.control)
        holes += not found
        print(f"{'caught' if found else 'NOT CAUGHT'}: without {guard.name} ({guard.rule}): {by}", flush=True)
    print(f"{len(guards)} guards left out, {holes} not caught")
    sys.exit(holes != 0)


if __name__ == "__main__":
    main()
