// SPDX-License-Identifier: MIT
// Byte-range locks on open file descriptions (F_OFD_SETLK). The kernel drops them with the last
// descriptor of the description, so a killed holder holds nothing; they exclude two holds of one
// process as well as two processes, because each hold opens the file anew. Lock files are never
// unlinked, so there is no race over which inode is meant; that they were not replaced under us is
// checked at each hold (R17).
//
// Of a file whose releases wake no waiter, a description that is given back is kept for the next
// lock, unlocked: to open the file costs more than to lock it. In a forked child it is closed as
// any other.
//
// A holder writes who it is into its slot of the file (pwrite, no commit): the kernel does not name
// the holder of such a lock to those who find it taken. A slot is a claim, as of when it was
// written; only the lock is the truth. A slot also has room for a number, its generation.
#ifndef XLSTORE_STORE_LOCK_LOCK_FILE_HPP_
#define XLSTORE_STORE_LOCK_LOCK_FILE_HPP_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/directory_look.hpp"
#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/base/file_identity.hpp"

namespace xlstore {

/// Who holds or waits, in the holder's own words.
struct Claim {
    std::int64_t pid = 0;
    std::uint64_t start_time = 0;
    std::uint64_t pid_namespace = 0;
    std::int64_t since_us = 0;
    std::string program;
    std::string operation;
};
/// "attach (xl, pid 1234, since 12:00:05)", for messages.
[[nodiscard]] std::string describe(const Claim& claim);

enum class LockMode { shared, exclusive };
/// When it is looked whether the file of a lock is in place (R17): as soon as it is taken, or by
/// the caller, before anything is done under it.
enum class LookWhen { now, later };

/// Descriptions that hold nothing. Any thread may use them: a lock may be released by another than
/// the one that took it.
class IdleDescriptions {
public:
    /// None: open one.
    ForkClosedFd take();
    /// Closes it when there are enough. REQUIRES that it is open for writing and holds no lock.
    void put(ForkClosedFd fd);

private:
    std::mutex mutex_;
    std::array<ForkClosedFd, 2> kept_;  // an operation has a fast lock and the writer lock
};

/// One hold of one byte or of a range, or the attempt at one. Released when it is destroyed; in a
/// forked child it has been closed by then and is left alone.
class ByteLock {
public:
    ByteLock(ByteLock&&) noexcept = default;
    ByteLock& operator=(ByteLock&& other) noexcept;
    ByteLock(const ByteLock&) = delete;
    ByteLock& operator=(const ByteLock&) = delete;
    ~ByteLock() { release(); }

    /// Unlocks, and closes or keeps the description; a close wakes those who wait for this file's
    /// locks.
    void release() noexcept;
    /// False before it was taken, after release, and in a forked child.
    [[nodiscard]] bool held() const noexcept { return taken_ && static_cast<bool>(fd_); }
    /// The first one.
    [[nodiscard]] std::int64_t byte() const noexcept { return byte_; }

private:
    friend class LockFile;
    /// `idle`: where its description goes; null: it is closed.
    ByteLock(ForkClosedFd fd, std::int64_t byte, std::int64_t count,
             std::shared_ptr<IdleDescriptions> idle)
        : idle_(std::move(idle)), fd_(std::move(fd)), byte_(byte), count_(count)
    {}
    std::shared_ptr<IdleDescriptions> idle_;
    ForkClosedFd fd_;
    std::int64_t byte_;
    std::int64_t count_;
    bool taken_ = false;
};

class LockFile {
public:
    static constexpr std::int64_t kSlotBytes = 256;

