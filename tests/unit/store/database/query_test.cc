// SPDX-License-Identifier: MIT
// SQL of the embedder's on a connection that could write: reading is all that is let through.
#include "store/database/query.hpp"

#include <gtest/gtest.h>

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
                            Deadline until = Clock::now() + std::chrono::seconds(20))
    {
        std::string rows;
        const auto asked = run_query(store_->db(), sql, parameters, until,
                                     [&](const auto& names, const auto& cells) {
                                         rows += row_json(names, cells);
                                         return true;
                                     });
        if (!asked) return asked.error();
        return rows;
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

TEST_F(QueryTest, EndlessOneEndsWithItsTime)
{
    const auto asked =
        ask("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
            "SELECT count(*) FROM n",
            {}, Clock::now() + std::chrono::milliseconds(50));
    ASSERT_FALSE(asked);
    EXPECT_NE(asked.error().message.find("time limit"), std::string::npos);
    EXPECT_TRUE(ask("SELECT 1"));
}

TEST_F(QueryTest, LibraryWritesAsBeforeAfterwards)
{
    EXPECT_FALSE(ask("DELETE FROM session"));
    store_->db().execute("UPDATE domain SET name = name");
}

}  // namespace
}  // namespace xlstore
