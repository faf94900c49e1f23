#!/bin/sh
# SPDX-License-Identifier: MIT
# The Debian packages, built and tried in a fresh Debian 12: installed, used as a newcomer would, upgraded, removed and
# purged (tests/package/inside.sh); then, under a systemd, create --scope (tests/package/scope.sh). Not a part of tests/run.sh, because it takes an optimized build.
#
#   sh tests/package/run.sh [--packages DIR] [--root DIR]
#
# --packages DIR   packages that tools/package.sh made there; else they are built
# --root DIR       where the root is; made by mmdebstrap if it is not there, and kept. Default: a temporary one.
#
# Needs root, mmdebstrap and Debian's archive. Processes and mounts are in namespaces of their own and end with it.
# Exit status: 0 all held, and lintian has nothing to say; 77 it cannot be tried here.
set -eu
tree=$(cd "$(dirname "$0")/../.." && pwd)
packages=
root=
while [ $# -gt 0 ]; do
    case $1 in
    --packages) packages=$(cd "$2" && pwd) && shift 2 ;;
    --root) root=$2 && shift 2 ;;
    *) echo "usage: sh tests/package/run.sh [--packages DIR] [--root DIR]" >&2 && exit 2 ;;
    esac
done
# shellcheck source=tests/support/in_root.sh
. "$tree/tests/support/in_root.sh"
ready_root package
if [ -z "$packages" ]; then
    packages=$tree/build-package
    sh "$tree/tools/package.sh" --out "$packages"
fi
# As an installed Debian has them: what the packages were built against came from there.
cat >"$root/etc/apt/sources.list" <<'SOURCES'
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-updates main
deb http://deb.debian.org/debian-security bookworm-security main
SOURCES
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/quick"
rm -rf --one-file-system "$root/packages"
mkdir -p "$root/packages/now" "$root/packages/next"
cp "$packages"/*.deb "$root/packages/now"
rm -f "$root"/packages/now/*-dbgsym_*.deb
cp "$tree/tests/package/inside.sh" "$tree/tests/embed/minimal.c" "$tree/tools/examples/web01.json" \
    "$tree/tests/docs/examples_test.py" "$root/packages"

# The same packages with the next revision: what an upgrade runs is the maintainer scripts.
for package in "$root"/packages/now/*.deb; do
    unpacked=$(mktemp -d)
    dpkg-deb -R "$package" "$unpacked"
    version=$(sed -n 's/^Version: //p' "$unpacked/DEBIAN/control")
    sed -i "s/$version/$version+1/g" "$unpacked/DEBIAN/control"
    dpkg-deb --root-owner-group -Znone -b "$unpacked" "$root/packages/next" >/dev/null
    rm -rf "$unpacked"
done

status=0
in_root pty 'sh /packages/inside.sh' || status=$?
if [ "$status" -eq 0 ]; then
    in_root pty 'DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends systemd systemd-sysv dbus' || status=$?
fi
if [ "$status" -eq 0 ]; then
    sh "$tree/tests/package/scope.sh" "$root" || status=$?
    [ "$status" -ne 77 ] || status=0  # it has said that it could not be tried
fi
if [ "$status" -eq 0 ]; then echo "package: all held"; else echo "package: FAILED, status $status" >&2; fi
exit "$status"
