// SPDX-License-Identifier: MIT
// Values that many tests need alike.
#ifndef XLSTORE_TESTS_SUPPORT_VALUES_HPP_
#define XLSTORE_TESTS_SUPPORT_VALUES_HPP_

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>

#include "store/event/loop.hpp"

namespace xlstore::test {

inline constexpr const char* kUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01";
inline constexpr const char* kOtherUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c02";

inline Deadline in(Clock::duration time)
{
    return Clock::now() + time;
}

/// Far enough for what ends at once unless it hangs, on a loaded machine too.
inline Deadline soon()
{
    return in(std::chrono::seconds(60));
}

/// A file of tests/unit/samples.
inline std::string sample(const std::string& name)
{
    std::ifstream file(XLSTORE_SOURCE_DIR "/tests/unit/samples/" + name, std::ios::binary);
    EXPECT_TRUE(file) << name;
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
}

}  // namespace xlstore::test

#endif
