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
# shellcheck source=tests/support/in_root.sh
. "$tree/tests/support/in_root.sh"
ready_root bare

# The tree as it is here, without what was built.
rm -rf --one-file-system "$root/xlstore"
mkdir "$root/xlstore"
tar -C "$tree" --exclude=./.git --exclude='./build*' -cf - . | tar -C "$root/xlstore" --no-same-owner -xf -

status=0
# shellcheck disable=SC2016  # read there
in_root "$without" 'cd /xlstore; sh tools/quickstart.sh; sh tests/run.sh "$@"' "$@" || status=$?
echo "bare_root: without:${without:- nothing}; status $status"
exit $status
