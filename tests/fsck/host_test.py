#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""xlfsck --libxl on what real Xen hosts were left with.

    host_test.py --bin BUILD/bin [--update] [CASE…]

Each state.json beside this file (recorded.py) that has a document becomes a host below a directory: libxl's file,
xenstore in a real xenstored, QEMU played back, the lock files that a killed xl left ("left" in the state). It is looked
at (-n), which may change nothing at all; repaired (-y); looked at again, which has to be clean but for what CASE/libxl says.
Then the repair is undone, after which all is as it was. CASE/libxl has what was said, and the statuses; --update
writes it anew.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
sys.path.insert(0, str(HERE))
import own_processes  # noqa: E402
import recorded  # noqa: E402


def yajl(value, depth=0):
    """As libxl 4.17 prints JSON."""
    inner, outer = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict):
        lines = ",\n".join(f"{inner}{json.dumps(k)}: {yajl(v, depth + 1)}" for k, v in value.items())
        return "{\n" + lines + "\n" + outer + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + yajl(one, depth + 1) for one in value) + "\n" + outer + "]"
    return json.dumps(value)


def command_line(state):
    """What makes the initial devices that the state has."""
    words = ["-xen-domid", str(state["domid"]), "-qmp", "none"]
    initial = state.get("initial", {})
    for name in initial.get("chardev", []):
        words += ["-chardev", f"null,id={name}"]
    for name in initial.get("device", []):
        words += ["-device", f"ide-cd,id={name}"]
    words += ["-device", "VGA"] * len(initial.get("anonymous", []))
    for name, file in initial.get("medium", {}).items():
        words += ["-drive", f"file={file},if=none,id={name}"]
    return words


