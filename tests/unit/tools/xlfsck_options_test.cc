// SPDX-License-Identifier: MIT
// The command line of xlfsck, as users of fsck(8) type it.
#include "tools/xlfsck/options.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace xlstore::tools {
namespace {

using recovery::Mode;

Parsed parse(std::vector<std::string> words)
{
    words.insert(words.begin(), "xlfsck");
    std::vector<char*> argv;
    for (auto& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    return parse_options(static_cast<int>(words.size()), argv.data());
}

Settings good(const std::vector<std::string>& words)
{
    auto parsed = parse(words);
    if (const auto* bad = std::get_if<BadUsage>(&parsed)) ADD_FAILURE() << bad->why;
    const auto* settings = std::get_if<Settings>(&parsed);
    EXPECT_TRUE(settings);
    return settings ? *settings : Settings();
}

std::string refused(const std::vector<std::string>& words)
{
    const auto parsed = parse(words);
    const auto* bad = std::get_if<BadUsage>(&parsed);
    return bad ? bad->why : "(taken)";
}

TEST(XlfsckOptionsTest, TakesALongOptionsValueBehindAnEqualSignOrAsTheNextWord)
{
    EXPECT_EQ(good({"--store=/a"}).store, "/a");
    EXPECT_EQ(good({"--store", "/a"}).store, "/a");
    EXPECT_EQ(good({"--timeout=2.5"}).timeout_s, 2.5);
    EXPECT_EQ(good({"--rebuild", "--userdata=/u"}).userdata, "/u");
}

TEST(XlfsckOptionsTest, AHostWithoutAStoreIsLookedAtUnlessARepairIsAskedFor)
{
    const auto looked = good({"--libxl", "--root=/r", "web"});
    EXPECT_TRUE(looked.libxl);
    EXPECT_EQ(looked.mode, Mode::look);
    EXPECT_EQ(looked.root, "/r");
    EXPECT_EQ(looked.domain, "web");
    EXPECT_EQ(good({"--libxl", "-p"}).mode, Mode::preen);
    EXPECT_EQ(good({"--libxl", "--undo", "/u"}).undo, "/u");
}

TEST(XlfsckOptionsTest, WhatBelongsToAStoreIsRefusedForAHostAndTheOtherWayRound)
{
    EXPECT_TRUE(good({"--libxl", "--store=/a"}).store_named);  // it is checked before
    for (const char* option : {"--evict", "--rebuild", "-f", "--root=r"})
        EXPECT_NE(refused({"--libxl", option}), "(taken)") << option;
    EXPECT_NE(refused({"--root=/r"}), "(taken)");
    EXPECT_NE(refused({"--undo=/u"}), "(taken)");
    EXPECT_NE(refused({"--libxl", "--undo=/u", "-y"}), "(taken)");
}

TEST(XlfsckOptionsTest, TakesALettersValueWithAndWithoutABlank)
{
    EXPECT_EQ(good({"-C0"}).progress_fd, 0);
    EXPECT_EQ(good({"-C", "5"}).progress_fd, 5);
    EXPECT_EQ(good({"-pC7"}).progress_fd, 7);
}

TEST(XlfsckOptionsTest, LettersMayStandTogether)
{
    const auto s = good({"-nfv"});
    EXPECT_EQ(s.mode, Mode::look);
    EXPECT_TRUE(s.whole);
    EXPECT_TRUE(s.verbose);
}

TEST(XlfsckOptionsTest, AIsPreenAsForFsck)
{
    EXPECT_EQ(good({"-a"}).mode, Mode::preen);
    EXPECT_EQ(good({"-a", "-p"}).mode, Mode::preen);
}

TEST(XlfsckOptionsTest, OptionsMayStandBehindTheDomain)
{
    const auto s = good({"web", "--verbose", "-n", "--json"});
    EXPECT_EQ(s.domain, "web");
    EXPECT_EQ(s.mode, Mode::look);
    EXPECT_TRUE(s.json);
    EXPECT_TRUE(s.verbose);
}

TEST(XlfsckOptionsTest, BehindTwoDashesIsTheDomain)
{
    EXPECT_EQ(good({"-n", "--", "-odd"}).domain, "-odd");
    EXPECT_EQ(good({"--", "--json"}).domain, "--json");
}

TEST(XlfsckOptionsTest, HelpAndVersionNeedNothingElse)
{
    for (const char* word : {"-h", "--help"})
        EXPECT_EQ(std::get<Instead>(parse({word})), Instead::help);
    for (const char* word : {"-V", "--version"})
        EXPECT_EQ(std::get<Instead>(parse({word})), Instead::version);
    EXPECT_EQ(std::get<Explain>(parse({"--explain=4002"})).what, "4002");
}

TEST(XlfsckOptionsTest, SaysWhatIsWrongInOneLine)
{
    EXPECT_EQ(refused({"-x"}), "unknown option -x");
    EXPECT_EQ(refused({"-nx"}), "unknown option -x");
    EXPECT_EQ(refused({"--nonsense"}), "unknown option --nonsense");
    EXPECT_EQ(refused({"--store"}), "--store needs a value");
    EXPECT_EQ(refused({"-C"}), "-C needs a value");
    for (const char* word : {"x", "-1", "1.0", "0x1", "1e2", ""})
        EXPECT_EQ(refused({"-C", word}),
                  "-C takes a descriptor's number, not \"" + std::string(word) + "\"");
    for (const char* word : {"soon", "nan", "-1", "0x10", "1e3", "1000001", ""})
        EXPECT_EQ(refused({"--timeout", word}),
                  "--timeout takes seconds, 0 to 1000000, not \"" + std::string(word) + "\"");
    EXPECT_EQ(refused({"--rebuild", "--userdata="}), "--userdata takes a directory");
    EXPECT_EQ(refused({"a", "b"}), "more than one domain was named");
    EXPECT_EQ(refused({"-n", "-y"}), "only one of -n, -p (or -a) and -y may be given");
    EXPECT_NE(refused({"-p", "--evict"}), "(taken)");
    EXPECT_NE(refused({"-a", "--rebuild"}), "(taken)");
    EXPECT_NE(refused({"--userdata=/u"}), "(taken)");
}

}  // namespace
}  // namespace xlstore::tools
