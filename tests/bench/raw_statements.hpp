// SPDX-License-Identifier: MIT
// The statements of one operation by hand: prepared once, no locks but SQLite's own. Beside them
// the least that two commits can be.
#ifndef XLSTORE_TESTS_BENCH_RAW_STATEMENTS_HPP_
#define XLSTORE_TESTS_BENCH_RAW_STATEMENTS_HPP_

#include <sqlite3.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "store/database/write_permit.hpp"

namespace xlstore::bench {

class Statements {
public:
    /// @param vfs  SQLite's layer below; null: its own
    Statements(const std::string& path, const std::vector<std::string>& made_by,
               const std::vector<std::string>& statements, const char* vfs = nullptr)
    {
        if (sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs) !=
            SQLITE_OK)
            throw std::runtime_error("sqlite3_open_v2");
        for (const char* pragma : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL",
                                   "PRAGMA foreign_keys = ON"})
            sqlite3_exec(db_, pragma, nullptr, nullptr, nullptr);
        if (permit_writes(db_) != SQLITE_OK) throw std::runtime_error("permit_writes");
        for (const auto& sql : made_by)
            if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
                throw std::runtime_error(sqlite3_errmsg(db_));
        for (const auto& sql : statements) {
            sqlite3_stmt* statement = nullptr;
            if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
                throw std::runtime_error(sqlite3_errmsg(db_));
            statements_.push_back(statement);
        }
    }
    Statements(const Statements&) = delete;
    Statements& operator=(const Statements&) = delete;
    ~Statements()
    {
        for (auto* statement : statements_)
            sqlite3_finalize(statement);
        sqlite3_close(db_);
    }
    bool run()
    {
        for (auto* statement : statements_) {
            const int rc = sqlite3_step(statement);
            sqlite3_reset(statement);
            if (rc != SQLITE_DONE) return false;
        }
        return true;
    }

private:
    sqlite3* db_ = nullptr;
    std::vector<sqlite3_stmt*> statements_;
};

/// The rows that the two commits write, the count of commits among them.
inline std::vector<std::string> statements_of_two_commits()
{
    return {"BEGIN IMMEDIATE",
            "UPDATE domain SET epoch = epoch + 1, revision = revision + 1, changed_us = 1 WHERE "
            "domid = 1",
            "UPDATE thing SET state = 'changing', json = json, changed_us = 1 WHERE id = 3",
            "INSERT INTO intent (id, domain, thing, owner, operation, image_before, image_after, "
            "plan, probe, "
            "monitor_path, epoch, opened_us) SELECT NULL, 1, 3, (SELECT max(id) FROM session), "
            "'change', json, "
            "json, '[{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}]', "
            "'{\"products\":[],\"drive\":{\"id\":\"ide-5632\"}}', '/run/qmp', 1, 1 FROM thing "
            "WHERE id = 3",
            "UPDATE store SET commits = commits + 1",
            "COMMIT",
            "BEGIN IMMEDIATE",
            "UPDATE domain SET epoch = epoch + 1, revision = revision + 1, changed_us = 1 WHERE "
            "domid = 1",
            "INSERT INTO history (at_us, domain, domid, operation, class, key, intent, outcome, "
            "image, evidence, "
            "pid, program) SELECT 1, 1, 1, 'change', 'disks', 'd2', id, 'done', 'after', 'raw', "
            "1, 'bench' FROM intent WHERE thing = 3",
            "DELETE FROM intent WHERE thing = 3",
            "UPDATE thing SET state = 'present', json = json, changed_us = 1 WHERE id = 3",
            "UPDATE store SET commits = commits + 1",
            "COMMIT"};
}

/// What has to be made for the next, in a database of its own.
inline std::vector<std::string> one_row()
{
    return {"CREATE TABLE one (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO one VALUES (1, 0)"};
}
inline std::vector<std::string> two_transactions_of_one_row()
{
    return {"BEGIN IMMEDIATE", "UPDATE one SET n = n + 1 WHERE id = 1", "COMMIT",
            "BEGIN IMMEDIATE", "UPDATE one SET n = n + 1 WHERE id = 1", "COMMIT"};
}

}  // namespace xlstore::bench

#endif  // XLSTORE_TESTS_BENCH_RAW_STATEMENTS_HPP_
