# SPDX-License-Identifier: MIT
"""Cases of run.py about a host without a store: xlfsck --libxl beside stock xl, which is killed at its effects."""
import json
import os
import re

from cases import case
from journal import PREPARE

# Over 9p, page by page, a program of this size takes longer to read than to run; under TCG a look takes seconds.
LOOK = '[ -x /tmp/xlfsck ] || cp /share/xlfsck /tmp/xlfsck; /tmp/xlfsck --libxl --timeout 60 -n'
REPAIR = '/tmp/xlfsck --libxl --timeout 60 -y'
CORRECTED, OUTSIDE, LEFT, BLIND = 1, 2, 4, 8


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


GIVE = 'lsmod | grep -q pciback || modprobe xen-pciback; xl pci-assignable-list | grep -q 00:10.0 || xl pci-assignable-add 00:10.0'


@case(in_share=False, needs_pci=True)
def libxl_pci(bench):
    """A PCI device comes and goes, and xl is killed right behind QEMU's part of it."""
    bench.run(GIVE)
    domid = bench.create('yields')
    attach, detach = f'pci-attach {domid} 00:10.0', f'pci-detach {domid} 00:10.0'
    try:
        for command in (attach, detach):
            bench.run('xl ' + command)
            is_silent(bench, command)
        bench.effects('xl ' + attach, kill='device_add')
        assert bench.see(domid).devices == {'pci-pt-00_10.0'}
        status, said = checked(bench, LOOK)
        assert status == LEFT and '00:10.0' in said, said
        status, said = checked(bench, REPAIR)
        assert status == CORRECTED, said
        is_silent(bench, 'the repair')
        bench.run('xl ' + detach)
        assert not bench.see(domid).devices
    finally:
        bench.destroy_all()


@case(in_share=False, needs_journal=True)
def bridge_takes_over(bench):
    """Domains without a device model, made by xl, come into the store; what xl attaches then follows."""
    bench.run(PREPARE)

    def bridge(word):
        text = bench.run(f'/root/j/xlstore --store /root/store --json bridge {word}')
        return json.loads(text.strip().split('\n')[-1])['domains']

    try:
        for config in ('pv', 'pvh'):
            bench.create(config)
        assert [one['in_store'] for one in bridge('status')] == [False, False]
        bridge('sync')
        for one in bridge('status'):
            assert one['in_store'] and not one['differences'] and not one['trouble'], one
        for config in ('pv', 'pvh'):
            bench.run(f'xl network-attach {config} mac=00:16:3e:00:00:09 script=vif-connected')
        for one in bridge('status'):
            found = [(d['thing'], d['right']) for d in one['differences']]
            assert found == [('nics/1', 'file')], one
        bridge('sync')
        assert not [one for one in bridge('status') if one['differences']]
    finally:
        bench.destroy_all()


NIC = 'mac=00:16:3e:00:00:09 script=vif-connected'
DISK = 'format=raw,vdev=xvdb,access=rw,backendtype=qdisk,target=/srv/disk.img'
ORDINARY = {
    'pv': ('network-attach {} ' + NIC, 'network-detach {} 1', 'vcpu-set --ignore-host {} 2', 'mem-set {} 150', 'pause {}',
           'unpause {}', 'rename {} other', 'rename {} pv'),
    'pvh': ('network-attach {} ' + NIC, 'network-detach {} 1', 'vcpu-set --ignore-host {} 2', 'pause {}', 'unpause {}',
            'rename {} other', 'rename {} pvh'),
    'yields': ('cd-eject {} hdc', 'cd-insert {} hdc /srv/b.iso', 'usbctrl-attach {} version=3',
               'usbdev-attach {} hostbus=1 hostaddr=2', 'usbdev-detach {} 0 1', 'usbctrl-detach {} 0',
               'pci-attach {} 00:10.0', 'pci-detach {} 00:10.0', 'block-attach {} ' + DISK, 'block-detach {} xvdb',
               'network-attach {} ' + NIC, 'network-detach {} 0', 'vcpu-set --ignore-host {} 2', 'vcpu-set {} 1', 'pause {}',
               'unpause {}', 'rename {} other', 'rename {} yields', 'save {} /tmp/saved', 'restore /tmp/saved'),
}


@case(in_share=False, needs_pci=True)
def libxl_day(bench):
    """Ordinary commands of xl, and nothing is told after any; XLSTORE_XEN_ROUNDS times."""
    bench.run(GIVE)
    commands = refused = 0
    for _ in range(int(os.environ.get('XLSTORE_XEN_ROUNDS', '1'))):
        for config, words in ORDINARY.items():
            try:
                bench.create(config)
                is_silent(bench, f'create {config}')
                for word in words:
                    name = next((one for one in ('other', config) if bench.run(f'xl domid {one}; true').strip().isdigit()),
                                config)
                    said = bench.run(f'xl {word.format(name)} >/tmp/said 2>&1; echo $?; cat /tmp/said', seconds=300)
                    # What this Xen refuses is no reason to tell anything either.
                    refused += not said.startswith('0')
                    is_silent(bench, f'{config}: {word}: {said}')
                    commands += 1
            finally:
                bench.destroy_all()
            is_silent(bench, f'destroy {config}')
            commands += 2
    return f'{commands} commands, {refused} of them refused by xl; 0 findings'
