#!/bin/sh
# SPDX-License-Identifier: MIT
# The proof, whole, in shares; it goes on where it was left:  proof.sh BUILD [--hours H | --minutes M] [--left] [--help]
exec python3 -- "$(dirname "$0")/proof.py" "$@"
