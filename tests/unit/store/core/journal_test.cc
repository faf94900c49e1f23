// SPDX-License-Identifier: MIT
// The journal against a real database, without a QEMU: what each of the two commits writes, what
// refuses it, and that a refusal changes nothing.
#include "store/core/journal.hpp"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "store/core/intent_rows.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

using std::chrono::seconds;

constexpr const char* kMonitor = "/run/monitor";

class JournalTest : public testing::Test {
protected:
    JournalTest() : store_(scratch_.open()), journal_(*store_)
    {
        auto domain = store_->loop().wait_for(import_domain(
            *store_, 7,
            test::hvm_document("web", "8f2c7d10-4b6e-4a51-9d3c-000000000007", "/srv/a.iso"), "test",
            soon()));
        EXPECT_TRUE(domain) << (domain ? "" : domain.error().message);
        id_ = domain->id;
    }

    SlowHold hold()
    {
        auto taken = store_->loop().wait_for(store_->slow_lock(id_, "web", "test", soon()));
        EXPECT_TRUE(taken) << (taken ? "" : taken.error().message);
        return *std::move(taken);
    }
    static Draft adding(const std::string& text, const std::string& key)
    {
        Draft draft{};
        draft.verb = Verb::add;
        draft.thing = ThingName{"qemu", key};
        draft.image_after = *json_minify(text, "test");
        draft.plan = *compile_plan(*draft.image_after);
        return draft;
    }
    static Draft tablet(const std::string& id) { return adding(test::tablet(id), id); }
    /// Of an entry that is there.
    Draft removing(const std::string& id)
    {
        Draft draft = tablet(id);
        draft.verb = Verb::remove;
        draft.image_before = std::exchange(draft.image_after, std::nullopt);
        draft.plan.steps = removal_steps(draft.plan.probe.products);
        return draft;
    }
    Result<std::vector<Intent>> open(SlowHold& hold, std::vector<Draft> drafts)
    {
        return store_->loop().wait_for(journal_.open(hold, std::move(drafts), kMonitor, soon()));
    }
    Result<std::vector<Intent>> open(SlowHold& hold, Draft draft)
    {
        std::vector<Draft> drafts;
        drafts.push_back(std::move(draft));
        return open(hold, std::move(drafts));
    }
    Result<void> settle(SlowHold& hold, const std::vector<Intent>& intents, Image image)
    {
        return store_->loop().wait_for(
            journal_.settle(hold, intents, image, "seen by the test", soon()));
    }
    /// An entry that is present, with its device.
    void add(SlowHold& hold, const std::string& id)
    {
        const auto intents = open(hold, tablet(id));
        ASSERT_TRUE(intents) << intents.error().message;
        const auto settled = settle(hold, *intents, Image::after);
        ASSERT_TRUE(settled) << settled.error().message;
    }
    std::string cell(const std::string& query) { return test::sql(scratch_.path(), query); }
    std::string state_of(const std::string& key)
    {
        return cell("SELECT state FROM thing WHERE key = '" + key + "'");
    }
    std::string products_of(const std::string& key)
    {
        return cell(
            "SELECT group_concat(p.kind || ':' || p.name, ' ') FROM product p JOIN thing t "
            "ON t.id = p.thing WHERE p.claimed = 1 AND t.key = '" +
            key + "'");
    }
    std::string open_intents_of_all() { return cell("SELECT count(*) FROM intent"); }
    std::string last_history()
    {
        return cell(
            "SELECT operation || ' ' || class || '/' || key || ' ' || outcome || ' ' || "
            "coalesce(image, '-') || ' ' || coalesce(asked, '-') FROM history ORDER BY id DESC");
    }
    void change_by_hand(const std::string& statement) { store_->db().execute(statement); }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    Journal journal_;
    DomainId id_{};
};

