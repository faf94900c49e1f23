// SPDX-License-Identifier: MIT
#include "tools/common/stderr_log.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

TEST(StderrLog, LineHasProgramAndLevelAndIsTakenAsItIs)
{
    const StderrLog log("xlstore");
    testing::internal::CaptureStderr();
    log(LogLevel::debug, "opened intent=1");
    log(LogLevel::warning, "ignoring {} %s");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "xlstore: debug: opened intent=1\nxlstore: warning: ignoring {} %s\n");
}

}  // namespace
}  // namespace xlstore::tools
