# SPDX-License-Identifier: MIT
"""The cases of run.py. Each begins on a dom0 without guests, and ends so."""
import re

from sight import SEE, Sight

CASES = {}


def case(in_share):
    """A case, which the short run has or only --whole."""

    def add(function):
        function.in_share = in_share
        CASES[function.__name__] = function
        return function

    return add


class Effect:
    """One line of effects.c."""

    def __init__(self, line):
        number, self.text = line.split(' ', 1)
        self.number = int(number)


class Bench:
    """dom0, with words for what the cases do there."""

    def __init__(self, rig):
        self.rig = rig

    def run(self, script, seconds=120, status=0):
        """Runs it; `status` is what it has to end with, None: anything."""
        said = self.rig.run(SEE + script, seconds)
        assert status is None or said.status == status, f'{script!r} ended with {said.status}: {said.text}'
        return said.text

    def create(self, config):
        """Creates the domain of /srv/CONFIG.cfg; its domid."""
        self.run(f'xl create -q /srv/{config}.cfg')
        return int(self.run(f'xl domid {config}'))

    def destroy_all(self):
        self.run("for domid in $(xl list | awk 'NR > 2 { print $2 }'); do xl destroy $domid; done")

    def see(self, domid):
        return Sight(self.run(f'see {domid}'))

    def effects(self, command, kill=0):
        """Runs an xl command and has its effects counted; with `kill` it is ended before that one."""
        text = self.run(f'rm -f /tmp/effects; EFFECTS=/tmp/effects EFFECTS_KILL={kill} '
                        f'LD_PRELOAD=/share/effects.so {command} >/tmp/said 2>&1; echo "status $?"; cat /tmp/effects',
                        status=None)
        status = int(re.search(r'^status (\d+)$', text, re.M).group(1))
        assert status == (137 if kill else 0), f'{command}: status {status}: {text} {self.run("cat /tmp/said")}'
        return [Effect(line) for line in text.split('\n') if re.match(r'\d+ ', line)]


def after(effects, text):
    """The number of the effect that follows the first one with this text."""
    return next(effect.number for effect in effects if text in effect.text) + 1


@case(in_share=True)
def stock_cd_insert_killed_after_qemu(bench):
    """Stock xl, killed between QEMU and its file: QEMU has b.iso, and Xen's records do not say so."""
    domid = bench.create('hvm')
    try:
        effects = bench.effects(f'xl cd-insert {domid} hdc /srv/b.iso')
        seen = bench.see(domid)
        assert seen.media['ide-5632'] == '/srv/b.iso', seen.media
        assert seen.disk('hdc') == '/srv/b.iso', seen.document['disks']
        bench.run(f'xl cd-insert {domid} hdc /srv/a.iso')
        bench.effects(f'xl cd-insert {domid} hdc /srv/b.iso', kill=after(effects, 'blockdev-change-medium'))
        seen = bench.see(domid)
        assert seen.media['ide-5632'] == '/srv/b.iso', seen.media
        assert seen.disk('hdc') == '/srv/a.iso', seen.document['disks']
    finally:
        bench.destroy_all()
    return f'{len(effects)} effects'
