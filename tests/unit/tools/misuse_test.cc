// SPDX-License-Identifier: MIT
// What is wrong in a command line itself is said before anything is opened, with status 2.
#include <gtest/gtest.h>

#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {
namespace {

// "": it may be run. Else what is said.
std::string refusal_of(std::vector<std::string> words)
{
    words.insert(words.begin(), "xlstore");
    std::vector<char*> pointers;
    for (auto& word : words)
        pointers.push_back(word.data());
    Arguments arguments;
    testing::internal::CaptureStderr();
    const auto ended =
        parse_arguments(static_cast<int>(pointers.size()), pointers.data(), arguments);
    const auto said = testing::internal::GetCapturedStderr();
    if (!ended) return said;
    EXPECT_EQ(*ended, 2) << said;
    EXPECT_NE(said.find("--help'\n"), std::string::npos) << said;
    return said;
}

bool says(const std::string& said, const std::string& part)
{
    return said.find(part) != std::string::npos;
}

TEST(MisuseTest, TimesThatThereAreNot)
{
    for (const char* option : {"--since", "--until"})
        for (const char* word : {"2026-02-30", "@-5", "soon"}) {
            const auto said = refusal_of({"history", option, word});
            EXPECT_TRUE(says(said, "\"" + std::string(word) + "\" is no time, such as 2h")) << said;
        }
    EXPECT_TRUE(says(refusal_of({"history", "--since", "200000000d"}), "goes back to before 1970"));
    EXPECT_TRUE(
        says(refusal_of({"history", "--since", "1h", "--until", "2h"}), "is after --until 2h"));
    EXPECT_EQ(refusal_of({"history", "--since", "2h", "--until", "1h"}), "");
}

TEST(MisuseTest, AnEmptyWordNamesNoFile)
{
    const std::vector<std::vector<std::string>> cases = {{"backup", ""},
                                                         {"restore", ""},
                                                         {"bundle", ""},
                                                         {"bundle", "", "--show"},
                                                         {"import", "7", ""},
                                                         {"create", "7", "", "--", "qemu"},
                                                         {"insert", "7", "hdc", ""},
                                                         {"attach", "7", "qemu", "@"},
                                                         {"batch", "7", "@"}};
    for (const auto& words : cases)
        EXPECT_TRUE(says(refusal_of(words), words[0] + ": an empty word names no file"));
    EXPECT_EQ(refusal_of({"insert", "7", "hdc", "/a.iso"}), "");
}

TEST(MisuseTest, WhatAFormOfAVerbDoesNotTake)
{
    EXPECT_TRUE(says(refusal_of({"status", "--metrics", "--json"}), "which are no JSON"));
    EXPECT_TRUE(says(refusal_of({"undo", "aside:1", "7"}), "neither a domain nor --force"));
    EXPECT_TRUE(says(refusal_of({"undo", "aside:1", "--force"}), "neither a domain nor --force"));
    EXPECT_EQ(refusal_of({"undo", "aside:1", "--dry-run"}), "");
}

TEST(MisuseTest, FollowHasNoEndOfItsOwn)
{
    EXPECT_TRUE(says(refusal_of({"history", "--follow", "--until", "now"}), "give one of the two"));
    EXPECT_EQ(refusal_of({"history", "--follow", "--since", "1h"}), "");
}

TEST(MisuseTest, NumbersSayWhatTheyAreAndTheirRange)
{
    const struct {
        std::vector<std::string> words;
        std::string said;
    } cases[] = {
        {{"history", "--limit", "0"}, "--limit: \"0\" is not a number of lines, 1 to "},
        {{"timeline", "7", "--limit", "2x"}, "\"2x\" is not a number of lines"},
        {{"timeline", "--intent", "0"}, "\"0\" is not the number of an intent, 1 to "},
        {{"timeline", "--intent", "99999999999999999999"}, "is not the number of an intent"},
        {{"wait", "99999999999999999999"}, "is not the number of an intent"},
        {{"wait", "0"}, "is not the number of an intent"},
        {{"undo", "-1"}, "is not the number of a run"},
        {{"undo", "--", "aside:x"}, "is not the number of a run"},
        {{"prune", "--older-than", "36501"}, "is not a number of days, 0 to 36500"},
        {{"register", "7", "--monitor", "m", "--pid", "0"}, "\"0\" is not a process id"},
        {{"register", "7", "--monitor", "m", "--pid", "4294967297"}, "is not a process id"},
        {{"init", "--group", "4294967295"}, "is not a gid"},
        {{"rename", "7", "n", "--revision", "0x1"}, "is not a revision"},
        {{"--timeout", "nan", "list"}, "\"nan\" is not seconds, 0 to 1000000"},
        {{"--timeout", "-1", "list"}, "is not seconds"},
        {{"import", "-3", "f"}, ""},
        {{"import", "domid:x", "f"}, "\"domid:x\" is not a domid"},
        {{"destroy", "web", "--uuid", "u"}, "\"web\" is not a domid"},
        {{"create", "32752", "f", "--", "q"}, "\"32752\" is not a domid"},
        {{"import", "domid:32752", "f"}, "\"domid:32752\" is not a domid"},
        {{"destroy", "99999999999999", "--uuid", "u"}, "\"99999999999999\" is not a domid"},
    };
    for (const auto& [words, said] : cases)
        EXPECT_TRUE(says(refusal_of(words), said)) << words[0] << " " << refusal_of(words);
}

TEST(MisuseTest, AnEmptyValueIsNoValue)
{
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"history", "--since", ""},
          {"history", "--who", ""},
          {"timeline", "7", "--html", ""},
          {"--store", "", "list"},
          {"close", "7", "--reason", ""},
          {"export", "7", "--settled", "--things", ""}})
        EXPECT_TRUE(says(refusal_of(words), "its value is empty")) << words[0];
}

