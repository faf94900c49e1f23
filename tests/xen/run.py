#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run.py --bin DIRECTORY [--image DIRECTORY] [--whole] [--counted] [CASE...]: tests on a real Xen.

Boots Xen under TCG (rig.py), with the programs of DIRECTORY in dom0, and runs the cases of the share, or all
of them. Ends with 77 where Debian's packages cannot be had. The programs must not be sanitized.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import time

import host_cases  # noqa: F401: cases too
import image
from cases import CASES, Bench
from rig import COUNTED_PATIENCE, Rig

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = ('xlstore', 'xlfsck')
# The journal: where the build had libxen-dev.
JOURNAL = ('libxlstore-libxl.so', 'libxlstore.so.0.2')


def helpers(directory):
    """What runs in dom0 beside the programs, built here."""
    options = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O1']
    effects, ask = directory / 'effects.so', directory / 'ask'
    subprocess.run(['gcc', *options, '-shared', '-fPIC', '-o', effects, HERE / 'effects.c', '-ldl'], check=True)
    subprocess.run(['gcc', *options, '-o', ask, HERE / 'ask.c'], check=True)
    return [effects, ask]


def callers(directory, library):
    """Programs that call libxl, other than xl, or the store's library; where the build had libxen-dev."""
    libxl = ['-lxenlight', '-lxentoollog']
    store = [f'-I{HERE.parent.parent}/store/include', library]
    linked = {'goes_on': libxl, 'cost': libxl, 'opens': store, 'creates': ['-ldl'],
              'creates_driver': ['-DDRIVER', '-shared', '-fPIC', *libxl]}
    for name, with_what in linked.items():
        subprocess.run(['gcc', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O1', '-o', directory / name,
                        HERE / f'{name.removesuffix("_driver")}.c', *with_what], check=True)
    return [directory / name for name in linked]


def without_debugging(files, directory):
    """Copies without what a debugger reads: dom0 gets them over 9p, page by page."""
    for file in files:
        subprocess.run(['strip', '--strip-unneeded', '-o', directory / file.name, file], check=True)
    return [directory / file.name for file in files]


def has_journal(directory):
    return all((directory.parent / 'lib' / name).exists() for name in JOURNAL)


def rig_files(directory, scratch):
    """What a rig is given: the helpers, and the programs of a build."""
    programs, others = [directory / name for name in PROGRAMS], []
    if has_journal(directory):
        programs += [directory.parent / 'lib' / name for name in JOURNAL]
        others = callers(scratch, directory.parent / 'lib' / JOURNAL[1])
    return helpers(scratch) + without_debugging(programs, scratch) + others


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--bin', required=True, type=pathlib.Path)
    parser.add_argument('--image', type=pathlib.Path)
    parser.add_argument('--whole', action='store_true')
    parser.add_argument('--counted', action='store_true',
                        help='for a busy host, and for what a call costs: time in the machine is a count of instructions')
    parser.add_argument('cases', nargs='*')
    arguments = parser.parse_args()
    unknown = set(arguments.cases) - set(CASES)
    if unknown:
        parser.error(f'no case {", ".join(sorted(unknown))}; there are: {", ".join(CASES)}')
    missing = [name for name in PROGRAMS if not (arguments.bin / name).exists()]
    if missing:
        image.without(f'{arguments.bin} has no {", ".join(missing)} (tests/run.sh builds them there)')
    made = arguments.image or arguments.bin.parent / 'xen'
    image.make(made)
    wanted = arguments.cases or [name for name, case in CASES.items() if arguments.whole or case.in_share]
    failed = []
    with tempfile.TemporaryDirectory(prefix='xen-') as scratch:
        scratch = pathlib.Path(scratch)
        if not has_journal(arguments.bin):
            for name in [name for name in wanted if CASES[name].needs_journal]:
                wanted.remove(name)
                print(f'skipped {name}: {JOURNAL[0]} was not built (libxen-dev)', flush=True)
        files = rig_files(arguments.bin, scratch)
        begun = time.monotonic()
        pci = any(CASES[name].needs_pci for name in wanted)
        with Rig(made, scratch / 'rig', files, patience=COUNTED_PATIENCE if arguments.counted else 1, pci=pci) as rig:
            print(f'dom0 is up after {time.monotonic() - begun:.0f} s', flush=True)
            for name in wanted:
                begun = time.monotonic()
                try:
                    said = CASES[name](Bench(rig))
                    print(f'passed  {name}  {time.monotonic() - begun:.0f} s  {said or ""}', flush=True)
                except Exception as error:  # the next case is tried in any case
                    failed.append(name)
                    print(f'FAILED  {name}  {error}', flush=True)
    if failed:
        print('failed:', *failed)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
