#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Looks at a store and at its QEMU from outside, and says whether the invariant holds:

    Nothing exists in QEMU without an entry (R1), and no QEMU runs without a row (R13).

It shares no code with the store. What is in QEMU it asks over a second monitor that no other client
uses; what is in the store it reads from the raw tables of a private copy of database and WAL. It is
run after a kill and *before* any recovery, and again after it.

  judge.py STORE --qemu-pid PID|none|any --second-monitor SOCKET --initial-devices FILE
                 [--marker TEXT] [--settled] [--acknowledged SUBJECT=VALUE]... [--answers FILE]
                 [--elsewhere PID]... [--tolerated KIND:NAME]... [--unchanged FILE] [--json FILE]
  judge.py --record-initial-devices FILE --second-monitor SOCKET

--qemu-pid        PID: that QEMU must live. none: none may. any: those of this store's processes
--marker          what the command line of this test's processes has in it (default: STORE)
--settled         besides: nothing is pending, and what an entry calls present is there
--acknowledged    besides: what a command that ended with 0 promised. SUBJECT=VALUE is one of
                    medium:DRIVE=FORMAT:PATH|empty     in QEMU and in the entry of that drive
                    KIND:NAME=present|absent           device, chardev, node, object, netdev; in QEMU
                    entry:CLASS/KEY=present|absent     in the store
                    domain:DOMID=running|gone          in the store
                    closed:DOMID=yes|no                in the store: its document
                    registered:DOMID=yes|no            in the store: its QEMU's pid
                    name:DOMID=NAME                    in the store
                    address:DEVICE=NUMBER              of a PCI device; in QEMU
                    qemu=running|none
--answers         besides: what a request that followed the kill was answered is true (R18); FILE is an
                  array of what `judge_answer` takes
--elsewhere       a QEMU that another program started: it may run without a row
--tolerated       what was put into QEMU behind the store's back, and may be there without an entry
--unchanged       besides: QEMU is as it was when FILE was recorded (R19)

