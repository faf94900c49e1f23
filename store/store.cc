// SPDX-License-Identifier: MIT
#include "store/store.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "schema/steps.hpp"
#include "store/first_look.hpp"
#include "store/foreign_lock.hpp"
#include "store/hole.hpp"
#include "store/limits.hpp"
#include "store/lock_holders.hpp"
#include "store/new_database.hpp"
#include "store/plain_text.hpp"
#include "store/random.hpp"
#include "store/tables.hpp"
#include "store/trace.hpp"
#include "store/upgrade.hpp"

namespace xlstore {

namespace {

constexpr auto kOpenPoll = std::chrono::milliseconds(5);
// Between looks whether a program that does not know the gate has let go of the database.
constexpr auto kForeignFirst = std::chrono::milliseconds(1);
constexpr auto kForeignMost = std::chrono::milliseconds(20);
// About 4 MiB of log: a checkpoint costs little, and a reader sees a short log. RESTART keeps the
// file's blocks.
constexpr int kCheckpointFrames = 1000;
constexpr int kTruncateFrames = 16'000;

// File systems where a byte-range lock or a shared mapping does not hold between hosts, or at all.
constexpr std::array<long, 9> kNetworkFileSystems = {NFS_SUPER_MAGIC,
                                                     SMB_SUPER_MAGIC,
                                                     static_cast<long>(CIFS_SUPER_MAGIC),
                                                     static_cast<long>(SMB2_SUPER_MAGIC),
                                                     V9FS_MAGIC,
                                                     CEPH_SUPER_MAGIC,
                                                     AFS_SUPER_MAGIC,
                                                     AFS_FS_MAGIC,
                                                     CODA_SUPER_MAGIC};

Error unusable(const std::string& what, const std::string& advice)
{
    return Error(Errc::store, what, advice);
}

std::string errno_text()
{
    return std::strerror(errno);
}

std::string octal(unsigned mode)
{
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "%04o", mode & 07777);
    return text.data();
}

Error not_found(const std::string& path, int error)
{
    if (error == EACCES)
        return unusable("store: " + path + ": " + std::strerror(error),
                        "run as the owner of the store, or as a member of its reading group");
    if (error == ENOENT)
        return unusable("store: there is no " + path,
                        "name the store with --store or XLSTORE_DIR, or make one with 'xlstore init'");
    return unusable("store: " + path + ": " + std::strerror(error),
                    "name the store with --store or XLSTORE_DIR");
}

Result<struct stat> look_at(const std::string& path, bool directory)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) != 0) return not_found(path, errno);
    if (S_ISLNK(st.st_mode))
        return unusable("store: " + path + " is a symbolic link", "name the real directory");
    if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
        return unusable(
            "store: " + path + " is not a " + (directory ? "directory" : "regular file"),
            "name another directory with --store or XLSTORE_DIR");
    return st;
}

// Whose it is, and who else may write or read there. `writing`: the owner must be us; a reader of the
// group may look at another's store. REQUIRES that `path` is the directory of a store, or a file in
// it: the advice is to change its mode.
Result<void> check_access(const std::string& path, const struct stat& st, bool writing)
{
    if (writing && st.st_uid != geteuid())
        return unusable("store: " + path + " belongs to uid " + std::to_string(st.st_uid) +
                            ", not to uid " + std::to_string(geteuid()),
                        "run as that user");
    const bool directory = S_ISDIR(st.st_mode);
    const unsigned forbidden = directory ? 0027U : 0137U;
    if ((st.st_mode & forbidden) != 0)
        return unusable("store: " + path + " has mode " + octal(st.st_mode) +
                            ": others could read or change it",
                        directory ? "'chmod 0700' it (0750 with a reading group)"
                                  : "'chmod 0600' it (0640 with a reading group)");
    return {};
}

Result<void> check_entry(const std::string& path, bool directory, bool writing)
{
    auto st = look_at(path, directory);
    if (!st) return st.error();
    return check_access(path, *st, writing);
}

