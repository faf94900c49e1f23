#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Judges again and again: each judge is forked off this process, which has loaded what a judge needs. To load that
takes as long as ten looks.

  judge_server.py

A line of standard input has the words of one call of judge.py, as JSON; a line of standard output answers it, with
[exit status, what it said].
"""

import json
import os
import sys
import tempfile
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import judge  # noqa: E402


def judged(words, said):
    """In a child of its own; never returns."""
    status = 2
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.argv[1:] = words
        status = judge.main()
    except SystemExit as end:
        status = end.code
    except BaseException:  # pylint: disable=broad-exception-caught  # what it could not do is for its caller to read
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main():
    for line in sys.stdin:
        with tempfile.TemporaryFile() as said:
            child = os.fork()
            if child == 0:
                judged(json.loads(line), said.fileno())
            _, status = os.waitpid(child, 0)
            said.seek(0)
            print(json.dumps([os.waitstatus_to_exitcode(status), said.read().decode(errors="replace")]), flush=True)


if __name__ == "__main__":
    main()
