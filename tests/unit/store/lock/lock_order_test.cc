// SPDX-License-Identifier: MIT
#include "store/lock/lock_order.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

TEST(LockOrderTest, SectionsEndWithTheirScope)
{
    {
        const LockOrder::Section outer;
        const LockOrder::Section inner;
    }
    EXPECT_TRUE(LockOrder::may_take(LockKind::slow));
    EXPECT_TRUE(LockOrder::may_block());
}

}  // namespace
}  // namespace xlstore
