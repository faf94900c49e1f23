#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Debian packages from this tree, into build-package/, and prints what lintian says of them.
#
#   sh tools/package.sh [--out DIR] [--revision N] [--built DIR]
#
# --out DIR      where the packages and the tree that they are built from go; what was there is removed
# --revision N   N of the version 0.1.0-N (default: 1)
# --built DIR    compile nothing: take what was built in DIR, to try the packaging. That build has to have the prefix /usr
#                and Debian's directory for libraries (-D CMAKE_INSTALL_PREFIX=/usr -D CMAKE_INSTALL_LIBDIR=lib/x86_64-linux-gnu)
#
# Installs what is missing (that alone needs root). DEB_BUILD_OPTIONS is dpkg-buildpackage's: "noopt" for packages to
# try, which are sooner built. Exit status: 0 built, and lintian has found no error and no warning.
set -eu
cd "$(dirname "$0")/.."
out=build-package
revision=1
while [ $# -gt 0 ]; do
    case $1 in
    --out) out=$2 && shift 2 ;;
    --revision) revision=$2 && shift 2 ;;
    --built) XLSTORE_BUILT=$(cd "$2" && pwd) && export XLSTORE_BUILT && shift 2 ;;
    *) echo "usage: sh tools/package.sh [--out DIR] [--revision N] [--built DIR]" >&2 && exit 2 ;;
    esac
done
if [ -e "$out" ] && [ ! -e "$out/xlstore-packages" ] && [ -n "$(ls -A "$out")" ]; then
    echo "package: $out was not made by this script, and is not empty: name another directory" >&2
    exit 2
fi
. tools/packages.sh
# shellcheck disable=SC2086  # lists
install_missing $packages_build $packages_package

rm -rf --one-file-system "$out"
mkdir -p "$out/tree"
: >"$out/xlstore-packages"
out=$(cd "$out" && pwd)
tar --exclude=./.git --exclude='./build*' -cf - . | tar -C "$out/tree" --no-same-owner -xf -

# CMake knows the version and the SONAME, and fills them into debian/.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
    export SOURCE_DATE_EPOCH
fi
cmake -S "$out/tree" -B "$out/configured" -G Ninja -DBUILD_TESTING=OFF "-DXLSTORE_PACKAGE_REVISION=$revision" >"$out/configure.log" ||
    { cat "$out/configure.log" >&2; exit 1; }
cp -R "$out/configured/debian" "$out/tree/debian"
chmod +x "$out/tree/debian/rules"
rm -rf "$out/configured"

# debhelper gives the build a home of its own, where the compiler's cache would be empty.
if command -v ccache >/dev/null; then
    CCACHE_DIR=$(ccache -k cache_dir)
    CCACHE_BASEDIR=$out/tree
    CCACHE_NOHASHDIR=1
    export CCACHE_DIR CCACHE_BASEDIR CCACHE_NOHASHDIR
fi
DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} parallel=$(nproc)"
export DEB_BUILD_OPTIONS
(cd "$out/tree" && dpkg-buildpackage --build=binary --no-sign)
rm -rf --one-file-system "$out/tree"

echo "package: in $out:"
(cd "$out" && ls -s --block-size=1K -- *.deb)
echo "package: lintian:"
# Not uploaded to Debian's archive: there is no bug to close.
lintian --allow-root --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs --info "$out"/*.changes && echo "package: lintian has nothing to say"