def listens(socket):
    """Its name is there before it listens."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as sockets:
        return any(line.endswith(f" {socket}\n") and line.split()[3] == "00010000" for line in sockets)


class Host:
    """A host below `place`, as `state` has it."""

    def __init__(self, place, binaries, state):
        self.place, self.bin, self.state = place, binaries, state
        self.environment = {**os.environ, "XENSTORED_PATH": f"{place}/xs/socket", "TMPDIR": f"{place}/tmp"}
        self.lib = pathlib.Path(place, "var/lib/xen")
        self.uuid = state["document"]["c_info"]["uuid"]
        for name in ("var/lib/xen", "run/xen", "tmp"):
            pathlib.Path(place, name).mkdir(parents=True)
        self.processes = []

    def xenstored(self, *words, text=None):
        done = subprocess.run([self.bin / "scratch_xenstored", f"{self.place}/xs", *words], input=text, text=True,
                              stdout=subprocess.PIPE, check=False)
        if done.returncode == SKIPPED:
            sys.exit(SKIPPED)
        assert done.returncode == 0, words
        return done.stdout

    def file(self, which, userid="libxl-json", uuid=None):
        return self.lib / f"userdata-{which}.{self.state['domid']}.{uuid or self.uuid}.{userid}"

    def begin(self):
        self.xenstored("start")
        tree = "".join(f'{path} = "{value}"\n' for path, value in recorded.nodes(self.state["xenstore"]))
        domid = self.state["domid"]
        tree += f'/libxl/{domid}/type = "{self.state["document"]["c_info"]["type"]}"\n'
        self.xenstored("load", text=tree)
        self.xenstored("introduce", str(domid))
        text = yajl(self.state["document"]) + "\n\0"
        where = self.state.get("document is in", "d")
        if where != "nowhere":
            self.file(where).write_text(text, encoding="utf-8")
            self.file(where).chmod(0o600)
        for device in self.state["document"].get("usbdevs", []):
            self.plug_in(**device["type.hostdev"])
        for userid in self.state.get("left", []):
            self.file("l", userid).touch()
        if "qmp" in self.state:
            self.serve()

    def plug_in(self, hostbus, hostaddr):
        """A USB device of the host's, as sysfs shows it."""
        place = pathlib.Path(self.place, f"sys/bus/usb/devices/{hostbus}-{hostaddr}")
        place.mkdir(parents=True)
        (place / "busnum").write_text(f"{hostbus}\n", encoding="utf-8")
        (place / "devnum").write_text(f"{hostaddr}\n", encoding="utf-8")

    def serve(self):
        socket = f"{self.place}/run/xen/qmp-libxl-{self.state['domid']}"
        path = f"{self.place}/state.json"
        pathlib.Path(path).write_text(json.dumps(self.state), encoding="utf-8")
        self.processes.append(subprocess.Popen(
            [sys.executable, HERE / "recorded.py", "serve", path, socket, *command_line(self.state)],
            stdin=subprocess.DEVNULL))
        deadline = time.monotonic() + 20
        while not listens(socket):
            assert time.monotonic() < deadline, "the playback does not listen"
            time.sleep(0.02)

    def fsck(self, *words, timeout="3"):
        done = subprocess.run([self.bin / "xlfsck", "--libxl", "--root", self.place, "--timeout", timeout, *words],
                              env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=300, check=False)
        return done.returncode, done.stdout

    def snapshot(self):
        """All that a look may not change."""
        files = {str(path.relative_to(self.place)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
                 for folder in ("var", "tmp") for path in sorted(pathlib.Path(self.place, folder).rglob("*"))
                 if path.is_file()}
        return files, self.xenstored("dump")

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()
        pid = pathlib.Path(self.place, "xs/pid")
        if pid.exists():
            os.kill(int(pid.read_text(encoding="utf-8")), signal.SIGKILL)


def difference(before, after):
    """Of two snapshots, by name."""
    files = [name for name in sorted(before[0].keys() | after[0].keys()) if before[0].get(name) != after[0].get(name)]
    lines = sorted(set(before[1].splitlines()) ^ set(after[1].splitlines()))
    return "\n".join(files + lines)[:3000]


def normal(text, place):
    text = text.replace(place, "DIR")
    text = re.sub(r"libxl-\d+T\d+Z(-\d+)?", "libxl-DATE", text)
    return re.sub(r"\bpid \d+", "pid N", text)


def without_lock_files(snapshot):
    """A repair takes libxl's locks, and then the files that the dead left go. What a dead libxl had written stays."""
    files, tree = snapshot
    kept = {name: content[:2] for name, content in files.items() if "/userdata-l." not in name and "/xlfsck/" not in name
            and ("/userdata-n." not in name or name.endswith(".libxl-json"))}
    return kept, tree


def one_case(binaries, path):
    state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="xlh-") as place:
        host = Host(place, binaries, state)
        try:
            host.begin()
            before = host.snapshot()
            looked, said = host.fsck("-n")
            after_look = host.snapshot()
            if after_look != before:
                raise RuntimeError(f"-n changed something: {difference(before, after_look)}\n{said}")
            repaired, told = host.fsck("-y")
            repaired_tree = host.xenstored("dump")
            for number in re.findall(r'device "cpu-(\d+)" .* WRITTEN\.$', told, re.MULTILINE):
                if f'/cpu/{number}/availability = "online"' not in repaired_tree:
                    raise RuntimeError(f"processor {number} is in the file, and not online in xenstore:\n{told}")
            again, said_again = host.fsck("-n")
            undo = re.search(r"--undo (\S+)'", told)
            if undo:
                undone = subprocess.run([binaries / "xlfsck", "--libxl", "--undo", undo[1]], env=host.environment,
                                        stdout=subprocess.PIPE, text=True, check=False)
                put_back = without_lock_files(host.snapshot())
                if undone.returncode != 1 or put_back != without_lock_files(before):
                    raise RuntimeError(f"undo: {undone.returncode}\n{undone.stdout}"
                                       f"{difference(without_lock_files(before), put_back)}\n{told}")
            return normal(f"-n: {looked}\n{said}-y: {repaired}\n{told}-n: {again}\n{said_again}", place)
        finally:
            host.end()


def cases():
    """Those that have a document."""
    return [path.parent for path in sorted(HERE.glob("xen_*/state.json")) if '"document"' in path.read_text(encoding="utf-8")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--update", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    paths = [path for path in cases() if not options.cases or path.name in options.cases]
    failed = 0

    def tried(path):
        try:
            return path, one_case(options.bin, path), None
        except (RuntimeError, AssertionError, OSError, subprocess.TimeoutExpired) as error:
            return path, "", error

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, said, error in pool.map(tried, paths):
            expected = path / "libxl"
            if not error and options.update:
                expected.write_text(said, encoding="utf-8")
            if not error and (not expected.exists() or said != expected.read_text(encoding="utf-8")):
                error = f"it said\n{said}and not what {expected} has"
            failed += error is not None
            print(f"{path.name}: {'ok' if error is None else f'FAILED: {error}'}", flush=True)
    print(f"{len(paths)} cases, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    own_processes.begin_alone()
    main()
