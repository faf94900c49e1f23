// SPDX-License-Identifier: MIT
// What is on the pages shows their size where the header is wrong or lost.
#include "recovery/salvage/page_size.hpp"

#include <gtest/gtest.h>

#include "store/database/page_head.hpp"
#include "tests/support/plain_database.hpp"

namespace xlstore::recovery {
namespace {

using test::PlainDatabase;

class TrueSizeTest : public testing::TestWithParam<std::size_t> {};

TEST_P(TrueSizeTest, IsFoundUnderAnyHeader)
{
    PlainDatabase database(GetParam());
    database.fill(3000, 100);
    auto bytes = database.bytes();
    EXPECT_EQ(page_size_of(bytes, std::nullopt), GetParam());
    for (int told = 0; told < 256; told += 2) {
        bytes[16] = static_cast<char>(told);
        bytes[17] = 0;
        EXPECT_EQ(page_size_of(bytes, std::nullopt), GetParam()) << told;
    }
    bytes.replace(0, 512, std::string(512, '\0'));
    EXPECT_EQ(page_size_of(bytes, std::nullopt), GetParam());
}

TEST_P(TrueSizeTest, IsTheLogsWhichProvesItself)
{
    PlainDatabase database(512);
    database.fill(100, 100);
    EXPECT_EQ(page_size_of(database.bytes(), GetParam()), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Sizes, TrueSizeTest,
                         testing::Values(512, 1024, 2048, 4096, 8192, 16'384, 32'768, 65'536));

TEST(NoSizeTest, WithoutAWitnessIsThatOfEveryStore)
{
    EXPECT_EQ(page_size_of("", std::nullopt), kPageSize);
    EXPECT_EQ(page_size_of(std::string(100'000, '\0'), std::nullopt), kPageSize);
    EXPECT_EQ(page_size_of(test::noise(64, 1), std::nullopt), kPageSize);
}

}  // namespace
}  // namespace xlstore::recovery
