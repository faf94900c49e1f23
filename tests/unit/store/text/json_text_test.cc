// SPDX-License-Identifier: MIT
#include "store/text/json_text.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>

#include "store/base/limits.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::sample;

using namespace std::string_literals;

std::string minify(std::string_view text)
{
    Result<std::string> result = json_minify(text, "document web.json");
    EXPECT_TRUE(result) << result.error().message;
    return result ? *std::move(result) : std::string();
}

/// The message with which `text` is refused; "accepted" if it is not.
std::string refusal(std::string_view text)
{
    const Result<std::string> result = json_minify(text, "web.json");
    if (result) return "accepted";
    EXPECT_EQ(result.error().code, Errc::invalid);
    return result.error().message;
}

bool contains(std::string_view text, std::string_view part)
{
    return text.find(part) != std::string_view::npos;
}

TEST(JsonText, MinifiesWithoutTouchingATokenOrWhiteSpaceInStrings)
{
    EXPECT_EQ(minify(" { \"a b\" : [ 1 ,\t\" x\\\" , \" ] ,\r\n\"\\u0063\":null } \n"),
              R"({"a b":[1," x\" , "],"\u0063":null})");
}

TEST(JsonText, KeepsTheSpellingOfNumbers)
{
    const std::string numbers =
        "[18446744073709551615,18446744073709551616,-9223372036854775809,1.50,1e2,1E+02,-0,-0.0,"
        "123456789012345678901234567890]";

    EXPECT_EQ(minify(numbers), numbers);
    EXPECT_TRUE(contains(json_pretty(numbers, JsonLayout::yajl), "    1.50,\n    1e2,\n"));
}

TEST(JsonText, MembersAreBounded)
{
    std::string members;
    for (std::size_t i = 0; i <= limits::json_members_max; ++i)
        members += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":0";
    EXPECT_TRUE(contains(refusal("{\n" + members + "}"), "more than 20000 members"));
    EXPECT_EQ(refusal("{" + members.substr(members.find(',') + 1) + "}"), "accepted");
}

TEST(JsonText, TakesAnyValueAtTheTop)
{
    for (const char* text : {"null", "true", "false", "0", "\"\"", "[]", "{}"})
        EXPECT_EQ(minify(text), text);
}

TEST(JsonText, NamesTheTextLineAndColumnOfAnError)
{
    EXPECT_EQ(
        refusal("{\n  \"a\": 1,\n  \"b\" 2\n}").rfind("web.json is not valid JSON at 3:7: ", 0),
        0u);
    EXPECT_EQ(refusal("").rfind("web.json is not valid JSON at 1:1: ", 0), 0u);
    EXPECT_EQ(refusal("[1,\n").rfind("web.json is not valid JSON at 2:1: ", 0), 0u);
    EXPECT_EQ(refusal("nul").rfind("web.json is not valid JSON at 1:4: ", 0), 0u);
}

TEST(JsonText, RefusesWhatRfc8259Refuses)
{
    for (const char* text :
         {"[1,]",    "{\"a\":1,}",  "{a:1}",    "'a'",   "01",      "1.",        ".5",
          "+1",      "NaN",         "Infinity", "[1] 2", "// x\n1", "/* x */ 1", "\"\t\"",
          "\"\\x\"", "\"\\u12g4\"", "tru",      "[",     "{\"a\"}", "\v1"})
        EXPECT_NE(refusal(text), "accepted") << text;
}

TEST(JsonText, RefusesANumberThatNoDoubleHolds)
{
    EXPECT_EQ(refusal("[1e999]").rfind("web.json is not valid JSON at 1:", 0), 0u);
    EXPECT_TRUE(contains(refusal("[1e999]"), "number out of range"));
}

