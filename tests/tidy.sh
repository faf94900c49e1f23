#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-tidy over store/ and recovery/, by .clang-tidy: no build needed. Sources are taken together by folder, so that
# each header is read once a folder.
#
#   sh tests/tidy.sh [FOLDER…]        store/core store/operation …; all of them without arguments
set -u
cd "$(dirname "$0")/.." || exit 2
folders=$*
[ -n "$folders" ] || folders=$(find store recovery -name '*.cc' -exec dirname {} \; | sort -u)
scratch=$(mktemp -d) || exit 2
trap 'rm -rf "$scratch"' EXIT
cp .clang-tidy "$scratch"
status=0
for folder in $folders; do
    together=$scratch/$(echo "$folder" | tr / _).cc
    for source in "$folder"/*.cc; do
        echo "#include \"$source\""
    done >"$together"
    # Their anonymous namespaces are in headers only for as long as they are included here.
    clang-tidy --quiet --header-filter="$folder/" "$together" -- -std=c++20 -I. -Istore/include -Irecovery/include \
        -DXLSTORE_CRASH_POINTS -Wno-everything 2>"$scratch/counts" || status=1
    grep -E ' error' "$scratch/counts" | grep -v 'generated' >&2
done
exit $status
