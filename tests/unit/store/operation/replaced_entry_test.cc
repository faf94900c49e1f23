// SPDX-License-Identifier: MIT
// What commits 1 and 2 write: an add that fails leaves the entry that it was to replace exactly as
// it was (R16); what a thing is made of stands in one place. No QEMU is here: what was seen is
// said.
#include <gtest/gtest.h>

#include <deque>

#include "store/classes/class_plan.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/product.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

std::string two_devices(const std::string& key, const std::string& id)
{
    return R"({"key":")" + key + R"(","steps":[{"execute":"object-add","arguments":{"id":")" + id +
           R"(-o"}},{"execute":"device_add","arguments":{"id":")" + id +
           R"("}},{"execute":"device_add","arguments":{"id":")" + id + R"(-2"}}]})";
}

class ReplacedEntryTest : public testing::Test {
protected:
    ReplacedEntryTest()
    {
        StoreOptions options;
        options.directory = scratch_.path();
        auto store = Store::open(options);
        EXPECT_TRUE(store);
        store_ = *std::move(store);
        auto domain = store_->loop().wait_for(import_domain(
            *store_, 7, test::hvm_document("web", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01", "/a.iso"),
            "document", soon()));
        EXPECT_TRUE(domain) << (domain ? "" : domain.error().message);
        id_ = domain->id;
    }

    Result<IntentId> open(Result<Draft> draft)
    {
        EXPECT_TRUE(draft) << (draft ? "" : draft.error().message);
        Journal journal(*store_);
        auto hold = store_->loop().wait_for(store_->slow_lock(id_, "web", "test", soon()));
        std::vector<Draft> drafts;
        drafts.push_back(*std::move(draft));
        auto intents =
            store_->loop().wait_for(journal.open(*hold, std::move(drafts), "/m", soon()));
        if (!intents) return std::move(intents).error();
        return intents->front().id;
    }
    Result<IntentId> add(const std::string& json) { return open(draft_attach("qemu", json)); }
    template <class Act>
    void under_hold(Act act)
    {
        Journal journal(*store_);
        auto hold = store_->loop().wait_for(store_->slow_lock(id_, "web", "test", soon()));
        const Result<void> done = store_->loop().wait_for(act(journal, *hold));
        EXPECT_TRUE(done) << (done ? "" : done.error().message);
    }
    void settle(IntentId id, Image image)
    {
        under_hold([&](Journal& journal, SlowHold& hold) {
            return journal.settle(hold, {id}, image, "test", soon());
        });
    }
    void asked(IntentId id, std::vector<Product> products)
    {
        under_hold([&](Journal& journal, SlowHold& hold) {
            std::optional<std::vector<Product>> devices(std::move(products));
            return journal.note(hold, {id}, "asked", std::move(devices), soon());
        });
    }
    void make_stale(const std::string& key)
    {
        under_hold([&](Journal& journal, SlowHold& hold) {
            return journal.make_stale(hold, ThingName{"qemu", key}, "test", soon());
        });
    }
    /// A present thing.
    void have(const std::string& json)
    {
        const auto id = add(json);
        ASSERT_TRUE(id) << (id ? "" : id.error().message);
        settle(*id, Image::after);
    }
    std::string cell(const std::string& query)
    {
        kept_.push_back(query);  // a statement is known by the address of its text
        auto row = store_->db().prepare(kept_.back().c_str());
        return row.step() ? row.text(0) : "";
    }
    /// All that is said of a thing.
    std::string all_of(const std::string& key)
    {
        return cell(
            "SELECT state || ' ' || json || ' ' || coalesce((SELECT group_concat(kind || ':' || "
            "name || image || claimed || seq || coalesce(undo, '') || coalesce(asked_us, ''), ' ') "
            "FROM product WHERE thing = thing.id), '') FROM thing WHERE key = '" +
            key + "'");
    }
    ThingRow entry(const std::string& key)
    {
        return *read_thing(store_->db(), id_, ThingName{"qemu", key});
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    DomainId id_{};
    std::deque<std::string> kept_;
};

TEST_F(ReplacedEntryTest, AddThatFailsLeavesAPresentEntryAsItWas)
{
    have(two_devices("k", "one"));
    const auto before = all_of("k");
    ASSERT_NE(before.find("device:one-2"), std::string::npos) << before;

    // Other ids, some of them, all of them.
    for (const char* id : {"other", "one"}) {
        const auto intent = add(two_devices("k", id));
        ASSERT_TRUE(intent);
        EXPECT_EQ(entry("k").state, "adding");
        settle(*intent, Image::before);
        EXPECT_EQ(all_of("k"), before);
    }
    const auto intent = add(two_devices("k", "other"));
    ASSERT_TRUE(intent);
    settle(*intent, Image::after);
    EXPECT_EQ(cell("SELECT group_concat(name || image, ' ') FROM product"),
              "other other-2 other-o");
}

TEST_F(ReplacedEntryTest, AddThatFailsLeavesAStaleEntryAsItWas)
{
    have(two_devices("k", "one"));
    make_stale("k");
    const auto before = all_of("k");
    ASSERT_TRUE(before.starts_with("stale ")) << before;
    ASSERT_NE(before.find("device:one"), std::string::npos) << before;  // remembered

    const auto intent = add(two_devices("k", "one"));
    ASSERT_TRUE(intent);
    settle(*intent, Image::before);

    EXPECT_EQ(all_of("k"), before);
}

// R16: among entries and open intents, and the image that an add is to replace.
TEST_F(ReplacedEntryTest, NameInQemuIsClaimedByOneThing)
{
    have(two_devices("k", "one"));
    const auto taken = add(two_devices("other", "one"));
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, Errc::exists);
    EXPECT_NE(taken.error().message.find("qemu/k"), std::string::npos);
    EXPECT_EQ(all_of("other"), "");

    const auto replacing = add(two_devices("k", "two"));
    ASSERT_TRUE(replacing);
    EXPECT_FALSE(add(two_devices("other", "one")));  // may come back
    EXPECT_FALSE(add(two_devices("other", "two")));
    settle(*replacing, Image::after);
    EXPECT_TRUE(add(two_devices("other", "one")));
}

TEST_F(ReplacedEntryTest, StaleEntryClaimsNoName)
{
    have(two_devices("k", "one"));
    make_stale("k");
    have(two_devices("other", "one"));

    const auto made = made_of(store_->db(), id_, entry("k"));
    EXPECT_TRUE(made.products.empty());
    EXPECT_EQ(made.of_others.size(), 3U);
    // It can go, and what is in QEMU under those names is not touched.
    const auto draft = draft_detach(entry("k"), made);
    ASSERT_TRUE(draft) << (draft ? "" : draft.error().message);
    EXPECT_TRUE(draft->plan.steps.empty());
    EXPECT_FALSE(draft->plan.probe.absent.empty());
    const auto back = probe_from_json(probe_to_json(draft->plan.probe));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->absent, draft->plan.probe.absent);
}

