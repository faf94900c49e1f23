// SPDX-License-Identifier: MIT
// The document that goes with a migration, from rows alone; with two QEMUs it is tried in
// tests/integration/migration_test.cc.
#include "store/operation/migration.hpp"

#include <gtest/gtest.h>

#include "store/core/journal.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

using std::chrono::seconds;

class OutgoingDocumentTest : public testing::Test {
protected:
    OutgoingDocumentTest() : store_(scratch_.open())
    {
        text_ = test::hvm_document("web", "8f2c7d10-4b6e-4a51-9d3c-000000000007", "/srv/a.iso");
        auto domain = store_->loop().wait_for(import_domain(*store_, 7, text_, "test", soon()));
        EXPECT_TRUE(domain) << (domain ? "" : domain.error().message);
        domain_ = *std::move(domain);
        // A QEMU is registered; that it lives is looked at elsewhere.
        by_hand(
            "UPDATE domain SET qemu_pid = 1, qemu_start_time = 1, qemu_pid_namespace = 1, "
            "monitor_path = '/m', monitor_device = 1, monitor_inode = 1, peer_pid = 1, "
            "peer_uid = 0, peer_gid = 0");
    }
    void by_hand(const std::string& statement) { store_->db().execute(statement); }
    Result<OutgoingDocument> outgoing(const std::optional<std::string>& name = {})
    {
        return outgoing_document(store_->db(), domain_, name);
    }
    void refused(Errc code)
    {
        const auto document = outgoing();
        ASSERT_FALSE(document);
        EXPECT_EQ(document.error().code, code) << document.error().message;
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    std::string text_;
    DomainRow domain_;
};

TEST_F(OutgoingDocumentTest, IsTheDocumentAsItCame)
{
    const auto document = outgoing();
    ASSERT_TRUE(document) << document.error().message;
    EXPECT_EQ(*json_minify(document->text, "outgoing"), *json_minify(text_, "came"));
    EXPECT_TRUE(document->notes.empty());
}

TEST_F(OutgoingDocumentTest, GoesByAnotherNameThere)
{
    const auto document = outgoing("web--incoming");
    ASSERT_TRUE(document) << document.error().message;
    const auto minified = *json_minify(document->text, "outgoing");
    EXPECT_EQ(json_get_string(*json_find(minified, "c_info"), "name"), "web--incoming");
    EXPECT_EQ(test::sql(scratch_.path(), "SELECT name FROM domain"), "web")
        << "here it keeps its own";
    EXPECT_FALSE(outgoing(""));
    EXPECT_FALSE(outgoing("not UTF-8: \xff"));
}

TEST_F(OutgoingDocumentTest, StaleEntryStaysHere)
{
    by_hand("UPDATE thing SET state = 'stale' WHERE class = 'disks' AND key = 'hdc'");
    const auto document = outgoing();
    ASSERT_TRUE(document) << document.error().message;
    EXPECT_EQ(document->text.find("/srv/a.iso"), std::string::npos);
}

TEST_F(OutgoingDocumentTest, WhatNoDocumentHoldsIsNamed)
{
    by_hand(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "SELECT id, 'qemu', 'tab', 0, 'qemu', 'present', '{\"key\":\"tab\"}', 1 FROM domain");
    const auto document = outgoing();
    ASSERT_TRUE(document) << document.error().message;
    EXPECT_EQ(document->text.find("tab"), std::string::npos);
    ASSERT_EQ(document->notes.size(), 1U);
    EXPECT_NE(document->notes[0].find("qemu/tab"), std::string::npos);
}

TEST_F(OutgoingDocumentTest, OpenIntentIsInTheWayAndNamed)
{
    auto hold = store_->loop().wait_for(store_->slow_lock(domain_.id, "web", "test", soon()));
    Draft draft{};
    draft.verb = Verb::add;
    draft.thing = ThingName{"qemu", "tab"};
    draft.image_after = *json_minify(test::tablet("tab"), "test");
    draft.plan = *compile_plan(*draft.image_after);
    std::vector<Draft> drafts;
    drafts.push_back(std::move(draft));
    const auto intents =
        store_->loop().wait_for(Journal(*store_).open(*hold, std::move(drafts), "/m", soon()));
    ASSERT_TRUE(intents) << intents.error().message;
    const auto document = outgoing();
    ASSERT_FALSE(document);
    EXPECT_EQ(document.error().code, Errc::busy);
    EXPECT_EQ(document.error().intent, value_of(intents->front().id));
}

// Whether its guest has let go of it is not known: over there it would be, or not be, by chance.
TEST_F(OutgoingDocumentTest, WhatIsBeingRemovedFromXenstoreComesFirst)
{
    by_hand("UPDATE thing SET state = 'removing' WHERE class = 'nics'");
    refused(Errc::busy);
}

TEST_F(OutgoingDocumentTest, OnlyOfWhatRuns)
{
    by_hand("UPDATE domain SET qemu_pid = NULL");
    refused(Errc::no_qemu);
    by_hand("UPDATE domain SET qemu_pid = 1");
    by_hand("UPDATE domain SET state = 'creating'");
    refused(Errc::busy);
    by_hand("UPDATE domain SET state = 'destroying'");
    refused(Errc::gone);
}

// What comes with a migration was written elsewhere: nothing of it is taken that is not whole.
TEST(CarriedThingsTest, WhatIsNotWholeIsNamed)
{
    const std::string uuid = "8f2c7d10-4b6e-4a51-9d3c-000000000007";
    const auto document = parse_document(test::hvm_document("web", uuid, "/srv/a.iso"), "document");
    ASSERT_TRUE(document);
    const auto carried = [&](const std::string& things, const std::string& of) {
        return carried_things(R"({"format":"xlstore things 1","uuid":")" + of + "\"" + things + "}",
                              *document);
    };
    const std::string tablet =
        R"({"class":"qemu","key":"tab","thing":{"key":"tab","steps":[{"execute":"device_add",)"
        R"("arguments":{"driver":"usb-tablet","id":"tab"}}]}})";
    const auto whole = carried(",\"things\":[" + tablet + "]", uuid);
    ASSERT_TRUE(whole) << whole.error().message;
    EXPECT_EQ(whole->size(), 1U);
    const auto why = [&](const std::string& things, const std::string& of) {
        const auto taken = carried(things, of);
        if (taken) return std::string("no error");
        EXPECT_EQ(taken.error().code, Errc::invalid);
        return taken.error().message;
    };
    const std::pair<std::string, std::string> rows[] = {
        {"", "no array of them"},
        {R"(,"things":{})", "no array of them"},
        {R"(,"things":[{"class":"qemu"}])", "no \"class\" or no \"key\""},
        {R"(,"things":[{"key":"tab"}])", "no \"class\" or no \"key\""},
        {R"(,"things":[{"class":"qemu","key":"tab","more":1}])", "unknown member \"more\""},
        {R"(,"things":[{"class":"qemu","key":"tab","address":[]}])", "address"},
        {R"(,"things":[{"class":"tails","key":"1"}])", "no known class"},
        {R"(,"things":[{"class":"disks","key":"hdd"}])", "not in the document"},
        {R"(,"things":[{"class":"disks","key":"hdc","thing":{"vdev":"hdc"}}])", "may not say"},
        {R"(,"things":[{"class":"qemu","key":"tab","thing":{"key":"other","steps":[]}}])",
         "is spelled as"},
        {R"(,"things":[{"class":"qemu","key":"tab","thing":{"key":"tab","steps":[]}}])", "tab"},
        {",\"things\":[" + tablet + "," + tablet + "]", "is there twice"},
    };
    for (const auto& [things, says] : rows) {
        const auto message = why(things, uuid);
        EXPECT_NE(message.find(says), std::string::npos) << things << ": " << message;
    }
    const auto other = why(",\"things\":[]", "8f2c7d10-4b6e-4a51-9d3c-000000000008");
    EXPECT_NE(other.find("the document is that of " + uuid), std::string::npos) << other;
    EXPECT_FALSE(carried_things(
        R"({"format":"xlstore things 9","uuid":")" + uuid + R"(","things":[]})", *document));
}

}  // namespace
}  // namespace xlstore
