# SPDX-License-Identifier: MIT
"""xl under the journal (libxlstore-libxl.so), and what an independent judge finds: all that QEMU and xenstore
have of a domain has an entry in the store, or an open intent. The store's raw tables are read, from a copy;
neither libxl nor the store's programs are asked."""
import json
import shutil
import sqlite3
import tempfile
from pathlib import Path

from sight import Sight

# dom0's side: `xlj` is xl under the journal, `store WORDS` the command, both on the store in /root/store.
WORDS = r'''
export XLSTORE_DIR=/root/store
xlj() { LD_PRELOAD=/root/j/libxlstore-libxl.so xl "$@"; }
'''
PREPARE = r'''
mkdir -p /root/j /share/db
cp /share/xlstore /share/xlfsck /share/libxlstore* /root/j/
chmod +x /root/j/*
rm -rf /root/store
/root/j/xlstore --store /root/store init
'''
# libxl's numbers of the disks that the cases have.
VBD = {'hda': 768, 'hdc': 5632, 'xvda': 51712, 'xvdb': 51728}


class Tables:
    """The raw tables, of a copy that was made while no process wrote."""

    def __init__(self, directory):
        with tempfile.TemporaryDirectory() as scratch:
            for file in Path(directory).iterdir():
                shutil.copy(file, scratch)
            db = sqlite3.connect(Path(scratch) / 'store.db')
            self.domains = {row[0]: row[1:] for row in db.execute(
                "SELECT id, domid, uuid, state FROM domain WHERE state <> 'destroyed'")}
            self.things = {(domain, kind, key): (state, json.loads(text)) for domain, kind, key, state, text in
                           db.execute('SELECT domain, class, key, state, json FROM thing')}
            self.intents = {(domain, kind, key): (number, before, after) for number, domain, kind, key, before, after in
                            db.execute('SELECT i.id, i.domain, t.class, t.key, i.image_before, i.image_after '
                                       'FROM intent i JOIN thing t ON t.id = i.thing')}
            db.close()


class Judge:
    """What is in QEMU or xenstore and has neither entry nor intent."""

    def __init__(self, seen: Sight, tables: Tables, domid):
        self.seen = seen
        self.tables = tables
        self.domain = next((number for number, row in tables.domains.items() if row[0] == domid), None)

    def thing(self, kind, key):
        return self.tables.things.get((self.domain, kind, str(key)))

    def covered(self, kind, key):
        entry = self.thing(kind, key)
        return (self.domain, kind, str(key)) in self.tables.intents or entry is not None and entry[0] != 'stale'

    def names(self, kind):
        return [(key, state, thing) for (domain, of, key), (state, thing) in self.tables.things.items()
                if domain == self.domain and of == kind]

    def is_known_device(self, name):
        parts = name.split('-')
        if parts[0] == 'cpu':
            return self.covered('vcpus', parts[1])
        if parts[:2] == ['pci', 'pt']:
            return self.covered('pcidevs', '0000:' + parts[2].replace('_', ':'))
        if parts[0] == 'xenusb' and len(parts) == 2:
            return self.covered('usbctrls', parts[1])
        if parts[0] == 'xenusb':
            return any(self.covered('usbdevs', key) for key, _, thing in self.names('usbdevs')
                       if [str(thing['type.hostdev'].get(of)) for of in ('hostbus', 'hostaddr')] == parts[1:])
        return False

    def violations(self):
        if self.domain is None:
            return ['the domain has no row']
        found = [f'QEMU has {name}' for name in sorted(self.seen.devices) if not self.is_known_device(name)]
        medium = self.seen.media.get('ide-5632')
        entry = self.thing('disks', 'hdc')
        if medium is not None and (self.domain, 'disks', 'hdc') not in self.tables.intents:
            named = entry[1].get('pdev_path', '') if entry else None
            if named != medium:
                found.append(f'drive hdc holds {medium!r}, its entry names {named!r}')
        found += [f'xenstore has USB controller {number}' for number in sorted(self.seen.controllers())
                  if not self.covered('usbctrls', number)]
        found += [f'xenstore has disk {number}' for number in sorted(self.seen.numbers('vbd'))
                  if not any(number == VBD.get(key) for key, state, _ in self.names('disks') if state != 'stale')]
        found += [f'xenstore has vif {number}' for number in sorted(self.seen.numbers('vif'))
                  if not self.covered('nics', number)]
        keyboards = [thing.get('devid') for _, state, thing in self.names('vkbs') if state != 'stale']
        found += [f'xenstore has vkb {number}' for number in sorted(self.seen.numbers('vkbd'))
                  if number not in keyboards and number != 0]
        return found
