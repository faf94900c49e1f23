// SPDX-License-Identifier: MIT
// A frame belongs to this log if it has its salts, and is proved by a checksum that goes on from
// the frame before. Frames gather until a proved one shows that what lies before it was written;
// then every commit up to there is taken, page by page, the last one winning. A single turned bit
// in a frame's head is tried and mended, because a page under a wrong number would take the place
// of a sound one.
#include "store/database/damaged_log.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace xlstore {

namespace {

// The layout of the log (sqlite.org/fileformat2.html, 4.1).
constexpr std::size_t kLogHead = 32;
constexpr std::size_t kFrameHead = 24;
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

DamagedLog::DamagedLog(std::string_view bytes, std::string_view database)
    : bytes_(bytes), database_(database)
{
    if (bytes_.size() < kLogHead + kFrameHead || !was_used()) return;
    little_endian_ = word(bytes_, 0) != kBigEndian;
    header_ = has_sound_header();
    if (header_) {
        page_size_ = word(bytes_, kAtPageSize);
        read();
    } else {
        try_every_size();
    }
}

std::optional<std::size_t> DamagedLog::page_size() const noexcept
{
    if (header_ || proved_ != 0) return page_size_;
    return std::nullopt;
}

std::size_t DamagedLog::frame_size() const
{
    return kFrameHead + page_size_;
}

// A new store's log is zeros, whose checksum is right.
bool DamagedLog::was_used() const
{
    return std::ranges::any_of(bytes_.substr(0, kLogHead + kFrameHead),
                               [](char byte) { return byte != 0; });
}

// The usual one first, which is right unless another program has changed it.
void DamagedLog::try_every_size()
{
    read();
    for (auto size = kLeastPageSize; size <= kMostPageSize && proved_ == 0; size *= 2) {
        page_size_ = size;
        read();
    }
    if (proved_ == 0) page_size_ = kPageSize;
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
           is_page_size(word(bytes_, kAtPageSize)) &&
           summed({}, 0, kAtSums) == sums_at(kAtSums);
}

// As it is written there, or with the one bit of its head turned that makes the checksum right: a
// page under a wrong number would take the place of a sound one. The checksum is a weak one: a bit
// of the page that is wrong can look like one of the head, so that only the likelier one is turned.
DamagedLog::Frame DamagedLog::frame_at(std::size_t at, Sums before, bool ours) const
{
    const auto wanted = sums_at(at + 16);
    Frame frame{word(bytes_, at), word(bytes_, at + 4)};
    const auto is_proved = [&](std::uint32_t page, std::uint32_t commit) {
        const auto as_summed = [&](std::uint32_t value) {
            return little_endian_ ? __builtin_bswap32(value) : value;
        };
        Sums sums = before;
        sums.first += as_summed(page) + sums.second;
        sums.second += as_summed(commit) + sums.first;
        return summed(sums, at + kFrameHead, page_size_) == wanted;
    };
    frame.proved = is_proved(frame.page, frame.commit);
    const Frame written = frame;
    for (unsigned bit = 0; bit < 64 && ours && !frame.proved; ++bit) {
        Frame turned = written;
        turned.turned = true;
        (bit < 32 ? turned.page : turned.commit) ^= 1U << bit % 32;
        turned.proved = is_proved(turned.page, turned.commit);
        if (turned.proved && is_likelier(turned, written, at)) frame = turned;
    }
    if (frame.page > kMostLogPages || frame.commit > kMostLogPages) frame.page = frame.commit = 0;
    return frame;
}

// A commit seldom changes the size of the database. Its pages ascend in number. A page is like its
// own last version, if not always, and like no other's. Where that does not tell: a bit of the low
// byte of a number is like those of a hundred bits of a page, and no other bit of it is like more
// than one.
bool DamagedLog::is_likelier(const Frame& turned, const Frame& written, std::size_t at) const
{
    constexpr std::uint32_t kLowByte = 0xff;
    constexpr double kAlike = 0.5;
    if (turned.page == 0 || turned.page > kMostLogPages || turned.commit > kMostLogPages)
        return false;
    if (turned.commit != written.commit)
        return turned.commit == size_ || (turned.commit == 0 && written.commit != size_);
    if (written.page == 0 || written.page > kMostLogPages) return true;
    if (is_in_order(turned, at) != is_in_order(written, at)) return is_in_order(turned, at);
    const auto as_turned = likeness(turned.page, at + kFrameHead);
    const auto as_written = likeness(written.page, at + kFrameHead);
    if (as_turned && as_written && as_turned != as_written) return as_turned > as_written;
    if (as_turned.value_or(0) > kAlike || as_written.value_or(0) > kAlike)
        return as_turned > as_written;
    return (turned.page ^ written.page) > kLowByte;
}

// SQLite sorts what a commit writes, but for pages that had no place in its memory.
bool DamagedLog::is_in_order(const Frame& frame, std::size_t at) const
{
    const auto is_first = at == kLogHead || word(bytes_, at - frame_size() + 4) != 0;
    if (!is_first && frame.page <= word(bytes_, at - frame_size())) return false;
    const auto next = at + frame_size();
    const bool is_last = frame.commit != 0 || next + frame_size() > bytes_.size();
    return is_last || frame.page < word(bytes_, next);
}

// How much of it the last version of that page has, too, from 0 to 1; zeros are no likeness.
// Nothing: there is none.
std::optional<double> DamagedLog::likeness(std::uint32_t number, std::size_t page_at) const
{
    const auto in_log = pages_.find(number);
    const auto earlier =
        in_log != pages_.end()
            ? in_log->second
            : database_.substr(std::min(database_.size(), std::size_t{number - 1} * page_size_),
                               page_size_);
    if (earlier.size() != page_size_) return std::nullopt;
    std::size_t alike = 0;
    std::size_t all = 0;
    for (std::size_t i = 0; i < page_size_; ++i) {
        const char byte = bytes_[page_at + i];
        if (byte == 0 && earlier[i] == 0) continue;
        ++all;
        alike += byte == earlier[i] ? 1 : 0;
    }
    if (all == 0) return std::nullopt;
    return static_cast<double>(alike) / static_cast<double>(all);
}

// A frame is one of this log's if it has its salts, and is proved by its checksum, which goes on
// from that of the frame before it: after a damaged one the next may be unproved as well. An
// unproved frame is used where a proved one follows, so that it was written, and if its page is one
// at all; a damaged page is for the reader of the rows to judge. What no proved frame follows is
// the end that a kill leaves, or frames of the time before the log was started anew. SQLite ends at
// a frame with a turned bit, too.
void DamagedLog::read()
{
    const auto salts = bytes_.substr(header_ ? kAtSalts : kLogHead + 8, 8);
    std::vector<std::pair<std::uint32_t, std::string_view>>
        pending;                                                 // frames since the last commit
    std::vector<std::pair<std::uint32_t, std::size_t>> commits;  // size, length of `pending`
    std::size_t gap = 0;
    std::size_t behind = 0;
    std::size_t number = 0;
    for (std::size_t at = kLogHead; at + frame_size() <= bytes_.size(); at += frame_size()) {
        ++number;
        const bool ours = bytes_.substr(at + 8, 8) == salts;
        auto frame = frame_at(at, sums_at(at == kLogHead ? kAtSums : at - frame_size() + 16), ours);
        frame.proved = frame.proved && ours;
        const auto page = bytes_.substr(at + kFrameHead, page_size_);
        if (frame.page != 0 && (frame.proved || is_tree_page(page, frame.page)))
            pending.emplace_back(frame.page, page);
        if (frame.commit != 0) commits.emplace_back(frame.commit, pending.size());
        if (gap == 0 && (!frame.proved || frame.turned)) gap = number;
        if (!frame.proved) continue;
        proved_ += frame.page != 0 ? 1 : 0;
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
    if (!header_)
        flaw_ = "the header of its log is wrong";
    else if (behind != 0)
        flaw_ = "its log breaks off at frame " + std::to_string(gap) + ", and " +
                std::to_string(behind) + " commits behind it are there";
}

}  // namespace xlstore