// What an operation costs does not grow with the things and domains that it has nothing to do with.
TEST_F(JournalTest, NoStatementReadsAWholeTable)
{
    constexpr int kOthers = 500;
    change_by_hand("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
                   std::to_string(kOthers) +
                   ") INSERT INTO thing (domain, class, key, position, primary_at, state, json, "
                   "changed_us) SELECT " +
                   std::to_string(value_of(id_)) +
                   ", 'nics', i, i, 'xenstore', 'present', '{}', 0 FROM n");
    auto held = hold();
    add(held, "tab");
    const auto removal = open(held, removing("tab"));
    ASSERT_TRUE(removal);
    ASSERT_TRUE(settle(held, *removal, Image::before));
    int rows = 0;  // that statements came to without an index
    for (auto* one = sqlite3_next_stmt(store_->db().handle(), nullptr); one;
         one = sqlite3_next_stmt(store_->db().handle(), one))
        rows += sqlite3_stmt_status(one, SQLITE_STMTSTATUS_FULLSCAN_STEP, 0);
    EXPECT_LT(rows, kOthers);
}

// ---- The two commits ----

// What SQL's json functions and --json read later, from any writer.
TEST_F(JournalTest, WhatComesFromOutsideIsStoredAsPlainText)
{
    std::string evidence = "a\xff\x1b";
    for (int i = 0; i < 1'000; ++i)
        evidence += "\u00e4\u4e16";  // 2 and 3 bytes: any fixed place may be inside a character
    HistoryLine line{id_, "test", {}, {}, "done", {}, evidence};
    line.asked = "device_add \xc3";
    auto written = store_->loop().wait_for(
        store_->with_writer_lock("test", soon(), [&](const WriterHold&) -> Result<void> {
            journal_.add_history(line);
            return {};
        }));
    ASSERT_TRUE(written);
    const auto path = scratch_.path();
    const std::string from = " FROM history WHERE operation = 'test'";
    EXPECT_EQ(test::sql(path, "SELECT json_valid(json_array(evidence, asked, program))" + from),
              "1");
    const std::string stored = test::sql(path, "SELECT evidence" + from);
    EXPECT_TRUE(stored.starts_with(R"(a\xff\x1b)")) << stored.substr(0, 40);
    EXPECT_TRUE(stored.ends_with("...")) << "it is bounded, and says so";
    EXPECT_LE(stored.size(), limits::evidence_bytes_max);
    EXPECT_TRUE(json_minify(json_quote(stored), "evidence")) << "no half character";
    EXPECT_EQ(test::sql(path, "SELECT asked" + from), R"(device_add \xc3)");
}

TEST_F(JournalTest, Commit1HasEntryProductsAndIntent)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    ASSERT_TRUE(intents) << intents.error().message;
    EXPECT_EQ(state_of("tab"), "adding");
    EXPECT_EQ(products_of("tab"), "device:tab");
    const auto intent = read_intent(store_->db(), intents->front().id);
    ASSERT_TRUE(intent) << intent.error().message;
    EXPECT_EQ(intent->draft.verb, Verb::add);
    EXPECT_EQ(intent->draft.thing.text(), "qemu/tab");
    EXPECT_EQ(intent->monitor_path, kMonitor);
    EXPECT_EQ(intent->owner, store_->session());
    EXPECT_EQ(intent->draft.plan.steps.size(), 1U);
}

TEST_F(JournalTest, AddSeenThereIsPresent)
{
    auto slow = hold();
    add(slow, "tab");
    EXPECT_EQ(state_of("tab"), "present");
    EXPECT_EQ(open_intents_of_all(), "0");
    EXPECT_EQ(last_history(), "add qemu/tab done after device_add");
}

TEST_F(JournalTest, AddSeenAbsentLeavesNothing)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    ASSERT_TRUE(settle(slow, *intents, Image::before));
    EXPECT_EQ(state_of("tab"), "");
    EXPECT_EQ(cell("SELECT count(*) FROM product"), "0");
    EXPECT_EQ(last_history(), "add qemu/tab not done before device_add");
}

// R4.
TEST_F(JournalTest, HoldLastsFromCommitToCommit)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    const auto other = scratch_.open();
    const auto taken = other->try_slow_lock(id_, "another");
    ASSERT_TRUE(taken) << taken.error().message;
    EXPECT_FALSE(*taken) << "R4: the slow lock is free while a plan is carried out";
    ASSERT_TRUE(settle(slow, *intents, Image::after));
}

