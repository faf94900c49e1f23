// SPDX-License-Identifier: MIT
// SQLite's log (-wal) read without SQLite. SQLite takes all of it for empty once its header or its
// first frame is wrong, ends at the first frame whose checksum is wrong, and deletes it beside an
// empty database; what was committed behind is there all the same, and is read here.
#ifndef XLSTORE_STORE_DATABASE_DAMAGED_LOG_HPP_
#define XLSTORE_STORE_DATABASE_DAMAGED_LOG_HPP_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "store/database/page_head.hpp"

namespace xlstore {

class DamagedLog {
public:
    /// `bytes`: of the whole file, and `database`: of the file that it belongs to, whose pages tell
    /// a bit of a page from one of its number; both have to outlive this. The size of its pages is
    /// what its own header proves; without that the size with which its frames prove themselves.
    explicit DamagedLog(std::string_view bytes, std::string_view database = {});

    /// Is its header sound, and that of its frames? SQLite reads nothing behind another one.
    [[nodiscard]] bool has_header() const noexcept { return header_; }
    /// Of its pages; nothing: neither its header nor a frame proves it.
    [[nodiscard]] std::optional<std::size_t> page_size() const noexcept;

    /// The newest committed version of each page by its number, from 1.
    [[nodiscard]] const std::map<std::uint32_t, std::string_view>& pages() const { return pages_; }
    /// Of the database after the last commit, in pages; 0: the log has none.
    [[nodiscard]] std::uint32_t size_in_pages() const noexcept { return size_; }
    /// What SQLite would not read of it, in words; "": it reads all that was committed. A power cut
    /// can leave that, too: then what follows the gap was never promised.
    [[nodiscard]] const std::string& flaw() const noexcept { return flaw_; }
    /// Has it more than zeros, and SQLite reads nothing of that, or less than was committed? None
    /// of it need be readable: then flaw() does not tell of it.
    [[nodiscard]] bool has_unread() const noexcept { return unread_ || !flaw_.empty(); }
    /// Has it frames that no checksum proves, or no commit ends, or a part of one? A kill in the
    /// middle of a commit leaves such at its end, too: whether they were committed, commits that
    /// are missing tell.
    [[nodiscard]] bool has_unproved() const noexcept { return unproved_; }

private:
    struct Sums {
        std::uint32_t first = 0;
        std::uint32_t second = 0;
        bool operator==(const Sums&) const = default;
    };
    struct Frame {
        std::uint32_t page = 0;  ///< 0: the frame cannot be used
        std::uint32_t commit = 0;
        bool proved = false;  ///< by the checksum that the frame before, or the header, ends with
        bool turned = false;  ///< a bit of its head was turned back
    };

    [[nodiscard]] std::size_t frame_size() const;
    [[nodiscard]] bool was_used() const;
    void find_form();
    [[nodiscard]] std::string_view salts_of_frames() const;
    [[nodiscard]] bool is_frame(std::size_t at) const;
    [[nodiscard]] bool has_part_of_frame() const;
    [[nodiscard]] std::string_view salts_at(std::size_t at) const;
    [[nodiscard]] Sums sums_before(std::size_t at) const;
    [[nodiscard]] Sums summed(Sums sums, std::size_t at, std::size_t length) const;
    [[nodiscard]] Sums sums_at(std::size_t at) const;
    [[nodiscard]] bool has_sound_header() const;
    [[nodiscard]] Frame frame_at(std::size_t at, Sums before, bool ours) const;
    [[nodiscard]] bool is_likelier(const Frame& turned, const Frame& written, std::size_t at) const;
    [[nodiscard]] bool is_in_order(const Frame& frame, std::size_t at) const;
    [[nodiscard]] std::optional<double> likeness(std::uint32_t number, std::size_t page_at) const;
    void read();

    std::string_view bytes_;
    std::string_view database_;
    bool little_endian_ = true;
    bool header_ = false;  // it is sound
    std::size_t page_size_ = kPageSize;
    std::string_view salts_;  // of its frames; "": not known
    bool unread_ = false;     // by SQLite, all of it
    bool unproved_ = false;   // some frames
    std::map<std::uint32_t, std::string_view> pages_;
    std::uint32_t size_ = 0;
    std::string flaw_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_DAMAGED_LOG_HPP_
