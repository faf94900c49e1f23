// SPDX-License-Identifier: MIT
// A QEMU is taken for Xen's or the store's by its command line alone, and its note in the
// environment: hints, both of them, and enough to name a process or to try its monitor. Whose it
// is, is proved there (R11).
#include "recovery/base/host_qemu.hpp"

#include <algorithm>
#include <filesystem>

#include "store/core/run_directory.hpp"
#include "store/os/process.hpp"
#include "store/qmp/qemu_command_line.hpp"

namespace xlstore::recovery {

namespace fs = std::filesystem;

std::optional<HostQemu> read_host_qemu(pid_t pid, const std::string& run)
{
    auto words = command_line_words(pid);
    if (!words) return std::nullopt;
    const auto line =
        parse_qemu_command_line(*words, [](const std::string&) { return std::nullopt; });
    HostQemu qemu;
    qemu.pid = pid;
    qemu.words = *std::move(words);
    qemu.domid = line.domid;
    qemu.is_xens = line.domid.has_value();
    const auto own = std::ranges::find_if(
        line.sockets, [&](const std::string& path) { return path.starts_with(run + "/qmp-"); });
    // libxl's: XEN_RUN_DIR/qmp-libxl-DOMID, wherever that is.
    const auto libxls = std::ranges::find_if(line.sockets, [&](const std::string& path) {
        return line.domid && path.ends_with("/qmp-libxl-" + std::to_string(*line.domid));
    });
    if (own != line.sockets.end()) {
        qemu.monitor = *own;
        qemu.named = incarnation_in(fs::path(*own).filename().string(), "qmp-");
        qemu.note = creation_note_of(pid);
        if (!qemu.domid && qemu.note) qemu.domid = qemu.note->domid;
    } else if (libxls != line.sockets.end()) {
        qemu.monitor = *libxls;
    } else {
        return std::nullopt;
    }
    return qemu;
}

std::optional<HostQemu> find_host_qemu(const DomainRow& domain, const std::string& run)
{
    for (const pid_t pid : processes()) {
        auto qemu = read_host_qemu(pid, run);
        if (!qemu || qemu->named != domain.id) continue;
        if (qemu->note && qemu->note->uuid != domain.uuid) continue;
        return qemu;
    }
    return std::nullopt;
}

}  // namespace xlstore::recovery
