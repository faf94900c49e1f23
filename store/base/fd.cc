// SPDX-License-Identifier: MIT
// The registry is a list threaded through the objects themselves, so that linking allocates
// nothing. pthread_atfork() handlers are installed at load time: the mutex is taken before every
// fork, so that no other thread is half-way through an open, a close or a move when the copy is
// made; in the child every registered descriptor is closed and the count of forks goes up, with
// async-signal-safe calls alone.
#include "store/base/fd.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "store/base/error.hpp"

namespace xlstore {

namespace {

// Once only, even after EINTR: Linux has released the number by then, and another thread may own
// it already.
void close_keeping_errno(int fd) noexcept
{
    const int saved = errno;
    ::close(fd);
    errno = saved;
}

// Recursive, so that a ForkClosedFd may be made, moved and closed within a NoFork, and so that the
// thread that holds a NoFork may itself fork.
constexpr pthread_mutex_t kUnlocked = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
pthread_mutex_t registry_mutex = kUnlocked;
ForkClosedFd* registry_head = nullptr;  // guarded by registry_mutex

// Read without the mutex. Lock-free, or the child handler could not touch it.
std::atomic<std::uint64_t> generation_now{0};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

std::atomic<int> sensitive_now{0};
std::atomic<bool> forked_beside{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

}  // namespace

/// What the handlers and ForkClosedFd share. Every function but the handlers needs the mutex.
struct ForkRegistry {
    static void link(ForkClosedFd& node) noexcept
    {
        node.previous_ = nullptr;
        node.next_ = registry_head;
        if (registry_head) registry_head->previous_ = &node;
        registry_head = &node;
    }

    static void unlink(ForkClosedFd& node) noexcept
    {
        (node.previous_ ? node.previous_->next_ : registry_head) = node.next_;
        if (node.next_) node.next_->previous_ = node.previous_;
        node.next_ = node.previous_ = nullptr;
    }

    /// Does a registered object own `fd`?
    static bool contains(int fd) noexcept
    {
        for (const ForkClosedFd* node = registry_head; node; node = node->next_)
            if (node->fd_ == fd) return true;
        return false;
    }

    // prepare: no thread is half-way through an open, a close or a relinking when the copy is made.
    static void before_fork() noexcept { pthread_mutex_lock(&registry_mutex); }
    static void after_in_parent() noexcept { pthread_mutex_unlock(&registry_mutex); }

    // Only what is async-signal-safe: the forking process may have had other threads.
    static void after_in_child() noexcept
    {
        while (registry_head) {
            ForkClosedFd& node = *registry_head;
            close_keeping_errno(std::exchange(node.fd_, -1));
            unlink(node);
        }
        generation_now.fetch_add(1);
        if (sensitive_now.load() > 0) forked_beside.store(true);
        // Not unlocked: its owner is recorded by thread id, and the child's only thread has
        // another one. No thread waits for it here, so it can begin anew.
        registry_mutex = kUnlocked;
    }
};

namespace {

// At load time and not at first use: the lazy way takes a lock, and a fork by another thread while
// it is held would leave the child with that lock for ever.
const int handlers_error = pthread_atfork(
    &ForkRegistry::before_fork, &ForkRegistry::after_in_parent, &ForkRegistry::after_in_child);

}  // namespace

void Fd::reset(int fd) noexcept
{
    const int old = std::exchange(fd_, fd);
    if (old >= 0) close_keeping_errno(old);
}

int above_stdio(int fd) noexcept
{
    if (fd < 0 || fd > STDERR_FILENO) return fd;
    const int higher = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    close_keeping_errno(fd);
    return higher;
}

NoFork::NoFork() noexcept
{
    pthread_mutex_lock(&registry_mutex);
}

NoFork::~NoFork()
{
    pthread_mutex_unlock(&registry_mutex);
}

ForkClosedFd::ForkClosedFd(int fd)
{
    if (fd < 0) return;
    if (handlers_error != 0) {
        close_keeping_errno(fd);
        throw IoError(handlers_error, "cannot install fork handlers");
    }
    const NoFork no_fork;
    fd_ = fd;
    ForkRegistry::link(*this);
}

ForkClosedFd::ForkClosedFd(ForkClosedFd&& other) noexcept
{
    *this = std::move(other);
}

ForkClosedFd& ForkClosedFd::operator=(ForkClosedFd&& other) noexcept
{
    if (this == &other) return *this;
    const NoFork no_fork;
    reset();
    if (other.fd_ >= 0) {
        ForkRegistry::unlink(other);
        fd_ = std::exchange(other.fd_, -1);
        ForkRegistry::link(*this);
    }
    return *this;
}

void ForkClosedFd::reset() noexcept
{
    if (fd_ < 0) return;
    const NoFork no_fork;  // closing and unlinking are one step for a thread that forks
    ForkRegistry::unlink(*this);
    close_keeping_errno(std::exchange(fd_, -1));
}

bool is_fork_closed(int fd) noexcept
{
    const NoFork no_fork;
    return fd >= 0 && ForkRegistry::contains(fd);
}

std::uint64_t fork_generation() noexcept
{
    return generation_now.load();
}

ForkSensitive::ForkSensitive() noexcept
{
    sensitive_now.fetch_add(1);
}

ForkSensitive::~ForkSensitive()
{
    sensitive_now.fetch_sub(1);
}

bool forked_beside_a_store() noexcept
{
    return forked_beside.load();
}

bool fork_poisoned(std::uint64_t generation) noexcept
{
    return generation != fork_generation();
}

}  // namespace xlstore
