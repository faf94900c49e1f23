// SPDX-License-Identifier: MIT
#include "store/core/run_directory.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

TEST(RunDirectory, NamesSayWhichIncarnationTheyAreOf)
{
    EXPECT_EQ(incarnation_in("qmp-7", "qmp-"), DomainId{7});
    EXPECT_EQ(incarnation_in("qmp-7-13", "qmp-"), DomainId{7});
    EXPECT_EQ(incarnation_in("qmp-7-13-2", "qmp-"), DomainId{7});
    EXPECT_EQ(incarnation_in("qemu-7.log", "qemu-"), DomainId{7});
    EXPECT_EQ(incarnation_in("qmp-9999999999", "qmp-"), DomainId{9'999'999'999});
    for (const char* other : {"qmp-", "qmp-0", "qmp--1", "qmp-7x", "qemu-7", "qmp-10000000000",
                              "qmp-99999999999999999999"})
        EXPECT_EQ(incarnation_in(other, "qmp-"), std::nullopt) << other;
}

TEST(RunDirectory, HighestNameCountsOfAnyKind)
{
    const ScratchDirectory directory;
    EXPECT_EQ(highest_incarnation_in(directory.path()), 0);
    write_file(directory / "qmp-3", "");
    write_file(directory / "qemu-12.log", "");
    std::filesystem::create_symlink("nowhere", directory / "qmp-20-4");
    EXPECT_EQ(highest_incarnation_in(directory.path()), 20);
    EXPECT_EQ(highest_incarnation_in(directory / "none"), 0);
    EXPECT_THROW((void)highest_incarnation_in(directory / "qmp-3"), IoError);
}

TEST(RunDirectory, UnusedPathIsOneWhereNothingIs)
{
    const ScratchDirectory directory;
    const auto path = directory / "qmp-7-2";
    EXPECT_EQ(unused_path(path), path);
    std::filesystem::create_symlink("nowhere", path);
    write_file(path + "-2", "");
    EXPECT_EQ(unused_path(path), path + "-3");
}

}  // namespace
}  // namespace xlstore::test
