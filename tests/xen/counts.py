#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""counts.py [FILE...] [--write]: what sweep.py kept in FILE, counted; without FILE, of the run on record, kills.jsonl.

For each command: its effects as stock xl and under the journal, before how many of them xl was killed, what a judge saw
amiss of the host then, and after how many kills something was not as it has to be (Sweep.look says what has to be).
--write puts the numbers into the table of README.md, in its last column.
"""
import collections
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
README = HERE / 'README.md'
RECORD = HERE / 'kills.jsonl'
# How the judge's words (swept.py) are counted: without numbers and names.
WORDS = ((r"hdc: QEMU has .*, the file .*", 'drive and file differ'),
         (r'hdc: QEMU has .*, xenstore .*', 'drive and xenstore differ'),
         (r'^(USB controller|PCI device|disk|nic|vkb) \S+: ', r'\1 '),
         (r'\d+ USB devices are in QEMU, \d+ in xenstore', 'USB device in one of QEMU and xenstore'),
         (r"^USB device \[.*\]: ", 'USB device '), (r'^(vbd|vif|vkbd) \d+: ', r'\1: '),
         (r'processors: .*', 'processors differ from xenstore'))


class Count:
    """Of one command in one way."""

    def __init__(self):
        self.effects = 0
        self.kills = self.left = self.wrong = 0
        self.kinds = collections.Counter()

    def take(self, one):
        self.kills += 1
        self.left += bool(one['amiss'])
        self.wrong += bool(one['fault'])
        self.kinds.update({kind_of(text) for text in one['amiss']})


def kind_of(text):
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    return text


def read(paths):
    """By command and way; the last word on a kill counts, and none on one that came after the command's end."""
    counts, kills = collections.defaultdict(Count), {}
    for path in paths:
        for one in map(json.loads, pathlib.Path(path).read_text().splitlines()):
            if 'effects' in one:
                counts[one['command'], one['mode']].effects = one['effects']
            else:
                kills[one['command'], one['mode'], one['kill']] = one
    for (command, mode, number), one in kills.items():
        if one['effect'] != 'it had ended':
            counts[command, mode].take(one)
        else:  # it waits for a guest, and had fewer than when they were counted
            counts[command, mode].effects -= 1
    return counts


def total(counts, commands, mode):
    """Of several commands."""
    of = [counts[command, mode] for command in commands if (command, mode) in counts]
    return {name: sum(getattr(one, name) for one in of) for name in ('effects', 'kills', 'left', 'wrong')}


def told(counts, commands):
    """For the README."""
    stock, journal = (total(counts, commands, mode) for mode in ('stock', 'journal'))
    return (f"{stock['kills']} of {stock['effects']} stock ({stock['left']} left something), "
            f"{journal['kills']} of {journal['effects']} journal; {stock['wrong'] + journal['wrong']} wrong")


def write(counts):
    """Into the rows of the table; its last one is of all commands."""
    lines = README.read_text().split('\n')
    for at, line in enumerate(lines):
        if not line.startswith('| ') or ' kills ' not in line:
            continue
        cells = line.split(' | ')
        commands = re.findall(r'`([a-z-]+)`', cells[0]) or {command for command, _ in counts}
        cells[-1] = re.sub(r'kills .* wrong', f'kills {told(counts, commands)}', cells[-1])
        lines[at] = ' | '.join(cells)
    README.write_text('\n'.join(lines))


def show(counts):
    for (command, mode), one in counts.items():
        kinds = '; '.join(f'{kind} ({number})' for kind, number in one.kinds.most_common(5))
        print(f'{mode:8} {command:16} {one.kills:3} of {one.effects:3}, {one.left:3} left something, {one.wrong:2} wrong  {kinds}')
    for mode in ('stock', 'journal'):
        print(mode, total(counts, {command for command, _ in counts}, mode))


if __name__ == '__main__':
    all_of = read([word for word in sys.argv[1:] if word != '--write'] or [RECORD])
    show(all_of)
    if '--write' in sys.argv:
        write(all_of)
