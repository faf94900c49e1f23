// SPDX-License-Identifier: MIT
// A file is written whole, in one step, or not at all; nothing else is left beside it.
#include "tools/common/whole_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "tests/support/scratch_directory.hpp"

namespace xlstore::tools {
namespace {

namespace fs = std::filesystem;

class WholeFileTest : public testing::Test {
protected:
    [[nodiscard]] std::string at(const std::string& name) const
    {
        return place_.path() + "/" + name;
    }
    [[nodiscard]] std::string files() const
    {
        std::string names;
        for (const auto& entry : fs::directory_iterator(place_.path()))
            names += entry.path().filename().string() + " ";
        return names;
    }
    test::ScratchDirectory place_;
};

TEST_F(WholeFileTest, IsWrittenForItsOwnerAlone)
{
    ASSERT_TRUE(write_whole_file(at("a"), "text", IfThere::refuse));
    EXPECT_EQ(test::read_file(at("a")), "text");
    struct stat st {};
    ASSERT_EQ(stat(at("a").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777U, 0600U);
    EXPECT_EQ(files(), "a ");
}

TEST_F(WholeFileTest, WhatIsThereIsReplacedOnlyWhereThatIsWanted)
{
    ASSERT_TRUE(write_whole_file(at("a"), "one", IfThere::replace));
    const auto refused = write_whole_file(at("a"), "two", IfThere::refuse);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exists);
    EXPECT_EQ(test::read_file(at("a")), "one");
    ASSERT_TRUE(write_whole_file(at("a"), "two", IfThere::replace));
    EXPECT_EQ(test::read_file(at("a")), "two");
    EXPECT_EQ(files(), "a ");
}

TEST_F(WholeFileTest, AnotherKindOfFileIsLeft)
{
    fs::create_symlink("/dev/null", at("link"));
    fs::create_directory(at("directory"));
    for (const char* name : {"link", "directory"}) {
        const auto refused = write_whole_file(at(name), "x", IfThere::replace);
        ASSERT_FALSE(refused) << name;
        EXPECT_EQ(refused.error().code, Errc::invalid);
    }
    EXPECT_TRUE(fs::is_symlink(at("link")));
    EXPECT_FALSE(write_whole_file(at("none/a"), "x", IfThere::replace));
}

TEST_F(WholeFileTest, NothingIsLeftOfOneThatCouldNotBeWritten)
{
    ASSERT_TRUE(write_whole_file(at("a"), "old", IfThere::replace));
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit small = {1000, before.rlim_max};
    std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto failed = write_whole_file(at("a"), std::string(5000, 'x'), IfThere::replace);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, SIG_DFL);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Errc::io);
    EXPECT_EQ(test::read_file(at("a")), "old");
    EXPECT_EQ(files(), "a ");
}

}  // namespace
}  // namespace xlstore::tools