Exit status: 0 the invariant holds; 1 it does not, each breach on a line of its own; 2 could not look.
"""

import argparse
import json
import os
import re
import shutil
import socket
import sqlite3
import sys
import tempfile
import time

LOOK_SECONDS = 20.0     # for a QEMU that is starting, or busy with what a dead client asked of it
LEFTOVERS = 64          # messages before a greeting, at most
CHILD_SECONDS = 5.0     # for the waiting child of a dead creator, or a killed process, to end


IN_MEMORY = "/dev/shm"  # a copy that is thrown away has no time to wait for a disk


class CouldNotLook(Exception):
    pass


# ---- QEMU ----------------------------------------------------------------------------------------

class Monitor:
    """One QMP connection, from greeting to goodbye."""

    def __init__(self, path, pid, until):
        self.until = until
        self.buffer = b""
        self.socket = None
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.socket.settimeout(max(0.1, until - time.monotonic()))
                self.socket.connect(path)
                break
            except OSError as error:
                # A QEMU that was started a moment ago has not bound it yet.
                self.socket.close()
                if time.monotonic() > until or (pid and not is_alive(pid)):
                    raise CouldNotLook(f"{path}: {error}") from error
                time.sleep(0.02)
        # QEMU 7.2 hands what it owed the previous client to the next one, before the greeting.
        for _ in range(LEFTOVERS):
            greeting = self.line()
            if "QMP" in greeting:
                break
        else:
            raise CouldNotLook(f"{path}: no QMP greeting: {greeting}")
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def line(self):
        while b"\n" not in self.buffer:
            left = self.until - time.monotonic()
            if left <= 0:
                raise CouldNotLook("QEMU does not answer")
            self.socket.settimeout(left)
            try:
                got = self.socket.recv(1 << 16)
            except OSError as error:
                raise CouldNotLook(f"QEMU does not answer: {error}") from error
            if not got:
                raise CouldNotLook("QEMU closed the monitor")
            self.buffer += got
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, execute, **arguments):
        return self.ask_all((execute, arguments))[0]

    def ask_all(self, *questions):
        """The answers of all, which are sent at once."""
        lines = [json.dumps({"execute": execute, "id": number, "arguments": arguments})
                 for number, (execute, arguments) in enumerate(questions)]
        try:
            self.socket.sendall("".join(f"{line}\n" for line in lines).encode())
        except OSError as error:
            raise CouldNotLook(f"{questions[0][0]}: {error}") from error
        return [self.answer(number, execute) for number, (execute, _) in enumerate(questions)]

    def answer(self, number, execute):
        while True:
            answer = self.line()
            if answer.get("id") == number:
                if "error" in answer:
                    raise CouldNotLook(f"{execute}: {answer['error']}")
                return answer["return"]

    def addresses(self, names):
        """The slot and function of each that is a PCI device."""
        paths = {name: "/machine/peripheral/" + name for name in names}
        listed = self.ask_all(*(("qom-list", {"path": path}) for path in paths.values())) if paths else []
        pci = [name for name, found in zip(paths, listed, strict=True) if any(p["name"] == "addr" for p in found)]
        found = self.ask_all(*(("qom-get", {"path": paths[name], "property": "addr"}) for name in pci)) if pci else []
        return dict(zip(pci, found, strict=True))


def children_of(listed):
    return {p["name"] for p in listed if p["type"].startswith("child<")}


# What is asked, in one go.
QUESTIONS = (("qom-list", {"path": "/machine/peripheral"}), ("qom-list", {"path": "/machine/peripheral-anon"}),
             ("qom-list", {"path": "/objects"}), ("query-named-block-nodes", {"flat": True}), ("query-chardev", {}),
             ("human-monitor-command", {"command-line": "info network"}), ("query-fdsets", {}), ("query-block", {}))


def query_qemu(path, pid):
    """Everything by name, as {kind: set of names}; chardevs with where they lead; media; fd sets."""
    with Monitor(path, pid, time.monotonic() + LOOK_SECONDS) as monitor:
        named, anonymous, objects, nodes, chardevs, network, fdsets, drives = monitor.ask_all(*QUESTIONS)
        devices = children_of(named)
        seen = {
            "device": devices,
            "anonymous": children_of(anonymous),
            "object": children_of(objects),
            # Names with '#' are QEMU's own: nodes under a drive, which count as its medium.
            "address": {name: address for name, address in monitor.addresses(devices).items() if address is not None},
            "node": {n["node-name"] for n in nodes if not n["node-name"].startswith("#")},
        }
        seen["chardev_files"] = {c["label"]: c.get("filename", "") for c in chardevs}
        seen["chardev"] = set(seen["chardev_files"])
        seen["netdev"] = set(re.findall(r"^[ \\]*(.+?): index=", network, re.MULTILINE))
        opaque = {s["fdset-id"]: [f.get("opaque", "") for f in s["fds"]] for s in fdsets}
        seen["media"] = {}
        used = set()
        for drive in drives:
            # The disk of a composite device (usb-storage) is named by that device.
            by_device = re.match(r"/machine/peripheral/([^/]+)", drive.get("qdev", ""))
            name = drive["device"] or (by_device.group(1) if by_device else drive.get("qdev", ""))
            medium = None
            if "inserted" in drive:
                medium = drive["inserted"]["file"]
                number = re.fullmatch(r"/dev/fdset/(\d+)", medium)
                if number:
                    used.add(int(number[1]))
                    names = opaque.get(int(number[1]), [])
                    medium = names[0] if names else medium
            if name:  # without: its device has been taken out, and QEMU has not freed it yet
                seen["media"][name] = medium
        seen["unused_fdsets"] = {n: names for n, names in opaque.items() if n not in used}
        return seen


def query_qemu_twice(path, pid):
    """QEMU drops a descriptor set that nothing uses only when its last monitor client leaves, and
    may not have noticed yet that the killed one has left: what counts as a leftover is what is still
    there on our second visit."""
    seen = query_qemu(path, pid)
    for _ in range(3):
        if not seen["unused_fdsets"]:
            break
        time.sleep(0.1)
        seen = query_qemu(path, pid)
    return seen


# ---- Processes -----------------------------------------------------------------------------------

def stat_fields(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rsplit(b")", 1)[1].split()  # the name may hold anything


def is_alive(pid):
    try:
        return stat_fields(pid)[0] not in (b"Z", b"X")
    except OSError:
        return False


def ends_soon(pid):
    """A killed process closes its sockets a moment before it counts as dead."""
    until = time.monotonic() + CHILD_SECONDS
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not is_alive(pid)


def start_time(pid):
    return int(stat_fields(pid)[19])


def ancestors():
    found = set()
    pid = os.getpid()
    while pid > 1:
        found.add(pid)
        pid = int(stat_fields(pid)[1])
    return found


def command_line(pid):
    """While the kernel replaces its program, a process has none: a QEMU that begins is waited for."""
    until = time.monotonic() + CHILD_SECONDS
    while True:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            argv = file.read().decode(errors="replace").split("\0")[:-1]
        if argv or not is_alive(pid) or time.monotonic() > until or \
                not os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("qemu-system"):
            return argv
        time.sleep(0.001)


def processes_with(marker):
    """(QEMUs, others) whose command line has `marker` in it, but for ourselves and our callers."""
    mine = ancestors()
    qemus, others = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in mine:
            continue
        try:
            argv = command_line(int(name))
        except OSError:
            continue
        if argv and any(marker in word for word in argv) and is_alive(int(name)):
            is_qemu = os.path.basename(argv[0]).startswith("qemu-system")
            (qemus if is_qemu else others)[int(name)] = " ".join(argv)
    return qemus, others


def processes_at_rest(marker):
    """The same, once the waiting child of a dead creator has had time to end by itself; a program that
    it becomes is a QEMU."""
    until = time.monotonic() + CHILD_SECONDS
    while True:
        qemus, others = processes_with(marker)
        if not others or time.monotonic() > until:
            return qemus, others
        time.sleep(0.01)


# ---- The store -----------------------------------------------------------------------------------

def read_tables(store):
    """The raw tables, from a copy: to open the living database would take part in its locking. The
    -shm is left behind, so that SQLite rebuilds its index from the WAL alone."""
    with tempfile.TemporaryDirectory(prefix="judge-", dir=IN_MEMORY if os.path.isdir(IN_MEMORY) else None) as copy:
        shutil.copy(os.path.join(store, "store.db"), copy)
        wal = os.path.join(store, "store.db-wal")
        if os.path.exists(wal):
            shutil.copy(wal, copy)
        database = sqlite3.connect(os.path.join(copy, "store.db"))
        try:
            database.row_factory = sqlite3.Row
            if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise CouldNotLook("integrity_check of the copied store fails")
            names = [r[0] for r in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            tables = {}
            for name in ("store", "domain", "document_member", "thing", "product", "intent", "session", "tombstone", "sqlite_sequence"):
                if name not in names:
                    raise CouldNotLook(f"the store has no table {name}")
                tables[name] = [dict(r) for r in database.execute(f"SELECT * FROM {name}")]
            return tables
        except sqlite3.Error as error:
            raise CouldNotLook(f"the copied store cannot be read: {error}") from error
        finally:
            database.close()


def vdev_to_drive(vdev):
    """libxl's id of an emulated drive: ide-5632 for hdc."""
    numbers = {"hda": 768, "hdb": 832, "hdc": 5632, "hdd": 5696}
    return f"ide-{numbers[vdev]}" if vdev in numbers else None


