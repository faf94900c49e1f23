// SPDX-License-Identifier: MIT
// SEEK_DATA finds the blocks that take space, from the second on. A block is over if no incarnation
// with an id of its range is still to be destroyed and, in the file of the slow locks, no session
// of its range lives or is this one; then a hole is punched. Blocks are looked at and freed in
// slices of 64 under one hold of the writer lock, so that a writer waits for milliseconds.
#include "store/core/lock_slots.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "store/base/fd.hpp"

namespace xlstore {

namespace {

constexpr off_t kBlock = 4096;
constexpr std::int64_t kIdsPerBlock = kBlock / Locks::kBytesPerId;
static_assert(kBlock % Locks::kBytesPerId == 0);
// Looked at under one hold of the writer lock.
constexpr int kBlocksPerSlice = 64;

// One of the two files, from its second block on.
class Slots {
public:
    Slots(Store& store, LockKind kind) : store_(store), kind_(kind) {}

    Result<void> open(bool writing)
    {
        const LockFile& file = store_.locks().file(kind_);
        fd_ = Fd(::open(file.path().c_str(),
                        (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
        if (!fd_) return Error(Errc::io, "lock file " + file.path() + ": " + errno_text(errno));
        struct stat st {};
        if (fstat(fd_.get(), &st) != 0 || FileIdentity{st.st_dev, st.st_ino} != file.identity())
            return Error(Errc::lost, "lock file " + file.path() + " was replaced",
                         "close the store and open it anew");
        return {};
    }

    /// The next blocks that have space on disk. False: there are no more.
    Result<bool> slice(FreedSlots& freed, bool free)
    {
        for (int i = 0; i < kBlocksPerSlice; ++i) {
            at_ = lseek(fd_.get(), at_, SEEK_DATA);
            if (at_ < 0) return false;
            at_ -= at_ % kBlock;
            const auto over = is_over(at_ / kBlock);
            if (!over) return over.error();
            if (*over) {
                if (free && fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at_,
                                      kBlock) != 0)
                    return false;
                ++freed.blocks;
                freed.bytes += kBlock;
            }
            at_ += kBlock;
        }
        return true;
    }

private:
    // Of what will be given once there is nothing in the slots yet.
    Result<bool> is_over(std::int64_t block)
    {
        const std::int64_t first = block * kIdsPerBlock;
        const std::int64_t last = first + kIdsPerBlock - 1;
        {
            auto living = store_.db()
                              .prepare(
                                  "SELECT 1 FROM domain WHERE id BETWEEN ?1 AND ?2 AND state <> "
                                  "'destroyed' LIMIT 1")
                              .bind(first)
                              .bind(last);
            if (living.step()) return false;
        }
        if (kind_ != LockKind::slow) return true;  // both slots of an id are an incarnation's
        for (auto id = first; id <= last; ++id) {
            const auto held = store_.locks().is_held(LockKind::session, id);
            if (!held) return held.error();
            if (*held || id == store_.session()) return false;
        }
        return true;
    }

    Store& store_;
    LockKind kind_;
    Fd fd_;
    off_t at_ = kBlock;
};

}  // namespace

Result<FreedSlots> count_free_slots(Store& store, Deadline until)
{
    FreedSlots counted;
    for (const auto kind : {LockKind::fast, LockKind::slow}) {
        if (!store.locks().file(kind).may_lock()) continue;  // a member of the reading group
        Slots slots(store, kind);
        if (auto ok = slots.open(false); !ok) return ok.error();
        for (bool more = true; more;) {
            if (Clock::now() >= until) {
                counted.complete = false;
                return counted;
            }
            const auto sliced = slots.slice(counted, false);
            if (!sliced) return sliced.error();
            more = *sliced;
        }
    }
    return counted;
}

Task<Result<FreedSlots>> free_lock_slots(Store& store, Deadline until)
{
    FreedSlots freed;
    for (const auto kind : {LockKind::fast, LockKind::slow}) {
        Slots slots(store, kind);
        if (auto ok = slots.open(true); !ok) co_return ok.error();
        for (bool more = true; more;) {
            if (Clock::now() >= until) {
                freed.complete = false;
                co_return freed;
            }
            const auto section = [&](const WriterHold&) -> Result<bool> {
                return slots.slice(freed, true);
            };
            const auto sliced = co_await store.with_writer_lock("prune", until, section);
            if (!sliced) co_return sliced.error();
            more = *sliced;
        }
    }
    co_return freed;
}

}  // namespace xlstore
