// SPDX-License-Identifier: MIT
// What --explain prints comes out of the manual page, whole and without its macros.
#include "tools/xlfsck/manual.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace xlstore::tools {
namespace {

TEST(ManualTest, LinesOfMacrosBecomePlainText)
{
    EXPECT_EQ(plain_line(".Dq the database is damaged ."), "\"the database is damaged\".");
    EXPECT_EQ(plain_line(".Pq QUARANTINED ."), "(QUARANTINED).");
    EXPECT_EQ(plain_line(".Em On no :"), "On no:");
    EXPECT_EQ(plain_line(".Fl -evict ."), "--evict.");
    EXPECT_EQ(plain_line(".Fl v ."), "-v.");
    EXPECT_EQ(plain_line(".Pa store.db.damaged- Ns Ar date"), "store.db.damaged-date");
    EXPECT_EQ(plain_line(".Xr xlstore 1 ,"), "xlstore(1),");
    EXPECT_EQ(plain_line(".Nm"), "xlfsck");
    EXPECT_EQ(plain_line(".Ql xlstore detach"), "'xlstore detach'");
    EXPECT_EQ(plain_line("A plain line, with \\&.dots."), "A plain line, with .dots.");
}

TEST(ManualTest, EveryProblemHasAnEntryWithItsMessage)
{
    for (const auto& about : recovery::problems()) {
        const auto entry = manual_entry(about.code, 10'000);
        EXPECT_EQ(entry.substr(0, entry.find('\n')),
                  std::to_string(static_cast<int>(about.code)) + " " + std::string(about.name));
        EXPECT_NE(entry.find("\"" + std::string(about.message) + "\"."), std::string::npos) << entry;
        EXPECT_TRUE(entry.find("Bit ") != std::string::npos ||
                    entry.find("No bit.") != std::string::npos)
            << entry;
        // A macro that is not known here would be left standing.
        for (const char* macro : {" Ns ", " Ar ", " Pa ", " Cm ", " Fl ", ".Pq", ".Dq", "\\&"})
            EXPECT_EQ(entry.find(macro), std::string::npos) << macro << "\n" << entry;
    }
}

TEST(ManualTest, EntriesAreWrapped)
{
    std::istringstream lines(manual_entry(recovery::Code::database_damaged, 60));
    for (std::string line; std::getline(lines, line);)
        EXPECT_LE(line.size(), 60U) << line;
}

}  // namespace
}  // namespace xlstore::tools
