# SPDX-License-Identifier: MIT
"""A program on a terminal, and what is typed there."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time


def why_none():
    """Why no terminal is to be had here; None: there are some."""
    try:
        for end in pty.openpty():
            os.close(end)
    except OSError as error:
        return f"no terminal is to be had here (is devpts mounted?): {error}"
    return None


def run(command, answer, environment=None, size=None, set_size_first=False, seconds=60):
    """Exit status of `command` and what it said. answer(said) gives the bytes to be typed now, of all that was said so
    far."""
    pid, terminal = pty.fork()
    if pid == 0:
        if set_size_first:
            set_size(1, size)
        os.execve(command[0], command, environment or os.environ)
    if size:
        set_size(terminal, size)
        os.kill(pid, signal.SIGWINCH)
    said, end = b"", time.monotonic() + seconds
    while True:
        assert time.monotonic() < end, said
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # its end of the terminal is closed
            part = b""
        if not part:
            break
        said += part
        if typed := answer(said):
            os.write(terminal, typed)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said.decode(errors="replace")


def set_size(terminal, size):
    """Lines, columns."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
