#!/bin/sh
# SPDX-License-Identifier: MIT
# Which lines and branches of store/ and recovery/ the tests reach, room by room:  coverage.sh [BUILD [FILTER]]
# Builds in BUILD (build-coverage) without a sanitizer; store/ and recovery/ alone count, and what they are compiled into:
# the programs that tests start count as well. Runs unit_tests, pure_tests, capi_test, what tests/fsck has of xlfsck, of
# `xlfsck --libxl`, of restores and of damage, upgrades, what the programs print, and the suites of integration_tests that
# FILTER names (gtest's pattern; by default all but those below).
# Prints a line a room, and why branches were not taken; BUILD/uncovered has each of them, with its reason (coverage.py).
# The status is 1 where a branch has no reason.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build-coverage}
# Not those that kill (counts are written at the end of a process), that take long, or in which files may not grow, the
# files with the counts among them.
filter=${2:--*LimitsTest*:*TerminalTest*:*HangUpTest*:Points/*:Effects/*:Kills/*}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O0 -g0" -DCMAKE_C_FLAGS_DEBUG="-O0 -g0" \
    -DXLSTORE_COVERAGE=ON -DXLSTORE_CRASH_POINTS=ON -DBUILD_TESTING=ON -DCMAKE_UNITY_BUILD=ON \
    -DCMAKE_UNITY_BUILD_BATCH_SIZE=24 -DCMAKE_SHARED_LINKER_FLAGS=--coverage >/dev/null
cmake --build "$build" --target xlstore xlfsck unit_tests pure_tests integration_tests capi_test scratch_xenstored quiet_xen
find "$build" -name '*.gcda' -delete
build=$(cd "$build" && pwd)
bin=$build/bin
# A test that fails took its branches all the same; which one it was is said.
ran() {
    out=$build/coverage.$1.out
    shift
    "$@" >"$out" 2>&1 || { tail -n 15 "$out"; echo "coverage: failed: $*"; }
}
# Those on QEMU wait for it: beside the others.
ran integration "$bin/integration_tests" --gtest_brief=1 --gtest_filter="$filter" &
ran pure "$bin/pure_tests" --gtest_brief=1
ran unit "$bin/unit_tests" --gtest_brief=1
ran capi "$bin/capi_test"
ran fsck python3 tests/fsck/run.py --bin "$bin"
for name in host restore host_undo host_input bridge surroundings; do
    ran "$name" python3 "tests/fsck/${name}_test.py" --bin "$bin"
done
ran xenstore_input python3 tests/fsck/xenstore_input_test.py --bin "$bin" --quiet-xen "$build/tests/libquiet_xen.so"
ran salvage python3 tests/fsck/salvage_test.py --bin "$bin" --share 1/4
ran damage python3 tests/fsck/damage.py --bin "$bin" --count 24
# Not those in which files may not grow, here either, nor what is killed.
names=$(sed -n 's/^    def \(test_[a-z_]*\).*/Upgrade.\1/p' tests/upgrade/upgrade_test.py |
    grep -v 'without_room\|full_disk\|killed_anywhere')
# shellcheck disable=SC2086
ran upgrade python3 tests/upgrade/upgrade_test.py --bin "$bin" $names
ran output python3 tests/docs/output_test.py --bin "$bin"
wait
exec python3 tests/coverage.py "$build"
