# SPDX-License-Identifier: MIT
"""What an independent judge sees of a domain: QEMU on its second monitor (which libxl and the store leave
alone), xenstore, libxl's file. Neither xlstore nor libxl is asked."""
import json
import re

# A bash function for dom0: see DOMID (ask.c).
SEE = 'see() { /share/ask "$1"; }\n'


def media_of(block, sets):
    """What each drive holds, as libxl's documents name it; '' where it is empty."""
    names = {s['fdset-id']: [fd.get('opaque', '') for fd in s['fds']] for s in sets}
    media = {}
    for drive in block:
        file = drive.get('inserted', {}).get('file', '')
        found = re.fullmatch(r'/dev/fdset/(\d+)', file)
        if found:
            opaque = names.get(int(found.group(1)), [''])
            file = opaque[0].split(':', 1)[-1]
        media[drive['device']] = file
    return media


class Sight:
    """One look. `qemu` is None where QEMU does not answer, `document` where there is no readable file."""

    def __init__(self, text):
        parts = re.search(r'<qmp>\n(.*?)<xenstore>\n(.*?)<document>\n(.*?)<end>', text, re.S)
        if not parts:
            raise ValueError(f'dom0 could not look: {text[-2000:]}')
        replies = [json.loads(line) for line in parts.group(1).split('\n') if line.startswith('{')]
        self.qemu = [reply.get('return') for reply in replies] if len(replies) == 4 else None
        self.xenstore = dict(re.findall(r'^(/\S*) = "(.*)"$', parts.group(2), re.M))
        try:
            self.document = json.loads(parts.group(3))
        except ValueError:
            self.document = None

    @property
    def devices(self):
        """The ids of what QEMU was given while it ran: those of libxl's command line are drives, and QEMU makes
        back ends of xenstore's by itself."""
        return {child['name'] for child in self.qemu[0] if child['type'].startswith('child<')
                and child['type'] != 'child<xen-backend>' and not child['name'].startswith('ide-')} if self.qemu else set()

    @property
    def media(self):
        return media_of(self.qemu[1], self.qemu[2]) if self.qemu else {}

    @property
    def owners(self):
        """libxl's notes of the domains that PCI devices are given to."""
        return {path: value for path, value in self.xenstore.items()
                if path.startswith('/libxl/pci/') and path.endswith('/domid')}

    @property
    def processors(self):
        return {cpu['cpu-index'] for cpu in self.qemu[3]}

    def disk(self, vdev):
        """The path that libxl's file has for a disk."""
        return next(disk.get('pdev_path', '') for disk in self.document['disks'] if disk['vdev'] == vdev)

    def numbers(self, kind):
        """The numbers of the devices of a kind that libxl's own tree in xenstore has."""
        return {int(number) for path in self.xenstore for number in re.findall(rf'^/libxl/\d+/device/{kind}/(\d+)', path)}

    def back_end(self, kind, number):
        """The nodes of what libxl's own tree names as the back end of a device; empty: it is not there."""
        back = next((value for path, value in self.xenstore.items()
                     if re.fullmatch(rf'/libxl/\d+/device/{kind}/{number}/backend', path)), '?')
        return {path[len(back) + 1:]: value for path, value in self.xenstore.items() if path.startswith(f'{back}/')}

    def controllers(self):
        """The USB controllers of which xenstore has a note."""
        return self.numbers('vusb')
