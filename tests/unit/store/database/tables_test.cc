// SPDX-License-Identifier: MIT
#include "store/database/tables.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace xlstore {
namespace {

std::map<std::string, std::string> schema_of(Db& db)
{
    auto rows = db.prepare("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_schema");
    std::map<std::string, std::string> objects;
    while (rows.step())
        objects.emplace(rows.text(0), rows.text(1));
    return objects;
}

TEST(TablesTest, MadeAtOnceAreThoseThatTheStepsMake)
{
    Db at_once(":memory:", Db::Mode::create);
    make_tables(at_once);
    Db by_steps(":memory:", Db::Mode::create);
    for (const auto& step : schema::steps())
        by_steps.execute(std::string(step.sql));

    EXPECT_EQ(schema_of(at_once), schema_of(by_steps));
    EXPECT_EQ(schema_version(at_once), schema::newest_version());
    EXPECT_TRUE(schema_flaws(at_once).empty());
}

// No step leaves a row in a database that had none: rows would be missing of what is made at once.
TEST(TablesTest, StepsMakeNoRows)
{
    Db by_steps(":memory:", Db::Mode::create);
    for (const auto& step : schema::steps())
        by_steps.execute(std::string(step.sql));
    auto tables = by_steps.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'");
    while (tables.step())
        EXPECT_EQ(by_steps.pragma_integer(("SELECT count(*) FROM \"" + tables.text(0) + "\"").c_str()), 0)
            << tables.text(0);
}

}  // namespace
}  // namespace xlstore
