// SPDX-License-Identifier: MIT
// R21: the file whose blocks are given up when another program has taken the log away; R17: what it
// remembers. A disk that is really full is tests/crash/full_disk.py's, with --shell.
#include "store/lock/spare.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "store/model/store_paths.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

namespace fs = std::filesystem;

class SpareTest : public testing::Test {
protected:
    [[nodiscard]] std::int64_t size() const
    {
        return static_cast<std::int64_t>(fs::file_size(spare_));
    }

    test::ScratchStore store_;
    const std::string database_ = store_.path() + "/store.db";
    const std::string spare_ = StorePaths(store_.path()).spare();
};

TEST_F(SpareTest, ANewStoreHasItAndTheNextCommitMakesOneThatIsMissing)
{
    EXPECT_EQ(size(), limits::spare_bytes);
    fs::remove(spare_);
    (void)store_.open();
    EXPECT_EQ(size(), limits::spare_bytes);
    EXPECT_EQ(fs::status(spare_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(SpareTest, IsGivenUpFromItsEndAndItsFirstBlockStays)
{
    const auto first = test::read_file(spare_).substr(0, limits::spare_kept);
    EXPECT_TRUE(give_up_spare(database_.c_str(), 1));
    EXPECT_LT(size(), limits::spare_bytes);
    while (give_up_spare(database_.c_str(), 100'000))
        ASSERT_GE(size(), limits::spare_kept);
    EXPECT_EQ(size(), limits::spare_kept);
    EXPECT_EQ(test::read_file(spare_), first);
    EXPECT_EQ(fill_spare(database_.c_str()), 0);
    EXPECT_EQ(size(), limits::spare_bytes);
    EXPECT_EQ(test::read_file(spare_).substr(0, limits::spare_kept), first);
}

// A link in its place leads to a file of another's.
TEST_F(SpareTest, NothingIsWrittenThroughALink)
{
    const std::string victim = store_.directory() / "victim";
    test::write_file(victim, std::string(10'000, 'v'));
    fs::remove(spare_);
    fs::create_symlink(victim, spare_);
    EXPECT_EQ(fill_spare(database_.c_str()), 0);
    EXPECT_FALSE(give_up_spare(database_.c_str(), 1));
    EXPECT_EQ(test::read_file(victim), std::string(10'000, 'v'));
    StoreOptions options;
    options.directory = store_.path();
    const auto refused = Store::open(options);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(test::contains(refused.error().message, spare_));
    EXPECT_TRUE(test::contains(refused.error().advice, "move it away"));
    fs::remove(spare_);
    (void)store_.open();
    EXPECT_EQ(size(), limits::spare_bytes);
}

TEST_F(SpareTest, NothingToGiveUpWhereThereIsNone)
{
    fs::remove(spare_);
    EXPECT_FALSE(give_up_spare(database_.c_str(), 1));
    EXPECT_FALSE(fs::exists(spare_));
    EXPECT_FALSE(give_up_spare("store.db", 1)) << "no directory is named";
}

}  // namespace
}  // namespace xlstore
