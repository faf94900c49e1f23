#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""image.py DIRECTORY: makes there, from Debian's packages alone, what rig.py boots:

    xen             the hypervisor
    vmlinux         Debian's kernel, unpacked here and not under TCG
    initramfs       the modules behind which dom0's root lies
    root.img        dom0's root: toolstack, device model, guests

The packages are downloaded once (some 120 MB, into DIRECTORY/debs) and only unpacked: nothing is
installed on this machine, and no step needs root. Ends with 77 where they cannot be had.
"""
import gzip
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# What the packages above depend on and dom0 has no use for.
LEFT_OUT = re.compile(r'adduser|apparmor|debconf|dpkg|grub|initramfs-tools|iso-codes|klibc|libklibc|libpython3|'
                      r'linux-base|passwd|perl|python3|sensible-utils|tar_|ucf|udev_')
DOM0_MODULES = '''virtio_blk virtio_pci ext4 crc32c_generic 9p 9pnet_virtio xenfs xen-evtchn xen-gntdev xen-gntalloc
    xen-privcmd xen-blkback xen-netback xen-pciback loop tun bridge xhci-pci usb-storage usbhid'''.split()
BEHIND_ROOT = 'virtio_pci virtio_blk crc32c_generic ext4'.split()
GUEST_MODULES = 'xen-blkfront xen-netfront'.split()
BULKY = ('doc', 'man', 'locale', 'info', 'lintian', 'bug', 'zoneinfo', 'i18n', 'bash-completion')


def without(why):
    print(f'xen: {why}; the tests on a real Xen are skipped', file=sys.stderr)
    sys.exit(77)


def download(directory):
    """The packages, and what they need, as if this machine had none."""
    debs = directory / 'debs'
    stamp = debs / 'complete'
    wanted = [line for line in (HERE / 'dom0/packages').read_text().split('\n') if line and line[0] != '#']
    if stamp.exists() and stamp.read_text().split() == wanted:
        return debs
    for tool in ('apt-get', 'dpkg-deb', 'mke2fs'):
        if not shutil.which(tool):
            without(f'there is no {tool} here')
    (debs / 'partial').mkdir(parents=True, exist_ok=True)
    (directory / 'none').write_text('')
    command = ['apt-get', '-q', '-y', '-o', f'Dir::State::status={directory}/none', '-o', f'Dir::Cache::archives={debs}',
               '-o', 'APT::Sandbox::User=root', '-o', 'Debug::NoLocking=1', '--no-install-recommends',
               '--download-only', 'install', *wanted]
    for again in (False, True):
        if again and (os.getuid() != 0 or subprocess.run(['apt-get', '-q', 'update']).returncode != 0):
            break
        if subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
            stamp.write_text('\n'.join(wanted))
            return debs
    return without('its packages cannot be downloaded from Debian\'s archive')


def unpack(debs, root):
    """All packages but the kernel into one tree, whose /bin and /lib are those of /usr."""
    for name in ('bin', 'sbin', 'lib', 'lib64'):
        (root / 'usr' / name).mkdir(parents=True)
        (root / name).symlink_to(f'usr/{name}')
    for deb in sorted(debs.glob('*.deb')):
        if LEFT_OUT.match(deb.name) or deb.name.startswith('linux-image-'):
            continue
        with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb], stdout=subprocess.PIPE) as data:
            subprocess.run(['tar', '-x', '--keep-directory-symlink', '--no-same-owner', '-C', root], stdin=data.stdout, check=True)
    for name in BULKY:
        shutil.rmtree(root / 'usr/share' / name, ignore_errors=True)


def kernel(debs, work):
    """The kernel's package, unpacked; its version, and where its modules are."""
    for deb in debs.glob('linux-image-[0-9]*.deb'):
        subprocess.run(['dpkg-deb', '-x', deb, work], check=True)
    modules = next((work / 'lib/modules').iterdir())
    return modules.name, modules


def with_dependencies(names, modules):
    """The modules' files in the order in which they are loaded. A module says itself what it depends on."""
    files = {path.stem.replace('-', '_'): path for path in modules.rglob('*.ko')}
    order = []

    def add(name):
        path = files.get(name.replace('-', '_'))
        if path is None or path in order:  # none: built in
            return
        found = re.search(rb'\0depends=([^\0]*)\0', path.read_bytes())
        for one in filter(None, (found.group(1).decode() if found else '').split(',')):
            add(one)
        order.append(path)

    for name in names:
        add(name)
    return order


def put_modules(names, modules, version, root):
    """Into dom0's tree, with the table that modprobe reads."""
    target = root / 'usr/lib/modules' / version
    target.mkdir(parents=True)
    for path in with_dependencies(names, modules):
        shutil.copy(path, target / path.name)
    for name in ('modules.builtin', 'modules.order', 'modules.builtin.modinfo'):
        if (modules / name).exists():
            shutil.copy(modules / name, target / name)
    loader = root / 'usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'
    subprocess.run([loader, '--argv0', 'depmod', '--library-path', root / 'usr/lib/x86_64-linux-gnu', root / 'usr/bin/kmod',
                    '-b', root / 'usr', version], check=True)