// A directory with this name, in which there is a database of ours or what is left of one.
Result<void> check_directory(const std::string& path, bool writing)
{
    auto st = look_at(path, true);
    if (!st) return st.error();
    const std::string database = path + "/store.db";
    if (!file_identity(path + kBeingSaved))
        if (auto ok = check_before_opening(path); !ok) return ok;
    struct stat there {};
    if (lstat(database.c_str(), &there) != 0 && !file_identity(path + kBeingSaved)) {
        if (errno != ENOENT) return not_found(database, errno);
        return unusable("store: " + path + " holds no store: there is no store.db",
                        "name the store with --store or XLSTORE_DIR; 'xlstore init' makes a new one in "
                        "an empty directory, 'xlfsck --rebuild' one for the QEMUs of a lost one");
    }
    return check_access(path, *st, writing);
}

// The byte of the log's index (-shm) on which each process that has the database open has a lock, by
// SQLite's file format.
constexpr std::int64_t kOpenByte = 128;

std::string processes_at(const std::string& directory)
{
    const std::string index = directory + "/store.db-shm";
    const auto file = file_identity(index);
    std::string who;
    if (file)
        for (const auto& holder : lock_holders(index, *file, kOpenByte, kOpenByte))
            who += (who.empty() ? "" : ", ") + describe(holder);
    return who;
}

// The lock files hold no data: what is in them is made by the processes that use them. A process
// that holds locks in one that was removed finds that out before its next commit (R17); until it has
// closed the store it would not exclude the users of a new one, so that it is waited for.
Result<void> check_locks(const std::string& directory, bool writing,
                         const std::shared_ptr<const Log>& log)
{
    for (const char* name : {"/locks", "/slow"}) {
        struct stat st {};
        if (lstat((directory + name).c_str(), &st) == 0 || errno != ENOENT) continue;
        if (!writing)
            return unusable("store: " + directory + name + " is missing",
                            "it holds no data: the next program that writes makes it anew, 'xlstore "
                            "recover' for instance");
        if (stat((directory + "/store.db").c_str(), &st) != 0)
            return not_found(directory + "/store.db", errno);
        if (const auto who = processes_at(directory); !who.empty())
            return Error(Errc::busy,
                         "store: " + directory + name + " is missing, and the store is open: " + who,
                         "end these programs, then try again: the file holds no data and is made "
                         "anew; the QEMUs run on");
        Locks::create(directory);
        if (log) log->write(LogLevel::warning, "made anew: " + directory + name);
    }
    return {};
}

Result<void> check_file_system(const std::string& directory)
{
    struct statfs fs {};
    if (statfs(directory.c_str(), &fs) != 0)
        return unusable("store: " + directory + ": " + errno_text(),
                        "name the store with --store or XLSTORE_DIR");
    if (std::find(kNetworkFileSystems.begin(), kNetworkFileSystems.end(),
                  static_cast<long>(fs.f_type)) != kNetworkFileSystems.end())
        return unusable(
            "store: " + directory + " is on a network file system, where its locks do not hold",
            "keep the store on a local file system");
    return {};
}

