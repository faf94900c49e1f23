# SPDX-License-Identifier: MIT
# The Debian 12 packages that xlstore is built, shown and tested with. Read by tools/quickstart.sh,
# tools/package.sh and tests/run.sh:  . tools/packages.sh; install_missing $packages_build …
# shellcheck disable=SC2034  # read by the script that sources this

packages_build="g++ cmake ninja-build ccache pkg-config python3
    libsqlite3-dev nlohmann-json3-dev libspdlog-dev libcli11-dev"
packages_story="qemu-system-x86 sqlite3 python3"
packages_test="mold libgtest-dev libbenchmark-dev patch strace valgrind man-db busybox-static spin gcc tcc
    xen-utils-4.17 e2fsprogs libxen-dev abigail-tools
    bash-completion zsh fish python3-jsonschema"
packages_package="build-essential debhelper dh-python lintian fakeroot libxen-dev libpqxx-dev mmdebstrap"
# xlstore-fleet, and a server for its tests.
packages_fleet="libpqxx-dev postgresql-15 postgresql-client-15"
packages_fuzz="clang libclang-rt-14-dev"

# Installs those of the named packages that are missing, if any: that alone needs root.
install_missing() {
    if ! command -v dpkg-query >/dev/null; then
        echo "packages: no dpkg here; these are needed, under their names there: $*" >&2
        return 0
    fi
    missing=""
    for package in "$@"; do
        case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
        *" ok installed") ;;
        *) missing="$missing $package" ;;
        esac
    done
    if [ -z "$missing" ]; then return 0; fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "packages: missing:$missing" >&2
        echo "packages: as root: apt-get install --no-install-recommends$missing" >&2
        return 1
    fi
    echo "installing:$missing"
    apt-get -q update
    # shellcheck disable=SC2086  # a list
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $missing
}
