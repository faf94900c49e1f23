#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sweep.py --bin DIRECTORY --image DIRECTORY --place FILE [--seconds N] [--stock|--journal] [COMMAND...]

Kills xl before each of its effects, on a real Xen, command by command, and keeps in FILE what came of each kill: it
goes on there the next time. Ends when all are done or the time is over, with the counts.

  stock    after the kill `xlfsck --libxl -n` names what the judge sees amiss, and nothing else; `-y` repairs it; a second
           `-n` is silent; the judge sees nothing amiss; xl carries out the command and takes it back.
  journal  xl is preloaded with the journal. After the kill nothing is in QEMU or xenstore without entry or intent;
           `xlfsck --libxl -p` settles all; the judge sees nothing amiss, and no intent is open; xl works on.

The points of a command come in an order in which a run that ends early has seen some of each part of it.
"""
import argparse
import json
import pathlib
import re
import sys
import tempfile
import time

import image
from cases import Bench
from host_cases import CORRECTED, LEFT, OUTSIDE
from journal import PREPARE
from rig import Rig
from run import rig_files
from swept import SWEPT, amiss

UNDER_JOURNAL = ':/root/j/libxlstore-libxl.so'
KILLS_OF_A_DOMAIN = 16
REPAIRED_OR_TOLD = range(CORRECTED + OUTSIDE + LEFT + 1)
PAST_ITS_END = 'it had ended'
# A guest lets go in its own time, of a USB controller after xl has ended.
LET_GO = r"""
for tries in $(seq 100); do
    /share/ask /run/xen/qmp-libxenstat-{d} '{{"execute":"qom-list","arguments":{{"path":"/machine/peripheral"}}}}' |
        grep -q '"{device}' || break
    sleep 0.2
