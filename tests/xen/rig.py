# SPDX-License-Identifier: MIT
"""A machine that runs the real Xen: Debian's hypervisor with a dom0, in QEMU's TCG.

    with Rig(directory, [files for dom0]) as rig:
        said = rig.run('xl list', seconds=60)

It has one virtual CPU, and no AVX: with two on a busy host, or with AVX, programs in dom0 crash at random
under TCG. The files lie in dom0 at /share. dom0's root is the same at each boot: what it writes is thrown away.
"""
import pathlib
import shutil
import subprocess
import time

# What TCG gets wrong for Xen: iretq under SMAP; mwait in Xen's idle loop (hence cpuidle=0, too); an intercepted
# rdtscp, for which Xen kills the guest. Where Xen saves registers with XSAVE (xsave=0 below), programs in dom0 find others
# in them at times while a guest runs: SQLite an "incomplete input", the dynamic linker an inconsistency.
CPU = 'EPYC,' + ','.join(f'-{flag}' for flag in (
    'smap monitor rdtscp rdseed sha-ni fxsr-opt misalignsse 3dnowprefetch osvw topoext nrip-save xsavec avx avx2 f16c '
    'fma').split())
BOOT_SECONDS = 300
# Time in the machine is a count of instructions: a busy host makes it slow, and nothing in it late, where libxl gives
# QEMU 10 s, and a script 40. On an idle host it takes longer than without.
COUNTED = ('-icount', 'shift=1,sleep=on')
COUNTED_PATIENCE = 20
# An IOMMU comes before all devices; without one no PCI device is given to a guest. 0000:00:10.0 is there to be given.
IOMMU = ('-device', 'amd-iommu')
GIVEN = ('-netdev', 'user,id=given,restrict=on', '-device', 'e1000e,netdev=given,bus=pcie.0,addr=0x10')


class Said:
    """What a script in dom0 printed, and its exit status (124: it took too long)."""

    def __init__(self, text, status):
        self.text = text
        self.status = status


class Rig:
    def __init__(self, image, directory, files=(), memory=1536, extra=(), patience=1, pci=False):
        self.image = pathlib.Path(image)
        self.directory = pathlib.Path(directory)
        self.share = self.directory / 'share'
        self.console = self.directory / 'console.log'
        self.jobs = self.copies = 0
        self.patience = patience  # how many times as long as usual the host may take; time is counted then
        self.share.mkdir(parents=True)
        (self.share / 'jobs').mkdir()
        for file in files:
            shutil.copy(file, self.share)
        self.qemu = subprocess.Popen(
            ['qemu-system-x86_64', '-name', 'xen', '-machine', 'q35', '-accel', 'tcg,tb-size=384',
             *(COUNTED if patience > 1 else ()), *(IOMMU if pci else ()),
             '-cpu', CPU, '-smp', '1', '-m', str(memory), '-nodefaults', '-no-user-config', '-display', 'none',
             '-no-reboot', '-kernel', self.image / 'xen', '-append',
             'dom0_mem=800M,max:800M com1=115200,8n1 console=com1 cpuidle=0 xsave=0 loglvl=warning noreboot',
             '-initrd', f'{self.image}/vmlinux console=hvc0 panic=5 loglevel=4 mitigations=off nokaslr,'
                        f'{self.image}/initramfs',
             '-drive', f'file={self.image}/root.img,if=none,id=root,format=raw,snapshot=on',
             '-device', 'virtio-blk-pci,drive=root',
             '-fsdev', f'local,id=share,path={self.share},security_model=none',
             '-device', 'virtio-9p-pci,fsdev=share,mount_tag=share',
             '-device', 'qemu-xhci,id=usb', '-device', 'usb-mouse,bus=usb.0,serial=MOUSE',
             '-serial', f'file:{self.console}', *(GIVEN if pci else ()), *extra],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            self._boot()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _wait(self, done, seconds, what):
        seconds *= self.patience
        deadline = time.monotonic() + seconds
        while not done():
            if self.qemu.poll() is not None:
                raise RuntimeError(f'the machine has ended: {self.qemu.stderr.read().decode()}{self._last_lines()}')
            if time.monotonic() > deadline:
                raise RuntimeError(f'{what} took longer than {seconds} s{self._last_lines()}')
            time.sleep(0.05)

    def _last_lines(self):
        text = self.console.read_text(errors='replace') if self.console.exists() else ''
        return '\n' + '\n'.join(text.split('\n')[-25:])

    def _boot(self):
        ready = self.share / 'ready'
        self._wait(ready.exists, BOOT_SECONDS, 'the boot')
        if ready.read_text().strip() != '0':
            raise RuntimeError(f'xl info failed in dom0{self._last_lines()}')

    def run(self, script, seconds=120):
        """Runs a bash script in dom0, in a process group of its own, as a child of dom0's first process."""
        self.jobs += 1
        job = self.share / 'jobs' / f'{self.jobs:04}'
        new = job.with_suffix('.writing')
        new.write_text(f'# {seconds}\n{script}\n')
        new.rename(job.with_suffix('.sh'))
        status = job.with_suffix('.status')
        self._wait(lambda: status.exists() and status.read_text().endswith('\n'), seconds + 60, f'a script of {seconds} s')
        return Said(job.with_suffix('.out').read_text(errors='replace'), int(status.read_text()))

    def stop(self):
        """Ends the machine; nothing of it is kept."""
        if self.qemu.poll() is None:
            self.qemu.kill()
        self.qemu.wait()
        self.qemu.stderr.close()
