// SPDX-License-Identifier: MIT
// How a lock is acquired.
//
// Fast, destroy and writer lock (acquire): try; spin for 50 us, which is longer than most sections;
// then try again on the loop's timer, from 0.2 ms to 5 ms apart, until the deadline.
//
// Slow lock (acquire_slow):
//   1. If another operation of this process waits for it already, stand behind that one.
//   2. If the lock was broken, its byte is another one by now: prepare that one.
//   3. Try. If it is taken, put an inotify watch on the file, show that this process waits, and try
//      once more: a release between the two is seen by one of them.
//   4. Wait for the watch (each release closes the file) or a timer of 5 to 40 ms, then from 2
//      again. The timer finds what gives no event: a holder that died while a copy of its
//      descriptor lived on.
//
// The memory of the directory (R17) is one line in three files, written without errors: what cannot
// be written is not remembered, and remembered() takes the highest numbers of what can be read.
#include "store/lock/locks.hpp"

#include <sched.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <new>

#include "store/base/birth_time.hpp"
#include "store/base/clock.hpp"
#include "store/lock/kernel_locks.hpp"
#include "store/lock/lock_holders.hpp"
#include "store/model/store_paths.hpp"
#include "store/testing/mutation.hpp"

namespace xlstore {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// Byte offsets. They lie far above the slots; a lock needs no byte of the file to exist.
constexpr std::int64_t kFastBase = std::int64_t{1} << 40;
constexpr std::int64_t kSessionBase = std::int64_t{1} << 41;
constexpr std::int64_t kSessionCount = std::int64_t{1} << 40;
constexpr std::int64_t kWriterByte = std::int64_t{1} << 43;
constexpr std::array<const char*, 2> kFiles = {"/locks", "/slow"};
constexpr unsigned kMode = 0600;
// In `slow`: an id lies below this, its generation above.
constexpr int kGenerationShift = 40;
constexpr std::int64_t kGenerationMask = (std::int64_t{1} << 22) - 1;

// A section lasts some 20 µs: most waits end while spinning.
constexpr auto kSpin = microseconds(50);
constexpr auto kRetryFirst = microseconds(200);
constexpr auto kRetryMost = milliseconds(5);
// A holder that is killed while a copy of its descriptor lives on gives no event.
constexpr auto kSlowRetryFirst = milliseconds(5);
constexpr auto kSlowRetryMost = milliseconds(40);

// `slow`: even slots an incarnation's holder, odd ones a session that waits. `locks`: even slots
// the fast lock, odd ones the destroy lock; slot 0 is the writer lock's, since ids begin at 1. For
// the same reason slot 1 is free in both: it has what the directory remembers.
constexpr std::int64_t kMemorySlot = 1;

std::int64_t slot_of(LockKind kind, std::int64_t id)
{
    switch (kind) {
    case LockKind::slow:
    case LockKind::fast:
        return 2 * id;
    case LockKind::destroy:
        return 2 * id + 1;
    case LockKind::session:
    case LockKind::writer:
        break;
    }
    return 0;
}

std::int64_t waiter_slot(std::int64_t session)
{
    return 2 * session + 1;
}

}  // namespace

void Locks::create(const std::string& directory)
{
    for (const char* name : kFiles)
        LockFile::create(directory + name, kMode);
}

bool Locks::close_to_group(const std::string& directory)
{
    bool was_open = false;
    for (const char* name : kFiles) {
        const std::string path = directory + name;
        struct stat st {};
        if (lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 0777) == kMode)
            continue;
        if (chmod(path.c_str(), kMode) != 0) throw IoError(errno, "cannot chmod " + path);
        was_open = was_open || (st.st_mode & 0077) != 0;
    }
    return was_open;
}

Result<Locks> Locks::open(const std::string& directory, bool writing)
{
    auto locks = LockFile::open(StorePaths(directory).locks(), writing);
    if (!locks) return std::move(locks).error();
    auto slow = LockFile::open(StorePaths(directory).slow_locks(), writing);
    if (!slow) return std::move(slow).error();
    locks->keep_descriptions();  // not of `slow`: to close that one wakes those who wait
    return Locks(directory, *std::move(locks), *std::move(slow), writing);
}

Locks::Locks(const std::string& directory, LockFile locks, LockFile slow, bool writing)
    : locks_(std::move(locks)),
      slow_(std::move(slow)),
      directory_(std::make_shared<DirectoryLook>(directory)),
      spare_path_(StorePaths(directory).spare()),
      writing_(writing)
{
    locks_.look_at(directory_);
    slow_.look_at(directory_);
}

