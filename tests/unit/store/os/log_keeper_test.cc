// SPDX-License-Identifier: MIT
// What a child prints is kept in a bounded file, its last words with it, and it is never held up.
#include "store/os/log_keeper.hpp"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <thread>

#include "store/os/spawn.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kKeeperLimit = 20s;
constexpr std::uintmax_t kBound = (512U << 10) + (64U << 10) + 200;

class LogKeeperTest : public testing::Test {
protected:
    /// Runs a shell script to its end; nothing of it is waited for but that.
    void run(const std::string& script)
    {
        auto child = start(script);
        ASSERT_TRUE(child);
        ASSERT_TRUE(test::wait_until(kKeeperLimit, [&] { return child->pidfd().dead(); }))
            << "it was held up";
        EXPECT_TRUE(child->reap_if_dead());
    }
    std::optional<WaitingChild> start(const std::string& script)
    {
        SpawnRequest request;
        request.argv = {"sh", "-c", script};
        request.log_path = log_;
        auto child = loop_.wait_for(spawn_waiting(loop_, request, Clock::now() + kKeeperLimit));
        if (!child) return std::nullopt;
        if (!loop_.wait_for(child->open_start_barrier(loop_, Clock::now() + kKeeperLimit)))
            return std::nullopt;
        return *std::move(child);
    }
    [[nodiscard]] std::string whole_log() const
    {
        EXPECT_TRUE(test::wait_until(kKeeperLimit, [&] { return log_is_complete(log_); }));
        return test::read_file(log_);
    }
    /// The processes whose standard output is the log.
    [[nodiscard]] std::vector<pid_t> keepers() const
    {
        std::vector<pid_t> pids;
        for (const auto& process : fs::directory_iterator("/proc")) {
            std::error_code error;
            if (fs::read_symlink(process.path() / "fd/1", error) == log_)
                pids.push_back(static_cast<pid_t>(std::stol(process.path().filename().string())));
        }
        return pids;
    }

    test::ScratchDirectory directory_;
    std::string log_ = directory_ / "log";
    Loop loop_;
};

TEST_F(LogKeeperTest, KeepsTheBeginningAndTheLastWordsAndSaysWhatItLeftOut)
{
    run("echo first words; head -c 700000 /dev/zero; echo; echo last words >&2");
    const auto text = whole_log();
    EXPECT_LE(text.size(), kBound);
    EXPECT_TRUE(text.starts_with("first words\n"));
    EXPECT_NE(text.find("[xlstore: this log is full"), std::string::npos);
    EXPECT_TRUE(text.ends_with("\nlast words\n")) << text.substr(text.size() - 40);
}

TEST_F(LogKeeperTest, AFullLogIsBegunAnewByTheNextProgram)
{
    run("head -c 600000 /dev/zero");
    (void)whole_log();
    run("echo again");
    EXPECT_TRUE(whole_log() == "again\n");
}

// The bound is the file's, over any number of programs.
TEST_F(LogKeeperTest, SeveralProgramsShareTheBound)
{
    for (int n = 0; n < 3; ++n) {
        run("head -c 400000 /dev/zero; echo; echo end " + std::to_string(n));
        const auto text = whole_log();
        EXPECT_LE(text.size(), kBound);
        EXPECT_TRUE(text.ends_with("\nend " + std::to_string(n) + "\n"));
    }
}

TEST_F(LogKeeperTest, WhatIsPrintedIsThereWhileTheProgramRuns)
{
    auto child = start("echo here; exec sleep 60");
    ASSERT_TRUE(child);
    EXPECT_TRUE(test::wait_until(kKeeperLimit, [&] { return test::read_file(log_) == "here\n"; }));
    EXPECT_FALSE(log_is_complete(log_));
    kill(child->pid(), SIGKILL);
    EXPECT_EQ(whole_log(), "here\n");
    EXPECT_TRUE(test::wait_until(kKeeperLimit, [&] { return keepers().empty(); }));
}

// Killed, it takes nothing with it but the output; stopped, it holds no writer up.
TEST_F(LogKeeperTest, AProgramIsHeldUpByNoKeeper)
{
    for (const int signal : {SIGSTOP, SIGKILL}) {
        const std::string go = directory_ / ("go" + std::to_string(signal));
        auto child =
            start("while [ ! -e " + go + " ]; do sleep 0.01; done; head -c 1000000 /dev/zero");
        ASSERT_TRUE(child);
        ASSERT_TRUE(test::wait_until(kKeeperLimit, [&] { return !keepers().empty(); }));
        const auto stopped = keepers();
        for (const pid_t keeper : stopped)
            kill(keeper, signal);
        test::write_file(go, "");
        EXPECT_TRUE(test::wait_until(kKeeperLimit, [&] { return child->pidfd().dead(); }))
            << "it was held up";
        for (const pid_t keeper : stopped)
            kill(keeper, SIGKILL);
    }
}

}  // namespace
}  // namespace xlstore
