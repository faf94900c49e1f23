// SPDX-License-Identifier: MIT
// Descriptors as values: Fd closes when it ends; ForkClosedFd is, besides, closed at once in every
// forked child.
//
// Why there is process-wide state here, and only here: fork() copies every descriptor of the
// process, no matter which thread opened it and which forks. A child that outlives its parent would
// keep the parent's locks and connections alive, and nothing but an atfork handler sees the child
// before its first own instruction. Such a handler takes no argument, so what it has to close must
// be found from a global: the registry of ForkClosedFd, a mutex round it, and the count of forks.
//
// Any thread may use these; one object belongs to one thread at a time. vfork(), posix_spawn() and
// raw clone() run no atfork handlers: their children go on to exec, where O_CLOEXEC does the work.
#ifndef XLSTORE_STORE_BASE_FD_HPP_
#define XLSTORE_STORE_BASE_FD_HPP_

#include <cstdint>
#include <utility>

namespace xlstore {

/// A descriptor that is closed with its owner.
class Fd {
public:
    Fd() noexcept = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept
    {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Hands the descriptor to the caller, who closes it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    /// Closes what is owned and owns `fd` from then on. Leaves errno as it was.
    void reset(int fd = -1) noexcept;

private:
    int fd_ = -1;
};

/// The same file at a number that stdin, stdout and stderr do not overwrite (the embedder may have
/// closed those); closes `fd` where the number is another. -1 with errno if there is none, or if
/// `fd` is. May be called between fork and exec.
[[nodiscard]] int above_stdio(int fd) noexcept;

/// While one lives, no other thread gets through fork(). Open a descriptor and give it to a
/// ForkClosedFd within one: a fork between the two would leave the child a copy that no thread
/// closes, and a lock taken later through that file description would live as long as the child.
///
/// Keep it short, and wait for nothing within. May be nested; a fork by the same thread passes, and
/// in that child the object must not be used or destroyed (go on to exec or _exit).
class NoFork {
public:
    NoFork() noexcept;
    NoFork(const NoFork&) = delete;
    NoFork& operator=(const NoFork&) = delete;
    ~NoFork();
};

/// A descriptor that no forked child keeps: for locks, monitors, xenstore and start barriers. In a
/// child the atfork handler has closed it before fork() returns; get() is -1 there, and the
/// destructor closes nothing (the number may be another file's by then).
class ForkClosedFd {
public:
    ForkClosedFd() noexcept = default;
    /// Owns and registers `fd`; -1 is taken as "none", with errno left as it was, so that
    /// ForkClosedFd fd(open(...)) can be tested like a descriptor. See NoFork.
    /// @throws IoError if the fork handlers could not be installed when the program was loaded;
    ///         `fd` is closed then.
    explicit ForkClosedFd(int fd);
    ForkClosedFd(ForkClosedFd&& other) noexcept;
    ForkClosedFd& operator=(ForkClosedFd&& other) noexcept;
    ForkClosedFd(const ForkClosedFd&) = delete;
    ForkClosedFd& operator=(const ForkClosedFd&) = delete;
    ~ForkClosedFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Closes, without a moment in which a fork could copy an unregistered descriptor. Leaves
    /// errno as it was.
    void reset() noexcept;

private:
    friend struct ForkRegistry;

    // The registry is a list through the objects themselves: registering allocates nothing, and
    // the child handler, which may call only async-signal-safe functions, can walk it.
    int fd_ = -1;
    ForkClosedFd* next_ = nullptr;      // guarded by the registry's mutex
    ForkClosedFd* previous_ = nullptr;  // likewise
};

/// Is `fd` registered by some ForkClosedFd? Such a number cannot be passed on through fork().
[[nodiscard]] bool is_fork_closed(int fd) noexcept;

/// How many forks lie between this process and the one that loaded the library. A handle keeps
/// the value of its creation.
[[nodiscard]] std::uint64_t fork_generation() noexcept;

/// Was a handle that was made at `generation` made in another process? It must refuse use then
/// (Errc::order): its locks and connections are its parent's.
[[nodiscard]] bool fork_poisoned(std::uint64_t generation) noexcept;

/// While one lives, this process has state that no forked child may use. Made before SQLite opens a
/// file, and ended after it has closed it: SQLite keeps tables of the files that it has open and
/// which locks it holds on them. The kernel gives a child none of these locks, but the tables say
/// that it has them, and a mutex that another thread held at the fork stays locked there for ever.
class ForkSensitive {
public:
    ForkSensitive() noexcept;
    ForkSensitive(const ForkSensitive&) = delete;
    ForkSensitive& operator=(const ForkSensitive&) = delete;
    ~ForkSensitive();
};
/// Is this a child that was forked while a ForkSensitive lived, and that has not gone on to exec?
/// It may use no store, not even open one anew.
[[nodiscard]] bool forked_beside_a_store() noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_FD_HPP_
