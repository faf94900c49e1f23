// SPDX-License-Identifier: MIT
// What a destruction leaves (R22): the document as it was, found by each of its names.
#include "store/keep/retired.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/no_growth.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/sqlite_calls.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kOtherUuid;
using test::kUuid;
using test::soon;

class RetiredTest : public testing::Test {
protected:
    RetiredTest() : store_(scratch_.open()) {}

    DomainId import(int domid, const std::string& document)
    {
        auto made =
            store_->loop().wait_for(import_domain(*store_, domid, document, "document", soon()));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
        return made->id;
    }
    void destroy(DomainId id)
    {
        auto gone = store_->loop().wait_for(
            destroy_domain(*store_, *read_domain(store_->db(), id), soon()));
        EXPECT_TRUE(gone) << (gone ? "" : gone.error().message);
    }
    /// "3; 2 1": the incarnation and the others; the error's name.
    std::string found(const std::string& word)
    {
        const auto retired = find_retired(store_->db(), word);
        if (!retired) return std::string(errc_name(retired.error().code));
        std::string text = std::to_string(value_of(retired->id)) + ";";
        for (const auto other : retired->others)
            text += " " + std::to_string(value_of(other));
        return text;
    }
    std::string last_evidence()
    {
        auto row = store_->db().prepare("SELECT evidence FROM history ORDER BY id DESC LIMIT 1");
        return row.step() ? row.text(0) : "";
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
};

TEST_F(RetiredTest, DocumentComesBackAsItWasExportedInTheLayoutThatItCameIn)
{
    const std::string samples = std::string(XLSTORE_SOURCE_DIR) + "/tests/unit/samples/";
    int domid = 1;
    for (const char* name : {"hvm-rich.json", "hvm-rich.json_c.json", "all-device-kinds.json",
                             "pv.json", "pvh-60-disks.json"}) {
        SCOPED_TRACE(name);
        const auto id = import(domid, test::read_file(samples + name));
        const auto before = *export_document(store_->db(), *read_domain(store_->db(), id));
        destroy(id);
        const auto kept = find_retired(store_->db(), "domid:" + std::to_string(domid++));
        ASSERT_TRUE(kept) << (kept ? "" : kept.error().message);
        EXPECT_EQ(kept->id, id);
        EXPECT_EQ(kept->text, before);
    }
}

TEST_F(RetiredTest, IsFoundByEachOfItsNamesAndTheNewestComesFirst)
{
    destroy(import(7, test::hvm_document("web", kUuid, "/a")));
    destroy(import(7, test::hvm_document("web", kUuid, "/b")));
    destroy(import(9, test::hvm_document("web", kOtherUuid, "/c")));
    EXPECT_EQ(found("web"), "3; 2 1");
    EXPECT_EQ(found("name:web"), "3; 2 1");
    EXPECT_EQ(found("7"), "2; 1");
    EXPECT_EQ(found("domid:9"), "3;");
    EXPECT_EQ(found(kUuid), "2; 1");
    EXPECT_EQ(found("uuid:8F2C7D10-4B6E-4A51-9D3C-2F1E5A7B9C02"), "3;");
    EXPECT_EQ(found("id:1"), "1;");
    EXPECT_EQ(found("id:4"), "not_found");
    EXPECT_EQ(found("domid:web"), "not_found");
}

TEST_F(RetiredTest, OfADomainThatLivesNothingIsKeptAndTheErrorSaysWhatPrintsIt)
{
    import(7, test::hvm_document("web", kUuid, "/a"));
    const auto kept = find_retired(store_->db(), "web");
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, Errc::not_found);
    EXPECT_TRUE(test::contains(kept.error().advice, "'xlstore export'"));
}

