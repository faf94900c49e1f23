# SPDX-License-Identifier: MIT
"""What sweep.py kills xl in the middle of, and how a judge tells the outcome."""
from sight import Sight

PCI = '00:10.0'
USB = 'hostbus=1 hostaddr=2'
# QEMU's own back end, and a short script: Xen's scripts start some 40 programs each.
DISK = 'format=raw,vdev=xvdb,access=rw,backendtype=qdisk,target=/srv/disk.img'


class Swept:
    """One command of xl's.

    `back`: from where it is done to where it was not; `before`: from a new domain to there; `done`: what a judge
    sees where it is done; `of_its_own`: each kill needs a new domain. {d} is the domain's number.
    """

    def __init__(self, command, done, back=(), before=(), of_its_own=False):
        self.command = command
        self.done = done
        self.back = back
        self.before = before
        self.of_its_own = of_its_own


def has(prefix):
    return lambda seen: any(name.startswith(prefix) for name in seen.devices)


def lacks(prefix):
    return lambda seen: not has(prefix)(seen)


def listed(kind, number):
    return lambda seen: number in seen.numbers(kind)


def unlisted(kind, number):
    return lambda seen: number not in seen.numbers(kind)


CTRL, CTRL_BACK = 'usbctrl-attach {d} version=3', 'usbctrl-detach {d} 0'
DEV, DEV_BACK = 'usbdev-attach {d} ' + USB, 'usbdev-detach {d} 0 1'
PASS, PASS_BACK = 'pci-attach {d} ' + PCI, 'pci-detach {d} ' + PCI
BLOCK, BLOCK_BACK = 'block-attach {d} ' + DISK, 'block-detach {d} xvdb'
NET, NET_BACK = 'network-attach {d} mac=00:16:3e:00:00:09 script=vif-connected', 'network-detach {d} 0'
VKB = 'vkb-attach {d} backend-type=qemu'
A_ISO = 'cd-insert {d} hdc /srv/a.iso'

SWEPT = {
    'cd-insert': Swept('cd-insert {d} hdc /srv/b.iso', lambda seen: seen.media.get('ide-5632') == '/srv/b.iso', [A_ISO]),
    'cd-eject': Swept('cd-eject {d} hdc', lambda seen: seen.media.get('ide-5632') == '', [A_ISO]),
    'usbctrl-attach': Swept(CTRL, has('xenusb-0'), [CTRL_BACK]),
    'usbctrl-detach': Swept(CTRL_BACK, lacks('xenusb-0'), [CTRL], [CTRL]),
    'usbdev-attach': Swept(DEV, has('xenusb-1-'), [DEV_BACK], [CTRL]),
    'usbdev-detach': Swept(DEV_BACK, lacks('xenusb-1-'), [DEV], [CTRL, DEV]),
    'pci-attach': Swept(PASS, has('pci-pt-'), [PASS_BACK]),
    'pci-detach': Swept(PASS_BACK, lacks('pci-pt-'), [PASS], [PASS]),
    'block-attach': Swept(BLOCK, listed('vbd', 51728), [BLOCK_BACK]),
    'block-detach': Swept(BLOCK_BACK, unlisted('vbd', 51728), [BLOCK], [BLOCK]),
    'network-attach': Swept(NET, listed('vif', 0), [NET_BACK]),
    'network-detach': Swept(NET_BACK, unlisted('vif', 0), [NET], [NET]),
    # A domain of its own for each kill. QEMU keeps its processors.
    'vcpu-set': Swept('vcpu-set --ignore-host {d} 3', lambda seen: len(seen.processors) == 3, of_its_own=True),
    # libxl does not detach a keyboard that no guest has connected to.
    'vkb-attach': Swept(VKB, listed('vkbd', 1), of_its_own=True),
    'create': Swept('create -q /srv/yields.cfg', lambda seen: False, of_its_own=True),
    'destroy': Swept('destroy {d}', lambda seen: False, of_its_own=True),
}


