// SPDX-License-Identifier: MIT
// A group that may read a store: its members see all that they need, and keep no writer waiting.
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

/// A store with a domain that has no QEMU, and a group that may read it.
class ReadingGroupTest : public testing::Test {
protected:
    void SetUp() override
    {
        const auto* group = getgrnam("nogroup");
        if (geteuid() != 0 || !group) GTEST_SKIP() << "not root: a member cannot be played";
        group_ = group->gr_gid;
        ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
        ASSERT_TRUE(Store::init(path_, group_));
        StoreOptions options;
        options.directory = path_;
        auto store = Store::open(options);
        ASSERT_TRUE(store) << store.error().message;
        store_ = *std::move(store);
        const auto text =
            hvm_document("web", "8f2c7d10-4b6e-4a51-9d3c-000000000007", "/srv/a.iso");
        auto domain = store_->loop().wait_for(import_domain(
            *store_, 7, text, "the test", Clock::now() + std::chrono::seconds(10)));
        ASSERT_TRUE(domain) << domain.error().message;
        domain_ = domain->id;
    }
    [[nodiscard]] Words member(Words command) const
    {
        Words words = {"setpriv", "--reuid=65534", "--regid=" + std::to_string(group_),
                       "--clear-groups"};
        words.insert(words.end(), command.begin(), command.end());
        return words;
    }
    Ran as_member(const std::string& program, Words words)
    {
        words.insert(words.begin(), {binary(program), "--store", path_});
        return run(member(words));
    }

    ScratchDirectory directory_;
    std::string path_ = directory_ / "store";
    gid_t group_ = 0;
    std::unique_ptr<Store> store_;
    DomainId domain_{};
};

TEST_F(ReadingGroupTest, AMemberReadsAndOpensNoLockFile)
{
    EXPECT_TRUE(ended(run(member({"sh", "-c", ": <\"$0\"", path_ + "/store.db"})), 0));
    for (const char* name : {"/locks", "/slow"})
        EXPECT_NE(run(member({"sh", "-c", ": <\"$0\"", path_ + name})).status, 0) << name;
    for (const Words& words : {Words{"list"}, Words{"things", "7"}, Words{"history", "7"},
                               Words{"intents"}, Words{"export", "7"}, Words{"locks"},
                               Words{"sql", "SELECT domid FROM domains"}})
        EXPECT_TRUE(ended(as_member("xlstore", words), 0)) << words.front();
    // Sockets and logs are not for members, and that is said.
    const Ran looked = as_member("xlfsck", {"-n"});
    EXPECT_TRUE(ended(looked, 8));
    EXPECT_TRUE(contains(looked.out, "/run: could not be looked into"));
    EXPECT_TRUE(contains(looked.out, "1 domains"));
}

// Whether a lock is held is told by the kernel's list; by whom, to the owner alone.
TEST_F(ReadingGroupTest, AMemberSeesWhatIsHeld)
{
    const auto held = [&] {
        const Ran ran = as_member("xlstore", {"--json", "locks"});
        EXPECT_TRUE(ended(ran, 0));
        return ran.out;
    };
    EXPECT_FALSE(contains(held(), "\"held\":true"));
    {
        const auto writer = store_->locks().try_acquire(LockKind::writer, 0);
        ASSERT_TRUE(writer && *writer);
        EXPECT_TRUE(contains(held(), "write gate"));
    }
    const auto slow = store_->try_slow_lock(domain_, "test");
    ASSERT_TRUE(slow && *slow);
    EXPECT_TRUE(contains(held(), "slow lock"));
    // Broken, it has another byte.
    {
        Transaction transaction(store_->db());
        ASSERT_TRUE(store_->locks().break_slow(value_of(domain_)));
        transaction.commit();
    }
    const auto again = store_->try_slow_lock(domain_, "test");
    ASSERT_TRUE(again && *again);
    EXPECT_TRUE(contains(held(), "slow lock"));
}

}  // namespace
}  // namespace xlstore::test
