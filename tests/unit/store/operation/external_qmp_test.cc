// SPDX-License-Identifier: MIT
// Level two: what an embedder saw of the new image says nothing of an entry that is made of
// something else (R16).
#include "store/operation/external_qmp.hpp"

#include <gtest/gtest.h>

#include "store/core/product.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

class ExternalQmpTest : public testing::Test {
protected:
    ExternalQmpTest()
    {
        StoreOptions options;
        options.directory = scratch_.path();
        auto store = Store::open(options);
        EXPECT_TRUE(store);
        store_ = *std::move(store);
        const auto until = Clock::now() + std::chrono::seconds(20);
        auto domain = store_->loop().wait_for(import_domain(
            *store_, 7, test::hvm_document("web", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01", "/a.iso"),
            "document", until));
        EXPECT_TRUE(domain);
        id_ = domain->id;
    }
    static std::string device(const std::string& id)
    {
        return R"({"key":"k","steps":[{"execute":"device_add","arguments":{"id":")" + id + "\"}}]}";
    }
    void have(const std::string& state, const std::string& device_class, const std::string& key,
              const std::string& json, const std::vector<std::string>& devices,
              const std::string& primary = "qemu")
    {
        Db& db = store_->db();
        db.prepare(
              "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
              "VALUES (?, ?, ?, 0, ?, ?, ?, 1)")
            .bind(value_of(id_))
            .bind(device_class)
            .bind(key)
            .bind(primary)
            .bind(state)
            .bind(json)
            .run();
        std::vector<Product> products;
        for (const auto& name : devices)
            products.push_back(Product{"device", name, std::nullopt});
        const auto id = db.last_insert_id();
        ASSERT_TRUE(claim_products(db, id_, id, ThingName{device_class, key}, products));
    }
    std::optional<Errc> intend(const std::string& device_class, const std::string& json,
                               std::optional<std::string> plan = {})
    {
        const Intention intention{Verb::add, device_class, "", json, std::move(plan)};
        const auto draft = draft_of(store_->db(), id_, intention);
        if (draft) return std::nullopt;
        message_ = draft.error().message;
        return draft.error().code;
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    DomainId id_{};
    std::string message_;
};

TEST_F(ExternalQmpTest, PresentEntryMadeOfSomethingElseIsNotReplaced)
{
    have("present", "qemu", "k", device("one"), {"one"});
    EXPECT_EQ(intend("qemu", device("two")), Errc::exists);
    EXPECT_NE(message_.find("\"one\""), std::string::npos) << message_;
    EXPECT_EQ(intend("qemu", device("one")), std::nullopt);  // that was looked for
}

TEST_F(ExternalQmpTest, WhatIsXenstoresIsNoQmpClientsToChange)
{
    have("present", "nics", "3", R"({"devid":3})", {}, "xenstore");
    for (const auto verb : {Verb::remove, Verb::change}) {
        const auto draft = draft_of(store_->db(), id_, {verb, "nics", "3", R"({"devid":3})", {}});
        ASSERT_FALSE(draft);
        EXPECT_EQ(draft.error().code, Errc::refused);
        EXPECT_EQ(draft.error().message, "nics/3 is not QEMU's but xenstore's");
        EXPECT_NE(draft.error().advice.find("nothing was changed"), std::string::npos);
    }
}

TEST_F(ExternalQmpTest, WhatIsInNoPrimaryIsAnEntryAlone)
{
    have("present", "rdms", "#0", "{}", {}, "none");
    const auto draft = draft_of(store_->db(), id_, {Verb::remove, "rdms", "#0", "{}", {}});
    ASSERT_FALSE(draft);
    EXPECT_EQ(draft.error().code, Errc::refused);
    EXPECT_EQ(draft.error().message,
              "rdms/#0 is in no primary: there is nothing of it but its entry");
}

TEST_F(ExternalQmpTest, RecordedProductsCountNotTheText)
{
    // Its text would make "one"; the embedder's own plan made another.
    have("present", "qemu", "k", device("one"), {"own"});
    EXPECT_EQ(intend("qemu", device("one")), Errc::exists);
    EXPECT_EQ(intend("qemu", device("one"),
                     R"({"steps":[{"execute":"device_add","arguments":{"id":"own"}}]})"),
              std::nullopt);
}

TEST_F(ExternalQmpTest, StaleEntryIsNeverInTheWay)
{
    have("stale", "qemu", "k", device("one"), {});
    EXPECT_EQ(intend("qemu", device("two")), std::nullopt);
}

TEST_F(ExternalQmpTest, EntryOfWhichNothingIsKnownIsReplacedByItselfAlone)
{
    have("present", "usbdevs", "0.1", R"({"ctrl":0,"port":1})", {});
    const std::string plan = R"({"steps":[{"execute":"device_add","arguments":{"id":"pt"}}]})";
    EXPECT_EQ(intend("usbdevs", R"({"ctrl":0,"port":1,"type.hostdev":{}})", plan), Errc::exists);
    EXPECT_EQ(intend("usbdevs", R"({"ctrl":0,"port":1})", plan), std::nullopt);
}

// The class makes the plan of a PCI device, as of others.
TEST_F(ExternalQmpTest, APciDeviceNeedsNoPlan)
{
    EXPECT_EQ(intend("pcidevs", R"({"bus":4})"), std::nullopt) << message_;
    EXPECT_EQ(intend("pcidevs", R"({"name":"gpu"})"), Errc::invalid);
}

TEST_F(ExternalQmpTest, TwoPciDevicesByNameAreTwoThings)
{
    have("present", "pcidevs", "#4", R"({"name":"gpu"})", {"pt-gpu"});
    const std::string plan = R"({"steps":[{"execute":"device_add","arguments":{"id":"pt"}}]})";
    EXPECT_EQ(intend("pcidevs", R"({"name":"nic"})", plan), std::nullopt);
}

}  // namespace
}  // namespace xlstore
