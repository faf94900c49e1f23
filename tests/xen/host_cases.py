# SPDX-License-Identifier: MIT
"""Cases of run.py about a host without a store: xlfsck --libxl beside stock xl, which is killed at its effects."""
import re

from cases import case

# Over 9p, page by page, a program of this size takes longer to read than to run; under TCG a look takes seconds.
LOOK = '[ -x /tmp/xlfsck ] || cp /share/xlfsck /tmp/xlfsck; /tmp/xlfsck --libxl --timeout 60 -n'
REPAIR = '/tmp/xlfsck --libxl --timeout 60 -y'
LEFT, BLIND, CORRECTED = 4, 8, 1


def checked(bench, command):
    """Its status, and what it said."""
    text = bench.run(f'{command}; echo "status $?"', seconds=300)
    said, status = re.fullmatch(r'(.*)status (\d+)\n?', text, re.S).groups()
    return int(status), said


def is_silent(bench, after):
    status, said = checked(bench, LOOK)
    assert status == 0 and '; 0 found' in said, f'after {after}: {status}: {said}'


def as_the_judge_sees(bench, domid, medium):
    """Libxl's file, QEMU and xenstore have one answer to what is in the drive."""
    seen = bench.see(domid)
    drive = seen.media['ide-5632']
    assert seen.disk('hdc') == drive, (seen.disk('hdc'), drive)
    params = seen.xenstore[f'/libxl/{domid}/device/vbd/5632/params']
    assert params.split(':', 1)[-1] == drive, (params, drive)
    assert drive in medium, drive


def killed_at_each(bench, command, back, step, judge):
    """Kills xl at every step-th effect of a command: named or clean, repaired, clean, and xl works on."""
    effects = bench.effects(command)
    bench.run(back)
    is_silent(bench, command)
    found = 0
    for number in range(1, len(effects) + 1, step):
        bench.effects(command, kill=number)
        looked, said = checked(bench, LOOK)
        assert looked in (0, LEFT), f'{effects[number - 1].text}: {looked}: {said}'
        repaired, told = checked(bench, REPAIR)
        assert repaired == (CORRECTED if looked else 0), f'{effects[number - 1].text}: {repaired}: {told}'
        again, last = checked(bench, LOOK)
        assert again == 0, f'{effects[number - 1].text}: {again}: {last}\nafter {told}'
        judge()
        bench.run(back)
        found += looked != 0
    return f'{len(effects)} effects, {found} of {len(range(1, len(effects) + 1, step))} kills left something'


@case(in_share=False)
def libxl_host_is_silent(bench):
    """After ordinary xl commands nothing is told.

    usbctrl-detach is none of them: this guest never lets go of a controller, and xl reports success and
    takes its nodes away all the same, which is to be told.
    """
    domid = bench.create('hvm')
    try:
        is_silent(bench, 'xl create')
        for command in ('cd-eject {} hdc', 'cd-insert {} hdc /srv/b.iso', 'usbctrl-attach {} version=2',
                        'vcpu-set --ignore-host {} 2', 'pause {}', 'unpause {}', 'rename {} other'):
            bench.run('xl ' + command.format(domid))
            is_silent(bench, command)
    finally:
        bench.destroy_all()
    is_silent(bench, 'xl destroy')


@case(in_share=False)
def libxl_cd_insert_killed(bench):
    """Killed in the middle of xl cd-insert: the drive is as QEMU has it, everywhere."""
    domid = bench.create('hvm')
    try:
        return killed_at_each(bench, f'xl cd-insert {domid} hdc /srv/b.iso', f'xl cd-insert {domid} hdc /srv/a.iso', 3,
                              lambda: as_the_judge_sees(bench, domid, ('', '/srv/a.iso', '/srv/b.iso')))
    finally:
        bench.destroy_all()
