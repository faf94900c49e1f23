// SPDX-License-Identifier: MIT
// The pages that a transaction writes into SQLite's log, kept together until the last one of the
// commit, and then written by one call: SQLite itself makes two calls for each page.
//
// SQLite marks the last frame of a commit in its header, and shows a frame to other connections
// only after that one was written: what is kept here is no part of a commit yet. A frame is kept
// only when it follows the one before; what SQLite writes anywhere else goes straight to the file,
// after what is kept.
#ifndef XLSTORE_STORE_DATABASE_GATHERED_FRAMES_HPP_
#define XLSTORE_STORE_DATABASE_GATHERED_FRAMES_HPP_

#include <cstdint>

namespace xlstore {

/// A frame is a header of this length, and a page behind it.
inline constexpr int kFrameHeader = 24;

/// What is gathered of one log. It allocates nothing: the memory is the caller's. Two calls make a
/// frame: its header, then its page.
class GatheredFrames {
public:
    /// SQLite's layer makes one call of what is shorter than 128 KiB.
    static constexpr int kCapacity = 120 << 10;

    /// `memory` has room for kCapacity bytes; null: nothing is gathered.
    explicit GatheredFrames(char* memory = nullptr) noexcept : memory_(memory) {}

    /// A transaction begins or is over: what is still kept was not committed.
    void begin() noexcept;
    /// Whether this write is to be kept: it follows the last frame, and there is room for it.
    [[nodiscard]] bool follows(int size, std::int64_t at) const noexcept;
    /// Keeps it. True: it completes a commit, so that all that is kept is to be written now.
    /// REQUIRES follows().
    bool keep(const void* what, int size, std::int64_t at) noexcept;
    /// All that was kept is in the file.
    void written() noexcept { size_ = 0; }

    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] bool overlaps(int size, std::int64_t at) const noexcept
    {
        return size_ > 0 && at < at_ + size_ && at_ < at + size;
    }
    [[nodiscard]] const char* bytes() const noexcept { return memory_; }
    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] std::int64_t at() const noexcept { return at_; }
    [[nodiscard]] char* memory() const noexcept { return memory_; }

private:
    static constexpr std::int64_t kAnywhere = -1;

    char* memory_;
    int size_ = 0;
    std::int64_t at_ = 0;
    std::int64_t next_ = kAnywhere;  // where the next write of this transaction belongs
    int page_ = 64 << 10;            // of this log; at first the largest that there is
    bool in_frame_ = false;          // its header came, its page did not
    bool last_ = false;              // that header is of the last frame of a commit
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_GATHERED_FRAMES_HPP_
