// SPDX-License-Identifier: MIT
// The datagram that journald takes.
#include "tools/common/journal.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

TEST(JournalDatagramTest, HasAFieldALine)
{
    EXPECT_EQ(journal_datagram(5, "xlfsck", "settled",
                               {{"XLSTORE_CODE", "4002"}, {"XLSTORE_INTENT", ""}}),
              "PRIORITY=5\nSYSLOG_IDENTIFIER=xlfsck\nMESSAGE=settled\nXLSTORE_CODE=4002\n");
}

TEST(JournalDatagramTest, LineFeedMakesNoFieldOfItsOwn)
{
    const auto datagram = journal_datagram(5, "xlfsck", "a\nPRIORITY=0", {});
    EXPECT_EQ(datagram, std::string("PRIORITY=5\nSYSLOG_IDENTIFIER=xlfsck\nMESSAGE\n") +
                            std::string("\x0c\0\0\0\0\0\0\0", 8) + "a\nPRIORITY=0\n");
}

}  // namespace
}  // namespace xlstore::tools
