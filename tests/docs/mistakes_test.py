#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The commonest mistakes of a newcomer, and what the programs say to each.

    tests/docs/mistakes_test.py --bin build/bin [--print] [TEST ...]

Each message names the object, says what happened, and what to do next: a line of its own, or the help to look at. --print
shows all of them.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = None  # set from the command line, below
WITHOUT_RIGHTS = 65534  # the user of setpriv

# What was mistaken: the words, its status, what is said. DIR is the directory of the test.
MISTAKES = (
    ("no store yet", "xlstore --store DIR/none list", 1,
     "xlstore: store: there is no DIR/none\n"
     "xlstore: name the store with --store or XLSTORE_DIR, or make one with 'xlstore init'\n"),
    ("the wrong directory", "xlstore --store DIR/other list", 1,
     "xlstore: store: DIR/other holds no store: there is no store.db\n"
     "xlstore: name the store with --store or XLSTORE_DIR; 'xlstore init' makes a new one in an empty directory, "
     "'xlstore restore FILE' puts a backup back, 'xlfsck --rebuild' makes one for the QEMUs of a lost one\n"),
    ("a store made where something is", "xlstore --store DIR/other init", 1,
     "xlstore: store: DIR/other is not empty: it holds x\n"
     "xlstore: name an empty or a new directory\n"),
    ("a store made twice", "xlstore init", 1,
     "xlstore: store: there is a store in DIR/store already\n"
     "xlstore: use it, or name another directory\n"),
    ("not root", f"setpriv --reuid {WITHOUT_RIGHTS} --clear-groups DIR/bin/xlstore list", 1,
     "xlstore: cannot look at DIR/store/store.db: Permission denied\n"
     "xlstore: run it as root, or as a user who may do this\n"),
    ("no store, and xlfsck", "xlfsck --store DIR/none -n", 8,
     "xlfsck: store: there is no DIR/none\n"
     "xlfsck: name the store with --store or XLSTORE_DIR, or make one with 'xlstore init'\n"),
    ("a domain that there is not", "xlstore export web03", 4,
     "xlstore: there is no domain \"web03\" in the store\n"
     "xlstore: 'xlstore list' shows the domains it has\n"),
    ("a domain that xlfsck does not know", "xlfsck -n web03", 8,
     "xlfsck: there is no domain \"web03\" in the store\n"
     "xlfsck: 'xlstore list' shows the domains it has\n"),
    ("an option of a verb in front of it", "xlstore --since 2h history", 2,
     "xlstore: \"--since\" is none of the options that stand before a verb; one of a verb's own stands behind it; "
     "try 'xlstore --help'\n"),
    ("a domain that is there already", "xlstore import 7 DIR/web01.json", 1,
     "xlstore: domain 7 (web01) is in the store, running (R14)\n"
     "xlstore: destroy it first, or use another domid\n"),
    ("a name where a domid is wanted", "xlstore import web01 DIR/web01.json", 2,
     "xlstore: \"web01\" is not a domid, the number that Xen has for the domain, 0 to 32751, such as 7; try 'xlstore import --help'\n"),
    ("a document that there is not", "xlstore import 8 DIR/nofile.json", 1,
     "xlstore: cannot read DIR/nofile.json: No such file or directory\n"
     "xlstore: nothing was changed; name a file that can be read\n"),
    ("the configuration of xl for a document", "xlstore import 8 DIR/web.cfg", 1,
     "xlstore: DIR/web.cfg is not valid JSON at 1:2: while parsing value - invalid literal\n"
     "xlstore: mend it at that line and column, or give another\n"),
    ("a domain whose QEMU the store does not know", "xlstore insert web01 hdc DIR/a.iso", 1,
     "xlstore: domain 7 (web01) has no QEMU in the store\n"
     "xlstore: register the one that runs ('xlstore register DOM --monitor SOCKET'), or begin one "
     "('xlstore soft-reset')\n"),
    ("no QEMU's command", "xlstore create 8 DIR/web02.json", 2,
     "xlstore: create: no command was given that starts QEMU; write it behind --, as in 'xlstore create ... -- "
     "qemu-system-x86_64 ...'; try 'xlstore create --help'\n"),
    ("a command without --", "xlstore create 8 DIR/web02.json qemu-system-x86_64", 2,
     "xlstore: create takes DOMID CONFIG.json [--things FILE] [--no-qemu] [--scope] -- COMMAND..., not 3 words; "
     "try 'xlstore create --help'\n"),
    ("no QEMU on this host", "xlstore create 8 DIR/web02.json -- qemu-system-none", 1,
     "xlstore: domain 8 (web02): there is no program qemu-system-none\n"
     "xlstore: nothing was started; install it, or name another program\n"),
    ("a class in the singular", "xlstore attach 7 disk {}", 1,
     "xlstore: there is no device class \"disk\"\n"
     "xlstore: classes: disks nics pcidevs rdms dtdevs vfbs vkbs virtios vtpms p9s pvcallsifs vdispls vsnds channels "
     "usbctrls usbdevs vcpus qemu\n"),
    ("JSON that is none", "xlstore attach 7 disks {vdev", 1,
     "xlstore: thing of class disks is not valid JSON at 1:2: while parsing object key - invalid literal\n"
     "xlstore: mend it at that line and column, or give another\n"),
    ("a thing without what names it", "xlstore attach 7 disks {}", 1,
     "xlstore: domain 7 (web01): disks: disks: \"vdev\" is missing, or no name of a disk\n"
     "xlstore: nothing was changed; give the element as libxl writes it in a document\n"),
    ("a disk for a CD drive", "xlstore insert web01 xvda DIR/a.iso", 1,
     "xlstore: domain 7 (web01): disks/xvda: it is no CD drive\n"
     "xlstore: nothing was changed; detach it, and attach it with the other image\n"),
    ("a monitor that there is not", "xlstore register 7 --monitor DIR/none", 1,
     "xlstore: domain 7 (web01): its monitor DIR/none cannot be reached: No such file or directory\n"
     "xlstore: nothing was sent, and its QEMU runs on; if the socket was moved, put it back: QEMU listens at that very file; "
     "'xlstore destroy' needs no monitor\n"),
    ("an intent that there is not", "xlstore wait 99", 4,
     "xlstore: there is no intent 99 in the store\n"
     "xlstore: it never was, or its history has been pruned; 'xlstore intents' shows those that are open\n"),
    ("no number of an intent", "xlstore wait web01", 2,
     "xlstore: \"web01\" is not the number of an intent; 'xlstore intents' shows those that are open; "
     "try 'xlstore wait --help'\n"),
    ("a verb misspelt", "xlstore insrt web01", 2,
     "xlstore: there is no verb \"insrt\"; did you mean 'insert'?; try 'xlstore --help'\n"),
    ("an option misspelt", "xlstore list --jsn", 2,
     "xlstore: list does not take --jsn; try 'xlstore list --help'\n"),
    ("words that are missing", "xlstore insert web01", 2,
     "xlstore: insert takes DOM VDEV FILE [--force] [--wait], not 1 word; try 'xlstore insert --help'\n"),
    ("no verb", "xlstore", 2, "xlstore: no verb was given; try 'xlstore --help'\n"),
    ("an option whose value is empty", "xlstore --store= list", 2,
     "xlstore: an option in front of \"list\" has no value; try 'xlstore list --help'\n"),
    ("two modes of xlfsck", "xlfsck -n -y", 16,
     "xlfsck: only one of -n, -p (or -a) and -y may be given; try 'xlfsck --help'\n"),
    ("a change by SQL", "xlstore sql DELETE_FROM_thing", 1,
     "xlstore: sql: not authorized\n"
     "xlstore: only reading is allowed; xlstore.db(5) shows what can be asked\n"),
    ("a backup over a file", "xlstore backup DIR/a.iso", 1,
     "xlstore: backup: there is a DIR/a.iso already\n"
     "xlstore: name another file\n"),
    ("a backup that is none", "xlstore restore DIR/a.iso", 1,
     "xlstore: restore: DIR/a.iso: cannot run a statement: file is not a database\n"
     "xlstore: nothing was changed; give a file that 'xlstore backup' wrote\n"),
)


