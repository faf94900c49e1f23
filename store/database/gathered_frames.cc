// SPDX-License-Identifier: MIT
#include "store/database/gathered_frames.hpp"

#include <cstring>

namespace xlstore {

namespace {

// In the header of a frame: pages of the database after the commit; 0: not the last frame of one.
constexpr int kPagesAt = 4;

bool ends_commit(const char* header)
{
    for (int i = 0; i < 4; ++i)
        if (header[kPagesAt + i] != 0) return true;
    return false;
}

bool may_be_page(int size)
{
    return size >= 512 && (size & (size - 1)) == 0;
}

}  // namespace

void GatheredFrames::begin() noexcept
{
    size_ = 0;
    next_ = kAnywhere;
    in_frame_ = false;
    last_ = false;
}

// A header that comes first is one: SQLite rewrites headers only in a transaction that has written
// frames before.
bool GatheredFrames::follows(int size, std::int64_t at) const noexcept
{
    if (!memory_) return false;
    if (in_frame_) return at == next_ && may_be_page(size) && size <= kCapacity - size_;
    return size == kFrameHeader && (next_ == kAnywhere || at == next_) &&
           size_ + kFrameHeader + page_ <= kCapacity;
}

bool GatheredFrames::keep(const void* what, int size, std::int64_t at) noexcept
{
    if (size_ == 0) at_ = at;
    std::memcpy(memory_ + size_, what, static_cast<std::size_t>(size));
    if (in_frame_)
        page_ = size;
    else
        last_ = ends_commit(memory_ + size_);
    size_ += size;
    next_ = at + size;
    in_frame_ = !in_frame_;
    return !in_frame_ && last_;
}

}  // namespace xlstore