// R21 before R22: there is room for what a destruction has to write, and none for a copy.
TEST_F(RetiredTest, ADestructionWithoutRoomForTheCopyComesToItsEndAndSaysSo)
{
    const auto id = import(7, test::hvm_document("web", kUuid, "/" + std::string(700'000, 'x')));
    Db& db = store_->db();
    while (db.pragma_integer("PRAGMA freelist_count") > 0)
        db.execute(
            "INSERT INTO set_aside (at_us, what, why, text) VALUES (0, '', '', printf('%.4000c', "
            "'x'))");
    ASSERT_TRUE(store_->loop().wait_for(store_->empty_log(soon())));
    // The log is smaller, and may grow up to this: it is the database that cannot.
    const test::NoGrowth full(std::filesystem::file_size(scratch_.path() + "/store.db"));
    destroy(id);
    EXPECT_EQ(read_domain(db, id)->state, DomainState::destroyed);
    EXPECT_EQ(found("id:1"), "not_found");
    EXPECT_TRUE(test::contains(last_evidence(), "no room to keep a copy"));
}

// That the size of a file cannot be asked proves no lack of room: nothing goes without a copy then.
TEST_F(RetiredTest, ADestructionOnAFailingDiskIsUnfinishedAndKeepsTheDocument)
{
    class Failing : public test::SqliteObserver {
    public:
        bool may(test::SqliteCall call, const std::string&) override
        {
            return !armed || call != test::SqliteCall::size;
        }
        bool armed = false;
    };
    Failing failing;
    const test::Watching watching(failing);
    store_ = scratch_.open();
    const auto id = import(7, test::hvm_document("web", kUuid, "/a"));
    failing.armed = true;
    const auto gone =
        store_->loop().wait_for(destroy_domain(*store_, *read_domain(store_->db(), id), soon()));
    failing.armed = false;
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, Errc::unfinished);
    EXPECT_EQ(found("id:1"), "not_found");
    destroy(id);
    EXPECT_EQ(found("id:1"), "1;");
    EXPECT_FALSE(test::contains(last_evidence(), "no room"));
}

// A row of that number keeps no domain from being destroyed.
TEST_F(RetiredTest, ACopyThatIsThereAlreadyIsNotInTheWay)
{
    const auto id = import(7, test::hvm_document("web", kUuid, "/a"));
    store_->db().execute(
        "INSERT INTO retired_document (id, domid, uuid, name, layout, created_us, retired_us, why, "
        "json) VALUES (1, 7, 'u', 'web', 'yajl', 1, 2, 'by hand', '{\"a\":1}')");
    destroy(id);
    EXPECT_EQ(read_domain(store_->db(), id)->state, DomainState::destroyed);
    EXPECT_EQ(found("id:1"), "1;");
}

// An entry whose text is damaged keeps no domain from being destroyed, and the text is kept as it
// is.
TEST_F(RetiredTest, ADamagedDocumentIsKeptAsItIs)
{
    const auto id = import(7, test::hvm_document("web", kUuid, "/a"));
    store_->db().execute("UPDATE thing SET json = '{\"vdev\": \"hdc}' WHERE key = 'hdc'");
    destroy(id);
    EXPECT_EQ(read_domain(store_->db(), id)->state, DomainState::destroyed);
    auto row = store_->db().prepare("SELECT json FROM retired_document WHERE id = 1");
    ASSERT_TRUE(row.step());
    EXPECT_TRUE(test::contains(row.text(0), "{\"vdev\": \"hdc}"));
}

// What the table of copies refuses is kept in a form that it takes: no damage of its rows keeps a
// domain from being destroyed.
TEST_F(RetiredTest, WhatTheTableOfCopiesRefusesKeepsNoDomainFromBeingDestroyed)
{
    const char* const damages[][2] = {
        {"UPDATE document_member SET text = '{\"a\":\"' || char(0) || 'b\"}' WHERE key = 'b_info'",
         "{\"a\":\"\\u0000b\"}"},
        {"UPDATE document_member SET text = char(0) || '{' WHERE key = 'b_info'", "\\u0000{"},
        {"UPDATE document_member SET text = char(0) WHERE key = 'c_info'", "\"c_info\":\\u0000"},
        {"UPDATE document_member SET key_text = 'c_info' || char(0) WHERE key = 'c_info'",
         "c_info\\u0000:{"},
        {"UPDATE thing SET json = '{' || char(0) || '}' WHERE key = 'hdc'", "{\\u0000}"},
        {"UPDATE domain SET layout = 'zzzz', layout_tight = 2", "\"vdev\":\"hdc\""},
    };
    int domid = 7;
    for (const auto& [sql, kept] : damages) {
        SCOPED_TRACE(sql);
        const auto id = import(domid++, test::hvm_document("web", kUuid, "/a"));
        Db& db = store_->db();
        db.execute("PRAGMA ignore_check_constraints = ON");
        db.execute(sql);
        db.execute("PRAGMA ignore_check_constraints = OFF");
        destroy(id);
        EXPECT_EQ(read_domain(db, id)->state, DomainState::destroyed);
        auto row = db.prepare("SELECT json FROM retired_document WHERE id = ?").bind(value_of(id));
        ASSERT_TRUE(row.step());
        EXPECT_TRUE(test::contains(row.text(0), kept)) << row.text(0);
        EXPECT_TRUE(find_retired(db, "id:" + std::to_string(value_of(id))));
    }
}

}  // namespace
}  // namespace xlstore
