// SPDX-License-Identifier: MIT
// A member that the library adds goes behind the nearest one that libxl would print before it, so
// that a document that comes back from the store looks as if libxl had printed it, with any of its
// members missing.
#include "store/model/libxl_fields.hpp"

#include <algorithm>
#include <array>

#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// clang-format off
constexpr auto kCreateInfo = std::to_array<std::string_view>({
    "type", "hap", "oos", "ssidref", "ssid_label", "name", "domid", "uuid", "xsdata",
    "platformdata", "poolid", "pool_name", "run_hotplug_scripts", "driver_domain", "passthrough",
    "xend_suspend_evtchn_compat",
});

// A domain has one of the "type." members.
constexpr auto kBuildInfo = std::to_array<std::string_view>({
    "max_vcpus", "avail_vcpus", "cpumap", "nodemap", "vcpu_hard_affinity", "vcpu_soft_affinity",
    "numa_placement", "tsc_mode", "max_memkb", "target_memkb", "video_memkb", "shadow_memkb",
    "iommu_memkb", "rtc_timeoffset", "exec_ssidref", "exec_ssid_label", "localtime",
    "disable_migrate", "cpuid", "blkdev_start", "vnuma_nodes", "max_grant_frames",
    "max_maptrack_frames", "max_grant_version", "device_model_version", "device_model_stubdomain",
    "stubdomain_memkb", "stubdomain_kernel", "stubdomain_cmdline", "stubdomain_ramdisk",
    "device_model", "device_model_ssidref", "device_model_ssid_label", "device_model_user",
    "extra", "extra_pv", "extra_hvm", "sched_params", "ioports", "irqs", "iomem", "llc_colors",
    "claim_mode", "event_channels", "kernel", "cmdline", "ramdisk", "device_tree", "acpi",
    "bootloader", "bootloader_args", "bootloader_restrict", "bootloader_user", "timer_mode",
    "nested_hvm", "apic", "dm_restrict", "tee", "type.hvm", "type.pv", "type.pvh", "type.invalid",
    "arch_arm", "arch_x86", "altp2m", "altp2m_count", "vmtrace_buf_kb", "vpmu",
    "trap_unmapped_accesses", "xenstore_feature_mask", "xenstore_quota",
});

constexpr auto kDisk = std::to_array<std::string_view>({
    "backend_domid", "backend_domname", "pdev_path", "vdev", "backend", "format", "script",
    "removable", "readwrite", "is_cdrom", "direct_io_safe", "discard_enable", "specification",
    "transport", "irq", "base", "colo_enable", "colo_restore_enable", "colo_host", "colo_port",
    "colo_export", "active_disk", "hidden_disk", "trusted", "grant_usage",
});

constexpr auto kPciDevice = std::to_array<std::string_view>({
    "func", "dev", "bus", "domain", "vdevfn", "vfunc_mask", "msitranslate", "power_mgmt",
    "permissive", "seize", "rdm_policy", "name",
});

constexpr auto kNic = std::to_array<std::string_view>({
    "backend_domid", "backend_domname", "devid", "mtu", "vlan", "model", "mac", "ip", "bridge",
    "ifname", "script", "nictype", "rate_bytes_per_interval", "rate_interval_usecs", "gatewaydev",
    "trusted",
});

// vtpms, vkbs, vfbs, vdispls, vsnds, channels: what the library adds stands behind these.
constexpr auto kDevice = std::to_array<std::string_view>({
    "backend_domid", "backend_domname", "devid", "uuid",
});

constexpr auto kShare = std::to_array<std::string_view>({
    "backend_domid", "backend_domname", "tag", "path", "security_model", "devid",
});

constexpr auto kUsbController = std::to_array<std::string_view>({
    "type", "devid", "version", "ports", "backend_domid", "backend_domname",
});
// clang-format on

}  // namespace

std::span<const std::string_view> libxl_fields(std::string_view place)
{
    if (place == "c_info") return kCreateInfo;
    if (place == "b_info") return kBuildInfo;
    if (place == "disks") return kDisk;
    if (place == "pcidevs") return kPciDevice;
    if (place == "usbctrls") return kUsbController;
    if (place == "nics") return kNic;
    if (place == "p9s") return kShare;
    for (const std::string_view other : {"vtpms", "vkbs", "vfbs", "vdispls", "vsnds", "channels"})
        if (place == other) return kDevice;
    return {};
}

std::string with_libxl_member(std::string_view place, std::string_view object_text,
                              std::string_view key, std::string_view value_text)
{
    const auto fields = libxl_fields(place);
    const auto its_place = std::find(fields.begin(), fields.end(), key);
    if (its_place == fields.end() || json_find(object_text, key))
        return json_with_member(object_text, key, value_text);

    const auto members = json_members(object_text);
    std::size_t behind = 0;  // how many members stand before the new one
    auto nearest = fields.begin();
    for (std::size_t i = 0; i < members.size(); ++i) {
        const auto here = std::find(fields.begin(), its_place, members[i].key);
        if (here == its_place || (behind > 0 && here < nearest)) continue;
        behind = i + 1;
        nearest = here;
    }
    std::string out = "{";
    const auto add = [&out](std::string_view key_text, std::string_view value) {
        if (out.size() > 1) out += ',';
        out += key_text;
        out += ':';
        out += value;
    };
    for (std::size_t i = 0; i <= members.size(); ++i) {
        if (i == behind) add(json_quote(key), value_text);
        if (i < members.size()) add(members[i].key_text, members[i].value);
    }
    return out + '}';
}

}  // namespace xlstore
