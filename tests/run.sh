#!/bin/sh
# Installs what is missing, builds with sanitizers, runs all tests; ctest's summary comes last.
set -eu
cd "$(dirname "$0")/.."
packages="g++ cmake ninja-build ccache pkg-config libsqlite3-dev nlohmann-json3-dev libspdlog-dev libcli11-dev libgtest-dev libbenchmark-dev qemu-system-x86"
missing=""
for p in $packages; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
    apt-get update
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
fi
cmake --preset asan
cmake --build build
ctest --test-dir build --output-on-failure -j2
