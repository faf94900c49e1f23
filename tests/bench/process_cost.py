#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a command costs as a process: `xlstore insert` on a real QEMU beside `true` and the bare exchange with that
QEMU, and a command that opens the store, reads once and closes it. They take turns; printed are medians, of the clock
and of the CPU of the process. Bars: insert 12 ms above `true` and the exchange, a look 2 ms above `true`.

    process_cost.py --bin build-release/bin [--rounds N]
"""

import argparse
import json
import os
import pathlib
import resource
import socket
import statistics
import subprocess
import tempfile
import time

DOCUMENT = {
    "c_info": {"type": "hvm", "name": "bench", "uuid": "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"},
    "b_info": {"type.hvm": {}},
    "disks": [{"pdev_path": "", "vdev": "hdc", "format": "empty", "removable": 1, "is_cdrom": 1}],
}
QEMU = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-machine", "pc,accel=tcg", "-m", "32",
        "-drive", "if=none,readonly=on,id=ide-5632",
        "-device", "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0"]


def milliseconds(command):
    """Of the clock, and of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    passed = time.monotonic() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return passed * 1e3, cpu * 1e3


def bare_exchange(path, image):
    """The eject and the insert of one medium, by a client that only talks."""
    begun = time.monotonic()
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(path)
        lines = monitor.makefile("rw")
        lines.readline()
        for command in ({"execute": "qmp_capabilities"},
                        {"execute": "eject", "arguments": {"id": "ide-5632", "force": True}},
                        {"execute": "blockdev-change-medium",
                         "arguments": {"id": "ide-5632", "filename": image, "format": "raw"}}):
            lines.write(json.dumps(command) + "\n")
            lines.flush()
            while "return" not in (answer := json.loads(lines.readline())):
                assert "event" in answer, answer
    return (time.monotonic() - begun) * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build-release/bin")
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xlb") as directory:
        place = pathlib.Path(directory)
        xlstore = [os.path.join(arguments.bin, "xlstore"), "--store", str(place / "s")]
        subprocess.run([*xlstore, "init"], check=True)
        (place / "document").write_text(json.dumps(DOCUMENT))
        images = []
        for name in "ab":
            images.append(str(place / f"{name}.iso"))
            pathlib.Path(images[-1]).write_bytes(bytes(65536))
        subprocess.run([*xlstore, "create", "1", str(place / "document"), "--", *QEMU], check=True)
        try:
            monitor = subprocess.run([*xlstore, "sql", "SELECT monitor_path FROM domains"], check=True,
                                     capture_output=True, text=True).stdout.split()[-1]
            works = {"true": ["true"], "look": [*xlstore, "list"]}
            times = {name: [] for name in (*works, "insert")}
            bare = []
            for i in range(arguments.rounds):
                for name, command in works.items():
                    times[name].append(milliseconds(command))
                times["insert"].append(milliseconds([*xlstore, "insert", "1", "hdc", images[i % 2]]))
                # The same medium once more: the store's entry stays true.
                bare.append(bare_exchange(monitor, images[i % 2]))
        finally:
            subprocess.run([*xlstore, "destroy", "1"], check=True)
    print(f"bare exchange {statistics.median(bare):.2f} ms")
    for name, both in times.items():
        passed, cpu = (statistics.median(column) for column in zip(*both))
        print(f"{name:<7} {passed:6.2f} ms, {cpu:6.2f} ms of CPU")


if __name__ == "__main__":
    main()
