// SPDX-License-Identifier: MIT
// What history says of an edit: which members and things differ, and no value of any.
#include "store/model/document_changes.hpp"

#include <gtest/gtest.h>

namespace xlstore {
namespace {

DocumentMember member(const std::string& key, std::optional<std::string> text)
{
    return DocumentMember{0, key, "\"" + key + "\"", std::move(text)};
}

TEST(DocumentChangesTest, NamesTheMembersWhoseValuesDiffer)
{
    EXPECT_EQ(changed_members(R"({"a":1,"b":"x","c":[]})", R"({"c":[],"b":"y","d":null})"),
              "a, b, d");
    EXPECT_EQ(changed_members(R"({"a":1})", R"({"a":1})"), "");
}

TEST(DocumentChangesTest, SaysWhatIsNewWhatIsAnotherAndWhatGoes)
{
    DocumentChanges changes;
    changes.members({member("c_info", R"({"name":"a"})"), member("on_crash", "1"),
                     member("nics", std::nullopt), member("same", "2")},
                    {member("c_info", R"({"name":"b"})"), member("on_reboot", "1"),
                     member("disks", std::nullopt), member("same", "2")});
    changes.thing({"nics", "0"}, R"({"devid":0,"mac":"x"})", R"({"devid":0,"mac":"y"})");
    changes.thing({"nics", "1"}, std::nullopt, R"({"devid":1})");
    changes.thing({"vtpms", "0"}, R"({"devid":0})", std::nullopt);
    EXPECT_EQ(changes.text(),
              "changed c_info (name), nics/0 (mac); added on_reboot, nics/1; removed on_crash, "
              "vtpms/0");
}

TEST(DocumentChangesTest, SaysThatNothingChanged)
{
    DocumentChanges changes;
    changes.thing({"nics", "0"}, "{}", "{}");
    EXPECT_EQ(changes.text(), "nothing changed");
}

TEST(DocumentChangesTest, ShowsNoValue)
{
    DocumentChanges changes;
    changes.thing({"vfbs", "#0"}, R"({"vnc":{"passwd":"hunter2"}})",
                  R"({"vnc":{"passwd":"letmein"}})");
    changes.members({}, {member("b_info", R"({"spice":{"passwd":"sesame"}})")});
    for (const char* secret : {"hunter2", "letmein", "sesame"})
        EXPECT_EQ(changes.text().find(secret), std::string::npos) << changes.text();
}

TEST(DocumentChangesTest, QuotesNamesThatCouldSteerATerminal)
{
    EXPECT_EQ(changed_members("{}", "{\"a\\u001b[2J\":1}").find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace xlstore
