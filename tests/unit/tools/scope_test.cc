// SPDX-License-Identifier: MIT
// The command that puts a QEMU into a scope; what systemd does with it is tried where it runs.
#include "tools/xlstore/scope.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

using Words = std::vector<std::string>;

TEST(ScopeTest, GoesOnWithTheSameCommandWithoutItself)
{
    const auto words = scope_command({"xlstore", "create", "--scope", "7", "a b.json", "--", "qemu",
                                      "--scope"},
                                     "7", 42);
    const Words own = {"xlstore", "create", "7", "a b.json", "--", "qemu", "--scope"};
    ASSERT_GT(words.size(), own.size());
    EXPECT_EQ(Words(words.end() - static_cast<std::ptrdiff_t>(own.size()), words.end()), own)
        << "what is behind -- is QEMU's";
    EXPECT_EQ(words.front(), "systemd-run");
    EXPECT_NE(std::find(words.begin(), words.end(), "--unit=xlstore-7-42"), words.end());
    EXPECT_NE(std::find(words.begin(), words.end(), "--scope"), words.end());
}

}  // namespace
}  // namespace xlstore::tools
