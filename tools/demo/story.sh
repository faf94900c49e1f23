#!/bin/sh
# SPDX-License-Identifier: MIT
# xlstore's main job on a real QEMU, in a few seconds: a toolstack is killed in the middle of a hotplug, the store still
# accounts for everything that QEMU has, and xlfsck settles it. `xlstore demo` runs it, and tools/quickstart.sh.
#
#   sh story.sh DIRECTORY[:DIRECTORY]     where xlstore and xlfsck are
#
# Needs qemu-system-x86_64, sqlite3 and python3. It works in a temporary directory of its own, removes it, and leaves
# nothing running. What stands under "the store" is what sqlite3 read at that moment, what stands under "QEMU" is what QMP
# answered. If they do not tell the story, the script says what is wrong and ends with status 1.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PATH=$1:$PATH
document=$here/web01.json
if [ ! -e "$document" ]; then document=${here%/*}/examples/web01.json; fi  # the source tree
missing=""
for tool in xlstore xlfsck qemu-system-x86_64 sqlite3 python3; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "demo: not on this host:$missing; nothing was done" >&2
    echo "demo: on Debian, as root: apt-get install --no-install-recommends qemu-system-x86 sqlite3 python3; then again" >&2
    exit 1
fi
dir=$(mktemp -d /tmp/xl.XXXXXX)  # short: the path of a socket may have 107 bytes
domid=7
XLSTORE_DIR=$dir/store
export PATH XLSTORE_DIR
unset XLSTORE_CRASH_AT

# ---- what is left at the end: nothing ----

clean_up() {
    trap - EXIT HUP INT TERM
    # Our QEMU alone has this directory's name in its command line.
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe" 2>/dev/null) in
        */qemu-system-*) ;;
        *) continue ;;
        esac
        if tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qF "$dir/"; then
            kill -KILL "${process#/proc/}" 2>/dev/null || true
        fi
    done
    rm -rf "$dir"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# ---- showing and checking ----

say() { printf '%s\n' "$@"; }
step() { printf '\n=== %s\n' "$1"; }
show_command() { printf '\n$ %s\n' "$*" | fold -s -w 100 | sed '3,$s/^/    /'; }

broken() {
    printf '\ndemo: THE STORY DOES NOT HOLD: %s\n' "$1" >&2
    exit 1
}

sql() { sqlite3 -readonly -cmd '.timeout 2000' "$XLSTORE_DIR/store.db" "$1"; }

# Runs a command, shows it and what it prints; $1 is the status that it has to end with.
run() {
    wanted=$1
    shift
    show_command "$@"
    status=0
    said=$("$@" 2>&1) || status=$?
    if [ -n "$said" ]; then say "$said" | sed 's/^/  /'; fi
    ended "$*"
}

# The same, with the process killed by SIGKILL: $1 says when, as kill_at.py takes it, in words without blanks.
run_killed() {
    when=$1
    shift
    wanted=137  # 128 + SIGKILL
    show_command "$@"
    status=0
    # shellcheck disable=SC2086  # its words
    said=$(python3 -sEB "$here/kill_at.py" $when -- "$@" 2>&1) || status=$?
    if [ "$status" -eq "$wanted" ]; then say "  killed by SIGKILL"; else say "$said" | sed 's/^/  /'; fi
    ended "$*"
}

ended() {
    if [ "$status" -eq "$wanted" ]; then return 0; fi
    look
    broken "'$1' ended with status $status, not $wanted"
}

# What the store says of one thing, a line each.
ask_store() {
    sql "SELECT 'entry ' || class || '/' || key || ' is ' || state FROM things
             WHERE domid = $domid AND class = '$1' AND key = '$2'
         UNION ALL SELECT 'no entry $1/$2' WHERE NOT EXISTS (
             SELECT 1 FROM things WHERE domid = $domid AND class = '$1' AND key = '$2')
         UNION ALL SELECT '  image ' || json_extract(json, '\$.pdev_path') FROM things
             WHERE domid = $domid AND class = '$1' AND key = '$2' AND class = 'disks'
         UNION ALL SELECT 'intent ' || intent || ' (' || operation || ') is ' || waits_for
             FROM pending_intents WHERE domid = $domid AND class = '$1' AND key = '$2'
         UNION ALL SELECT '  from ' || json_extract(image_before, '\$.pdev_path') FROM pending_intents
             WHERE domid = $domid AND class = '$1' AND key = '$2' AND class = 'disks'
         UNION ALL SELECT '  to   ' || json_extract(image_after, '\$.pdev_path') FROM pending_intents
             WHERE domid = $domid AND class = '$1' AND key = '$2' AND class = 'disks'
         UNION ALL SELECT 'no open intent' WHERE NOT EXISTS (
             SELECT 1 FROM pending_intents WHERE domid = $domid AND class = '$1' AND key = '$2')"
}

# The subject of the story at this point: class and key, and what to ask QEMU for.
about=""

