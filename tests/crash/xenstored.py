# SPDX-License-Identifier: MIT
"""The real xenstored of a test, asked with no code of the project's: the wire protocol over its socket."""

import contextlib
import glob
import os
import socket
import struct
import subprocess
import time

TRANSACTION_START, TRANSACTION_END = 6, 7
DIRECTORY, READ, INTRODUCE, RELEASE, WRITE, REMOVE, ERROR = 1, 2, 8, 9, 11, 13, 16
ASK_SECONDS = 20.0


class Gone(Exception):
    """The daemon has hung up."""


class Connection:
    def __init__(self, path):
        until = time.monotonic() + ASK_SECONDS
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(ASK_SECONDS)
            try:
                self.socket.connect(path)
                return
            except OSError:
                self.socket.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def received(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise Gone
            data += more
        return data

    def ask(self, kind, payload, transaction=0):
        """The reply; None: the daemon refuses, as for a node that is not there."""
        try:
            self.socket.sendall(struct.pack("=IIII", kind, 1, transaction, len(payload)) + payload)
            answered, _, _, length = struct.unpack("=IIII", self.received(16))
            value = self.received(length)
        except OSError as error:
            raise Gone from error
        return None if answered == ERROR else value

    def read(self, path):
        return self.ask(READ, path.encode() + b"\0")

    def write(self, path, value):
        self.ask(WRITE, path.encode() + b"\0" + value.encode())

    def write_over(self, path, expected, value):
        """As a driver does: in one transaction, so that a node that has gone is not made anew."""
        transaction = int(self.ask(TRANSACTION_START, b"\0").rstrip(b"\0"))
        same = self.ask(READ, path.encode() + b"\0", transaction) == expected
        if same:
            self.ask(WRITE, path.encode() + b"\0" + value, transaction)
        self.ask(TRANSACTION_END, b"T\0" if same else b"F\0", transaction)

    def remove(self, path):
        self.ask(REMOVE, path.encode() + b"\0")

    def names(self, path):
        listed = self.ask(DIRECTORY, path.encode() + b"\0")
        return [name.decode() for name in listed.split(b"\0") if name] if listed else []

    def introduce(self, domid):
        self.ask(INTRODUCE, f"{domid}\0001\0001\0".encode())

    def release(self, domid):
        self.ask(RELEASE, f"{domid}\0".encode())

    def close(self):
        self.socket.close()


class Daemon:
    """One in a directory of its own, which no command line of the commands under test has in it, with the
    library that stands for Xen (tests/support/quiet_xen.c)."""

    def __init__(self, directory, library):
        self.directory, self.library = directory, library
        self.path = os.path.join(directory, "socket")
        self.start()

    @staticmethod
    def programs():
        """Those to run; none: there is no xenstored."""
        return glob.glob("/usr/lib/xen-*/bin/xenstored")

    def start(self):
        environment = dict(os.environ, LD_PRELOAD=self.library, XENSTORED_RUNDIR=self.directory, XENSTORED_PATH=self.path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)    # of one that was killed
        self.process = subprocess.Popen(
            [self.programs()[0], "--no-fork", "--internal-db", f"--pid-file={self.directory}/pid"], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.connection = self.connect()

    def connect(self):
        """A connection, for one thread."""
        return Connection(self.path)

    def kill(self):
        """SIGKILL; what it held is gone."""
        self.connection.close()
        self.process.kill()
        self.process.wait()
