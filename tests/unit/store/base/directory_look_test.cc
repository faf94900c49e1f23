// SPDX-License-Identifier: MIT
// R17: one look at a directory in place of one at each name in it.
#include "store/base/directory_look.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <functional>

#include "tests/support/in_child.hpp"
#include "tests/support/process.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

namespace fs = std::filesystem;
using test::in_child;

class DirectoryLookTest : public testing::Test {
protected:
    void SetUp() override
    {
        fs::create_directory(place_);
        test::write_file(file_, "ours");
        look_ = DirectoryLook(place_);
        named_ = NamedFile(file_, file_identity(file_));
    }
    // The last change lies far enough back.
    NamesState quiet()
    {
        NamesState names;
        EXPECT_TRUE(test::wait_until(std::chrono::seconds(30), [&] {
            names = look_.names_now();
            return names && look_.names_now() == names;
        }));
        return names;
    }

    test::ScratchDirectory directory_;
    const std::string place_ = directory_ / "place";
    const std::string file_ = place_ + "/file";
    DirectoryLook look_{place_};
    NamedFile named_;
};

TEST_F(DirectoryLookTest, OfAChangeOfThisMomentItCannotTell)
{
    EXPECT_TRUE(test::wait_until(std::chrono::seconds(30), [&] {
        test::write_file(place_ + "/other", "");
        fs::remove(place_ + "/other");
        return !look_.names_now();  // unless this process has to wait for the processor
    }));
    EXPECT_TRUE(named_.in_place(look_.names_last()));
    fs::rename(file_, place_ + "/away");
    EXPECT_FALSE(named_.in_place(look_.names_last())) << "each name is looked at then";
}

TEST_F(DirectoryLookTest, EachChangeOfANameEndsANumber)
{
    const std::string other = place_ + "/other";
    for (const auto& change : std::initializer_list<std::function<void()>>{
             [&] { test::write_file(other, ""); }, [&] { fs::rename(other, file_); },
             [&] { fs::create_hard_link(file_, other); }, [&] { fs::remove(other); }}) {
        const auto before = quiet();
        change();
        EXPECT_NE(look_.names_now(), before);
    }
}

TEST_F(DirectoryLookTest, FileThatWasReplacedIsNoticedWhateverWasSeenBefore)
{
    ASSERT_TRUE(named_.in_place(quiet()));
    ASSERT_TRUE(named_.in_place(look_.names_now()));
    test::write_file(directory_ / "other", "another's");
    fs::rename(directory_ / "other", file_);
    EXPECT_FALSE(named_.in_place(look_.names_now()));
    EXPECT_FALSE(named_.in_place(quiet())) << "also when the directory is quiet again";
}

TEST_F(DirectoryLookTest, AnotherDirectoryInThisPlaceIsAnotherState)
{
    const std::string other = directory_ / "second";
    fs::create_directory(other);
    ASSERT_TRUE(named_.in_place(quiet()));
    fs::rename(place_, directory_ / "away");
    EXPECT_FALSE(look_.names_now()) << "there is none";
    EXPECT_FALSE(named_.in_place(look_.names_now()));
    fs::rename(other, place_);  // which has not changed itself for as long
    EXPECT_FALSE(named_.in_place(look_.names_now()));
}

TEST_F(DirectoryLookTest, ADirectoryBehindALinkIsDatedToo)
{
    fs::rename(place_, directory_ / "real");
    fs::create_symlink("real", place_);
    ASSERT_TRUE(named_.in_place(quiet()));
    const auto before = quiet();
    test::write_file(directory_ / "other", "another's");
    fs::rename(directory_ / "other", file_);
    EXPECT_NE(look_.names_now(), before);
    EXPECT_FALSE(named_.in_place(look_.names_last()));
}

// In mounts of its own: no other process sees this one.
TEST_F(DirectoryLookTest, WhatIsMountedOverANameIsNoticed)
{
    if (!in_child([] { return unshare(CLONE_NEWNS) == 0; }))
        GTEST_SKIP() << "this user may have no mounts of its own";
    const std::string other = directory_ / "other";
    test::write_file(other, "another's");
    EXPECT_TRUE(in_child([&] {
        if (unshare(CLONE_NEWNS) != 0 ||
            mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
            return false;
        look_ = DirectoryLook(place_);
        const auto before = quiet();
        return named_.in_place(before) && look_.names_now() == before &&
               mount(other.c_str(), file_.c_str(), nullptr, MS_BIND, nullptr) == 0 &&
               look_.names_now() != before && !named_.in_place(look_.names_last());
    }));
}

}  // namespace
}  // namespace xlstore
