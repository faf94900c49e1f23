// SPDX-License-Identifier: MIT
// What leaves a host has no passwords in it, and is otherwise as it was.
#include "tools/common/secrets.hpp"

#include <gtest/gtest.h>

#include "store/text/json_text.hpp"

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
    EXPECT_EQ(without_secrets("vncpasswd = 'a b'\n"), "vncpasswd = '(removed)'\n");
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
    EXPECT_EQ(without_secrets("x --password 'a b' open"), "x --password '(removed)' open");
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

// Each with "sesame" in what is secret, and "open" in what is not; JSON stays JSON.
void expect_clean(const std::string& text)
{
    for (const auto place : {InPlace::mark, InPlace::null}) {
        const auto safe = without_secrets(text, place);
        EXPECT_EQ(safe.find("sesame"), std::string::npos) << safe;
        EXPECT_NE(safe.find("open"), std::string::npos) << safe;
        EXPECT_EQ(without_secrets(safe, place), safe) << text;
        EXPECT_TRUE(!json_minify(text, "before") || json_minify(safe, "after")) << safe;
    }
}

TEST(SecretsTest, AnElementIsOneArgument)
{
    for (const char* text :
         {R"(["-spice","port=1,password=correct sesame horse,addr=open"])",
          R"(["-spice","port=1,password=ab'sesame\" x,addr=open"])",
          R"(["-spice","password=a,,b sesame,addr=open"])",
          R"(["encrypt.password=a sesame,b=open"])", R"(["secret,id=a,data=a sesame,format=open"])",
          R"(vfb = [ "type=vnc,vncpasswd=two sesame,x=open" )",
          R"(sent [\"-spice\",\"password=two sesame,x=open\" )", R"(["--password",7345,"open"])",
          R"(argv: ["--vnc-password","sesame","open"])", R"({"extra":["open","--pwd", "sesa"me)",
          R"(["type=11,value=io.systemd.credential:a=x sesame,b=open"])"})
        expect_clean(text);
    EXPECT_EQ(without_secrets(R"(["--password",7345])"), R"j(["--password","(removed)"])j");
    EXPECT_EQ(without_secrets(R"(x "--password",7345)"), R"j(x "--password","(removed)")j");
}