TEST(MisuseTest, WordsAndOptionsThatContradict)
{
    EXPECT_TRUE(says(refusal_of({"timeline"}), "of a domain"));
    EXPECT_TRUE(says(refusal_of({"timeline", "7", "--intent", "3"}), "or of an intent"));
    EXPECT_TRUE(says(refusal_of({"export", "7", "--things", "f"}), "without --settled"));
    EXPECT_TRUE(says(refusal_of({"status", "7", "--metrics"}), "is of all domains"));
    EXPECT_TRUE(says(refusal_of({"bridge", "look"}), "status, sync or write"));
    EXPECT_TRUE(says(refusal_of({"bridge", "write"}), "bridge write takes a domain"));
    EXPECT_TRUE(says(refusal_of({"prune", "histroy"}), "there is no kind"));
    EXPECT_TRUE(says(refusal_of({"history", "--class", "disk"}), "no device class \"disk\""));
    EXPECT_TRUE(says(refusal_of({"create", "7", "f"}), "no command was given"));
    EXPECT_TRUE(says(refusal_of({"soft-reset", "7"}), "no command was given"));
}

// "-" is standard input or output, or refused: never a file of that name.
TEST(MisuseTest, ADashIsNoFile)
{
    for (const std::vector<std::string>& words : {std::vector<std::string>{"backup", "-"},
                                                  {"restore", "-"},
                                                  {"insert", "7", "hdc", "-"},
                                                  {"export", "7", "--settled", "--things", "-"}})
        EXPECT_TRUE(says(refusal_of(words), "./- is a file of that name")) << words[0];
    EXPECT_TRUE(says(refusal_of({"--json", "bundle", "-"}), "both want standard output"));
    EXPECT_TRUE(
        says(refusal_of({"--json", "timeline", "7", "--html", "-"}), "both want standard output"));
    EXPECT_TRUE(says(refusal_of({"import", "7", "-", "--things", "-"}), "can be read once"));
    for (const std::vector<std::string>& words : {std::vector<std::string>{"bundle", "-"},
                                                  {"bundle", "-", "--show"},
                                                  {"sql", "-"},
                                                  {"timeline", "7", "--html", "-"},
                                                  {"import", "7", "-"},
                                                  {"backup", "./-"}})
        EXPECT_EQ(refusal_of(words), "") << words[0];
}

// The value of an option may be called as a verb is, or be a dash.
TEST(MisuseTest, ValuesOfOptionsAreTakenAsTheyAre)
{
    const auto reason_of = [](std::vector<std::string> words) {
        std::vector<char*> pointers;
        for (auto& word : words)
            pointers.push_back(word.data());
        Arguments arguments;
        EXPECT_FALSE(
            parse_arguments(static_cast<int>(pointers.size()), pointers.data(), arguments));
        return arguments.reason + arguments.html;
    };
    EXPECT_EQ(reason_of({"xlstore", "close", "7", "--reason", "upgrade"}), "upgrade");
    EXPECT_EQ(reason_of({"xlstore", "close", "7", "--reason", "{x}"}), "{x}");
    EXPECT_EQ(reason_of({"xlstore", "timeline", "7", "--html", "-"}), "-");
}

}  // namespace
}  // namespace xlstore::tools
