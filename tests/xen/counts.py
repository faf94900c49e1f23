#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""counts.py FILE...: the table of README.md, of what sweep.py kept in FILE.

For each command: its effects as stock xl and under the journal, before how many of them xl was killed, what a judge saw
amiss of the host then, and after how many kills something was not as it has to be (Sweep.look says what has to be).
"""
import collections
import json
import pathlib
import re
import sys

BEGIN, END = '<!-- counts.py -->\n', '<!-- end -->\n'
# How the judge's words (swept.py) are counted: without numbers and names.
WORDS = ((r"hdc: QEMU has .*, the file .*", 'drive and file differ'), (r'hdc: QEMU has .*, xenstore .*', 'drive and xenstore differ'),
         (r'^(USB controller|PCI device|disk|nic|vkb) \S+: ', r'\1 '), (r'\d+ USB devices are in QEMU, \d+ in xenstore',
                                                                          'USB device in one of QEMU and xenstore'),
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
    for (command, mode, _), one in kills.items():
        if one['effect'] != 'it had ended':
            counts[command, mode].take(one)
    return counts


def table(counts):
    lines = ['| killed in | stock: kills of effects | left something | what the judge saw then | wrong | journal: kills of effects | wrong |',
             '| --- | --- | --- | --- | --- | --- | --- |']
    for command in dict.fromkeys(command for command, _ in counts):
        stock, journal = counts[command, 'stock'], counts[command, 'journal']
        kinds = '; '.join(f'{kind} ({number})' for kind, number in stock.kinds.most_common(3))
        lines.append(f'| `{command}` | {stock.kills} of {stock.effects} | {stock.left} | {kinds} | {stock.wrong} '
                     f'| {journal.kills} of {journal.effects} | {journal.wrong} |')
    total = [sum(getattr(one, name) for (_, of), one in counts.items() if of == mode)
             for mode in ('stock', 'journal') for name in ('kills', 'effects', 'left', 'wrong')]
    lines.append(f'| all | {total[0]} of {total[1]} | {total[2]} | | {total[3]} | {total[4]} of {total[5]} | {total[7]} |')
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    print(table(read(sys.argv[1:])), end='')
