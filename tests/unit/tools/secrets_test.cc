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
    EXPECT_EQ(safe, R"j({"b_info":{"u":{"vnc":{"passwd":"(removed)","listen":"::"},)j"
                    R"j("spice":{"passwd":"(removed)"}}},)j"
                    R"j("disks":[{"pdev_path":"https://me:(removed)@host/a.iso"}]})j");
}

TEST(SecretsTest, AreTakenOutOfCommandLinesAndPlans)
{
    EXPECT_EQ(without_secrets("-spice port=1,password=hunter2,addr=::1 -x"),
              "-spice port=1,password=(removed),addr=::1 -x");
    EXPECT_EQ(without_secrets("iscsi://me%sesame@host/disk"), "iscsi://me%(removed)@host/disk");
    EXPECT_EQ(without_secrets("https://host/a?apikey=sesame"), "https://host/a?apikey=(removed)");
    EXPECT_EQ(without_secrets("rbd:pool/image:id=admin:key=AQAB:mon=a"),
              "rbd:pool/image:id=admin:key=(removed):mon=a");
    const auto plan = without_secrets(
        R"([{"execute":"set_password","arguments":{"protocol":"vnc","password":"hunter2"}}])");
    EXPECT_EQ(plan.find("hunter2"), std::string::npos);
    EXPECT_NE(plan.find("set_password"), std::string::npos) << "what was done is told";
}

TEST(SecretsTest, TheDataOfASecretObjectIsOne)
{
    for (const char* text :
         {R"({"qom-type":"secret","id":"a","data":"sesame"})",
          R"({"qom-type":"secret","id":"a","props":{"data":"sesame"}})",
          R"({"qom_type":"secret_keyring","data":"sesame"})",
          R"({"extra":["-object","secret,id=a,data=sesame"]})",
          R"(-object secret,id=a,data=sesame -x)", R"(-object qom-type=secret,data=sesame)",
          R"(-object '{"qom-type":"secret","data":"sesame"}' -x)",
          R"({"evidence":"sent {\"qom-type\":\"secret\",\"data\":\"sesame"})",
          R"({"arguments":{"data":"sesame","id":"masterKey0","qom-type":"secr)",
          R"("qom-type":"tls-creds-psk","dir":"k","data":"sesame")"}) {
        for (const auto place : {InPlace::mark, InPlace::null}) {
            const auto safe = without_secrets(text, place);
            EXPECT_EQ(safe.find("sesame"), std::string::npos) << safe;
            EXPECT_EQ(without_secrets(safe, place), safe);
        }
    }
    EXPECT_EQ(without_secrets(R"({"qom-type":"iothread","data":"a"})"),
              R"({"qom-type":"iothread","data":"a"})");
}

TEST(SecretsTest, EachUriLosesItsPassword)
{
    EXPECT_EQ(without_secrets("nbd://me:se/same@host/disk"), "nbd://me:(removed)@host/disk");
    EXPECT_EQ(without_secrets("from nbd://me:a@b/x to nbd://me:c@d/y"),
              "from nbd://me:(removed)@b/x to nbd://me:(removed)@d/y");
    EXPECT_EQ(without_secrets("from nbd://me:a@b/x to nbd://me:c@d/y", InPlace::null),
              "from nbd://b/x to nbd://d/y");
    for (const char* text :
         {"https://host:80/a@b", "https://[::1]:80/a@b", "https://host/a:b@c", "me@host"}) {
        EXPECT_EQ(without_secrets(text), text);
        EXPECT_EQ(without_secrets(text, InPlace::null), text);
    }
}

TEST(SecretsTest, JsonIsLookedForInsideOtherText)
{
    EXPECT_EQ(without_secrets(R"({"file":"json:{\"driver\":\"ssh\",\"password\":\"a\"}"})"),
              R"j({"file":"json:{\"driver\":\"ssh\",\"password\":\"(removed)\"}"})j");
    EXPECT_EQ(without_secrets(R"j(has "json:{"passwd":"a","n":1.0e2}", says {QEMU})j"),
              R"j(has "json:{"passwd":"(removed)","n":1.0e2}", says {QEMU})j");
    const auto cut = without_secrets(R"(json:{"driver":"ssh","password": "hunt)");
    EXPECT_EQ(cut.find("hunt"), std::string::npos) << "evidence may be cut off";
}

TEST(SecretsTest, ValuesEndWhereQemuEndsThem)
{
    EXPECT_EQ(without_secrets("port=1,password=a,,b:c;d,addr=::1"),
              "port=1,password=(removed),addr=::1");
    EXPECT_EQ(without_secrets("vncpasswd = 'a b'\n"), "vncpasswd = (removed)\n");
    EXPECT_EQ(without_secrets("http://host/a?token=abc&x=1"), "http://host/a?token=(removed)&x=1");
}

