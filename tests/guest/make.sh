#!/bin/sh
# SPDX-License-Identifier: MIT
# make.sh DIRECTORY: puts a small guest there, Debian's cloud kernel (vmlinuz) and an initramfs of
# busybox and tests/guest/init. The kernel is downloaded once and only unpacked: nothing is installed,
# so that no boot loader of this machine's is touched. Ends with 77 where it cannot be had.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
directory=$1
metapackage=linux-image-cloud-amd64

without_guest() {
    echo "guest: $1; the guest tests will be skipped" >&2
    exit 77
}

# The package that the metapackage stands for, downloaded into the current directory.
download_kernel() {
    package=$(apt-cache depends --important "$metapackage" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p')
    [ -n "$package" ] && apt-get -q -o APT::Sandbox::User=root download "$package"
}

for tool in apt-get dpkg-deb busybox; do
    command -v "$tool" >/dev/null || without_guest "there is no $tool here"
done
[ "$(dpkg --print-architecture)" = amd64 ] || without_guest "this is no amd64 machine"

mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
work=$(mktemp -d "$directory/making-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

if [ ! -e "$directory/vmlinuz" ]; then
    # Without lists, or with old ones that name a kernel which is gone from the archive.
    download_kernel || { [ "$(id -u)" -eq 0 ] && apt-get -q update && download_kernel; } ||
        without_guest "$metapackage cannot be downloaded from Debian's archive"
    dpkg-deb -x linux-image-*.deb kernel
    mv kernel/boot/vmlinuz-* "$directory/vmlinuz"
fi

mkdir -p root/bin root/proc root/sys root/tmp
cp "$(command -v busybox)" root/bin/busybox
cp "$here/init" root/init
chmod 755 root/init
(cd root && find . | busybox cpio -o -H newc) >initramfs 2>/dev/null
mv initramfs "$directory/initramfs"
