// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "store/base/limits.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore::qmp {
namespace {

using namespace std::string_literals;

TEST(Printable, KeepsTextAndEscapesWhatSteersATerminal)
{
    EXPECT_EQ(printable("Device 'x' not found"), "\"Device 'x' not found\"");
    EXPECT_EQ(printable(""), "\"\"");
    EXPECT_EQ(printable("a\"b\\c"), R"("a\"b\\c")");
    EXPECT_EQ(printable("\n\r\t\x1b[2J\x7f\0"s), R"("\x0a\x0d\x09\x1b[2J\x7f\x00")");
    EXPECT_EQ(printable("/images/gr\u00fc\u00df \u65e5\u672c \U0001F600"),
              "\"/images/gr\u00fc\u00df \u65e5\u672c \U0001F600\"");
    EXPECT_EQ(printable("\xc2\x9b"), R"("\xc2\x9b")") << "U+009B begins a terminal sequence";
    EXPECT_EQ(printable("\u202e\u2028\ufeff\u200b"),
              R"("\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf\xe2\x80\x8b")");
}

TEST(Printable, EscapesWhatIsNotUtf8)
{
    EXPECT_EQ(printable("a\xff\xfe"), R"("a\xff\xfe")");
    EXPECT_EQ(printable("\xc3"), R"("\xc3")") << "cut";
    EXPECT_EQ(printable("\xe2\x82"), R"("\xe2\x82")") << "cut";
    EXPECT_EQ(printable("\xc3("), R"("\xc3(")");
    EXPECT_EQ(printable("\xc0\xaf"), R"("\xc0\xaf")") << "longer than need be";
    EXPECT_EQ(printable("\xe0\x80\xaf"), R"("\xe0\x80\xaf")") << "longer than need be";
    EXPECT_EQ(printable("\xed\xa0\x80"), R"("\xed\xa0\x80")") << "a surrogate";
    EXPECT_EQ(printable("\xf4\x90\x80\x80"), R"("\xf4\x90\x80\x80")") << "above U+10FFFF";
    EXPECT_EQ(printable("\x80z"), R"("\x80z")");
}

TEST(Printable, CutsBetweenCharactersAndSaysSo)
{
    EXPECT_EQ(printable("abcdef", 6), "\"abcdef\"");
    EXPECT_EQ(printable("abcdef", 5), "\"abcde\"...");
    EXPECT_EQ(printable("ab\u00fc", 3), "\"ab\"...");
    EXPECT_EQ(printable("ab\u00fc", 4), "\"ab\u00fc\"");
    EXPECT_EQ(printable(std::string(10'000, '\x1b')).size(),
              2 + 4 * limits::qmp_text_bytes_max + 3);
}

}  // namespace
}  // namespace xlstore::qmp