# Both, side by side; then the invariant: what QEMU has is in an entry or in an open intent.
look() {
    if [ -z "$about" ]; then return 0; fi
    # shellcheck disable=SC2086  # four words
    set -- $about
    ask_store "$1" "$2" >"$dir/store.said" || broken "the store cannot be read"
    python3 -sEB "$here/ask_qemu.py" "$dir/judge" "$3" "$4" >"$dir/qemu.said" || broken "QEMU does not answer"
    say ""
    {
        printf 'the store (sqlite3)\tQEMU (QMP)\n'
        paste "$dir/store.said" "$dir/qemu.said"
    } | awk -F '\t' '{printf "  | %-48s | %s\n", $1, $2}'
    has=$(cat "$dir/qemu.said")
    case $has in
    *" holds nothing" | "no device "*) return 0 ;;
    *" holds "*) grep -qF " ${has##* holds }" "$dir/store.said" ||
        broken "QEMU has ${has##* holds }, and no entry and no open intent has it" ;;
    *) grep -q '^entry ' "$dir/store.said" || broken "QEMU has $4, and no entry has it" ;;
    esac
}

store_says() { grep -qF -e "$1" "$dir/store.said" || broken "the store does not say '$1'"; }
qemu_says() { grep -qF -e "$1" "$dir/qemu.said" || broken "QEMU does not say '$1'"; }

# What the last closed intent on the thing became, in the store's words.
show_history() {
    # shellcheck disable=SC2086
    set -- $about
    line=$(sql "SELECT 'history: intent ' || intent || ' ' || outcome || ', closed by ' || program
                    || ': ' || evidence FROM history
                WHERE class = '$1' AND key = '$2' AND intent IS NOT NULL ORDER BY id DESC LIMIT 1")
    say "  | $line"
}

# ---- the story ----

for image in debian-12 rescue; do truncate -s 1M "$dir/$image.iso"; done

step "A store, and a real QEMU as domain $domid with the document that libxl would keep of it"
run 0 xlstore init
# As libxl starts it, but on emulated hardware, without Xen below. The second monitor is ours to look.
run 0 xlstore create $domid "$document" -- qemu-system-x86_64 -nodefaults -display none \
    -machine pc,accel=tcg -m 64 -name web01 \
    -netdev user,id=net0,restrict=on -device e1000,id=nic0,netdev=net0,mac=00:16:3e:1a:2b:3c \
    -drive if=none,readonly=on,id=ide-5632 \
    -device ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0 -device usb-ehci,id=xenusb-0 \
    -chardev "socket,id=judge,path=$dir/judge,server=on,wait=off" -mon chardev=judge,mode=control
qemu=$(sql "SELECT qemu_pid FROM domains WHERE domid = $domid")
run 0 xlstore list

step "A CD is inserted"
about="disks hdc medium ide-5632"
run 0 xlstore insert web01 hdc "$dir/debian-12.iso"
look
store_says "entry disks/hdc is present"
store_says "  image $dir/debian-12.iso"
store_says "no open intent"
qemu_says "holds $dir/debian-12.iso"

step "A USB tablet is attached, by a ready plan (class qemu)"
about="qemu tablet device tablet"
usb() {
    printf '{"key": "%s", "steps": [{"execute": "device_add", "arguments": ' "$1"
    printf '{"id": "%s", "driver": "usb-%s", "bus": "xenusb-0.0"}}]}' "$1" "$2"
}
run 0 xlstore attach web01 qemu "$(usb tablet tablet)"
look
store_says "entry qemu/tablet is present"
qemu_says "device tablet is a usb-tablet"

step "The toolstack is killed after QEMU has acted, before the store has settled"
say "This process opened its session, committed the intent, and QEMU did everything it was asked. It dies" \
    "in the commit that would say so."
about="disks hdc medium ide-5632"
run_killed "acted $dir/judge medium ide-5632 $dir/rescue.iso" xlstore insert web01 hdc "$dir/rescue.iso"
look
qemu_says "holds $dir/rescue.iso"
store_says "is open"
store_says "  from $dir/debian-12.iso"
store_says "  to   $dir/rescue.iso"
say "" "QEMU has the new CD, and the open intent, committed before QEMU heard of it, names it."

step "Recovery looks into QEMU and settles it"
run 1 xlfsck -p
look
store_says "entry disks/hdc is present"
store_says "  image $dir/rescue.iso"
store_says "no open intent"
qemu_says "holds $dir/rescue.iso"
show_history

step "Killed the other way: the intent is committed, QEMU has not heard of it yet"
about="qemu keyboard device keyboard"
run_killed "promised $XLSTORE_DIR/store.db qemu keyboard" xlstore attach web01 qemu "$(usb keyboard kbd)"
look
store_says "entry qemu/keyboard is adding"
store_says "(add) is open"
qemu_says "no device keyboard"
run 1 xlfsck -p
look
store_says "no entry qemu/keyboard"
store_says "no open intent"
qemu_says "no device keyboard"
show_history
run 0 xlfsck -n

step "The document, as libxl would have written it"
say "" "\$ xlstore export web01     (its disks)"
xlstore export web01 >"$dir/export.json"
sed -n '/^    "disks"/,/^    \]/p' "$dir/export.json" >"$dir/disks.said"
sed 's/^/  /' "$dir/disks.said"
grep -qF "\"pdev_path\": \"$dir/rescue.iso\"" "$dir/disks.said" || broken "the document has not the CD that QEMU has"

step "Destroyed: QEMU is dead before the document goes"
about=""
run 0 xlstore destroy web01
if [ -n "$(tr -d '\0' <"/proc/$qemu/cmdline" 2>/dev/null)" ]; then broken "QEMU (pid $qemu) still runs"; fi
living=$(sql "SELECT count(*) FROM domains")
say "" "  | domains left in the store (sqlite3): $living"
[ "$living" -eq 0 ] || broken "the domain is still in the store"
run 0 xlfsck -n

say "" "That is the main job. xlstore(1) and xlfsck(8) go on from here."
