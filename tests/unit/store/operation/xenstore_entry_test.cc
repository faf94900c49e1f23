// SPDX-License-Identifier: MIT
// The entry of a thing of xenstore on its way out, and a document that is closed beside it.
#include "store/operation/xenstore_entry.hpp"

#include <gtest/gtest.h>

#include "store/lifecycle/new_domain.hpp"
#include "store/operation/closing.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kUuid;
using test::soon;

class XenstoreEntryTest : public testing::Test {
protected:
    XenstoreEntryTest() : store_(scratch_.open())
    {
        auto domain = store_->loop().wait_for(import_domain(
            *store_, 7, test::hvm_document("web", kUuid, "/srv/a.iso"), "document", soon()));
        EXPECT_TRUE(domain) << (domain ? "" : domain.error().message);
        work_.emplace(*store_, *std::move(domain), Request{Request::Kind::detach, "nics", "0", {}},
                      soon());
    }
    void by_hand(const std::string& statement) { store_->db().execute(statement); }
    std::string state()
    {
        const auto entry = read_thing(store_->db(), work_->domain.id, ThingName{"nics", "0"});
        return entry ? entry->state : "none";
    }
    template <class Section>
    Result<void> under_the_lock(Section section)
    {
        auto fast = store_->loop().wait_for(
            store_->fast_lock(store_->loop(), work_->domain.id, "test", soon()));
        EXPECT_TRUE(fast);
        return store_->loop().wait_for(section(*fast));
    }
    Result<void> mark(std::int64_t entry)
    {
        return under_the_lock(
            [&](const FastLock& fast) { return mark_xenstore_entry(*work_, fast, entry, soon()); });
    }
    Result<Closed> close()
    {
        return store_->loop().wait_for(close_document(*store_, work_->domain, "it moves", soon()));
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    std::optional<XenstoreWork> work_;
};

// Another process removed it before this one had the lock.
TEST_F(XenstoreEntryTest, ThatIsThereNoMoreIsNotMarked)
{
    const auto entry = read_thing(store_->db(), work_->domain.id, ThingName{"nics", "0"});
    ASSERT_TRUE(entry);
    const auto marked = mark(entry->id + 100);
    ASSERT_FALSE(marked);
    EXPECT_EQ(marked.error().code, Errc::not_found) << marked.error().message;
    EXPECT_EQ(work_->committed, "") << "nothing was committed";
    EXPECT_EQ(state(), "present");
    EXPECT_TRUE(mark(entry->id));
    EXPECT_EQ(state(), "removing");
}

// Its detach waits for the guest without the slow lock, which closing takes.
TEST_F(XenstoreEntryTest, ThatIsBeingRemovedKeepsTheDocumentOpen)
{
    by_hand("UPDATE thing SET state = 'removing' WHERE class = 'nics'");
    const auto refused = close();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::busy) << refused.error().message;
    EXPECT_TRUE(test::contains(refused.error().message, "nics/0"));
    by_hand("UPDATE thing SET state = 'present' WHERE class = 'nics'");
    const auto closed = close();
    EXPECT_TRUE(closed) << (closed ? "" : closed.error().message);
}

// What has happened in xenstore is written down, also where the document was closed meanwhile.
TEST_F(XenstoreEntryTest, WhoseNodesAreGoneGoesFromAClosedDocument)
{
    ASSERT_TRUE(close());
    by_hand("UPDATE thing SET state = 'removing' WHERE class = 'nics'");
    const auto entry = read_thing(store_->db(), work_->domain.id, ThingName{"nics", "0"});
    const auto marked = mark(entry->id);
    ASSERT_FALSE(marked) << "a removal begins in no closed document";
    EXPECT_EQ(marked.error().code, Errc::refused);
    const auto removed = under_the_lock([&](const FastLock& fast) {
        return remove_xenstore_entry(*work_, fast, ThingName{"nics", "0"});
    });
    EXPECT_TRUE(removed) << (removed ? "" : removed.error().message);
    EXPECT_EQ(state(), "none");
}

}  // namespace
}  // namespace xlstore