// What a new store takes: its reserve (R21), and its tables.
Result<void> check_room(const std::string& directory)
{
    constexpr std::int64_t kBytes = limits::reserve_in_log + limits::reserve_in_database +
                                    2 * limits::ordinary_room + limits::empty_store_bytes;
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

// SQLite may have its log locked for longer than one wait of its own lasts, or not wait at all,
// when many programs open the store in the moment in which its last user has closed it.
template <class Open>
auto while_busy(Deadline until, Open open)
{
    for (;;) {
        try {
            return open();
        } catch (const DbError& e) {
            if ((e.extended_code() & 0xff) != SQLITE_BUSY || Clock::now() >= until) throw;
        }
        std::this_thread::sleep_for(kOpenPoll);
    }
}

Error unusable(const std::string& database, const DbError& why)
{
    if ((why.extended_code() & 0xff) == SQLITE_BUSY) return database_locked(database);
    Error error = error_of(why);
    error.message = "store: " + database + ": " + why.reason();
    return error;
}

struct DatabaseKind {
    Durability durability;
    std::int64_t version;
    std::optional<Displaced> displaced;
    [[nodiscard]] bool is_older() const { return version < schema::newest_version(); }
};

// Reads only. A file that is no store of ours is refused before anything is set in it. `source`: the
// database, or a private copy of it.
Result<DatabaseKind> check_database(const std::string& path, const std::string& source,
                                    Db::Mode mode, const Memory& seen, const Place& here,
                                    Deadline until)
{
    const auto look = [&]() -> Result<DatabaseKind> {
        Db db(source, mode);
        const auto application = db.pragma_integer("PRAGMA application_id");
        const auto version = schema_version(db);
        if (application != schema::kApplicationId)
            return unusable("store: " + path + " is an SQLite database, but not of xlstore",
                            "name another directory with --store or XLSTORE_DIR; if it is a store "
                            "whose header was damaged, 'xlfsck -n' says so");
        if (version < 1)
            return unusable("store: " + path + " has schema version " + std::to_string(version) +
                                ", which no release made: its header is damaged",
                            "'xlfsck -n' says what is wrong with it, 'xlfsck -y' saves what it has");
        if (version > schema::newest_version())
            return unusable("store: " + path + " " + version_words(version),
                            "use the xlstore that made it, or a newer one");
        auto row = db.prepare("SELECT durability FROM store");
        return DatabaseKind{
            row.step() && row.text(0) == "power" ? Durability::power : Durability::process,
            version, displaced(db, seen, here)};
    };
    try {
        return while_busy(until, look);
    } catch (const DbError& e) {
        return unusable(path, e);
    }
}

}  // namespace

std::string absolute_path(std::string path)
{
    while (path.starts_with("./"))
        path.erase(0, 2);
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
    // Broken, the slot is somebody else's.
    if (lock_.held() && locks_->unbroken(lock_, value_of(domain_)))
        locks_->clear_claim(LockKind::slow, value_of(domain_));
}

Result<void> Store::init(const std::string& where, std::optional<unsigned> reading_group,
                         Durability durability)
{
    const std::string directory = absolute_path(where);
    if (auto ok = check_process(); !ok) return ok;
    const unsigned directory_mode = reading_group ? 0750 : 0700;
    const unsigned file_mode = reading_group ? 0640 : 0600;
    const std::string database = directory + "/store.db";

    const bool made_directory = mkdir(directory.c_str(), directory_mode) == 0;
    if (made_directory) {
        set_access(directory, directory_mode, reading_group);
    } else if (errno != EEXIST) {
        return Error(Errc::io, "store: cannot create " + directory + ": " + errno_text(),
                     "create its parent directory, or name another with --store or XLSTORE_DIR");
    }
    if (auto there = look_at(directory, true); !there) return there.error();
    if (file_identity(database))
        return Error(Errc::exists, "store: there is a store in " + directory + " already",
                     "use it, or name another directory");
    // What an earlier init left when it was killed is ours to finish; anything else is not.
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        const auto name = entry.path().filename().string();
        // A damaged database of old does not keep a new store from being made.
        if (name != "locks" && name != "slow" && name != "run" &&
            !name.starts_with("store.db.new") && !("/" + name).starts_with(kDamaged))
            return unusable("store: " + directory + " is not empty: it holds " + name,
                            "name an empty or a new directory");
    }
    // Only now: that its mode be changed is no advice for a directory of other things.
    if (auto ok = check_entry(directory, true, true); !ok) return ok;
    if (auto ok = check_file_system(directory); !ok) return ok;

    Locks::create(directory);
    auto locks = Locks::open(directory, true);
    if (!locks) return locks.error();
    auto gate = locks->try_acquire(LockKind::gate, 0);
    if (!gate) return gate.error();
    if (!*gate)
        return Error(Errc::busy, "store: another init is at work in " + directory, "wait for it");

    // Another init may have finished between our first look and the gate.
    if (file_identity(database))
        return Error(Errc::exists, "store: there is a store in " + directory + " already",
                     "use it, or name another directory");
    if (auto ok = check_room(directory); !ok) return ok;
    const std::string fresh = database + ".new";
    make_database(fresh, [&](Db& db) {
        db.prepare("INSERT INTO store (id, uuid, created_us, durability) VALUES (1, ?, ?, ?)")
            .bind(random_uuid())
            .bind(now_us())
            .bind(durability == Durability::power ? "power" : "process")
            .run();
    });
    make_directory(directory + "/run", 0700);
    (void)Locks::close_to_group(directory);  // those of an init that was killed
    set_access(fresh, file_mode, reading_group);
    install_database(fresh, database);
    if (made_directory) sync_directory(directory + "/..");
    return {};
}

