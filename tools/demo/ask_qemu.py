#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Asks a QEMU over QMP what it has.

  ask_qemu.py MONITOR medium DRIVE
  ask_qemu.py MONITOR device ID
"""
import json
import socket
import sys


class Qemu:
    """A connection to the monitor socket at `path`."""

    def __init__(self, path):
        monitor = socket.socket(socket.AF_UNIX)
        monitor.settimeout(10)
        monitor.connect(path)
        self.lines = monitor.makefile("rw", encoding="utf-8")
        json.loads(self.lines.readline())  # the greeting
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.lines.write(json.dumps({"execute": name, "arguments": arguments, "id": name}) + "\n")
        self.lines.flush()
        for line in self.lines:
            answer = json.loads(line)
            if answer.get("id") == name:
                return answer["return"]
        sys.exit("QEMU hung up")

    def medium(self, drive):
        found = next(one for one in self.command("query-block") if one["device"] == drive)
        file = found.get("inserted", {}).get("file")
        # A medium that came by descriptor has the name of its descriptor set.
        for fdset in self.command("query-fdsets"):
            if file == f"/dev/fdset/{fdset['fdset-id']}":
                file = fdset["fds"][0]["opaque"].split(":", 1)[1]
        return f"drive {drive} holds {file or 'nothing'}"

    def device(self, name):
        types = {one["name"]: one["type"] for one in self.command("qom-list", path="/machine/peripheral")}
        return f"device {name} is a {types[name][6:-1]}" if name in types else f"no device {name}"

    def answer(self, what, name):
        return {"medium": self.medium, "device": self.device}[what](name)


if __name__ == "__main__":
    print(Qemu(sys.argv[1]).answer(*sys.argv[2:]))
