#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing, builds everything with sanitizers, fuzzes briefly, runs all tests, or those that
# arguments of ctest's name (-R embed). What ctest says of them comes last, and the exit status is ctest's
# unless a fuzzer fails before. `--xen`: the tests on a real Xen alone, all of them (tests/xen/README.md).
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
# shellcheck disable=SC2086  # lists
install_missing $packages_build $packages_story $packages_test $packages_fuzz

# What runs in the dom0 of tests/xen, and under valgrind: not sanitized.
build_plain() {
    cmake --preset valgrind
    cmake --build build-valgrind --target xlstore_shared xlstore xlfsck xlstore_journal
}
if [ "${1:-}" = --xen ]; then
    shift
    build_plain
    exec python3 tests/xen/run.py --bin build-valgrind/bin --image build-valgrind/xen --whole "$@"
fi

cmake --preset asan
cmake --build build-asan
build_plain
sh tests/fuzz/run.sh
exec ctest --test-dir build-asan --output-on-failure -j4 "$@"
