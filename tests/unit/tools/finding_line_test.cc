// SPDX-License-Identifier: MIT
// One finding reads the same whether xlfsck prints it or it comes through the C interface.
#include "tools/common/finding_line.hpp"

#include <gtest/gtest.h>

#include "recovery/capi/finding.hpp"

namespace xlstore::tools {
namespace {

using recovery::Action;
using recovery::Code;
using recovery::Finding;

Finding found(Action action, std::string error = {})
{
    return Finding{Code::thing_unknown, 7,      {}, "domain 7 (web): device \"d\"",
                   "qemu/d",            action, std::move(error)};
}

constexpr const char* kStatement =
    "domain 7 (web): device \"d\": is in QEMU, and no entry says so (qemu/d)";

TEST(FindingLineTest, SaysWhatBecameOfIt)
{
    const std::string said = std::string(kStatement) + ".";
    EXPECT_EQ(finding_line(found(Action::none)), said);
    EXPECT_EQ(finding_line(found(Action::fixed)), said + "  ADOPTED.");
    EXPECT_EQ(finding_line(found(Action::left)), said + "  LEFT.");
    EXPECT_EQ(finding_line(found(Action::failed, "no space")), said + "  NOT REPAIRED: no space.");
}

TEST(FindingLineTest, IsTheSameThroughTheCInterface)
{
    for (const auto action : {Action::none, Action::fixed, Action::left, Action::failed}) {
        const auto finding = found(action, action == Action::failed ? "no space" : "");
        const capi::ToldFinding told(recovery::problem(finding.code), finding);
        EXPECT_EQ(finding_line(*told.get()), finding_line(finding));
    }
}

TEST(FindingLineTest, QuestionBeginsWithTheStatement)
{
    const recovery::Subject subject{"domain 7 (web): device \"d\"", "qemu/d", 7, {}};
    EXPECT_EQ(statement_of(recovery::problem(Code::thing_unknown), subject), kStatement);
    const recovery::Subject bare{"store.db", {}, {}, {}};
    EXPECT_EQ(statement_of(recovery::problem(Code::log_race), bare).find('('), std::string::npos);
}

}  // namespace
}  // namespace xlstore::tools
