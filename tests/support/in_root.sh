# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# Read by bare_root.sh and package/run.sh: a root of Debian 12, and a command in it, in namespaces of its own, which end
# with it.
#
#   ready_root NAME     checks what it needs (exit 77, saying so as NAME), makes $root if it is empty or has no Debian
#                       in it; a temporary one goes at the end
#   in_root FEATURES COMMAND [ARGUMENT]...    runs sh -euc COMMAND with its arguments in $root. FEATURES are left out:
#                       "pty" (no devpts), "mounts" (the root is no mount point)

ready_root() {
    if [ "$(id -u)" -ne 0 ] || ! command -v mmdebstrap >/dev/null; then
        echo "$1: this needs root and mmdebstrap" >&2
        exit 77
    fi
    if [ -z "$root" ]; then
        root=$(mktemp -d "/tmp/xl$1.XXXXXX")
        trap 'rm -rf --one-file-system "$root"' EXIT
        trap 'exit 1' HUP INT TERM
    fi
    if [ ! -e "$root/etc/debian_version" ]; then
        mmdebstrap --variant=minbase bookworm "$root" http://deb.debian.org/debian
    fi
    cp /etc/resolv.conf "$root/etc/resolv.conf"
}

# In the new namespaces, as $1 root, $2 features that are left out, $3 the command, then its arguments.
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
command=$1
shift
exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    sh -euc "$command" sh "$@"
'
in_root() {
    unshare --mount --pid --fork --kill-child sh -c "$inside" sh "$root" "$@" </dev/null
}
