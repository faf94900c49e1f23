// SPDX-License-Identifier: MIT
#include "tools/common/json_value.hpp"

#include <gtest/gtest.h>

#include "store/text/json_text.hpp"

namespace xlstore::tools {
namespace {

// As a row that was written by hand, a path, and the store itself may have it.
TEST(JsonValueTest, TextsThatAreNotUtf8AreRead)
{
    for (const std::string json : {R"({"path":"/a\udcff"})", "{\"path\":\"/a\xff\"}"})
        EXPECT_EQ(json_value(json)["path"], R"(/a\xff)");
    EXPECT_EQ(json_value(R"({"path":"\ud800"})")["path"], "\xef\xbf\xbd");
    EXPECT_THROW((void)json_value("{"), Json::exception);
}

TEST(JsonValueTest, AValueThatHoldsThemIsPrinted)
{
    EXPECT_EQ(json_text({{"path", "/a\xff"}}), "{\"path\":\"/a\xef\xbf\xbd\"}");
    testing::internal::CaptureStdout();
    print_json("{\"path\":\"/a\xff\"}");
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "{\"path\":\"/a\\udcff\"}\n");
}

TEST(JsonValueTest, NothingThatIsPrintedSteersATerminal)
{
    const std::string json = "{\"a\":\"\xc2\x9b \xe2\x80\xae \xf3\xa0\x80\x81 \x7f \xc3\xa9\"}";
    testing::internal::CaptureStdout();
    print_json(json);
    const auto printed = testing::internal::GetCapturedStdout();
    EXPECT_EQ(printed, "{\"a\":\"\\u009b \\u202e \\udb40\\udc01 \\u007f \xc3\xa9\"}\n");
    EXPECT_EQ(Json::parse(printed), Json::parse(json));
}

}  // namespace
}  // namespace xlstore::tools
