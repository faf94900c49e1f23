// SPDX-License-Identifier: MIT
#include "tools/common/version.hpp"

#include <sqlite3.h>

#include <array>
#include <cstdio>
#include <memory>

#include "schema/steps.hpp"
#include "store/text/json_text.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

namespace {

constexpr std::array kQemus = {"qemu-system-x86_64", "qemu-system-i386",
                               "/usr/libexec/xen-qemu-system-i386",
                               "/usr/lib/xen/bin/qemu-system-i386"};

struct ClosePipe {
    void operator()(std::FILE* pipe) const { pclose(pipe); }
};

// "qemu-system-x86_64 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)"; "": none.
std::string qemu_found()
{
    constexpr std::string_view before = "QEMU emulator version ";
    for (const std::string program : kQemus) {
        const std::unique_ptr<std::FILE, ClosePipe> pipe(
            popen((program + " --version 2>/dev/null").c_str(), "r"));
        std::array<char, 256> line{};
        if (!pipe || !std::fgets(line.data(), static_cast<int>(line.size()), pipe.get())) continue;
        std::string_view said = line.data();
        if (!said.starts_with(before)) continue;
        said.remove_prefix(before.size());
        return program + " " + plain(said.substr(0, said.find('\n')));
    }
    return {};
}

}  // namespace

std::string version_text(std::string_view program, bool json)
{
    const std::string schema = std::to_string(schema::newest_version());
    const std::string qemu = qemu_found();
    if (json)
        return json_object({{"version", json_quote(XLSTORE_VERSION)},
                            {"schema", schema},
                            {"sqlite", json_quote(sqlite3_libversion())},
                            {"qemu", qemu.empty() ? "null" : json_quote(qemu)}});
    return std::string(program) + " " + XLSTORE_VERSION + "\nschema version " + schema +
           "\nSQLite " + sqlite3_libversion() + "\n" + (qemu.empty() ? "no QEMU found" : qemu);
}

}  // namespace xlstore::tools