std::int64_t Locks::byte(LockKind kind, std::int64_t id) const
{
    switch (kind) {
    case LockKind::slow: {
        const auto generation = slow_.generation(slot_of(LockKind::slow, id)) & kGenerationMask;
        return (generation << kGenerationShift) + id;
    }
    case LockKind::fast:
        return kFastBase + 2 * id;
    case LockKind::destroy:
        return kFastBase + 2 * id + 1;
    case LockKind::session:
        return kSessionBase + id;
    case LockKind::writer:
        break;
    }
    return kWriterByte;
}

const LockFile& Locks::file(LockKind kind) const noexcept
{
    return kind == LockKind::slow ? slow_ : locks_;
}

namespace {

constexpr const char* kBusyAdvice =
    "wait for the holder, or see 'xlstore locks' for who holds what and whether it lives";

// The claim, where the kernel has nothing against it: a copied descriptor keeps a lock, and so does
// a process that makes no claim.
std::string holder_among(const std::vector<LockHolder>& holders, const std::optional<Claim>& claim)
{
    const bool may_be =
        holders.empty() || (claim && life_of(process_of(*claim)) == Life::unknown);
    if (claim &&
        (may_be || std::ranges::find(holders, claim->pid, &LockHolder::pid) != holders.end()))
        return describe_holder(*claim);
    return describe(holders);
}

Errc code_of_failure(Deadline until)
{
    return until == kOneTry ? Errc::busy : Errc::timeout;
}

std::string not_to_be_had(LockKind kind, const std::string& subject, Deadline until)
{
    return "the " + std::string(lock_name(kind)) + (subject.empty() ? "" : " of " + subject) +
           (until == kOneTry ? " is not free" : " was not to be had in time");
}

// By the claim alone: one file of /proc is read for it, and not those of every process.
std::string claimed_by(const std::optional<Claim>& claim)
{
    if (!claim) return "; its holder made no claim: 'xlstore locks' asks the kernel who it is";
    if (life_of(process_of(*claim)) == Life::dead)
        return "; it was held by " + describe(*claim) +
               ", which has ended: 'xlstore locks' asks the kernel who keeps it";
    return "; held by " + describe_holder(*claim);
}

}  // namespace

Task<Error> Locks::not_acquired(Loop& loop, LockKind kind, std::int64_t id, std::string subject,
                                Deadline until) const
{
    std::string message = not_to_be_had(kind, subject, until);
    if (until == kOneTry)
        co_return Error(code_of_failure(until), message + claimed_by(claim(kind, id)), kBusyAdvice);
    const LockedBytes bytes{byte(kind, id), byte(kind, id)};
    const auto holders =
        co_await find_lock_holders(loop, file(kind).path(), file(kind).identity(), bytes);
    if (const auto who = holder_among(holders, claim(kind, id)); !who.empty())
        message += "; held by " + who;
    co_return Error(code_of_failure(until), message, kBusyAdvice);
}

// Of those who stand behind another operation of this process: the kernel is not asked once for
// each of them.
Error Locks::still_behind(std::int64_t id, const std::string& subject, std::size_t before,
                          Deadline until) const
{
    std::string message = not_to_be_had(LockKind::slow, subject, until) + "; " +
                          std::to_string(before) + (before == 1 ? " operation" : " operations") +
                          " of this process came before this one";
    if (const auto who = holder(LockKind::slow, id); !who.empty()) message += "; held by " + who;
    return Error(code_of_failure(until), std::move(message), kBusyAdvice);
}

Task<Result<ByteLock>> Locks::acquire(Loop& loop, LockKind kind, std::int64_t id, Claim claim,
                                      std::string subject, Deadline until) const
{
    if (auto in_order = LockOrder::may_take(kind); !in_order) co_return in_order.error();
    if (kind == LockKind::slow)
        co_return co_await acquire_slow(loop, id, std::move(claim), std::move(subject), until);

    const auto begun = Clock::now();
    auto pause = std::chrono::duration_cast<Clock::duration>(kRetryFirst);
    auto lock = file(kind).prepare(byte(kind, id));
    if (!lock) co_return std::move(lock).error();
    for (;;) {
        const auto taken = file(kind).try_take(*lock);
        if (!taken) co_return taken.error();
        if (*taken || (kind == LockKind::fast && XLSTORE_MUTATION("fast lock"))) {
            file(kind).write_claim(slot_of(kind, id), claim);
            co_return *std::move(lock);
        }
        const auto now = Clock::now();
        if (now >= until)
            co_return co_await not_acquired(loop, kind, id, std::move(subject), until);
        if (now - begun < kSpin) {
            sched_yield();
            continue;
        }
        (void)co_await loop.sleep(std::min(until, now + pause));
        pause = std::min<Clock::duration>(pause * 2, kRetryMost);
    }
}

