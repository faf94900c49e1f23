# SPDX-License-Identifier: MIT
"""A test on a host without a store: what the tests of xlfsck --libxl and of the bridge share."""

import argparse
import copy
import json
import pathlib
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import host_test  # noqa: E402
import own_processes  # noqa: E402

BIN = None  # set from the command line by main()
OTHER = "0badcafe-2222-4333-8444-000000000009"


def state_of(name):
    return json.loads((HERE / name / "state.json").read_text(encoding="utf-8"))


def pvh_state():
    """A domain without a device model."""
    uuid = "0badcafe-2222-4333-8444-000000000007"
    return {"domid": 7, "document": {"c_info": {"type": "pvh", "name": "d7", "uuid": uuid},
                                     "b_info": {"max_vcpus": 2, "type.pvh": {}},
                                     "disks": [{"pdev_path": "/a.img", "vdev": "xvda", "format": "raw",
                                                "readwrite": 1}]},
            "xenstore": {"local": {"domain": {
                "0": {"backend": {"qdisk": {"7": {"51712": {
                    "frontend": "/local/domain/7/device/vbd/51712", "online": "1", "state": "4", "dev": "xvda",
                    "params": "aio:/a.img", "type": "qdisk", "mode": "w", "device-type": "disk"}}}}},
                "7": {"vm": f"/vm/{uuid}", "name": "d7", "device": {"vbd": {"51712": {
                    "backend": "/local/domain/0/backend/qdisk/7/51712", "state": "4"}}}}}},
                "vm": {uuid: {"uuid": uuid}},
                "libxl": {"7": {"type": "pvh", "device": {"vbd": {"51712": {
                    "frontend": "/local/domain/7/device/vbd/51712",
                    "backend": "/local/domain/0/backend/qdisk/7/51712", "dev": "xvda", "params": "aio:/a.img",
                    "type": "qdisk", "mode": "w", "device-type": "disk"}}}}}}}


class HostTest(unittest.TestCase):
    def host(self, state):
        directory = tempfile.TemporaryDirectory(prefix="xli-")
        self.addCleanup(directory.cleanup)
        host = host_test.Host(directory.name, BIN, copy.deepcopy(state))
        self.addCleanup(host.end)
        host.begin()
        return host

    def findings(self, host, *words, timeout="3"):
        """Codes, what was said, status."""
        status, said = host.fsck("--json", *words, timeout=timeout)
        lines = [json.loads(line) for line in said.splitlines()]
        return [line["code"] for line in lines[:-1]], said, status

    def is_clean(self, host):
        codes, said, status = self.findings(host, "-n")
        self.assertEqual((status, codes), (0, []), said)


def main(description):
    global BIN  # pylint: disable=global-statement
    own_processes.begin_alone()
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True, type=lambda path: pathlib.Path(path).resolve())
    options, rest = parser.parse_known_args()
    BIN = options.bin
    unittest.main(module="__main__", argv=[sys.argv[0], *rest])
