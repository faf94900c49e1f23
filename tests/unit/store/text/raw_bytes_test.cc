// SPDX-License-Identifier: MIT
#include "store/text/raw_bytes.hpp"

#include <gtest/gtest.h>

#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {
namespace {

std::string minified(std::string_view text)
{
    const auto result = json_minify(text, "x");
    return result ? *result : "refused: " + result.error().message;
}

TEST(RawBytes, AreEscapedEachByItself)
{
    EXPECT_EQ(minified("[\"\xff\"]"), R"(["\udcff"])");
    EXPECT_EQ(minified("[\"a\xc3(\xe2\x82\xac\xe2\x82\"]"), "[\"a\\udcc3(\xe2\x82\xac\\udce2\\udc82\"]");
    EXPECT_EQ(minified("[\"\xed\xa0\x80\"]"), R"(["\udced\udca0\udc80"])") << "a surrogate";
    EXPECT_EQ(minified("[\"\\\\\xff\"]"), R"(["\\\udcff"])");
}

TEST(RawBytes, ComeBackAsTheyWere)
{
    for (const char* content : {"\xff", "a\x80z", "\xc3", "\xf4\x90\x80\x80", "\xe2\x82 \xac", "\\\xff\""}) {
        const std::string text = json_quote(content);
        EXPECT_TRUE(is_utf8(text));
        EXPECT_EQ(minified(text), text) << "it is JSON, and stays as it is";
        EXPECT_EQ(json_decode_string(text), content);
        EXPECT_TRUE(holds_raw_bytes(text));
    }
    EXPECT_EQ(json_pretty("[\"\\udcff\"]", JsonLayout::yajl), "[\n    \"\xff\"\n]\n");
    EXPECT_EQ(json_pretty("[\"\\uDCFF\"]", JsonLayout::json_c), "[\n  \"\xff\"\n]");
}

TEST(RawBytes, NothingElseIsTakenForThem)
{
    for (const char* text : {R"("\ud83d\udcff")", R"("\\udcff")", R"("udcff")", R"("\u00ff")",
                             "\"\xc3\xbf\"", R"("\uf7ff")"}) {
        EXPECT_EQ(minified(text), text);
        EXPECT_FALSE(holds_raw_bytes(text)) << text;
        EXPECT_TRUE(is_utf8(json_decode_string(text))) << text;
    }
    for (const char* text : {"\xff", "[\xff]", "\"\\\xff\"", R"("\udc7f")", R"("\ud83d")",
                             R"("\udd80")", "{\"\xff\":1}", R"({"\udcff":1})"})
        EXPECT_TRUE(minified(text).starts_with("refused: ")) << text;
}

// nlohmann's parser, for one, refuses bytes that are not UTF-8, and lone surrogates too.
TEST(RawBytes, AreShownAsPlainTextShowsThem)
{
    EXPECT_EQ(with_raw_bytes_shown(R"(["/a\udcff\uDC80", "\\udcff"])"), R"(["/a\\xff\\x80", "\\udcff"])");
    EXPECT_EQ(with_raw_bytes_shown("[\"\xff\xc3(\"]"), R"(["\\xff\\xc3("])") << "as they came";
    EXPECT_EQ(with_raw_bytes_shown(R"(["\ud83d\udcff", "\ud83d", "\ud83d\ud83d\udcff", "\udd80"])"),
              R"(["\ud83d\udcff", "\ufffd", "\ufffd\ud83d\udcff", "\ufffd"])");
    for (const char* content : {"\xff", "a\x80z\xf4\x90\x80\x80", "\\\xff\"", "\\xff"})
        EXPECT_EQ(json_decode_string(with_raw_bytes_shown(json_quote(content))), plain_text(content, 100));
}

TEST(RawBytes, WhatQemuPrintsForThemMayBeThem)
{
    EXPECT_TRUE(may_be_printed_as("/a\xff.iso", "/a\xef\xbf\xbd.iso"));
    EXPECT_TRUE(may_be_printed_as("/a\xe2\x82.iso", "/a\xef\xbf\xbd.iso"));
    EXPECT_TRUE(may_be_printed_as("/a\xff\xff.iso", "/a\xef\xbf\xbd\xef\xbf\xbd.iso"));
    EXPECT_FALSE(may_be_printed_as("/a\xff.iso", "/b\xef\xbf\xbd.iso"));
    EXPECT_FALSE(may_be_printed_as("/a\xff.iso", "/a.iso"));
    EXPECT_TRUE(may_be_printed_as("/a.iso", "/a.iso"));
}

}  // namespace
}  // namespace xlstore
