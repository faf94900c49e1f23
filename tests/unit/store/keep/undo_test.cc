// SPDX-License-Identifier: MIT
// A run's rows put back domain by domain, where not all of its domains are there any more (R22).
#include "store/keep/undo.hpp"

#include <gtest/gtest.h>

#include "store/lifecycle/new_domain.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kUuid;
using test::soon;

class UndoRunTest : public testing::Test {
protected:
    UndoRunTest() : store_(scratch_.open())
    {
        web_ = imported(7, "web", kUuid);
        mail_ = imported(8, "mail", test::kOtherUuid);
        by_hand(
            "INSERT INTO undo_run (id, token, at_us, mode, pid, program) VALUES (1, 't', 1, 'yes', "
            "1, 'xlfsck')");
        for (const auto domain : {web_, mail_}) {
            kept(std::to_string(value_of(domain)));
            by_hand("INSERT INTO undo_mark SELECT 1, id, epoch, revision FROM domain WHERE id = " +
                    std::to_string(value_of(domain)));
        }
    }
    DomainId imported(std::int64_t domid, const std::string& name, const std::string& uuid)
    {
        auto made = store_->loop().wait_for(import_domain(
            *store_, domid, test::hvm_document(name, uuid, "/a"), "document", soon()));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
        return made->id;
    }
    void by_hand(const std::string& statement) { store_->db().execute(statement); }
    /// The run gave each domain a member more.
    void kept(const std::string& domain)
    {
        if (domain != "NULL")
            by_hand("INSERT INTO document_member (domain, rank, key, key_text, text) VALUES (" +
                    domain + ", 99, 'new', '\"new\"', '1')");
        by_hand(
            "INSERT INTO undo_row (run, domain, kind, operation, after) VALUES (1, " + domain +
            R"(, 'document_member', 'insert', '{"rank":99,"key":"new","key_text":"\"new\"",)"
            R"("text":"1"}'))");
    }
    Result<std::vector<UndoneRow>> undo(UndoOptions options = {})
    {
        return store_->loop().wait_for(undo_run(*store_, 1, std::move(options), soon()));
    }
    bool has_member(DomainId domain)
    {
        return test::sql(scratch_.path(),
                         "SELECT count(*) FROM document_member WHERE key = 'new' AND domain = " +
                             std::to_string(value_of(domain))) == "1";
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    DomainId web_{}, mail_{};
};

TEST_F(UndoRunTest, ADomainThatIsOverKeepsNoOtherFromBeingPutBack)
{
    by_hand("UPDATE domain SET state = 'destroying' WHERE id = " + std::to_string(value_of(mail_)));
    const auto rows = undo();
    ASSERT_TRUE(rows) << rows.error().message;
    ASSERT_EQ(rows->size(), 2U);
    EXPECT_FALSE((*rows)[0].put_back) << "the newest first: that of mail";
    EXPECT_TRUE(test::contains((*rows)[0].why, "is over"));
    EXPECT_TRUE((*rows)[1].put_back) << (*rows)[1].why;
    EXPECT_FALSE(has_member(web_));
    EXPECT_TRUE(has_member(mail_));
    // Nothing is left but what is over.
    for (const bool force : {false, true}) {
        UndoOptions options;
        options.force = force;
        const auto nothing = undo(options);
        ASSERT_FALSE(nothing);
        EXPECT_EQ(nothing.error().code, Errc::gone) << nothing.error().message;
    }
}

// What is shown is what would be done: one that has changed refuses the whole run.
TEST_F(UndoRunTest, ADomainThatHasChangedKeepsTheOthersAndSoItIsShown)
{
    by_hand("UPDATE domain SET revision = revision + 1 WHERE id = " +
            std::to_string(value_of(mail_)));
    UndoOptions look;
    look.dry_run = true;
    const auto shown = undo(look);
    ASSERT_TRUE(shown) << shown.error().message;
    EXPECT_TRUE(test::contains((*shown)[0].why, "has changed since")) << (*shown)[0].why;
    EXPECT_TRUE(test::contains((*shown)[1].why, "refused for domain 8 (mail)")) << (*shown)[1].why;
    const auto refused = undo();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::refused);
    EXPECT_TRUE(has_member(web_));
    UndoOptions one;
    one.only = web_;
    EXPECT_TRUE(undo(one));
    EXPECT_FALSE(has_member(web_));
}

TEST_F(UndoRunTest, AClosedDocumentIsNotEdited)
{
    by_hand(
        "UPDATE domain SET closed_us = 1, closed_pid = 1, closed_program = 'p', closed_reason = "
        "'migration' WHERE id = " +
        std::to_string(value_of(web_)));
    for (const bool force : {false, true}) {
        UndoOptions options;
        options.only = web_;
        options.force = force;
        const auto refused = undo(options);
        ASSERT_FALSE(refused);
        EXPECT_TRUE(test::contains(refused.error().message, "is closed"))
            << refused.error().message;
    }
    EXPECT_TRUE(has_member(web_));
}

// By a hand, or a damaged byte.
TEST_F(UndoRunTest, ARowOfNoDomainIsKeptToBeRead)
{
    kept("NULL");
    by_hand(
        "INSERT INTO undo_row (run, kind, operation, before, after) VALUES (1, 'thing', 'update', "
        R"('{"id":1,"class":"nics","key":"0","json":"{}"}', '{"id":1,"json":"{}"}'))");
    for (const bool dry_run : {true, false}) {
        UndoOptions options;
        options.dry_run = dry_run;
        const auto rows = undo(options);
        ASSERT_TRUE(rows) << rows.error().message;
        ASSERT_EQ(rows->size(), 4U);
        for (const auto i : {0U, 1U})
            EXPECT_TRUE(test::contains((*rows)[i].why, "which domain")) << (*rows)[i].subject;
        EXPECT_EQ((*rows)[2].put_back, !dry_run);
    }
    EXPECT_FALSE(has_member(web_));
}

}  // namespace
}  // namespace xlstore
