// SPDX-License-Identifier: MIT
// An open store: directory, database, locks, session, event loop. Everything else is done through
// it. A Store belongs to one thread (several stores in a process are fine), and to the process that
// opened it: in a forked child every call is refused, that to open one included, and its locks are
// not the child's.
//
// Writing to the database happens in two ways only, both of them coroutines that acquire what they
// need asynchronously and then run a plain lambda inside one transaction:
//   with_fast_lock    a section on one domain's document (R2), fast lock, then writer lock
//   with_writer_lock  rows that are no document yet: sessions, a creation, history
// Each takes what the disk has; with Room::reserve, of which there are few, the reserve too (R21).
#ifndef XLSTORE_STORE_CORE_STORE_HPP_
#define XLSTORE_STORE_CORE_STORE_HPP_

#include <concepts>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "store/base/domain_id.hpp"
#include "store/base/error.hpp"
#include "store/base/log.hpp"
#include "store/core/host_hooks.hpp"
#include "store/core/task_scope.hpp"
#include "store/database/db.hpp"
#include "store/database/displaced.hpp"
#include "store/database/private_copy.hpp"
#include "store/event/loop.hpp"
#include "store/lock/locks.hpp"
#include "store/model/domain_row.hpp"
#include "store/os/held_processes.hpp"
#include "store/os/process.hpp"

namespace xlstore {

/// The directory used when none is named: $XLSTORE_DIR, else /var/lib/xlstore.
[[nodiscard]] const char* default_directory();
/// `path` from the current directory on, so that it still names the same file after a chdir().
/// @throws std::filesystem::filesystem_error when the current directory is gone
[[nodiscard]] std::string absolute_path(std::string path);

struct StoreOptions {
    std::string directory = default_directory();
    std::string program = "xlstore";                 ///< what claims and history call this process
    /// For the writer lock, while another process has it.
    std::chrono::milliseconds open_timeout{10'000};
    std::shared_ptr<const Log> log;                  ///< nothing: silent
};

/// Witness: the fast lock of `domain` and the writer lock are held, a write transaction is open.
class FastHold {
public:
    [[nodiscard]] DomainId domain() const noexcept { return domain_; }

private:
    friend class Store;
    explicit FastHold(DomainId domain) : domain_(domain) {}
    DomainId domain_;
};

/// The fast lock of a domain, held over several commits. @see Store::fast_lock
class FastLock {
public:
    [[nodiscard]] DomainId domain() const noexcept { return domain_; }

private:
    friend class Store;
    FastLock(DomainId domain, ByteLock lock) : domain_(domain), lock_(std::move(lock)) {}
    DomainId domain_;
    ByteLock lock_;
};

/// Witness: the writer lock is held and a write transaction is open.
class WriterHold {
private:
    friend class Store;
    WriterHold() = default;
};

/// Witness: the slow lock of `domain` is held. Reads the row's epoch when it begins; each commit
/// requires the value it last saw and advances it (R15).
class SlowHold {
public:
    SlowHold(SlowHold&&) noexcept = default;
    SlowHold& operator=(SlowHold&&) noexcept = default;
    SlowHold(const SlowHold&) = delete;
    SlowHold& operator=(const SlowHold&) = delete;
    ~SlowHold();

    [[nodiscard]] DomainId domain() const noexcept { return domain_; }
    [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }

private:
    friend class Store;
    friend class Journal;
    SlowHold(const Locks& locks, DomainId domain, ByteLock lock, std::int64_t epoch)
        : locks_(&locks), domain_(domain), lock_(std::move(lock)), epoch_(epoch)
    {}
    const Locks* locks_;
    DomainId domain_;
    ByteLock lock_;
    std::int64_t epoch_;
};

class Store {
public:
    /// Makes a new store. The directory may exist, if it is empty, ours and private.
    /// @param reading_group  a group that may read it: 0750/0640 instead of 0700/0600.
    /// Errors: exists (a store is there), store (owner, mode, symlink, network file system).
    /// @param durability     what every later commit survives; a property of the store.
    static Result<void> init(const std::string& where,
                             std::optional<unsigned> reading_group = {},
                             Durability durability = Durability::process);