Result<std::unique_ptr<Store>> Store::open_files(const StoreOptions& given, Db::Mode mode,
                                                 Settle settle)
{
    StoreOptions options = given;
    options.directory = absolute_path(std::move(options.directory));
    if (auto ok = check_process(); !ok) return ok.error();
    const bool writing = mode == Db::Mode::read_write;
    const std::string database = options.directory + "/store.db";
    if (auto ok = check_directory(options.directory, writing); !ok) return ok.error();
    if (auto ok = check_file_system(options.directory); !ok) return ok.error();
    if (!file_identity(database) && file_identity(options.directory + kBeingSaved))
        return unusable("store: " + options.directory +
                            " has no store.db: saving what is in store.db.saving was broken off",
                        "run 'xlfsck -y'");
    if (auto ok = check_locks(options.directory, writing, options.log); !ok) return ok.error();
    for (const char* name : {"/store.db", "/locks", "/slow"})
        if (auto ok = check_entry(options.directory + name, false, writing); !ok) return ok.error();
    if (writing && Locks::close_to_group(options.directory) && options.log)
        options.log->write(LogLevel::warning,
                           "the lock files of " + options.directory +
                               " are no longer open to the reading group, which needs none");
    const auto until = Clock::now() + options.open_timeout;
    std::unique_ptr<Store> store(new Store);
    std::string source = database;
    const auto read_a_copy = [&]() -> Result<void> {
        auto copy = PrivateCopy::make(database);
        if (!copy) return std::move(copy).error();
        store->copy_ = *std::move(copy);
        source = store->copy_->database();
        return {};
    };
    auto locks = Locks::open(options.directory, writing);
    if (!locks) return std::move(locks).error();
    const auto seen = locks->remembered();
    const auto here = place_at(options.directory);
    if (auto log = beside_a_log(database)) {
        if (writing && settle == Settle::no) return displaced_error(options.directory, *log);
        if (writing) {
            if (auto ok = put_log_aside(*locks, options.directory, until); !ok) return ok.error();
        } else {
            if (auto ok = read_a_copy(); !ok) return ok.error();
            remove_file(source, "-wal");
        }
        store->displaced_ = std::move(log);
    }
    // A process that has it open has made both; without them SQLite would make one.
    if (mode == Db::Mode::untouched && !store->copy_ &&
        !(file_identity(database + "-wal") && file_identity(database + "-shm")))
        if (auto ok = read_a_copy(); !ok) return ok.error();
    const auto mode_of_source = [&] {
        return writing || store->copy_ ? Db::Mode::read_only : mode;
    };
    const auto kind = check_database(database, source, mode_of_source(), seen, here, until);
    if (!kind) return kind.error();
    if (writing && settle == Settle::no && kind->displaced)
        return displaced_error(options.directory, *kind->displaced);
    if (!store->displaced_) store->displaced_ = kind->displaced;
    if (kind->is_older() && mode == Db::Mode::read_only)
        return unusable("store: " + database + " " + version_words(kind->version),
                        "run 'xlstore upgrade', or any command that writes");
    if (kind->is_older() && mode == Db::Mode::untouched) {
        if (!store->copy_)
            if (auto ok = read_a_copy(); !ok) return ok.error();
        if (auto ok = upgrade_copy(*store->copy_); !ok) return ok.error();
    }

    store->directory_ = options.directory;
    store->program_ = plain_text(options.program, limits::program_bytes_max);
    store->log_ = options.log;
    std::replace_if(
        store->program_.begin(), store->program_.end(),
        [](unsigned char c) { return c <= ' ' || c == 0x7f; }, '_');
    store->fork_generation_ = fork_generation();
    auto self = identify(getpid());
    if (!self) return self.error();
    store->self_ = *std::move(self);
    store->loop_ = std::make_unique<Loop>();
    store->database_ = *file_identity(database);
    store->locks_.emplace(*std::move(locks));
    try {
        store->db_ = while_busy(until, [&] {
            return std::make_unique<Db>(source, writing ? mode : mode_of_source(),
                                        kind->durability);
        });
    } catch (const DbError& e) {
        return unusable(database, e);
    }
    store->db_->call_it(database);
    if (file_identity(database) != store->database_)
        return Error(Errc::lost, "store: " + database + " was replaced while it was opened",
                     "try again");
    if (store->displaced_ && !writing) {
        const auto why = displaced_error(options.directory, *store->displaced_);
        store->log(LogLevel::warning, why.message + "; " + why.advice);
    }
    return store;
}

