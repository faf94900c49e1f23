// SPDX-License-Identifier: MIT
// The numbers are those of Xen's block interface (docs/man/xen-vbd-interface.7): major and minor of
// Linux's hd, sd and xvd for the first disks, and an extended form with bit 28 for the others.
// Partitions have no number here, since libxl's documents name disks alone.
#include "store/model/vdev.hpp"

#include <charconv>

namespace xlstore {

namespace {

enum class Bus { xen, ide, scsi };

struct Place {
    Bus bus;
    std::int64_t disk;
};

// a, b, … z, aa, ab, …
// Without a zero: "z" is followed by "aa", as with the columns of a spreadsheet.
std::optional<std::int64_t> by_letters(std::string_view name, std::int64_t last)
{
    if (name.empty() || name.size() > 3) return std::nullopt;
    std::int64_t disk = 0;
    for (const char c : name) {
        if (c < 'a' || c > 'z') return std::nullopt;
        disk = disk * 26 + (c - 'a' + 1);
    }
    return disk - 1 <= last ? std::optional(disk - 1) : std::nullopt;
}

std::optional<std::int64_t> by_number(std::string_view name)
{
    std::int64_t disk = 0;
    const auto* end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data(), end, disk);
    if (error != std::errc() || at != end || disk < 0 || disk > 0xfffff) return std::nullopt;
    return disk;
}

std::optional<Place> place_of_vdev(std::string_view vdev)
{
    constexpr std::int64_t kIdeLast = 3;
    constexpr std::int64_t kScsiLast = 15;
    constexpr std::int64_t kXenLast = 0xfffff;
    const auto on = [](Bus bus, std::optional<std::int64_t> disk) {
        return disk ? std::optional(Place{bus, *disk}) : std::nullopt;
    };
    if (vdev.starts_with("xvd")) return on(Bus::xen, by_letters(vdev.substr(3), kXenLast));
    if (vdev.starts_with("hd")) return on(Bus::ide, by_letters(vdev.substr(2), kIdeLast));
    if (vdev.starts_with("sd")) return on(Bus::scsi, by_letters(vdev.substr(2), kScsiLast));
    if (vdev.starts_with("d")) return on(Bus::xen, by_number(vdev.substr(1)));
    return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> vdev_disk(std::string_view vdev)
{
    const auto place = place_of_vdev(vdev);
    return place ? std::optional(place->disk) : std::nullopt;
}

std::optional<std::int64_t> vdev_number(std::string_view vdev)
{
    const auto place = place_of_vdev(vdev);
    if (!place) return std::nullopt;
    const std::int64_t disk = place->disk;
    switch (place->bus) {
    case Bus::ide:
        return ((disk < 2 ? 3 : 22) << 8) | ((disk & 1) << 6);
    case Bus::scsi:
        return (8 << 8) | (disk << 4);
    case Bus::xen:
        break;
    }
    return disk < 16 ? (202 << 8) | (disk << 4) : (std::int64_t{1} << 28) | (disk << 8);
}

}  // namespace xlstore
