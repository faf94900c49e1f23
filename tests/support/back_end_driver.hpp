// SPDX-License-Identifier: MIT
// What the drivers of back ends do while a command runs: they answer states 1 and 5, as a kernel does.
#ifndef XLSTORE_TESTS_SUPPORT_BACK_END_DRIVER_HPP_
#define XLSTORE_TESTS_SUPPORT_BACK_END_DRIVER_HPP_

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {

/// `xlstore --json words…`, while the drivers of `backs` do their part. Both outputs are in `out`.
inline Ran run_with_drivers(const ScratchStore& store, XenstoreTool& tool,
                            const std::vector<std::string>& backs, const Words& words,
                            const Environment& environment = {})
{
    const std::string out = store.directory() / "out";
    Words all = {"sh",      "-c",         "out=$1; shift; exec \"$@\" >\"$out\" 2>&1",
                 "-",       out,          binary("xlstore"),
                 "--store", store.path(), "--json"};
    all.insert(all.end(), words.begin(), words.end());
    Child child(all, environment);
    EXPECT_TRUE(wait_until(std::chrono::seconds(60), [&] {
        for (const auto& back : backs) {
            const auto state = tool.read(back + "/state");
            if (state == "1") tool.write(back + "/state", "2");
            if (state == "5") tool.write(back + "/state", "6");
        }
        siginfo_t info{};
        return waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOWAIT | WNOHANG) ==
                   0 &&
               info.si_pid != 0;
    }));
    Ran ran;
    ran.status = child.wait();
    ran.out = read_file(out);
    return ran;
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_BACK_END_DRIVER_HPP_