// What stands in the rows counts, not what the text would make: in its order, with its own undo.
TEST_F(ReplacedEntryTest, ProductsComeBackInTheirOrderWithTheirUndo)
{
    have(R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":"b"}},
             {"execute":"device_add","arguments":{"id":"a"}}],
             "undo":[null,{"execute":"x-out","arguments":{"n":1}}]})");
    const auto made = made_of(store_->db(), id_, entry("k"));
    ASSERT_EQ(made.products.size(), 2U);
    EXPECT_TRUE(made.recorded);
    EXPECT_EQ(made.products[0].name, "b");
    EXPECT_EQ(made.products[0].undo->execute, "device_del");
    EXPECT_EQ(made.products[1].undo->execute, "x-out");
    EXPECT_EQ(made.products[1].undo->arguments, R"({"n":1})");

    // Rows of release 0.1 say neither: the plan does, as it did then.
    store_->db().execute("UPDATE product SET seq = 0, undo = NULL");
    const auto old = made_of(store_->db(), id_, entry("k"));
    EXPECT_EQ(old.products[0].name, "b");
    EXPECT_EQ(old.products[1].undo->execute, "x-out");
}

TEST_F(ReplacedEntryTest, KeepsForEachDeviceThatTheGuestWasAskedForIt)
{
    have(two_devices("k", "one"));
    const auto intent = open(draft_detach(entry("k"), made_of(store_->db(), id_, entry("k"))));
    ASSERT_TRUE(intent);
    const Product first{"device", "one", std::nullopt};
    const Product second{"device", "one-2", std::nullopt};

    asked(*intent, {second});
    auto open_one = read_intent(store_->db(), *intent);
    ASSERT_TRUE(open_one);
    ASSERT_EQ(open_one->asked.size(), 1U);
    EXPECT_EQ(open_one->asked[0].name, "one-2");
    const auto since = cell("SELECT asked_us FROM product WHERE name = 'one-2'");
    asked(*intent, {first, second});
    EXPECT_EQ(read_intent(store_->db(), *intent)->asked.size(), 2U);
    EXPECT_EQ(cell("SELECT asked_us FROM product WHERE name = 'one-2'"), since);
    asked(*intent, {first});  // of the other the guest said no
    EXPECT_EQ(read_intent(store_->db(), *intent)->asked.size(), 1U);

    settle(*intent, Image::before);
    EXPECT_EQ(cell("SELECT count(*) FROM product WHERE asked_us IS NOT NULL"), "0");
}

