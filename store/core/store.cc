// SPDX-License-Identifier: MIT
// Opening to write: process and fork are checked; the files are looked at before any is opened
// (store_files.hpp); locks and database are opened, and their place is compared (R17); an older
// store is upgraded; a session is begun.
//
// Writing: begin_writing() acquires the writer lock, begins the transaction and makes sure of room
// (R21); where there is none, it ends the transaction, starts the log anew and begins again. A
// program that locks the database without knowing the writer lock is waited for on
// the loop, and named at the deadline. The section itself waits for nothing. After a commit a
// checkpoint is made when it is due, below the writer lock alone, because SQLite before 3.51.3 can
// lose rows when one overlaps a commit.
//
// A slow hold begins in this order: the lock, the epoch, a look whether the lock was broken
// meanwhile (store/lock/locks.hpp says why).
#include "store/core/store.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "schema/steps.hpp"
#include "store/base/clock.hpp"
#include "store/base/limits.hpp"
#include "store/base/random.hpp"
#include "store/core/domain.hpp"
#include "store/core/store_files.hpp"
#include "store/core/store_source.hpp"
#include "store/database/new_database.hpp"
#include "store/database/tables.hpp"
#include "store/lock/foreign_lock.hpp"
#include "store/lock/spare.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/testing/mutation.hpp"
#include "store/testing/trace.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

// Between looks whether a program that does not know the writer lock has let go of the database.
constexpr auto kForeignFirst = std::chrono::milliseconds(1);
constexpr auto kForeignMost = std::chrono::milliseconds(20);
// About 4 MiB of log: a checkpoint costs little, and a reader sees a short log. RESTART keeps the
// file's blocks.
constexpr int kCheckpointFrames = 1000;
constexpr int kTruncateFrames = 16'000;

// What a new store takes: its reserve (R21), and its tables.
Result<void> check_room(const std::string& directory)
{
    constexpr std::int64_t kBytes = limits::reserve_in_log + limits::reserve_in_database +
                                    2 * limits::ordinary_room + limits::spare_bytes +
                                    limits::empty_store_bytes;
    if (free_bytes(directory) >= kBytes) return {};
    return Error(Errc::io,
                 "store: a new one takes " + std::to_string(kBytes >> 10) + " KiB, and " +
                     free_space(directory),
                 "make room there, or name a directory on another file system with --store or "
                 "XLSTORE_DIR");
}

void make_directory(const std::string& path, unsigned mode)
{
    if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
        throw IoError(errno, "cannot create " + path);
}

Result<void> check_no_store(const std::string& directory)
{
    if (!file_identity(StorePaths(directory).database())) return {};
    return Error(Errc::exists, "store: there is a store in " + directory + " already",
                 "use it, or name another directory");
}

// What an earlier init left when it was killed is a new store's to finish, and a damaged database
// of old does not keep a new store from being made. Anything else is not ours.
Result<void> check_empty(const std::string& directory)
{
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const auto name = entry.path().filename().string();
        if (name != names::kLocks && name != names::kSlowLocks && name != names::kRun &&
            name != names::kSpare && !name.starts_with(names::kNew) &&
            !name.starts_with(names::kDamaged) && !name.starts_with(names::kReplaced))
            return unusable("store: " + directory + " is not empty: it holds " + name,
                            "name an empty or a new directory");
    }
    return {};
}

// Makes the directory of a new store, or finds it fit to be one. True: it was made.
Result<bool> own_directory(const std::string& directory, std::optional<unsigned> reading_group)
{
    const unsigned mode = reading_group ? 0750 : 0700;
    const bool made = mkdir(directory.c_str(), mode) == 0;
    if (made) {
        set_access(directory, mode, reading_group);
    } else if (errno != EEXIST) {
        const int why = errno;
        const char* advice = why == ENOENT ? "create its parent directory"
                             : why == EROFS
                                 ? "mount its file system writable"
                                 : "see that its parent is a directory with room where you may "
                                   "write";
        return Error(why == EROFS ? Errc::readonly : Errc::io,
                     "store: cannot create " + directory + ": " + errno_text(why),
                     std::string(advice) + ", or name another with --store or XLSTORE_DIR");
    }
    if (auto there = look_at(directory, true); !there) return there.error();
    if (auto ok = check_no_store(directory); !ok) return ok.error();
    if (auto ok = check_empty(directory); !ok) return ok.error();
    // Only now: that its mode be changed is no advice for a directory of other things.
    if (auto ok = check_entry(directory, true, true); !ok) return ok.error();
    if (auto ok = check_file_system(directory); !ok) return ok.error();
    return made;
}