def medium_of(text):
    """What a disk's JSON says is in the drive; None: nothing."""
    disk = json.loads(text)
    path = disk.get("pdev_path", "")
    form = disk.get("format", "raw")
    return None if form == "empty" or not path else f"{form}:{path}"


class Rows:
    """What the rows of one incarnation allow to be in its QEMU."""

    def __init__(self, tables, domain):
        self.domain = domain
        self.things = [t for t in tables["thing"] if t["domain"] == domain["id"]]
        self.intents = [i for i in tables["intent"] if i["domain"] == domain["id"]]
        of_thing = {t["id"] for t in self.things}
        self.products = {}      # (kind, name) -> the entry it belongs to
        for product in tables["product"]:
            if product["domain"] == domain["id"] and product["thing"] in of_thing:
                self.products[product["kind"], product["name"]] = product["thing"]
        for intent in self.intents:
            for product in json.loads(intent["probe"]).get("products", []):
                self.products.setdefault((product["kind"], product["name"]), intent["thing"])
        self.media = {}         # drive -> the media that its entry and open intent know of
        self.settled_media = {}
        for thing in self.things:
            drive = vdev_to_drive(thing["key"]) if thing["class"] == "disks" else None
            if not drive:
                continue
            self.settled_media[drive] = medium_of(thing["json"])
            self.media[drive] = {self.settled_media[drive]}
            if thing["state"] in ("adding", "stale"):
                self.media[drive].add(None)  # the entry may be ahead of QEMU: R1's converse is fine
            for intent in self.intents:
                if intent["thing"] == thing["id"]:
                    for image in ("image_before", "image_after", "image_neither"):
                        if intent[image] is not None:
                            self.media[drive].add(medium_of(intent[image]))

    def name(self):
        return f"domain {self.domain['domid']} (row {self.domain['id']}, {self.domain['state']})"


