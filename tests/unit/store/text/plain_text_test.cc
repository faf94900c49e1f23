// SPDX-License-Identifier: MIT
#include "store/text/plain_text.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>
#include <span>
#include <string>

#include "store/base/error.hpp"
#include "store/text/error_json.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

using namespace std::string_literals;

bool is_utf8(std::string_view text)
{
    while (!text.empty()) {
        const Character first = first_character(text);
        if (!first.code) return false;
        text.remove_prefix(first.size);
    }
    return true;
}

TEST(PlainText, LeavesPlainTextAlone)
{
    for (const auto& text : {""s, "a"s, "QEMU has device \"tab\""s, "C:\\x00"s, "Grüße, 世界 🐧"s})
        EXPECT_EQ(plain_text(text, 100), text);
}

TEST(PlainText, EscapesWhatSteersATerminalAndWhatIsNoUtf8)
{
    EXPECT_EQ(plain_text("a\x1b[2J\n\tb\x7f", 100), R"(a\x1b[2J\x0a\x09b\x7f)");
    EXPECT_EQ(plain_text("\0x"s, 100), R"(\x00x)");
    EXPECT_EQ(plain_text("\xc2\x9b\xe2\x80\xae", 100), R"(\xc2\x9b\xe2\x80\xae)");
    EXPECT_EQ(plain_text("\xff\xc3", 100), R"(\xff\xc3)");
    EXPECT_EQ(plain_text("\xc0\xaf\xed\xa0\x80", 100), R"(\xc0\xaf\xed\xa0\x80)") << "overlong";
}

TEST(PlainText, CutsBetweenTwoCharactersAndSaysSo)
{
    EXPECT_EQ(plain_text("abcdef", 6), "abcdef");
    EXPECT_EQ(plain_text("abcdefg", 6), "abc...");
    EXPECT_EQ(plain_text("ääää", 7), "ää...") << "no half character";
    EXPECT_EQ(plain_text("ab\x1b\x1b", 6), "ab...") << "no half escape";
    EXPECT_EQ(plain_text("世界", 3), "...");
}

// What --json, SQL's json functions and terminals rely on, for any bytes at all.
TEST(PlainText, IsJsonMaterialOfAnyBytes)
{
    std::mt19937 random(20'261'129);
    const std::array pieces = {"a"s,        "\""s,       "\\"s,   "ä"s,      "\xc3"s, "\xa4"s,
                               "\xe4\xb8"s, "世"s,       "🐧"s,   "\xf0\x9f"s, "\x1b"s, "\0"s,
                               "\n"s,       "\xed\xa0\x80"s, "\xff"s, "\u202e"s, "..."s};
    for (int round = 0; round < 20'000; ++round) {
        std::string text;
        for (auto n = random() % 12; n > 0; --n)
            text += random() % 8 == 0 ? std::string(1, static_cast<char>(random() % 256))
                                      : pieces[random() % pieces.size()];
        const std::size_t most = 3 + random() % 40;
        const std::string plain = plain_text(text, most);
        SCOPED_TRACE(testing::PrintToString(text) + " in " + std::to_string(most));
        ASSERT_LE(plain.size(), most);
        ASSERT_TRUE(is_utf8(plain));
        ASSERT_TRUE(json_minify("[" + json_quote(plain) + "]", "text"));
        ASSERT_EQ(json_decode_string(json_quote(plain)), plain);
        ASSERT_EQ(plain_text(plain, most), plain) << "a second time";
        std::array<char, 64> room;
        write_plain_text(std::span(room).first(most + 1), text);
        ASSERT_EQ(std::string_view(room.data()), plain) << "without memory";
        for (const unsigned char c : plain)
            ASSERT_TRUE(c >= 0x20 && c != 0x7F);
    }
}

TEST(PlainText, WholeCharactersAreCutBetweenTwo)
{
    EXPECT_EQ(whole_characters("äää", 6), "äää");
    EXPECT_EQ(whole_characters("äää", 5), "ää");
    EXPECT_EQ(whole_characters("a🐧b", 4), "a");
    EXPECT_EQ(whole_characters("a🐧b", 5), "a🐧");
    EXPECT_EQ(whole_characters("世", 2), "");
    EXPECT_EQ(whole_characters("\x80\x80\x80\x80\x80\x80", 5), "\x80\x80\x80\x80\x80") << "there are none";
}

// Errors quote what callers gave; their JSON is JSON.
TEST(PlainText, AnErrorIsJsonWithAnyQuotation)
{
    const Error error(Errc::invalid, "cannot open /a\xff\xc3\x1b", "name \xe4\xb8");
    const auto checked = json_minify(error_json(error), "error");
    ASSERT_TRUE(checked);
    EXPECT_EQ(json_get_string(*checked, "message"), R"(cannot open /a\xff\xc3\x1b)");
    EXPECT_EQ(json_get_string(*checked, "advice"), R"(name \xe4\xb8)");
}

}  // namespace
}  // namespace xlstore