def initramfs(work, root, init, names, modules):
    """A compressed archive of busybox, `init` and modules."""
    tree = work / init
    for name in ('bin', 'dev', 'proc', 'sys', 'root', 'modules'):
        (tree / name).mkdir(parents=True)
    shutil.copy(root / 'usr/bin/busybox', tree / 'bin/busybox')
    shutil.copy(HERE / 'dom0' / init, tree / 'init')
    (tree / 'init').chmod(0o755)
    order = with_dependencies(names, modules)
    for path in order:
        shutil.copy(path, tree / 'modules' / path.name)
    (tree / 'modules/order').write_text(''.join(f'{path.name}\n' for path in order))
    archive = subprocess.run(f'cd {tree} && find . | bin/busybox cpio -o -H newc', shell=True, check=True,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return gzip.compress(archive, 6)


def unpacked_kernel(image):
    """The ELF file in a bzImage, which Debian compresses with xz."""
    data = image.read_bytes()
    begin = data.find(b'\xfd7zXZ\0')
    if begin < 0:
        without('the kernel is compressed in a way that is not known here')
    return lzma.LZMADecompressor().decompress(data[begin:])


def furnish(root, vmlinux, guest):
    """dom0's own files, and those of its guests."""
    for name in ('dev', 'proc', 'sys', 'run', 'tmp', 'share', 'root', 'srv', 'var/lib/xen', 'var/log/xen', 'etc/xen'):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, target in (('var/run', '/run'), ('var/lock', '/run/lock')):
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).symlink_to(target)
    applets = 'awk ps kill killall find xargs which free top hexdump ls ip hostname logger cpio'.split()
    for name in ('sh', 'modprobe', *applets):
        if not any(os.path.lexists(root / 'usr' / place / name) for place in ('bin', 'sbin')):
            (root / 'usr/bin' / name).symlink_to({'sh': 'dash', 'modprobe': 'kmod'}.get(name, 'busybox'))
    (root / 'etc/passwd').write_text('root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534::/:/bin/false\n')
    (root / 'etc/group').write_text('root:x:0:\nnogroup:x:65534:\n')
    (root / 'etc/hosts').write_text('127.0.0.1 localhost\n')
    shutil.copy(HERE / 'dom0/init', root / 'usr/sbin/dom0-init')
    (root / 'usr/sbin/dom0-init').chmod(0o755)
    shutil.copy(HERE / 'dom0/vif-connected', root / 'etc/xen/scripts/vif-connected')
    for config in (HERE / 'dom0').glob('*.cfg'):
        shutil.copy(config, root / 'srv' / config.name)
    (root / 'srv/vmlinux').write_bytes(vmlinux)
    (root / 'srv/initramfs').write_bytes(guest)
    # sti; hlt; and again: a guest that waits, and is found alive.
    # The other one lets go of each device that QEMU wants back: what port 0xae04 (ACPI's slots that are to go)
    # says is written to 0xae08 (eject), at each tick of the timer.
    waits = b'\xfb\xf4\xeb\xfd'
    yields = bytes.fromhex('fb f4 ba04ae 66ed 6685c0 74f5 ba08ae 66ef ebee')
    for name, code in (('waits', waits), ('yields', yields)):
        (root / f'srv/{name}.img').write_bytes(code.ljust(510, b'\0') + b'\x55\xaa' + bytes(1 << 20))
    for name in ('a.iso', 'b.iso', 'c.iso', 'pv.img', 'pvh.img', 'disk.img'):
        (root / 'srv' / name).write_bytes(name.encode().ljust(1 << 20, b'\0'))


def make(directory):
    done = directory / 'root.img'
    newest = max(path.stat().st_mtime for path in [*(HERE / 'dom0').iterdir(), pathlib.Path(__file__)])
    if done.exists() and done.stat().st_mtime > newest:
        return
    directory.mkdir(parents=True, exist_ok=True)
    debs = download(directory)
    work = directory / 'making'
    shutil.rmtree(work, ignore_errors=True)
    root = work / 'dom0'
    root.mkdir(parents=True)
    unpack(debs, root)
    version, modules = kernel(debs, work / 'kernel')
    put_modules(DOM0_MODULES, modules, version, root)
    vmlinux = unpacked_kernel(work / 'kernel/boot' / f'vmlinuz-{version}')
    (directory / 'vmlinux').write_bytes(vmlinux)
    (directory / 'initramfs').write_bytes(initramfs(work, root, 'initramfs-init', BEHIND_ROOT, modules))
    with gzip.open(next((root / 'boot').glob('xen-4*.gz'))) as packed:
        (directory / 'xen').write_bytes(packed.read())
    shutil.rmtree(root / 'boot')
    furnish(root, vmlinux, initramfs(work, root, 'guest-init', GUEST_MODULES, modules))
    subprocess.run(['ldconfig', '-r', root], check=True)
    image = directory / 'root.new'
    image.unlink(missing_ok=True)
    with open(image, 'wb') as file:
        file.truncate(1 << 30)
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', '-O', '^has_journal,^metadata_csum', '-E', 'root_owner=0:0',
                    '-d', root, image], check=True)
    image.rename(done)
    shutil.rmtree(work)


if __name__ == '__main__':
    make(pathlib.Path(sys.argv[1]).resolve())