done"""
FSCK = '[ -x /tmp/xlfsck ] || cp /share/xlfsck /tmp/xlfsck; /tmp/xlfsck --libxl --timeout 60'


class Fault(Exception):
    """A kill after which something is not as it has to be."""


def check(condition, *what):
    if not condition:
        raise Fault(': '.join(str(one) for one in what))


def spread(count):
    """1 to count, the middle of what is left first."""
    width = max(1, (count - 1).bit_length())
    order = sorted(range(1 << width), key=lambda number: int(f'{number:0{width}b}'[::-1], 2))
    return [number + 1 for number in order if number < count]


class Place:
    """What was done, a line of JSON each."""

    def __init__(self, path, again):
        self.path = path
        self.kills, self.effects = {}, {}
        for line in path.read_text().splitlines() if path.exists() else ():
            self.take(json.loads(line))
        self.faulty = {which for which, one in self.kills.items() if again and one['fault']}

    def take(self, one):
        if 'effects' in one:
            self.effects[one['mode'], one['command']] = one['effects']
        else:
            self.kills[one['mode'], one['command'], one['kill']] = one

    def add(self, **one):
        self.take(one)
        self.faulty.discard((one['mode'], one['command'], one.get('kill')))
        with self.path.open('a') as file:
            file.write(json.dumps(one) + '\n')

    def to_do(self, mode, command):
        """None: its effects were not counted."""
        count = self.effects.get((mode, command))
        return count and [n for n in spread(count) if (mode, command, n) not in self.kills or
                          (mode, command, n) in self.faulty]

    def of(self, mode, command):
        return [one for (of, name, _), one in self.kills.items() if (of, name) == (mode, command)]

    def print(self):
        print(f'{"":8} {"command":16} effects kills left something, wrong')
        for mode, command in self.effects:
            kills = self.of(mode, command)
            print(f'{mode:8} {command:16} {self.effects[mode, command]:7} {len(kills):5} '
                  f'{sum(bool(one["amiss"]) for one in kills):14}, {sum(bool(one["fault"]) for one in kills)}')
        for (mode, command, number), one in self.kills.items():
            if one['fault']:
                print(f'{mode} {command} killed before {number} ({one["effect"]}): {one["fault"]}')


class Sweep:
    """One command in one mode."""

    def __init__(self, bench, place, mode, command):
        self.bench, self.place, self.mode, self.name = bench, place, mode, command
        self.swept = SWEPT[command]
        self.journal = mode == 'journal'
        self.xl = 'xlj' if self.journal else 'xl'
        self.preload = UNDER_JOURNAL if self.journal else ''
        self.domid = None

    def batch(self, until):
        """A new domain, and some kills."""
        if self.journal:
            self.bench.run(PREPARE)
        self.ready()
        to_do = self.place.to_do(self.mode, self.name)
        if to_do is None:
            self.count()
            to_do = self.place.to_do(self.mode, self.name)
        for number in to_do[:KILLS_OF_A_DOMAIN]:
            if time.monotonic() > until:
                break
            one = self.kill(number)
            check(not one['fault'], one['fault'])  # what it left is in the way of others: a new machine
            if self.swept.of_its_own:
                break
        self.bench.run(f"for domid in $(xl list | awk 'NR > 2 {{ print $2 }}'); do xl destroy $domid; done; "
                       'rm -f /var/lib/xen/userdata-?.*', seconds=300)

    def ready(self):
        """A domain where the command is to be killed; none for `create`."""
        if self.name == 'create':
            return
        self.domid = self.bench.create('yields', by=self.xl)
        self.do(self.swept.before)

    def do(self, commands):
        for command in commands:
            words = command.format(d=self.domid)
            said = self.bench.run(f'{self.xl} {words} 2>&1; echo "status $?"', seconds=300)
            check(said.rstrip().endswith('status 0'), f'xl {words}', said)
            if words.startswith('usbctrl-detach'):
                self.let_go(words)

    def count(self):
        words = self.swept.command.format(d=self.domid)
        self.place.add(mode=self.mode, command=self.name,
                       effects=len(self.bench.effects(f'xl {words}', preload=self.preload)))
        if self.name == 'create':
            self.domid = self.bench.last_domid()
            self.do(['destroy {d}'])
        elif self.swept.of_its_own:
            if self.name != 'destroy':
                self.do(['destroy {d}'])
            self.ready()
        else:
            self.let_go(words)
            self.do(self.swept.back)

    def let_go(self, words):
        device = {'usbctrl-detach': 'xenusb-0"', 'pci-detach': 'pci-pt-'}.get(words.split()[0])
        if device:
            self.bench.run(LET_GO.format(d=self.domid, device=device))

    def kill(self, number):
        found, fault, effect = [], None, ''
        begun = time.monotonic()
        try:
            words = self.swept.command.format(d=self.domid)
            effects = self.bench.effects(f'xl {words}', kill=number, preload=self.preload)
            effect = effects[-1].text if number <= len(effects) else PAST_ITS_END
            if any('device_del' in one.text for one in effects[:-1]):
                self.let_go(words)
            found = self.look_at_end() if self.name in ('create', 'destroy') else self.look()
        except (Fault, AssertionError, ValueError) as error:
            fault = f'{type(error).__name__}: {error}'
        one = {'mode': self.mode, 'command': self.name, 'kill': number, 'effect': effect, 'amiss': found, 'fault': fault}
        self.place.add(**one)
        print(f'{self.mode} {self.name} {number}/{self.place.effects[self.mode, self.name]} '
              f'{time.monotonic() - begun:.0f} s  {effect[:70]}  {found}  {fault or ""}', flush=True)
        return one

    def fsck(self, word, *allowed):
        text = self.bench.run(f'{FSCK} {word}; echo "status $?"', seconds=400)
        said, status = re.fullmatch(r'(.*)status (\d+)\n?', text, re.S).groups()
        check(int(status) in allowed, f'xlfsck {word}: {status} is none of {allowed}', said)
        return int(status), said

    def judged(self):
        judge = self.bench.judge(self.domid) if self.journal else None
        seen = judge.seen if judge else self.bench.see(self.domid)
        if judge:
            check(not judge.violations(), 'without entry or intent', judge.violations())
        return seen, judge

    def look(self):
        """After a kill: what is amiss, and that it is named and mended."""
        seen, _ = self.judged()
        found = amiss(seen, self.domid)
        if self.journal:
            self.repair('-p')
        else:
            status, said = self.fsck('-n', 0, OUTSIDE, LEFT)
            check(bool(found) == bool(status), 'the judge', found, 'xlfsck -n', status, said)
            if status:
                told = self.repair('-y')
                _, again = self.fsck('-n', 0)
                check('; 0 found' in again, 'a second -n', again, 'after', told)
        if self.journal or found:
            seen, judge = self.judged()
            check(not amiss(seen, self.domid), 'after the repair', amiss(seen, self.domid))
            check(not judge or not judge.tables.intents, 'open', judge and judge.tables.intents)
        if not self.swept.done(seen):
            self.do([self.swept.command])
        self.do(self.swept.back)
        return found

    def repair(self, word):
        """What xlfsck says; what it leaves xl ends."""
        status, told = self.fsck(word, *REPAIRED_OR_TOLD)
        if status & (LEFT | OUTSIDE):
            self.end_by_xl(told)
        return told

    def end_by_xl(self, told):
        """What xlfsck leaves is libxl's alone to do: the hypervisor's part of a PCI device, a hotplug script."""
        if "'xl pci-detach -f' ends it" in told:
            self.do(['pci-detach -f {d} 00:10.0'])
        else:
            check('it is not connected' in told or 'its back end has not let go' in told, 'left', told)
            self.do([self.swept.command] if '-detach' in self.name else self.swept.back)

    def look_at_end(self):
        """A creation or a destruction was killed: what is left is named, or nothing is; xl destroy ends it."""
        if self.name == 'create':
            self.domid = self.bench.last_domid()
        alive = self.domid is not None and self.domid == self.bench.last_domid()
        found = []
        if alive:
            seen = self.bench.see(self.domid)
            found = amiss(seen, self.domid)
            if self.journal:
                judge = self.bench.judge(self.domid)
                check(not seen.xenstore or not judge.violations(), 'without entry or intent', judge.violations())
        status, said = self.fsck('-p' if self.journal else '-n', *REPAIRED_OR_TOLD)
        if not self.journal:
            check(not found or status, 'the judge', found, 'xlfsck -n', status, said)
            self.fsck('-y', *REPAIRED_OR_TOLD)
        if self.domid is not None and self.bench.last_domid() == self.domid:
            self.do(['destroy {d}'])
        # libxl leaves the node of a device model that was not started.
        status, said = self.fsck('-n', 0, LEFT)
        if status:
            check('is left in xenstore of a domain that is over' in said, 'after xl destroy', said)
            self.fsck('-y', CORRECTED)
            _, said = self.fsck('-n', 0)
        check('; 0 found' in said, 'after xl destroy', said)
        if self.journal:
            check(not self.bench.tables().domains, 'the destroyed domain has a row')
        self.domid = None
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ('bin', 'image', 'place'):
        parser.add_argument(f'--{name}', required=True, type=pathlib.Path)
    parser.add_argument('--seconds', type=int, default=1 << 30)
    parser.add_argument('--stock', action='store_true', help='this mode alone')
    parser.add_argument('--journal', action='store_true', help='this mode alone')
    parser.add_argument('--again', action='store_true', help='what has a fault in FILE is tried once more')
    parser.add_argument('--counted', action='store_true',
                        help='for a busy host: time in the machine is a count of instructions')
    parser.add_argument('--count', action='store_true', help='prints what FILE has, and kills nothing')
    parser.add_argument('commands', nargs='*', metavar='COMMAND', help=', '.join(SWEPT))
    arguments = parser.parse_args()
    place = Place(arguments.place, arguments.again)
    until = time.monotonic() + (0 if arguments.count else arguments.seconds)
    modes = [mode for mode in ('stock', 'journal') if getattr(arguments, mode)] or ['stock', 'journal']
    all_of = [(mode, command) for command in arguments.commands or SWEPT for mode in modes]
    failures = 0
    while time.monotonic() < until and any(place.to_do(*one) != [] for one in all_of) and failures < 100:
        image.make(arguments.image)
        with tempfile.TemporaryDirectory(prefix='xen-') as scratch:
            scratch = pathlib.Path(scratch)
            with Rig(arguments.image, scratch / 'rig', rig_files(arguments.bin, scratch),
                     patience=20 if arguments.counted else 1, pci=True) as rig:
                bench = Bench(rig)
                bench.run('modprobe xen-pciback && xl pci-assignable-add 00:10.0')
                while time.monotonic() < until:
                    left = [one for one in all_of if place.to_do(*one) != []]
                    if not left:
                        break
                    # The one of which the least was seen.
                    mode, command = min(left, key=lambda one: len(place.of(*one)))
                    try:
                        Sweep(bench, place, mode, command).batch(until)
                    except (RuntimeError, AssertionError, Fault, ValueError) as error:
                        failures += 1
                        print(f'{mode} {command}: begun anew after: {error}', flush=True)
                        break
    place.print()
    return 1 if any(one['fault'] for one in place.kills.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
