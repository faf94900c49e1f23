#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""xlstore-fleet against a real PostgreSQL 15.

    tests/fleet/run.py --bin build/bin [--share N/M] [TEST ...]

One server for all tests, made in a temporary directory; each test has a database of its own. Skipped where there is
no PostgreSQL 15, or xlstore-fleet was not built. --share: which kills of kill_test.py are tried (1/1: all).
"""
import argparse
import pathlib
import signal
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import fixture  # noqa: E402  pylint: disable=wrong-import-position

MODULES = ("push_test", "views_test", "kill_test", "tls_test")
SKIPPED = 77


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--bin", required=True, type=pathlib.Path)
    options.add_argument("--share", default="1/1")
    options.add_argument("tests", nargs="*")
    asked = options.parse_args()
    fixture.BIN = asked.bin.resolve()
    fixture.SHARE = tuple(int(part) for part in asked.share.split("/"))
    names = [name if name.startswith(MODULES) else f"{module}.{name}" for name in asked.tests for module in MODULES
             if name.startswith(MODULES) or hasattr(__import__(module), name.split(".")[0])]
    suite = unittest.defaultTestLoader.loadTestsFromNames(list(dict.fromkeys(names)) or MODULES)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server goes, too
    try:
        done = unittest.TextTestRunner(verbosity=2).run(suite)
    finally:
        if fixture.SERVER:
            fixture.SERVER.remove()
    if not done.wasSuccessful():
        return 1
    return SKIPPED if fixture.SERVER is None else 0


if __name__ == "__main__":
    sys.exit(main())
