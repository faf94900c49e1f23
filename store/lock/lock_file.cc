// SPDX-License-Identifier: MIT
// A lock is prepared (with a description that is this lock's own: a kept one, or the file is opened
// anew) and then tried, as often as it takes: F_OFD_SETLK never waits. A slot is a line of text of
// fixed length, written and read with one pwrite or pread and without a lock, so that a reader may
// see a torn one: what does not parse is no claim.
#include "store/lock/lock_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>

#include "store/base/birth_time.hpp"
#include "store/base/shortage.hpp"
#include "store/lock/kernel_locks.hpp"
#include "store/text/number_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

// A slot: a line for the claim, and a shorter one for the generation.
constexpr std::size_t kClaimBytes = 240;
constexpr std::size_t kGenerationBytes = 16;
static_assert(kClaimBytes + kGenerationBytes == LockFile::kSlotBytes);

struct flock lock_range(short type, std::int64_t byte, std::int64_t count)
{
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = byte;
    range.l_len = count;
    return range;  // l_pid stays 0, as F_OFD_* demand
}

}  // namespace

std::string describe(const Claim& claim)
{
    const std::time_t seconds = claim.since_us / 1'000'000;
    std::tm parts{};
    localtime_r(&seconds, &parts);
    std::array<char, 16> clock{};
    std::strftime(clock.data(), clock.size(), "%H:%M:%S", &parts);
    return claim.operation + " (" + claim.program + ", pid " + std::to_string(claim.pid) +
           ", since " + clock.data() + ")";
}

ForkClosedFd IdleDescriptions::take()
{
    const std::lock_guard lock(mutex_);
    for (auto& kept : kept_)
        if (kept) return std::move(kept);
    return {};
}

void IdleDescriptions::put(ForkClosedFd fd)
{
    const std::lock_guard lock(mutex_);
    for (auto& kept : kept_) {
        if (kept) continue;
        kept = std::move(fd);
        return;
    }
}

ByteLock& ByteLock::operator=(ByteLock&& other) noexcept
{
    if (this != &other) {
        release();
        idle_ = std::move(other.idle_);
        fd_ = std::move(other.fd_);
        byte_ = other.byte_;
        count_ = other.count_;
        taken_ = other.taken_;
    }
    return *this;
}

void ByteLock::release() noexcept
{
    if (!fd_) return;
    // Unlocked by name, not only closed: a descriptor that leaked into another process would keep
    // the lock alive.
    auto range = lock_range(F_UNLCK, byte_, count_);
    const bool free = !taken_ || fcntl(fd_.get(), F_OFD_SETLK, &range) == 0;
    taken_ = false;
    if (free && idle_) idle_->put(std::move(fd_));
    fd_.reset();
}

void LockFile::create(const std::string& path, unsigned mode)
{
    const Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode));
    if (!fd) throw IoError(errno, "cannot create lock file " + path);
}

