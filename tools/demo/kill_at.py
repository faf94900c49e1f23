#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs a command, and kills it by SIGKILL when store and QEMU are as far as is named.

  kill_at.py promised STORE.db CLASS KEY -- COMMAND...
  kill_at.py acted MONITOR WHAT NAME TEXT -- COMMAND...

promised  at its first system call after its intent on that thing is committed
acted     at its first write to a file after QEMU's answer (ask_qemu.py) ends with TEXT: in the commit that would settle it

The command is stopped by ptrace at each of its system calls, so that it is killed at the same point on a slow machine and a
fast one; it needs no part of its own for that. Exit status: the command's, 137 when it was killed.
"""
import ctypes
import os
import platform
import signal
import sqlite3
import sys

import ask_qemu

TRACE_ME, CONTINUE_TO_CALL, SET_OPTIONS, CALL_INFO = 0, 24, 0x4200, 0x420E
CALLS_ARE_MARKED, ENDS_WITH_US = 0x1, 0x100000
PWRITE = {"x86_64": 18, "aarch64": 67}.get(platform.machine())


class CallInfo(ctypes.Structure):
    """The head of struct ptrace_syscall_info; `number` is that of a call that begins."""
    _fields_ = [("begins", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3), ("arch", ctypes.c_uint32),
                ("instruction", ctypes.c_uint64), ("stack", ctypes.c_uint64), ("number", ctypes.c_uint64)]


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid=0, address=None, data=None):
    answer = libc.ptrace(request, pid, address, data)
    if answer < 0:
        sys.exit(f"kill_at: ptrace is refused here: {os.strerror(ctypes.get_errno())}")
    return answer


def begins_call(pid):
    """The number of the call that the process is about to make; None: it returns from one."""
    info = CallInfo()
    ptrace(CALL_INFO, pid, ctypes.sizeof(info), ctypes.addressof(info))
    return info.number if info.begins == 1 else None


def promised(database, device_class, key):
    rows = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0, isolation_level=None)

    def reached(_call):
        try:
            return rows.execute("SELECT 1 FROM pending_intents WHERE class = ? AND key = ?",
                                (device_class, key)).fetchall() != []
        except sqlite3.OperationalError:
            return False  # in the middle of a commit
    return reached


def acted(monitor, what, name, text):
    qemu = ask_qemu.Qemu(monitor)
    return lambda call: call == PWRITE and qemu.answer(what, name).endswith(text)


def start(command):
    pid = os.fork()
    if pid == 0:
        try:
            ptrace(TRACE_ME)
            os.execvp(command[0], command)
        except OSError as error:
            print(f"kill_at: {command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    return pid


def run(command, reached):
    pid = start(command)
    marked = int(signal.SIGTRAP) | 0x80
    deliver = 0
    prepared = False
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        stopped_by = os.WSTOPSIG(status)
        deliver = 0
        if not prepared:
            ptrace(SET_OPTIONS, pid, None, CALLS_ARE_MARKED | ENDS_WITH_US)
            prepared = True
        elif stopped_by != marked:
            deliver = stopped_by
        elif (call := begins_call(pid)) is not None and reached(call):
            os.kill(pid, signal.SIGKILL)
            continue
        ptrace(CONTINUE_TO_CALL, pid, None, deliver)


def main():
    split = sys.argv.index("--")
    point, *about = sys.argv[1:split]
    status = run(sys.argv[split + 1:], {"promised": promised, "acted": acted}[point](*about))
    sys.exit(128 - status if status < 0 else status)


if __name__ == "__main__":
    main()
