// SPDX-License-Identifier: MIT
// One damaged column costs that column, never the row, and is never taken for absence.
#include "recovery/salvage/mended_row.hpp"
#include "tests/support/values.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace xlstore::recovery {
namespace {

using test::kUuid;

constexpr const char* kTurned = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c05";
constexpr const char* kBoot = "83fc6a4c-7492-4df5-9dff-306a0f28981c";

class MendedDomainTest : public testing::Test {
protected:
    MendedDomainTest()
    {
        for (const char* column : {"vm_uuid", "initial_from", "qemu_start_time",
                                   "qemu_pid_namespace", "monitor_path", "monitor_device",
                                   "monitor_inode", "peer_pid", "peer_uid", "peer_gid", "qemu_pid"})
            row_.set(column, std::monostate());
        row_.set("id", std::int64_t{1});
        row_.set("domid", std::int64_t{7});
        row_.set("uuid", kUuid);
        row_.set("name", "d7");
        row_.set("state", "running");
        row_.set("layout", "yajl");
        row_.set("boot_id", kBoot);
        for (const char* column : {"epoch", "revision"})
            row_.set(column, std::int64_t{3});
        row_.set("monitor_handed_in", std::int64_t{0});
        witness_.index_uuid = kUuid;
        witness_.document_uuid = kUuid;
        witness_.index_domid = 7;
        witness_.index_of_living = true;
        witness_.boot_id = kBoot;
    }
    Row row_;
    DomainWitness witness_;
};

TEST_F(MendedDomainTest, SoundRowStaysAsItIs)
{
    EXPECT_TRUE(mend_domain(row_, witness_).empty());
}

// R17: a caller that kept revision 1 would write over what it has not seen.
TEST_F(MendedDomainTest, GenerationThatIsLostIsAboveEveryOther)
{
    witness_.above = 1'000'012;
    row_.set("revision", std::int64_t{INT64_MAX});
    row_.set("epoch", std::int64_t{0});
    EXPECT_EQ(mend_domain(row_, witness_).size(), 2U);
    EXPECT_EQ(row_.integer("revision"), 1'000'012);
    EXPECT_EQ(row_.integer("epoch"), 1'000'012);
}

TEST_F(MendedDomainTest, OfThreeUuidsTheTwoThatAgreeAreRight)
{
    row_.set("uuid", kTurned);
    EXPECT_EQ(mend_domain(row_, witness_).size(), 1U);
    EXPECT_EQ(row_.text("uuid"), kUuid);
}

TEST_F(MendedDomainTest, UuidThatTheDocumentHasTooIsRight)
{
    witness_.index_uuid = kTurned;
    EXPECT_TRUE(mend_domain(row_, witness_).empty());
    EXPECT_EQ(row_.text("uuid"), kUuid);
}

// One bit makes a small letter a capital one: the same number, and no look-up finds it.
TEST_F(MendedDomainTest, UuidHasSmallLettersAlsoWhereNothingElseIsDamaged)
{
    std::string capital = kUuid;
    *std::ranges::find(capital, 'd') = 'D';
    row_.set("uuid", capital);
    row_.set("vm_uuid", capital);
    EXPECT_EQ(mend_domain(row_, witness_).size(), 2U);
    EXPECT_EQ(row_.text("uuid"), kUuid);
    EXPECT_EQ(row_.text("vm_uuid"), kUuid);
}

TEST_F(MendedDomainTest, WhatIsNoUuidIsTakenFromTheDocument)
{
    row_.set("uuid", "8f2c7d10");
    witness_.index_uuid.reset();
    EXPECT_EQ(mend_domain(row_, witness_).size(), 1U);
    EXPECT_EQ(row_.text("uuid"), kUuid);
}

TEST_F(MendedDomainTest, UnknownStateIsNeverTakenForDestroyedUnlessAnIndexSaysSo)
{
    row_.set("state", "running");
    (void)mend_domain(row_, witness_);
    EXPECT_EQ(row_.text("state"), "running");
    row_.set("state", "destroxed");
    witness_.index_domid.reset();
    witness_.index_of_living = false;
    (void)mend_domain(row_, witness_);
    EXPECT_EQ(row_.text("state"), "running");
    row_.set("state", "destroxed");
    witness_.index_of_living = true;
    (void)mend_domain(row_, witness_);
    EXPECT_EQ(row_.text("state"), "destroyed");
}

TEST_F(MendedDomainTest, NumbersOutOfRangeAndABootIdWithATurnedBitAreMended)
{
    row_.set("epoch", INT64_MAX);
    row_.set("revision", std::int64_t{-1});
    row_.set("boot_id", "83fc6a4c-7492-4df5-9dff-306a0f28981b");
    EXPECT_EQ(mend_domain(row_, witness_).size(), 3U);
    EXPECT_EQ(row_.integer("epoch"), 1);
    EXPECT_EQ(row_.text("boot_id"), kBoot);
}

TEST_F(MendedDomainTest, AnotherBootIsLeftAlone)
{
    row_.set("boot_id", "11111111-7492-4df5-9dff-306a0f28981c");
    EXPECT_TRUE(mend_domain(row_, witness_).empty());
}

// More of it than a bit, or what is no uuid: no host calls a boot so.
TEST_F(MendedDomainTest, WhatIsNoBootIsThisOne)
{
    for (const char* text :
         {"", "83fc", "83fc6a4c-7492-4df5-9dff-306a0f2!y z%",
          "83fc6a4c-7492-4df5-9dff-306a0f28981c\xff", "83FC6A4C-7492-4DF5-9DFF-306A0F28981C"}) {
        row_.set("boot_id", text);
        EXPECT_EQ(mend_domain(row_, witness_).size(), 1U) << text;
        EXPECT_EQ(row_.text("boot_id"), kBoot);
    }
}

// A domain of an older boot is over: a turned bit does not bring it back.
TEST_F(MendedDomainTest, ABootThatAnotherRowNamesIsAsGoodAsThisOne)
{
    witness_.known_boots = {"11111111-7492-4df5-9dff-306a0f28981c"};
    row_.set("boot_id", "11111111-7492-4df5-9dff-306a0f28981k");
    EXPECT_EQ(mend_domain(row_, witness_).size(), 1U);
    EXPECT_EQ(row_.text("boot_id"), "11111111-7492-4df5-9dff-306a0f28981c");
}

TEST_F(MendedDomainTest, HalfARegistrationIsNone)
{
    row_.set("qemu_pid", std::int64_t{4711});
    EXPECT_FALSE(mend_domain(row_, witness_).empty());
    EXPECT_TRUE(row_.is_null("qemu_pid"));
}

TEST(MendedThingTest, UnknownStateIsPresentAndUnknownPrimaryIsThatOfItsText)
{
    Row row;
    row.set("domain", std::int64_t{1});
    row.set("class", "nics");
    row.set("key", "0");
    row.set("json", R"({"devid":0})");
    row.set("state", "prezent");
    row.set("primary_at", "nowhere");
    EXPECT_EQ(mend_thing(row, {}).size(), 2U);
    EXPECT_EQ(row.text("state"), "present");
    EXPECT_EQ(row.text("primary_at"), "xenstore");
}

TEST(MendedThingTest, KeyThatIndexAndTextDenyIsMended)
{
    Row row;
    row.set("domain", std::int64_t{1});
    row.set("class", "nics");
    row.set("key", "8");
    row.set("json", R"({"devid":0})");
    row.set("state", "present");
    row.set("primary_at", "xenstore");
    ThingWitness witness;
    witness.index_domain = 1;
    witness.index_class = "nics";
    witness.index_key = "0";
    EXPECT_EQ(mend_thing(row, witness).size(), 1U);
    EXPECT_EQ(row.text("key"), "0");
}

// A bit of the index is damaged as easily as one of the row.
TEST(MendedThingTest, DomainOfTheIndexIsTakenWhereAThirdWitnessHasIt)
{
    Row row;
    row.set("domain", std::int64_t{1});
    row.set("class", "nics");
    row.set("key", "0");
    row.set("json", R"({"devid":0})");
    row.set("state", "present");
    row.set("primary_at", "xenstore");
    ThingWitness witness;
    witness.index_domain = 2;
    witness.index_class = "nics";
    witness.index_key = "0";
    const auto domain_with = [&](std::optional<std::int64_t> other, bool has_own, bool may_move) {
        Row mended = row;
        witness.other_domain = other;
        witness.has_own_domain = has_own;
        witness.may_be_moved = may_move;
        (void)mend_thing(mended, witness);
        return mended.integer("domain");
    };
    EXPECT_EQ(domain_with({}, true, true), 1);
    EXPECT_EQ(domain_with(1, true, true), 1);
    EXPECT_EQ(domain_with(1, false, true), 1);
    EXPECT_EQ(domain_with(2, true, true), 2);
    EXPECT_EQ(domain_with({}, false, true), 2);
    EXPECT_EQ(domain_with(2, true, false), 1);
}

// What its text does not say is a key that either may have damaged.
TEST(MendedThingTest, KeyOfATextWithoutOneIsItsOwn)
{
    Row row;
    row.set("domain", std::int64_t{1});
    row.set("class", "vkbs");
    row.set("key", "#0");
    row.set("json", R"({"backend_domid":0})");
    row.set("state", "present");
    row.set("primary_at", "xenstore");
    ThingWitness witness;
    witness.index_domain = 1;
    witness.index_class = "vkbs";
    witness.index_key = "#1";
    EXPECT_TRUE(mend_thing(row, witness).empty());
    row.set("json", R"({"backend_domid":)");
    EXPECT_EQ(mend_thing(row, witness).size(), 2U);
    EXPECT_EQ(row.text("key"), "#1");
}

// R1: where SQLite's text ends at a NUL.
TEST(MendedThingTest, TextThatIsNoJsonIsThatOfTheIntentOrOfTheKey)
{
    const std::string damaged("{\"devid\":0,\"mac\":\"\0\"}", 21);
    Row row;
    row.set("domain", std::int64_t{1});
    row.set("class", "nics");
    row.set("key", "0");
    row.set("json", damaged);
    row.set("state", "changing");
    row.set("primary_at", "xenstore");
    ThingWitness witness;
    witness.image = R"({"devid":0,"mac":"00:16:3e:00:00:01"})";
    EXPECT_EQ(mend_thing(row, witness).size(), 1U);
    EXPECT_EQ(row.text("json"), *witness.image);
    row.set("json", damaged);
    witness.image = R"({"devid":1})";  // another one's
    EXPECT_EQ(mend_thing(row, witness).size(), 1U);
    EXPECT_EQ(row.text("json"), R"({"devid":0})");
}

// A thing of the embedder's own has no key in its class: what it is made of tells.
TEST(MendedThingTest, ThingOfClassQemuKeepsWhatItIsMadeOf)
{
    Row row;
    row.set("domain", std::int64_t{1});
    row.set("class", "qemu");
    row.set("key", "tab");
    row.set("json", "{");
    row.set("state", "present");
    row.set("primary_at", "qemu");
    ThingWitness witness;
    witness.products = {Product{"device", "t1", std::nullopt}};
    EXPECT_EQ(mend_thing(row, witness).size(), 1U);
    EXPECT_EQ(row.text("json"),
              R"({"key":"tab","steps":[],"probe":[{"kind":"device","name":"t1"}]})");
}

// R22: the copy of what is quarantined.
TEST(RowTest, LongTextThatIsNoNameIsWholeInItsJson)
{
    Row row;
    row.set("json", std::string(3, '\0') + std::string(2000, 'x'));
    EXPECT_GT(row.json().size(), 2000U);
}

}  // namespace
}  // namespace xlstore::recovery
