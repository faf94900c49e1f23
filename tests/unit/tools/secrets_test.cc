// SPDX-License-Identifier: MIT
// What leaves a host has no passwords in it, and is otherwise as it was.
#include "tools/common/secrets.hpp"

#include <gtest/gtest.h>

namespace xlstore::tools {
namespace {

TEST(SecretsTest, AreTakenOutOfDocuments)
{
    const auto safe = without_secrets(
        R"({"b_info":{"u":{"vnc":{"passwd":"hunter2","listen":"::"},"spice":{"passwd":"x"}}},)"
        R"("disks":[{"pdev_path":"https://me:hunter2@host/a.iso"}]})");
    EXPECT_EQ(safe.find("hunter2"), std::string::npos) << safe;
    EXPECT_EQ(safe,
              R"j({"b_info":{"u":{"vnc":{"passwd":"(removed)","listen":"::"},)j"
              R"j("spice":{"passwd":"(removed)"}}},)j"
              R"j("disks":[{"pdev_path":"https://me:(removed)@host/a.iso"}]})j");
}

TEST(SecretsTest, AreTakenOutOfCommandLinesAndPlans)
{
    EXPECT_EQ(without_secrets("-spice port=1,password=hunter2,addr=::1 -x"),
              "-spice port=1,password=(removed),addr=::1 -x");
    EXPECT_EQ(without_secrets("rbd:pool/image:id=admin:key=AQAB:mon=a"),
              "rbd:pool/image:id=admin:key=(removed):mon=a");
    const auto plan = without_secrets(
        R"([{"execute":"set_password","arguments":{"protocol":"vnc","password":"hunter2"}}])");
    EXPECT_EQ(plan.find("hunter2"), std::string::npos);
    EXPECT_NE(plan.find("set_password"), std::string::npos) << "what was done is told";
}

TEST(SecretsTest, WhatHasNoneStaysAsItIs)
{
    for (const char* text : {"", "plain", "{ \"a\" : 1.0e2 }", "[1,2, 3]", "a=b", "key=value",
                             "{\"passwd\":\"\"}", "{\"passwd\":null}", "{broken", "http://host:80/a"})
        EXPECT_EQ(without_secrets(text), text);
}

TEST(SecretsTest, OnceMoreChangesNothing)
{
    for (const char* text : {"{\"password\":\"a\"}", "password=a,b", "ftp://a:b@c/d"}) {
        const auto once = without_secrets(text);
        EXPECT_NE(once, text);
        EXPECT_EQ(without_secrets(once), once);
    }
}

}  // namespace
}  // namespace xlstore::tools