def same_medium(seen, known):
    """A medium that came by a descriptor is named FORMAT:PATH; one of the command line, by its path."""
    if seen is None or known is None:
        return seen is known
    return seen in (known, known.split(":", 1)[1])


# ---- The verdict ---------------------------------------------------------------------------------

KINDS = ("device", "anonymous", "object", "node", "chardev", "netdev")


def judge_unchanged(seen, before):
    """R19: what another QEMU it is than it was."""
    breaches = []
    for kind in KINDS:
        there, was = set(seen[kind]), set(before[kind])
        breaches += [f"R19: QEMU has got {kind} \"{name}\"" for name in sorted(there - was)]
        breaches += [f"R19: QEMU has lost {kind} \"{name}\"" for name in sorted(was - there)]
    for what in ("media", "address"):
        for name in sorted(seen[what].keys() & before[what].keys()):
            if seen[what][name] != before[what][name]:
                breaches.append(f"R19: {what} of {name}: {seen[what][name]}, and it was {before[what][name]}")
    return breaches


def judge_qemu(rows, seen, initial_devices, tolerated=()):
    """R1: what is there that no row accounts for."""
    breaches = []
    for kind in KINDS:
        for name in sorted(seen[kind] - set(initial_devices[kind])):
            if (kind, name) in rows.products or f"{kind}:{name}" in tolerated:
                continue
            if kind == "chardev" and rows.domain["monitor_path"] and \
                    rows.domain["monitor_path"] in seen["chardev_files"][name]:
                continue  # the monitor that the store itself added to the command line
            breaches.append(f"R1: QEMU has {kind} \"{name}\", and no entry or open intent of {rows.name()} has it")
    for drive, medium in sorted(seen["media"].items()):
        if drive not in initial_devices["media"] and ("device", drive) not in rows.products \
                and ("node", drive) not in rows.products:
            breaches.append(f"R1: QEMU has drive \"{drive}\", and no entry or open intent of {rows.name()} has it")
        elif drive in rows.media:
            if not any(same_medium(medium, known) for known in rows.media[drive]):
                breaches.append(f"R1: drive \"{drive}\" holds {medium or 'nothing'}, but its entry and open intent "
                                f"know only of {sorted(str(m) for m in rows.media[drive])}")
        elif ("device", drive) in rows.products:
            pass  # an entry's own device: its medium is a node, and was judged as one
        elif medium is not None and medium != initial_devices["media"].get(drive):
            breaches.append(f"R1: drive \"{drive}\" has no entry, and holds {medium} since it was started")
    promised = {m for media in rows.media.values() for m in media}
    promised |= {name for kind, name in rows.products if kind == "fdset"}
    for number, names in sorted(seen["unused_fdsets"].items()):
        if str(number) not in initial_devices["unused_fdsets"] and not promised & set(names):
            breaches.append(f"R1: QEMU keeps descriptor set {number} {names}, which no drive uses and no row names")
    return breaches


def judge_processes(qemus, living, elsewhere=()):
    """R13: a QEMU that no row accounts for."""
    breaches = []
    for pid, command in qemus.items():
        if pid in elsewhere:
            continue
        try:
            started = start_time(pid)
        except OSError:
            continue  # ended meanwhile
        if not any(d["qemu_pid"] == pid and d["qemu_start_time"] in (None, started) for d in living):
            breaches.append(f"R13: QEMU {pid} runs, and no row that is not destroyed has it: {command[:200]}")
    return breaches