class Mistakes(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.place = tempfile.TemporaryDirectory(prefix="xlmist-")
        cls.directory = pathlib.Path(cls.place.name)
        cls.directory.chmod(0o755)
        (cls.directory / "other").mkdir()
        (cls.directory / "other/x").write_text("x", encoding="utf-8")
        (cls.directory / "bin").mkdir()
        (cls.directory / "web.cfg").write_text('name = "web"\n', encoding="utf-8")
        (cls.directory / "a.iso").write_bytes(b"x" * 65536)
        document = (SOURCE / "tools/examples/web01.json").read_text(encoding="utf-8")
        (cls.directory / "web01.json").write_text(document, encoding="utf-8")
        other = document.replace("web01", "web02").replace("8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c02")
        (cls.directory / "web02.json").write_text(other, encoding="utf-8")
        cls.environment = {**os.environ, "XLSTORE_DIR": str(cls.directory / "store"), "PATH": f"{BIN}:{os.environ['PATH']}"}
        for words in (["xlstore", "init"], ["xlstore", "import", "7", str(cls.directory / "web01.json")]):
            subprocess.run(words, check=True, capture_output=True, env=cls.environment)

    @classmethod
    def tearDownClass(cls):
        cls.place.cleanup()

    def said(self, command):
        """Status and words of a command."""
        words = [word.replace("DIR", str(self.directory)) if word != "DELETE_FROM_thing" else word.replace("_", " ")
                 for word in command.split()]
        if words[0] == "setpriv":
            if os.geteuid() != 0:
                self.skipTest("this user is not root already")
            shutil.copy(BIN / "xlstore", self.directory / "bin/xlstore")
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=self.environment,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.stdout, "", command)
        return done.returncode, done.stderr.replace(str(self.directory), "DIR")

    def test_what_each_is_told(self):
        self.assertGreaterEqual(len(MISTAKES), 20)
        for mistake, command, status, words in MISTAKES:
            with self.subTest(mistake=mistake):
                self.assertEqual(self.said(command), (status, words))

    def test_each_is_told_what_to_do_next(self):
        for mistake, command, _, words in MISTAKES:
            with self.subTest(mistake=mistake):
                program = "xlfsck" if command.startswith("xlfsck") else "xlstore"
                lines = words.splitlines()
                self.assertTrue(all(line.startswith(program + ": ") for line in lines))
                self.assertTrue(len(lines) == 2 or "; try '" in lines[0])

    def test_nothing_was_changed_by_any(self):
        def state():
            return subprocess.run(["xlstore", "sql", "SELECT * FROM domains; SELECT * FROM things; SELECT * FROM pending_intents"], check=True, capture_output=True,
                                  text=True, env=self.environment).stdout
        before = state()
        for _, command, *_ in MISTAKES:
            if not command.startswith("setpriv"):
                self.said(command)
        self.assertEqual(state(), before)
        self.assertIn("web01", before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True, type=pathlib.Path, help="directory of xlstore and xlfsck")
    parser.add_argument("--print", action="store_true", help="print what is said, and test nothing")
    arguments, rest = parser.parse_known_args()
    BIN = arguments.bin.resolve()
    if arguments.print:
        for about, line, ended, told in MISTAKES:
            print(f"{about}\n  $ {line.replace('DIR', '.')}\n  {told.replace('DIR', '.').strip().replace(chr(10), chr(10) + '  ')}\n")
        sys.exit(0)
    unittest.main(argv=[sys.argv[0], "-v", *rest])
