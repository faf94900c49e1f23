# SPDX-License-Identifier: MIT
"""The judge's look into xenstore, over a connection of its own and with no code of the project's: nothing is there
without an entry (R1), and what an acknowledged command promised is so. What it knows of: nics, vtpms and disks.

Promises: nodes:KIND/NUMBER=present|absent; params:KIND/NUMBER=TEXT, of what is in a drive."""

import json

CLASSES = {"vif": "nics", "vtpm": "vtpms", "vbd": "disks"}     # a front end's kind, and its class
BACKS = {"vif": ("vif",), "vtpm": ("vtpm",), "vbd": ("qdisk", "vbd")}
PLACES = ("note", "front end", "back end")
SCRIPTED = "nics"


def number_of(entry):
    """Of an entry's device: its devid, or xvda's 51712 and on."""
    device = json.loads(entry["json"])
    if entry["class"] == "disks":
        return 51712 + 16 * (ord(device["vdev"][3]) - ord("a")) if device["vdev"].startswith("xvd") else None
    return device.get("devid")


def look(connection, domid):
    """{"vif/0": {"note", "front end", "back end", "params", "status"}} of what has any node."""
    seen = {}
    for kind, backs in BACKS.items():
        places = [("note", f"/libxl/{domid}/device/{kind}"), ("front end", f"/local/domain/{domid}/device/{kind}"),
                  *(("back end", f"/local/domain/0/backend/{back}/{domid}") for back in backs)]
        for place, path in places:
            for number in connection.names(path):
                # A script that outlives its client, or its xenstored, writes its word where a back end was.
                if place == "back end" and connection.read(f"{path}/{number}/frontend") is None:
                    continue
                device = seen.setdefault(f"{kind}/{number}", {})
                device[place] = f"{path}/{number}"
    for device in seen.values():
        back = device.get("back end")
        for name, node in (("params", "params"), ("status", "hotplug-status")):
            value = connection.read(f"{back}/{node}") if back else None
            device[name] = value.decode() if value is not None else None
    return seen


def entries_of(rows):
    """What those of xenstore's stand for, by the device's name."""
    found = {}
    for thing in rows.things if rows else []:
        kind = next((k for k, of in CLASSES.items() if of == thing["class"]), None)
        number = number_of(thing) if kind and thing["primary_at"] == "xenstore" else None
        if number is not None:
            found[f"{kind}/{number}"] = thing
    return found


def judge(rows, seen, domid):
    """R1, at any moment."""
    entries = entries_of(rows)
    breaches = []
    for name, device in sorted(seen.items()):
        entry = entries.get(name)
        if entry is None or entry["state"] == "stale":
            places = ", ".join(place for place in PLACES if place in device)
            breaches.append(f"R1: xenstore has {name} of domain {domid} ({places}), and "
                            + ("its entry is stale" if entry else "no entry says so"))
    return breaches


def judge_settled(rows, seen):
    """Once recovery has said that all is well."""
    breaches = []
    for name, entry in sorted(entries_of(rows).items()):
        device = seen.get(name, {})
        text = f"{rows.name()}: entry {entry['class']}/{entry['key']}"
        if entry["state"] != "present":
            continue
        missing = [place for place in PLACES if place not in device]
        if missing:
            breaches.append(f"settled wrongly: {text} is present, and {name} has no {', no '.join(missing)}")
        elif entry["class"] == SCRIPTED and device["status"] != "connected":
            breaches.append(f"settled wrongly: {text} is present, and its script has not run")
        elif entry["class"] == "disks":
            disk = json.loads(entry["json"])
            wanted = f"aio:{disk['pdev_path']}" if disk.get("pdev_path") else ""
            if device["params"] != wanted:
                breaches.append(f"settled wrongly: {text} names {wanted!r}, and xenstore {device['params']!r}")
    return breaches


def judge_promise(promise, seen):
    """What is not as an acknowledged command promised; None: it is so, or it is no promise of xenstore's."""
    subject, wanted = promise.split("=", 1)
    kind, _, name = subject.partition(":")
    if kind == "nodes":
        found = "present" if name in seen else "absent"
    elif kind == "params":
        found = seen.get(name, {}).get("params")
    else:
        return None
    return None if found == wanted else f"acknowledged, but not so: {subject} is {found}, not {wanted}"


def is_mine(promise):
    return promise.startswith(("nodes:", "params:"))
