// SPDX-License-Identifier: MIT
// SQL of the embedder's on a connection that could write: reading is all that is let through.
#include "store/database/query.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "store/core/store.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

class QueryTest : public testing::Test {
protected:
    QueryTest()
    {
        StoreOptions options;
        options.directory = scratch_.path();
        auto store = Store::open(options);
        EXPECT_TRUE(store);
        store_ = *std::move(store);
    }
    Result<std::string> ask(const std::string& sql,
                            const std::vector<std::optional<std::string>>& parameters = {},
                            Deadline until = Clock::now() + std::chrono::seconds(100))
    try {
        std::string rows;
        const auto asked = run_query(store_->db(), sql, parameters, until,
                                     [&](const auto& names, const auto& cells) {
                                         rows += row_json(names, cells);
                                         return true;
                                     });
        if (!asked) return asked.error();
        return rows;
    } catch (const DbError& e) {
        return error_of(e);
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
};

TEST_F(QueryTest, RowsAreObjectsWithNumbersAsNumbers)
{
    EXPECT_EQ(*ask("SELECT 1 AS a, 'x' AS b, NULL AS c, 1.5 AS d; SELECT ?1 AS e, ?2 AS f",
                   {"7", std::nullopt}),
              R"({"a":1,"b":"x","c":null,"d":1.5}{"e":"7","f":null})");
}

// JSON has no number for them, and a reader of JSON dies of the word.
TEST_F(QueryTest, InfinityIsNull)
{
    EXPECT_EQ(*ask("SELECT 9e999 AS a, -9e999 AS b, 'Inf' AS c, 1e300 AS d"),
              R"({"a":null,"b":null,"c":"Inf","d":1.0e+300})");
}

TEST_F(QueryTest, TablesSchemaAndTableValuedFunctionsMayBeRead)
{
    for (const char* sql :
         {"SELECT * FROM domains", "PRAGMA table_info('domain')", "SELECT * FROM sqlite_schema",
          "SELECT name FROM pragma_table_info('domain')", "SELECT * FROM json_each('[1]')",
          "PRAGMA integrity_check",
          "WITH RECURSIVE n(x) AS (SELECT 1 UNION SELECT x + 1 FROM n WHERE x < 3) SELECT * FROM n",
          "", "-- nothing\n"})
        EXPECT_TRUE(ask(sql)) << sql;
}

TEST_F(QueryTest, WhatDoesMoreThanReadIsRefused)
{
    const auto before = test::dump(scratch_.path());
    for (const char* sql :
         {"INSERT INTO tombstone (domid, uuid, boot_id, until_us) VALUES (1, '', '', 1)",
          "UPDATE store SET durability = 'power'", "DELETE FROM session", "CREATE TABLE x (a)",
          "CREATE TEMP TABLE x (a)", "DROP TABLE history", "UPDATE sqlite_schema SET sql = ''",
          "ATTACH '/tmp/x.db' AS x", "PRAGMA writable_schema = 1", "PRAGMA journal_mode = delete",
          "PRAGMA wal_checkpoint(TRUNCATE)", "BEGIN IMMEDIATE", "COMMIT", "SAVEPOINT x", "VACUUM",
          "REINDEX", "ANALYZE", "SELECT load_extension('x')"}) {
        const auto asked = ask(sql);
        ASSERT_FALSE(asked) << sql;
        EXPECT_EQ(asked.error().code, Errc::invalid) << sql;
    }
    EXPECT_EQ(test::dump(scratch_.path()), before);
    EXPECT_FALSE(store_->db().in_transaction());
}

// The query is as it should be: "invalid" would send its author to look for a fault in it.
TEST_F(QueryTest, DamagedDatabaseIsNotTheQuerysFault)
{
    ASSERT_TRUE(ask("SELECT count(*) FROM history"));
    sqlite3* by_hand = nullptr;
    ASSERT_EQ(sqlite3_open((scratch_.path() + "/store.db").c_str(), &by_hand), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(by_hand,
                           "PRAGMA writable_schema = ON;"
                           "UPDATE sqlite_schema SET rootpage = 999999 WHERE name = 'history';"
                           "PRAGMA schema_version = 4711",
                           nullptr, nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(by_hand);
    const auto asked = ask("SELECT count(*) FROM history");
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, Errc::store) << asked.error().message;
}

TEST_F(QueryTest, MissingColumnNamesWhatLooksForDamage)
{
    const auto asked = ask("SELECT monitor_path FROM store");
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, Errc::invalid);
    EXPECT_NE(asked.error().advice.find("xlfsck -n"), std::string::npos) << asked.error().advice;
}

TEST_F(QueryTest, EndlessOneEndsWithItsTime)
{
    const auto asked =
        ask("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
            "SELECT count(*) FROM n",
            {}, Clock::now() + std::chrono::milliseconds(50));
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, Errc::timeout);
    EXPECT_NE(asked.error().message.find("time limit"), std::string::npos);
    EXPECT_TRUE(ask("SELECT 1"));
}

