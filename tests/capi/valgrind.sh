#!/bin/sh
# SPDX-License-Identifier: MIT
# The C test under valgrind, as an embedder would run it: nothing is preloaded.   valgrind.sh BUILD
# BUILD has a library that is not sanitized: cmake --build build-asan --target plain makes build-asan/plain.
# Status 77: there is none, or it is older than its sources, or there is no valgrind.
set -eu
build=$1
root=$(dirname "$0")/../..
library=$build/lib/libxlstore.so
skip() {
    echo "skipped: $*"
    exit 77
}
command -v valgrind >/dev/null || skip "there is no valgrind here"
[ -e "$library" ] || skip "there is no $library: cmake --build build-asan --target plain makes one"
newer=$(find "$root/store" "$root/recovery" "$root/schema" -name '*.*' -type f ! -name '*.md' -newer "$library")
[ -z "$newer" ] || skip "$library is older than" $newer

work=$(mktemp -d)
here=$root/tests/capi
sources=$(find "$here" -name '*.c')
# shellcheck disable=SC2086  # a list
cc -std=c99 -g -I"$root/store/include" -I"$root/recovery/include" -o "$work/capi_test" $sources \
    -L"$build/lib" -lxlstore -Wl,-rpath,"$build/lib" -pthread
trap 'rm -r "$work"' EXIT
valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
    "$work/capi_test"
