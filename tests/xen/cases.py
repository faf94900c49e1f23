# SPDX-License-Identifier: MIT
"""The cases of run.py. Each begins on a dom0 without guests, and ends so."""
import os
import re
import subprocess

from journal import PREPARE, WORDS, Judge, Tables
from sight import SEE, Sight

CASES = {}


def case(in_share, needs_journal=False, needs_pci=False):
    """A case, which the short run has or only --whole."""

    def add(function):
        function.in_share = in_share
        function.needs_journal = needs_journal
        function.needs_pci = needs_pci
        CASES[function.__name__] = function
        return function

    return add


class Effect:
    """One line of effects.c."""

    def __init__(self, line):
        number, self.text = line.split(' ', 1)
        self.number = int(number)


def watched(command, kill=0, preload=''):
    """A script that runs an xl command under effects.c, and prints its status and its effects."""
    when = f"EFFECTS_KILL_AFTER='{kill}'" if isinstance(kill, str) else f'EFFECTS_KILL={kill}'
    return ('effects=/tmp/effects.$BASHPID\n'  # xl's monitor of an earlier domain may write into that one's yet
            f'EFFECTS=$effects {when} LD_PRELOAD=/share/effects.so{preload} {command} >/tmp/said 2>&1\n'
            'echo "status $?"; effects_text=$(<$effects); echo "$effects_text"\n')


class Bench:
    """dom0, with words for what the cases do there."""

    def __init__(self, rig):
        self.rig = rig

    def run(self, script, seconds=120, status=0):
        """Runs it; `status` is what it has to end with, None: anything."""
        said = self.rig.run(SEE + WORDS + script, seconds)
        assert status is None or said.status == status, f'{script!r} ended with {said.status}: {said.text}'
        return said.text

    def create(self, config, by='xl'):
        """Creates the domain of /srv/CONFIG.cfg; its domid."""
        self.run(f'{by} create -q /srv/{config}.cfg')
        return int(self.run(f'xl domid {config}'))

    def destroy_all(self, by='xl'):
        """Under the journal (xlj) the store hears of it: a row that lives keeps its name from the next domain."""
        self.run(f"for domid in $(xl list | awk 'NR > 2 {{ print $2 }}'); do {by} destroy $domid; done")

    def last_domid(self):
        """The newest guest that the hypervisor has; None: it has none."""
        guests = [line.split() for line in self.run('xl list').split('\n')[2:] if line]
        return max((int(words[-5]) for words in guests), default=None)

    def see(self, domid):
        return Sight(self.run(f'see {domid}'))

    def tables(self):
        """The store's raw tables."""
        copy, directory = self.copy()
        self.run(copy)
        return Tables(directory)

    def copy(self):
        """A script that copies the store, and the directory of the copy."""
        self.rig.copies += 1
        directory = self.rig.share / 'copies' / str(self.rig.copies)
        directory.mkdir(parents=True)
        return f'cp /root/store/store.db* /share/copies/{self.rig.copies}\n', directory

    def judge(self, domid):
        """What the judge finds amiss; nothing is asked of libxl or of the store's programs."""
        copy, directory = self.copy()
        text = self.run(f'see {domid}\n{copy}')
        return Judge(Sight(text), Tables(directory), domid)

    def repair(self):
        """Recovery, as a timer runs it."""
        self.run('/root/j/xlfsck --store /root/store -p >/tmp/fsck 2>&1; [ $? -le 1 ] || { cat /tmp/fsck; false; }')

    def effects(self, command, kill=0, preload=''):
        """Runs an xl command and has its effects counted; with `kill` it is ended: a number, before that one; a
        text, before the one that follows the first that has it."""
        return self.effects_of(command, kill, self.run(watched(command, kill, preload), seconds=240, status=None))

    def effects_of(self, command, kill, text):
        """Of what `watched` printed."""
        told = re.search(r'^status (\d+)$', text, re.M)
        assert told, f'{command}: the script in dom0 came to no end: {text[-500:]}'
        status = int(told.group(1))
        seen = [Effect(line) for line in text.split('\n') if re.match(r'\d+ ', line)]
        # It may wait for a guest, and not each time as often: it had fewer effects, and was not killed.
        is_past_its_end = isinstance(kill, int) and kill > len(seen) and status == 0
        assert status == (137 if kill else 0) or is_past_its_end, \
            f'{command}: status {status}: {text} {self.run("cat /tmp/said")}'
        return seen


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
        bench.effects(f'xl cd-insert {domid} hdc /srv/b.iso', kill='blockdev-change-medium')
        seen = bench.see(domid)
        assert seen.media['ide-5632'] == '/srv/b.iso', seen.media
        assert seen.disk('hdc') == '/srv/a.iso', seen.document['disks']
    finally:
        bench.destroy_all()
    return f'{len(effects)} effects'


