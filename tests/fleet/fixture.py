# SPDX-License-Identifier: MIT
"""Hosts (a store each) and a fleet (a database of its own in one server) for a test."""
import functools
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import server

BIN = None     # set by run.py
SERVER = None  # of all tests, begun by the first that needs it
SHARE = (1, 1)
NUMBERS = itertools.count(1)
SOURCE = pathlib.Path(__file__).resolve().parents[2]
UUID = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c{:02}"


def document(number, image="", **more):
    """A domain's document; each number has a name and a uuid of its own."""
    cd = {"pdev_path": image, "vdev": "hdc", "format": "raw" if image else "empty", "removable": 1, "is_cdrom": 1}
    return json.dumps({"c_info": {"type": "hvm", "name": f"web{number}", "uuid": UUID.format(number)},
                       "b_info": {"type.hvm": {}}, "disks": [cd], **more})


class Host:
    def __init__(self, test, name, directory, boot=None):
        """`boot`: the host is not this machine as it runs now, and its boot has that id."""
        self.test, self.name, self.store = test, name, os.path.join(directory, name)
        self.environment = dict(os.environ, XLSTORE_TEST_BOOT_ID=boot) if boot else None
        self.xlstore("init")

    def xlstore(self, *words, status=0, store=None, **options):
        options.setdefault("env", self.environment)
        done = subprocess.run([BIN / "xlstore", "--store", store or self.store, *map(str, words)], capture_output=True,
                              text=True, timeout=120, check=False, **options)
        if status is not None and done.returncode != status:
            raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def add(self, number, domid=None, **more):
        self.xlstore("import", domid or number, "-", input=document(number, **more))

    def rows(self, sql):
        return [line.split("|") for line in self.xlstore("sql", sql).splitlines()]

    def push(self, *words, **options):
        return self.test.fleet("push", *words, user=self.name, store=self.store, env=self.environment, **options)


# As it was after init.
EMPTY = """DELETE FROM fleet.finding; DELETE FROM fleet.history; DELETE FROM fleet.intent; DELETE FROM fleet.thing;
DELETE FROM fleet.document; DELETE FROM fleet.domain; DELETE FROM fleet.gap; DELETE FROM fleet.generation;
DELETE FROM fleet.host WHERE name NOT IN ('a', 'b'); DELETE FROM fleet.presence;
INSERT INTO fleet.presence (host) SELECT host FROM fleet.host;"""


def make_fleet(database):
    SERVER.sql(f"CREATE DATABASE {database}", database="postgres")
    subprocess.run([BIN / "xlstore-fleet", "--database", SERVER.conninfo(database, "owner"), "init", "--host", "a",
                    "--host", "b", "--reader", "reader"], check=True, capture_output=True)


class FleetTest(unittest.TestCase):
    """Hosts a and b, which have sent nothing yet."""

    own_database = False  # for tests that change the schema; all others share one, which is emptied before each

    @classmethod
    def setUpClass(cls):
        global SERVER  # pylint: disable=global-statement
        if server.missing():
            raise unittest.SkipTest(server.missing())
        if not (BIN / "xlstore-fleet").exists():
            raise unittest.SkipTest("xlstore-fleet was not built: libpqxx-dev is not there")
        if SERVER is None:
            SERVER = server.Server()
            make_fleet("fleet")

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="xlfl-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.directory)
        self.database = f"fleet{next(NUMBERS)}" if self.own_database else "fleet"
        if self.own_database:
            make_fleet(self.database)
            self.addCleanup(SERVER.drop, self.database)
        else:
            self.sql(EMPTY)

    @functools.cached_property
    def a(self):
        return Host(self, "a", self.directory)

    @functools.cached_property
    def b(self):
        return Host(self, "b", self.directory)

    def fleet(self, *words, user="reader", store="/nowhere", status=0, database=None, **options):
        """Standard output of xlstore-fleet; of a failure, standard error."""
        done = subprocess.run([BIN / "xlstore-fleet", "--store", store, "--database",
                               database or SERVER.conninfo(self.database, user), *map(str, words)],
                              capture_output=True, text=True, timeout=120, check=False, **options)
        if status is not None and done.returncode != status:
            raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout if done.returncode == 0 else done.stderr

    def run_as(self, user, *words, **options):
        return self.fleet(*words, user=user, **options)

    def sql(self, text, user="owner"):
        return SERVER.sql(text, database=self.database, user=user)

    def refused(self, text, user):
        """What the server says to a statement that it has to refuse."""
        rows, said = SERVER.sql(text, database=self.database, user=user, check=False)
        self.assertIn("ERROR", said, f"{text} went through: {rows}")
        return said

    def assert_same(self, host):
        """The fleet has each line of the host's history once, and each domain as the store has it."""
        lines = host.rows("SELECT id, at_us, operation, outcome FROM history ORDER BY id")
        there = self.sql("SELECT line, at_us, operation, outcome FROM fleet.history x JOIN fleet.presence p "
                         "USING (host) JOIN fleet.host h USING (host) "
                         f"WHERE h.name = '{host.name}' ORDER BY line")
        self.assertEqual(there, lines)
        domains = host.rows("SELECT domid, name, state, revision FROM domain WHERE state <> 'destroyed' ORDER BY id")
        there = self.sql("SELECT domid, domain, state, revision FROM fleet.living "
                         f"WHERE host = '{host.name}' ORDER BY incarnation")
        self.assertEqual(there, domains)
        counted = self.sql(f"SELECT domains FROM fleet.hosts WHERE host = '{host.name}'")
        self.assertEqual(counted, [[str(len(domains))]])
        intents = host.rows("SELECT id, operation FROM intent ORDER BY id")
        counted = self.sql(f"SELECT open_intents FROM fleet.hosts WHERE host = '{host.name}'")
        self.assertEqual(counted, [[str(len(intents))]])
        there = self.sql("SELECT intent, operation FROM fleet.in_doubt "
                         f"WHERE host = '{host.name}' AND intent IS NOT NULL ORDER BY intent")
        self.assertEqual(there, intents)
