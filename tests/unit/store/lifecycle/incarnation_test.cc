// SPDX-License-Identifier: MIT
// Which domain a word names: among those that live, and among all that ever were.
#include <gtest/gtest.h>

#include "store/core/domain.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kOtherUuid;
using test::kUuid;
using test::soon;

class IncarnationTest : public testing::Test {
protected:
    IncarnationTest() : store_(scratch_.open()) {}

    DomainId import(int domid, const std::string& name, const char* uuid)
    {
        auto made = store_->loop().wait_for(import_domain(
            *store_, domid, test::hvm_document(name, uuid, "/a"), "document", soon(), {}, true));
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
        const auto incarnation = find_incarnation(store_->db(), word);
        if (!incarnation) return std::string(errc_name(incarnation.error().code));
        std::string text = std::to_string(value_of(incarnation->row.id)) + ";";
        for (const auto other : incarnation->others)
            text += " " + std::to_string(value_of(other));
        return text;
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
};

TEST_F(IncarnationTest, DestroyedDomainIsFoundByEachOfItsNamesButNotAmongTheLiving)
{
    destroy(import(7, "web", kUuid));
    const std::string words[] = {"7",       "domid:7",  "web",
                                 "name:web", kUuid,      "uuid:" + std::string(kUuid),
                                 "id:1",     "UUID:x"};
    for (const auto& word : words) {
        EXPECT_FALSE(find_domain(store_->db(), word)) << word;
        EXPECT_EQ(found(word), word == "UUID:x" ? "not_found" : "1;") << word;
    }
}

TEST_F(IncarnationTest, NewestOfSeveralDestroyedOnesIsTakenAndTheOthersAreNamed)
{
    destroy(import(7, "web", kUuid));
    destroy(import(7, "web", kUuid));
    destroy(import(9, "web", kOtherUuid));
    EXPECT_EQ(found("web"), "3; 2 1");
    EXPECT_EQ(found("7"), "2; 1");
    EXPECT_EQ(found("id:1"), "1;");
}

TEST_F(IncarnationTest, LivingDomainComesBeforeDestroyedOnesEvenWhenAWordFitsThoseBetter)
{
    destroy(import(7, "old", kUuid));
    const auto living = import(8, "7", kOtherUuid);  // its name is the domid of the other
    EXPECT_EQ(found("7"), std::to_string(value_of(living)) + ";");
    EXPECT_EQ(found("domid:7"), "1;");
}

TEST_F(IncarnationTest, LivingDomainsThatShareANameAreNotGuessedBetween)
{
    import(7, "web", kUuid);
    import(8, "web", kOtherUuid);
    EXPECT_EQ(found("web"), "invalid");
    EXPECT_EQ(found("name:web"), "invalid");
}

TEST_F(IncarnationTest, EarlierLivesOfALivingDomainAreItsOthers)
{
    destroy(import(7, "web", kUuid));
    const auto living = import(9, "web", kUuid);
    EXPECT_EQ(found("web"), std::to_string(value_of(living)) + "; 1");
    EXPECT_EQ(found(kUuid), std::to_string(value_of(living)) + "; 1");
}

TEST_F(IncarnationTest, WhatWasNeverThereIsNotFound)
{
    for (const char* word : {"web", "7", "domid:7", "domid:x", "name:", "uuid:x", "id:1", "id:x", ""})
        EXPECT_EQ(found(word), "not_found") << word;
}

}  // namespace
}  // namespace xlstore