// Each is one step of SQLite's, which looks at no clock meanwhile: its own functions take hours.
TEST_F(QueryTest, OneThatStaysWithinAFunctionEndsWithItsTimeToo)
{
    for (const std::string sql :
         {"SELECT replace(hex(zeroblob(8000000)), '0', 'a') LIKE "
          "replace(hex(zeroblob(2000)), '0', '%a') || 'b'",
          "SELECT hex(zeroblob(8000000)) GLOB replace(hex(zeroblob(10000)), '0', '*0') || '1'",
          "SELECT hex(zeroblob(8000000)) GLOB '*' || hex(zeroblob(10000)) || '1'"}) {
        const auto asked = ask(sql, {}, Clock::now() + std::chrono::milliseconds(50));
        if (asked) continue;  // it was faster than that
        EXPECT_EQ(asked.error().code, Errc::timeout) << asked.error().message;
    }
    // These end by themselves.
    EXPECT_TRUE(ask("SELECT instr(hex(zeroblob(8000000)), hex(zeroblob(4000000)) || '1')"));
    EXPECT_TRUE(ask("SELECT length(trim(hex(zeroblob(8000000)), hex(randomblob(500000)) || '0'))"));
    EXPECT_TRUE(
        ask("SELECT length(replace(hex(zeroblob(8000000)), hex(zeroblob(4000000)) || '1', ''))"));
    const auto refused = ask("SELECT json_patch('{}', '{}')");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::invalid);
}

// Twelve values of 28 MB, all needed at the same time.
std::string many_long_values()
{
    std::string sql =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200) SELECT 1";
    for (int i = 0; i < 12; ++i)
        sql += ", (SELECT group_concat(hex(zeroblob(70000))) FROM n)";
    return sql;
}

TEST_F(QueryTest, LongValuesStatementsAndMuchMemoryAreRefused)
{
    for (const std::string& sql :
         {std::string("SELECT length(hex(zeroblob(20000000)))"),
          std::string("SELECT length(replace(hex(zeroblob(10000000)), '0', 'abc'))"),
          "SELECT 1 --" + std::string(70'000, 'x'), many_long_values()}) {
        const auto asked = ask(sql);
        ASSERT_FALSE(asked) << sql.substr(0, 60);
        EXPECT_EQ(asked.error().code, Errc::refused) << asked.error().message;
        EXPECT_FALSE(asked.error().advice.empty());
    }
    // The library itself has no such limits.
    auto row = store_->db().prepare("SELECT length(hex(zeroblob(20000000)))");
    EXPECT_TRUE(row.step());
    EXPECT_EQ(row.integer(0), 40'000'000);
}

// The first column of the first row by SQLite's own functions, quoted.
class PlainSqlite {
public:
    PlainSqlite() { EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK); }
    PlainSqlite(const PlainSqlite&) = delete;
    PlainSqlite& operator=(const PlainSqlite&) = delete;
    ~PlainSqlite() { sqlite3_close(db_); }
    std::string answer(const std::string& sql)
    {
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
            return "error";
        const bool row = sqlite3_step(statement) == SQLITE_ROW;
        const auto* text = row ? sqlite3_column_text(statement, 0) : nullptr;
        std::string found = row ? "NULL" : "error";
        if (text) found = reinterpret_cast<const char*>(text);
        sqlite3_finalize(statement);
        return found;
    }

private:
    sqlite3* db_ = nullptr;
};

TEST_F(QueryTest, FunctionsAnswerAsSqlitesOwn)
{
    PlainSqlite plain;
    const auto ours = [&](const std::string& sql) -> std::string {
        std::string found = "error";
        (void)run_query(store_->db(), sql, {}, Clock::now() + std::chrono::seconds(20),
                        [&](const auto&, const auto& cells) {
                            found = cells[0].text.value_or("NULL");
                            return true;
                        });
        return found;
    };
    const std::vector<std::string> values = {
        "''",      "'a'",     "'A'",      "'ab'",      "'aXbXc'", "'%'",     "'_'",     "'a%'",
        "'%a%b%'", "'_b'",    "'*'",      "'a*'",      "'?b'",    "'[a-c]*'", "'[^a]b'", "'[]]'",
        "'[a-'",   "'a]'",    "'[]a]b'",  "'\u00e4b'",  "'\u00c4b'", "'_\u00e4'", "'\u20ac'", "'x\u20acx'",
        "x'6162'", "x''",     "12",       "1.5",       "NULL",    "'  a '",  "'aab'",   "'aaab'",
        "'*aab'",  "'%aab'",  "'[--/]'",  "'-'",       "'[a-c-]'", "'\\%'",  "'a\\_b'", "'b\u00e4c\u00e4'"};
    for (const auto& a : values)
        for (const auto& b : values) {
            const std::string pair = a + ", " + b;
            std::string sql = "SELECT quote(" + a + " LIKE " + b + ") || quote(" + a + " GLOB " + b +
                              ") || quote(" + a + " LIKE " + b + " ESCAPE '\\') || quote(" + a +
                              " LIKE " + b + " ESCAPE '%')";
            for (const std::string name : {"instr", "trim", "ltrim", "rtrim"})
                sql += " || quote(" + name + "(" + pair + "))";
            sql += " || quote(replace(" + pair + ", 'Zz')) || quote(trim(" + a + ")) || quote(ltrim(" +
                   a + ")) || quote(rtrim(" + a + "))";
            EXPECT_EQ(ours(sql), plain.answer(sql)) << sql;
        }
    EXPECT_EQ(ours("SELECT 'a' LIKE 'b' ESCAPE 'xy'"), "error");
    for (const std::string sql :
         {"SELECT quote('a' LIKE 'a' ESCAPE NULL)", "SELECT quote('a_' LIKE 'a_' ESCAPE '_')",
          "SELECT quote('ab' LIKE 'a_' ESCAPE '_')", "SELECT quote(replace('aXb', 'X', NULL))"})
        EXPECT_EQ(ours(sql), plain.answer(sql)) << sql;
    EXPECT_EQ(ours("SELECT 'a' LIKE printf('%.*c', 100001, 'x')"), "error");
}

TEST_F(QueryTest, LibraryWritesAsBeforeAfterwards)
{
    EXPECT_FALSE(ask("DELETE FROM session"));
    store_->db().execute("UPDATE domain SET name = name");
}

}  // namespace
}  // namespace xlstore