// Level two hands in things of classes that libxl gives no identity.
TEST_F(ReplacedEntryTest, AddWithoutAnIdentityGetsAKeyOfItsOwn)
{
    std::vector<std::string> keys;
    for (const char* name : {"gpu", "nic"}) {
        Draft draft{Verb::add,    ThingName{"pcidevs", ""},
                    std::nullopt, std::string(R"({"name":")") + name + "\"}",
                    std::nullopt, {}};
        draft.plan.probe.products.push_back(Product{"device", name, std::nullopt});
        const auto intent = open(std::move(draft));
        ASSERT_TRUE(intent) << (intent ? "" : intent.error().message);
        keys.push_back(read_intent(store_->db(), *intent)->draft.thing.key);
        settle(*intent, Image::before);
    }
    EXPECT_TRUE(keys[0].starts_with("#"));
    EXPECT_NE(keys[0], keys[1]);  // though the first is gone
}

// libxl's id of a PCI device has no segment (R16): also of an entry that no row says the products
// of, as that of an imported document.
TEST_F(ReplacedEntryTest, IdThatAnotherSegmentsDeviceHasIsRefused)
{
    store_->db()
        .prepare(
            "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
            "VALUES (?, 'pcidevs', '0000:03:00.0', 0, 'qemu', 'present', '{\"bus\":3}', 1)")
        .bind(value_of(id_))
        .run();
    const auto refused = open(draft_hot_plug("pcidevs", R"({"bus":3,"domain":1})"));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exists);
    EXPECT_NE(refused.error().message.find("pci-pt-03_00.0\" belongs to pcidevs/0000:03:00.0"),
              std::string::npos)
        << refused.error().message;
    // What is stale has nothing, and is not in the way.
    store_->db().prepare("UPDATE thing SET state = 'stale' WHERE class = 'pcidevs'").run();
    const auto added = open(draft_hot_plug("pcidevs", R"({"bus":3,"domain":1})"));
    ASSERT_TRUE(added) << added.error().message;
}

// An external QMP client says where QEMU put it.
TEST_F(ReplacedEntryTest, APciDevicesPlaceIsInItsEntry)
{
    const auto added = open(draft_hot_plug("pcidevs", R"({"bus":3,"vfunc_mask":1})"));
    ASSERT_TRUE(added) << added.error().message;
    under_hold([&](Journal& journal, SlowHold& hold) {
        auto intent = *read_intent(store_->db(), *added);
        intent.address = R"({"pci-pt-03_00.0":{"addr":"05.1"}})";
        return journal.settle(hold, std::vector<Intent>(1, intent), Image::after, "test", soon());
    });
    EXPECT_EQ(cell("SELECT json FROM thing WHERE class = 'pcidevs'"),
              R"({"bus":3,"vdevfn":41,"vfunc_mask":1,"rdm_policy":"strict"})");
}

}  // namespace
}  // namespace xlstore