Result<std::unique_ptr<Store>> Store::open_to_write(const StoreOptions& options, Settle settle)
{
    auto store = open_files(options, Db::Mode::read_write, settle);
    if (!store) return store;
    const auto until = Clock::now() + options.open_timeout;
    if (auto ok = upgrade_store(**store, until); !ok) return ok.error();
    if (settle == Settle::yes)
        if (auto ok = (*store)->settle(until); !ok) return ok.error();
    if (auto ok = (*store)->open_session(until); !ok) return ok.error();
    return store;
}

Result<std::unique_ptr<Store>> Store::open(const StoreOptions& options)
{
    return open_to_write(options, Settle::no);
}

Result<std::unique_ptr<Store>> Store::open_and_settle(const StoreOptions& options)
{
    return open_to_write(options, Settle::yes);
}

Result<std::unique_ptr<Store>> Store::open_read_only(const StoreOptions& options)
{
    return open_files(options, Db::Mode::read_only);
}

Result<std::unique_ptr<Store>> Store::open_untouched(const StoreOptions& options)
{
    return open_files(options, Db::Mode::untouched);
}

bool Store::is_behind() const
{
    if (displaced_ && displaced_->why == Displaced::Why::beside_a_log) return false;
    return copy_ && (file_identity(directory_ + "/store.db-wal") &&
                     file_identity(directory_ + "/store.db-shm"));
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
    if (XLSTORE_LEFT_OUT("files unmoved")) return {};
    if (!locks_ || !locks_->unmoved())
        return Error(Errc::lost,
                     "store: the files of " + directory_ + " were moved away or replaced (R17)",
                     "close the store and open it anew; 'xlfsck -n' says what is there now");
    return check_database_files();
}

Result<void> Store::check_database_files() const
{
    if (XLSTORE_LEFT_OUT("files unmoved")) return {};
    const std::string database = directory_ + "/store.db";
    const char* gone = nullptr;
    if (file_identity(database) != database_) gone = "store.db";
    if (wal_ && file_identity(database + "-wal") != wal_) gone = "store.db-wal";
    if (wal_index_ && file_identity(database + "-shm") != wal_index_) gone = "store.db-shm";
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
                                        Deadline until)
{
    if (auto ok = check(); !ok) co_return ok.error();
    for (;;) {
        auto lock = co_await locks_->acquire(*loop_, LockKind::slow, value_of(domain),
                                             make_claim(operation), subject, until);
        if (!lock) co_return std::move(lock).error();
        auto hold = begin_hold(domain, *std::move(lock));
        if (!hold) co_return std::move(hold).error();
        if (*hold) co_return **std::move(hold);
    }
}

// The epoch first, then the look whether the lock was broken meanwhile: see store/locks.hpp.
Result<std::optional<SlowHold>> Store::begin_hold(DomainId domain, ByteLock lock)
{
    auto row = db_->prepare("SELECT epoch FROM domain WHERE id = ?").bind(value_of(domain));
    if (!row.step())
        return Error(Errc::not_found,
                     "there is no incarnation " + std::to_string(value_of(domain)));
    const auto epoch = row.integer(0);
    if (!locks_->unbroken(lock, value_of(domain))) return std::optional<SlowHold>();
    XLSTORE_TRACE("slow.taken", value_of(domain), "epoch=" + std::to_string(epoch));
    return std::optional<SlowHold>(SlowHold(*locks_, domain, std::move(lock), epoch));
}