    /// Opens an existing store for writing; makes a missing lock file anew, which holds no data. A
    /// relative directory is taken from the current one at once. One of an older release is
    /// upgraded first, in one transaction, under the writer lock and with every session byte held
    /// (R17): once that is committed, the older release cannot open it any more. Errors: store,
    /// with what is wrong and what to do (a newer schema; one that cannot be upgraded: it is as it
    /// was; a database that went back or was copied, store/database/displaced.hpp: nothing was
    /// changed); busy, naming who has an older one open for writing. @throws DbError: it is damaged
    static Result<std::unique_ptr<Store>> open(const StoreOptions& options);
    /// The same, and one that went back or was copied is made this place's store (R17), in one
    /// transaction, under the writer lock and with every session byte held: ids and epochs go on
    /// above all that the directory has seen. The log of another state beside it is kept under a
    /// dated name, and so is one of which SQLite does not read all: kept_log(). For recovery alone,
    /// which then proves what the rows say of QEMUs. Errors: as above; busy, naming those that have
    /// it open; io.
    static Result<std::unique_ptr<Store>> open_and_reconcile(const StoreOptions& options);
    /// Opens it for looking only: no session, nothing is ever written. Error store: also for the
    /// schema of an older release.
    static Result<std::unique_ptr<Store>> open_read_only(const StoreOptions& options);
    /// The same, and every byte below the directory stays as it is, the index of SQLite's log
    /// included; a read-only file system will do. A store that no process has open is read from a
    /// private copy; see is_behind(). So is one of an older release, and the copy is upgraded. For
    /// a short look.
    static Result<std::unique_ptr<Store>> open_untouched(const StoreOptions& options);
    /// It reads a copy, and a process has written to the store since it was made.
    [[nodiscard]] bool is_behind() const;
    /// Open for looking: why the database is not this place's store; nothing: it is.
    [[nodiscard]] const std::optional<Displaced>& displaced() const noexcept { return displaced_; }
    /// The name that open_and_reconcile() kept a log under; "": there was no such log.
    [[nodiscard]] const std::string& kept_log() const noexcept { return kept_log_; }
    /// Why `open()` would refuse `directory` as displaced; nothing: it would not. Writes nothing
    /// there but the index of SQLite's log.
    static std::optional<Displaced> displacement_of(const std::string& directory);

    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
    ~Store();

    [[nodiscard]] Loop& loop() noexcept { return *loop_; }
    [[nodiscard]] Db& db() noexcept { return *db_; }
    /// Another connection to what db() reads, for looking, which another thread may use meanwhile.
    /// Nothing: there is none to be had.
    [[nodiscard]] std::unique_ptr<Db> connect_beside() const noexcept;
    [[nodiscard]] const Locks& locks() const noexcept { return *locks_; }
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }
    [[nodiscard]] const ProcessId& self() const noexcept { return self_; }
    [[nodiscard]] const std::string& program() const noexcept { return program_; }
    [[nodiscard]] std::int64_t session() const noexcept { return session_id_; }
    /// What this program does itself for devices of the host's; the caller's to fill in.
    [[nodiscard]] HostHooks& host() noexcept { return host_; }
    void log(LogLevel level, std::string_view line) const noexcept
    {
        log(level, [&] { return line; });
    }
    /// The QEMUs that operations were last about.
    [[nodiscard]] HeldProcesses& qemus() noexcept { return qemus_; }
    /// Hands a line to the log. `make_line` is called only where there is a log, and what it or the
    /// log throws is dropped: no operation ends for a line.
    template <std::invocable MakeLine>
    void log(LogLevel level, MakeLine make_line) const noexcept
    {
        if (!log_) return;
        try {
            log_->write(level, make_line());
        } catch (...) {  // NOLINT(bugprone-empty-catch)
        }
    }
    [[nodiscard]] Claim make_claim(std::string operation) const;

    /// R17 and the fork rule: error lost when the database, its log, the log's index or the lock
    /// files were moved away or replaced, order in a forked child.
    Result<void> check() const;
    /// The fork rule alone.
    Result<void> check_fork() const;
    /// May this process use a store at all? Error order: it is a forked child, which has not gone
    /// on to exec, of a process that had one open (store/base/fd.hpp). Each way to make or open one
    /// asks.
    static Result<void> check_process();