// REQUIRES the writer lock. One rename is all there is between no store and a whole one.
void install_new_database(const std::string& directory, std::optional<unsigned> reading_group,
                          Durability durability)
{
    const std::string database = StorePaths(directory).database();
    const std::string fresh = database + ".new";
    make_database(fresh, [&](Db& db) {
        db.prepare("INSERT INTO store (id, uuid, created_us, durability) VALUES (1, ?, ?, ?)")
            .bind(random_uuid())
            .bind(now_us())
            .bind(durability == Durability::power ? "power" : "process")
            .run();
    });
    make_directory(StorePaths(directory).run(), 0700);
    (void)Locks::close_to_group(directory);  // those of an init that was killed
    set_access(fresh, reading_group ? 0640 : 0600, reading_group);
    install_database(fresh, database);
}

}  // namespace

std::string absolute_path(std::string path)
{
    while (path.starts_with("./"))
        path.erase(0, 2);
    // lstat() would follow "link/".
    while (path.size() > 1 && path.ends_with('/'))
        path.pop_back();
    return std::filesystem::absolute(path).string();
}

const char* default_directory()
{
    const char* named = std::getenv("XLSTORE_DIR");
    return named && *named ? named : "/var/lib/xlstore";
}

SlowHold::~SlowHold()
{
    if (lock_.held()) XLSTORE_TRACE("slow.given", value_of(domain_));
    // Broken, the slot is another holder's.
    if (lock_.held() && locks_->still_current(lock_, value_of(domain_)))
        locks_->clear_claim(LockKind::slow, value_of(domain_));
}

Result<void> Store::init(const std::string& where, std::optional<unsigned> reading_group,
                         Durability durability)
{
    const std::string directory = absolute_path(where);
    if (auto ok = check_process(); !ok) return ok;
    const auto made_directory = own_directory(directory, reading_group);
    if (!made_directory) return made_directory.error();

    Locks::create(directory);
    auto locks = Locks::open(directory, true);
    if (!locks) return locks.error();
    // Two inits at once: one makes the store, the other is told.
    auto writer = locks->try_acquire(LockKind::writer, 0);
    if (!writer) return writer.error();
    if (!*writer)
        return Error(Errc::busy, "store: another init is at work in " + directory, "wait for it");

    // Another init may have finished between the first look and the writer lock.
    if (auto ok = check_no_store(directory); !ok) return ok;
    if (auto ok = check_room(directory); !ok) return ok;
    install_new_database(directory, reading_group, durability);
    if (*made_directory) sync_directory(directory + "/..");
    return {};
}

Result<std::unique_ptr<Store>> Store::open_files(const StoreOptions& given, Db::Mode mode,
                                                 Reconcile reconcile)
{
    StoreOptions options = given;
    options.directory = absolute_path(std::move(options.directory));
    if (auto ok = check_process(); !ok) return ok.error();
    const bool writing = mode == Db::Mode::read_write;
    if (auto ok = check_files(options.directory, writing, options.log); !ok) return ok.error();
    // Rows and QEMUs name monitors by one path, by which a process is looked for.
    options.directory = in_real_directory(options.directory);
    const auto until = Clock::now() + options.open_timeout;
    auto locks = Locks::open(options.directory, writing);
    if (!locks) return std::move(locks).error();
    Source source(options.directory, mode, reconcile == Reconcile::yes);
    const auto kind = source.choose(*locks, until);
    if (!kind) return kind.error();

    std::unique_ptr<Store> store(new Store);
    store->copy_ = std::move(source.copy);
    store->displaced_ = std::move(source.displaced);
    store->kept_log_ = source.kept_log.substr(source.kept_log.rfind('/') + 1);
    store->directory_ = options.directory;
    store->program_ = plain_text(options.program, limits::program_bytes_max);
    store->log_ = options.log;
    // The name stands in claims and in lines of the log, where a blank or a control character would
    // end it.
    std::replace_if(
        store->program_.begin(), store->program_.end(),
        [](unsigned char c) { return c <= ' ' || c == 0x7f; }, '_');
    store->fork_generation_ = fork_generation();
    auto self = identify(getpid());
    if (!self)
        return Error(self.error().code, "store " + options.directory + ": " + self.error().message,
                     self.error().advice);
    store->self_ = *std::move(self);
    store->loop_ = std::make_unique<Loop>();
    const auto database = source.identity.value_or(FileIdentity{});
    store->database_ = NamedFile(source.database, database);
    store->locks_.emplace(*std::move(locks));
    store->looking_mode_ = source.looking_mode;
    store->db_ = std::move(source.connection);
    try {
        if (writing && store->db_) store->db_->survive(kind->durability);
        if (!store->db_)
            store->db_ = while_busy(until, [&] {
                return std::make_unique<Db>(source.path, writing ? mode : source.looking_mode,
                                            kind->durability);
            });
    } catch (const DbError& e) {
        return unusable(source.database, e);
    }
    store->db_->call_it(source.database);
    // Between the look and SQLite's open it may have been renamed away: what is locked would be
    // another file than what is written (R17).
    if (!store->database_.in_place({}))
        return Error(Errc::lost, "store: " + source.database + " was replaced while it was opened",
                     "try again");
    if (store->displaced_ && !writing) {
        const auto why = displaced_error(options.directory, *store->displaced_);
        store->log(LogLevel::warning, why.message + "; " + why.advice);
    }
    return store;
}

