# SPDX-License-Identifier: MIT
"""Where operations are killed: a store, its domain, and the QEMU of that."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import uuid

import judge
from commands import COMMAND_SECONDS, Ended, end_processes, run
from operations import DRIVE, GONE, RUNNING

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = ["/usr/bin/python3", "-I", "-S"]


FIRMWARE_BYTES = 1 << 16
HALTS = bytes.fromhex("faf4ebfd").ljust(16, b"\0")  # where a processor begins: cli; hlt; jmp back to the hlt


class Violation(Exception):
    pass


def document(name, medium):
    """An HVM domain as libxl writes it down, with a CD in hdc and nothing else of its own."""
    return {
        "c_info": {"type": "hvm", "name": name, "uuid": str(uuid.uuid4()), "run_hotplug_scripts": "True"},
        "b_info": {
            "max_vcpus": 2, "avail_vcpus": [0, 1], "max_memkb": 32768, "target_memkb": 32768,
            "video_memkb": 8192, "sched_params": {}, "claim_mode": "True",
            "type.hvm": {"vga": {}, "vnc": {"enable": "False"}, "sdl": {}, "spice": {}, "boot": "dc",
                         "usb": "True", "rdm": {}},
            "arch_arm": {}, "arch_x86": {"msr_relaxed": "False"}},
        "disks": [{"pdev_path": medium, "vdev": "hdc", "format": "raw", "removable": 1, "is_cdrom": 1,
                   "colo_restore_enable": "False"}],
        "on_reboot": "restart", "on_crash": "restart", "on_soft_reset": "soft_reset"}


class Judge:
    """judge.py, without the time that it takes to load (judge_server.py)."""

    def __init__(self):
        self.server = None

    def __call__(self, *words):
        if not self.server:
            self.server = subprocess.Popen([*PYTHON, os.path.join(HERE, "judge_server.py")], stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, start_new_session=True)
        argv = ["judge.py", *words]
        self.server.stdin.write(json.dumps(words).encode() + b"\n")
        self.server.stdin.flush()
        if not select.select([self.server.stdout], [], [], COMMAND_SECONDS)[0]:
            self.end()
            return Ended(argv, "hangs", "", "")
        status, said = json.loads(self.server.stdout.readline() or '["gone", ""]')
        return Ended(argv, status, said, "")

    def end(self):
        if self.server:
            self.server.kill()
            self.server.communicate()
            self.server = None


class World:
    """A directory with a store, two CD images, and the QEMU of the one domain in it."""

    recorded = {}   # initial devices, of worlds of this process, by the command line

    def __init__(self, programs, killer, work):
        self.programs = programs
        self.killer = killer
        self.directory = tempfile.mkdtemp(prefix="xk-", dir=work)  # short: sockets lie in it
        self.store = self.path("s")
        self.name = f"k{os.path.basename(self.directory)[3:]}"  # of the domain
        self.kills = 0
        self.log = []
        self.ask_judge = Judge()
        self.elsewhere = []     # QEMUs that another program started
        for name in ("a.iso", "b.iso"):
            with open(self.path(name), "wb") as file:
                file.write(os.urandom(4096) + bytes(1020 * 1024))
        # A firmware that halts: what a guest does here is nothing, and to boot takes as long as a kill.
        with open(self.path("halts"), "wb") as file:
            file.write(HALTS.rjust(FIRMWARE_BYTES, b"\0"))
        self.qemu = [
            "qemu-system-x86_64", "-bios", self.path("halts"), "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
            "-smp", "1,maxcpus=2",
            "-drive", f"if=none,readonly=on,id={DRIVE},file={self.path('a.iso')},format=raw",
            "-device", f"ide-cd,id={DRIVE},drive={DRIVE},bus=ide.1,unit=0",
            "-device", "usb-ehci,id=xenusb-0",
            "-chardev", f"socket,id=judge,path={self.path('judge')},server=on,wait=off",
            "-mon", "chardev=judge,mode=control"]
        # Born without what the document says: the creation has to put it in.
        self.qemu_empty = [f"if=none,readonly=on,id={DRIVE}" if word.startswith("if=none,") else word
                           for word in self.qemu]
        with open(self.path("config.json"), "w", encoding="utf-8") as file:
            json.dump(document(self.name, self.path("a.iso")), file, indent=4)

    def path(self, name):
        return os.path.join(self.directory, name)

    def begin(self):
        self.must(self.xlstore("init"))
        self.record_initial_devices()

    def record_initial_devices(self):
        """The initial devices of a QEMU with this command line, of which another world's differs in its directory alone."""
        words = tuple(word.replace(self.directory, "{directory}") for word in self.qemu)
        path = self.path("initial_devices.json")
        if words not in World.recorded:
            with self.plain_qemu():
                self.record("initial_devices.json")
            with open(path, encoding="utf-8") as file:
                World.recorded[words] = file.read().replace(self.directory, "{directory}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(World.recorded[words].replace("{directory}", self.directory))

    def record(self, name):
        self.must(self.ask_judge("--second-monitor", self.path("judge"), "--record-initial-devices", self.path(name)))

    @contextlib.contextmanager
    def plain_qemu(self):
        process = subprocess.Popen(self.qemu, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    # Behind the store's back.
    def ask(self, execute, **arguments):
        with judge.Monitor(self.path("judge"), None, time.monotonic() + judge.LOOK_SECONDS) as monitor:
            return monitor.ask(execute, **arguments)

    def begin_elsewhere(self, *more):
        """A QEMU with a monitor for the store, as another toolstack starts it."""
        process = subprocess.Popen(
            [*self.qemu, *more, "-chardev", f"socket,id=cmd,path={self.path('monitor')},server=on,wait=off",
             "-mon", "chardev=cmd,mode=control"], stdin=subprocess.DEVNULL, start_new_session=True)
        self.elsewhere.append(process)
        self.ask("query-status")
        return process

    def forget(self):
        """No domain, and no QEMU."""
        if any(d["state"] != "destroyed" for d in judge.read_tables(self.store)["domain"]):
            self.must(self.xlstore(*GONE[1]))
        for process in self.elsewhere:
            process.kill()
            process.wait()
        self.elsewhere.clear()

    def end(self, keep=False):
        self.ask_judge.end()
        end_processes(self.directory)
        for process in self.elsewhere:
            process.wait()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    # Commands.
    def fill(self, words):
        texts = {"{config}": self.path("config.json"), "{monitor}": self.path("monitor"), "{a}": self.path("a.iso"),
                 "{b}": self.path("b.iso"), "{name}": self.name}
        filled = []
        for word in words:
            for name, text in texts.items():
                word = word.replace(name, text)
            filled += {"{qemu}": self.qemu, "{qemu, empty}": self.qemu_empty}.get(word, [word])
        return filled

    def promise(self, text):
        return text.replace("{a}", self.path("a.iso")).replace("{b}", self.path("b.iso")).replace("{name}", self.name)

    def python_argv(self, script, words):
        """Of a program that uses the Python package of this build."""
        build = os.path.dirname(self.programs)
        library = os.path.join(build, "lib", "libxlstore.so")
        environment = [f"PYTHONPATH={build}/python", f"XLSTORE_LIBRARY={library}", "PYTHONDONTWRITEBYTECODE=1"]
        # A sanitized library is loaded by an interpreter that is not: the sanitizer comes first.
        needs = subprocess.run(["ldd", library], capture_output=True, text=True, check=True).stdout.split()
        environment += [f"LD_PRELOAD={word}" for word in needs if word.startswith("/") and "libasan" in word]
        return ["/usr/bin/env", *environment, "/usr/bin/python3", "-S", os.path.join(HERE, "..", "bindings", script),
                self.store, *self.fill(words)]

    def argv(self, program, words):
        if program.endswith(".py"):
            return self.python_argv(program, words)
        option = ["--store"] if program in ("xlstore", "xlfsck") else []
        return [os.path.join(self.programs, program), *option, self.store, *self.fill(words)]

    def note(self, ended):
        self.log.append(str(ended))
        for sign in ("Sanitizer", "runtime error:"):
            if sign in ended.err:
                raise Violation(f"a sanitizer complains:\n{ended}")
        if ended.status == "hangs":
            raise Violation(f"no end within {COMMAND_SECONDS:.0f} s:\n{ended}")
        return ended

    def xlstore(self, *words):
        return self.note(run(self.argv("xlstore", words)))

    def must(self, ended, statuses=(0,), what="an undisturbed command fails"):
        if ended.status not in statuses:
            raise Violation(f"{what} (status {ended.status}, not {' or '.join(map(str, statuses))}):\n{ended}")
        return ended

    def judge(self, when, qemu_pid, promises=(), settled=False, answers=(), tolerated=(), unchanged=False):
        """The separate judge's verdict; what it saw, as a dictionary."""
        words = ["--qemu-pid", str(qemu_pid), "--second-monitor", self.path("judge"),
                 "--initial-devices", self.path("initial_devices.json"), "--marker", self.directory, "--json", self.path("seen.json")]
        for promise in promises:
            words += ["--acknowledged", self.promise(promise)]
        if settled:
            words.append("--settled")
        for process in self.elsewhere:
            words += ["--elsewhere", str(process.pid)]
        for name in tolerated:
            words += ["--tolerated", name]
        if unchanged:
            words += ["--unchanged", self.path("before.json")]
        if answers:
            with open(self.path("answers.json"), "w", encoding="utf-8") as file:
                json.dump(answers, file)
            words += ["--answers", self.path("answers.json")]
        ended = self.note(self.ask_judge(self.store, *words))
        if ended.status != 0:
            raise Violation(f"{when}:\n{ended.out}{ended.err}")
        with open(self.path("seen.json"), encoding="utf-8") as file:
            return json.load(file)

    def sight(self):
        """A look of our own, to find out what the start state lacks."""
        qemus, _ = judge.processes_with(self.directory)
        pid = next(iter(qemus), None)
        tables = judge.read_tables(self.store)
        living = [d for d in tables["domain"] if d["state"] != "destroyed"]
        rows = judge.Rows(tables, living[0]) if living else None
        return tables, rows, judge.query_qemu(self.path("judge"), pid) if pid else None, qemus

    def holds(self, promise, sight=None):
        return judge.judge_promise(self.promise(promise), *(sight or self.sight())) is None

    def bring_about(self, operation):
        if operation.prepare:
            operation.prepare(self)
        if operation.anew and self.holds(RUNNING[0]):
            self.must(self.xlstore(*GONE[1]))
        sight = None    # as long as nothing was changed
        for fact, command in operation.start:
            sight = sight or self.sight()
            if self.holds(fact, sight):
                continue
            sight = None
            if callable(command[0]):
                command[0](self)
            else:
                self.must(self.xlstore(*command), what="after recovery the next operation fails")
        facts = [fact for fact, _ in operation.start]
        seen = self.judge("in the start state", "any", facts, settled=True, tolerated=operation.tolerated)
        if len(seen["qemus"]) != (1 if operation.qemu != "begins" else 0):
            raise Violation(f"in the start state these QEMUs run: {seen['qemus']}")
        if operation.unchanged:
            self.record("before.json")
        return seen