UNDER_JOURNAL = ':/root/j/libxlstore-libxl.so'


def clean(bench, domid, when):
    """The judge has nothing to say."""
    found = bench.judge(domid).violations()
    assert not found, f'{when}: {found}'


@case(in_share=True, needs_journal=True)
def journal_follows_xl(bench):
    """Ordinary commands of xl under the journal: QEMU, xenstore, libxl's file and the store agree after each."""
    bench.run(PREPARE)
    try:
        bench.run('xlj create -q /srv/hvm.cfg')
        domid = int(bench.run('xl domid hvm'))
        clean(bench, domid, 'create')
        commands = ('cd-insert {} hdc /srv/b.iso', 'usbctrl-attach {} version=3', 'usbdev-attach {} hostbus=1 hostaddr=2',
                    'usbdev-detach {} 0 1', 'vcpu-set --ignore-host {} 2', 'cd-eject {} hdc')
        for command in commands:
            bench.run('xlj ' + command.format(domid))
            clean(bench, domid, command)
        judge = bench.judge(domid)
        assert {'xenusb-0', 'cpu-1'} <= judge.seen.devices, judge.seen.devices
        assert judge.thing('disks', 'hdc')[1]['pdev_path'] == judge.seen.disk('hdc') == '', judge.seen.document
        assert not judge.tables.intents, judge.tables.intents
    finally:
        bench.run('for domid in $(xl list | awk \'NR > 2 { print $2 }\'); do xlj destroy $domid; done')
    assert not bench.tables().domains, 'the destroyed domain has a row'
    return f'{len(commands)} commands'


def killed_at(bench, domid, command, undo, points):
    """xl under the journal is killed before each of these effects (Bench.effects); the judge looks, recovery runs, the judge looks
    again, and xl goes on."""
    for point in points:
        bench.effects(f'xl {command}', kill=point, preload=UNDER_JOURNAL)
        clean(bench, domid, f'{command} killed at {point}')
        bench.repair()
        clean(bench, domid, f'{command} killed at {point}, then recovery')
        open_ones = bench.tables().intents
        assert not open_ones, f'{command} killed at {point}: open after recovery: {open_ones}'
        for word in undo:
            bench.run(f'xlj {word}', status=None)


@case(in_share=True, needs_journal=True)
def journal_cd_insert_killed(bench):
    """Killed where stock xl leaves a medium in QEMU that no record has: the intent has it."""
    bench.run(PREPARE)
    try:
        domid = bench.create('hvm', by='xlj')
        effects = bench.effects(f'xl cd-insert {domid} hdc /srv/b.iso', preload=UNDER_JOURNAL)
        clean(bench, domid, 'cd-insert')
        bench.run(f'xlj cd-insert {domid} hdc /srv/a.iso')
        killed_at(bench, domid, f'cd-insert {domid} hdc /srv/b.iso', [f'cd-insert {domid} hdc /srv/a.iso'],
                  ['blockdev-change-medium'])
        clean(bench, domid, 'cd-insert, once more')
    finally:
        bench.destroy_all()
    return f'{len(effects)} effects'