std::unique_ptr<Db> Store::connect_beside() const noexcept
{
    if (sqlite3_threadsafe() == 0) return nullptr;
    try {
        auto beside = std::make_unique<Db>(
            copy_ ? copy_->database() : StorePaths(directory_).database(), looking_mode_);
        beside->call_it(db_->called());
        // It may have been replaced since: that would be another database (R17).
        if (!copy_ && !database_.in_place({})) return nullptr;
        return beside;
    } catch (const std::exception&) {
        return nullptr;  // no descriptors, no memory, or damage, which db_ meets as well
    }
}

Result<std::unique_ptr<Store>> Store::open_to_write(const StoreOptions& options,
                                                    Reconcile reconcile)
{
    auto store = open_files(options, Db::Mode::read_write, reconcile);
    if (!store) return store;
    const auto until = Clock::now() + options.open_timeout;
    if (auto ok = (*store)->upgrade(until); !ok) return ok.error();
    if (reconcile == Reconcile::yes)
        if (auto ok = (*store)->reconcile_place(until); !ok) return ok.error();
    if (auto ok = (*store)->open_session(until); !ok) return ok.error();
    return store;
}

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options)
{
    return open_to_write(options, Reconcile::no);
}

Result<std::unique_ptr<Store>> Store::open_and_reconcile(const StoreOptions& options)
{
    return open_to_write(options, Reconcile::yes);
}

Result<std::unique_ptr<Store>> Store::open_read_only(const StoreOptions& options)
{
    return open_files(options, Db::Mode::read_only);
}

Result<std::unique_ptr<Store>> Store::open_untouched(const StoreOptions& options)
{
    return open_files(options, Db::Mode::untouched);
}

// Log and index that lie there prove no process: a look, or an upgrade that was refused or killed,
// leaves both. What a process commits changes the log.
bool Store::is_behind() const
{
    if (displaced_ && displaced_->why == Displaced::Why::beside_a_log) return false;
    return copy_ && copy_->is_behind();
}

Claim Store::make_claim(std::string operation) const
{
    return Claim{self_.pid, self_.start_time, self_.pid_namespace,
                 now_us(),  program_,         plain_text(operation, limits::operation_bytes_max)};
}

Result<void> Store::check_process()
{
    if (!forked_beside_a_store()) return {};
    return Error(Errc::order,
                 "store: this process was forked while its parent had a store open: SQLite's state "
                 "does not survive that",
                 "let the child exec, or close every store before the fork");
}

Result<void> Store::check_fork() const
{
    if (auto ok = check_process(); !ok) return ok;
    if (!fork_poisoned(fork_generation_)) return {};
    return Error(Errc::order,
                 "store: this handle was opened before a fork and is used in the child",
                 "let the child exec, or close every store before the fork");
}

Result<void> Store::check() const
{
    if (auto ours = check_fork(); !ours) return ours;
    return check_in_place();
}

Result<void> Store::check_in_place() const
{
    if (XLSTORE_MUTATION("files unchanged")) return {};
    const auto names = locks_->directory().names_now();
    if (!locks_->unchanged(names)) return files_replaced();
    return check_database_files(names);
}

