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
from cases import Bench, watched
from host_cases import CORRECTED, LEFT, OUTSIDE
from journal import PREPARE, Judge, Tables
from rig import COUNTED_PATIENCE, Rig
from run import rig_files
from sight import Sight
from swept import SWEPT, amiss

UNDER_JOURNAL = ':/root/j/libxlstore-libxl.so'
KILLS_OF_A_DOMAIN = 16
SLOW_SECONDS = 40  # where its time goes is printed
LEFT_TO_XL = ('it is not connected', 'its back end has not let go', 'its removal was begun and not finished')
REPAIRED_OR_TOLD = range(CORRECTED + OUTSIDE + LEFT + 1)
PAST_ITS_END = 'it had ended'
# dom0's side, in one script for each kill: a program that starts there costs the host some 50 ms. What it finds is
# printed in sections.
SCRIPT = r"""
SECONDS=0
section() { printf '\n== %s at %d s\n' "$*" $SECONDS; }
# The newest guest that the hypervisor has and that is not dying; empty: none.
newest() { xl list | awk 'NR > 2 && $(NF - 1) !~ /d/ { d = $(NF - 4) } END { print d }'; }
fsck() { # NAME WORD: into $status
    [ -x /tmp/xlfsck ] || cp /share/xlfsck /tmp/xlfsck
    section $1
    /tmp/xlfsck --libxl --timeout ${limit:-60} $2
    status=$?
    section $1-status $status
}
# DOMID DEVICE: a guest lets go in its own time, of a USB controller after xl has ended.
let_go() {
    local tries
    for tries in $(seq 100); do
        case $(/share/ask /run/xen/qmp-libxenstat-$1 \
            '{"execute":"qom-list","arguments":{"path":"/machine/peripheral"}}') in
            *"\"$2"*) sleep 0.2 ;;
            *) return ;;
        esac
    done
}
xl_does() { # XL WORDS...: the script ends where it fails
    local said
    said=$("$@" 2>&1) || { section failed "$*"; echo "$said"; exit 0; }
}
"""
# What a guest is to let go of, as a name in QEMU begins.
LET_GO = {'usbctrl-detach': 'xenusb-0"', 'pci-detach': 'pci-pt-'}


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


class Sections:
    """What a script printed, by section."""

    def __init__(self, text):
        parts = re.split(r'^== (.*)\n', text, flags=re.M)
        self.titles = parts[1::2]
        self.texts = {title.split()[0]: body for title, body in zip(parts[1::2], parts[2::2])}

    def __contains__(self, name):
        return name in self.texts

    def __getitem__(self, name):
        check(name in self.texts, f'the script in dom0 has not come to {name}', self.titles, self.texts)
        return self.texts[name]

    def words(self, name):
        """Behind the section's name."""
        self[name]
        return next(title.split()[1:] for title in self.titles if title.split()[0] == name)


