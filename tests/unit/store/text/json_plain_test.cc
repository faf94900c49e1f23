// SPDX-License-Identifier: MIT
// Two ways to read one text: what the plain one takes, the parser takes as well, and makes the same
// of it. The parser gets to see a plain text by an escape that stands before it.
#include "store/text/json_plain.hpp"

#include <gtest/gtest.h>

#include <random>

#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

constexpr std::string_view kEscape = R"(["\n",)";

/// What the parser makes of it; nothing: it is no JSON.
std::optional<std::string> parsed(const std::string& text)
{
    auto both = json_minify(std::string(kEscape) + text + "]", "text");
    if (!both) return std::nullopt;
    both->erase(0, kEscape.size());
    both->pop_back();
    return *std::move(both);
}

std::string in(std::size_t depth, const std::string& text)
{
    return std::string(depth, '[') + text + std::string(depth, ']');
}

std::string object_of(int members)
{
    std::string text = "{";
    for (int i = 0; i < members; ++i)
        text += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
    return text + "}";
}

TEST(JsonPlain, MinifiesWhatDocumentsAndQemuAreMadeOf)
{
    const std::string reply =
        R"( {"return": [{"label": "a b", "frontend-open": false}, {}, [ ]],)"
        "\r\n\t\"id\" : \"x1\"} \r\n";
    EXPECT_EQ(minify_plain(reply),
              R"({"return":[{"label":"a b","frontend-open":false},{},[]],"id":"x1"})");
    const std::string numbers = "[0, -1, 1.50, -0, 0.0, 12345678901234567, true, null]";
    EXPECT_EQ(minify_plain(numbers), "[0,-1,1.50,-0,0.0,12345678901234567,true,null]");
    for (const std::string whole : {"\"a\"", "7", " false ", "{}", "[]"})
        EXPECT_EQ(minify_plain(whole), parsed(whole)) << whole;
}

TEST(JsonPlain, LeavesToTheParserWhatIsNotPlain)
{
    for (const std::string text : {R"("\u0041")", R"("a\"b")", "\"\xc3\xa4\"", "\"\x7f\"",
                                   "123456789012345678", "1e2", "1.5E1", R"({"a":1,"\u0061":2})"})
        EXPECT_EQ(minify_plain(text), std::nullopt) << text;
    EXPECT_TRUE(minify_plain(in(24, "1")));
    EXPECT_FALSE(minify_plain(in(25, "1")));
    EXPECT_TRUE(minify_plain(object_of(48)));
    EXPECT_FALSE(minify_plain(object_of(49)));
}

TEST(JsonPlain, TakesNothingThatIsNoJson)
{
    for (const std::string text : {"",
                                   " ",
                                   "{",
                                   "}",
                                   "[",
                                   "]",
                                   "{]",
                                   "[}",
                                   "[1}",
                                   R"({"a":1])",
                                   "[1,]",
                                   "[,1]",
                                   R"({"a"})",
                                   R"({"a":})",
                                   R"({"a":1,})",
                                   "{1:2}",
                                   R"({"a" 1})",
                                   R"({"a":1 "b":2})",
                                   "[1 2]",
                                   "1 2",
                                   "{} {}",
                                   "\"a",
                                   "\"a\n\"",
                                   "01",
                                   "-01",
                                   "-",
                                   ".5",
                                   "1.",
                                   "1.e1",
                                   "+1",
                                   "0x1",
                                   "1a",
                                   "tru",
                                   "nul",
                                   "True",
                                   "NaN",
                                   "truefalse",
                                   R"({"a":1,"a":2})",
                                   R"({"b":{"a":1},"b":0})",
                                   "'a'",
                                   "// \n1",
                                   "[1]]",
                                   "\xef\xbb\xbf[]"})
        EXPECT_EQ(minify_plain(text), std::nullopt) << text;
    EXPECT_FALSE(minify_plain(std::string_view("[1]\0", 4)));
    EXPECT_FALSE(minify_plain(std::string_view("\"\0\"", 3)));
    EXPECT_TRUE(minify_plain(R"({"b":{"a":1},"a":[{"a":0},{"a":0}]})"));
}

// Texts that are nearly right: each is one that is right, with a few bytes changed.
TEST(JsonPlain, AgreesWithTheParser)
{
    const std::string bytes = R"({}[]",:0123456789.-eE+ truefalsn\/ab)"
                              "\n\t\x7f\xc3";
    const std::vector<std::string> seeds = {
        R"({"vdev":"hdc","format":"raw","readwrite":0,"is_cdrom":1,"a":{"b":[1,2.50,{}]}})",
        R"({"return": [{"label": "c0", "frontend-open": true}, null], "id": "q-1"})",
        R"([[],{},"",-0,0.5,[[["x"]]],{"a":{"a":{"a":"a"}}}])", object_of(12)};
    std::mt19937 random(20'261'130);
    std::size_t taken = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::string text = seeds[random() % seeds.size()];
        for (auto changes = random() % 4; changes > 0; --changes) {
            const std::size_t at = random() % text.size();
            const char byte = bytes[random() % bytes.size()];
            switch (random() % 3) {
            case 0:
                text[at] = byte;
                break;
            case 1:
                text.insert(at, 1, byte);
                break;
            default:
                text.erase(at, 1);
            }
        }
        const auto plain = minify_plain(text);
        if (!plain) continue;
        ++taken;
        ASSERT_EQ(plain, parsed(text)) << text;
    }
    EXPECT_GT(taken, 2'000U);
}

}  // namespace
}  // namespace xlstore