// Each with "sesame" in what is secret, and "open" in what is not.
TEST(SecretsTest, AreFoundInWhatWasCutOff)
{
    for (const char* text :
         {R"(open password="sesame)", R"(open, password='sesame x)",
          R"(open password="a\"sesame" open)", R"({"open":1,"passwd" : "sesame)",
          R"({"open":1,"passwd":"a\"sesame)", R"({"open":1,"passwords":["a","sesame)",
          R"({"open":1,"passwords":["sesame"],"x":"cu)",
          R"({"open":1,"password":{"plain":"sesame"},"x":"cu)",
          R"({"open":1,"secret":{"a":["sesame)", R"({"open":1,"tokens":[{"a":"x"},{"a":"sesame)",
          R"({"open":1,"evidence":"sent {\"passwd\": \"sesame)",
          R"({"open":1,"evidence":"sent {\"passwd\": \"a\\\"sesame\", \"x\": 1)",
          R"({"open":1,"evidence":"sent {\"passwords\": [\"sesame\"], \"x\": 1)",
          R"(open {"token":{"sesame":{"a":1}},"open":)"}) {
        for (const auto place : {InPlace::mark, InPlace::null}) {
            const auto safe = without_secrets(text, place);
            EXPECT_EQ(safe.find("sesame"), std::string::npos) << safe;
            EXPECT_NE(safe.find("open"), std::string::npos) << safe;
            EXPECT_EQ(without_secrets(safe, place), safe);
        }
    }
    EXPECT_EQ(without_secrets(R"({"passwd": "a\\", "b": "c)"),
              R"j({"passwd": "(removed)", "b": "c)j")
        << "the quote behind an escaped backslash closes";
    EXPECT_EQ(without_secrets(R"({"passwd":null,"token":false,"secret":"","b":"c)"),
              R"({"passwd":null,"token":false,"secret":"","b":"c)");
}

TEST(SecretsTest, AreFoundBehindWordsAndArguments)
{
    EXPECT_EQ(without_secrets("the password: sesame, not open"),
              "the password: (removed), not open");
    EXPECT_EQ(without_secrets("x --password sesame --open"), "x --password (removed) --open");
    EXPECT_EQ(without_secrets("x --password --open"), "x --password --open");
    EXPECT_EQ(without_secrets("x --password 'a b' open"), "x --password (removed) open");
    EXPECT_EQ(without_secrets(R"({"extra":["-vnc-password","sesame","open"]})"),
              R"j({"extra":["-vnc-password","(removed)","open"]})j");
    EXPECT_EQ(without_secrets(R"(["--token","--open","open"])"), R"(["--token","--open","open"])");
    EXPECT_EQ(without_secrets("RBD:pool/image:id=admin:key=AQAB:mon=a"),
              "RBD:pool/image:id=admin:key=(removed):mon=a");
    EXPECT_EQ(without_secrets("what a password is"), "what a password is");
    EXPECT_EQ(without_secrets("token://host/open"), "token://host/open");
}

TEST(SecretsTest, WhatIsImportedAgainHasNullForThem)
{
    EXPECT_EQ(without_secrets(R"({"vnc":{"passwd":"a","n":1.50},"token":7,"Private-Key":["a"]})",
                              InPlace::null),
              R"({"vnc":{"passwd":null,"n":1.50},"token":null,"Private-Key":null})");
    EXPECT_EQ(without_secrets("rbd:pool/a:key=AQ==:mon=a", InPlace::null),
              "rbd:pool/a:key=(removed):mon=a");
}

TEST(SecretsTest, AreFoundHoweverTheyAreSpelled)
{
    EXPECT_EQ(without_secrets(R"({"\u0070asswd":"a"})"), R"j({"\u0070asswd":"(removed)"})j");
    EXPECT_EQ(without_secrets(R"({"PassWord":"a"})"), R"j({"PassWord":"(removed)"})j");
    EXPECT_EQ(without_secrets("Api-Key=a"), "Api-Key=(removed)");
    EXPECT_EQ(without_secrets("\xc3\xa4 token=a"), "\xc3\xa4 token=(removed)");
}

TEST(SecretsTest, WhatHasNoneStaysAsItIs)
{
    for (const char* text :
         {"", "plain", "{ \"a\" : 1.0e2 }", "[1,2, 3]", "a=b", "key=value", "{\"passwd\":\"\"}",
          "{\"passwd\":null}", "{broken", "http://host:80/a"})
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
