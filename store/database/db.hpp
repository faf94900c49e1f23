// SPDX-License-Identifier: MIT
// A thin RAII layer over SQLite: connection, statement, transaction. It knows nothing of domains.
// Everything that SQLite reports is thrown as DbError. A connection belongs to one thread.
//
// How the file is opened is part of the contract (DESIGN.md, Locks): WAL, no mmap, no automatic
// checkpoint and none on close (SQLite before 3.51.3 loses rows when a checkpoint overlaps a
// commit; ours run under the writer lock), DEFENSIVE, trusted_schema off, no extensions.
#ifndef XLSTORE_STORE_DATABASE_DB_HPP_
#define XLSTORE_STORE_DATABASE_DB_HPP_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "store/base/fd.hpp"
#include "store/database/reserve.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace xlstore {

class Db;
class DbError;

/// SQLite does not take the file for a sound database.
[[nodiscard]] bool is_damage(const DbError& error);
/// There is no space left for what was to be written.
[[nodiscard]] bool is_no_room(const DbError& error);

/// A prepared statement, reset when it leaves scope. Columns and parameters are 1- and 0-based as
/// in SQLite's own interface: bind from 1, columns from 0.
class Statement {
public:
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&&) = delete;
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;
    ~Statement();

    /// Binds the next parameter: an integer, text (copied), nullptr, or an optional of these.
    template <class T>
    Statement& bind(const T& value) &
    {
        put(value);
        return *this;
    }
    template <class T>
    Statement&& bind(const T& value) &&
    {
        put(value);
        return std::move(*this);
    }

    /// As bind(), and text is not copied. REQUIRES that it lasts until the statement has ended:
    /// what a chain that ends with run() is given does.
    template <class T>
    Statement&& lend(const T& value) &&
    {
        lent_ = true;
        put(value);
        lent_ = false;
        return std::move(*this);
    }

    /// True when a row is there, false when there are no more.
    bool step();
    /// For statements without rows.
    void run()
    {
        while (step()) {
        }
    }

    [[nodiscard]] bool is_null(int column) const;
    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] std::string text(int column) const;
    [[nodiscard]] std::optional<std::int64_t> maybe_integer(int column) const;
    [[nodiscard]] std::optional<std::string> maybe_text(int column) const;

private:
    friend class Db;
    Statement(Db& db, sqlite3_stmt* stmt) : db_(&db), stmt_(stmt) {}
    void put(std::int64_t value);
    void put(std::string_view value);
    void put(const char* value) { put(std::string_view(value)); }
    void put(const std::string& value) { put(std::string_view(value)); }
    void put(std::nullptr_t);
    template <class T>
    void put(const std::optional<T>& value)
    {
        value ? put(*value) : put(nullptr);
    }
    Db* db_;
    sqlite3_stmt* stmt_;
    int next_ = 1;
    bool lent_ = false;  // what is bound now need not be copied
};

enum class Durability { process, power };  ///< survives a killed process; survives a power cut too

class Db {
public:
    /// untouched: read-only, and no byte of the log's index is written either; log and index have
    /// to be there.
    enum class Mode { untouched, read_only, read_write, create };

    /// Opens `path`, which is no symlink; its directory may be reached through one. `shown`: as
    /// call_it(). @throws DbError
    Db(const std::string& path, Mode mode, Durability durability = Durability::process,
       std::string shown = {});
    Db(const Db&) = delete;
    Db& operator=(const Db&) = delete;
    ~Db();

    /// The statement for `sql`, prepared once and kept. Not to be used twice at the same time.
    Statement prepare(const char* sql);
    /// Runs a script of statements without parameters.
    void execute(const std::string& sql);
    /// Writes a whole copy, without log and reserve, to `path`: a missing or an empty file, and no
    /// symlink. @throws DbError
    void copy_to(const std::string& path);
    [[nodiscard]] std::int64_t pragma_integer(const char* sql);
    [[nodiscard]] std::int64_t last_insert_id() const;
    [[nodiscard]] int changes() const;
    /// Rows that this connection has changed since it was opened.
    [[nodiscard]] std::int64_t total_changes() const;
    [[nodiscard]] bool in_transaction() const;

