// SPDX-License-Identifier: MIT
// A frame belongs to this log if it has its salts, and is proved by a checksum that goes on from
// the frame before. Frames gather until a proved one shows that what lies before it was written;
// then every commit up to there is taken, page by page, the last one winning. A single turned bit
// in a frame's head is tried and mended, because a page under a wrong number would take the place
// of a sound one. Where the header does not tell, the frames do: salts that prove frames, in the
// size of a page and the order of bytes in which they prove them. Each time that a log is begun
// anew its first salt is one higher, and frames of before stay behind the new ones.
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
constexpr std::uint32_t kMostBegun = 16;  // how often a log is begun anew while old frames stay

std::uint32_t word(std::string_view bytes, std::size_t at)
{
    return big_endian(reinterpret_cast<const unsigned char*>(bytes.data()) + at);
}

// Of a log that was begun anew since? A turned bit leaves the second salt as it was, which is a
// random one.
bool are_newer(std::string_view salts, std::string_view than)
{
    const auto later = word(salts, 0) - word(than, 0);
    return later >= 1 && later <= kMostBegun && word(salts, 4) != word(than, 4);
}

}  // namespace

DamagedLog::DamagedLog(std::string_view bytes, std::string_view database)
    : bytes_(bytes), database_(database)
{
    if (bytes_.size() < kLogHead + kFrameHead || !was_used()) return;
    unread_ = true;
    little_endian_ = word(bytes_, 0) != kBigEndian;
    header_ = has_sound_header();
    if (header_) {
        page_size_ = word(bytes_, kAtPageSize);
        salts_ = bytes_.substr(kAtSalts, 8);
        // Or it was never written when the log was begun anew.
        if (const auto proved = salts_of_frames(); !proved.empty() && are_newer(proved, salts_)) {
            header_ = false;
            salts_ = proved;
        }
    } else {
        find_form();
    }
    if (!salts_.empty()) read();
}

std::optional<std::size_t> DamagedLog::page_size() const noexcept
{
    if (salts_.empty()) return std::nullopt;
    return page_size_;
}

std::size_t DamagedLog::frame_size() const
{
    return kFrameHead + page_size_;
}

// What was made for a log is zeros, whose checksum is right. Zeros can also lie over its beginning.
bool DamagedLog::was_used() const
{
    return std::ranges::any_of(bytes_, [](char byte) { return byte != 0; });
}

// This machine's order and the usual size first, which are right unless another program has changed
// them.
void DamagedLog::find_form()
{
    std::vector<std::size_t> sizes = {kPageSize};
    for (auto size = kLeastPageSize; size <= kMostPageSize; size *= 2)
        sizes.push_back(size);
    for (const bool little : {true, false})
        for (const auto size : sizes) {
            little_endian_ = little;
            page_size_ = size;
            salts_ = salts_of_frames();
            if (!salts_.empty()) return;
        }
}

// Those of the newest frames that are proved, or that lie before the proved ones and are newer
// still; nothing: no frame is proved. The checksum does not have the salts in it: those of a single
// frame may be damaged.
std::string_view DamagedLog::salts_of_frames() const
{
    std::string_view first;
    std::string_view of_two;
    std::map<std::string_view, int> proved;
    for (auto at = kLogHead; is_frame(at) && of_two.empty(); at += frame_size()) {
        const auto frame = frame_at(at, sums_before(at), false);
        if (!frame.proved || frame.page == 0) continue;
        if (first.empty()) first = salts_at(at);
        if (++proved[salts_at(at)] == 2) of_two = salts_at(at);
    }
    const auto found = of_two.empty() ? first : of_two;
    if (found.empty()) return found;
    for (auto at = kLogHead; salts_at(at) != found; at += frame_size())
        if (are_newer(salts_at(at), found)) return salts_at(at);
    return found;
}

bool DamagedLog::is_frame(std::size_t at) const
{
    return at + frame_size() <= bytes_.size();
}

// A log that was cut off, or what a kill leaves of a frame. Older ones were not written over.
bool DamagedLog::has_part_of_frame() const
{
    const auto at = bytes_.size() - (bytes_.size() - kLogHead) % frame_size();
    if (bytes_.size() - at >= 16 && are_newer(salts_, salts_at(at))) return false;
    return bytes_.find_first_not_of('\0', at) != std::string_view::npos;
}

std::string_view DamagedLog::salts_at(std::size_t at) const
{
    return bytes_.substr(at + 8, 8);
}

// What the checksum of the frame there goes on from.
DamagedLog::Sums DamagedLog::sums_before(std::size_t at) const
{
    return sums_at(at == kLogHead ? kAtSums : at - frame_size() + 16);
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
// the end that a kill leaves, or frames of the time before the log was begun anew; where such a one
// lies before a proved one, the new one was never written. SQLite ends at a frame with a turned
// bit, too.
void DamagedLog::read()
{
    std::vector<std::pair<std::uint32_t, std::string_view>>
        pending;                                                 // frames since the last commit
    std::vector<std::pair<std::uint32_t, std::size_t>> commits;  // size, length of `pending`
    std::size_t gap = 0;
    std::size_t behind = 0;
    std::size_t number = 0;
    std::uint32_t most = 0;  // of the pages of proved frames
    for (std::size_t at = kLogHead; is_frame(at); at += frame_size()) {
        ++number;
        const bool ours = salts_at(at) == salts_;
        auto frame = frame_at(at, sums_before(at), ours);
        frame.proved = frame.proved && ours;
        if (are_newer(salts_, salts_at(at))) frame = Frame{};
        const auto page = bytes_.substr(at + kFrameHead, page_size_);
        if (frame.page != 0 && (frame.proved || is_tree_page(page, frame.page)))
            pending.emplace_back(frame.page, page);
        if (frame.commit != 0) commits.emplace_back(frame.commit, pending.size());
        if (gap == 0 && (!frame.proved || frame.turned)) gap = number;
        if (!frame.proved) {
            // Zeros were never written, and older frames not written over.
            unproved_ = unproved_ || (word(bytes_, at) != 0 && !are_newer(salts_, salts_at(at)));
            continue;
        }
        unread_ = unread_ && (!header_ || gap == 1);
        most = std::max(most, frame.page);
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
    unproved_ = unproved_ || !pending.empty() || has_part_of_frame();
    if (size_ == 0) return;
    // An unproved frame can name a page that never was.
    std::erase_if(pages_, [&](const auto& page) { return page.first > std::max(size_, most); });
    if (!header_)
        flaw_ = "the header of its log is wrong";
    else if (behind != 0)
        flaw_ = "its log breaks off at frame " + std::to_string(gap) + ", and " +
                std::to_string(behind) + " commits behind it are there";
}

}  // namespace xlstore