TEST(JsonText, RefusesADuplicateKeyAndNamesIt)
{
    EXPECT_EQ(refusal("{\"a\":1,\n \"b\":{},\"a\":2}"),
              "web.json is not valid JSON at 2:9: duplicate key \"a\"");
    EXPECT_EQ(refusal(R"({"a":1,"\u0061":2})"),
              "web.json is not valid JSON at 1:8: duplicate key \"a\"");
    EXPECT_EQ(refusal(R"([{"x\"\\":1,"x\"\\":2}])"),
              R"(web.json is not valid JSON at 1:13: duplicate key "x\"\\")");
    EXPECT_EQ(minify(R"({"a":{"a":[{"a":1},{"a":1}]}})"), R"({"a":{"a":[{"a":1},{"a":1}]}})");
}

TEST(JsonText, KeepsErrorsShortAndPrintable)
{
    const std::string key = "\"\\u001b]\xC2\x9B\x7F" + std::string(100'000, 'k') + "\"";
    const std::string message = refusal("{" + key + ":1," + key + ":2}");
    EXPECT_LT(message.size(), 200u);
    EXPECT_TRUE(contains(message, R"("\u001B]\u009B\u007Fkkk)")) << message;

    EXPECT_LT(refusal("[\"" + std::string(100'000, 'x')).size(), 200u);
    EXPECT_FALSE(contains(refusal("[\"abc\xFF\"]"), "\xFF"));
}

TEST(JsonText, RefusesWhatIsNotUtf8ButInStrings)
{
    for (const char* text : {"\xFF", "[\xC0\xAF]", "{\"\xFF\":1}", "\"\\\xFF\""})
        EXPECT_NE(refusal(text), "accepted");
    EXPECT_EQ(minify("\"\xC3\xA9\xF0\x9F\x98\x80\""), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
}

TEST(JsonText, RefusesLoneSurrogates)
{
    for (const char* text : {R"("\ud83d")", R"("\ude00")", R"("\ud83dx")", R"("\ud83d\u0041")"})
        EXPECT_NE(refusal(text), "accepted") << text;
}

TEST(JsonText, RefusesAByteOrderMark)
{
    EXPECT_EQ(refusal("\xEF\xBB\xBF{}"),
              "web.json is not valid JSON at 1:1: a byte order mark stands before it");
}

// libxl stores strlen + 1 bytes.
TEST(JsonText, IgnoresOneNulAtTheEndAndNoOther)
{
    EXPECT_EQ(minify("{}\n\0"s), "{}");

    EXPECT_EQ(refusal("{}\n\0\0"s), "web.json is not valid JSON at 2:1: NUL byte");
    EXPECT_EQ(refusal("{}\0 "s), "web.json is not valid JSON at 1:3: NUL byte");
    EXPECT_EQ(refusal("\"a\0b\""s), "web.json is not valid JSON at 1:3: NUL byte");
    EXPECT_NE(refusal("\0"s), "accepted");
}

TEST(JsonText, RefusesMoreThanTheSizeLimit)
{
    EXPECT_TRUE(json_minify("[1,2]", "x", 5));
    EXPECT_TRUE(json_minify("[1,2]\0"s, "x", 5));
    const Result<std::string> refused = json_minify("[1, 2]", "thing x", 5);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "thing x is larger than 5 bytes");
    EXPECT_FALSE(json_minify(std::string(limits::document_bytes_max + 1, ' '), "x"));
}

TEST(JsonText, RefusesNestingBeyondTheLimitAtItsPlace)
{
    const std::size_t max = limits::json_depth_max;
    const std::string deepest = std::string(max, '[') + std::string(max, ']');
    EXPECT_EQ(minify(deepest), deepest);
    EXPECT_TRUE(json_equal(deepest, deepest));

    EXPECT_EQ(refusal(std::string(max + 1, '[') + std::string(max + 1, ']')),
              "web.json is not valid JSON at 1:65: nested deeper than 64 levels");
    std::string objects;
    for (std::size_t i = 0; i <= max; ++i)
        objects += "{\"a\":";
    EXPECT_TRUE(contains(refusal(objects), "nested deeper"));
}

TEST(JsonText, RefusesAbsurdNestingQuickly)
{
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(contains(refusal(std::string(100'000, '[')), "nested deeper"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
}

TEST(JsonText, RefusesASampleCutAtAnyLength)
{
    const std::string whole = sample("hvm-rich.json");
    const std::size_t last_bracket = whole.rfind('}');
    for (std::size_t size = 0; size <= last_bracket; ++size)
        EXPECT_FALSE(json_minify(std::string_view(whole).substr(0, size), "cut")) << size;
    EXPECT_TRUE(json_minify(std::string_view(whole).substr(0, last_bracket + 1), "cut"));
}

// What was not checked first may give nonsense, but is not read beyond its end (the sanitizers
// look on).
TEST(JsonText, StaysWithinTextThatWasNotChecked)
{
    const std::string whole = minify(sample("all-device-kinds.json")) + R"("\ud83d\ude00\"")";
    const auto use = [](const std::string& text) {
        (void)json_type(text);
        (void)json_members(text);
        (void)json_elements(text);
        (void)json_find(text, "nics");
        (void)json_decode_string(text);
        (void)json_integer(text);
        (void)json_without_member(text, "disks");
        (void)json_equal(text, text + " ");
        (void)json_pretty(text, JsonLayout::json_c);
        (void)json_detect_layout(text);
    };
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        use(whole.substr(0, cut));
        use(whole.substr(cut));
    }
    use(std::string(100'000, '['));
    for (const char* text :
         {"{\"", "{\"\\", "{\"a\"", "{\"a\":", "[,", "]", "\"\\u", "\"\\ud83d\""})
        use(text);
}

TEST(JsonText, TellsTypesApart)
{
    EXPECT_EQ(json_type("null"), JsonType::null);
    EXPECT_EQ(json_type("true"), JsonType::boolean);
    EXPECT_EQ(json_type("false"), JsonType::boolean);
    EXPECT_EQ(json_type("-1"), JsonType::number);
    EXPECT_EQ(json_type("\"1\""), JsonType::string);
    EXPECT_EQ(json_type("[1]"), JsonType::array);
    EXPECT_EQ(json_type("{}"), JsonType::object);
}

TEST(JsonText, CutsAnObjectIntoMembers)
{
    const std::string text = R"({"a":{"x":"},{"},"\u00e9\"":[1,[2]],"":-1.5,"s":"]\\"})";
    const std::vector<JsonMember> members = json_members(text);
    ASSERT_EQ(members.size(), 4u);
    EXPECT_EQ(members[0].key, "a");
    EXPECT_EQ(members[0].value, R"({"x":"},{"})");
    EXPECT_EQ(members[1].key, "\xC3\xA9\"");
    EXPECT_EQ(members[1].key_text, R"("\u00e9\"")");
    EXPECT_EQ(members[1].value, "[1,[2]]");
    EXPECT_EQ(members[2].key, "");
    EXPECT_EQ(members[2].value, "-1.5");
    EXPECT_EQ(members[3].value, R"("]\\")");

    EXPECT_TRUE(json_members("{}").empty());
    EXPECT_TRUE(json_members("[1]").empty());
}

TEST(JsonText, CutsAnArrayIntoElements)
{
    const std::string text = R"([1,"a,]",[],{"b":[2,3]},null])";
    EXPECT_EQ(json_elements(text),
              (std::vector<std::string_view>{"1", "\"a,]\"", "[]", "{\"b\":[2,3]}", "null"}));
    EXPECT_TRUE(json_elements("[]").empty());
    EXPECT_TRUE(json_elements("{}").empty());
}

TEST(JsonText, FindsAMemberByItsDecodedKeyOnThisLevelOnly)
{
    const std::string text = R"({"x":{"vdev":"no"},"v\u0064ev":"hdc","n":12,"s":"n"})";
    EXPECT_EQ(json_find(text, "vdev"), "\"hdc\"");
    EXPECT_EQ(json_find(text, "n"), "12");
    EXPECT_EQ(json_find(text, "hdc"), std::nullopt);
    EXPECT_EQ(json_find(text, "vde"), std::nullopt);
}

TEST(JsonText, GetsStringsAndIntegersOfTheRightTypeOnly)
{
    const std::string text = R"({"s":"a\/b","n":-7,"b":true,"z":null,"t":"7"})";
    EXPECT_EQ(json_get_string(text, "s"), "a/b");
    EXPECT_EQ(json_get_string(text, "n"), std::nullopt);
    EXPECT_EQ(json_get_string(text, "z"), std::nullopt);
    EXPECT_EQ(json_get_string(text, "absent"), std::nullopt);
    EXPECT_EQ(json_get_integer(text, "n"), -7);
    EXPECT_EQ(json_get_integer(text, "t"), std::nullopt);
    EXPECT_EQ(json_get_integer(text, "b"), std::nullopt);
    EXPECT_EQ(json_get_integer(text, "absent"), std::nullopt);
}

TEST(JsonText, ReadsIntegersThatFit)
{
    EXPECT_EQ(json_integer("9223372036854775807"), INT64_MAX);
    EXPECT_EQ(json_integer("-9223372036854775808"), INT64_MIN);
    EXPECT_EQ(json_integer("-0"), 0);
    for (const char* text : {"9223372036854775808", "1.0", "1e2", "\"1\"", "null", ""})
        EXPECT_EQ(json_integer(text), std::nullopt) << text;
}

TEST(JsonText, DecodesEveryEscape)
{
    EXPECT_EQ(json_decode_string(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
    EXPECT_EQ(json_decode_string(R"("\u0041\u00e9\u20AC\ud83d\ude00\uFFFF")"),
              "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xEF\xBF\xBF");
    EXPECT_EQ(json_decode_string(R"("\udbff\udfff|\ud800\udc00")"),
              "\xF4\x8F\xBF\xBF|\xF0\x90\x80\x80");
    EXPECT_EQ(json_decode_string(R"("\u007f\u0080\u07ff\u0800\ud7ff\ue000")"),
              "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80");
    EXPECT_EQ(json_decode_string(R"("a\u0000b")"), "a\0b"s);
    EXPECT_EQ(json_decode_string("\"\xC3\xA9\""), "\xC3\xA9");
    EXPECT_EQ(json_decode_string("\"\""), "");
}

TEST(JsonText, QuotesAsYajlDoes)
{
    EXPECT_EQ(json_quote("a/\"\\\b\f\n\r\t\x01\x1F\x7F\xC3\xA9\0"s),
              "\"a/\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001F\x7F\xC3\xA9\\u0000\"");
}

TEST(JsonText, ShowsTextBoundedAtACharacter)
{
    EXPECT_EQ(json_shown("a\nb"), R"("a\nb")");
    EXPECT_EQ(json_shown(std::string(64, 'x')), "\"" + std::string(64, 'x') + "\"");
    EXPECT_EQ(json_shown(std::string(63, 'x') + "\xC3\xA9"), "\"" + std::string(63, 'x') + "\"...");
}

TEST(JsonText, SetsAMemberInItsPlaceOrAtTheEnd)
{
    EXPECT_EQ(json_with_member(R"({"a":1,"\u0062":[2],"c":3})", "b", "{}"),
              R"({"a":1,"\u0062":{},"c":3})");
    EXPECT_EQ(json_with_member(R"({"a":1})", "a", "\"long\""), R"({"a":"long"})");
    EXPECT_EQ(json_with_member(R"({"a":1})", "b\"", "2"), R"({"a":1,"b\"":2})");
    EXPECT_EQ(json_with_member("{}", "b", "2"), R"({"b":2})");
}

TEST(JsonText, RemovesAMemberAndOneComma)
{
    const std::string text = R"({"a":1,"b":{"a":2},"c":3})";
    EXPECT_EQ(json_without_member(text, "a"), R"({"b":{"a":2},"c":3})");
    EXPECT_EQ(json_without_member(text, "b"), R"({"a":1,"c":3})");
    EXPECT_EQ(json_without_member(text, "c"), R"({"a":1,"b":{"a":2}})");
    EXPECT_EQ(json_without_member(R"({"a":1})", "a"), "{}");
    EXPECT_EQ(json_without_member(text, "d"), text);
}

TEST(JsonText, ComparesContentNotSpellingOfStringsNorOrderOfMembers)
{
    EXPECT_TRUE(json_equal(R"({"a":[1,"\u00e9"],"b":{"x":null,"y":"\/"}})",
                           "{\"b\":{\"y\":\"/\",\"x\":null},\"\\u0061\":[1,\"\xC3\xA9\"]}"));

    EXPECT_FALSE(json_equal("[1,2]", "[2,1]"));
    EXPECT_FALSE(json_equal("[1]", "[1,2]"));
    EXPECT_FALSE(json_equal("1", "1.0"));
    EXPECT_FALSE(json_equal("1", "\"1\""));
    EXPECT_FALSE(json_equal("true", "false"));
    EXPECT_FALSE(json_equal("{}", "[]"));
    EXPECT_FALSE(json_equal(R"({"a":1})", R"({"a":1,"b":2})"));
    EXPECT_FALSE(json_equal(R"({"a":1})", R"({"b":1})"));
    EXPECT_FALSE(json_equal(R"({"a":{"b":1}})", R"({"a":{"b":2}})"));
}

// The expectations of the next two were printed by yajl 2.1.0 (beautify, four spaces) and json-c
// 0.16 (JSON_C_TO_STRING_PRETTY).
constexpr const char* kOdd =
    R"({"":"","e":{},"a":[],"n":[[],{},[{}],[[1,2]]],)"
    R"("s\/l":"a/b\u0000\u0001\u001f\u007f\"\\\b\f\n\r\t\u00e9\ud83d\ude00","k\"\u001B":null,)"
    R"("t":[true,false,1.50,1e2,18446744073709551615]})";

TEST(JsonText, PrintsOddTextAsYajlDoes)
{
    EXPECT_EQ(json_pretty(kOdd, JsonLayout::yajl),
              "{\n"
              "    \"\": \"\",\n"
              "    \"e\": {\n"
              "\n"
              "    },\n"
              "    \"a\": [\n"
              "\n"
              "    ],\n"
              "    \"n\": [\n"
              "        [\n"
              "\n"
              "        ],\n"
              "        {\n"
              "\n"
              "        },\n"
              "        [\n"
              "            {\n"
              "\n"
              "            }\n"
              "        ],\n"
              "        [\n"
              "            [\n"
              "                1,\n"
              "                2\n"
              "            ]\n"
              "        ]\n"
              "    ],\n"
              "    \"s/l\": \"a/b\\u0000\\u0001\\u001F\x7F\\\"\\\\\\b\\f\\n\\r\\t"
              "\xC3\xA9\xF0\x9F\x98\x80\",\n"
              "    \"k\\\"\\u001B\": null,\n"
              "    \"t\": [\n"
              "        true,\n"
              "        false,\n"
              "        1.50,\n"
              "        1e2,\n"
              "        18446744073709551615\n"
              "    ]\n"
              "}\n");
    EXPECT_EQ(json_pretty("{}", JsonLayout::yajl), "{\n\n}\n");
    EXPECT_EQ(json_pretty("[]", JsonLayout::yajl), "[\n\n]\n");
    EXPECT_EQ(json_pretty("1", JsonLayout::yajl), "1\n");
}

TEST(JsonText, PrintsOddTextAsJsonCDoes)
{
    EXPECT_EQ(json_pretty(kOdd, JsonLayout::json_c),
              "{\n"
              "  \"\":\"\",\n"
              "  \"e\":{\n"
              "  },\n"
              "  \"a\":[\n"
              "  ],\n"
              "  \"n\":[\n"
              "    [\n"
              "    ],\n"
              "    {\n"
              "    },\n"
              "    [\n"
              "      {\n"
              "      }\n"
              "    ],\n"
              "    [\n"
              "      [\n"
              "        1,\n"
              "        2\n"
              "      ]\n"
              "    ]\n"
              "  ],\n"
              "  \"s\\/l\":\"a\\/b\\u0000\\u0001\\u001f\x7F\\\"\\\\\\b\\f\\n\\r\\t"
              "\xC3\xA9\xF0\x9F\x98\x80\",\n"
              "  \"k\\\"\\u001b\":null,\n"
              "  \"t\":[\n"
              "    true,\n"
              "    false,\n"
              "    1.50,\n"
              "    1e2,\n"
              "    18446744073709551615\n"
              "  ]\n"
              "}");
    EXPECT_EQ(json_pretty("{}", JsonLayout::json_c), "{\n}");
    EXPECT_EQ(json_pretty("[]", JsonLayout::json_c), "[\n]");
    EXPECT_EQ(json_pretty("1", JsonLayout::json_c), "1");
}

TEST(JsonText, DetectsTheLayout)
{
    EXPECT_EQ(json_detect_layout("{\n    \"a\": 1\n}\n"), JsonLayout::yajl);
    EXPECT_EQ(json_detect_layout("{\n  \"a\":1\n}"), JsonLayout::json_c);
    EXPECT_EQ(json_detect_layout("{\n  \"a\": 1\n}"), JsonLayout::yajl);
    EXPECT_EQ(json_detect_layout("{\n    \"a\":1\n}"), JsonLayout::yajl);
    EXPECT_EQ(json_detect_layout("{\"a\":1}"), JsonLayout::yajl);
    EXPECT_EQ(json_detect_layout(""), JsonLayout::yajl);
}

TEST(JsonText, TellsTheVersionsOfJsonCByWhatIsEmpty)
{
    EXPECT_EQ(json_detect_layout("{\n  \"a\":{\n  }\n}"), JsonLayout::json_c);
    EXPECT_EQ(json_detect_layout("{\n  \"a\":{}\n}"), JsonLayout::json_c_18);
    EXPECT_EQ(json_detect_layout("{\n  \"a\":[]\n}"), JsonLayout::json_c_18);
    EXPECT_EQ(json_detect_layout("{\n  \"a\":\"{}[]\\\"{}\"\n}"), JsonLayout::json_c)
        << "in a string";
    for (const JsonLayout layout :
         {JsonLayout::yajl, JsonLayout::json_c, JsonLayout::json_c_18}) {
        EXPECT_EQ(layout_of(layout_name(layout), layout_is_tight(layout)), layout);
        const std::string text = json_pretty(R"({"a":{},"b":{"c":[]}})", layout);
        EXPECT_EQ(json_detect_layout(text), layout) << text;
        EXPECT_EQ(json_pretty(minify(text), layout), text);
    }
    EXPECT_EQ(json_pretty(R"({"a":{},"b":[],"c":[{}]})", JsonLayout::json_c_18),
              "{\n  \"a\":{},\n  \"b\":[],\n  \"c\":[\n    {}\n  ]\n}");
}

class SampleText : public testing::TestWithParam<const char*> {};

TEST_P(SampleText, ComesBackByteForByte)
{
    std::string source = sample(GetParam());
    const std::string printed = json_pretty(minify(source), json_detect_layout(source));
    if (source.back() == '\0') source.pop_back();
    EXPECT_EQ(printed, source);
}

INSTANTIATE_TEST_SUITE_P(JsonText, SampleText,
                         testing::Values("all-device-kinds.json", "all-device-kinds.json_c.json",
                                         "dom0-stub.json", "hvm-rich.after-hotplug.json",
                                         "hvm-rich.after-hotplug.on-disk.raw", "hvm-rich.json",
                                         "hvm-rich.json_c.json", "json-c-0.18.json", "pv.json",
                                         "pvh-60-disks.json", "pvh-minimal.json", "real-hvm.raw",
                                         "real-pv.raw", "xl-named-pci.json", "xl-pv-qusb.json",
                                         "xl-usbctrl-auto.json"));

TEST(JsonText, FindsTheTwoLibrariesPrintsEqual)
{
    EXPECT_TRUE(json_equal(minify(sample("all-device-kinds.json")),
                           minify(sample("all-device-kinds.json_c.json"))));
    EXPECT_EQ(json_pretty(minify(sample("hvm-rich.json")), JsonLayout::json_c),
              sample("hvm-rich.json_c.json"));
    EXPECT_FALSE(
        json_equal(minify(sample("hvm-rich.json")), minify(sample("hvm-rich.after-hotplug.json"))));
}

}  // namespace
}  // namespace xlstore