def judge_settled(rows, seen):
    breaches = []
    for intent in rows.intents:
        breaches.append(f"not settled: {rows.name()}: intent {intent['id']} is open ({intent['note']})")
    for thing in rows.things:
        if thing["state"] in ("adding", "changing", "removing"):
            breaches.append(f"not settled: {rows.name()}: entry {thing['class']}/{thing['key']} is {thing['state']}")
    if rows.domain["state"] in ("creating", "destroying"):
        breaches.append(f"not settled: {rows.name()}")
    if seen is None:
        return breaches
    state = {t["id"]: t["state"] for t in rows.things}
    for (kind, name), thing in sorted(rows.products.items()):
        if state.get(thing) == "present" and kind in seen and name not in seen[kind]:
            breaches.append(f"settled wrongly: an entry of {rows.name()} is present, but QEMU has no {kind} \"{name}\"")
    for drive, medium in sorted(rows.settled_media.items()):
        if drive in seen["media"] and not same_medium(seen["media"][drive], medium):
            breaches.append(f"settled wrongly: drive \"{drive}\" holds {seen['media'][drive] or 'nothing'}, "
                            f"its entry says {medium or 'nothing'}")
    for number, names in sorted(seen["unused_fdsets"].items()):
        breaches.append(f"left behind: descriptor set {number} {names}, which no drive uses")
    return breaches


def yes(value):
    return "no" if value is None else "yes"


# Of the row of a living domain.
COLUMNS = {"domain": lambda row: row["state"], "closed": lambda row: yes(row["closed_us"]),
           "registered": lambda row: yes(row["qemu_pid"]), "name": lambda row: row["name"]}
IN_STORE = (*COLUMNS, "entry")


def judge_promise(promise, tables, rows, seen, qemus):
    """What is not as an acknowledged command promised; None if it is."""
    subject, wanted = promise.split("=", 1)
    kind, _, name = subject.partition(":")
    found = None
    if kind == "qemu":
        found = "running" if qemus else "none"
    elif kind in COLUMNS:
        living = [d for d in tables["domain"] if str(d["domid"]) == name and d["state"] != "destroyed"]
        found = COLUMNS[kind](living[0]) if living else "gone"
    elif kind == "entry":
        things = rows.things if rows else []
        states = [t["state"] for t in things if f"{t['class']}/{t['key']}" == name]
        found = states[0] if states else "absent"
    elif seen is None:
        found = "no QEMU to look into"
    elif kind == "medium":
        if name not in seen["media"]:
            found = "no such drive"
        else:
            known = None if wanted == "empty" else wanted
            if not same_medium(seen["media"][name], known):
                found = f"{seen['media'][name] or 'empty'} in QEMU"
            elif not rows or name not in rows.settled_media:
                found = "no entry"
            elif rows.settled_media[name] != known:
                found = f"{rows.settled_media[name] or 'empty'} in the document"
            else:
                found = wanted
    elif kind == "address":
        found = str(seen["address"].get(name, "none"))
    elif kind in seen:
        found = "present" if name in seen[kind] else "absent"
    else:
        raise CouldNotLook(f"nothing is known of promises like {promise}")
    return None if found == wanted else f"acknowledged, but not so: {subject} is {found}, not {wanted}"


# ---- Answers -------------------------------------------------------------------------------------

DONE, NOT_DONE, IN_DOUBT, NO_SUCH = 0, 1, 3, 4


def row_of_living(tables):
    living = [d for d in tables["domain"] if d["state"] != "destroyed"]
    return {c: living[0][c] for c in ("id", "name", "uuid", "state", "closed_us", "qemu_pid")} if living else None