class Sweep:
    """One command in one mode."""

    def __init__(self, bench, place, mode, command):
        self.bench, self.place, self.mode, self.name = bench, place, mode, command
        self.swept = SWEPT[command]
        self.journal = mode == 'journal'
        self.at_end = command in ('create', 'destroy')
        self.xl = 'xlj' if self.journal else 'xl'
        self.preload = UNDER_JOURNAL if self.journal else ''
        self.domid = None
        self.sections = Sections('')

    def batch(self, until):
        """Some kills."""
        self.bench.run(PREPARE if self.journal else 'rm -rf /root/store')
        if self.place.to_do(self.mode, self.name) is None:
            self.ready()
            self.count()
        for number in self.place.to_do(self.mode, self.name)[:KILLS_OF_A_DOMAIN]:
            if time.monotonic() > until:
                break
            if self.domid is None:
                self.ready()
            one = self.kill(number)
            check(not one['fault'], one['fault'])  # what it left is in the way of others: a new machine
            if self.swept.of_its_own and self.domid is not None:
                self.do(['destroy {d}'])
                self.domid = None
        self.bench.run("for domid in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $domid; done; "
                       'rm -f /var/lib/xen/userdata-?.*', seconds=300)

    def ready(self):
        """A domain where the command is to be killed; none for `create`."""
        if self.name == 'create':
            return
        self.domid = self.bench.create('yields', by=self.xl)
        self.do(self.swept.before)

    def script(self, commands):
        """Commands of xl's that are to succeed, one after the other."""
        lines = []
        for command in commands:
            words = command.format(d=self.domid)
            lines += [f'xl_does {self.xl} {words}', self.let_go(words) if words.startswith('usbctrl-detach') else '']
        return '\n'.join(lines) + '\n'

    def do(self, commands):
        if commands:
            said = self.bench.run(SCRIPT + self.script(commands), seconds=600)
            check('\n== failed' not in said, said)

    def count(self):
        words = self.swept.command.format(d=self.domid)
        self.bench.run(self.without_logs())
        self.place.add(mode=self.mode, command=self.name,
                       effects=len(self.bench.effects(f'xl {words}', preload=self.preload)))
        if self.name == 'create':
            self.domid = self.bench.last_domid()
        if self.swept.of_its_own:
            if self.name != 'destroy':
                self.do(['destroy {d}'])
            self.domid = None
        else:
            self.bench.run(SCRIPT + self.let_go(words))
            self.do(self.swept.back)

    def without_logs(self):
        """A creation renames the logs of those before it: as many effects as there are logs."""
        return 'rm -f /var/log/xen/*\n' if self.name == 'create' else ':\n'

    def let_go(self, words):
        device = LET_GO.get(words.split()[0])
        return f"let_go {self.domid} '{device}'" if device else ':'

    def kill(self, number):
        found, fault, effect = [], None, ''
        begun = time.monotonic()
        try:
            words = self.swept.command.format(d=self.domid)
            killed = SCRIPT + self.without_logs() + 'section effects\n' + watched(f'xl {words}', number, self.preload)
            look = self.look_at_end if self.at_end else self.look
            found, effect = look(words, number, killed)
        except (Fault, AssertionError, ValueError) as error:
            fault = f'{type(error).__name__}: {error}'
            found, effect = getattr(error, 'seen', ([], ''))
        one = {'mode': self.mode, 'command': self.name, 'kill': number, 'effect': effect, 'amiss': found, 'fault': fault}
        self.place.add(**one)
        if time.monotonic() - begun > SLOW_SECONDS:
            print('slow:', '; '.join(self.sections.titles))
        print(f'{self.mode} {self.name} {number}/{self.place.effects[self.mode, self.name]} '
              f'{time.monotonic() - begun:.0f} s  {effect[:70]}  {found}  {fault or ""}', flush=True)
        return one

    def effect(self, words, number, sections):
        """The effect that xl was killed before."""
        effects = self.bench.effects_of(f'xl {words}', number, sections['effects'])
        return effects[-1].text if number <= len(effects) else PAST_ITS_END

    def copied(self):
        return self.bench.copy() if self.journal else ('', None)

    def judged(self, text, copy):
        """The host as the judge sees it, and the store's tables; nothing is without entry or intent."""
        seen = Sight(text)
        if not self.journal:
            return seen, None
        judge = Judge(seen, Tables(copy), self.domid)
        if seen.xenstore or not self.at_end:
            check(not judge.violations(), 'without entry or intent', judge.violations())
        return seen, judge

    def status(self, sections, name, *allowed):
        status = int(sections.words(f'{name}-status')[0])
        check(status in allowed, f'xlfsck {name}: {status} is none of {allowed}', sections[name])
        return status, sections[name]

    def look(self, words, number, killed):
        """After a kill: what is amiss, and that it is named and mended."""
        copy, before = self.copied()
        again, after = self.copied()
        see = f'see {self.domid}\n'
        script = (f'{killed}case ${{effects_text%$\'\\n\'*}} in *device_del*) {self.let_go(words)} ;; esac\n'
                  f'section before\n{see}{copy}')
        if self.journal:
            script += f'fsck repair -p\n(( status & {LEFT | OUTSIDE} )) || {{ section after; {see}{again}}}\n'
        else:
            script += (f'fsck first -n\nif [ $status != 0 ]; then\nfsck repair -y\n(( status & {LEFT | OUTSIDE} )) || '
                       f'{{ fsck again -n; section after; {see}}}\nfi\n')
        sections = self.sections = Sections(self.bench.run(f'{script}\nsection end\n', seconds=900, status=None))
        effect = self.effect(words, number, sections)
        seen, judge = self.judged(sections['before'], before)
        found = amiss(seen, self.domid)
        try:
            if not self.journal:
                status, said = self.status(sections, 'first', 0, OUTSIDE, LEFT)
                check(bool(found) == bool(status), 'the judge', found, 'xlfsck -n', status, said)
            if 'repair' in sections:
                seen, judge = self.repaired(sections, after)
                check(not amiss(seen, self.domid), 'after the repair', amiss(seen, self.domid))
                check(not judge or not judge.tables.intents, 'open', judge and judge.tables.intents)
            self.do(([] if self.swept.done(seen) else [self.swept.command]) + list(self.swept.back))
        except (Fault, AssertionError, ValueError) as error:
            error.seen = (found, effect)
            raise
        return found, effect

    def repaired(self, sections, copy):
        """The host after xlfsck; what it leaves xl ends."""
        status, told = self.status(sections, 'repair', *REPAIRED_OR_TOLD)
        if status & (LEFT | OUTSIDE):
            self.end_by_xl(told)
            fsck = '' if self.journal else 'fsck again -n\n'
            more, copy = self.copied()
            sections = Sections(self.bench.run(f'{SCRIPT}{fsck}section after\nsee {self.domid}\n{more}', seconds=600))
        if not self.journal:
            _, again = self.status(sections, 'again', 0)
            check('; 0 found' in again, 'a second -n', again, 'after', told)
        return self.judged(sections['after'], copy)

    def end_by_xl(self, told):
        """What xlfsck leaves is libxl's alone to do: the hypervisor's part of a PCI device, a hotplug script."""
        if "'xl pci-detach -f' ends it" in told:
            self.do(['pci-detach -f {d} 00:10.0'])
        elif self.journal and 'xenstore has only a part of it' in told:  # taken out for a person alone
            self.status(Sections(self.bench.run(f'{SCRIPT}fsck person -y\n', seconds=400)), 'person', CORRECTED)
        else:
            check(any(words in told for words in LEFT_TO_XL), 'left', told)
            self.do([self.swept.command] if '-detach' in self.name else self.swept.back)

    def look_at_end(self, words, number, killed):
        """A creation or a destruction was killed: what is left is named, or nothing is; xl destroy ends it."""
        copy, before = self.copied()
        again, after = self.copied()
        repair = 'fsck first -p\n' if self.journal else 'fsck first -n\nfsck repair -y\n'
        of = 'd=$(newest)' if self.name == 'create' else f'd=$(newest); [ "$d" = {self.domid} ] || d='
        sections = self.sections = Sections(self.bench.run(
            # A domain without a configuration is looked at for as long as the limit is.
            f'limit=10\n{killed}{of}\nif [ "$d" ]; then section before $d; see $d\n{copy}\nfi\n{repair}'
            f'[ -z "$d" ] || [ "$(newest)" != $d ] || xl_does {self.xl} destroy $d\n'
            # libxl leaves the node of a device model that was not started.
            f'fsck over -n\n[ $status = 0 ] || {{ fsck rest -y; fsck silent -n; }}\n{again}\nsection end\n', seconds=900, status=None))
        effect = self.effect(words, number, sections)
        found = []
        if 'before' in sections:
            self.domid = int(sections.words('before')[0])
            found = amiss(Sight(sections['before']), self.domid)
            self.judged(sections['before'], before)
        self.domid = None
        try:
            status, said = self.status(sections, 'first', *REPAIRED_OR_TOLD)
            if not self.journal:
                check(not found or status, 'the judge', found, 'xlfsck -n', status, said)
                self.status(sections, 'repair', *REPAIRED_OR_TOLD)
            check('failed' not in sections, sections.texts.get('failed'))
            status, said = self.status(sections, 'over', 0, LEFT)
            if status:
                check('is left in xenstore of a domain that is over' in said, 'after xl destroy', said)
                self.status(sections, 'rest', CORRECTED)
                _, said = self.status(sections, 'silent', 0)
            check('; 0 found' in said, 'after xl destroy', said)
            check(not self.journal or not Tables(after).domains, 'the destroyed domain has a row')
        except (Fault, AssertionError, ValueError) as error:
            error.seen = (found, effect)
            raise
        return found, effect


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
                     patience=COUNTED_PATIENCE if arguments.counted else 1, pci=True) as rig:
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
