#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Judges again and again, in one process: to load what a judge needs takes as long as ten looks.

  judge_server.py

A line of standard input has the words of one call of judge.py, as JSON; a line of standard output answers it, with
[exit status, what it said].
"""

import contextlib
import io
import json
import os
import sys
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import judge  # noqa: E402


def judged(words):
    said = io.StringIO()
    status = 2
    sys.argv[1:] = words
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = judge.main()
        except SystemExit as end:
            status = end.code
        except Exception:  # pylint: disable=broad-exception-caught  # what it could not do is for its caller to read
            traceback.print_exc()
    return status, said.getvalue()


def main():
    for line in sys.stdin:
        print(json.dumps(judged(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