def before_request(tables, wish):
    """What the store has of a wish's thing when the request is made. A wish is a kind (add, remove,
    change or destroy a thing; or that the domain reaches a state), the name of a thing, and the promises that hold once
    it is done."""
    living = [d for d in tables["domain"] if d["state"] != "destroyed"]
    if wish["kind"] == "reach":
        rows = Rows(tables, living[0]) if living else None
        stored = [p for p in wish["promises"] if p.partition(":")[0] in IN_STORE]
        return {"as_wished": not any(judge_promise(p, tables, rows, None, ()) for p in stored), "intent": None,
                "row": row_of_living(tables),
                "half_done": bool(living) and living[0]["state"] in ("creating", "destroying")}
    if wish["kind"] == "destroy" or not living:
        return {"as_wished": not living, "intent": None}
    rows = Rows(tables, living[0])
    things = {f"{t['class']}/{t['key']}": t for t in rows.things}
    thing = things.get(wish["thing"])
    if wish["kind"] == "change":
        drive, medium = next(p for p in wish["promises"] if p.startswith("medium:"))[len("medium:"):].split("=", 1)
        as_wished = rows.settled_media.get(drive) == (None if medium == "empty" else medium)
    else:
        as_wished = (thing is None) if wish["kind"] == "remove" else (thing or {}).get("state") == "present"
    return {"as_wished": as_wished, "intent": next((i["id"] for i in rows.intents if thing and i["thing"] == thing["id"]), None)}


def lies_of_reached(status, before, missing, tables):
    """What is not true of the answer to a domain's create, register, close and the like. It may be refused because the
    store has it so already, or because the killed process left its step half done, which recovery ends first."""
    if status == DONE:
        return [f"it says done; {b}" for b in missing] + [f"it says done, and intent {i['id']} is open" for i in tables["intent"]]
    if status not in (NOT_DONE, NO_SUCH):
        return [f"it ends with {status}"]
    lies = [f"it says not done, as if it had been so before; {b}" for b in missing] if before["as_wished"] else \
        [] if before["half_done"] else ["it says not done, and nothing stood in its way"]
    return lies + ([] if row_of_living(tables) == before["row"] else ["it says not done, and has changed the domain's row"])


def judge_answer(answer, tables, rows, seen, qemus):
    """What is not true of an answer (R18): a wish with `before` (as above), the `status` that it was answered
    with, the number of the `intent` that was named, and `guest_holds`, if only a guest can end the doubt.
    Nothing disturbs the request itself, and QEMU answers: it has no other reason to refuse than that its
    wish had been fulfilled, with nothing open, when it was made."""
    name = f"answer: {answer['kind']} {answer['thing']}"
    things = {t["id"]: f"{t['class']}/{t['key']}" for t in rows.things} if rows else {}
    opened = {i["id"]: i["operation"] for i in rows.intents if things.get(i["thing"]) == answer["thing"]} if rows else {}
    missing = [b for b in (judge_promise(p, tables, rows, seen, qemus) for p in answer["promises"]) if b]
    before, status, number = answer["before"], answer["status"], answer["intent"]
    if answer["kind"] == "reach":
        return [f"{name}: {lie}" for lie in lies_of_reached(status, before, missing, tables)]
    had_been = before["as_wished"] and before["intent"] is None and not missing
    if status == DONE:
        return [f"{name}: it says done; {b}" for b in missing] + \
               [f"{name}: it says done, and intent {n} is open" for n in opened]
    if status == IN_DOUBT:
        if number not in opened:
            return [f"{name}: it is in doubt with intent {number}, and of its thing these are open: {sorted(opened)}"]
        if opened[number] != answer["kind"]:
            return [f"{name}: it is in doubt with intent {number}, which is another's: {opened[number]}"]
        return [] if answer["guest_holds"] else [f"{name}: it is in doubt, and no guest has to let go"]
    lies = [f"{name}: it says not done (status {status}), and intent {n} is open" for n in opened]
    if status == NO_SUCH:
        if before["intent"] is not None:
            lies.append(f"{name}: it says \"no such thing\", and had found intent {before['intent']} open")
        elif not had_been or answer["kind"] not in ("remove", "destroy"):
            lies.append(f"{name}: it says \"no such thing\", and there was one")
    elif status == NOT_DONE:
        if not had_been or answer["kind"] == "remove":
            lies.append(f"{name}: it says not done, and nothing stood in its way"
                        + (f" but intent {before['intent']}" if before["intent"] is not None else ""))
    else:
        lies.append(f"{name}: it ends with {status}")
    return lies


