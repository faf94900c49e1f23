#!/bin/sh
# SPDX-License-Identifier: MIT
# `xlstore create --scope` under a real systemd, which is process 1 of namespaces of its own, in a root in which
# systemd and the packages are installed: the QEMU is in a scope of its own, outlives the service that made it, and the
# scope ends with the domain. Called by tests/package/run.sh.
#
#   sh tests/package/scope.sh ROOT
#
# Exit status: 0 it holds; 77 it cannot be tried here: no cgroup2 can be mounted.
set -eu
root=$1
groups=$(mktemp -d /tmp/xlscope.XXXXXX)
if ! mount -t cgroup2 cgroup2 "$groups"; then
    rmdir "$groups"
    echo "package: no cgroup2 can be mounted here: create --scope was not tried" >&2
    exit 77
fi
ours=$groups/xlstore-test-$$
mkdir "$ours"
units=$root/etc/systemd/system
ended() {
    rm -f "$units/xltest-create.service" "$units/xltest.target" "$units/xltest-after.service" "$root/root/xltest"
    # Groups below, the deepest first; systemd has ended with its namespace.
    find "$ours" -depth -type d -exec rmdir {} + 2>/dev/null || true
    umount "$groups" && rmdir "$groups"
}
trap ended EXIT
trap 'exit 1' HUP INT TERM

cat >"$root/root/xltest" <<'SCRIPT'
#!/bin/sh
exec >>/root/xltest.said 2>&1
export XLSTORE_DIR=/root/xltest.store
case $1 in
create)
    rm -rf "$XLSTORE_DIR" && xlstore init
    echo '{"c_info":{"type":"hvm","name":"out5","uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9e05"},"b_info":{"type.hvm":{}}}' >/root/5.json
    xlstore create 5 /root/5.json --scope -- qemu-system-x86_64 -S -nodefaults -display none -machine pc,accel=tcg -m 32
    ;;
after)
    pid=$(xlstore --json show 5 | sed 's/.*"qemu_pid":\([0-9]*\).*/\1/')
    echo "the service: $(systemctl is-active xltest-create.service)"
    sed -n 's/^0::/the QEMU is in /p' "/proc/$pid/cgroup"
    kill -0 "$pid" && echo "the QEMU lives"
    xlstore destroy 5
    while systemctl list-units --type=scope --no-legend --no-pager | grep -q xlstore-5; do sleep 0.1; done
    echo "the scope is gone"
    systemctl --force exit
    ;;
esac
SCRIPT
chmod +x "$root/root/xltest"
printf '[Service]\nType=oneshot\nKillMode=control-group\nExecStart=/root/xltest create\n' >"$units/xltest-create.service"
printf '[Unit]\nRequires=xltest-create.service\nAfter=xltest-create.service dbus.socket\nWants=dbus.socket\n[Service]\nType=oneshot\nExecStart=/root/xltest after\n' \
    >"$units/xltest-after.service"
printf '[Unit]\nRequires=basic.target xltest-after.service\nAfter=basic.target\n' >"$units/xltest.target"
rm -f "$root/root/xltest.said"

# shellcheck disable=SC2016  # read there
inside='
set -eu
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
exec chroot "$root" env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit=xltest.target
'
# shellcheck disable=SC2016  # read there
timeout 300 sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$ours" \
    unshare --mount --pid --cgroup --uts --ipc --fork --kill-child sh -c "$inside" sh "$root" </dev/null >/dev/null || true
for line in "the service: inactive" "the QEMU is in /machine.slice/xlstore-5-" "the QEMU lives" "destroyed" "the scope is gone"; do
    if ! grep -qF "$line" "$root/root/xltest.said"; then
        cat "$root/root/xltest.said" >&2
        echo "package: FAILED: create --scope: not said: $line" >&2
        exit 1
    fi
done
echo "package: create --scope holds under $(chroot "$root" /usr/lib/systemd/systemd --version | head -n 1)"
