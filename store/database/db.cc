// SPDX-License-Identifier: MIT
// Statements are prepared once for each address of a text, and handed out as guards that reset
// them. Waiting is never SQLite's: its busy handler sleeps and starves (it has one second for the
// index of the log alone), and writers queue at the writer lock instead. A checkpoint is RESTART or
// TRUNCATE, which take SQLite's own writer lock, and does not wait for readers. fail() turns every
// error code into a DbError; a full database is told apart from a table that has given its last
// number. In a forked child nothing is closed: to close a file would drop the parent's locks.
#include "store/database/db.hpp"

#include <sqlite3.h>

#include <atomic>
#include <cctype>
#include <limits>
#include <new>

#include "store/base/error.hpp"
#include "store/database/query_functions.hpp"
#include "store/database/write_permit.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/testing/crash_point.hpp"
#include "store/testing/mutation.hpp"

namespace xlstore {

namespace {

// How long to wait while another process rebuilds the index of the log after a crash. Not for
// writers: those queue at the writer lock, so that SQLite's own sleep-and-retry, which starves, is
// never what decides.
constexpr int kRecoveryWaitMs = 1000;

}  // namespace

bool is_damage(const DbError& error)
{
    const int code = error.extended_code() & 0xff;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

bool is_no_room(const DbError& error)
{
    const int code = error.extended_code();
    return (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE;
}

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_), stmt_(other.stmt_), next_(other.next_)
{
    other.stmt_ = nullptr;
}

Statement::~Statement()
{
    if (!stmt_) return;
    sqlite3_reset(stmt_);
    sqlite3_clear_bindings(stmt_);
}

void Statement::put(std::int64_t value)
{
    if (sqlite3_bind_int64(stmt_, next_++, value) != SQLITE_OK) db_->fail("cannot bind a value");
}

void Statement::put(std::string_view value)
{
    if (sqlite3_bind_text64(stmt_, next_++, value.data() ? value.data() : "", value.size(),
                            lent_ ? SQLITE_STATIC : SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK)
        db_->fail("cannot bind a value");
}

void Statement::put(std::nullptr_t)
{
    if (sqlite3_bind_null(stmt_, next_++) != SQLITE_OK) db_->fail("cannot bind a value");
}

bool Statement::step()
{
    switch (sqlite3_step(stmt_)) {
    case SQLITE_ROW:
        return true;
    case SQLITE_DONE:
        return false;
    default:
        db_->fail("cannot run a statement");
    }
}

bool Statement::is_null(int column) const
{
    return sqlite3_column_type(stmt_, column) == SQLITE_NULL;
}
std::int64_t Statement::integer(int column) const
{
    return sqlite3_column_int64(stmt_, column);
}

std::string Statement::text(int column) const
{
    const auto* bytes = sqlite3_column_text(stmt_, column);
    const int size = sqlite3_column_bytes(stmt_, column);
    return bytes ? std::string(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size))
                 : std::string();
}

std::optional<std::int64_t> Statement::maybe_integer(int column) const
{
    if (is_null(column)) return std::nullopt;
    return integer(column);
}

std::optional<std::string> Statement::maybe_text(int column) const
{
    if (is_null(column)) return std::nullopt;
    return text(column);
}

void Db::bound_functions()
{
    if (!bounded_) bounded_ = use_bounded_functions(db_);
}

namespace {

// For the path of a URI.
std::string percent_encoded(const std::string& path)
{
    std::string text;
    for (const char c : path) {
        if (std::isalnum(static_cast<unsigned char>(c)) || c == '/' || c == '.' || c == '-') {
            text += c;
            continue;
        }
        constexpr std::string_view digits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        text += {'%', digits[byte >> 4U], digits[byte & 15U]};
    }
    return text;
}

}  // namespace

Db::Db(const std::string& path, Mode mode, Durability durability, std::string shown)
    : path_(shown.empty() ? path : shown)
{
    int flags = SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOMUTEX;
    // NOFOLLOW has SQLite refuse a symlink in any part of a path.
    std::string name = in_real_directory(path);
    const char* vfs = nullptr;
    switch (mode) {
    case Mode::untouched:
        flags |= SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
        name = "file:" + percent_encoded(name) + "?readonly_shm=1";
        break;
    case Mode::read_only:
        flags |= SQLITE_OPEN_READONLY;
        vfs = reserving_vfs();  // the log's index may have to be made
        break;
    case Mode::read_write:
        flags |= SQLITE_OPEN_READWRITE;
        vfs = reserving_vfs();
        break;
    case Mode::create:
        flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
        break;
    }
    try {
        if (sqlite3_open_v2(name.c_str(), &db_, flags, vfs) != SQLITE_OK) fail("cannot open it");
        configure(mode, durability);
        reserve_ = Reserve(db_);
    } catch (...) {
        for (const auto& [sql, stmt] : statements_)
            sqlite3_finalize(stmt);
        sqlite3_close_v2(db_);
        throw;
    }
}

void Db::configure(Mode mode, Durability durability)
{
    const auto set = [this](int option, int value) {
        if (sqlite3_db_config(db_, option, value, nullptr) != SQLITE_OK)
            fail("cannot configure it");
    };
    set(SQLITE_DBCONFIG_DEFENSIVE, 1);
    set(SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0);
    set(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0);
    set(SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1);  // closing may not checkpoint outside the writer lock
    if (permit_writes(db_) != SQLITE_OK || tell_written_for(db_, written_for_) != SQLITE_OK)
        fail("cannot configure it");
    sqlite3_busy_timeout(db_, kRecoveryWaitMs);
    execute("PRAGMA mmap_size = 0");  // the log's reset race is widened by mapped files
    execute("PRAGMA cell_size_check = ON");
    execute("PRAGMA foreign_keys = ON");
    rollback_ = prepare("ROLLBACK").stmt_;
    if (mode == Mode::read_only || mode == Mode::untouched) return;
    execute("PRAGMA journal_mode = WAL");
    // R21: it takes no room on a disk. Not for those who only look: it reads the schema, and so
    // would fail before the look at a damaged one.
    execute("PRAGMA temp_store = MEMORY");
    execute("PRAGMA wal_autocheckpoint = 0");  // only under the writer lock, see Db::checkpoint
    survive(durability);
    sqlite3_wal_hook(
        db_,
        [](void* self, sqlite3*, const char*, int frames) {
            static_cast<Db*>(self)->wal_frames_ = frames;
            return SQLITE_OK;
        },
        this);
}

// NORMAL: a commit survives a killed process; a power cut may take the last ones, together with
// every QEMU they spoke of. FULL: survives the power cut as well.
void Db::survive(Durability durability)
{
    const bool synced = durability == Durability::power && !XLSTORE_MUTATION("fsync");
    execute(synced ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

namespace {

/// What a forked child may not close stays in its memory; where it can be found, so that a leak
/// checker sees no leak in it. No lock: another thread of the parent's may have held it.
void keep(sqlite3* db) noexcept
{
    struct Kept {
        sqlite3* db;
        Kept* next;
    };
    static std::atomic<Kept*> first{nullptr};
    auto* one = new (std::nothrow) Kept{db, first.load()};
    while (one && !first.compare_exchange_weak(one->next, one)) {
    }
}

}  // namespace

Db::~Db()
{
    // SQLite's rule: a child does not even close what its parent opened.
    if (fork_poisoned(fork_generation_)) {
        keep(db_);
        return;
    }
    for (const auto& [sql, stmt] : statements_)
        sqlite3_finalize(stmt);
    sqlite3_close_v2(db_);
}

Statement Db::prepare(const char* sql)
{
    auto [it, fresh] = statements_.try_emplace(sql, nullptr);
    if (fresh) {
        const int rc =
            sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &it->second, nullptr);
        if (rc != SQLITE_OK) {
            statements_.erase(it);
            fail("cannot prepare a statement");
        }
    }
    return Statement(*this, it->second);
}

void Db::execute(const std::string& sql)
{
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        fail("cannot run a statement");
}

void Db::copy_to(const std::string& path)
{
    prepare("VACUUM INTO ?").bind(in_real_directory(path)).run();
}

std::int64_t Db::pragma_integer(const char* sql)
{
    auto statement = prepare(sql);
    return statement.step() ? statement.integer(0) : 0;
}

std::int64_t Db::last_insert_id() const
{
    return sqlite3_last_insert_rowid(db_);
}
int Db::changes() const
{
    return sqlite3_changes(db_);
}
std::int64_t Db::total_changes() const
{
    return sqlite3_total_changes64(db_);
}
bool Db::in_transaction() const
{
    return sqlite3_get_autocommit(db_) == 0;
}

Db::WalState Db::checkpoint(bool truncate)
{
    WalState state;
    // RESTART and TRUNCATE take SQLite's writer lock, PASSIVE does not: the race is out of reach.
    // No busy wait: with a reader in the way the log stays, and a later one is tried.
    sqlite3_busy_timeout(db_, 0);
    const int rc = sqlite3_wal_checkpoint_v2(
        db_, nullptr, truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_RESTART,
        &state.frames, &state.checkpointed);
    sqlite3_busy_timeout(db_, kRecoveryWaitMs);
    if (rc == SQLITE_OK) wal_frames_ = 0;
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED)
        fail("cannot checkpoint the log");
    return state;
}

namespace {

// A private copy is called what it was copied from, and lies elsewhere.
std::string directory_of(sqlite3* db, const std::string& path)
{
    const char* const file = sqlite3_db_filename(db, "main");
    const std::string there = file && *file ? file : path;
    return there.substr(0, there.rfind('/'));
}

}  // namespace

void Db::fail(const std::string& doing) const
{
    const int code = db_ ? sqlite3_extended_errcode(db_) : SQLITE_NOMEM;
    std::string why = db_ ? sqlite3_errmsg(db_) : "out of memory";
    if (code == SQLITE_FULL) fail_if_no_number_is_left();
    if ((code & 0xff) == SQLITE_CANTOPEN && sqlite3_system_errno(db_) != 0)
        why += " (" + errno_text(sqlite3_system_errno(db_)) + ")";
    if ((code & 0xff) == SQLITE_FULL) why += " (" + free_space(directory_of(db_, path_)) + ")";
    throw DbError(code, "database " + path_ + ": " + doing + ": " + why);
}

// SQLite says of a table that has given its last number that the database or the disk is full.
void Db::fail_if_no_number_is_left() const
{
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db_, "SELECT name, seq FROM main.sqlite_sequence ORDER BY seq DESC LIMIT 1",
                       -1, &statement, nullptr);
    std::string table;
    if (sqlite3_step(statement) == SQLITE_ROW &&
        sqlite3_column_int64(statement, 1) == std::numeric_limits<std::int64_t>::max())
        table = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    if (!table.empty())
        fail_for_number(table, std::to_string(std::numeric_limits<std::int64_t>::max()));
}

void Db::fail_for_number(const std::string& table, const std::string& has) const
{
    // A code that SQLite gives for nothing that this program does: error_of() has advice for it.
    throw DbError(SQLITE_RANGE, "database " + path_ + ": table " + table +
                                    " has no number left to give: sqlite_sequence was set to " +
                                    has + " by hand (R17)");
}

void Db::require_reserve()
{
    const int rc = fill_reserve();
    if (rc == SQLITE_OK) return;
    const std::string why =
        rc == SQLITE_FULL ? "no room for a commit: " + free_space(path_.substr(0, path_.rfind('/')))
                          : "cannot make room for a commit: " + std::string(sqlite3_errstr(rc));
    throw DbError(rc, "database " + path_ + ": " + why);
}

void Db::roll_back() noexcept
{
    // Not by way of prepare(): this runs in destructors, also of a transaction that ran out of
    // memory. SQLite itself may have rolled back already (full disk, I/O error).
    for (int i = 0; i < 2 && in_transaction(); ++i)
        if (!rollback_ || sqlite3_step(rollback_) != SQLITE_DONE)
            sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
    if (rollback_) sqlite3_reset(rollback_);
}

Transaction::Transaction(Db& db) : db_(db)
{
    db_.prepare("BEGIN IMMEDIATE").run();
}

std::unique_ptr<Transaction> Transaction::try_begin(Db& db)
{
    sqlite3_busy_timeout(db.handle(), 0);
    try {
        auto begun = std::make_unique<Transaction>(db);
        sqlite3_busy_timeout(db.handle(), kRecoveryWaitMs);
        return begun;
    } catch (const DbError& e) {
        sqlite3_busy_timeout(db.handle(), kRecoveryWaitMs);
        if ((e.extended_code() & 0xff) != SQLITE_BUSY) throw;
        return nullptr;
    }
}

Transaction::~Transaction()
{
    if (open_) db_.roll_back();
}

void Transaction::commit()
{
    XLSTORE_CRASH_POINT("commit.before");
    db_.prepare("COMMIT").run();
    open_ = false;
    XLSTORE_CRASH_POINT("commit.after");
}

ReadTransaction::ReadTransaction(Db& db) : db_(db)
{
    db_.prepare("BEGIN DEFERRED").run();
}

ReadTransaction::~ReadTransaction()
{
    db_.roll_back();  // a read changes nothing: there is nothing to lose
}

}  // namespace xlstore
