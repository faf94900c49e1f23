#!/bin/sh
# SPDX-License-Identifier: MIT
# The two commands of the README in a root of Debian 12 that has nothing but apt: what is needed and in no
# list of tools/packages.sh is missing there.
#
#   sh tests/bare_root.sh [--root DIR] [--without FEATURE]… [CTEST-ARGUMENT…]
#
# --root DIR   where the root is; made by mmdebstrap if it is not there, and kept. Default: a temporary one.
# --without    pty: no devpts. mounts: the root is no mount point, so that `unshare --mount` fails. User
#              namespaces are never to be had in a chroot. Tests of what is missing are skipped by name.
# Arguments that follow are ctest's, e.g. -R embed: all is built, and those tests are run.
#
# Needs root, mmdebstrap and Debian's archive. Processes and mounts are in namespaces of their own and
# end with it. Exit status: that of the command that failed.
set -eu
tree=$(cd "$(dirname "$0")/.." && pwd)
root=
without=
while [ $# -gt 0 ]; do
    case $1 in
    --root) root=$2 && shift 2 ;;
    --without)
        case $2 in pty | mounts) without="$without $2" ;; *) echo "bare_root: no feature $2" >&2 && exit 2 ;; esac
        shift 2
        ;;
    *) break ;;
    esac
done
if [ "$(id -u)" -ne 0 ] || ! command -v mmdebstrap >/dev/null; then
    echo "bare_root: this needs root and mmdebstrap" >&2
    exit 77
fi
if [ -z "$root" ]; then
    root=$(mktemp -d /tmp/xlbare.XXXXXX)
    trap 'rm -rf --one-file-system "$root"' EXIT
    trap 'exit 1' HUP INT TERM
fi
if [ ! -e "$root/etc/debian_version" ]; then
    mmdebstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian
fi

# The tree as it is here, without what was built.
rm -rf --one-file-system "$root/xlstore"
mkdir "$root/xlstore"
tar -C "$tree" --exclude=./.git --exclude='./build*' -cf - . | tar -C "$root/xlstore" --no-same-owner -xf -
cp /etc/resolv.conf "$root/etc/resolv.conf"

# In the new namespaces, as $1 root, $2 features that are omitted, then ctest's arguments.
# shellcheck disable=SC2016  # read there
inside='
set -eu
root=$1
without=$2
shift 2
has() { case " $without " in *" $1 "*) return 1 ;; esac; }
if has mounts; then mount --bind "$root" "$root"; fi
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
if has pty; then
    mkdir "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
fi
exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    sh -euc "cd /xlstore; sh tools/quickstart.sh; sh tests/run.sh \"\$@\"" sh "$@"
'
status=0
unshare --mount --pid --fork --kill-child sh -c "$inside" sh "$root" "$without" "$@" </dev/null || status=$?
echo "bare_root: without:${without:- nothing}; status $status"
exit $status
