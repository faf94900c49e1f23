// SPDX-License-Identifier: MIT
// The row of a domain that comes in, and goes again because that led nowhere.
#include "store/lifecycle/new_domain.hpp"

#include <gtest/gtest.h>

#include "store/lifecycle/destroy.hpp"
#include "store/operation/identity.hpp"
#include "tests/support/rows.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

class NewDomainTest : public testing::Test {
protected:
    NewDomainTest() : store_(scratch_.open()) {}

    DomainRow import()
    {
        auto made = store_->loop().wait_for(
            import_domain(*store_, 7, test::hvm_document("web", test::kUuid, "/a"), "document",
                          soon()));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
        return *made;
    }
    Result<void> take_back(DomainRow row, Deadline until = soon())
    {
        return store_->loop().wait_for(
            take_back_import(*store_, std::move(row), "its QEMU is silent", until));
    }
    std::string cell(const std::string& query) { return test::sql(scratch_.path(), query); }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
};

TEST_F(NewDomainTest, ImportThatIsTakenBackLeavesItsHistoryAlone)
{
    EXPECT_TRUE(take_back(import()));
    for (const char* table : {"domain", "thing", "document_member", "retired_document"})
        EXPECT_EQ(cell("SELECT count(*) FROM " + std::string(table)), "0") << table;
    EXPECT_EQ(cell("SELECT group_concat(operation || ' ' || outcome) FROM history"),
              "import done,import not done");
    EXPECT_EQ(value_of(import().id), 2);  // a number is given once
}

TEST_F(NewDomainTest, RowThatAnotherProcessGoesOnWithStays)
{
    auto row = import();
    auto renamed = store_->loop().wait_for(rename_domain(*store_, row, {}, "db", 0, soon()));
    ASSERT_TRUE(renamed);
    const auto gone = take_back(std::move(row));
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, Errc::conflict);
    EXPECT_EQ(cell("SELECT name || ' ' || state FROM domain"), "db running");
}

// R18: each of the two has read the row before it went.
TEST_F(NewDomainTest, RowThatIsGoneIsOverOnlyIfItWasDestroyed)
{
    const auto destroy = [&](const DomainRow& row) {
        return store_->loop().wait_for(destroy_domain(*store_, row, soon()));
    };
    const auto mark = [&](const DomainRow& row) {
        return store_->loop().wait_for(mark_destroying(*store_, row, soon()));
    };
    const auto back = import();
    ASSERT_TRUE(take_back(back));
    for (const auto& ended : {destroy(back), mark(back)}) {
        ASSERT_FALSE(ended);
        EXPECT_EQ(ended.error().code, Errc::not_found) << ended.error().message;
    }
    const auto over = import();
    ASSERT_TRUE(destroy(over));
    for (const char* table : {"retired_document", "domain"})  // as it is pruned
        store_->db().execute("DELETE FROM " + std::string(table));
    EXPECT_TRUE(destroy(over));
    EXPECT_TRUE(mark(over));
}

TEST_F(NewDomainTest, RowOfWhichAProcessHasALockStays)
{
    auto row = import();
    auto other = scratch_.open();
    const auto hold = other->try_slow_lock(row.id, "test");
    ASSERT_TRUE(hold && *hold);
    EXPECT_FALSE(take_back(std::move(row), Clock::now()));
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
}

}  // namespace
}  // namespace xlstore
