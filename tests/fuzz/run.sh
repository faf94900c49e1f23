#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzzers with clang and runs each over its kept corpus and on from there, all at once, for so many
# seconds (10); without names all. `store` takes some minutes to build; ctest's fuzz.store has it without clang, over
# its kept corpus and some inputs more:
#
#   sh tests/fuzz/run.sh [SECONDS [NAME...]]      names: command_line document protocol store userdata xenstore
#
# A crash ends it with status 1 and leaves the input that made it in build-fuzz/: mend what it found,
# then keep the input in corpus/. FOUND, a directory: new inputs are kept there, a directory each.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-10}
[ $# -eq 0 ] || shift
names=${*:-command_line document protocol store userdata xenstore}

cmake --preset fuzz >/dev/null
cmake --build build-fuzz --target $(printf '%s_fuzz ' $names)

# fuzz NAME: new inputs go to a directory that is dropped, so that each run starts alike.
fuzz() {
    name=$1_fuzz
    corpus=tests/fuzz/corpus/$1
    found=${FOUND:+$FOUND/$1}
    if [ -n "$found" ]; then mkdir -p "$found"; else found=$(mktemp -d); fi
    # A store is opened some ten times for an input.
    timeout=10
    [ "$1" != store ] || timeout=60
    [ "$1" != document ] || corpus="$corpus tests/unit/samples"
    log=build-fuzz/$name.log
    status=0
    # shellcheck disable=SC2086  # directories
    "build-fuzz/bin/$name" -max_total_time="$seconds" -max_len=16384 -timeout="$timeout" -print_final_stats=1 \
        -artifact_prefix="build-fuzz/$name-" "$found" $corpus >"$log" 2>&1 || status=$?
    [ -n "${FOUND:-}" ] || rm -r "$found"
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
        echo "fuzz: $name failed with status $status; see $log" >&2
        exit 1
    fi
    echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions"
}
running=
for name in $names; do
    fuzz "$name" &
    running="$running $!"
done
for one in $running; do
    wait "$one"
done
