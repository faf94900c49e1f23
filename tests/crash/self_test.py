# SPDX-License-Identifier: MIT
"""Proves that killer and judge are not blind: breaches are planted, and must be reported; what is in
order must not be. A real QEMU, a store made by hand of the schema's tables, no program of the store but for the
way back to a state that --two-deep goes. Run it with `harness.py --self-test`."""

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time

import commands
import harness
import one_kill
import operations
import two_deep
import worlds
import judge

SCHEMA = os.path.join(harness.HERE, "..", "..", "schema", "0001_tables.sql")


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, what, good, detail=""):
        self.passed += bool(good)
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what}{'' if good else ': ' + str(detail)}", flush=True)


# ---- The killer ----------------------------------------------------------------------------------

def stops_of(record, edge, name):
    with open(record, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    return [int(r[0]) for r in rows if r[1] == edge and r[2].split(" ")[0] == name]


def test_killer(checks, killer, work):
    def kill(number, *command, flags=()):
        return subprocess.run([killer, str(number), *flags, "--record", f"{work}/record", "--", *command],
                              cwd=work, capture_output=True, text=True, check=False)

    ended = kill(0, "sh", "-c", "echo said; exit 5")
    checks.check("a run that survives gives its own status and output through",
                 ended.returncode == 5 and ended.stdout == "said\n" and "ended by itself" in ended.stderr, ended)
    checks.check("a run that dies by a signal gives 128 + signal",
                 kill(0, "sh", "-c", "kill -TERM $$").returncode == 143)
    checks.check("a program that is not there gives 127", kill(0, "/nowhere/at/all").returncode == 127)
    checks.check("no command gives 97", subprocess.run([killer, "3"], capture_output=True, check=False).returncode == 97)

    for flags in ((), ("--skip-pure",)):
        kill(0, "mkdir", f"{work}/probe", flags=flags)
        os.rmdir(f"{work}/probe")
        after = stops_of(f"{work}/record", "exit", "mkdir")[0]
        ended = kill(after - 1, "mkdir", f"{work}/made", flags=flags)
        checks.check(f"killed before mkdir {flags}: 99, and no directory",
                     ended.returncode == 99 and not os.path.exists(f"{work}/made"), ended)
        ended = kill(after, "mkdir", f"{work}/made", flags=flags)
        checks.check(f"killed after mkdir {flags}: 99, and a directory",
                     ended.returncode == 99 and os.path.exists(f"{work}/made"), ended)
        os.rmdir(f"{work}/made")
    kill(0, "mkdir", f"{work}/probe")
    os.rmdir(f"{work}/probe")
    entry = stops_of(f"{work}/record", "entry", "mkdir")[0]
    checks.check("killed at the entry of a call: it has not run",
                 kill(entry, "mkdir", f"{work}/made").returncode == 99 and not os.path.exists(f"{work}/made"))

    # A thread makes the directory; the others and the first die with it. A child and a child of
    # posix_spawn run on.
    script = f"""
import os, subprocess, threading, time
threading.Thread(target=lambda: time.sleep(60), daemon=True).start()
if os.fork() == 0:
    time.sleep(0.3); open('{work}/forked', 'w').close(); os._exit(0)
subprocess.Popen(['sh', '-c', 'sleep 0.3; : > {work}/spawned'])
def last():
    os.mkdir('{work}/by-thread')
    open('{work}/too-far', 'w').close()
t = threading.Thread(target=last); t.start(); t.join()
time.sleep(60)
"""
    python = [*worlds.PYTHON, "-c", script]
    number = 0
    begun = subprocess.Popen([killer, "0", "--skip-pure", "--record", f"{work}/record", "--", *python],
                             stderr=subprocess.DEVNULL)
    while not number:
        time.sleep(0.05)
        with contextlib.suppress(IndexError, OSError):
            number = stops_of(f"{work}/record", "exit", "mkdir")[-1]
    begun.terminate()
    status = begun.wait(5)
    time.sleep(0.5)  # its children end by themselves
    checks.check("a killer that is terminated takes its command along",
                 status == 98 and not judge.processes_with(f"{work}/by-thread")[1])
    for name in ("forked", "spawned", "too-far"):
        with contextlib.suppress(OSError):
            os.unlink(f"{work}/{name}")
    os.rmdir(f"{work}/by-thread")
    made = False
    for close in range(number - 3, number + 12):  # threads interleave: find the stop of this run
        ended = subprocess.run([killer, str(close), "--skip-pure", "--", *python], capture_output=True, text=True, check=False)
        made = ended.stderr.endswith("mkdir exit\n")
        if made:
            break
        time.sleep(0.4)
        for name in ("forked", "spawned", "too-far"):
            with contextlib.suppress(OSError):
                os.unlink(f"{work}/{name}")
        with contextlib.suppress(OSError):
            os.rmdir(f"{work}/by-thread")
    checks.check("a thread is killed, and the whole group with it",
                 made and os.path.exists(f"{work}/by-thread") and not os.path.exists(f"{work}/too-far"), number)
    time.sleep(0.6)
    checks.check("what it forked runs on", os.path.exists(f"{work}/forked"))
    checks.check("what it spawned runs on", os.path.exists(f"{work}/spawned"))


# ---- The judge -----------------------------------------------------------------------------------

class HandMade:
    """A store of raw tables, with a row for the QEMU that runs."""

    def __init__(self, world, pid):
        self.world = world
        os.makedirs(world.store, exist_ok=True)
        self.database = sqlite3.connect(os.path.join(world.store, "store.db"), isolation_level=None)
        self.database.execute("PRAGMA journal_mode = WAL")
        with open(SCHEMA, encoding="utf-8") as file:
            self.database.executescript(file.read())
        self.database.execute(
            "INSERT INTO session (id, pid, start_time, pid_namespace, boot_id, program, opened_us)"
            " VALUES (1, 1, 1, 1, 'boot', 'by hand', 1)")
        self.database.execute(
            "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, changed_us, qemu_pid,"
            " qemu_start_time) VALUES (1, 7, ?, 'k', 'running', 'yajl', 'boot', 1, 1, ?, ?)",
            ("8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01", pid, judge.start_time(pid)))
        self.thing(1, "disks", "hdc", "present", self.disk("a.iso"))

    def disk(self, image):
        return {"pdev_path": self.world.path(image), "vdev": "hdc", "format": "raw", "is_cdrom": 1}

    def thing(self, number, device_class, key, state, image):
        self.database.execute("INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us)"
                              " VALUES (?, 1, ?, ?, ?, 'qemu', ?, ?, 1)",
                              (number, device_class, key, number, state, json.dumps(image)))

    def product(self, kind, name, thing):
        self.database.execute("INSERT INTO product (domain, kind, name, thing) VALUES (1, ?, ?, ?)", (kind, name, thing))

    def intent(self, thing, operation, before, after, products=()):
        self.database.execute(
            "INSERT INTO intent (domain, thing, owner, operation, image_before, image_after, plan, probe, monitor_path,"
            " epoch, opened_us) VALUES (1, ?, 1, ?, ?, ?, '[]', ?, '/m', 1, 1)",
            (thing, operation, before and json.dumps(before), after and json.dumps(after),
             json.dumps({"products": [{"kind": k, "name": n} for k, n in products]})))

    def sql(self, text):
        self.database.execute(text)


def send_fd(world, image, opaque):
    with open(world.path(image), "rb") as file, socket.socket(socket.AF_UNIX) as client:
        client.connect(world.path("judge"))
        stream = client.makefile("rb")
        stream.readline()
        client.sendall(b'{"execute":"qmp_capabilities"}\n')
        stream.readline()
        socket.send_fds(client, [json.dumps({"execute": "add-fd", "arguments": {"opaque": opaque}}).encode() + b"\n"],
                        [file.fileno()])
        while b"return" not in (line := stream.readline()):
            pass
        return json.loads(line)["return"]["fdset-id"]


def test_judge(checks, options, work):
    world = worlds.World("/nowhere", options.killer, work)
    try:
        with world.plain_qemu() as process:
            commands.run([*worlds.PYTHON, os.path.join(harness.HERE, "judge.py"), "--second-monitor",
                         world.path("judge"), "--record-initial-devices", world.path("initial_devices.json")])
            store = HandMade(world, process.pid)
            judge_all(checks, world, store, process)
    finally:
        world.end()


def judge_all(checks, world, store, process):
    def verdict(*words, pid=process.pid):
        return commands.run([*worlds.PYTHON, os.path.join(harness.HERE, "judge.py"), world.store, "--qemu-pid", str(pid),
                            "--second-monitor", world.path("judge"), "--initial-devices", world.path("initial_devices.json"),
                            "--marker", world.directory, *words])

    def sound(what, *words, **more):
        ended = verdict(*words, **more)
        checks.check(f"sound: {what}", ended.status == 0, ended)

    def breach(what, text, *words, **more):
        ended = verdict(*words, **more)
        checks.check(f"breach: {what}", ended.status == 1 and text in ended.out, ended)

    def ask(execute, **arguments):
        with judge.Monitor(world.path("judge"), process.pid, time.monotonic() + 10) as monitor:
            return monitor.ask(execute, **arguments)

    def answered(what, status, kind, lie=None, intent=None, found=None, as_wished=False, guest_holds=False):
        """An answer to a request for the tablet: the lie that has to be named, or none. `found`: the intent
        that was open when it was asked for."""
        state = {"add": "present", "remove": "absent"}[kind]
        judged(what, lie, {"kind": kind, "thing": "qemu/tablet", "guest_holds": guest_holds, "status": status, "intent": intent,
                           "promises": [f"device:tablet={state}", f"entry:qemu/tablet={state}"],
                           "before": {"as_wished": as_wished, "intent": found}})

    def reached(what, status, lie=None, as_wished=False, half_done=False, **row):
        """An answer to the request to close the domain's document. `row`: what was another in its row when it was asked."""
        before = {**judge.row_of_living(judge.read_tables(world.store)), **row}
        judged(what, lie, {"kind": "reach", "thing": "domain", "guest_holds": False, "status": status, "intent": None,
                           "promises": ["domain:7=running", "closed:7=yes"],
                           "before": {"as_wished": as_wished, "intent": None, "half_done": half_done, "row": before}})

    def judged(what, lie, answer):
        with open(world.path("answers.json"), "w", encoding="utf-8") as file:
            json.dump([answer], file)
        if lie is None:
            sound(f"answer: {what}", "--answers", world.path("answers.json"))
        else:
            breach(f"answer: {what}", lie, "--answers", world.path("answers.json"))

    sound("a QEMU with its initial devices, with its row", "--settled")
    sound("a promise kept", "--acknowledged", f"medium:ide-5632=raw:{world.path('a.iso')}", "--acknowledged",
          "domain:7=running", "--acknowledged", "qemu=running", "--acknowledged", "entry:disks/hdc=present",
          "--acknowledged", "device:tablet=absent", pid="any")

    sound("the slot of a PCI device", "--acknowledged", "address:xenusb-0=16")
    breach("a PCI device in another slot", "address:xenusb-0 is 16, not 24", "--acknowledged", "address:xenusb-0=24")
    store.sql("ALTER TABLE domain ADD COLUMN closed_us INTEGER")
    sound("an open document", "--acknowledged", "closed:7=no")
    breach("an open document that should be closed", "closed:7 is no", "--acknowledged", "closed:7=yes")
    reached("a close is done, and it is open", 0, "it says done; acknowledged, but not so: closed:7")
    reached("a close is refused for no reason", 1, "nothing stood in its way")
    reached("a close is refused since it is closed, and it is not", 1, "as if it had been so before", as_wished=True)
    reached("a close is refused, since recovery has to come first", 1, half_done=True)
    reached("a close is refused, and something was changed", 1, "has changed the domain's row", half_done=True, state="creating")
    reached("a close that ends in doubt", 3, "it ends with 3")
    store.sql("UPDATE domain SET closed_us = 1")
    reached("a close is done", 0)
    reached("a close is refused, since it is closed", 1, as_wished=True)
    reached("a close is refused, since it is closed, which it was not", 1, "nothing stood in its way")
    store.sql("UPDATE domain SET closed_us = NULL")
    world.record("before.json")
    unchanged = ("--unchanged", world.path("before.json"))
    sound("a QEMU as it was before", *unchanged)

    # A device by stealth; then with an entry, in any state; then with an open intent only.
    ask("device_add", driver="usb-tablet", id="tablet", bus="xenusb-0.0")
    breach("a device without an entry", 'device "tablet"')
    breach("a QEMU that has got something", 'R19: QEMU has got device "tablet"', *unchanged)
    sound("a device that is known to be unknown", "--tolerated", "device:tablet")
    breach("a device that is not the one known to be unknown", 'R1: QEMU has device "tablet"', "--tolerated", "device:other")
    world.record("with-tablet.json")
    store.thing(2, "qemu", "tablet", "stale", {"key": "tablet"})
    breach("a device whose entry has another product", 'device "tablet"')
    store.product("device", "tablet", 2)
    sound("a device with a stale entry", "--settled")
    store.sql("DELETE FROM product")
    store.sql("UPDATE thing SET state = 'adding' WHERE id = 2")
    store.intent(2, "add", None, {"key": "tablet"}, [("device", "tablet")])
    sound("a device that an open intent speaks of")
    breach("the same after a recovery", "intent 1 is open", "--settled")
    breach("an entry that is still being added", "qemu/tablet is adding", "--settled")
    answered("done, and its intent is open", 0, "add", "says done, and intent 1 is open")
    answered("not done, and its intent is open", 1, "add", "says not done (status 1), and intent 1 is open")
    answered("in doubt with a number that is not open", 3, "add", "in doubt with intent 5", intent=5, guest_holds=True)
    answered("in doubt without a number", 3, "add", "in doubt with intent None", guest_holds=True)
    answered("in doubt, and nothing keeps QEMU from ending it", 3, "add", "no guest has to let go", intent=1)
    answered("in doubt with an open intent of its own", 3, "add", intent=1, guest_holds=True)
    answered("in doubt with the intent of an add, for a removal", 3, "remove", "which is another's: add", intent=1,
             guest_holds=True)
    store.sql("DELETE FROM intent")
    store.sql("UPDATE thing SET state = 'present' WHERE id = 2")
    store.product("device", "tablet", 2)
    answered("an add is done, and it is there", 0, "add", found=1)
    answered("an add is refused, since it had been there before", 1, "add", as_wished=True)
    answered("an add is refused, and it was its own intent that made it", 1, "add", "nothing stood in its way but intent 1",
             found=1)
    answered("an add is refused for no reason", 1, "add", "nothing stood in its way")
    answered("a removal is done, and it is there", 0, "remove", "it says done; acknowledged, but not so: device:tablet")
    answered("there is no such thing, and there is", 4, "remove", "and there was one")
    answered("a command that dies", -11, "add", "it ends with -11")
    ask("device_del", id="tablet")
    breach("a QEMU that has lost something", 'R19: QEMU has lost device "tablet"', "--unchanged", world.path("with-tablet.json"))
    sound("an entry without its device (the converse is fine)")
    breach("an entry called present after a recovery, without its device", 'QEMU has no device "tablet"', "--settled")
    breach("a promise broken in QEMU", "device:tablet is absent", "--acknowledged", "device:tablet=present")
    breach("a promise broken in the store", "entry:qemu/tablet is present", "--acknowledged", "entry:qemu/tablet=absent")
    answered("an add is done, and it is not there", 0, "add", "it says done; acknowledged, but not so: device:tablet")
    answered("an add is refused since it was there, and it is not", 1, "add", "nothing stood in its way", as_wished=True)
    store.sql("DELETE FROM thing WHERE id = 2")
    answered("a removal is done", 0, "remove", found=1)
    answered("there is no such thing, as had been before", 4, "remove", as_wished=True)
    answered("there is no such thing, and it was its own intent that took it", 4, "remove", "had found intent 1 open", found=1)

    for kind, name, make, take in (
            ("chardev", "c1", ("chardev-add", {"id": "c1", "backend": {"type": "null", "data": {}}}), ("chardev-remove", {"id": "c1"})),
            ("object", "o1", ("object-add", {"qom-type": "iothread", "id": "o1"}), ("object-del", {"id": "o1"})),
            ("node", "n1", ("blockdev-add", {"driver": "null-co", "node-name": "n1"}), ("blockdev-del", {"node-name": "n1"})),
            ("netdev", "e1", ("netdev_add", {"type": "user", "id": "e1"}), ("netdev_del", {"id": "e1"}))):
        ask(make[0], **make[1])
        breach(f"{kind} without an entry", f'{kind} "{name}"')
        store.thing(3, "qemu", name, "present", {"key": name})
        store.product(kind, name, 3)
        sound(f"{kind} with an entry", "--settled")
        store.sql("DELETE FROM thing WHERE id = 3")
        store.sql("DELETE FROM product")
        ask(take[0], **take[1])
    sound("all of them gone again", "--settled")

    # Media.
    ask("blockdev-change-medium", id="ide-5632", filename=world.path("b.iso"), format="raw")
    breach("a medium without an entry", "R1: drive \"ide-5632\" holds " + world.path("b.iso"))
    breach("a medium that is another than before", "R19: media of ide-5632", *unchanged)
    store.sql("UPDATE thing SET state = 'changing' WHERE id = 1")
    store.intent(1, "change", store.disk("a.iso"), store.disk("b.iso"))
    sound("a medium that an open intent speaks of")
    ask("eject", id="ide-5632", force=True)
    breach("an emptied drive that no image allows", "holds nothing")
    store.sql("DELETE FROM intent")
    store.sql("UPDATE thing SET state = 'present' WHERE id = 1")
    breach("an emptied drive whose entry has a medium", "holds nothing")
    breach("a promised medium that is not there", "empty in QEMU", "--acknowledged", f"medium:ide-5632=raw:{world.path('a.iso')}")
    send_fd(world, "a.iso", f"raw:{world.path('a.iso')}")
    ask("query-fdsets")  # QEMU drops it as we leave, since the guest runs; a stopped one keeps it
    ask("stop")
    number = send_fd(world, "b.iso", f"raw:{world.path('b.iso')}")
    store.sql("UPDATE thing SET json = json_set(json, '$.pdev_path', '', '$.format', 'empty') WHERE id = 1")
    breach("a descriptor set that no device uses and no row names", f"descriptor set {number}")
    store.sql("UPDATE thing SET state = 'changing' WHERE id = 1")
    store.intent(1, "change", store.disk("a.iso"), store.disk("b.iso"))
    store.sql("UPDATE intent SET image_neither = (SELECT json FROM thing WHERE id = 1)")
    sound("one that an open intent names, and a drive emptied on the way")
    ask("blockdev-change-medium", id="ide-5632", filename=f"/dev/fdset/{number}", format="raw")
    store.sql("DELETE FROM intent")
    store.sql(f"UPDATE thing SET state = 'present', json = '{json.dumps(store.disk('b.iso'))}' WHERE id = 1")
    sound("a medium that came by a descriptor", "--settled", "--acknowledged", f"medium:ide-5632=raw:{world.path('b.iso')}")

    # Last of QEMU's, since nothing without a name can be taken out again.
    ask("device_add", driver="usb-mouse", bus="xenusb-0.0")
    breach("a device without a name", 'anonymous "device[0]"')

    # Rows and processes.
    breach("a QEMU that should not run", "none should", pid="none")
    store.sql("UPDATE domain SET qemu_pid = 1")
    breach("a QEMU without a row", f"R13: QEMU {process.pid}")
    store.sql(f"UPDATE domain SET qemu_pid = {process.pid}, qemu_start_time = 5")
    breach("a QEMU with the pid of an older process", f"R13: QEMU {process.pid}")
    store.sql(f"UPDATE domain SET qemu_start_time = {judge.start_time(process.pid)}, state = 'destroyed'")
    breach("a QEMU whose row is destroyed", f"R13: QEMU {process.pid}", pid="any")
    sound("a QEMU that another program started", "--elsewhere", str(process.pid), pid="any")
    breach("a QEMU beside one that another program started", f"R13: QEMU {process.pid}", "--elsewhere", "1", pid="any")
    store.sql("UPDATE domain SET state = 'creating'")
    breach("a creation left behind", "creating", "--settled")
    store.sql("UPDATE domain SET state = 'running'")
    lingerer = subprocess.Popen([*worlds.PYTHON, "-c", "import time; time.sleep(60)", world.directory])
    breach("a child that outlives its creator", f"process {lingerer.pid} outlives")
    lingerer.kill()
    lingerer.wait()
    process.kill()
    process.wait()
    breach("a QEMU that is dead", "is dead")
    breach("a promise about a QEMU that is not there", "qemu is none", "--acknowledged", "qemu=running", pid="any")
    sound("no QEMU, and none should be", pid="none")
    store.database.close()
    shutil.copy("/dev/null", os.path.join(world.store, "store.db"))
    checks.check("a store without tables: could not look", verdict(pid="none").status == 2)


def test_beginning(checks, work):
    """A QEMU whose program the kernel is putting into place has no command line, and is seen all the same."""
    missed = 0
    marker = os.path.join(work, "begins")
    for _ in range(40):
        process = os.fork()
        if process == 0:
            os.execvp("qemu-system-x86_64", ["qemu-system-x86_64", "-S", "-machine", "none", "-display", "none", "-name", marker])
        with open(f"/proc/{process}/cmdline", "rb") as line:
            while text := line.read():
                if text.startswith(b"qemu-system"):
                    break
                line.seek(0)
        missed += process not in judge.processes_with(marker)[0]
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    checks.check("a QEMU is seen while its program is put into place", missed == 0, f"{missed} of 40 were not")


def test_slices(checks, options):
    """Of many slices each stop is in one, and one that has none of them is not the whole."""
    names = [name for name, operation in operations.OPERATIONS.items() if not operation.left]
    for of in (1, 50, 100, 400):
        pieces = [(name, *piece) for number in range(1, of + 1) for name, piece in harness.slice_of(names, number, of).items()]
        whole = [(name, start, count) for name, _, count in {(n, 1, c) for n, _, c in pieces} for start in range(1, count + 1)]
        checks.check(f"{of} slices are the whole", sorted(pieces) == sorted(whole) and {n for n, _, _ in pieces} == set(names), pieces)
    if options.bin:
        ended = subprocess.run([sys.executable, os.path.join(harness.HERE, "harness.py"), "--bin", options.bin, "--slice", "9999/9999"],
                               capture_output=True, text=True, timeout=60, check=False)
        checks.check("a slice without an operation kills nothing", ended.returncode == 0 and "survived at" in ended.stdout, ended)


# ---- The way back ---------------------------------------------------------------------------------

def test_way_back(checks, options, work):
    """To the state that a kill left: never to another one."""
    world = worlds.World(options.bin, options.killer, work)
    try:
        world.begin()
        left = two_deep.Left(world, operations.OPERATIONS["close"], 100, skip_pure=True)
        left.keep()
        before = judge.read_tables(world.store)
        left.kill.recover()
        recovered = judge.read_tables(world.store)
        checks.check("a recovery changes the state that a kill left", recovered["session"] != before["session"], recovered)
        world.ask("device_add", driver="usb-tablet", id="odd", bus="xenusb-0.0")
        checks.check("no way back where QEMU has something else, and nothing is touched",
                     not left.come_back() and judge.read_tables(world.store) == recovered)
        world.ask("device_del", id="odd")
        checks.check("a state is come back to", left.come_back() and judge.read_tables(world.store) == before)
        watch, names = two_deep.Watch(left), []

        def is_third_state(_, call):
            names.append(watch.now(call))
            return len(set(names)) == 3
        _, outcome = one_kill.kill_where(world, True, "xlfsck", ("-p",), is_third_state)
        checks.check("a recovery is killed at the stop that was asked for", not outcome.survived and outcome.stops == len(names))
        now = two_deep.name_of(two_deep.state_of(world, left.old, *two_deep.qemus_of(world)))
        checks.check("what was seen at a stop is what a kill there leaves", now == names[-1] != names[0])
        left.kill.recover()
        for name in ("locks", "store.db-wal"):
            whole = left.kept[0].files[name]
            left.kept[0].files[name] = b""
            said = ""
            try:
                left.come_back()
            except worlds.Violation as violation:
                said = str(violation)
            checks.check(f"a state without {name} is not taken for the one that was left", "the state is another" in said, said)
            left.kept[0].files[name] = whole
    finally:
        world.end()


def run_all(options):
    checks = Checks()
    work = options.work
    directory = subprocess.run(["mktemp", "-d", f"{work}/xk-self-XXXXXX"], capture_output=True, text=True,
                               check=True).stdout.strip()
    try:
        test_killer(checks, options.killer, directory)
        test_judge(checks, options, work)
        test_beginning(checks, work)
        test_slices(checks, options)
        if options.bin:
            test_way_back(checks, options, work)
    finally:
        commands.end_processes(directory)
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit("run it with harness.py --self-test")