/// A place in the queue that other processes can see; taken back on every way out, cancellation
/// included.
class Locks::Waiting {
public:
    Waiting(const Locks& locks, Wait wait) : locks_(locks)
    {
        place_.emplace(locks_.queue_, std::move(wait));
        locks_.show_waits();
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting()
    {
        place_.reset();
        locks_.show_waits();
    }
    [[nodiscard]] SlowQueue::Place& place() noexcept { return *place_; }

private:
    const Locks& locks_;
    std::optional<SlowQueue::Place> place_;
};

void Locks::show_waits() const noexcept
try {
    if (session_ == 0) return;
    const Wait* longest = queue_.longest();
    if (!longest) {
        slow_.clear_claim(waiter_slot(session_));
        return;
    }
    Claim shown = longest->claim;
    shown.operation = std::to_string(longest->id) + ' ' + shown.operation;
    if (queue_.size() > 1)
        shown.operation += ", and " + std::to_string(queue_.size() - 1) + " more";
    slow_.write_claim(waiter_slot(session_), shown);
} catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
    // It is for people: who waits without being shown waits all the same.
}

std::optional<Wait> Locks::waiter(std::int64_t session) const
{
    auto claim = slow_.read_claim(waiter_slot(session));
    if (!claim) return std::nullopt;
    Wait wait{0, *std::move(claim)};
    std::string& text = wait.claim.operation;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, wait.id);
    if (error != std::errc() || at == end || *at != ' ') return std::nullopt;
    text.erase(0, static_cast<std::size_t>(at - text.data()) + 1);
    return wait;
}

Task<Result<ByteLock>> Locks::acquire_slow(Loop& loop, std::int64_t id, Claim claim,
                                           std::string subject, Deadline until) const
{
    std::optional<Waiting> waiting;
    if (queue_.waiting_for(id) > 0) {
        waiting.emplace(*this, Wait{id, claim});
        if (!co_await waiting->place().turn(loop, until))
            co_return still_behind(id, subject, waiting->place().before(), until);
    }
    auto pause = std::chrono::duration_cast<Clock::duration>(kSlowRetryFirst);
    auto lock = slow_.prepare(byte(LockKind::slow, id));
    if (!lock) co_return std::move(lock).error();
    bool watching = false;
    bool prepared = true;
    Fd events;
    for (;;) {
        if (!std::exchange(prepared, false) && !still_current(*lock, id)) {
            lock = slow_.prepare(byte(LockKind::slow, id));
            if (!lock) co_return std::move(lock).error();
        }
        const auto taken = slow_.try_take(*lock);
        if (!taken) co_return taken.error();
        if (*taken || XLSTORE_MUTATION("slow lock")) {
            if (waiting) claim.since_us = now_us();
            slow_.write_claim(slot_of(LockKind::slow, id), claim);
            co_return *std::move(lock);
        }
        if (Clock::now() >= until)
            co_return co_await not_acquired(loop, LockKind::slow, id, std::move(subject), until);
        if (!std::exchange(watching, true)) {
            // The watch first, then one more try: a release in between is seen by one of the two.
            events = Fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
            if (events && inotify_add_watch(events.get(), slow_.path().c_str(), IN_CLOSE_WRITE) < 0)
                events.reset();  // out of watches: the timer alone does it, a little later
            if (!waiting) waiting.emplace(*this, Wait{id, claim});
            continue;
        }
        const auto next = std::min(until, Clock::now() + pause);
        pause = std::min<Clock::duration>(pause * 2, kSlowRetryMost);
        if (!events) {
            (void)co_await loop.sleep(next);
        } else if (co_await loop.readable(events.get(), next)) {
            std::array<char, 4096> ignored{};
            while (read(events.get(), ignored.data(), ignored.size()) > 0) {
            }
        }
    }
}

Result<std::optional<ByteLock>> Locks::try_acquire(LockKind kind, std::int64_t id,
                                                   const std::optional<Claim>& claim,
                                                   LookWhen look) const
{
    if (auto in_order = LockOrder::may_take(kind); !in_order) return in_order.error();
    auto lock = file(kind).try_lock(byte(kind, id), LockMode::exclusive, 1, look);
    if (lock && *lock && claim) file(kind).write_claim(slot_of(kind, id), *claim);
    return lock;
}

Result<std::optional<ByteLock>> Locks::try_new(LockKind kind, std::int64_t id,
                                               const Claim& claim) const
{
    auto lock = file(kind).try_lock(byte(kind, id));
    if (lock && *lock && kind == LockKind::slow) file(kind).write_claim(slot_of(kind, id), claim);
    return lock;
}

Result<std::optional<ByteLock>> Locks::try_shared(LockKind kind, std::int64_t id) const
{
    return file(kind).try_lock(byte(kind, id), LockMode::shared);
}

