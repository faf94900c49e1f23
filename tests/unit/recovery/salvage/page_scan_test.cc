// SPDX-License-Identifier: MIT
// Rows are found page by page where no tree leads to them; what may have been deleted is marked.
#include "recovery/salvage/page_scan.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>

#include "tests/support/plain_database.hpp"

namespace xlstore::recovery {
namespace {

class PageScanTest : public testing::Test {
protected:
    PageScanTest()
    {
        for (Db* db : {&damaged_, &model_}) {
            db->execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, text TEXT NOT NULL)");
            db->execute(
                "CREATE TABLE u (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID");
        }
        insert(1, 300);
        damaged_.execute("INSERT INTO u VALUES ('one', 'a'), ('two', 'b')");
    }
    void insert(int first, int last)
    {
        damaged_.execute("WITH RECURSIVE r (n) AS (SELECT " + std::to_string(first) +
                         " UNION ALL SELECT n + 1 FROM r WHERE n < " + std::to_string(last) +
                         ") INSERT INTO t SELECT n, n * n, printf('%0100d', n) FROM r");
    }
    [[nodiscard]] std::string bytes()
    {
        sqlite3_int64 size = 0;
        unsigned char* all = sqlite3_serialize(damaged_.handle(), "main", &size, 0);
        std::string text(reinterpret_cast<char*>(all), static_cast<std::size_t>(size));
        sqlite3_free(all);
        return text;
    }
    std::size_t root(const std::string& table)
    {
        auto row = damaged_.prepare("SELECT rootpage FROM sqlite_schema WHERE name = ?");
        row.bind(table);
        EXPECT_TRUE(row.step());
        return static_cast<std::size_t>(row.integer(0));
    }
    std::vector<Row> scan(const std::string& table, std::string of)
    {
        const Pages pages(std::move(of), kPageSize);
        const auto free = pages.free_list();
        return PageScan(damaged_, pages, free, model_).rows(table);
    }
    static std::size_t proved(const std::vector<Row>& rows)
    {
        return static_cast<std::size_t>(std::ranges::count_if(rows, &Row::proved));
    }
    static bool has(const std::vector<Row>& rows, std::int64_t id)
    {
        return std::ranges::any_of(rows, [&](const Row& row) { return row.integer("id") == id; });
    }

    Db damaged_{":memory:", Db::Mode::create};
    Db model_{":memory:", Db::Mode::create};
};

TEST_F(PageScanTest, OfASoundFileEachRowIsProved)
{
    const auto rows = scan("t", bytes());
    EXPECT_EQ(rows.size(), 300U);
    EXPECT_EQ(proved(rows), 300U);
    const auto others = scan("u", bytes());
    EXPECT_EQ(others.size(), 2U);
    EXPECT_EQ(proved(others), 2U);
}

// They are in use: they are not free, and no tree is known to be another's.
TEST_F(PageScanTest, BelowALostRootEachRowIsFound)
{
    auto text = bytes();
    text.replace((root("t") - 1) * kPageSize, kPageSize, std::string(kPageSize, '\0'));
    const auto rows = scan("t", text);
    EXPECT_EQ(rows.size(), 300U);
    EXPECT_EQ(proved(rows), 300U);
}

TEST_F(PageScanTest, WhereTheListOfFreePagesIsWrongNothingOfThatIsProved)
{
    auto text = bytes();
    text.replace((root("t") - 1) * kPageSize, kPageSize, std::string(kPageSize, '\0'));
    text[36 + 3] = 9;  // so many pages are free
    const auto rows = scan("t", text);
    EXPECT_EQ(rows.size(), 300U);
    EXPECT_EQ(proved(rows), 0U);
}

TEST_F(PageScanTest, ADeletedRowDoesNotComeBack)
{
    damaged_.execute("DELETE FROM t WHERE id > 100 OR id = 7");
    const auto rows = scan("t", bytes());
    EXPECT_EQ(rows.size(), 99U);
    EXPECT_FALSE(has(rows, 7));
    EXPECT_FALSE(has(rows, 300));
}

// Where a page's own list of cells is damaged what lies between them is looked for.
TEST_F(PageScanTest, BehindADamagedHeadRowsAreFoundAndMarked)
{
    auto text = bytes();
    std::size_t leaf = 0;
    for (std::size_t page = 1; page < text.size() / kPageSize && leaf == 0; ++page)
        if (text[page * kPageSize] == 13) leaf = page;
    text.replace(leaf * kPageSize, 8, std::string(8, '\xff'));
    const auto rows = scan("t", text);
    EXPECT_EQ(rows.size(), 300U);
    EXPECT_LT(proved(rows), 300U);
}

// A schema that was guessed may give a table the root of another.
TEST_F(PageScanTest, UnderAnotherTablesNameRowsAreFoundAllTheSame)
{
    damaged_.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, a, b, c, d)");
    model_.execute("CREATE TABLE v (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b TEXT NOT NULL, "
                   "c TEXT NOT NULL, d TEXT NOT NULL)");
    const auto text = bytes();
    const auto from = root("t");
    sqlite3_db_config(damaged_.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    damaged_.execute("PRAGMA writable_schema = ON");
    damaged_.execute("UPDATE sqlite_schema SET rootpage = 0 WHERE name = 't'");
    damaged_.execute("UPDATE sqlite_schema SET rootpage = " + std::to_string(from) +
                     " WHERE name = 'v'");
    EXPECT_EQ(scan("t", text).size(), 300U);
    EXPECT_TRUE(scan("v", text).empty());
}

TEST_F(PageScanTest, WhatNoRowCouldBeIsNone)
{
    damaged_.execute("CREATE TABLE w (id INTEGER PRIMARY KEY, n, text)");
    damaged_.execute("INSERT INTO w VALUES (1, NULL, 'x'), (2, 3, NULL), (-5, 3, 'x')");
    auto text = bytes();
    const auto from = root("w");
    text.replace((root("t") - 1) * kPageSize, kPageSize, text.substr((from - 1) * kPageSize, kPageSize));
    text.resize((from - 1) * kPageSize);
    const auto rows = scan("t", text);
    EXPECT_EQ(rows.size(), 300U);  // below the root that is lost
    EXPECT_FALSE(has(rows, -5));
    for (const auto& row : rows)
        EXPECT_NE(row.text("text"), "x");
}

TEST_F(PageScanTest, NoiseHasNoRows)
{
    const auto head = bytes().substr(0, kPageSize);
    for (unsigned seed = 1; seed < 6; ++seed)
        EXPECT_TRUE(scan("t", head + test::noise(3 * kPageSize, seed)).empty());
    EXPECT_TRUE(scan("t", head.substr(0, 100)).empty());
}

}  // namespace
}  // namespace xlstore::recovery
