# SPDX-License-Identifier: MIT
# For the scripts `damage` and `after`. XLSTORE_DIR is the store, ./s.

document() { # DOMID: a document of its own for each
    sed "s/8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01/8f2c7d10-4b6e-4a51-9d3c-0000000000$(printf %02d "$1")/; s/\"web01\"/\"d$1\"/" \
        "$ROOT/tools/examples/web01.json" >"doc$1.json"
}
qemu_command() { # DOMID: a guest that does not run, a CD drive hdc, a second monitor ./jDOMID
    echo "qemu-system-x86_64 -S -nodefaults -display none -machine pc,accel=tcg -m 32
        -drive if=none,readonly=on,id=ide-5632 -device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0
        -device usb-ehci,id=xenusb-0 -qmp unix:$DIR/j$1,server=on,wait=off"
}
create() { # DOMID
    document "$1"
    # shellcheck disable=SC2046  # words
    xlstore create "$1" "doc$1.json" -- $(qemu_command "$1")
}
xenstored() { # start | load <TREE | dump [PATH] | write PATH VALUE | rm PATH | … (tests/support/scratch_xenstored_main.cc)
    scratch_xenstored "$DIR/xs" "$@"
}
xen_domain() { # DOMID UUID: as Xen has one that a toolstack made
    printf '%s = "%s"\n' "/libxl/$1/type" pv "/local/domain/$1/name" "d$1" "/local/domain/$1/vm" "/vm/$2" \
        "/vm/$2/uuid" "$2" "/local/domain/$1/device" "" | xenstored load
    xenstored introduce "$1"
}
xen_device() { # DOMID KIND NUMBER BACK KEY=VALUE…: what libxl writes of a device, in its three places
    xen_note=/libxl/$1/device/$2/$3
    xen_front=/local/domain/$1/device/$2/$3
    xen_back=/local/domain/0/backend/$4/$1/$3
    shift 4
    {
        printf '%s = "%s"\n' "$xen_note/frontend" "$xen_front" "$xen_note/backend" "$xen_back" \
            "$xen_front/backend" "$xen_back" "$xen_front/state" 1 "$xen_back/frontend" "$xen_front" \
            "$xen_back/online" 1 "$xen_back/state" 2
        for pair in "$@"; do
            printf '%s = "%s"\n' "$xen_note/${pair%%=*}" "${pair#*=}" "$xen_back/${pair%%=*}" "${pair#*=}"
        done
    } | xenstored load
}
xen_script() { # BODY: the script of the nic of domain 7
    printf '#!/bin/sh\n%s\n' "$1" >vif
    chmod 755 vif
    xenstored write /libxl/7/device/vif/0/script "$DIR/vif"
}
pv_uuid() { # DOMID
    printf '0badcafe-2222-4333-8444-0000000000%02d' "$1"
}
pv_domain() { # DOMID [MEMBERS]: one without a QEMU, with xvda and a nic, in the store and in Xen
    cat >"pv$1.json" <<END
{"c_info":{"type":"pv","name":"d$1","uuid":"$(pv_uuid "$1")"},"b_info":{"max_vcpus":2,"type.pv":{}},
"disks":[{"pdev_path":"/srv/a.qcow2","vdev":"xvda","format":"qcow2","readwrite":1}],
"nics":[{"devid":0,"mac":"00:16:3e:00:00:01","bridge":"xenbr0","nictype":"vif"}]${2+,$2}}
END
    xlstore import "$1" "pv$1.json"
    xen_domain "$1" "$(pv_uuid "$1")"
    xen_device "$1" vbd 51712 qdisk params=qcow2:/srv/a.qcow2 dev=xvda type=qdisk mode=w device-type=disk
    xen_device "$1" vif 0 vif mac=00:16:3e:00:00:01 bridge=xenbr0 type=vif script=/etc/xen/scripts/vif-bridge \
        hotplug-status=connected
}
recorded() { # STATE: in ./s the domain as its document was, in xenstore and QEMU what a real host had (recorded.py)
    recorded="python3 $ROOT/tests/fsck/recorded.py"
    domid=$(sed -n 's/^"domid":\([0-9]*\).*/\1/p' "$1")
    xlstore init
    xenstored start
    $recorded tree "$1" | xenstored load
    xenstored introduce "$domid"
    if ! grep -q '^"document"' "$1"; then return 0; fi
    $recorded document "$1" >recorded.json
    xlstore import "$domid" recorded.json
    if ! grep -q '^"qmp"' "$1"; then return 0; fi
    $recorded serve "$1" "$DIR/q" </dev/null >recorded.log 2>&1 &
    for _ in $(seq 100); do
        if [ -S q ]; then break; fi
        sleep 0.05
    done
    $recorded register "$1" "$DIR/q"
}
killed_at() { # POINT:N COMMAND…
    status=0
    point=$1
    shift
    XLSTORE_CRASH_AT=$point "$@" || status=$?
    test "$status" -eq 137
}
qmp() { # DOMID COMMAND [ARGUMENTS]
    python3 "$ROOT/tests/fsck/qmp.py" "j$1" "$2" "${3-}"
}
tablet() { # ID
    echo "{\"key\":\"$1\",\"steps\":[{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"usb-tablet\",\"id\":\"$1\",\"bus\":\"xenusb-0.0\"}}]}"
}
pid_of() { # DOMID
    xlstore --json sql "SELECT qemu_pid AS n FROM domains WHERE domid = $1" | sed 's/[^0-9]//g'
}
plain_sql() { # SQL, as another program runs it: the guards of schema/0015_guards.sql refuse it
    sqlite3 s/store.db "$1"
}
by_hand() { # SQL past these guards, for damage that no program of ours makes
    python3 -c "
import sqlite3, sys
db = sqlite3.connect('s/store.db', isolation_level=None)
db.create_function('only_xlstore_changes_this', 0, lambda: 1)
db.executescript(sys.argv[1])
db.close()" "$1"
}
past_rules() { # SQL past the CHECKs and triggers too, as damage is
    python3 -c "
import sqlite3, sys
db = sqlite3.connect('s/store.db', isolation_level=None)
triggers = db.execute('SELECT name, sql FROM sqlite_schema WHERE type = \'trigger\'').fetchall()
for name, _ in triggers:
    db.execute('DROP TRIGGER ' + name)
db.execute('PRAGMA ignore_check_constraints = ON')
db.executescript(sys.argv[1])
for _, made in triggers:
    db.execute(made)
db.close()" "$1"
}
# The log copied into the database, and no process has it open: what is damaged then is all there is.
checkpointed() {
    python3 -c "
import sqlite3
db = sqlite3.connect('s/store.db')
db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
db.close()"
}
pages_of() { # TABLE OR INDEX: its pages, the root first
    sqlite3 "file:s/store.db?mode=ro" "SELECT pageno FROM dbstat WHERE name = '$1' ORDER BY path"
}
overwrite() { # PAGE…
    for page in "$@"; do
        dd if=/dev/urandom of=s/store.db bs=4096 count=1 seek=$((page - 1)) conv=notrunc status=none
    done
}
# A copy of the database as it is now, whole: ./copy.db.
copied() {
    (umask 077; sqlite3 -readonly s/store.db "VACUUM INTO 'copy.db'")
}
put_back() {
    rm -f s/store.db-wal s/store.db-shm
    cp copy.db s/store.db
}
# Written anew by another program, with pages of that size; no process has it open.
resized() { # BYTES
    sqlite3 s/store.db "PRAGMA journal_mode = DELETE; PRAGMA page_size = $1; VACUUM" >/dev/null
    test "$(sqlite3 s/store.db "PRAGMA page_size")" -eq "$1"
}
# The same length, in the first page of that table or index that has it; checkpointed before.
bytes_turned() { # TABLE FROM TO
    pages_of "$1" | python3 -c '
import sys
old, new = (word.encode() for word in sys.argv[1:])
assert len(old) == len(new)
data = open("s/store.db", "rb").read()
for page in map(int, sys.stdin):
    at = data.find(old, (page - 1) * 4096, page * 4096)
    if at >= 0:
        break
assert at >= 0, old
open("s/store.db", "wb").write(data[:at] + new + data[at + len(old):])' "$2" "$3"
}
# The number of a row of that table, in its leaf page; checkpointed before.
number_turned() { # TABLE FROM TO
    pages_of "$1" | python3 -c '
import sys
old, new = map(int, sys.argv[1:])
data = bytearray(open("s/store.db", "rb").read())
two = lambda at: int.from_bytes(data[at:at + 2], "big")
for page in map(int, sys.stdin):
    head = (page - 1) * 4096
    for cell in range(two(head + 3) if data[head] == 13 else 0):
        at = head + two(head + 8 + 2 * cell)
        while data[at] & 0x80:  # the length of the row; then its number, of one byte
            at += 1
        if data[at + 1] == old:
            data[at + 1] = new
            open("s/store.db", "wb").write(data)
            sys.exit()
sys.exit("no such row")' "$2" "$3"
}
# Domain or rank of the member with that key, as another number of one byte; checkpointed before.
member_turned() { # KEY COLUMN DOMAIN TO
    pages_of document_member | python3 -c '
import sys
key, column, domain, new = sys.argv[1].encode(), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
data = bytearray(open("s/store.db", "rb").read())
two = lambda at: int.from_bytes(data[at:at + 2], "big")
for page in map(int, sys.stdin):
    head = (page - 1) * 4096
    for cell in range(two(head + 3) if data[head] == 10 else 0):
        at = head + two(head + 8 + 2 * cell)
        while data[at] & 0x80:  # the length of the row; then that of its header, and a type a column
            at += 1
        row = at + 1 + data[at + 1]
        if data[at + 2:at + 4] == bytes([1, 1]) and data[row] == domain and data[row + 2:].startswith(key):
            data[row + (column == "rank")] = new
            open("s/store.db", "wb").write(data)
            sys.exit()
sys.exit("no such member")' "$@"
}
# Bytes of an index's page as the last commit wrote it in the log, which none of its checksums proves then; the same
# length, as printf has them.
index_turned_in_log() { # INDEX FROM TO
    sqlite3 "file:s/store.db?mode=ro" "SELECT pageno FROM dbstat WHERE name = '$1' AND pagetype = 'leaf'" | python3 -c '
import sys
old, new = (word.encode("latin-1").decode("unicode_escape").encode("latin-1") for word in sys.argv[1:])
assert len(old) == len(new)
pages = {int(page) for page in sys.stdin}
log = bytearray(open("s/store.db-wal", "rb").read())
frame = 24 + 4096
last = {}
for at in range(32, len(log) - frame + 1, frame):
    page = int.from_bytes(log[at:at + 4], "big")
    if log[at + 8:at + 16] == log[16:24] and page in pages:
        last[page] = at
found = [at for at in last.values() if log[at + 24:at + frame].count(old) == 1]
assert len(found) == 1, last
at = log.index(old, found[0])
log[at:at + len(new)] = new
open("s/store.db-wal", "wb").write(log)' "$2" "$3"
}
