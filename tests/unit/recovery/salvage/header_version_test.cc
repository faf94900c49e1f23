// SPDX-License-Identifier: MIT
// What a schema has tells its version.
#include "recovery/salvage/header_version.hpp"

#include <gtest/gtest.h>

#include "schema/steps.hpp"
#include "store/database/tables.hpp"

namespace xlstore::recovery {
namespace {

class HeaderVersionTest : public testing::Test {
protected:
    void make(std::int64_t version)
    {
        make_tables(db_, version);
        db_.execute("PRAGMA application_id = " + std::to_string(schema::kApplicationId));
    }
    Db db_{":memory:", Db::Mode::create};
};

TEST_F(HeaderVersionTest, OfEachReleaseIsKnownByItsObjects)
{
    for (auto version = schema::newest_version(); version > 0; --version) {
        Db db(":memory:", Db::Mode::create);
        make_tables(db, version);
        db.execute("PRAGMA user_version = 4711");
        const auto known = version_of_schema(db);
        // A step that changes no object leaves two versions alike.
        EXPECT_GE(known, version);
        EXPECT_LE(known - version, 1);
    }
}

TEST_F(HeaderVersionTest, OfAnotherProgramIsNone)
{
    EXPECT_EQ(version_of_schema(db_), 0);
    db_.execute("CREATE TABLE t (n)");
    EXPECT_EQ(version_of_schema(db_), 0);
    EXPECT_EQ(wrong_ids(db_), std::nullopt);
}

TEST_F(HeaderVersionTest, ASoundStoreHasTheRightIds)
{
    make(schema::newest_version());
    EXPECT_EQ(wrong_ids(db_), std::nullopt);
}

TEST_F(HeaderVersionTest, OfAnOlderReleaseIsNoDamage)
{
    make(3);
    EXPECT_EQ(wrong_ids(db_), std::nullopt);
}

TEST_F(HeaderVersionTest, AWrongIdIsNamed)
{
    make(schema::newest_version());
    db_.execute("PRAGMA application_id = 7");
    EXPECT_NE(wrong_ids(db_).value_or("").find("application_id"), std::string::npos);
    db_.execute("PRAGMA application_id = " + std::to_string(schema::kApplicationId));
    db_.execute("PRAGMA user_version = 2");
    EXPECT_NE(wrong_ids(db_).value_or("").find("user_version is 2"), std::string::npos);
}

// A release that is newer has tables that this one does not know.
TEST_F(HeaderVersionTest, OfANewerReleaseIsNoDamage)
{
    make(schema::newest_version());
    db_.execute("CREATE TABLE later (n)");
    db_.execute("PRAGMA user_version = " + std::to_string(schema::newest_version() + 1));
    EXPECT_EQ(wrong_ids(db_), std::nullopt);
}

}  // namespace
}  // namespace xlstore::recovery
