// SPDX-License-Identifier: MIT
// A database of SQLite alone, with pages of any size, and its bytes.
#ifndef XLSTORE_TESTS_SUPPORT_PLAIN_DATABASE_HPP_
#define XLSTORE_TESTS_SUPPORT_PLAIN_DATABASE_HPP_

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstddef>
#include <random>
#include <string>

namespace xlstore::test {

class PlainDatabase {
public:
    explicit PlainDatabase(std::size_t page_size, const std::string& path = ":memory:")
    {
        EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
        run("PRAGMA page_size = " + std::to_string(page_size));
        if (path != ":memory:") run("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0");
    }
    PlainDatabase(const PlainDatabase&) = delete;
    PlainDatabase& operator=(const PlainDatabase&) = delete;
    ~PlainDatabase() { sqlite3_close(db_); }

    void run(const std::string& sql)
    {
        char* error = nullptr;
        EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error), SQLITE_OK)
            << sql << ": " << (error ? error : "");
        sqlite3_free(error);
    }
    /// Rows 1 to `count` of t (id INTEGER PRIMARY KEY, n INTEGER, text TEXT), the text of row n
    /// `length` bytes long.
    void fill(int count, int length)
    {
        run("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, text TEXT)");
        add(1, count, length);
    }
    void add(int first, int last, int length)
    {
        run("WITH RECURSIVE r (n) AS (SELECT " + std::to_string(first) +
            " UNION ALL SELECT n + 1 FROM r WHERE n < " + std::to_string(last) +
            ") INSERT INTO t SELECT n, n * n, printf('%0" + std::to_string(length) +
            "d', n) FROM r");
    }
    [[nodiscard]] std::string bytes() const
    {
        sqlite3_int64 size = 0;
        unsigned char* all = sqlite3_serialize(db_, "main", &size, 0);
        std::string text(reinterpret_cast<char*>(all), static_cast<std::size_t>(size));
        sqlite3_free(all);
        return text;
    }
    [[nodiscard]] std::uint32_t root(const std::string& table) const
    {
        sqlite3_stmt* statement = nullptr;
        sqlite3_prepare_v2(db_, "SELECT rootpage FROM sqlite_schema WHERE name = ?", -1, &statement,
                           nullptr);
        sqlite3_bind_text(statement, 1, table.c_str(), -1, SQLITE_TRANSIENT);
        EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
        const auto root = static_cast<std::uint32_t>(sqlite3_column_int(statement, 0));
        sqlite3_finalize(statement);
        return root;
    }

private:
    sqlite3* db_ = nullptr;
};

/// The same bytes for the same seed.
inline std::string noise(std::size_t length, unsigned seed)
{
    std::mt19937 chance(seed);
    std::string text(length, '\0');
    for (char& byte : text)
        byte = static_cast<char>(chance() & 0xffU);
    return text;
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_PLAIN_DATABASE_HPP_