    /// Creates the file, empty, if there is none; mode as given. @throws IoError
    static void create(const std::string& path, unsigned mode);
    /// Opens an existing one, read-only for those who only look. Who is not its owner (and not
    /// root) does not open it: a lock that a reader takes keeps the owner from its own. Error store
    /// when it is missing, a symlink or not a regular file.
    static Result<LockFile> open(const std::string& path, bool writing);
    /// From now on descriptions are kept. For a file of which no process waits for a close.
    void keep_descriptions() { idle_ = std::make_shared<IdleDescriptions>(); }
    /// From now on a look at its directory tells whether it is in place.
    void look_at(std::shared_ptr<DirectoryLook> directory) { directory_ = std::move(directory); }
    /// R17: the file that was opened still has its name.
    [[nodiscard]] bool in_place() const
    {
        return in_place(directory_ ? directory_->names_now() : std::nullopt);
    }
    /// The same. @param names  what that look said last
    [[nodiscard]] bool in_place(NamesState names) const { return name_.in_place(names); }
    /// False: this process looks at it from outside. Then nothing can be locked, no claim be read,
    /// and is_locked() asks the kernel's list.
    [[nodiscard]] bool may_lock() const noexcept { return static_cast<bool>(claims_); }

    /// A description of its own for `count` bytes from `byte`, nothing taken yet. A waiter keeps it
    /// over its tries: opening anew each time would look like a release to other waiters.
    /// For LockMode::shared the description is read-only. Error lost: the file was moved away or
    /// replaced (R17).
    /// Error store: see may_lock().
    Result<ByteLock> prepare(std::int64_t byte, LockMode mode = LockMode::exclusive,
                             std::int64_t count = 1) const;
    /// Takes it if no process holds a byte of it in a mode that excludes ours; never waits. False:
    /// another does. Error lost as above.
    Result<bool> try_take(ByteLock& lock, LockMode mode = LockMode::exclusive,
                          LookWhen look = LookWhen::now) const;
    /// Both in one. Nothing: another process holds it.
    Result<std::optional<ByteLock>> try_lock(std::int64_t byte, LockMode mode = LockMode::exclusive,
                                             std::int64_t count = 1,
                                             LookWhen look = LookWhen::now) const;
    /// Whether another process holds the byte now.
    Result<bool> is_locked(std::int64_t byte) const;
    /// The same of each, in their order: by one question where no byte from the lowest to the
    /// highest is held.
    Result<std::vector<bool>> are_locked(const std::vector<std::int64_t>& bytes) const;

    void write_claim(std::int64_t slot, const Claim& claim) const noexcept;
    void clear_claim(std::int64_t slot) const noexcept;
    /// Nothing: never written, cleared, or not readable as a claim.
    [[nodiscard]] std::optional<Claim> read_claim(std::int64_t slot) const;

    /// A line of text in place of a claim, for a slot that no lock has. One that cannot be written
    /// is left as it is.
    void write_line(std::int64_t slot, std::string_view text) const noexcept;
    /// Without the blanks at its end; "" when it was never written or cannot be read.
    [[nodiscard]] std::string read_line(std::int64_t slot) const;

    /// A slot's number; 0 when none was ever set. Claims leave it alone.
    [[nodiscard]] std::int64_t generation(std::int64_t slot) const;
    /// Error io: disk full, say; the old number stands.
    Result<void> set_generation(std::int64_t slot, std::int64_t generation) const;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const FileIdentity& identity() const noexcept { return identity_; }
    /// When it was made; see store/base/birth_time.hpp.
    [[nodiscard]] std::int64_t born_ns() const noexcept { return born_ns_; }

private:
    LockFile(std::string path, FileIdentity identity, std::int64_t born_ns, ForkClosedFd claims)
        : path_(std::move(path)),
          identity_(identity),
          name_(path_, identity),
          born_ns_(born_ns),
          claims_(std::move(claims))
    {}
    Result<ForkClosedFd> open_description(int access) const;
    [[nodiscard]] Error replaced() const;

    std::string path_;
    FileIdentity identity_;
    NamedFile name_;
    std::shared_ptr<DirectoryLook> directory_;
    std::int64_t born_ns_;
    ForkClosedFd claims_;  // for reading and writing slots; never holds a lock
    std::shared_ptr<IdleDescriptions> idle_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_LOCK_LOCK_FILE_HPP_
