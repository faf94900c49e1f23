#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing, builds everything with sanitizers, fuzzes briefly, runs all tests, or those that
# arguments of ctest's name (-R embed). What ctest says of them comes last, and the exit status is ctest's
# unless a fuzzer fails before. `--xen`: the tests on a real Xen alone, all of them (tests/xen/README.md).
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
# shellcheck disable=SC2086  # lists
install_missing $packages_build $packages_story $packages_test $packages_fuzz $packages_fleet

# ccache compares what the compiler says that it read: without preprocessing each file once more for it.
export CCACHE_DEPEND=1
cmake --preset asan
if [ "${1:-}" = --xen ]; then
    shift
    cmake --build build-asan --target plain
    exec python3 tests/xen/run.py --bin build-asan/plain/bin --image build-asan/xen --whole "$@"
fi
cmake --build build-asan
# The store's takes longer to build than all of them, and is in ctest (fuzz.store).
sh tests/fuzz/run.sh 10 command_line document protocol userdata xenstore
# More at once than there are cores: a test waits for its QEMU a quarter of its time.
exec ctest --test-dir build-asan --output-on-failure -j8 "$@"