Error Store::files_replaced() const
{
    return Error(Errc::lost,
                 "store: the files of " + directory_ + " were moved away or replaced (R17)",
                 "close the store and open it anew; 'xlfsck -n' says what is there now");
}

Result<void> Store::check_database_files(NamesState names) const
{
    if (XLSTORE_MUTATION("files unchanged")) return {};
    const char* gone = nullptr;
    if (!database_.in_place(names)) gone = "store.db";
    if (wal_ && !wal_->in_place(names)) gone = "store.db-wal";
    if (wal_index_ && !wal_index_->in_place(names)) gone = "store.db-shm";
    if (!gone) return {};
    return Error(Errc::lost,
                 "store: " + directory_ + "/" + gone + " was moved away or replaced (R17)",
                 "close the store and open it anew; 'xlfsck -n' says what is there now");
}

std::string Store::subject_of(DomainId domain)
{
    auto row = db_->prepare("SELECT domid, name FROM domain WHERE id = ?").bind(value_of(domain));
    if (!row.step()) return "incarnation " + std::to_string(value_of(domain));
    return "domain " + std::to_string(row.integer(0)) + " (" + row.text(1) + ")";
}

Task<Result<SlowHold>> Store::slow_lock(DomainId domain, std::string subject, std::string operation,
                                        Deadline until, DomainRow* row)
{
    if (auto ok = check_fork(); !ok) co_return ok.error();
    for (;;) {
        auto lock = co_await locks_->acquire(*loop_, LockKind::slow, value_of(domain),
                                             make_claim(operation), subject, until);
        if (!lock) co_return std::move(lock).error();
        auto hold = begin_hold(domain, *std::move(lock), row);
        if (!hold) co_return std::move(hold).error();
        if (*hold) co_return **std::move(hold);
    }
}

// The directory was looked at when the lock was taken. The epoch first, then the look whether the
// lock was broken meanwhile: see store/lock/locks.hpp.
Result<std::optional<SlowHold>> Store::begin_hold(DomainId domain, ByteLock lock, DomainRow* row)
{
    if (auto ok = check_database_files(locks_->directory().names_last()); !ok) return ok.error();
    std::optional<std::int64_t> epoch;
    if (!row) {
        auto found = db_->prepare("SELECT epoch FROM domain WHERE id = ?").bind(value_of(domain));
        if (found.step()) epoch = found.integer(0);
    } else if (auto found = read_domain(*db_, domain)) {
        *row = *std::move(found);
        epoch = row->epoch;
    }
    if (!epoch)
        return Error(Errc::not_found,
                     subject_of(domain) + " is no longer in the store: " +
                         (was_taken_back(*db_, domain) ? "its import was taken back"
                                                       : "it was destroyed, and pruned"),
                     "nothing was changed; 'xlstore history' has what was done");
    if (!locks_->still_current(lock, value_of(domain))) return std::optional<SlowHold>();
    XLSTORE_TRACE("slow.taken", value_of(domain), "epoch=" + std::to_string(*epoch));
    return std::optional<SlowHold>(SlowHold(*locks_, domain, std::move(lock), *epoch));
}

Result<std::optional<SlowHold>> Store::try_slow_lock(DomainId domain, std::string operation)
{
    if (auto ok = check_fork(); !ok) return ok.error();
    auto lock =
        locks_->try_acquire(LockKind::slow, value_of(domain), make_claim(std::move(operation)));
    if (!lock) return std::move(lock).error();
    if (!*lock) return std::optional<SlowHold>();
    return begin_hold(domain, **std::move(lock));
}

Result<SlowHold> Store::slow_lock_of_new(const WriterHold&, DomainId domain, std::string operation)
{
    auto lock = locks_->try_new(LockKind::slow, value_of(domain), make_claim(std::move(operation)));
    if (!lock) return std::move(lock).error();
    if (*lock) {
        auto hold = begin_hold(domain, **std::move(lock));
        if (!hold) return std::move(hold).error();
        if (*hold) return **std::move(hold);
    }
    return Error(Errc::busy, "the slow lock of a new incarnation is held by another process",
                 "the store's ids do not agree with its locks: end the programs that 'xlstore "
                 "locks' names, then try again");
}

Task<Result<FastLock>> Store::fast_lock(Loop& loop, DomainId domain, std::string operation,
                                        Deadline until)
{
    if (auto ok = check(); !ok) co_return ok.error();
    co_return co_await acquire_fast_lock(loop, domain, std::move(operation), until, LookWhen::now);
}

