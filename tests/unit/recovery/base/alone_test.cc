// SPDX-License-Identifier: MIT
// Who is in the way of a repair that has to be alone.
#include "recovery/base/alone.hpp"

#include <gtest/gtest.h>

#include "tests/support/scratch.hpp"

namespace xlstore::recovery {
namespace {

TEST(AloneTest, ProcessThatIsInItsOwnWayIsToldSo)
{
    const test::ScratchStore store;
    EXPECT_TRUE(be_alone(store.path(), Clock::now()));
    const auto open = store.open();
    const auto alone = be_alone(store.path(), Clock::now());
    ASSERT_FALSE(alone);
    EXPECT_EQ(alone.error().code, Errc::busy);
    EXPECT_EQ(alone.error().message, "this process itself has the store open");
    EXPECT_EQ(alone.error().advice.find("end these"), std::string::npos) << alone.error().advice;
}

}  // namespace
}  // namespace xlstore::recovery
