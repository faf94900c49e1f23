#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What xlstore prints, as programs and people read it, on a real QEMU.

    output_test.py --bin BUILD/bin [TEST ...]

Every verb's --json against tools/json-schema/xlstore.json; history, timeline, diff, adopt, forget; the journal, metrics.
What this host lacks (chromium, python3-jsonschema, promtool) is skipped by name.
"""

import contextlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest
import xml.etree.ElementTree

try:
    import jsonschema
except ImportError:
    jsonschema = None

import stage
from stage import QEMU, ROOT, SECONDS, Stage, document, tablet

SCHEMA = json.loads((ROOT / "tools/json-schema/xlstore.json").read_text(encoding="utf-8"))


class Json(Stage):
    """Each verb's value is what the schema says, and each verb is tried."""

    def value(self, verb, *words, status=0, define=None, **more):
        said = self.xl("--json", verb, *words, status=status, **more)
        lines = said.splitlines() if "--follow" in words else [said]
        for line in lines:
            value = json.loads(line)
            if jsonschema:
                schema = {"$ref": f"#/$defs/{define or verb}", "$defs": SCHEMA["$defs"]}
                errors = list(jsonschema.Draft202012Validator(schema).iter_errors(value))
                self.assertEqual([f"{verb}: {list(e.absolute_path)}: {e.message}" for e in errors], [], said)
        type(self).tried.add(define or verb)
        return value

    tried = set()

    def test_every_verb(self):
        place = self.place
        for other in (8, 9, 10):
            (place / f"{other}.json").write_text(json.dumps(document(other)), encoding="utf-8")
        (place / "a.iso").write_bytes(bytes(1 << 20))
        self.value("import", 8, place / "8.json")
        self.value("create", 9, place / "9.json", "--", *QEMU)
        self.xl("import", 10, place / "10.json")
        qemu = subprocess.Popen([*QEMU, "-qmp", f"unix:{place}/m,server=on,wait=off"], stdin=subprocess.DEVNULL)
        self.addCleanup(qemu.wait)
        self.addCleanup(qemu.kill)
        self.value("register", "10", "--monitor", place / "m", "--pid", str(qemu.pid))
        self.value("soft-reset", "9", "--", *QEMU)
        self.value("close", "9", "--reason", "test")
        self.value("reopen", "9")
        self.value("rename", "9", "other")
        self.value("preserve", "9", "kept")
        self.value("insert", "7", "hdc", place / "a.iso")
        self.value("eject", "7", "hdc")
        self.value("attach", "7", "qemu", tablet("t1"))
        self.value("detach", "7", "qemu", "t1")
        self.value("batch", "7", json.dumps([{"attach": "qemu", "thing": json.loads(tablet("t2"))}]))
        self.xl("attach", "7", "qemu", tablet("t3"), crash_at="commit.before:3", status=-signal.SIGKILL)
        for verb in ("list", "intents", "history", "locks", "undo", "crash-points"):
            self.value(verb)
        for verb in ("show", "things", "history", "timeline"):
            self.value(verb, "7")
        self.value("status", status=1)
        self.value("diff", "7", status=1)
        self.value("export", "7")
        (place / "root/var/lib/xen").mkdir(parents=True)
        self.value("bridge", "status", "--root", place / "root")
        self.value("recover", "7")
        intent = json.loads(self.xl("--json", "history", "7"))[-1]["intent"]
        self.value("wait", str(intent))
        self.value("timeline", "--intent", str(intent))
        self.value("prune", "--dry-run")
        self.value("upgrade")
        self.value("sql", "SELECT 1 AS one")
        self.value("bundle", place / "b.tar")
        self.value("bundle", place / "b.tar", "--show")
        self.value("backup", place / "backup.db")
        self.assertEqual([d["domid"] for d in self.value("status", "7")["domains"]], [7])
        self.value("destroy", "9")
        self.value("destroy", "9")
        self.restored()
        self.value("destroy", "12", "--uuid", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9e12")
        self.value("show", "9")
        self.value("list", "--retired")
        self.value("show", "no-such-domain", status=4, define="error")
        self.value("adopt", "7", "qemu/none", status=4, define="error")
        # What needs a stage of its own: a store that no process uses; a thing without an entry.
        type(self).tried |= {"init", "adopt", "forget", "watch", "demo"}
        verbs = re.findall(r"^  (\S+)", self.xl("--help").split("Subcommands:\n", 1)[1], re.MULTILINE)
        self.assertEqual(set(verbs) - self.tried, set(), "no value of these was looked at")
        self.assertEqual(set(verbs) - {"watch", "demo"} - set(SCHEMA["$defs"]), set(), "not in the schema")
        if not jsonschema:
            self.skipTest("python3-jsonschema is not there: the values were not compared with the schema")

    def restored(self):
        """Into a directory where nothing was, and over what is there."""
        used, backup = self.store, self.place / "none.db"
        try:
            type(self).store = self.place / "alone"
            self.xl("init")
            self.xl("import", 8, self.place / "8.json")
            self.xl("backup", backup)
            over = self.value("restore", backup)
            type(self).store = self.place / "new"
            new = self.value("restore", backup)
        finally:
            type(self).store = used
        self.assertEqual(([d["domid"] for d in new["domains"]], new["kept"]), ([8], None))
        self.assertTrue(over["kept"].startswith(str(self.place / "alone")))

    def test_a_value_of_another_shape_is_found(self):
        if not jsonschema:
            self.skipTest("python3-jsonschema is not there")
        schema = {"$ref": "#/$defs/upgrade", "$defs": SCHEMA["$defs"]}
        for wrong in ({}, {"schema_version": "3"}, {"schema_version": 3, "more": 1}, []):
            self.assertFalse(jsonschema.Draft202012Validator(schema).is_valid(wrong), wrong)

    def test_each_object_is_described_to_its_end(self):
        """A member that is not described would be taken by no program; of libxl's documents we do not decide."""
        loose = [name for name, define in SCHEMA["$defs"].items() if '"additionalProperties": true' in json.dumps(define)]
        self.assertEqual(loose, [])


class History(Stage):
    def test_a_destruction_says_dead_of_a_qemu_that_was_there(self):
        told = {}
        for domid, type_of in ((21, "hvm"), (22, "pvh"), (23, "hvm")):
            file = self.place / f"{domid}.json"
            file.write_text(json.dumps(document(domid)).replace('"hvm"', f'"{type_of}"').replace("type.hvm", f"type.{type_of}"),
                            encoding="utf-8")
            self.xl(*(("create", domid, file, "--", *QEMU) if domid == 23 else ("import", domid, file)))
            self.xl("destroy", f"domid:{domid}")
            rows = json.loads(self.xl("--json", "sql", "SELECT evidence FROM history WHERE operation = 'destroy' AND "
                                      f"evidence <> '' AND domid = {domid}"))
            told[domid] = [row["evidence"].split(";")[0] for row in rows]
        self.assertEqual(told, {21: ["it had no QEMU in the store"], 22: ["it had no device model"], 23: ["QEMU is dead"]})

    def test_parts_of_it(self):
        self.xl("attach", "7", "qemu", tablet("h1"))
        lines = json.loads(self.xl("--json", "history", "7", "--class", "qemu"))
        self.assertEqual({line["class"] for line in lines}, {"qemu"})
        self.assertLess(lines[0]["opened_us"], lines[0]["at_us"])
        self.assertEqual(len(json.loads(self.xl("--json", "history", "--limit", "1"))), 1)
        newest = json.loads(self.xl("--json", "history"))[-1]
        self.assertEqual(json.loads(self.xl("--json", "history", "--limit", "1"))[0], newest)
        self.assertEqual(json.loads(self.xl("--json", "history", "--until", "1d")), [])
        self.assertEqual(json.loads(self.xl("--json", "history", "--since", "1h")),
                         json.loads(self.xl("--json", "history")))
        self.assertEqual(json.loads(self.xl("--json", "history", "--who", "no-such-program")), [])
        self.assertGreater(len(json.loads(self.xl("--json", "history", "--who", f"uid:{os.getuid()}"))), 1)
        for wrong in (("--since", "soon"), ("--since", "2026-02-30"), ("--follow", "--until", "now")):
            self.xl("history", *wrong, status=2)

    def test_follows(self):
        follower = subprocess.Popen([stage.program("xlstore"), "--store", str(self.store), "--json", "history", "--follow",
                                     "--limit", "1"], stdout=subprocess.PIPE, text=True)
        try:
            json.loads(follower.stdout.readline())
            self.xl("attach", "7", "qemu", tablet("h2"))
            while json.loads(follower.stdout.readline())["key"] != "h2":
                pass
        finally:
            follower.terminate()
            follower.wait(SECONDS)
            follower.stdout.close()


class Page(html.parser.HTMLParser):
    """What a page loads, and the places that its links lead to."""

    def __init__(self):
        super().__init__()
        self.loaded, self.links, self.ids, self.tags = [], [], set(), set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.ids.add(attrs.get("id"))
        if tag == "a":
            self.links.append(attrs["href"])
        self.loaded += [attrs[name] for name in ("src", "srcset", "data") if name in attrs]


class Timeline(Stage):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.xl("attach", "7", "qemu", tablet("one"))
        cls.xl("attach", "7", "qemu", tablet("two"), crash_at="commit.before:3", status=-signal.SIGKILL)
        cls.xl("-p", by="xlfsck", status=1)
        cls.xl("attach", "7", "qemu", tablet("<b>&three"), status=1)  # QEMU takes no such id
        cls.page = cls.place / "page.html"
        cls.said = cls.xl("timeline", "7", "--html", cls.page)

    def test_a_page_takes_the_place_of_a_file_alone(self):
        fifo, link = self.place / "fifo", self.place / "link"
        os.mkfifo(fifo)
        link.symlink_to(self.page)
        for path in (fifo, link, self.place):
            self.assertIn("no regular file", self.run_xl("timeline", "7", "--html", path).stderr)
        self.assertTrue(fifo.is_fifo() and link.is_symlink())

    def test_text_tells_of_crash_and_recovery(self):
        said = self.xl("timeline", "7")
        self.assertIn("add qemu/one (intent 1): done", said)
        self.assertIn("QMP: device_add", said)
        self.assertRegex(said, r"slow lock held for \d+ ms by xlstore \d+")
        self.assertRegex(said, r"that process died or left it, when is not known; xlfsck \d+ closed it")
        of_one = self.xl("timeline", "--intent", "1")
        self.assertIn("qemu/one", of_one)
        self.assertNotIn("qemu/two", of_one)
        self.xl("timeline", status=2)
        self.assertEqual(self.xl("timeline", "7", "--html", "-").split("made ")[0],
                         self.page.read_text(encoding="utf-8").split("made ")[0])
        self.xl("timeline", "--intent", "4711", status=4)

    def test_page_stands_alone(self):
        text = self.page.read_text(encoding="utf-8")
        tree = xml.etree.ElementTree.fromstring(text.replace("<!DOCTYPE html>", "", 1))
        page = Page()
        page.feed(text)
        self.assertEqual(page.loaded, [])
        self.assertNotIn("script", page.tags)
        self.assertEqual(set(re.findall(r"https?://[^\s\"']+", text)),
                         {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"})
        self.assertEqual([link for link in page.links if link[1:] not in page.ids], [])
        svg = "{http://www.w3.org/2000/svg}"
        links = tree.findall(f".//{svg}a")
        rows = tree.findall(".//{http://www.w3.org/1999/xhtml}tbody/{http://www.w3.org/1999/xhtml}tr")
        self.assertEqual(len(links), len(rows))
        self.assertTrue(all(link.get("aria-label") for link in links))
        self.assertEqual(len(tree.findall(f".//{svg}rect[@class='lock unknown']")), 1)
        self.assertIn("prefers-color-scheme: dark", text)
        self.assertIn("@media print", text)

    def test_browser_shows_it_without_a_complaint(self):
        chromium = shutil.which("chromium")
        if not chromium:
            self.skipTest("chromium is not there: the page was not opened in a browser")
        shot = self.place / "shot.png"
        done = subprocess.run([chromium, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
                               f"--user-data-dir={self.place}/chromium", "--window-size=1200,900",
                               f"--screenshot={shot}", "--dump-dom", self.page.as_uri()], capture_output=True,
                              text=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(re.findall(r".*CONSOLE.*", done.stderr), [])
        self.assertIn("aria-label=", done.stdout)
        self.assertTrue(shot.read_bytes().startswith(b"\x89PNG"))


class OneThing(Stage):
    def test_what_stands_open_is_named_by_its_number(self):
        self.xl("attach", "7", "qemu", tablet("o"), crash_at="commit.before:3", status=-signal.SIGKILL)
        intent = json.loads(self.xl("--json", "intents"))[0]["intent"]
        for words in (("close", "7", "--reason", "test"), ("export", "7", "--settled")):
            told = self.run_xl(*words).stderr
            self.assertIn(f"has an open intent, {intent}", told)
            self.assertIn(f"'xlstore wait {intent}'", told)
        self.run_xl("wait", str(intent))
        self.run_xl("detach", "7", "qemu", "o")

    def test_a_destruction_by_uuid_says_of_what(self):
        uuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9e77"
        self.assertIn(f"domain 77 (uuid {uuid}) is not in the store", self.xl("destroy", "77", "--uuid", uuid))

    def test_what_another_client_added_is_shown_and_adopted_alone(self):
        for name in ("foreign", "left"):
            self.qmp(("chardev-add", {"id": name, "backend": {"type": "null", "data": {}}}))
        said = self.xl("diff", "7", status=1)
        self.assertIn("foreign", said)
        self.assertIn("is in QEMU, and no entry says so", said)
        self.assertIn("ADOPTED", self.xl("adopt", "7", "foreign"))
        self.assertNotIn('"foreign"', self.xl("diff", "7", status=1))
        self.assertIn('"left"', self.xl("diff", "7", status=1), "no other thing was touched")
        self.xl("adopt", "7", "left")
        self.xl("diff", "7")
        self.xl("adopt", "7", "left", status=4)

    def test_without_a_qemu_nothing_is_said_of_what_is_in_one(self):
        (self.place / "11.json").write_text(json.dumps(document(11)), encoding="utf-8")
        self.xl("import", "11", self.place / "11.json")
        self.assertIn("the store has no QEMU of the domain", self.run_xl("adopt", "11", "foreign").stderr)
        self.xl("destroy", "11")

    def test_a_cd_drive_that_is_forgotten_stays(self):
        (self.place / "f.iso").write_bytes(b"\0" * 65536)
        self.xl("insert", "7", "hdc", self.place / "f.iso")
        self.qmp(("eject", {"id": "ide-5632", "force": True}))
        told = json.loads(self.xl("--json", "forget", "7", "disks/hdc", status=1))["error"]
        self.assertIn("its entry is stale now", told["message"])
        self.assertTrue(told["advice"].startswith("nothing else was changed; "), told)
        self.xl("eject", "7", "hdc")  # as it advises
        self.xl("diff", "7")

    def test_a_word_that_names_none_adopts_none(self):
        for name in ("t1", "t2"):
            self.qmp(("device_add", {"driver": "usb-tablet", "id": name, "bus": "xenusb-0.0"}))
        for word in ("usb-tablet", "nosuch"):   # what they are is no name
            self.assertIn("nothing of that name", self.run_xl("adopt", "7", word).stderr)
            self.xl("adopt", "7", word, status=4)
        with tempfile.TemporaryDirectory() as place:
            self.xl("bundle", pathlib.Path(place, "b.tar"))
            shown = self.xl("bundle", pathlib.Path(place, "b.tar"), "--show")
        self.assertIn("no entry says so", shown)
        self.assertNotIn("not looked at", shown, "something was found, and all was looked at")
        said = self.xl("diff", "7", status=1)
        for name in ("t1", "t2"):
            self.assertIn(f'"{name}"', said)
            self.xl("adopt", "7", name)
            self.xl("detach", "7", "qemu", name)

    def test_a_domain_whose_qemu_is_not_known_has_nothing_there(self):
        self.xl("import", "21", ROOT / "tools/examples/web01.json")
        said = json.loads(self.xl("--json", "diff", "21", status=3))
        self.assertEqual({row["qemu"] for row in said["things"] if row["qemu"] != "-"}, {"not seen"})
        self.assertIn("no QEMU is registered", "".join(said["not_seen"]))
        self.assertIn("no QEMU is registered", self.xl("diff", "21", status=3))
        self.xl("destroy", "21")

    def test_a_domain_that_was_not_looked_into_lacks_nothing(self):
        self.qmp(("chardev-add", {"id": "unseen", "backend": {"type": "null", "data": {}}}))
        environment = dict(os.environ, XLSTORE_STOP_AT="qmp.before_send:1")
        with subprocess.Popen([stage.program("xlstore"), "--store", self.store, "attach", "7", "qemu", tablet("held")],
                              env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as holder:
            end = time.monotonic() + SECONDS
            while pathlib.Path(f"/proc/{holder.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "T":
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            for words in (("adopt", "7", "unseen"), ("forget", "7", "disks/hdc")):
                said = self.run_xl("--timeout", "0.3", *words)
                self.assertEqual(said.returncode, 1, said.stdout + said.stderr)
                self.assertIn("a living process is at work on it", said.stderr)
            self.assertIn("a living process is at work on it", self.xl("diff", "7", status=3), "no difference was seen")
            # It waits for the lock, as attach does.
            with subprocess.Popen([stage.program("xlstore"), "--store", self.store, "--timeout", str(SECONDS), "adopt", "7", "unseen"],
                                  stdout=subprocess.PIPE, text=True) as waiter:
                with self.assertRaises(subprocess.TimeoutExpired):
                    waiter.wait(0.5)
                holder.send_signal(signal.SIGCONT)
                self.assertIn("ADOPTED", waiter.communicate(timeout=SECONDS)[0])
            holder.wait(SECONDS)
        self.xl("detach", "7", "qemu", "unseen")
        self.xl("detach", "7", "qemu", "held")

    def test_an_entry_goes_only_when_its_thing_is_gone(self):
        self.xl("attach", "7", "qemu", tablet("fg"))
        said = self.run_xl("forget", "7", "qemu/fg")
        self.assertEqual(said.returncode, 4, said.stdout + said.stderr)
        self.assertIn("qemu/fg", self.xl("diff", "7"))
        self.qmp(("device_del", {"id": "fg"}))
        end = time.monotonic() + SECONDS
        while self.run_xl("diff", "7").returncode == 0:
            self.assertLess(time.monotonic(), end)
        self.assertIn("lacks it", self.xl("diff", "7", status=1))
        self.xl("forget", "7", "qemu/fg")
        self.assertNotIn("qemu/fg", self.xl("diff", "7"))


    def test_an_open_intent_of_a_silent_qemu_is_not_all_that_is_not_seen(self):
        self.xl("attach", "7", "qemu", tablet("doubt"), crash_at="commit.before:3", status=-signal.SIGKILL)
        qemu = json.loads(self.xl("--json", "show", "7"))["qemu_pid"]
        os.kill(qemu, signal.SIGSTOP)
        try:
            said = self.run_xl("--json", "--timeout", "0.5", "diff", "7")
        finally:
            os.kill(qemu, signal.SIGCONT)
        rows = {row["thing"]: row["qemu"] for row in json.loads(said.stdout)["things"]}
        self.assertEqual(rows["qemu/doubt"], "intent open")
        self.assertEqual(rows["disks/hdc"], "not seen", said.stdout)
        self.xl("attach", "7", "qemu", tablet("doubt"))
        self.xl("detach", "7", "qemu", "doubt")

    def test_a_silent_qemu_differs_in_nothing_that_was_seen(self):
        qemu = json.loads(self.xl("--json", "show", "7"))["qemu_pid"]
        os.kill(qemu, signal.SIGSTOP)
        try:
            said = self.xl("--timeout", "0.5", "diff", "7", status=3)
            value = json.loads(self.xl("--json", "--timeout", "0.5", "diff", "7", status=3))
        finally:
            os.kill(qemu, signal.SIGCONT)
        self.assertIn("not seen", said)
        self.assertIn("QEMU was not seen", said)
        self.assertNotIn("! ", said)
        self.assertEqual((value["of_the_domain"], [row["differences"] for row in value["things"]]), ([], [[]]))
        self.assertEqual(len(value["not_seen"]), 1)


class NotServed(Stage):
    """A domain into which recovery does not look: what it has is not known, and what helps is said."""

    def create(self, domid):
        config = document(domid)
        config["nics"] = [{"devid": 0, "mac": f"00:16:3e:00:00:{domid:02}"}]
        (self.place / f"{domid}.json").write_text(json.dumps(config), encoding="utf-8")
        self.xl("create", str(domid), self.place / f"{domid}.json", "--", *QEMU)
        return json.loads(self.xl("--json", "show", str(domid)))

    def end(self, process):
        if process.poll() is None:
            process.kill()
        process.wait()

    def sees_nothing(self, word, status):
        said = self.xl("diff", word, status=status)
        self.assertIn("QEMU was not seen", said)
        self.assertIn("xenstore was not seen", said)
        rows = json.loads(self.xl("--json", "diff", word, status=status))["things"]
        self.assertEqual({(row["thing"], row["qemu"], row["xenstore"]) for row in rows},
                         {("disks/hdc", "not seen", "-"), ("nics/0", "-", "not seen")})

    def test_a_destruction_that_a_crash_broke_off(self):
        incarnation = self.create(8)["incarnation"]
        self.xl("destroy", "8", crash_at="destroy.after_kill:1", status=-signal.SIGKILL)
        self.sees_nothing("domid:8", 1)
        for words in (("adopt", "domid:8", "usb-foreign"), ("forget", "domid:8", "disks/hdc")):
            done = self.run_xl(*words)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("its destruction was ordered and not finished", done.stderr)
            self.assertIn("xlfsck -p", done.stderr)
        said = self.xl("status", "domid:8", "-x", status=1)
        self.assertIn(f"'xlstore destroy id:{incarnation}' or 'xlfsck -p' finishes it", said)
        self.assertNotIn("soft-reset", said)
        self.xl("destroy", f"id:{incarnation}")
        self.xl("diff", "domid:8", status=4)

    def test_a_destruction_by_a_living_process(self):
        self.create(9)
        environment = dict(os.environ, XLSTORE_STOP_AT="destroy.after_kill:1")
        destroyer = subprocess.Popen([stage.program("xlstore"), "--store", self.store, "destroy", "9"], env=environment,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.end, destroyer)
        end = time.monotonic() + SECONDS
        while pathlib.Path(f"/proc/{destroyer.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "T":
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)
        self.sees_nothing("domid:9", 3)
        said = self.xl("status", "domid:9", "-x", status=1)
        self.assertIn(f"'kill -CONT {destroyer.pid}' lets it go on", said)
        self.assertNotIn("soft-reset", said)
        destroyer.send_signal(signal.SIGCONT)
        self.assertEqual(destroyer.wait(SECONDS), 0)

    def test_a_dead_qemu_is_named_and_what_brings_the_domain_back(self):
        qemu = self.create(10)["qemu_pid"]
        os.kill(qemu, signal.SIGKILL)
        end = time.monotonic() + SECONDS
        while self.run_xl("--json", "status", "10").stdout.count('"qemu":"dead"') == 0:
            self.assertLess(time.monotonic(), end)
        for words in (("adopt", "10", "usb-foreign"), ("forget", "10", "disks/hdc")):
            done = self.run_xl(*words)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("its QEMU is dead", done.stderr)
            self.assertIn("'xlstore soft-reset 10' or 'xlstore destroy 10'", done.stderr)
            told = json.loads(self.run_xl("--json", *words).stdout)
            self.assertIn("its QEMU is dead", told["error"]["message"])
        self.xl("-p", by="xlfsck", status=1)
        self.xl("soft-reset", "10", "--", *QEMU)
        self.xl("destroy", "10")


class NotUtf8(Stage):
    """A path and rows that were written by hand may have any bytes: no answer is lost, and JSON is JSON."""
    STORE = os.fsdecode(b"s\xff")

    def by_hand(self, sql):
        with contextlib.closing(sqlite3.connect(self.store / "store.db")) as db, db:
            db.create_function("only_xlstore_changes_this", 0, lambda: 1)
            db.executescript(sql)

    def all_verbs(self):
        health = self.run_xl("status").returncode  # no verb's other forms end otherwise
        self.assertIn(health, (0, 1, 3))
        for words, status in (("list", 0), ("show 7", 0), ("things 7", 0), ("intents", 0), ("history", 0), ("history 7", 0),
                              ("timeline 7", 0), ("locks", 0), ("undo", 0), ("recover 7", None), ("diff 7", None),
                              ("sql SELECT * FROM session", 0), ("status", health), ("status 7", None),
                              ("bridge status --root /", 0)):
            verb, *more = words.split(" ", 1 if words.startswith("sql") else -1)
            for options in ((), ("--json",)):
                done = self.run_xl(*options, verb, *more, errors="surrogateescape")
                if status is not None:
                    self.assertEqual(done.returncode, status, (options, words, done))
                self.assertNotIn("exception", done.stdout + done.stderr, (options, words))
                if options:
                    self.assertIsInstance(json.loads(done.stdout.encode("utf-8")), (list, dict), words)
        self.xl("status", "--metrics")
        bundle = self.place / f"{len(list(self.place.glob('*.tar')))}.tar"
        self.xl("bundle", bundle)
        self.xl("bundle", bundle, "--show")

    def test_a_query_with_a_nul_is_not_run_up_to_it(self):
        done = subprocess.run([stage.program("xlstore"), "--store", self.store, "sql"], input="SELECT 1\0; SELECT 2", text=True,
                              capture_output=True, timeout=SECONDS, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done)
        self.assertIn("the query has a NUL", done.stderr)

    def test_in_the_path_of_the_store(self):
        name = os.fsencode(self.store).decode("utf-8", "surrogateescape")
        self.assertEqual(json.loads(self.xl("--json", "show", "7"))["monitor"].rsplit("/", 2)[0], name)
        self.all_verbs()
        backup = self.place / "backup.db"
        self.xl("backup", backup)
        used = self.store
        try:
            type(self).store = self.place / os.fsdecode(b"new\xff")
            self.assertEqual(json.loads(self.xl("--json", "init")), {"result": "done", "store": str(self.store)})
        finally:
            type(self).store = used
        self.assertIn("the database that was there before is ", self.xl("restore", "--adopt", backup))

    def test_in_rows(self):
        self.by_hand("UPDATE session SET program = CAST(x'61ff62' AS TEXT);"
                     "UPDATE domain SET log_path = CAST(x'2f61ff' AS TEXT) WHERE domid = 7;")
        self.assertIn("\\xff", self.xl("show", "7"))
        self.assertEqual(json.loads(self.xl("--json", "show", "7"))["log"], "/a\udcff")
        self.all_verbs()
        self.by_hand("UPDATE domain SET name = CAST(x'61ff62' AS TEXT) WHERE domid = 7")
        self.assertEqual(json.loads(self.xl("--json", "list"))[0]["name"], "a\udcffb")
        self.all_verbs()
        # What recovery rewrote is shown when it is put back.
        self.run_xl("-y", by="xlfsck")
        run = json.loads(self.xl("--json", "undo"))[0]["run"]
        self.assertIn("\\xff", self.xl("undo", run, "--force"))
        self.by_hand("UPDATE domain SET name = 'out7' WHERE domid = 7")

    def test_json_that_is_none(self):
        self.by_hand("UPDATE thing SET json = replace(json, '\"vdev\"', 'vdev') WHERE key = 'hdc'")
        self.addCleanup(self.by_hand, "UPDATE thing SET json = replace(json, 'vdev', '\"vdev\"') WHERE key = 'hdc'")
        self.assertIn("vdev:", json.loads(self.xl("--json", "things", "7"))[0]["json"])
        self.assertIsNone(json.loads(self.xl("--json", "show", "7"))["document"])
        for words in (("show", "7"), ("things", "7"), ("intents",), ("timeline", "7")):
            self.xl(*words)
        self.assertIn("! disks/hdc: its text cannot be read", self.xl("diff", "7", status=1))
        for verb, said in (("forget", "its text cannot be read"), ("adopt", "its text cannot be read")):
            self.assertIn(said, json.loads(self.xl("--json", verb, "7", "disks/hdc", status=1))["error"]["message"])
        for more in ((), ("--settled",)):
            told = json.loads(self.xl("--json", "export", "7", *more, status=1))["error"]
            self.assertEqual(told["code"], "store")
            self.assertIn("disks/hdc: its text is not valid JSON", told["message"])
            self.assertIn("'xlfsck -y'", told["advice"])


class Journal(Stage):
    """What journald is told; the test listens in its place."""

    def setUp(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        path = self.place / f"j{self._testMethodName[-4:]}"
        self.socket.bind(str(path))
        self.socket.settimeout(SECONDS)
        os.environ["XLSTORE_JOURNAL"] = str(path)
        self.addCleanup(os.environ.pop, "XLSTORE_JOURNAL")

    def fields(self):
        return dict(line.split("=", 1) for line in self.socket.recv(65536).decode().splitlines())

    def test_a_repair_is_there_with_its_fields(self):
        self.xl("attach", "7", "qemu", tablet("j1"), crash_at="commit.before:3", status=-signal.SIGKILL)
        self.run_xl("-n", by="xlfsck")  # it repairs nothing, and says nothing
        self.run_xl("-p", by="xlfsck")
        while (told := self.fields()).get("XLSTORE_PROBLEM") != "intent_done":
            pass  # what another test of this stage left in doubt
        self.assertEqual((told["SYSLOG_IDENTIFIER"], told["PRIORITY"], told["XLSTORE_ACTION"]), ("xlfsck", "5", "fixed"))
        self.assertEqual((told["XLSTORE_CODE"], told["XLSTORE_DOMID"]), ("4002", "7"))
        self.assertIn("SETTLED", told["MESSAGE"])

    def test_a_doubt_is_there_with_its_intent(self):
        self.xl("attach", "7", "usbctrls", json.dumps({"type": "devicemodel", "devid": 3, "version": 2}))
        done = self.run_xl("--json", "--timeout", "7", "detach", "7", "usbctrls", "3")
        if done.returncode == 0:
            self.skipTest("this guest lets go")
        intent = json.loads(done.stdout)["error"]["intent"]
        told = self.fields()
        self.assertEqual((told["XLSTORE_VERB"], told["XLSTORE_INTENT"], told["PRIORITY"]), ("detach", str(intent), "4"))


    def test_what_adopt_repairs_is_there_too(self):
        self.qmp(("chardev-add", {"id": "journal", "backend": {"type": "null", "data": {}}}))
        self.xl("adopt", "7", "journal")
        while (told := self.fields()).get("XLSTORE_PROBLEM") != "thing_unknown":
            pass
        self.assertEqual((told["SYSLOG_IDENTIFIER"], told["XLSTORE_ACTION"]), ("xlstore", "fixed"))

    def test_the_doubt_of_a_batch_is_there(self):
        self.xl("attach", "7", "usbctrls", json.dumps({"type": "devicemodel", "devid": 4, "version": 2}))
        done = self.run_xl("--json", "--timeout", "7", "batch", "7", json.dumps([{"detach": "usbctrls", "key": "4"}]))
        if done.returncode == 0:
            self.skipTest("this guest lets go")
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        intent = json.loads(done.stdout)["outcomes"][0]["error"]["intent"]
        while (told := self.fields()).get("XLSTORE_VERB") != "batch":
            pass
        self.assertEqual((told["XLSTORE_INTENT"], told["PRIORITY"]), (str(intent), "4"))


class Scope(Stage):
    def test_is_refused_where_systemd_does_not_run(self):
        if pathlib.Path("/run/systemd/system").exists():
            self.skipTest("systemd runs here: it would make a scope")
        (self.place / "5.json").write_text(json.dumps(document(5)), encoding="utf-8")
        said = self.run_xl("create", "5", self.place / "5.json", "--scope", "--", *QEMU)
        self.assertEqual(said.returncode, 1)
        self.assertIn("systemd does not run here", said.stderr)
        self.assertNotIn("out5", self.xl("list"))


class Metrics(Stage):
    def read_only(self, store, how):
        """What the metrics say where `how` (of the shell, $1 is the directory) has made the store's mount read-only."""
        words = ["unshare", "-m", "sh", "-c", f'{how}; shift; exec "$@"', "sh", store,
                 stage.program("xlstore"), "--store", store, "status", "--metrics"]
        looked = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        if "# HELP xlstore_ill" not in looked.stdout:
            self.skipTest("a store cannot be mounted read-only here: " + looked.stderr)
        return int(re.search(r"^xlstore_ill (\d+)$", looked.stdout, re.MULTILINE)[1])

    def test_a_mount_that_is_read_only_for_the_unit_alone_is_well(self):
        mount = 'set -e; mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; ! touch "$1/file" 2>&-'
        self.assertEqual(self.read_only(self.store, mount), 0)

    def test_a_file_system_that_is_read_only_is_ill(self):
        place = self.place / "ro"
        place.mkdir()
        make = f'{stage.program("xlstore")} --store "$1" init >&2'
        mount = f'set -e; mount -t tmpfs -o mode=0700 none "$1"; {make}; mount -o remount,ro "$1"'
        self.assertEqual(self.read_only(place, mount), 1)

    def test_promtool_takes_figures_and_rules(self):
        rules = ROOT / "tools/systemd/xlstore-alerts.yml"
        figures = set(re.findall(r"^# HELP (xlstore_\w+)", self.xl("status", "--metrics"), re.MULTILINE))
        script = (ROOT / "tools/systemd/xlstore-metrics").read_text(encoding="utf-8")
        figures |= {"xlstore_" + name for name in re.findall(r"metric (\w+) ", script)} | {"xlstore_unit_failed"}
        named = set(re.findall(r"\bxlstore_\w+", rules.read_text(encoding="utf-8")))
        self.assertEqual(named - figures, set(), "no such figure")
        if not shutil.which("promtool"):
            self.skipTest("promtool (package prometheus) is not there: the rules were not checked")
        checked = subprocess.run(["promtool", "check", "rules", rules], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        checked = subprocess.run(["promtool", "check", "metrics"], input=self.xl("status", "--metrics"),
                                 capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


if __name__ == "__main__":
    stage.main()