TEST(SecretsTest, BracketsMayBelongToAValue)
{
    for (const char* text :
         {"-spice password=a{}sesame,addr=open", R"(["-spice","password=a{}sesame,x=open"])",
          "-spice password={sesame},addr=open", R"(password={"a":"sesame"} open)",
          R"(open password={"a":"sesame)"})
        expect_clean(text);
}

TEST(SecretsTest, TheFirmwareIsGivenCredentials)
{
    for (const char* text : {"-smbios type=11,value=io.systemd.credential.binary:key=sesame -open",
                             "-fw_cfg name=opt/io.systemd.credentials/k,string=sesame -open"})
        expect_clean(text);
    EXPECT_EQ(without_secrets("-smbios type=11,value=a:b=c -secret x"),
              "-smbios type=11,value=a:b=c -secret (removed)");
}

TEST(SecretsTest, AreNamedByAnotherMember)
{
    for (const char* text :
         {R"({"device":"vnc","target":"password","arg":"sesame","x":"open"})",
          R"({"execute":"qom-set","a":{"path":"/open","property":"data","value":"sesame"}})",
          R"({"path":"/objects/open","property":"password","value":"sesame"})",
          R"({"node":"/local/domain/0/open/vfb/3/0/vncpasswd","value":"sesame"})",
          R"(["/local/domain/0/open/vfb/3/0/vncpasswd","sesame"])",
          R"({"domain":"open","key":"vnc_password","text":"\"sesame\""})"})
        expect_clean(text);
    EXPECT_EQ(without_secrets(R"({"key":"open","value":"secret","name":"a"})"),
              R"({"key":"open","value":"secret","name":"a"})");
}

TEST(SecretsTest, AreNamedApartFromTheirValue)
{
    EXPECT_EQ(without_secret_of("vnc_password", "\"sesame\""), "\"(removed)\"");
    EXPECT_EQ(without_secret_of("vnc_password", "[7]", InPlace::null), "null");
    EXPECT_EQ(without_secret_of("vnc_password", "ses"), "(removed)");
    for (const char* text : {"", "null", "true", "\"\""})
        EXPECT_EQ(without_secret_of("vnc_password", text), text);
    EXPECT_EQ(without_secret_of("args", "\"-pwd=a\""), "\"-pwd=(removed)\"");
}

TEST(SecretsTest, CommandsOfPeopleHaveThem)
{
    for (const char* text :
         {"set_password vnc sesame open", "set_password spice sesame open",
          "change vnc password sesame open", "x --password\tsesame open",
          R"({"open":1,"x":{"\u0070asswd":"sesame)",
          R"({"open":1,"x":"sent {\"\\u0070asswd\":\"sesame)", "u'passwd': u'sesame', 'open': 1",
          "passwd='sesame'/>open", "rbd:my pool/open:id=a:key=sesame:mon=b"})
        expect_clean(text);
}

TEST(SecretsTest, APasswordInAUriMayHaveAnything)
{
    for (const char* text :
         {R"(ftp://me:pa\sesame@open)", R"({"p":"ftp://me:pa\\sesame@open/x"})",
          R"({"a":"https://me:pass sesame@open/x"})", R"({"a":"https://me:ses\"sesame@open"})",
          "iscsi://me%ses/sesame@open/x", "nbd://x:y@z:sesame/q@open"})
        expect_clean(text);
    for (const char* text :
         {"ssh://root@host/x", R"(\"https://host:80\", a@b)", "(https://host:80), a@b"}) {
        EXPECT_EQ(without_secrets(text), text);
        EXPECT_EQ(without_secrets(text, InPlace::null), text);
    }
}

TEST(SecretsTest, JsonStaysJson)
{
    EXPECT_EQ(without_secrets(R"("qemu -pwd=\"x")"), R"j("qemu -pwd=\"(removed)")j");
    EXPECT_EQ(without_secrets(R"({"token":5,"token":6})"),
              R"j({"token":"(removed)","token":"(removed)"})j");
    EXPECT_EQ(without_secrets(R"({"token":5,"token":6})", InPlace::null),
              R"({"token":null,"token":null})");
    EXPECT_EQ(without_secrets(R"({"x":"{\"token\":5,\"token\":6}"})"),
              R"j({"x":"{\"token\":\"(removed)\",\"token\":\"(removed)\"}"})j");
}

TEST(SecretsTest, WhatIsTakenOutEndsWithTheObject)
{
    for (const char* text :
         {R"({"evidence":"sent {\"token\": {\"a\":\"sesame\"}, \"id\": \"open\"} x)",
          R"({"evidence":"sent {\"secret\": [\"sesame\"], \"id\": \"open)",
          R"({"evidence":"sent {\"secret\": [\"sesame","b":"open)"})
        expect_clean(text);
}

TEST(SecretsTest, WhatIsNoSecretStays)
{
    for (const char* text :
         {"refused set_password: GenericError: open", "inject-launch-secret: open",
          "device sec-token: it is open", "the secret: /srv/open.iso", "-vnc :1,password=on",
          R"(["-vnc",":1,password=off,x=a b"])", R"({"driver":"luks","key-secret":"sec0"})",
          "encrypt.key-secret=sec0,password-secret=sec0", "tls-creds-x509,id=t,passwordid=sec0",
          "PWD=/open", R"({"PWD":"/open"})", R"(["--password",null,"/a/secret","/b"])"})
        EXPECT_EQ(without_secrets(text), text);
    EXPECT_EQ(without_secrets("client-secret=a PWD=b"), "client-secret=(removed) PWD=(removed)");
    EXPECT_EQ(without_secrets("the secret: abc\nopen"), "the secret: (removed)\nopen");
}

// Where a byte of it is looked at again for each one before it, the limit of the test ends it.
TEST(SecretsTest, MuchTextIsLookedThroughOnce)
{
    constexpr std::size_t bytes = 200'000;
    const auto many = [](std::string_view of) {
        std::string text;
        while (text.size() < bytes)
            text += of;
        return text;
    };
    const auto token = std::string("a@b token ");
    for (const auto& text : {token + many(" "),
                             token + many("a="),
                             token + many("PWD=/"),
                             token + many("://"),
                             token + many("://a:b"),
                             token + many("://a:b "),
                             token + many("token:") + " x",
                             token + many("token: "),
                             token + many("a :"),
                             token + many("\\"),
                             token + many("a,"),
                             token + "password=" + many("\\\\a"),
                             token + '"' + many("a.b,") + '"',
                             token + many("\"token\":["),
                             token + many("{"),
                             token + many("[\""),
                             "rbd:" + many(":key ="),
                             token + "set_password" + many(" "),
                             token + many("\\u0070"),
                             many("pwd=\"pwd=\"")})
        EXPECT_LE(without_secrets(text).size(), 2 * text.size()) << text.substr(0, 20);
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
