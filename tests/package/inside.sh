#!/bin/sh
# SPDX-License-Identifier: MIT
# In the root that tests/package/run.sh made: what a person does with the packages in /packages/now, and sees.
set -eu
export DEBIAN_FRONTEND=noninteractive
failed() {
    echo "package: FAILED: $1" >&2
    exit 1
}
step() { printf '\n=== %s\n' "$1"; }
# $1 a file with what was said, $2 what has to be in it
says() { grep -qF -e "$2" "$1" || { cat "$1" >&2; failed "not said: $2"; }; }
what_it_holds() { xlstore export 7 && xlstore sql "SELECT * FROM things; SELECT id, uuid FROM domain"; }
our_units() { find /etc/systemd -name 'xlstore*' | sort; }

step "install"
apt-get -q update
apt-get -q install -y --no-install-recommends /packages/now/*.deb
names=$(for package in /packages/now/*.deb; do dpkg-deb -f "$package" Package; done)
for name in $names; do dpkg -L "$name" | sort; done >/tmp/installed
[ "$(our_units)" = /etc/systemd/system/multi-user.target.wants/xlstore-recover.service ] ||
    failed "enabled are: $(our_units)"
[ ! -e /var/lib/xlstore ] || failed "the installation made a store"

step "what a newcomer types"
xlstore list >/tmp/said 2>&1 && failed "list without a store ended well"
says /tmp/said "xlstore init"
xlstore demo >/tmp/said 2>&1 && failed "demo without QEMU ended well"
says /tmp/said "apt-get install"

step "manual"
apt-get -q install -y --no-install-recommends man-db
for page in xlstore xlfsck xlj xlstore-fleet libxlstore xlstore_attach xlstore.db xlstore-recover.service; do
    man -P cat "$page" >/tmp/said 2>/tmp/trouble || failed "no page $page"
    [ ! -s /tmp/trouble ] || failed "$page: $(cat /tmp/trouble)"
    [ "$(wc -l </tmp/said)" -gt 20 ] || failed "the page $page is short"
done

step "demo"
apt-get -q install -y --no-install-recommends qemu-system-x86 sqlite3 python3
useradd --create-home newcomer
(cd / && setpriv --reuid newcomer --regid newcomer --clear-groups env HOME=/home/newcomer PATH=/usr/bin:/bin xlstore demo) ||
    failed "demo, as a user without root's rights"
find / -xdev -name '__pycache__' -path '*xlstore/demo*' | grep -q . && failed "demo left compiled modules"

step "each example of the manual"
python3 /packages/examples_test.py --bin /usr/bin --bin /usr/sbin --man /usr/share/man --document /packages/web01.json ||
    failed "an example of the manual"

step "a program that embeds the library"
apt-get -q install -y --no-install-recommends gcc libc6-dev pkg-config
# shellcheck disable=SC2046  # words
gcc -std=c99 -Wall -Wextra -Werror -o /tmp/minimal /packages/minimal.c $(pkg-config --cflags --libs xlstore)
ldd /tmp/minimal | grep -q 'libxlstore.so.* => /' || failed "minimal is not linked with the installed library"
python3 -c 'import xlstore; print("python3-xlstore:", xlstore.__name__)'

step "a store, and an upgrade of the packages"
xlstore init
xlstore import 7 /packages/web01.json
what_it_holds >/tmp/before
apt-get -q install -y --no-install-recommends /packages/next/*.deb
what_it_holds >/tmp/after
cmp /tmp/before /tmp/after || failed "the store is another one after the upgrade"
[ "$(our_units)" = /etc/systemd/system/multi-user.target.wants/xlstore-recover.service ] || failed "enabled are: $(our_units)"

step "remove"
# shellcheck disable=SC2086  # a list
apt-get -q remove -y $names
while read -r path; do
    if [ -f "$path" ] && ! dpkg -S "$path" >/dev/null 2>&1; then failed "$path is left"; fi
done </tmp/installed
[ -e /var/lib/xlstore/store.db ] || failed "the store is gone after the removal"

step "purge"
# shellcheck disable=SC2086  # a list; apt knows those no more that have left nothing
dpkg --purge $names >/tmp/said 2>&1 || { cat /tmp/said; failed "purge"; }
says /tmp/said "/var/lib/xlstore is kept"
says /tmp/said "rm -r /var/lib/xlstore"
[ -e /var/lib/xlstore/store.db ] || failed "the store is gone after the purge"
[ -z "$(our_units)" ] || failed "left: $(our_units)"

step "installed again, the store is there"
apt-get -q install -y --no-install-recommends /packages/now/*.deb
what_it_holds >/tmp/after
cmp /tmp/before /tmp/after || failed "the store is another one after a purge"
xlfsck -n || failed "xlfsck finds fault with the store"