    /// While one lives, the function written_for() of this connection gives its token; else "".
    /// For triggers that record what one operation changes, of several on a connection.
    class WrittenFor {
    public:
        WrittenFor(Db& db, std::string token) : db_(db) { db_.written_for_ = std::move(token); }
        WrittenFor(const WrittenFor&) = delete;
        WrittenFor& operator=(const WrittenFor&) = delete;
        ~WrittenFor() { db_.written_for_.clear(); }

    private:
        Db& db_;
    };

    struct WalState {
        int frames = 0;        ///< frames in the log; -1 when it could not be looked at
        int checkpointed = 0;  ///< of these, copied into the database
    };
    /// Copies the log into the database and starts it anew; never waits. REQUIRES the write
    /// writer lock.
    WalState checkpoint(bool truncate);
    /// Frames in the log after the last commit of this connection.
    [[nodiscard]] int wal_frames() const noexcept { return wal_frames_; }

    /// R21: of a connection opened with Mode::read_write; of another it does nothing.
    [[nodiscard]] Reserve& reserve() noexcept { return reserve_; }
    /// See Reserve::fill(). Within a transaction it need not lock the file once more. REQUIRES the
    /// writer lock.
    int fill_reserve()
    {
        if (page_size_ == 0) page_size_ = pragma_integer("PRAGMA page_size");
        const auto most = reserve_.most_pages();
        const bool is_whole = most > 0 && reserve_.has_behind(most, page_size_);
        return reserve_.fill(is_whole ? most : pragma_integer("PRAGMA page_count"), page_size_);
    }
    /// That, before anything else is tried. @throws DbError: SQLITE_FULL, as a full disk does, or
    /// the I/O error. REQUIRES the writer lock.
    void require_reserve();

    /// What the next commits of a connection that writes survive.
    void survive(Durability durability);

    /// What messages call it: a private copy is shown as the database that it was made of.
    void call_it(std::string path) { path_ = std::move(path); }
    [[nodiscard]] const std::string& called() const noexcept { return path_; }

    [[nodiscard]] sqlite3* handle() const noexcept { return db_; }
    /// From now on SQL's functions have an end (store/database/query_functions.hpp), in what is
    /// read through this connection for others.
    void bound_functions();
    [[noreturn]] void fail(const std::string& doing) const;
    /// `table` has no number left to give: sqlite_sequence has `has` (R17).
    [[noreturn]] void fail_for_number(const std::string& table, const std::string& has) const;

private:
    friend class Statement;
    void fail_if_no_number_is_left() const;
    friend class Transaction;
    friend class ReadTransaction;
    /// Ends the transaction that is open, if there is one, and needs no memory of ours for it.
    void roll_back() noexcept;
    void configure(Mode mode, Durability durability);

    ForkSensitive no_forked_user_;  // before the handle, so that it ends after it
    sqlite3* db_ = nullptr;
    Reserve reserve_;
    std::uint64_t fork_generation_ = fork_generation();
    std::string path_;
    bool bounded_ = false;
    // Keyed by the address of the SQL literal: the same call site, the same statement.
    std::unordered_map<const char*, sqlite3_stmt*> statements_;
    sqlite3_stmt* rollback_ = nullptr;  // among the statements; prepared when the file is opened
    int wal_frames_ = 0;
    std::string written_for_;
    std::int64_t page_size_ = 0;  // 0: not asked yet; no library changes that of a store
};

/// A write transaction (BEGIN IMMEDIATE); rolled back unless committed. REQUIRES the writer lock.
class Transaction {
public:
    explicit Transaction(Db& db);
    /// One try, no wait; nothing: a program that does not know the writer lock has the database
    /// locked.
    /// @throws DbError
    static std::unique_ptr<Transaction> try_begin(Db& db);
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    ~Transaction();
    void commit();

private:
    Db& db_;
    bool open_ = true;
};

/// A read transaction: one atomic look at the store (R2).
class ReadTransaction {
public:
    explicit ReadTransaction(Db& db);
    ReadTransaction(const ReadTransaction&) = delete;
    ReadTransaction& operator=(const ReadTransaction&) = delete;
    ~ReadTransaction();

private:
    Db& db_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_DB_HPP_
