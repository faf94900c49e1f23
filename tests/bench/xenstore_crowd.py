#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long `xlfsck -n` takes for many domains of xenstore's: DOMAINS of ten devices each, all of them well.

    xenstore_crowd.py --bin DIR [--domains 200] [--runs 5]

DIR has xlstore, xlfsck and scratch_xenstored. Prints seconds of the clock and of xlfsck's own CPU, the least of the runs;
what xenstored itself takes is in the first alone. Status 77: there is no xenstored."""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

DEVICES = 10


def uuid(domid):
    return f"0badcafe-2222-4333-8444-{domid:012d}"


def nodes(domid):
    """As libxl writes domain and devices; the lines that `scratch_xenstored load` reads."""
    home, lines = f"/local/domain/{domid}", []
    lines.append(f'/libxl/{domid}/type = "pv"')
    lines.append(f'{home}/vm = "/vm/{uuid(domid)}"')
    for number in range(DEVICES):
        front, back = f"{home}/device/vtpm/{number}", f"/local/domain/0/backend/vtpm/{domid}/{number}"
        note = f"/libxl/{domid}/device/vtpm/{number}"
        for path, value in ((f"{note}/frontend", front), (f"{note}/backend", back), (f"{front}/backend", back),
                            (f"{front}/state", "4"), (f"{back}/frontend", front), (f"{back}/online", "1"),
                            (f"{back}/state", "4"), (f"{back}/uuid", uuid(number)), (f"{note}/uuid", uuid(number))):
            lines.append(f'{path} = "{value}"')
    return "\n".join(lines) + "\n"


def document(domid):
    return json.dumps({"c_info": {"type": "pv", "name": f"d{domid}", "uuid": uuid(domid)}, "b_info": {"type.pv": {}},
                       "vtpms": [{"devid": number, "uuid": uuid(number)} for number in range(DEVICES)]})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--domains", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="xlcrowd-")
    daemon, store = os.path.join(place, "xs"), os.path.join(place, "s")
    environment = dict(os.environ, XENSTORED_PATH=os.path.join(daemon, "socket"))

    def run(program, *words, text=None, check=True):
        return subprocess.run([os.path.join(options.bin, program), *words], input=text, text=True, check=check,
                              capture_output=True, env=environment)

    if run("scratch_xenstored", daemon, "start", check=False).returncode == 77:
        sys.exit(77)
    try:
        run("xlstore", "--store", store, "init")
        for domid in range(1, options.domains + 1):
            run("scratch_xenstored", daemon, "load", text=nodes(domid))
            run("scratch_xenstored", daemon, "introduce", str(domid))
            run("xlstore", "--store", store, "import", str(domid), "-", text=document(domid))
        clock, cpu = [], []
        for _ in range(options.runs):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            ended = run("xlfsck", "--store", store, "-n", check=False)
            clock.append(time.monotonic() - begun)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            if ended.returncode != 0:
                sys.exit(f"they are not well: {ended.stdout}{ended.stderr}")
        print(f"{options.domains} domains of {DEVICES} devices: {min(clock):.2f} s, {min(cpu):.2f} s of xlfsck's CPU")
    finally:
        with open(os.path.join(daemon, "pid"), encoding="utf-8") as file:
            os.kill(int(file.read()), signal.SIGKILL)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