// O_NONBLOCK here and below: of a FIFO that has the file's name, an open for reading would wait for
// a writer.
Result<LockFile> LockFile::open(const std::string& path, bool writing)
{
    struct stat named {};
    const bool is_named = lstat(path.c_str(), &named) == 0;
    if (!writing && geteuid() != 0 && is_named && named.st_uid != geteuid() &&
        S_ISREG(named.st_mode))
        return LockFile(path, FileIdentity{named.st_dev, named.st_ino}, 0, ForkClosedFd());
    ForkClosedFd fd(
        ::open(path.c_str(), (writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) {
        const int why = errno;
        const std::string what = "lock file " + path + " cannot be opened: " + errno_text(why);
        const bool readable = writing && named.st_uid == geteuid() && S_ISREG(named.st_mode);
        if (why == EROFS || (why == EACCES && readable)) return read_only(what);
        if (const char* advice = shortage_advice(why)) return Error(Errc::io, what, advice);
        return Error(Errc::store, what, "run as the owner of the store");
    }
    struct stat st {};
    if (fstat(fd.get(), &st) != 0) throw IoError(errno, "cannot stat lock file " + path);
    if (!S_ISREG(st.st_mode))
        return Error(Errc::store, "lock file " + path + " is not a regular file",
                     "move it away: a lock file holds no data, and is made anew");
    const auto born_ns = birth_time(fd.get());
    return LockFile(path, FileIdentity{st.st_dev, st.st_ino}, born_ns, std::move(fd));
}

Error LockFile::replaced() const
{
    return Error(Errc::lost,
                 "lock file " + path_ + " was removed or replaced since the store was opened",
                 "close the store and open it anew");
}

Result<ForkClosedFd> LockFile::open_description(int access) const
{
    if (!may_lock())
        return Error(Errc::store,
                     "lock file " + path_ + " can be opened by the owner of the store alone",
                     "run as the owner of the store");
    const NoFork no_fork;  // a child made between open and registration would share the hold
    ForkClosedFd fd(::open(path_.c_str(), access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) {
        const int why = errno;
        if (why == ENOENT || why == ELOOP) return replaced();
        const std::string what = "lock file " + path_ + " cannot be opened: " + errno_text(why);
        const bool to_write = access == O_RDWR;
        if (why == EROFS || (why == EACCES && to_write)) return read_only(what);
        const char* advice = shortage_advice(why);
        return Error(Errc::io, what, advice ? advice : "");
    }
    const auto opened = identity_of_open(fd.get());
    if (!opened) throw IoError(errno, "cannot stat lock file " + path_);
    if (opened != identity_) return replaced();
    return fd;
}

Result<ByteLock> LockFile::prepare(std::int64_t byte, LockMode mode, std::int64_t count) const
{
    const bool exclusive = mode == LockMode::exclusive;
    if (exclusive && idle_)
        if (auto kept = idle_->take()) return ByteLock(std::move(kept), byte, count, idle_);
    auto fd = open_description(exclusive ? O_RDWR : O_RDONLY);
    if (!fd) return std::move(fd).error();
    return ByteLock(*std::move(fd), byte, count, exclusive ? idle_ : nullptr);
}

Result<bool> LockFile::try_take(ByteLock& lock, LockMode mode, LookWhen look) const
{
    auto range =
        lock_range(mode == LockMode::exclusive ? F_WRLCK : F_RDLCK, lock.byte_, lock.count_);
    if (fcntl(lock.fd_.get(), F_OFD_SETLK, &range) != 0) {
        if (errno == EAGAIN || errno == EACCES) return false;
        throw IoError(errno, "cannot lock " + path_);
    }
    lock.taken_ = true;
    // R17: a lock on a file that no other process will look at.
    if (look == LookWhen::now && !in_place()) {
        lock.release();
        return replaced();
    }
    return true;
}

Result<std::optional<ByteLock>> LockFile::try_lock(std::int64_t byte, LockMode mode,
                                                   std::int64_t count, LookWhen look) const
{
    auto lock = prepare(byte, mode, count);
    if (!lock) return std::move(lock).error();
    const auto taken = try_take(*lock, mode, look);
    if (!taken) return taken.error();
    if (!*taken) return std::optional<ByteLock>();
    return std::optional<ByteLock>(*std::move(lock));
}

Result<bool> LockFile::is_locked(std::int64_t byte) const
{
    const auto locked = are_locked({byte});
    if (!locked) return locked.error();
    return static_cast<bool>(locked->front());
}

Result<std::vector<bool>> LockFile::are_locked(const std::vector<std::int64_t>& bytes) const
{
    std::vector<bool> locked(bytes.size(), false);
    if (bytes.empty()) return locked;
    if (!may_lock()) {
        const auto ranges = locked_ranges(identity_.inode);
        if (!ranges) return ranges.error();
        for (std::size_t i = 0; i < bytes.size(); ++i)
            locked[i] = std::ranges::any_of(*ranges, [&](const LockedRange& range) -> bool {
                return range.first <= bytes[i] && bytes[i] <= range.last;
            });
        return locked;
    }
    // Read-only: closing a writable description would wake those who wait for the slow lock.
    auto fd = open_description(O_RDONLY);
    if (!fd) return std::move(fd).error();
    const auto held = [&](std::int64_t first, std::int64_t count) -> bool {
        auto range = lock_range(F_WRLCK, first, count);
        if (fcntl(fd->get(), F_OFD_GETLK, &range) != 0)
            throw IoError(errno, "cannot query locks of " + path_);
        return range.l_type != F_UNLCK;
    };
    const auto [lowest, highest] = std::ranges::minmax(bytes);
    if (!held(lowest, highest - lowest + 1)) return locked;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        locked[i] = held(bytes[i], 1);
    return locked;
}

// One line of text a slot, so that the file can be read by eye:
//   PID START PID_NAMESPACE SINCE_US PROGRAM OPERATION…\n
void LockFile::write_claim(std::int64_t slot, const Claim& claim) const noexcept
try {
    std::string all;
    all.reserve(kClaimBytes);
    all.append(std::to_string(claim.pid)).append(1, ' ');
    all.append(std::to_string(claim.start_time)).append(1, ' ');
    all.append(std::to_string(claim.pid_namespace)).append(1, ' ');
    all.append(std::to_string(claim.since_us)).append(1, ' ');
    all.append(claim.program).append(1, ' ').append(claim.operation);
    // A claim is for people: one that cannot be written (full disk) must not stop the operation.
    write_line(slot, plain_text(all, kClaimBytes - 1));
} catch (const std::bad_alloc&) {
    clear_claim(slot);  // rather none than that of the holder before
}

void LockFile::write_line(std::int64_t slot, std::string_view text) const noexcept
{
    std::array<char, kClaimBytes> line{};
    line.fill(' ');
    line.back() = '\n';
    if (text.size() >= line.size()) return;
    text.copy(line.data(), text.size());
    [[maybe_unused]] const auto n =
        pwrite(claims_.get(), line.data(), line.size(), slot * kSlotBytes);
}

std::string LockFile::read_line(std::int64_t slot) const
{
    std::array<char, kClaimBytes> bytes{};
    const auto n = pread(claims_.get(), bytes.data(), bytes.size(), slot * kSlotBytes);
    if (n <= 0) return {};
    std::string_view line(bytes.data(), static_cast<std::size_t>(n));
    line = line.substr(0, line.find('\n'));
    return std::string(line.substr(0, line.find_last_not_of(' ') + 1));
}

void LockFile::clear_claim(std::int64_t slot) const noexcept
{
    std::array<char, kClaimBytes> line{};
    line.fill(' ');
    line.back() = '\n';
    [[maybe_unused]] const auto n =
        pwrite(claims_.get(), line.data(), line.size(), slot * kSlotBytes);
}

std::optional<Claim> LockFile::read_claim(std::int64_t slot) const
{
    std::array<char, kClaimBytes> bytes{};
    const auto n = pread(claims_.get(), bytes.data(), bytes.size(), slot * kSlotBytes);
    if (n <= 0) return std::nullopt;
    std::string_view line(bytes.data(), static_cast<std::size_t>(n));
    line = line.substr(0, line.find('\n'));
    const auto last = line.find_last_not_of(" \0");
    if (last == std::string_view::npos) return std::nullopt;
    line = line.substr(0, last + 1);
    Claim claim;
    if (!parse_number(next_word(line), claim.pid) ||
        !parse_number(next_word(line), claim.start_time) ||
        !parse_number(next_word(line), claim.pid_namespace) ||
        !parse_number(next_word(line), claim.since_us))
        return std::nullopt;
    // Any process that may open the file may have written it.
    claim.program = plain_text(next_word(line), kClaimBytes);
    claim.operation = plain_text(line, kClaimBytes);
    return claim;
}

std::int64_t LockFile::generation(std::int64_t slot) const
{
    std::array<char, kGenerationBytes> bytes{};
    const off_t at = slot * kSlotBytes + static_cast<off_t>(kClaimBytes);
    const auto n = pread(claims_.get(), bytes.data(), bytes.size(), at);
    if (n <= 0) return 0;
    std::string_view line(bytes.data(), static_cast<std::size_t>(n));
    std::int64_t value = 0;
    // What cannot be read is 0 for each process, so that all still agree.
    return parse_number(next_word(line), value) ? value : 0;
}

Result<void> LockFile::set_generation(std::int64_t slot, std::int64_t generation) const
{
    std::string line = std::to_string(generation);
    line.resize(kGenerationBytes - 1, ' ');
    line.push_back('\n');
    const off_t at = slot * kSlotBytes + static_cast<off_t>(kClaimBytes);
    errno = ENOSPC;  // a short write sets none
    if (pwrite(claims_.get(), line.data(), line.size(), at) != static_cast<ssize_t>(line.size()))
        return Error(Errc::io, "lock file " + path_ + " cannot be written: " + errno_text(errno),
                     "nothing was changed");
    return {};
}

}  // namespace xlstore