// R5.
TEST_F(JournalTest, EntryGoesOnlyWhenItsThingWasSeenAbsent)
{
    auto slow = hold();
    add(slow, "tab");
    const auto kept = open(slow, removing("tab"));
    ASSERT_TRUE(kept) << kept.error().message;
    EXPECT_EQ(state_of("tab"), "removing");
    ASSERT_TRUE(settle(slow, *kept, Image::before));
    EXPECT_EQ(state_of("tab"), "present") << "it was seen there";
    EXPECT_EQ(products_of("tab"), "device:tab");

    const auto gone = open(slow, removing("tab"));
    ASSERT_TRUE(settle(slow, *gone, Image::after));
    EXPECT_EQ(state_of("tab"), "");
    EXPECT_EQ(last_history(), "remove qemu/tab done after device_del");
}

// R6.
TEST_F(JournalTest, SettleWritesItsOwnThingAlone)
{
    auto slow = hold();
    add(slow, "other");
    const auto intents = open(slow, tablet("tab"));
    const std::string others =
        "SELECT group_concat(class || key || state || json || changed_us, ' ') FROM thing WHERE "
        "key <> 'tab'";
    const auto before = cell(others);
    ASSERT_TRUE(settle(slow, *intents, Image::after));
    EXPECT_EQ(cell(others), before);
}

TEST_F(JournalTest, DriveIsSettledWithEachOfItsThreeImages)
{
    auto slow = hold();
    const std::string a = R"({"vdev":"hdc","pdev_path":"/srv/a.iso"})";
    const std::string b = R"({"vdev":"hdc","pdev_path":"/srv/b.iso"})";
    const std::string none = R"({"vdev":"hdc","pdev_path":""})";
    for (const auto& [image, json] :
         {std::pair{Image::before, a}, {Image::after, b}, {Image::neither, none}}) {
        Draft draft{};
        draft.verb = Verb::change;
        draft.thing = ThingName{"disks", "hdc"};
        draft.image_before = a;
        draft.image_after = b;
        draft.image_neither = none;
        draft.plan.probe.drive = DriveProbe{"ide-5632", "raw:/srv/a.iso", "raw:/srv/b.iso", {}, {}};
        const auto intents = open(slow, std::move(draft));
        ASSERT_TRUE(intents) << intents.error().message;
        EXPECT_EQ(state_of("hdc"), "changing");
        EXPECT_EQ(cell("SELECT json FROM thing WHERE key = 'hdc'"), b) << "the new image is shown";
        ASSERT_TRUE(settle(slow, *intents, image));
        EXPECT_EQ(state_of("hdc"), "present");
        EXPECT_EQ(cell("SELECT json FROM thing WHERE key = 'hdc'"), json);
    }
}

TEST_F(JournalTest, OnlyADriveCanHoldNeitherImage)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    const auto settled = settle(slow, *intents, Image::neither);
    ASSERT_FALSE(settled);
    EXPECT_EQ(settled.error().code, Errc::invalid);
    EXPECT_EQ(open_intents_of_all(), "1") << "it stays open";
}

TEST_F(JournalTest, VcpuIsInTheBitmapOfTheDocument)
{
    auto slow = hold();
    const std::string available =
        "SELECT json_extract(text, '$.avail_vcpus') FROM document_member WHERE key = 'b_info'";
    ASSERT_EQ(cell(available), "[0,1]");
    Draft draft = tablet("cpu-3");  // the plan is not what this is about
    draft.thing = ThingName{"vcpus", "3"};
    draft.image_after = R"({"index":3})";
    auto intents = open(slow, draft);
    ASSERT_TRUE(intents) << intents.error().message;
    EXPECT_EQ(cell(available), "[0,1,3]");
    ASSERT_TRUE(settle(slow, *intents, Image::before));
    EXPECT_EQ(cell(available), "[0,1]");
    // libxl writes no empty bitmap.
    for (const char* key : {"0", "1"}) {
        Draft first = tablet(std::string("cpu-") + key);
        first.thing = ThingName{"vcpus", key};
        first.image_after = std::string(R"({"index":)") + key + "}";
        const auto opened = open(slow, first);
        ASSERT_TRUE(opened) << opened.error().message;
        ASSERT_TRUE(settle(slow, *opened, Image::before));
    }
    EXPECT_EQ(cell("SELECT json_type(text, '$.avail_vcpus') IS NULL FROM document_member WHERE key "
                   "= 'b_info'"),
              "1");
}

