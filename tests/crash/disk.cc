// SPDX-License-Identifier: MIT
#include "tests/crash/disk.hpp"

#include <algorithm>

namespace xlstore::test {

namespace {

constexpr std::size_t kSector = 512;

void put(Bytes& file, std::size_t at, const std::byte* what, std::size_t size)
{
    if (file.size() < at + size) file.resize(at + size);
    std::copy_n(what, size, file.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

void Disk::rename(Names& names, const DiskStep& step, std::size_t file)
{
    if (step.kind != DiskStep::Kind::make) names.erase(step.name);
    if (step.kind == DiskStep::Kind::make) names[step.name] = file;
    if (step.kind == DiskStep::Kind::rename) names[step.to] = file;
}

void Disk::take(const DiskStep& step)
{
    switch (step.kind) {
    case DiskStep::Kind::make:
        files_.emplace_back();
        names_since_.emplace_back(step, files_.size() - 1);
        rename(names_, step, files_.size() - 1);
        break;
    case DiskStep::Kind::remove:
    case DiskStep::Kind::rename:
        names_since_.emplace_back(step, names_.at(step.name));
        rename(names_, step, names_.at(step.name));
        break;
    case DiskStep::Kind::write:
        files_[names_.at(step.name)].since.emplace_back(Write{step.at, step.what});
        break;
    case DiskStep::Kind::truncate:
        files_[names_.at(step.name)].since.emplace_back(step.at);
        break;
    case DiskStep::Kind::sync: {
        if (lying_) break;
        File& file = files_[names_.at(step.name)];
        for (const auto& change : file.since)
            if (const auto* write = std::get_if<Write>(&change))
                put(file.synced, static_cast<std::size_t>(write->at), write->what.data(),
                    write->what.size());
            else
                file.synced.resize(static_cast<std::size_t>(std::get<std::int64_t>(change)));
        file.since.clear();
        break;
    }
    case DiskStep::Kind::sync_names:
        if (lying_) break;
        synced_names_ = names_;
        names_since_.clear();
        break;
    }
}

Bytes Disk::after_cut(const File& file, std::mt19937_64& random, DiskCounts& counts)
{
    const auto chance = [&](unsigned of_hundred) { return random() % 100 < of_hundred; };
    // From nearly all of it lost to nearly all of it kept: both ends have their own dangers.
    constexpr unsigned kKept[] = {0, 5, 50, 95, 100};
    const unsigned kept = kKept[random() % std::size(kKept)];
    Bytes bytes = file.synced;
    bool lost_one = false;
    bool reordered = false;
    for (const auto& change : file.since) {
        const auto* write = std::get_if<Write>(&change);
        if (!write) {
            if (chance(kept))
                bytes.resize(static_cast<std::size_t>(std::get<std::int64_t>(change)));
            else
                ++counts.sizes;
            continue;
        }
        const auto begin = static_cast<std::size_t>(write->at);
        const auto end = begin + write->what.size();
        const bool torn = chance(20);
        const bool whole = chance(kept);
        std::size_t sectors_kept = 0;
        std::size_t sectors = 0;
        for (std::size_t at = begin; at < end; ++sectors) {
            const auto next = std::min(end, (at / kSector + 1) * kSector);
            if (torn ? chance(50) : whole) {
                put(bytes, at, write->what.data() + (at - begin), next - at);
                ++sectors_kept;
            }
            at = next;
        }
        reordered = reordered || (lost_one && sectors_kept > 0);
        if (sectors_kept == sectors) continue;
        lost_one = true;
        ++(sectors_kept == 0 ? counts.lost : counts.torn);
        if (bytes.size() < end && chance(30)) {
            bytes.resize(end);
            ++counts.sizes;
        }
    }
    if (reordered) ++counts.reordered;
    return bytes;
}

std::map<std::string, Bytes> Disk::cut(std::uint64_t seed, DiskCounts& counts) const
{
    std::mt19937_64 random(seed);
    Names names = synced_names_;
    const std::size_t kept = random() % (names_since_.size() + 1);
    for (std::size_t i = 0; i < kept; ++i)
        rename(names, names_since_[i].first, names_since_[i].second);
    counts.names += names_since_.size() - kept;
    std::map<std::string, Bytes> left;
    for (const auto& [name, file] : names)
        left[name] = after_cut(files_[file], random, counts);
    return left;
}

}  // namespace xlstore::test
