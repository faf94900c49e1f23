#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a real Xen host was left with when xl was killed, made anew in a case's directory.

    recorded.py tree STATE             prints what xenstore had, for `xenstored load`
    recorded.py document STATE         prints the domain's document, if it had one
    recorded.py serve STATE SOCKET     is its QEMU: answers as that one did, the same each time
    recorded.py register STATE SOCKET  registers `serve` as the QEMU of the domain, in ./s

STATE is a JSON file: what it is, domid, document, what QEMU answered (by command), what its command line made
(`initial`), and the nodes of xenstore, nested; the value of a node that has others below it stands under "". Nodes
and answers that nothing here asks for are omitted. The states xen_crash_* are of a host whose hypervisor and back
ends were stubs: it ran no hotplug scripts, and the word that these leave is added.
A registration by `xlstore register` would ask this QEMU and follow it. Here it came before the state.
"""

import json
import os
import pathlib
import socket
import sqlite3
import sys

GREETING = {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


def nodes(tree, path=""):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield f"{path}/{name}", value.get("", "")
            yield from nodes({key: below for key, below in value.items() if key}, f"{path}/{name}")
        else:
            yield f"{path}/{name}", value


def property_of(state, path, name):
    """Of a device that was passed through: its address in the host, as its id tells, and its place in the guest."""
    device = path.rpartition("/")[2]
    if name == "hostaddr" and device.startswith("pci-pt-"):
        return "0000:" + device.removeprefix("pci-pt-").replace("_", ":")
    if name == "addr":
        for bus in state["qmp"].get("query-pci", []):
            for one in bus["devices"]:
                if one["qdev_id"] == device:
                    return 8 * one["slot"] + one["function"]
    return None


def reply(state, command):
    name = command["execute"]
    arguments = command.get("arguments", {})
    path = arguments.get("path", "")
    key = f"{name} {path}" if name == "qom-list" else name
    if key in state["qmp"]:
        return {"return": state["qmp"][key]}
    if name == "qom-list" and path.startswith("/machine/peripheral/"):
        return {"return": [{"name": one, "type": "str"} for one in ("hostaddr", "addr")
                           if property_of(state, path, one) is not None]}
    if name == "qom-get" and property_of(state, path, arguments["property"]) is not None:
        return {"return": property_of(state, path, arguments["property"])}
    if name.startswith("query-") or path in ("/objects", "/machine/peripheral", "/machine/peripheral-anon"):
        return {"return": []}
    if name.startswith("qom-"):
        return {"error": {"class": "DeviceNotFound", "desc": f"Device '{path}' not found"}}
    return {"return": "" if name == "human-monitor-command" else {}}


def serve(state, path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    while True:
        client, _ = listener.accept()
        with client, client.makefile("r", encoding="utf-8") as lines:
            try:
                client.sendall(json.dumps(GREETING).encode() + b"\r\n")
                for line in lines:
                    command = json.loads(line)
                    answer = {**reply(state, command), "id": command.get("id")}
                    client.sendall(json.dumps(answer).encode() + b"\r\n")
            except OSError:
                pass


def server_at(path):
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if b"serve" in words and path.encode() in words:
            return int(entry.name)
    raise SystemExit(f"no process serves {path}")


def register(state, path):
    pid = server_at(path)
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    there = os.lstat(path)
    columns = {"qemu_pid": pid, "qemu_start_time": int(stat[19]), "monitor_path": path, "log_path": "",
               "qemu_pid_namespace": os.stat("/proc/self/ns/pid").st_ino, "monitor_device": there.st_dev,
               "monitor_inode": there.st_ino, "peer_pid": pid, "peer_uid": os.getuid(), "peer_gid": os.getgid(),
               "initial_from": "command line"}
    database = sqlite3.connect("s/store.db", isolation_level=None)
    database.create_function("only_xlstore_changes_this", 0, lambda: 1)
    database.execute(f"UPDATE domain SET {', '.join(f'{name} = ?' for name in columns)} WHERE domid = ?",
                     [*columns.values(), state["domid"]])
    domain, = database.execute("SELECT id FROM domain WHERE domid = ?", [state["domid"]]).fetchone()
    for kind, names in state["initial"].items():
        for name in names:
            file = names[name] if kind == "medium" else None
            database.execute("INSERT INTO initial_device (domain, kind, name, file) VALUES (?, ?, ?, ?)",
                             [domain, kind, name, file])
    database.close()


def main():
    verb, state = sys.argv[1], json.loads(pathlib.Path(sys.argv[2]).read_text(encoding="utf-8"))
    if verb == "tree":
        for path, value in nodes(state["xenstore"]):
            print(f'{path} = "{value}"')
    elif verb == "document":
        print(json.dumps(state.get("document", {})))
    elif verb == "serve":
        serve(state, sys.argv[3])
    elif verb == "register":
        register(state, sys.argv[3])


if __name__ == "__main__":
    main()