// ---- Several at once ----

TEST_F(JournalTest, BatchIsAllOrNone)
{
    auto slow = hold();
    add(slow, "taken");
    const auto before = test::dump(scratch_.path());
    std::vector<Draft> drafts;
    drafts.push_back(tablet("one"));
    // Another thing with the QEMU id of one that is there.
    drafts.push_back(adding(test::tablet("taken"), "two"));
    const auto opened = open(slow, std::move(drafts));
    ASSERT_FALSE(opened);
    EXPECT_EQ(test::dump(scratch_.path()), before);

    std::vector<Draft> good;
    good.push_back(tablet("one"));
    good.push_back(tablet("two"));
    const auto intents = open(slow, std::move(good));
    ASSERT_TRUE(intents) << intents.error().message;
    EXPECT_EQ(cell("SELECT count(DISTINCT batch) FROM intent"), "1");
    EXPECT_EQ(read_batch(store_->db(), intents->front().id)->size(), 2U);
    ASSERT_TRUE(settle(slow, *intents, Image::after));
    EXPECT_EQ(state_of("one") + state_of("two"), "presentpresent");
}

TEST_F(JournalTest, BatchIsReadWhereOneBesideItCannotBe)
{
    auto slow = hold();
    std::vector<Draft> two;
    two.push_back(tablet("one"));
    two.push_back(tablet("two"));
    const auto batch = open(slow, std::move(two));
    ASSERT_TRUE(batch) << batch.error().message;
    const auto alone = open(slow, tablet("three"));
    ASSERT_TRUE(alone) << alone.error().message;
    change_by_hand("DROP TRIGGER r10_intent_update");
    change_by_hand("UPDATE intent SET plan = '[1]' WHERE batch IS NULL");
    ASSERT_FALSE(read_intent(store_->db(), alone->front().id));
    const auto read = read_batch(store_->db(), batch->back().id);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(read->size(), 2U);
    EXPECT_EQ(read->front().id, batch->front().id) << "the oldest first";
}

// ---- What refuses a commit ----

// R8.
TEST_F(JournalTest, DomainThatIsBeingDestroyedTakesNoCommit)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    change_by_hand("UPDATE domain SET state = 'destroying'");
    const auto before = test::dump(scratch_.path());
    const auto opened = open(slow, tablet("late"));
    ASSERT_FALSE(opened) << "R8: an entry was added to a domain that is being destroyed";
    EXPECT_EQ(opened.error().code, Errc::gone) << opened.error().message;
    const auto settled = settle(slow, *intents, Image::after);
    ASSERT_FALSE(settled);
    EXPECT_EQ(settled.error().code, Errc::gone);
    EXPECT_EQ(test::dump(scratch_.path()), before);
}

// What was opened before is settled; a refusal moves no epoch; and a hold that was lost is told so.
TEST_F(JournalTest, ClosedDocumentTakesNoIntent)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    ASSERT_TRUE(intents);
    ASSERT_TRUE(settle(slow, *intents, Image::after));
    change_by_hand(
        "UPDATE domain SET closed_us = 1, closed_pid = 9, closed_program = 'xl', closed_reason = "
        "'migration'");
    const auto before = test::dump(scratch_.path());
    const auto refused = open(slow, tablet("late"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::refused);
    EXPECT_NE(refused.error().message.find("by xl (pid 9): migration"), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(test::dump(scratch_.path()), before);
    EXPECT_TRUE(journal_.still_held(slow));
    change_by_hand("UPDATE domain SET epoch = epoch + 1");
    const auto lost = open(slow, tablet("late"));
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, Errc::lost) << lost.error().message;
    change_by_hand("UPDATE domain SET closed_us = NULL");
    { const auto over = std::move(slow); }
    auto next = hold();
    EXPECT_TRUE(open(next, tablet("late")));
}

