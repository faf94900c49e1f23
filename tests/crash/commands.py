# SPDX-License-Identifier: MIT
"""A command at work, and what it did."""

import contextlib
import dataclasses
import os
import select
import signal
import subprocess
import tempfile
import time

import judge

COMMAND_SECONDS = 90.0      # a command that takes longer hangs


@dataclasses.dataclass
class Ended:
    argv: list
    status: object          # a number, or "hangs"
    out: str
    err: str

    def __str__(self):
        return f"$ {' '.join(self.argv)}\n{self.out}{self.err}status {self.status}\n"


class Running:
    """A command at work, in a session of its own."""

    def __init__(self, argv, keep=(), **more_environment):
        # LeakSanitizer traces its own process with ptrace, which a traced process cannot.
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", PYTHONDONTWRITEBYTECODE="1",
                           **more_environment)
        self.argv = argv
        # Into files: a QEMU that inherited a pipe would keep us waiting for its end.
        self.files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.files[0], stderr=self.files[1],
                                        env=environment, start_new_session=True, pass_fds=keep)

    def ended(self, status):
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Ended(self.argv, status, *texts)


def run(argv, seconds=COMMAND_SECONDS, **more_environment):
    return to_its_end(Running(argv, **more_environment), seconds)


def wait_for(process, seconds):
    """As process.wait(), which would look in steps of up to 50 ms whether it has ended."""
    if process.returncode is None:
        descriptor = os.pidfd_open(process.pid)
        try:
            ended = select.poll()
            ended.register(descriptor, select.POLLIN)
            ended.poll(seconds * 1000)
        finally:
            os.close(descriptor)
    return process.wait(0)


def to_its_end(running, seconds=COMMAND_SECONDS):
    process = running.process
    try:
        status = wait_for(process, seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # killer takes its command along
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        status = "hangs"
    return running.ended(status)


def end_processes(marker):
    """Ends, by pid, all processes of this world that still run."""
    for _ in range(100):
        qemus, others = judge.processes_with(marker)
        if not qemus and not others:
            return
        for pid in (*qemus, *others):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