Result<std::optional<ByteLock>> Locks::try_all_sessions() const
{
    return locks_.try_lock(kSessionBase, LockMode::exclusive, kSessionCount);
}

Result<std::vector<bool>> Locks::are_held(LockKind kind, const std::vector<std::int64_t>& ids) const
{
    // The generation is not to be read from outside; a broken lock is held in another one.
    if (kind == LockKind::slow && !slow_.may_lock()) {
        const auto ranges = locked_ranges(slow_.identity().inode);
        if (!ranges) return ranges.error();
        std::vector<bool> held;
        for (const auto id : ids)
            held.push_back(std::ranges::any_of(*ranges, [&](const LockedRange& range) -> bool {
                return (range.first & ((std::int64_t{1} << kGenerationShift) - 1)) == id;
            }));
        return held;
    }
    std::vector<std::int64_t> bytes;
    for (const auto id : ids)
        bytes.push_back(byte(kind, id));
    return file(kind).are_locked(bytes);
}

std::optional<Claim> Locks::claim(LockKind kind, std::int64_t id) const
{
    if (kind == LockKind::session) return std::nullopt;  // the row of the session says it
    return file(kind).read_claim(slot_of(kind, id));
}

std::string Locks::holder(LockKind kind, std::int64_t id) const
{
    const auto who = claim(kind, id);
    return who ? describe_holder(*who) : std::string();
}

void Locks::clear_claim(LockKind kind, std::int64_t id) const noexcept
{
    file(kind).clear_claim(slot_of(kind, id));
}

Result<void> Locks::break_slow(std::int64_t id) const
{
    const auto slot = slot_of(LockKind::slow, id);
    return slow_.set_generation(slot, (slow_.generation(slot) + 1) & kGenerationMask);
}

bool Locks::still_current(const ByteLock& slow, std::int64_t id) const
{
    return slow.byte() == byte(LockKind::slow, id);
}

void Locks::wake_slow_waiters() const
{
    (void)slow_.prepare(0);  // opened for writing and closed: that is what they watch for
}

namespace {

LineFile line_file(const LockFile& file)
{
    return LineFile{file.identity().inode, file.born_ns()};
}

}  // namespace

const LockFile* Locks::spare() const
{
    if (!locks_.may_lock()) return nullptr;
    if (spare_ && spare_->in_place(directory_->names_last())) return &*spare_;
    spare_.reset();
    wrote_lines_ = false;
    if (!file_identity(spare_path_)) return nullptr;
    if (auto opened = LockFile::open(spare_path_, writing_)) spare_ = *std::move(opened);
    return spare_ ? &*spare_ : nullptr;
}

void Locks::remember(const Numbers& numbers) const noexcept
try {
    const std::array<const LockFile*, kMemories> files = {&locks_, &slow_,
                                                          spare_ ? &*spare_ : nullptr};
    const std::string words = numbers_words(numbers);
    for (std::size_t i = 0; i < files.size(); ++i) {
        if (!files[i]) continue;
        MemoryLine line{numbers_line(words, line_file(*files[i])), {}};
        files[i]->write_line(kMemorySlot, line.text);
        line.read = NumbersLine{numbers, line_file(*files[i])};
        lines_[i] = std::move(line);
    }
    wrote_lines_ = true;
} catch (const IoError&) {  // NOLINT(bugprone-empty-catch)
} catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
}

// Read without the writer lock, it may be one that is just being written. `last`: the one that was
// read or written last, which need not be taken apart again. True: it is that one.
bool Locks::read_memory(const LockFile& file, MemoryLine& last)
{
    constexpr int kTries = 3;
    for (int i = 0; i < kTries; ++i) {
        auto text = file.read_line(kMemorySlot);
        if (text == last.text) return true;
        last.read = read_numbers_line(text);
        last.text = std::move(text);
        if (last.read || last.text.empty()) break;
    }
    return false;
}

Memory Locks::remembered() const
{
    Memory own;
    Memory foreign;
    bool has_own = false;
    const std::array<const LockFile*, kMemories> files = {&locks_, &slow_, spare()};
    for (std::size_t i = 0; i < files.size(); ++i) {
        const auto* file = files[i];
        if (!file) continue;
        // Each process writes `locks` first: while it has this process's line, so have the others.
        if (!wrote_lines_ || i == 0) wrote_lines_ = read_memory(*file, lines_[i]) && wrote_lines_;
        const auto& line = lines_[i].read;
        if (!line) continue;
        const bool is_own = line->file.inode == file->identity().inode &&
                            may_be_same_birth(line->file.born_ns, file->born_ns());
        has_own = has_own || is_own;
        foreign.foreign = foreign.foreign || !is_own;
        (is_own ? own : foreign).numbers.raise_to(line->numbers);
    }
    return has_own ? own : foreign;
}

}  // namespace xlstore