// R15: the hold is the first one's no more, although the process believes it is.
TEST_F(JournalTest, HoldThatWasLostCannotCommit)
{
    auto slow = hold();
    const auto intents = open(slow, tablet("tab"));
    ASSERT_TRUE(journal_.still_held(slow));
    change_by_hand("UPDATE domain SET epoch = epoch + 1");
    const auto before = test::dump(scratch_.path());
    const auto held = journal_.still_held(slow);
    ASSERT_FALSE(held) << "R15: a lost hold is believed";
    EXPECT_EQ(held.error().code, Errc::lost);
    const auto opened = open(slow, tablet("late"));
    ASSERT_FALSE(opened) << "R15: commit 1 of a lost hold";
    EXPECT_EQ(opened.error().code, Errc::lost);
    const auto settled = settle(slow, *intents, Image::after);
    ASSERT_FALSE(settled) << "R15: commit 2 of a lost hold";
    EXPECT_EQ(settled.error().code, Errc::lost);
    EXPECT_EQ(test::dump(scratch_.path()), before);
}

TEST_F(JournalTest, EachCommitAdvancesTheEpoch)
{
    auto slow = hold();
    const auto first = slow.epoch();
    const auto intents = open(slow, tablet("tab"));
    EXPECT_EQ(slow.epoch(), first + 1);
    EXPECT_EQ(cell("SELECT epoch FROM domain"), std::to_string(first + 1));
    ASSERT_TRUE(settle(slow, *intents, Image::after));
    EXPECT_EQ(slow.epoch(), first + 2);
    EXPECT_EQ(cell("SELECT epoch FROM domain"), std::to_string(first + 2));
}

// R16: a wrong id would take another thing's device.
TEST_F(JournalTest, QemuIdOfAnotherThingIsRefused)
{
    auto slow = hold();
    add(slow, "tab");
    const auto before = test::dump(scratch_.path());
    const auto opened = open(slow, adding(test::tablet("tab"), "other"));
    ASSERT_FALSE(opened) << "R16: two entries have one device";
    EXPECT_EQ(opened.error().code, Errc::exists);
    EXPECT_NE(opened.error().message.find("qemu/tab"), std::string::npos) << opened.error().message;
    EXPECT_EQ(test::dump(scratch_.path()), before);
}

// ---- Stale, adopted, noted ----

TEST_F(JournalTest, StaleEntryKeepsItsTextAndClaimsNoProducts)
{
    auto slow = hold();
    add(slow, "tab");
    const auto json = cell("SELECT json FROM thing WHERE key = 'tab'");
    ASSERT_TRUE(store_->loop().wait_for(
        journal_.make_stale(slow, ThingName{"qemu", "tab"}, "seen absent", soon())));
    EXPECT_EQ(state_of("tab"), "stale");
    EXPECT_EQ(products_of("tab"), "");
    EXPECT_EQ(cell("SELECT json FROM thing WHERE key = 'tab'"), json);
}

// R16: a stale entry is never in the way of an add, and is there again if that one is not done.
TEST_F(JournalTest, AddOverAStaleEntryThatIsNotDoneLeavesItAsItWas)
{
    auto slow = hold();
    add(slow, "tab");
    ASSERT_TRUE(store_->loop().wait_for(
        journal_.make_stale(slow, ThingName{"qemu", "tab"}, "seen absent", soon())));
    const auto json = cell("SELECT json FROM thing WHERE key = 'tab'");
    Draft draft = adding(test::chardev("tab"), "tab");
    draft.image_stale = json;
    const auto intents = open(slow, std::move(draft));
    ASSERT_TRUE(intents) << intents.error().message;
    EXPECT_EQ(state_of("tab"), "adding");
    EXPECT_EQ(products_of("tab"), "chardev:tab");
    ASSERT_TRUE(settle(slow, *intents, Image::before));
    EXPECT_EQ(state_of("tab"), "stale");
    EXPECT_EQ(cell("SELECT json FROM thing WHERE key = 'tab'"), json);
    EXPECT_EQ(products_of("tab"), "");
}

