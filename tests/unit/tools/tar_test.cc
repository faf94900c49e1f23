// SPDX-License-Identifier: MIT
// An archive that tar(1) reads, and one that comes from elsewhere.
#include "tools/common/tar.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/command.hpp"
#include "tests/support/scratch_directory.hpp"

namespace xlstore::tools {
namespace {

const std::vector<TarMember> kMembers = {
    {"MANIFEST.json", "{}"}, {"empty", ""}, {"block", std::string(512, 'x')},
    {"bytes", std::string("\0\xff\n", 3)}};

TEST(TarTest, ComesBackAsItWas)
{
    const auto members = untar(tar_of(kMembers, 1'732'919'593));
    ASSERT_TRUE(members);
    EXPECT_EQ(members->size(), kMembers.size());
    for (const auto& [name, bytes] : kMembers)
        EXPECT_EQ(members->at(name), bytes);
}

TEST(TarTest, TarReadsIt)
{
    const test::ScratchDirectory place;
    const auto file = place / "a.tar";
    std::ofstream(file, std::ios::binary) << tar_of(kMembers, 1'732'919'593);
    const auto listed = test::run({"tar", "-tf", file});
    EXPECT_TRUE(test::ended(listed, 0)) << listed.err;
    EXPECT_EQ(listed.out, "MANIFEST.json\nempty\nblock\nbytes\n");
    EXPECT_EQ(test::run({"tar", "-xOf", file, "bytes"}).out, kMembers[3].second);
}

TEST(TarTest, WhatIsNoneIsRefused)
{
    const auto archive = tar_of(kMembers, 0);
    EXPECT_FALSE(untar(""));
    EXPECT_FALSE(untar(std::string(2000, 'a')));
    for (std::size_t bytes = 0; bytes < archive.size() - 1024; bytes += 100)
        EXPECT_FALSE(untar(archive.substr(0, bytes))) << bytes;
    auto turned = archive;
    turned[3] ^= 1;
    EXPECT_FALSE(untar(turned)) << "the sum of its header is another";
}

}  // namespace
}  // namespace xlstore::tools
