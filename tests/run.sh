#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing, builds everything with sanitizers, runs all tests. What ctest says of
# them comes last, and the exit status is ctest's.
set -eu
cd "$(dirname "$0")/.."
. tools/packages.sh
# shellcheck disable=SC2086  # lists
install_missing $packages_build $packages_story $packages_test

cmake --preset asan
cmake --build build
exec ctest --test-dir build --output-on-failure -j2
