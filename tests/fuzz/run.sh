#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzzers with clang and runs each over its kept corpus and on from there, for so many
# seconds (10):  sh tests/fuzz/run.sh [SECONDS]
# A crash ends it with status 1 and leaves the input that made it in build-fuzz/: mend what it found,
# then keep the input in corpus/.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-10}

cmake --preset fuzz >/dev/null
cmake --build build-fuzz --target document_fuzz protocol_fuzz xenstore_fuzz

# fuzz NAME DIRECTORY…: new inputs go to a directory that is dropped, so that each run starts alike.
fuzz() {
    name=$1
    shift
    found=$(mktemp -d)
    log=build-fuzz/$name.log
    status=0
    "build-fuzz/bin/$name" -max_total_time="$seconds" -max_len=16384 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/$name-" "$found" "$@" >"$log" 2>&1 || status=$?
    rm -r "$found"
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
        echo "fuzz: $name failed with status $status; see $log" >&2
        exit 1
    fi
    echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions"
}
fuzz protocol_fuzz tests/fuzz/corpus/protocol &
protocol=$!
fuzz xenstore_fuzz tests/fuzz/corpus/xenstore &
xenstore=$!
fuzz document_fuzz tests/fuzz/corpus/document tests/unit/samples
wait "$protocol"
wait "$xenstore"
