// SPDX-License-Identifier: MIT
// The numbers are those of Xen's block interface (docs/man/xen-vbd-interface.7): major and minor of
// Linux's hd, sd and xvd for the first disks, and an extended form with bit 28 for the others.
#include "store/model/vdev.hpp"

#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

enum class Bus { xen, ide, scsi };

struct Place {
    Bus bus;
    std::int64_t disk;
    std::int64_t partition;
};

// What a kind of disk has at most.
struct Most {
    std::int64_t disk;
    std::int64_t partition;
};
constexpr Most kXenMost{0xfffff, 255};
constexpr Most kIdeMost{3, 63};
constexpr Most kScsiMost{15, 15};
constexpr std::int64_t kNumberMost = 0x7fffffff;

std::optional<std::int64_t> decimal(std::string_view digits, std::int64_t most)
{
    if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
    const auto number = parse_number<std::int64_t>(digits);
    return number && *number >= 0 && *number <= most ? number : std::nullopt;
}

// Letters (a, b, … z, aa, ab, … as with the columns of a spreadsheet), and then perhaps a partition
// from 1.
std::optional<Place> by_letters(Bus bus, std::string_view name, const Most& most)
{
    std::int64_t disk = 0;
    std::size_t letters = 0;
    for (; letters < name.size() && name[letters] >= 'a' && name[letters] <= 'z'; ++letters) {
        if (letters == 5) return std::nullopt;
        disk = disk * 26 + (name[letters] - 'a' + 1);
    }
    if (letters == 0 || disk - 1 > most.disk) return std::nullopt;
    const auto rest = name.substr(letters);
    if (rest.empty()) return Place{bus, disk - 1, 0};
    const auto partition = decimal(rest, most.partition);
    if (!partition || *partition == 0) return std::nullopt;
    return Place{bus, disk - 1, *partition};
}

// "5", "0p1"
std::optional<Place> by_numbers(std::string_view name)
{
    const auto p = name.find('p');
    const auto disk = decimal(name.substr(0, p), kXenMost.disk);
    const auto partition = p == std::string_view::npos
                               ? std::optional<std::int64_t>(0)
                               : decimal(name.substr(p + 1), kXenMost.partition);
    if (!disk || !partition) return std::nullopt;
    return Place{Bus::xen, *disk, *partition};
}

std::optional<Place> place_of_vdev(std::string_view vdev)
{
    if (vdev.starts_with("xvd")) return by_letters(Bus::xen, vdev.substr(3), kXenMost);
    if (vdev.starts_with("hd")) return by_letters(Bus::ide, vdev.substr(2), kIdeMost);
    if (vdev.starts_with("sd")) return by_letters(Bus::scsi, vdev.substr(2), kScsiMost);
    if (vdev.starts_with("d")) return by_numbers(vdev.substr(1));
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
    if (!place) return decimal(vdev, kNumberMost);
    const auto [bus, disk, partition] = *place;
    switch (bus) {
    case Bus::ide:
        return ((disk < 2 ? 3 : 22) << 8) | ((disk & 1) << 6) | partition;
    case Bus::scsi:
        return (8 << 8) | (disk << 4) | partition;
    case Bus::xen:
        break;
    }
    const bool small = disk < 16 && partition < 16;
    return (small ? (202 << 8) | (disk << 4) : (std::int64_t{1} << 28) | (disk << 8)) | partition;
}

}  // namespace xlstore
