# SPDX-License-Identifier: MIT
"""A command under a killer that asks at each stop whether to kill there (tests/crash/killer.cc, --ask)."""

import socket


def under_killer(start, kill_here, seconds):
    """`start(descriptor)` begins the killer with --ask and that descriptor, and hands it on; what it answers is
    answered here. `kill_here(number, call)` is called at each stop, until one is to be killed at. The command hangs, and
    TimeoutError is raised, when no stop comes for so many seconds."""
    ours, killers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with killers:
            begun = start(killers.fileno())
        ours.settimeout(seconds)
        killed = False
        while line := ours.recv(1 << 16):
            number, _, call = line.decode(errors="replace").rstrip("\n").split("\t", 2)
            killed = killed or kill_here(int(number), call)
            ours.send(b"k" if killed else b"\n")
    return begun
