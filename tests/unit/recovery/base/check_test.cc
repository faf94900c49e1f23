// SPDX-License-Identifier: MIT
// What a run counts, and in which order it tells what it found.
#include "recovery/base/check.hpp"

#include <gtest/gtest.h>

namespace xlstore::recovery {
namespace {

class CheckTest : public testing::Test {
protected:
    Check check(Mode mode)
    {
        Options options;
        options.mode = mode;
        options.found = [&](const Finding& f) { told_ += (told_.empty() ? "" : " ") + f.subject; };
        return Check(std::move(options));
    }
    static Subject about(const std::string& text, std::optional<std::int64_t> domid = {})
    {
        return Subject{text, {}, domid};
    }
    std::string told_;
};

TEST_F(CheckTest, NoteIsNoFinding)
{
    auto run = check(Mode::look);
    run.report(Code::log_race, about("SQLite"));
    run.report(Code::intent_owned, about("intent"));
    EXPECT_EQ(run.so_far().found, 0);
    EXPECT_EQ(run.so_far().notes, 2);
    EXPECT_EQ(run.so_far().exit_bits, 0U);
}

TEST_F(CheckTest, WhatCanBeRepairedIsAFindingWithABitOrWithout)
{
    auto run = check(Mode::look);
    EXPECT_FALSE(run.ask(Code::session_dead, about("session")));
    EXPECT_FALSE(run.ask(Code::qemu_dead, about("QEMU")));
    run.report(Code::intent_waits, about("guest"));
    EXPECT_EQ(run.so_far().found, 3);
    EXPECT_EQ(run.so_far().notes, 0);
}

TEST_F(CheckTest, FindingsOfADomainStayTogetherInTheOrderOfDomid)
{
    auto run = check(Mode::preen);
    run.report(Code::log_race, about("store"));
    run.gather();
    run.report(Code::intent_waits, about("9a", 9));
    run.report(Code::intent_waits, about("7a", 7));
    run.report(Code::intent_waits, about("9b", 9));
    run.report(Code::intent_waits, about("8a", 8));
    EXPECT_EQ(told_, "store");
    run.release(9);
    EXPECT_EQ(told_, "store 7a 8a");
    run.report(Code::intent_waits, about("9c", 9));
    run.release_all();
    EXPECT_EQ(told_, "store 7a 8a 9a 9b 9c");
    run.report(Code::intent_waits, about("3a", 3));
    EXPECT_EQ(told_, "store 7a 8a 9a 9b 9c 3a");
}

TEST_F(CheckTest, WhatAwaitsProofIsNeitherToldNorCountedUntilThen)
{
    auto run = check(Mode::look);
    run.report(Code::log_race, about("before"));
    run.await_proof();
    run.report(Code::entry_orphaned, about("row"));
    run.gather();
    run.report(Code::intent_waits, about("9", 9));
    EXPECT_EQ(told_, "before");
    auto found = run.unproved();
    EXPECT_EQ(run.so_far().found, 0);
    EXPECT_EQ(run.so_far().exit_bits, 0U);
    run.report(Code::index_damaged, about("proof", 3));
    EXPECT_EQ(told_, "before proof") << "what was gathered of rows is no matter of this one";
    run.proved(std::move(found));
    EXPECT_EQ(told_, "before proof row");
    run.report(Code::intent_waits, about("8", 8));
    run.release_all();
    EXPECT_EQ(told_, "before proof row 8 9");
    EXPECT_EQ(run.so_far().found, 4);
    EXPECT_EQ(run.so_far().notes, 1);
    EXPECT_EQ(run.so_far().exit_bits, 6U);
}

TEST_F(CheckTest, WhatCameOfAnAnswerIsToldAtOnce)
{
    auto run = check(Mode::ask);
    run.gather();
    run.fixed(Code::qemu_dead, about("9", 9));
    run.fixed(Code::qemu_dead, about("7", 7));
    EXPECT_EQ(told_, "9 7");
}

}  // namespace
}  // namespace xlstore::recovery