TEST_F(JournalTest, AdoptedThingIsPresent)
{
    auto slow = hold();
    const auto adopt = [&](const std::string& key, const std::string& device) {
        std::vector<Product> products;
        products.push_back(Product{"device", device, std::nullopt});
        return store_->loop().wait_for(journal_.adopt(slow, ThingName{"qemu", key},
                                                      "{\"key\":\"" + key + "\"}", products,
                                                      "found in QEMU", soon()));
    };
    ASSERT_TRUE(adopt("found", "dev0"));
    EXPECT_EQ(state_of("found"), "present");
    EXPECT_EQ(products_of("found"), "device:dev0");
    const auto before = test::dump(scratch_.path());
    const auto twice = adopt("other", "dev0");
    ASSERT_FALSE(twice);
    EXPECT_EQ(twice.error().code, Errc::exists);
    EXPECT_EQ(test::dump(scratch_.path()), before);
}

TEST_F(JournalTest, OpenIntentComesBeforeAdoptionAndStaleness)
{
    auto slow = hold();
    ASSERT_TRUE(open(slow, tablet("tab")));
    const auto before = test::dump(scratch_.path());
    const ThingName name{"qemu", "tab"};
    const auto stale = store_->loop().wait_for(journal_.make_stale(slow, name, "test", soon()));
    ASSERT_FALSE(stale);
    EXPECT_EQ(stale.error().code, Errc::refused);
    const auto adopted =
        store_->loop().wait_for(journal_.adopt(slow, name, "{}", {}, "test", soon()));
    ASSERT_FALSE(adopted);
    EXPECT_EQ(adopted.error().code, Errc::refused);
    EXPECT_EQ(test::dump(scratch_.path()), before);
}

TEST_F(JournalTest, NoteRemembersWhenTheGuestWasAskedFirst)
{
    auto slow = hold();
    add(slow, "tab");
    const auto intents = open(slow, removing("tab"));
    const auto note = [&](const std::string& text, bool was_asked) {
        std::optional<std::vector<Product>> asked;
        if (was_asked) asked = {Product{"device", "tab", std::nullopt}};
        ASSERT_TRUE(store_->loop().wait_for(
            journal_.note(slow, ids_of(*intents), text, std::move(asked), soon())));
    };
    note("not asked yet", false);
    EXPECT_EQ(cell("SELECT coalesce(asked_us, 'never') FROM intent"), "never");
    note("asked", true);
    const auto first = cell("SELECT asked_us FROM intent");
    note("looked again", false);
    note("asked again", true);
    EXPECT_EQ(cell("SELECT asked_us FROM intent"), first);
    EXPECT_EQ(cell("SELECT note FROM intent"), "asked again");
}

// ---- History ----

TEST_F(JournalTest, EvidenceIsBounded)
{
    HistoryLine line{};
    line.operation = "test";
    line.outcome = "done";
    line.evidence = std::string(100'000, 'x');
    journal_.add_history(line);
    EXPECT_EQ(cell("SELECT length(evidence) <= 2000 FROM history ORDER BY id DESC"), "1");
}

// Where nothing prunes. Lines are counted: a salvage leaves gaps in their numbers.
TEST_F(JournalTest, OldestHistoryIsLetGoBehindItsBound)
{
    HistoryLine line{};
    line.operation = "test";
    line.outcome = "done";
    journal_.add_history(line);
    change_by_hand("UPDATE sqlite_sequence SET seq = 1024 * 1024 - 1 WHERE name = 'history'");
    journal_.add_history(line);
    EXPECT_EQ(cell("SELECT min(id) FROM history"), "1") << "two lines are not too many";
    change_by_hand(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200001) "
        "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
        "SELECT i, 'test', 'done', '', 1, 'x' FROM n");
    change_by_hand("UPDATE sqlite_sequence SET seq = 2 * 1024 * 1024 - 1 WHERE name = 'history'");
    journal_.add_history(line);
    EXPECT_EQ(cell("SELECT count(*) FROM history"), "200000");
    EXPECT_EQ(cell("SELECT history_pruned_below - (SELECT min(id) FROM history) FROM store"), "0");
}

}  // namespace
}  // namespace xlstore