    /// Acquires the slow lock. `subject` names the domain in errors. `row`, if given, gets the
    /// domain as it was when the hold began: one look tells both.
    Task<Result<SlowHold>> slow_lock(DomainId domain, std::string subject, std::string operation,
                                     Deadline until, DomainRow* row = nullptr);
    /// One try; nothing when another process holds it.
    Result<std::optional<SlowHold>> try_slow_lock(DomainId domain, std::string operation);
    /// REQUIRES that the row of `domain` was inserted in the transaction that is open under
    /// `writer`: no other process can know its id, so that this cannot fail to find the lock free.
    Result<SlowHold> slow_lock_of_new(const WriterHold& writer, DomainId domain,
                                      std::string operation);

    /// Runs `section(const FastHold&)` under the fast lock of `domain`, inside one transaction that
    /// commits if the section returns success. The section is a plain function: it cannot suspend,
    /// so that nothing is waited for under the lock (R7).
    /// Errors: the section's; timeout, lost, order. @throws DbError: rolled back.
    template <class Section>
    Task<std::invoke_result_t<Section&, const FastHold&>> with_fast_lock(DomainId domain,
                                                                         std::string operation,
                                                                         Deadline until,
                                                                         Section section,
                                                                         Room room = Room::ordinary)
    {
        if (auto ok = check_fork(); !ok) co_return ok.error();
        // Before the commit each file is looked at.
        const auto fast =
            co_await acquire_fast_lock(*loop_, domain, operation, until, LookWhen::later);
        if (!fast) co_return fast.error();
        co_return co_await with_held_fast_lock(*loop_, *fast, std::move(operation), until,
                                               std::move(section), room);
    }

    /// The fast lock alone, for a read-modify-write with work of the caller's in between. While it
    /// waits, `loop` goes on with what else it has: one of its own keeps the rest from running.
    /// Errors: timeout, lost, order.
    Task<Result<FastLock>> fast_lock(Loop& loop, DomainId domain, std::string operation,
                                     Deadline until);
    /// with_fast_lock(), under a fast lock that is held already.
    template <class Section>
    Task<std::invoke_result_t<Section&, const FastHold&>> with_held_fast_lock(
        Loop& loop, const FastLock& fast, std::string operation, Deadline until, Section section,
        Room room = Room::ordinary)
    {
        if (auto ok = check_fork(); !ok) co_return ok.error();
        auto writing = co_await begin_writing(loop, std::move(operation), until, room);
        if (!writing) co_return std::move(writing).error();
        co_return in_transaction(*writing, [&] { return section(FastHold(fast.domain())); });
    }

    /// Runs `section(const WriterHold&)` under the writer lock alone.
    template <class Section>
    Task<std::invoke_result_t<Section&, const WriterHold&>> with_writer_lock(
        std::string operation, Deadline until, Section section, Room room = Room::ordinary)
    {
        if (auto ok = check_fork(); !ok) co_return ok.error();
        auto writing = co_await begin_writing(*loop_, std::move(operation), until, room);
        if (!writing) co_return std::move(writing).error();
        co_return in_transaction(*writing, [&] { return section(WriterHold()); });
    }

    /// Copies the log into the database and cuts it to nothing, under the writer lock.
    /// Errors: timeout (the writer lock, or a reader is in the way), lost, order. @throws DbError
    Task<Result<void>> empty_log(Deadline until);

    /// "domain 7 (web)".
    [[nodiscard]] std::string subject_of(DomainId domain);

