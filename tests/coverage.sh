#!/bin/sh
# SPDX-License-Identifier: MIT
# Which lines and branches of store/ and recovery/ the tests reach, room by room:  coverage.sh [BUILD [FILTER]]
# Builds in BUILD (build-coverage) without a sanitizer, runs unit_tests, pure_tests and the suites of integration_tests that
# FILTER names (gtest's pattern; by default some that are quick), and prints a line a room, and the branches that nothing took
# in BUILD/uncovered. The programs that the tests start count as well: they are of the same build.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build-coverage}
filter=${2:-OperationTest.*:BatchTest.*:LifecycleTest.*:RecoveryTest.*:PrimariesTest.*:XenstoreTest.*:ClosingTest.*:UndoTest.*}
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG="-O0 -g0 --coverage" \
    -DCMAKE_C_FLAGS_DEBUG="-O0 -g0 --coverage" -DXLSTORE_CRASH_POINTS=ON -DBUILD_TESTING=ON -DCMAKE_UNITY_BUILD=ON >/dev/null
cmake --build "$build" --target xlstore xlfsck unit_tests pure_tests integration_tests scratch_xenstored
find "$build" -name '*.gcda' -delete
for program in unit_tests pure_tests; do
    "$build/bin/$program" --gtest_brief=1
done
"$build/bin/integration_tests" --gtest_brief=1 --gtest_filter="$filter"
exec python3 tests/coverage.py "$build"
