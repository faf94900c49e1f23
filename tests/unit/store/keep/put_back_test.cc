// SPDX-License-Identifier: MIT
// What a salvage quarantined, put back where the store's rules let it in (R22).
#include "store/keep/put_back.hpp"

#include <gtest/gtest.h>

#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kUuid;
using test::soon;

class PutBackTest : public testing::Test {
protected:
    PutBackTest() : store_(scratch_.open()), db_(store_->db())
    {
        auto made = store_->loop().wait_for(
            import_domain(*store_, 7, test::hvm_document("web", kUuid, "/a"), "document", soon()));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
    }
    void quarantined(int id, const std::string& what, const std::string& text)
    {
        db_.prepare(
               "INSERT INTO set_aside (id, at_us, domain, what, why, text) VALUES (?, 1, 1, ?, '', ?)")
            .bind(std::int64_t{id})
            .bind(what)
            .bind(text)
            .run();
    }
    /// The words, or the error's name.
    std::string put_back(int id, bool dry_run = false)
    {
        const auto done =
            store_->loop().wait_for(put_back_quarantined(*store_, id, dry_run, soon()));
        return done ? *done : std::string(errc_name(done.error().code));
    }
    std::string cell(const std::string& sql) { return test::sql(scratch_.path(), sql); }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    Db& db_;
};

TEST_F(PutBackTest, AnEntryComesBackAsStaleAndAMemberAtItsPlace)
{
    quarantined(
        1, "row of thing",
        R"({"id":90,"domain":1,"class":"nics","key":"9","position":4,"primary_at":"xenstore",)"
        R"("state":"present","json":"{\"devid\":9}","changed_us":1})");
    quarantined(
        2, "row of document_member",
        R"({"domain":1,"rank":5,"key":"on_watchdog","key_text":"\"on_watchdog\"","text":"\"destroy\""})");
    const auto before = cell("SELECT json FROM libxl_json");
    EXPECT_EQ(put_back(1, true),
              "domain 7 (web): entry \"nics/9\" would be put back, as a stale entry");
    EXPECT_EQ(cell("SELECT json FROM libxl_json"), before);
    EXPECT_EQ(put_back(1), "domain 7 (web): entry \"nics/9\" was put back, as a stale entry");
    EXPECT_EQ(put_back(2), "domain 7 (web): member \"on_watchdog\" was put back");
    EXPECT_EQ(cell("SELECT state || json FROM thing WHERE key = '9'"), "stale{\"devid\":9}");
    EXPECT_TRUE(
        test::contains(cell("SELECT json FROM libxl_json"), "{\"on_watchdog\":\"destroy\","));
    EXPECT_EQ(cell("SELECT count(*) FROM set_aside"), "0");
    EXPECT_EQ(cell("SELECT group_concat(operation) FROM history WHERE operation = 'undo'"),
              "undo,undo");
    EXPECT_EQ(put_back(1), "not_found");
}

TEST_F(PutBackTest, WhatARuleIsAgainstOrIsForReadingStaysWhereItIs)
{
    quarantined(
        1, "row of thing",
        R"({"domain":1,"class":"nics","key":"0","primary_at":"xenstore","json":"{\"devid\":0}"})");
    quarantined(2, "row of intent", R"({"domain":1})");
    quarantined(3, "row of thing", R"({"domain":1,"class")");
    quarantined(4, "row of thing", R"({"domain":99,"class":"nics","key":"1","json":"{}"})");
    quarantined(5, "entry nics/0", "{}");
    const auto before = test::dump(scratch_.path());
    EXPECT_EQ(put_back(1), "refused") << "there is an entry of that name";
    EXPECT_EQ(put_back(2), "refused");
    EXPECT_EQ(put_back(3), "refused");
    EXPECT_EQ(put_back(4), "gone");
    EXPECT_EQ(put_back(5), "refused");
    EXPECT_EQ(put_back(6), "not_found");
    EXPECT_EQ(test::dump(scratch_.path()), before);
}

}  // namespace
}  // namespace xlstore
