// SPDX-License-Identifier: MIT
// A frame belongs to this log if it has its salts, and is proved by a checksum that goes on from
// the frame before. Frames gather until a proved one shows that what lies before it was written;
// then every commit up to there is taken, page by page, the last one winning. A single turned bit
// in a frame's head is tried and mended, because a page under a wrong number would take the place
// of a sound one.
#include "recovery/salvage/damaged_log.hpp"

#include <utility>
#include <vector>

#include "recovery/salvage/pages.hpp"

namespace xlstore::recovery {

namespace {

// The layout of the log (sqlite.org/fileformat2.html, 4.1).
constexpr std::size_t kLogHeader = 32;
constexpr std::size_t kFrameHeader = 24;
constexpr std::size_t kFrame = kFrameHeader + kPageSize;
constexpr std::size_t kAtPageSize = 8;
constexpr std::size_t kAtSalts = 16;  // two words, in a frame's header at 8
constexpr std::size_t kAtSums = 24;   // two words, in a frame's header at 16
constexpr std::uint32_t kLittleEndian = 0x377f0682;
constexpr std::uint32_t kBigEndian = 0x377f0683;
constexpr std::uint32_t kMostLogPages = 1U << 24;  // 64 GiB: no store grows to that

std::uint32_t word(std::string_view bytes, std::size_t at)
{
    return big_endian(reinterpret_cast<const unsigned char*>(bytes.data()) + at);
}

}  // namespace

DamagedLog::DamagedLog(std::string_view bytes) : bytes_(bytes)
{
    if (bytes_.size() >= kLogHeader + kFrame) read();
}

DamagedLog::Sums DamagedLog::summed(Sums sums, std::size_t at, std::size_t length) const
{
    const auto next = [&] {
        const auto* b = reinterpret_cast<const unsigned char*>(bytes_.data()) + at;
        at += 4;
        const auto big = big_endian(b);
        return little_endian_ ? __builtin_bswap32(big) : big;
    };
    for (std::size_t done = 0; done < length; done += 8) {
        sums.first += next() + sums.second;
        sums.second += next() + sums.first;
    }
    return sums;
}

DamagedLog::Sums DamagedLog::sums_at(std::size_t at) const
{
    return Sums{word(bytes_, at), word(bytes_, at + 4)};
}

bool DamagedLog::has_sound_header() const
{
    const auto magic = word(bytes_, 0);
    return (magic == kLittleEndian || magic == kBigEndian) &&
           word(bytes_, kAtPageSize) == kPageSize && summed({}, 0, kAtSums) == sums_at(kAtSums);
}

// As it is written there, or with the one bit of its head turned that makes the checksum right: a
// page under a wrong number would take the place of a sound one.
DamagedLog::Frame DamagedLog::frame_at(std::size_t at, Sums before, bool ours) const
{
    const auto wanted = sums_at(at + 16);
    Frame frame{word(bytes_, at), word(bytes_, at + 4), false};
    const auto is_proved = [&](std::uint32_t page, std::uint32_t commit) {
        const auto as_summed = [&](std::uint32_t value) {
            return little_endian_ ? __builtin_bswap32(value) : value;
        };
        Sums sums = before;
        sums.first += as_summed(page) + sums.second;
        sums.second += as_summed(commit) + sums.first;
        return summed(sums, at + kFrameHeader, kPageSize) == wanted;
    };
    frame.proved = is_proved(frame.page, frame.commit);
    for (unsigned bit = 0; bit < 64 && ours && !frame.proved; ++bit) {
        Frame turned = frame;
        (bit < 32 ? turned.page : turned.commit) ^= 1U << bit % 32;
        turned.proved = is_proved(turned.page, turned.commit);
        if (turned.proved) frame = turned;
    }
    if (frame.page > kMostLogPages || frame.commit > kMostLogPages) frame.page = frame.commit = 0;
    return frame;
}

// A frame is one of this log's if it has its salts, and is proved by its checksum, which goes on
// from that of the frame before it: after a damaged one the next may be unproved as well. An
// unproved frame is used where a proved one follows, so that it was written, and if its page is one
// at all; a damaged page is for the reader of the rows to judge. What no proved frame follows is
// the end that a kill leaves, or frames of the time before the log was started anew.
void DamagedLog::read()
{
    little_endian_ = word(bytes_, 0) != kBigEndian;
    const bool header = has_sound_header();
    const auto salts = bytes_.substr(header ? kAtSalts : kLogHeader + 8, 8);
    std::vector<std::pair<std::uint32_t, std::string_view>>
        pending;                                                 // frames since the last commit
    std::vector<std::pair<std::uint32_t, std::size_t>> commits;  // size, length of `pending`
    std::size_t gap = 0;
    std::size_t behind = 0;
    std::size_t number = 0;
    for (std::size_t at = kLogHeader; at + kFrame <= bytes_.size(); at += kFrame) {
        ++number;
        const bool ours = bytes_.substr(at + 8, 8) == salts;
        auto frame = frame_at(at, sums_at(at == kLogHeader ? kAtSums : at - kFrame + 16), ours);
        frame.proved = frame.proved && ours;
        const auto page = bytes_.substr(at + kFrameHeader, kPageSize);
        if (frame.page != 0 && (frame.proved || is_tree_page(page, frame.page)))
            pending.emplace_back(frame.page, page);
        if (frame.commit != 0) commits.emplace_back(frame.commit, pending.size());
        if (!frame.proved) {
            if (gap == 0) gap = number;
            continue;
        }
        if (gap != 0) behind += commits.size();
        std::size_t taken = 0;
        for (const auto& [size, length] : commits) {
            for (; taken < length; ++taken)
                pages_[pending[taken].first] = pending[taken].second;
            size_ = size;
        }
        pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(taken));
        commits.clear();
    }
    if (size_ == 0) return;
    if (!header)
        flaw_ = "the header of its log is wrong";
    else if (behind != 0)
        flaw_ = "its log breaks off at frame " + std::to_string(gap) + ", and " +
                std::to_string(behind) + " commits behind it are there";
}

}  // namespace xlstore::recovery
