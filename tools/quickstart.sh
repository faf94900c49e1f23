#!/bin/sh
# SPDX-License-Identifier: MIT
# From the source tree to the story that `xlstore demo` tells (tools/demo/story.sh): a toolstack is killed in the middle
# of a hotplug on a real QEMU, and xlfsck settles it.
#
#   sh tools/quickstart.sh
#
# Installs what is missing (that alone needs root), builds, and tells it.
#
#   XLSTORE_QUICKSTART_NO_BUILD=1   install and build nothing
#   XLSTORE_BIN=DIR                 take xlstore and xlfsck from there (default: build/bin)
set -eu
cd "$(dirname "$0")/.."

if [ -z "${XLSTORE_QUICKSTART_NO_BUILD:-}" ]; then
    . tools/packages.sh
    # shellcheck disable=SC2086  # lists
    install_missing $packages_build $packages_story
    cmake --preset dev
    cmake --build build --target xlstore xlfsck
fi

exec sh tools/demo/story.sh "$(cd "${XLSTORE_BIN:-build/bin}" && pwd)"