    /// The answer of an operation that is being cancelled: see store/core/on_cancel.hpp.
    void leave_answer(Error answer) noexcept { left_answer_ = std::move(answer); }
    /// And that of the one that was just cancelled; nothing: it had changed nothing.
    std::optional<Error> take_left_answer() noexcept { return std::exchange(left_answer_, {}); }

private:
    Store() = default;
    enum class Reconcile { no, yes };
    static Result<std::unique_ptr<Store>> open_files(const StoreOptions& options, Db::Mode mode,
                                                     Reconcile reconcile = Reconcile::no);
    static Result<std::unique_ptr<Store>> open_to_write(const StoreOptions& options,
                                                        Reconcile reconcile);
    Result<void> check_in_place() const;
    Result<void> check_database_files(NamesState names) const;
    [[nodiscard]] Error files_replaced() const;
    /// Takes the steps that the store lacks, all in one transaction, under the writer lock and with
    /// every session byte held (R17), and says so in history. Waits until `until` for processes
    /// that have it open. REQUIRES that there is no session yet. Errors: busy, naming those that
    /// have it open; store: it could not be done (no space, say), and the store is as it was; lost.
    /// @throws DbError: it is damaged
    Result<void> upgrade(Deadline until);
    Result<void> reconcile_place(Deadline until);
    Result<std::int64_t> begin_session(const Place& here, std::optional<ByteLock>& lock);
    Result<void> open_session(Deadline until);
    /// Error store: the database has gone back, or its numbers were set by hand, while it was open.
    [[nodiscard]] Result<std::optional<Numbers>> counted(std::int64_t changes_before);
    /// Nothing: the lock was broken meanwhile.
    Result<std::optional<SlowHold>> begin_hold(DomainId domain, ByteLock lock,
                                               DomainRow* row = nullptr);
    Task<Result<FastLock>> acquire_fast_lock(Loop& loop, DomainId domain, std::string operation,
                                             Deadline until, LookWhen look);
    Task<Result<ByteLock>> acquire_writer_lock(Loop& loop, std::string operation, Deadline until,
                                               LookWhen look);
    /// The writer lock, and a transaction under it, which ends first.
    struct Writing {
        ByteLock writer;
        std::unique_ptr<Transaction> transaction;
        const TaskScope* scope;  // of the task that writes
    };
    /// Waits for the writer lock, and for a program that has the database locked without knowing
    /// the writer lock; meanwhile the writer lock is free. Errors: timeout, naming the holder of
    /// either; lost; order.
    /// @throws DbError: no room (R21)
    Task<Result<Writing>> begin_writing(Loop& loop, std::string operation, Deadline until,
                                        Room room);
    void checkpoint_if_due() noexcept;
    void restart_log() noexcept;
    bool has_room(Room room);
    void make_room(Room room);
    void room_was_short(const DbError& error) noexcept;

    template <class Section>
    std::invoke_result_t<Section&> in_transaction(Writing& writing, Section section)
    {
        const LockOrder::Section order;
        const Db::WrittenFor written_for(*db_, writing.scope ? writing.scope->token : "");
        try {
            const auto changes_before = db_->total_changes();
            auto result = section();
            if (!result) return result;  // rolls back, when `writing` ends
            const auto numbers = counted(changes_before);
            if (!numbers) return numbers.error();
            // As late as can be: what is committed into a file that was removed is lost.
            if (auto ok = check_in_place(); !ok) return ok.error();
            writing.transaction->commit();
            if (*numbers) locks_->remember(**numbers);
            checkpoint_if_due();
            return result;
        } catch (const DbError& e) {
            writing.transaction.reset();
            room_was_short(e);
            throw;
        }
    }

    std::string directory_;
    std::string program_;
    HostHooks host_;
    std::shared_ptr<const Log> log_;
    NamedFile database_;
    std::optional<NamedFile> wal_;  // of SQLite's; nothing: it is not written to
    std::optional<NamedFile> wal_index_;
    std::optional<Displaced> displaced_;
    std::string kept_log_;
    bool counts_commits_ = false;  // it is this place's store
    std::uint64_t fork_generation_ = 0;
    ProcessId self_;
    std::unique_ptr<Loop> loop_;
    std::unique_ptr<PrivateCopy> copy_;  // that db_ reads, if it does
    Db::Mode looking_mode_ = Db::Mode::read_only;  // of what db_ reads
    std::unique_ptr<Db> db_;
    std::optional<Locks> locks_;
    std::optional<ByteLock> session_lock_;
    std::int64_t session_id_ = 0;
    std::optional<Error> left_answer_;
    HeldProcesses qemus_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_STORE_HPP_