// As a rule it is free: the domain is named only for those who have to wait.
Task<Result<FastLock>> Store::acquire_fast_lock(Loop& loop, DomainId domain, std::string operation,
                                                Deadline until, LookWhen look)
{
    auto claim = make_claim(std::move(operation));
    auto free = locks_->try_acquire(LockKind::fast, value_of(domain), claim, look);
    if (!free) co_return std::move(free).error();
    if (*free) co_return FastLock(domain, **std::move(free));
    auto lock = co_await locks_->acquire(loop, LockKind::fast, value_of(domain), std::move(claim),
                                         subject_of(domain), until);
    if (!lock) co_return std::move(lock).error();
    co_return FastLock(domain, *std::move(lock));
}

Task<Result<ByteLock>> Store::acquire_writer_lock(Loop& loop, std::string operation, Deadline until,
                                                  LookWhen look)
{
    auto claim = make_claim(std::move(operation));
    auto free = locks_->try_acquire(LockKind::writer, 0, claim, look);
    if (!free) co_return std::move(free).error();
    if (*free) co_return **std::move(free);
    co_return co_await locks_->acquire(loop, LockKind::writer, 0, std::move(claim), {}, until);
}

Task<Result<Store::Writing>> Store::begin_writing(Loop& loop, std::string operation, Deadline until,
                                                  Room room)
{
    CurrentScope current;
    const TaskScope* scope = co_await current;
    if (scope && room == Room::ordinary) room = scope->room;
    auto pause = std::chrono::duration_cast<Clock::duration>(kForeignFirst);
    for (;;) {
        // What makes room writes files by their names: the directory is looked at before that, and
        // each of the files again before the commit.
        auto writer = co_await acquire_writer_lock(loop, operation, until, LookWhen::now);
        if (!writer) co_return std::move(writer).error();
        auto transaction = Transaction::try_begin(*db_);
        if (transaction && !has_room(room)) {
            transaction.reset();
            make_room(room);
            transaction = Transaction::try_begin(*db_);
        }
        if (transaction) {
            Writing writing{*std::move(writer), std::move(transaction), scope};
            co_return std::move(writing);
        }
        writer->release();
        const auto now = Clock::now();
        if (now >= until)
            co_return co_await database_locked(loop, StorePaths(directory_).database());
        (void)co_await loop.sleep(std::min(until, now + pause));
        pause = std::min<Clock::duration>(pause * 2, kForeignMost);
    }
}

Task<Result<void>> Store::empty_log(Deadline until)
{
    if (auto ok = check(); !ok) co_return ok.error();
    const auto writer = co_await acquire_writer_lock(*loop_, "checkpoint", until, LookWhen::now);
    if (!writer) co_return writer.error();
    const LockOrder::Section order;
    if (db_->checkpoint(true).frames != 0)
        co_return Error(Errc::busy, "store: a reader keeps the log from being emptied",
                        "'xlfsck -n' names it; end its query, then try again");
    co_return Result<void>();
}

void Store::checkpoint_if_due() noexcept
{
    if (db_->wal_frames() < kCheckpointFrames) return;
    try {
        (void)db_->checkpoint(db_->wal_frames() >= kTruncateFrames);
    } catch (...) {
        // The commit stands even if the copy fails; the log grows until the next try, and
        // xlfsck's first pass says so.
    }
}

// A reader that is in the way, or a database that cannot grow, leaves the log as it is.
void Store::restart_log() noexcept
{
    try {
        (void)db_->checkpoint(false);
    } catch (...) {  // NOLINT(bugprone-empty-catch)
    }
}

// R21: an ordinary transaction goes on only while the reserve is whole. @throws DbError
bool Store::has_room(Room room)
{
    Reserve& reserve = db_->reserve();
    reserve.allow(room);
    if (db_->fill_reserve() == 0 || XLSTORE_MUTATION("reserve")) return true;
    return room == Room::reserve && reserve.lasts();
}

// Started anew, the log may have the room that the disk has not.
// @throws DbError, as Db::require_reserve()
void Store::make_room(Room room)
{
    restart_log();
    if (room == Room::ordinary)
        db_->require_reserve();
    else
        (void)db_->fill_reserve();
}

// So that the next try finds the whole log.
void Store::room_was_short(const DbError& error) noexcept
{
    if (is_no_room(error)) restart_log();
}

}  // namespace xlstore
