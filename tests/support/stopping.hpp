// SPDX-License-Identifier: MIT
// A real command that is stopped on its way, so that others meet it there.
#ifndef XLSTORE_TESTS_SUPPORT_STOPPING_HPP_
#define XLSTORE_TESTS_SUPPORT_STOPPING_HPP_

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <string>

#include "tests/support/scratch.hpp"

namespace xlstore::test {

/// Waits until it has stopped; false: it came to its end instead.
[[nodiscard]] inline bool stops(const Child& child)
{
    siginfo_t info{};
    const bool known = wait_until(std::chrono::seconds(60), [&] {
        info.si_pid = 0;
        return waitid(P_PID, static_cast<id_t>(child.pid()), &info,
                      WSTOPPED | WEXITED | WNOWAIT | WNOHANG) == 0 &&
               info.si_pid != 0;
    });
    EXPECT_TRUE(known) << "it neither stopped nor ended";
    return known && info.si_code == CLD_STOPPED;
}

/// `xlstore --json words…`, which stops at its Nth passing of a crash point.
class Stopping {
public:
    Stopping(const ScratchStore& store, const Words& words, const std::string& point,
             int passing = 1)
        : out_(store.directory() / "stopping.out"),
          child_(command(store, words, out_),
                 {{"XLSTORE_STOP_AT", point + ":" + std::to_string(passing)}})
    {}
    /// Waits until it has stopped; false: it came to its end instead.
    [[nodiscard]] bool stopped() const { return stops(child_); }
    [[nodiscard]] std::string pid() const { return std::to_string(child_.pid()); }
    /// Lets it go on to its end.
    Ran finish()
    {
        child_.signal(SIGCONT);
        Ran ran;
        ran.status = child_.wait();
        ran.out = read_file(out_);
        return ran;
    }
    void kill()
    {
        child_.signal(SIGKILL);
        child_.wait();
    }

private:
    static Words command(const ScratchStore& store, const Words& words, const std::string& out)
    {
        Words all = {"sh",
                     "-c",
                     "exec \"$@\" > \"$0\"",
                     out,
                     binary("xlstore"),
                     "--store",
                     store.path(),
                     "--json",
                     "--timeout",
                     "120"};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }
    std::string out_;
    Child child_;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_STOPPING_HPP_