def judge(options):
    breaches = []
    marker = options.marker or options.store

    qemus, others = processes_at_rest(marker)
    for pid, command in others.items():
        breaches.append(f"process {pid} outlives the one that made it: {command}")

    # The rows are read after the processes are listed: R13 wants the row first, so a QEMU that is
    # there must find its pid in them; looking the other way round would accuse one that began in between.
    tables = read_tables(options.store)
    living = [d for d in tables["domain"] if d["state"] != "destroyed"]
    breaches += judge_processes(qemus, living, options.elsewhere)

    if options.qemu_pid == "none":
        pid = None
        for other in qemus:
            breaches.append(f"QEMU {other} runs, and none should")
    elif options.qemu_pid == "any":
        pid = next(iter(qemus), None)
        if len(qemus) > 1:
            breaches.append(f"several QEMUs run: {sorted(qemus)}")
    else:
        pid = int(options.qemu_pid)
        if not is_alive(pid):
            breaches.append(f"QEMU {pid} is dead, and should not be")
            pid = None

    domain = next((d for d in living if pid and d["qemu_pid"] == pid), None)
    seen = None
    if pid:
        try:
            seen = query_qemu_twice(options.second_monitor, pid)
        except CouldNotLook:
            if not ends_soon(pid):
                raise
            pid = None  # it ended under our eyes, which breaks no rule
    rows = Rows(tables, domain) if domain else None
    if seen and rows:
        with open(options.initial_devices, encoding="utf-8") as file:
            initial_devices = json.load(file)
        breaches += judge_qemu(rows, seen, initial_devices, options.tolerated)
    if seen and options.unchanged:
        with open(options.unchanged, encoding="utf-8") as file:
            breaches += judge_unchanged(seen, json.load(file))
    if options.settled:
        for other in living:
            breaches += judge_settled(Rows(tables, other), seen if domain is other else None)
    if rows is None and len(living) == 1:
        rows = Rows(tables, living[0])
    for promise in options.acknowledged:
        breach = judge_promise(promise, tables, rows, seen, qemus)
        if breach:
            breaches.append(breach)
    if options.answers:
        with open(options.answers, encoding="utf-8") as file:
            for answer in json.load(file):
                breaches += judge_answer(answer, tables, rows, seen, qemus)

    if options.json:
        summary = {"qemus": sorted(qemus), "seen": plain(seen) if seen else None,
                   "domains": [{k: d[k] for k in ("id", "domid", "state", "qemu_pid")} for d in living],
                   "intents": len(tables["intent"]), "breaches": breaches}
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(summary, file)
    return breaches


def plain(seen):
    """As JSON takes it."""
    return {k: sorted(v) if isinstance(v, set) else v for k, v in seen.items()}


def record_initial_devices(options):
    seen = query_qemu(options.second_monitor, None)
    with open(options.record_initial_devices, "w", encoding="utf-8") as file:
        json.dump(plain(seen), file, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", nargs="?")
    parser.add_argument("--qemu-pid", default="any")
    parser.add_argument("--second-monitor", required=True)
    parser.add_argument("--initial-devices")
    parser.add_argument("--record-initial-devices")
    parser.add_argument("--marker")
    parser.add_argument("--settled", action="store_true")
    parser.add_argument("--acknowledged", action="append", default=[], metavar="SUBJECT=VALUE")
    parser.add_argument("--answers")
    parser.add_argument("--elsewhere", action="append", default=[], type=int, metavar="PID")
    parser.add_argument("--tolerated", action="append", default=[], metavar="KIND:NAME")
    parser.add_argument("--unchanged")
    parser.add_argument("--json")
    options = parser.parse_args()
    try:
        if options.record_initial_devices:
            record_initial_devices(options)
            return 0
        if not options.store or not options.initial_devices:
            parser.error("STORE and --initial-devices are needed")
        breaches = judge(options)
    except (CouldNotLook, OSError, KeyError, ValueError) as error:
        print(f"judge: could not look: {type(error).__name__}: {error}")
        return 2
    for breach in breaches:
        print(f"judge: {breach}")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
