// SPDX-License-Identifier: MIT
// What is true in a forked child.
#ifndef XLSTORE_TESTS_SUPPORT_IN_CHILD_HPP_
#define XLSTORE_TESTS_SUPPORT_IN_CHILD_HPP_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace xlstore::test {

/// Runs `check` in a forked child; its result is the child's verdict.
template <class Check>
bool in_child(Check check)
{
    const pid_t child = fork();
    if (child == 0) _exit(check() ? 0 : 1);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_IN_CHILD_HPP_