@case(in_share=False, needs_journal=True)
def journal_after_plain_xl_killed(bench):
    """What xl without the journal left in QEMU, and in no file: a call about it finds it, and goes on."""
    bench.run(PREPARE)
    try:
        domid = bench.create('hvm', by='xlj')
        bench.effects(f'xl vcpu-set --ignore-host {domid} 2', kill='device_add')
        assert 'cpu-1' in bench.see(domid).devices
        bench.run(f'xlj cd-insert {domid} hdc /srv/b.iso')
        bench.run(f'xlj vcpu-set --ignore-host {domid} 3')
        clean(bench, domid, 'vcpu-set')
        assert {'cpu-1', 'cpu-2'} <= bench.see(domid).devices
    finally:
        bench.destroy_all()


@case(in_share=False, needs_journal=True)
def journal_create_killed(bench):
    """Killed from the hypercall on to libxl's file: the domain has its row and entries all the while."""
    bench.run(PREPARE)
    points = ('hypercall domain_create', 'xenstore commits', 'query-chardev', 'rename userdata-n')
    try:
        for point in points:
            bench.effects('xl create -q /srv/hvm.cfg', kill=point, preload=UNDER_JOURNAL)
            domid = bench.last_domid()
            if domid is None:
                continue
            clean(bench, domid, f'create killed at {point}')
            bench.run(f'xlj destroy {domid}')
            assert not bench.tables().domains, f'create killed at {point}: destroyed, and it has a row'
    finally:
        bench.destroy_all()
    return f'{len(points)} kills'


# In dom0: a hotplug script that does not end before /tmp/go is there.
SLOW_SCRIPT = r'''
cat >/etc/xen/scripts/vif-waits <<'END'
#!/bin/sh
touch /tmp/begun
until [ -e /tmp/go ]; do sleep 0.1; done
[ "$1" = offline ] || xenstore-write "$XENBUS_PATH/hotplug-status" connected
END
chmod +x /etc/xen/scripts/vif-waits
goes_on() {
    rm -f /tmp/go
    LD_PRELOAD=/root/j/libxlstore-libxl.so /share/goes_on $1 $2 vif-waits '
        /root/j/xlfsck --store /root/store -p; echo "recovery $?"
        /root/j/xlstore --store /root/store locks; cp /root/store/store.db* /share/db/; touch /tmp/go' 2>&1
}
'''


# In dom0: a daemon that creates the domain `hvm`, with a nic whose script waits while xlfsck looks. (The daemon itself is not
# stopped: xenstored waits for ever for the rest of a request.)
CREATED_BY_DAEMON = r'''
touch /tmp/go
xl create -q /srv/hvm.cfg 'vif=["mac=00:16:3e:00:00:09,type=vif,script=vif-waits"]'
tr -d '\000' </var/lib/xen/userdata-d.$(xl domid hvm).*.libxl-json >/tmp/hvm.json
xl destroy hvm
rm -f /tmp/go /tmp/begun
LD_PRELOAD=/root/j/libxlstore-libxl.so /share/creates /share/creates_driver /tmp/hvm.json >/tmp/created 2>&1 &
daemon=$!
until [ -e /tmp/begun ] || ! kill -0 $daemon; do sleep 0.1; done
echo "daemon $daemon"
/root/j/xlfsck --libxl --timeout 60 -n -v
echo "looked $?"
touch /tmp/go
wait $daemon
echo "ended $?"
cat /tmp/created
'''


@case(in_share=False, needs_journal=True)
def journal_created_by_a_daemon(bench):
    """A daemon that loads libxenlight late, as libvirtd does: while it creates a domain xlfsck takes it for the creator, and
    the journal has the domain's row and entries."""
    bench.run(PREPARE)
    try:
        said = bench.run(SLOW_SCRIPT + CREATED_BY_DAEMON, seconds=300)
        daemon = re.search(r'^daemon (\d+)$', said, re.M).group(1)
        assert re.search(r'^looked [01]$', said, re.M) and 'ended 0' in said, said
        assert f'process {daemon} is creates, which uses libxenlight' in said, said
        domid = int(re.search(r'^created (\d+)$', said, re.M).group(1))
        clean(bench, domid, 'the creation')
        assert [row[2] for row in bench.tables().domains.values()] == ['running'], bench.tables().domains
    finally:
        bench.destroy_all('xlj')
    assert not bench.tables().domains, 'the destroyed domain has a row'


