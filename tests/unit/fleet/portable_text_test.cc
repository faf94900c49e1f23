// SPDX-License-Identifier: MIT
// What PostgreSQL refuses is a question mark; all else stays, to the byte.
#include "tools/fleet/portable_text.hpp"

#include <gtest/gtest.h>

namespace xlstore::fleet {
namespace {

TEST(PortableTextTest, WhatIsValidStaysAsItIs)
{
    for (const char* text : {"", "{}", R"({"a":"b\n\"\\"})", "{\"n\":\"büro 日本 😀\"}",
                             R"("\u00e4\u0001")", R"("\\u0000")", R"("a\\")"})
        EXPECT_EQ(portable_json(text), text);
}

TEST(PortableTextTest, NulAndHalvesOfPairsAreReplaced)
{
    EXPECT_EQ(portable_json(R"("a\u0000b")"), R"("a?b")");
    EXPECT_EQ(portable_json(R"("\ud83d")"), R"("?")");
    EXPECT_EQ(portable_json(R"("\udcff\uDC80")"), R"("??")");
    EXPECT_EQ(portable_json(R"("\\\u0000")"), R"("\\?")") << "a backslash, then a NUL";
    EXPECT_EQ(portable_json(R"("\ud7ff")"), R"("\ud7ff")") << "below them";
}

TEST(PortableTextTest, BytesThatAreNoUtf8AreReplacedOneByOne)
{
    EXPECT_EQ(portable_json("\"\xff\xc3 \x80\""), "\"?? ?\"");
    EXPECT_EQ(portable_json("\"\xed\xa0\x80\""), "\"???\"") << "a surrogate in UTF-8";
    EXPECT_EQ(portable_json("\"\xc0\xaf\""), "\"??\"") << "longer than need be";
    EXPECT_EQ(portable_json("\xe6"), "?") << "cut off";
}

}  // namespace
}  // namespace xlstore::fleet
