// SPDX-License-Identifier: MIT
// The command line of xlstore, taken apart.
#include <gtest/gtest.h>

#include <cstdlib>
#include <initializer_list>

#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {
namespace {

struct ParsedWords {
    std::optional<int> ended;
    Arguments arguments;
    std::string out;
    std::string err;
};

ParsedWords parse_words(std::vector<std::string> words)
{
    words.insert(words.begin(), "xlstore");
    std::vector<char*> pointers;
    for (auto& word : words)
        pointers.push_back(word.data());
    ParsedWords parsed;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    parsed.ended =
        parse_arguments(static_cast<int>(pointers.size()), pointers.data(), parsed.arguments);
    parsed.out = testing::internal::GetCapturedStdout();
    parsed.err = testing::internal::GetCapturedStderr();
    return parsed;
}

constexpr int kUsage = 2;

TEST(ArgumentsTest, VerbWordsAndOptions)
{
    const auto parsed =
        parse_words({"--store", "/s", "--json", "--timeout", "1.5", "insert", "7", "hdc", "/a b.iso"});
    ASSERT_FALSE(parsed.ended) << parsed.err;
    EXPECT_EQ(parsed.arguments.verb, "insert");
    EXPECT_EQ(parsed.arguments.store, "/s");
    EXPECT_TRUE(parsed.arguments.json);
    EXPECT_EQ(parsed.arguments.timeout_s, 1.5);
    EXPECT_EQ(parsed.arguments.words, (std::vector<std::string>{"7", "hdc", "/a b.iso"}));
}

TEST(ArgumentsTest, OptionsMayFollowTheVerb)
{
    const auto parsed = parse_words({"list", "--store", "/s", "--json"});
    ASSERT_FALSE(parsed.ended) << parsed.err;
    EXPECT_EQ(parsed.arguments.store, "/s");
    EXPECT_TRUE(parsed.arguments.json);
}

TEST(ArgumentsTest, AVerbsOwnOptionInFrontOfItIsNamed)
{
    for (const auto& words : {std::vector<std::string>{"--since", "2h", "history"},
                              std::vector<std::string>{"--store", "/s", "--since=2h", "history"},
                              std::vector<std::string>{"-x", "status"}}) {
        const auto parsed = parse_words(words);
        EXPECT_EQ(parsed.ended, kUsage);
        EXPECT_NE(parsed.err.find("\" is none of the options that stand before a verb"),
                  std::string::npos)
            << parsed.err;
    }
}

TEST(ArgumentsTest, StoreIsTheEnvironmentsUnlessItIsNamed)
{
    setenv("XLSTORE_DIR", "/from/environment", 1);
    EXPECT_EQ(parse_words({"list"}).arguments.store, "/from/environment");
    EXPECT_EQ(parse_words({"--store", "/s", "list"}).arguments.store, "/s");
    unsetenv("XLSTORE_DIR");
    EXPECT_EQ(parse_words({"list"}).arguments.store, "/var/lib/xlstore");
}

TEST(ArgumentsTest, QemusCommandIsNotRead)
{
    const auto parsed =
        parse_words({"create", "7", "c.json", "--", "qemu", "--json", "--", "-S", "--store"});
    ASSERT_FALSE(parsed.ended) << parsed.err;
    EXPECT_FALSE(parsed.arguments.json);
    EXPECT_EQ(parsed.arguments.words, (std::vector<std::string>{"7", "c.json"}));
    EXPECT_EQ(parsed.arguments.command,
              (std::vector<std::string>{"qemu", "--json", "--", "-S", "--store"}));
}

TEST(ArgumentsTest, OtherVerbsTakeNoCommand)
{
    const auto parsed = parse_words({"list", "--", "qemu"});
    EXPECT_EQ(parsed.ended, kUsage);
    EXPECT_NE(parsed.err.find("list does not take qemu"), std::string::npos) << parsed.err;
}

// What the parser has ideas of its own about comes through as it was.
TEST(ArgumentsTest, JsonAndDashAreWords)
{
    const std::string json = R"({"key": "tab", "steps": [{"a": 1}]})";
    for (const std::string& word :
         {json, std::string("-"), std::string("[{\"attach\": 1}]"), std::string("@file")}) {
        const auto parsed = parse_words({"attach", "7", "qemu", word});
        ASSERT_FALSE(parsed.ended) << word << ": " << parsed.err;
        EXPECT_EQ(parsed.arguments.words.back(), word);
    }
}

TEST(ArgumentsTest, NumberOfWordsIsTheVerbs)
{
    for (const auto& row : verbs()) {
        if (row.words_max == 0) continue;
        std::vector<std::string> words(static_cast<std::size_t>(row.words_max) + 1, "x");
        words.insert(words.begin(), row.name);
        EXPECT_EQ(parse_words(words).ended, kUsage) << row.name << ": one word too many";
        if (row.words_min == 0) continue;
        words.resize(static_cast<std::size_t>(row.words_min));
        EXPECT_EQ(parse_words(words).ended, kUsage) << row.name << ": one word too few";
    }
}

TEST(ArgumentsTest, WhatIsNotKnownIsUsage)
{
    EXPECT_EQ(parse_words({}).ended, kUsage);
    EXPECT_EQ(parse_words({"fetch"}).ended, kUsage);
    EXPECT_EQ(parse_words({"list", "--colour"}).ended, kUsage);
    EXPECT_EQ(parse_words({"--timeout", "soon", "list"}).ended, kUsage);
    EXPECT_EQ(parse_words({"--timeout", "-1", "list"}).ended, kUsage);
}

TEST(ArgumentsTest, OptionsThatNeedAnotherAreRefusedAlone)
{
    EXPECT_EQ(parse_words({"locks", "--force"}).ended, kUsage);
    EXPECT_EQ(parse_words({"export", "7", "--name", "web"}).ended, kUsage);
    EXPECT_EQ(parse_words({"register", "7"}).ended, kUsage) << "without --monitor";
    EXPECT_FALSE(parse_words({"locks", "--break", "7", "--force"}).ended);
    EXPECT_FALSE(parse_words({"export", "7", "--settled", "--name", "web"}).ended);
    EXPECT_FALSE(parse_words({"register", "7", "--monitor", "/m"}).ended);
}

TEST(ArgumentsTest, HelpIsNoError)
{
    const auto parsed = parse_words({"--help"});
    EXPECT_EQ(parsed.ended, 0);
    for (const auto& row : verbs())
        EXPECT_NE(parsed.out.find(row.name), std::string::npos) << row.name;
}

}  // namespace
}  // namespace xlstore::tools