def drive_amiss(seen: Sight, domid):
    """The drive hdc: libxl's file, QEMU and xenstore have one answer."""
    drive, file = seen.media.get('ide-5632'), seen.disk('hdc')
    params = seen.xenstore.get(f'/libxl/{domid}/device/vbd/5632/params', '').split(':', 1)[-1]
    found = [] if drive is None or file == drive else [f'hdc: QEMU has {drive!r}, the file {file!r}']
    return found + ([] if drive is None or params == drive else [f'hdc: QEMU has {drive!r}, xenstore {params!r}'])


def compared(what, primary, file, *others):
    """What the primary has, the file has, and the others have exactly that. A name for each that differs."""
    found = [f'{what} {key}: not in the file' for key in sorted(primary - file)]
    for name, other in others:
        found += [f'{what} {key}: not in {name}' for key in sorted(primary - other)]
        found += [f'{what} {key}: in {name} alone' for key in sorted(other - primary)]
    return found


def amiss(seen: Sight, domid):
    """What a host without a store has amiss of a domain, by its primaries: QEMU, and xenstore for what is there."""
    if seen.document is None or seen.qemu is None:
        return ['there is no document, or no QEMU']
    document, libxl = seen.document, f'/libxl/{domid}/device'
    found = drive_amiss(seen, domid)
    named = [name.split('-') for name in seen.devices if name.startswith('xenusb-')]
    found += compared('USB controller', {int(parts[1]) for parts in named if len(parts) == 2},
                      {one['devid'] for one in document.get('usbctrls', [])}, ('xenstore', seen.controllers()))
    used = {value for path, value in seen.xenstore.items()
            if path.startswith(f'{libxl}/vusb/') and '/port/' in path and value}
    if (plugged := sum(len(parts) == 3 for parts in named)) != len(used):
        found.append(f'{plugged} USB devices are in QEMU, {len(used)} in xenstore')
    listed_devices = {(one['type.hostdev']['hostbus'], one['type.hostdev']['hostaddr'])
                      for one in document.get('usbdevs', [])}
    found += [f'USB device {parts}: not in the file' for parts in named
              if len(parts) == 3 and (int(parts[1]), int(parts[2])) not in listed_devices]
    online = {int(path.split('/')[-2]) for path, value in seen.xenstore.items()
              if path.endswith('/availability') and value == 'online'}
    if online != seen.processors:
        found.append(f'processors: QEMU has {sorted(seen.processors)}, xenstore {sorted(online)}')
    given = {name[len('pci-pt-'):].replace('_', ':') for name in seen.devices if name.startswith('pci-pt-')}
    found += compared('PCI device', given, {f"{one.get('bus', 0):02x}:{one.get('dev', 0):02x}.{one.get('func', 0):x}"
                                            for one in document.get('pcidevs', [])},
                      ('xenstore', {value[5:] for path, value in seen.xenstore.items()
                                    if f'/backend/pci/{domid}/0/dev-' in path}),
                      ("libxl's owners", {path.split('/')[3][5:].replace('-', ':', 1).replace('-', '.')
                                          for path, value in seen.owners.items() if value == str(domid)}))
    vbd = {'hda': 768, 'hdc': 5632, 'xvda': 51712, 'xvdb': 51728}
    for kind in ('vbd', 'vif', 'vkbd'):
        for number in sorted(seen.numbers(kind)):
            back = seen.back_end(kind, number)
            if not back:
                found.append(f'{kind} {number}: xenstore has no back end of it')
            elif back.get('online') == '0':
                found.append(f'{kind} {number}: its removal has not come to its end')
    found += compared('disk', seen.numbers('vbd'), {vbd[one['vdev']] for one in document['disks']})
    found += compared('nic', seen.numbers('vif'), {one['devid'] for one in document.get('nics', [])})
    backs = f'/local/domain/0/backend/vif/{domid}/'
    found += [f'nic {number}: its script has not come to its end' for number in sorted(seen.numbers('vif'))
              if seen.xenstore.get(f'{backs}{number}/hotplug-status') != 'connected']
    found += compared('vkb', seen.numbers('vkbd') - {0}, {one.get('devid') for one in document.get('vkbs', [])})
    return found
