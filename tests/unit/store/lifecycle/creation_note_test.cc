// SPDX-License-Identifier: MIT
#include "store/lifecycle/creation_note.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

using namespace std::string_literals;

constexpr const char* kNoteUuid = "8f2c7d10-4b6e-4a51-9d3c-000000000007";

TEST(CreationNoteTest, ComesBackFromTheEnvironment)
{
    const auto entry = environment_with_note({7, kNoteUuid, "web 01 \xc3\xa9"});
    const auto note = read_creation_note("PATH=/bin\0"s + entry + "\0HOME=/\0"s);
    ASSERT_TRUE(note);
    EXPECT_EQ(note->domid, 7);
    EXPECT_EQ(note->uuid, kNoteUuid);
    EXPECT_EQ(note->name, "web 01 \xc3\xa9");
}

// A toolstack that was itself started by a creation hands its own down before that of its child.
TEST(CreationNoteTest, TheLastOneCounts)
{
    const auto note = read_creation_note(environment_with_note({1, kNoteUuid, "outer"}) + '\0' +
                                         environment_with_note({2, kNoteUuid, "inner"}));
    ASSERT_TRUE(note);
    EXPECT_EQ(note->name, "inner");
    EXPECT_EQ(note->domid, 2);
}

TEST(CreationNoteTest, WhatIsWrittenOtherwiseIsNone)
{
    const std::string uuid = kNoteUuid;
    for (const std::string& value :
         {""s, "7"s, "7 "s + uuid, "7 "s + uuid + " ", "x "s + uuid + " web", "-1 "s + uuid + " web",
          "7  "s + uuid + " web", "7 "s + uuid.substr(1) + " web", "7 "s + uuid + "web",
          "7 "s + uuid + " \xff", "99999999999999999999 "s + uuid + " web"})
        EXPECT_FALSE(read_creation_note("XLSTORE_DOMAIN=" + value)) << value;
    EXPECT_FALSE(read_creation_note("NOT_XLSTORE_DOMAIN=7 " + uuid + " web"));
    EXPECT_FALSE(read_creation_note(""));
}

}  // namespace
}  // namespace xlstore