Result<std::optional<SlowHold>> Store::try_slow_lock(DomainId domain, std::string operation)
{
    if (auto ok = check(); !ok) return ok.error();
    auto lock =
        locks_->try_acquire(LockKind::slow, value_of(domain), make_claim(std::move(operation)));
    if (!lock) return std::move(lock).error();
    if (!*lock) return std::optional<SlowHold>();
    return begin_hold(domain, **std::move(lock));
}

Result<SlowHold> Store::slow_lock_of_new(const GateHold&, DomainId domain, std::string operation)
{
    auto lock = locks_->try_new(LockKind::slow, value_of(domain), make_claim(std::move(operation)));
    if (!lock) return std::move(lock).error();
    if (*lock) {
        auto hold = begin_hold(domain, **std::move(lock));
        if (!hold) return std::move(hold).error();
        if (*hold) return **std::move(hold);
    }
    return Error(Errc::busy, "the slow lock of a new incarnation is held by somebody else",
                 "the store's ids do not agree with its locks: end the programs that 'xlstore locks' "
                 "names, then try again");
}

Task<Result<FastLock>> Store::fast_lock(Loop& loop, DomainId domain, std::string operation,
                                        Deadline until)
{
    if (auto ok = check(); !ok) co_return ok.error();
    auto lock =
        co_await locks_->acquire(loop, LockKind::fast, value_of(domain),
                                 make_claim(std::move(operation)), subject_of(domain), until);
    if (!lock) co_return std::move(lock).error();
    co_return FastLock(domain, *std::move(lock));
}

Task<Result<ByteLock>> Store::acquire_gate(Loop& loop, std::string operation, Deadline until)
{
    co_return co_await locks_->acquire(loop, LockKind::gate, 0, make_claim(std::move(operation)),
                                       {}, until);
}

Task<Result<Store::Writing>> Store::begin_writing(Loop& loop, std::string operation, Deadline until,
                                                  Room room)
{
    auto pause = std::chrono::duration_cast<Clock::duration>(kForeignFirst);
    for (;;) {
        auto gate = co_await acquire_gate(loop, operation, until);
        if (!gate) co_return std::move(gate).error();
        make_room(room);
        auto transaction = Transaction::try_begin(*db_);
        if (transaction) {
            Writing writing{*std::move(gate), std::move(transaction)};
            co_return std::move(writing);
        }
        gate->release();
        const auto now = Clock::now();
        if (now >= until) co_return co_await database_locked(loop, directory_ + "/store.db");
        (void)co_await loop.sleep(std::min(until, now + pause));
        pause = std::min<Clock::duration>(pause * 2, kForeignMost);
    }
}

Task<Result<void>> Store::empty_log(Deadline until)
{
    if (auto ok = check(); !ok) co_return ok.error();
    const auto gate = co_await acquire_gate(*loop_, "checkpoint", until);
    if (!gate) co_return gate.error();
    const LockOrder::Section order;
    if (db_->checkpoint(true).frames != 0)
        co_return Error(Errc::busy, "store: a reader keeps the log from being emptied");
    co_return Result<void>();
}

void Store::checkpoint_if_due() noexcept
{
    if (db_->wal_frames() < kCheckpointFrames) return;
    try {
        (void)db_->checkpoint(db_->wal_frames() >= kTruncateFrames);
    } catch (...) {
        // The commit stands whatever becomes of the copy; the log grows until the next try, and
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

// R21: an ordinary transaction begins only while the reserve is whole; started anew, the log may
// have the room that the disk has not. @throws DbError: SQLITE_FULL
void Store::make_room(Room room)
{
    if (on_reserve_ > 0 && room == Room::ordinary) room = Room::reserve;
    Reserve& reserve = db_->reserve();
    reserve.allow(room);
    if (db_->fill_reserve() || XLSTORE_LEFT_OUT("reserve")) return;
    if (room == Room::reserve && reserve.lasts()) return;
    restart_log();
    if (!db_->fill_reserve() && room == Room::ordinary) db_->fail_for_room();
}

// So that the next try finds the whole log.
void Store::room_was_short(const DbError& error) noexcept
{
    if (is_no_room(error)) restart_log();
}

}  // namespace xlstore