@case(in_share=False, needs_journal=True)
def journal_call_goes_on(bench):
    """A nic, by calls that go on after they returned: until libxl calls back the lock of its domain is held, so that no
    look takes the entry away; and then the entry is what became of it."""
    bench.run(PREPARE)
    try:
        domid = bench.create('hvm', by='xlj')

        def entry(tables):
            return next((state for (_, kind, key), (state, _) in tables.things.items() if (kind, key) == ('nics', '0')), None)

        for word, after in (('add', 'present'), ('remove', None)):
            said = bench.run(f'rm -f /share/db/*\n{SLOW_SCRIPT}\ngoes_on {word} {domid}')
            meanwhile = entry(Tables(bench.rig.share / 'db'))
            assert re.search(r'^returned 0$.*^recovery \d.*slow.*^over 0$', said, re.M | re.S), said
            assert meanwhile, f'{word}: no entry while it goes on: {said}'
            assert entry(bench.tables()) == after, (word, entry(bench.tables()), said)
            clean(bench, domid, word)
        said = bench.run(f'{SLOW_SCRIPT}\ngoes_on add-event {domid}')
        assert 'told by an event' in said, said
        said = bench.run(f'{SLOW_SCRIPT}\nexport XLSTORE_LIBXL=required; goes_on add-event {domid}')
        assert 'returned -3' in said, said
    finally:
        bench.destroy_all()


HOST_ROUNDS = 100


def opened_on_host(rig):
    """Microseconds of the processor's, which other work of the host is not in."""
    store = rig.directory / 'store'
    libraries = {**os.environ, 'LD_LIBRARY_PATH': str(rig.share)}
    subprocess.run([rig.share / 'xlstore', '--store', store, 'init'], check=True, env=libraries, stdout=subprocess.DEVNULL)
    said = subprocess.run([rig.share / 'opens', store, str(HOST_ROUNDS)], check=True, env=libraries, stdout=subprocess.PIPE,
                          text=True).stdout
    return int(said.split()[1])


@case(in_share=False, needs_journal=True)
def journal_cost(bench):
    """What the journal adds to a call, beside the plain call in one process (cost.c); XLSTORE_XEN_COST_ROUNDS rounds. What
    this is on a host of its own is told by opening a store, which is a part of it, here and there (opens.c). With --counted
    other work of this host is in none of it."""
    bench.run(PREPARE)
    rounds = os.environ.get('XLSTORE_XEN_COST_ROUNDS', '15')
    try:
        domid = bench.create('hvm', by='xlj')
        said = bench.run(f'cp /share/cost /tmp/; LD_PRELOAD=/root/j/libxlstore-libxl.so /tmp/cost {domid} {rounds}', seconds=600)
        found = re.findall(r'^(\w+) (\d+) (\d+)$', said, re.M)
        assert [one[0] for one in found] == ['cdrom_insert', 'rename'], said
        clean(bench, domid, 'the calls')
        in_dom0 = int(bench.run(f'LD_LIBRARY_PATH=/root/j /share/opens /root/store {rounds}').split()[0])
    finally:
        bench.destroy_all()
    on_host = opened_on_host(bench.rig)
    told = [f'opening a store: in dom0 {in_dom0 / 1000:.1f} ms, on the host {on_host / 1000:.1f} ms']
    for name, plain, journalled in found:
        added = int(journalled) - int(plain)
        told.append(f'{name}: plain {int(plain) / 1000:.1f} ms, journalled {int(journalled) / 1000:.1f} ms '
                    f'({int(journalled) / int(plain):.1f} times), adds {added * on_host / in_dom0 / 1000:.1f} ms of the host')
    return '; '.join(told)
