#!/bin/sh
# SPDX-License-Identifier: MIT
# Which lines and branches of store/ and recovery/ the tests reach, room by room:  coverage.sh [BUILD [FILTER]]
# Builds in BUILD (build-coverage) without a sanitizer; store/ and recovery/ alone count, and what they are compiled into:
# the programs that tests start count as well. Runs unit_tests, pure_tests, the cases of xlfsck and of xlfsck --libxl,
# restores, and the suites of integration_tests that FILTER names (gtest's pattern; by default those of the operations, the
# lifecycle and recovery).
# Prints a line a room, and why branches were not taken; BUILD/uncovered has each of them, with its reason (coverage.py).
set -eu
cd "$(dirname "$0")/.."
build=${1:-build-coverage}
filter=${2:-OperationTest.*:BatchTest.*:TruthTest.*:LifecycleTest.*:RecoveryTest.*:PrimariesTest.*:XenstoreTest.*:ClosingTest.*:UndoTest.*:PvDevicesTest.*:RegistrationTest.*:ExternalLooksTest.*:MoveTest.*:CdNodesTest.*:TrayTest.*:BridgeTest.*:RestoreTest.*}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O0 -g0" -DCMAKE_C_FLAGS_DEBUG="-O0 -g0" \
    -DXLSTORE_COVERAGE=ON -DXLSTORE_CRASH_POINTS=ON -DBUILD_TESTING=ON -DCMAKE_UNITY_BUILD=ON \
    -DCMAKE_UNITY_BUILD_BATCH_SIZE=24 >/dev/null
cmake --build "$build" --target xlstore xlfsck unit_tests pure_tests integration_tests scratch_xenstored quiet_xen
find "$build" -name '*.gcda' -delete
# A test that fails took its branches all the same; which one it was is said.
ran() {
    out=$build/coverage.$1.out
    shift
    "$@" >"$out" 2>&1 || { tail -n 15 "$out"; echo "coverage: failed: $*"; }
}
# Those on QEMU wait for it: beside the others.
ran integration "$build/bin/integration_tests" --gtest_brief=1 --gtest_filter="$filter" &
ran pure "$build/bin/pure_tests" --gtest_brief=1
ran unit "$build/bin/unit_tests" --gtest_brief=1
ran fsck python3 tests/fsck/run.py --bin "$build/bin"
ran host python3 tests/fsck/host_test.py --bin "$build/bin"
ran restore python3 tests/fsck/restore_test.py --bin "$build/bin"
wait
exec python3 tests/coverage.py "$build"
