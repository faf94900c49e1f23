#!/bin/sh
# SPDX-License-Identifier: MIT
# The whole proof, one part after the other: many hours. A part that this tree does not have is named.
#   proof.sh BUILD [LOGS]     BUILD: of the preset asan; LOGS: where each part's output goes
set -u
build=$(cd "${1:?usage: proof.sh BUILD [LOGS]}" && pwd)
logs=${2:-$build/proof}
mkdir -p "$logs"
logs=$(cd "$logs" && pwd)
cd "$(dirname "$0")/../.."
bin=$build/bin
failed=0

part() {
    name=$1 needs=$2
    shift 2
    if [ ! -e "$needs" ]; then
        echo "$name: missing, there is no $needs"
        failed=1
    elif "$@" >"$logs/$name.out" 2>&1; then
        echo "$name: $(tail -n 1 "$logs/$name.out")"
    else
        echo "$name: FAILED, see $logs/$name.out"
        failed=1
    fi
}

git log -1 --format='commit %H'
part killed tests/crash/harness.py python3 tests/crash/harness.py --bin "$bin" --log "$logs/killed.log"
part retry tests/crash/retry.py python3 tests/crash/harness.py --bin "$bin" --retry --log "$logs/retry.log"
part two_deep tests/crash/two_deep.py \
    python3 tests/crash/harness.py --bin "$bin" --two-deep --log "$logs/two_deep.log"
part race tests/crash/race.py python3 tests/crash/race.py --bin "$bin"
part mutants tests/crash/mutants.py python3 tests/crash/mutants.py --control --build "$build"
part model tests/model/check.py python3 tests/model/check.py --whole
part replay tests/model/record.py python3 tests/model/record.py --bin "$bin" --share 1/1
part power_cut "$bin/power_cut" "$bin/power_cut"
part salvage tests/fsck/salvage_test.py \
    python3 tests/fsck/salvage_test.py --bin "$bin" --random 1000
part kills tests/fsck/kills.py python3 tests/fsck/kills.py --bin "$bin"
part failing_calls "$bin/failing_calls" "$bin/failing_calls"
exit $failed
