// SPDX-License-Identifier: MIT
// Documents as they come from a host: from libxl's own files, from a pipe, with what a file can
// hold besides; and back, byte for byte.
#include <sys/stat.h>

#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

class ImportTest : public testing::Test {
protected:
    Ran xl(const Words& words, const std::string& input = {})
    {
        return xlstore(store_.path(), words, {}, input);
    }
    std::string file(const std::string& name, const std::string& text)
    {
        const std::string path = store_.directory() / name;
        write_file(path, text);
        return path;
    }
    static std::string sample(const std::string& name)
    {
        return read_file(XLSTORE_SOURCE_DIR "/tests/unit/samples/" + name);
    }
    static std::string document(const std::string& name, char last_of_uuid,
                                const std::string& type = "hvm", const std::string& rest = "")
    {
        return R"({"c_info":{"type":")" + type + R"(","name":")" + name +
               R"(","uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c0)" + last_of_uuid +
               R"("},"b_info":{"type.)" + type + R"(":{}})" + rest + "}";
    }
    /// The error of a command that must change nothing.
    std::string refusal(Words words, const std::string& input = {})
    {
        const auto rows = dump(store_.path());
        words.insert(words.begin(), "--json");
        const Ran ran = xl(words, input);
        EXPECT_NE(ran.status, 0);
        EXPECT_EQ(dump(store_.path()), rows);
        return json_at(ran.out, "$.error.message");
    }
    void expect_clean()
    {
        EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n", "-f"}), 0));
    }

    ScratchStore store_;
};

TEST_F(ImportTest, StubOfXensOwnDomainComesBackAsItWas)
{
    const std::string stub = sample("dom0-stub.json");
    ASSERT_TRUE(ended(xl({"import", "0", file("stub", stub + '\0')}), 0));
    EXPECT_EQ(xl({"export", "0"}).out, stub);
    EXPECT_EQ(json_at(xl({"--json", "show", "domid:0"}).out, "$.name"), "Domain-0");
    EXPECT_TRUE(ended(xl({"show", "Domain-0"}), 0));
    // Xen writes the same for the domain of its xenstored.
    ASSERT_TRUE(ended(xl({"import", "1", file("stub", stub)}), 0));
    expect_clean();

    ASSERT_TRUE(ended(xl({"rename", "domid:1", "Xenstore"}), 0));
    EXPECT_EQ(json_at(xl({"export", "1"}).out, "$.c_info.name"), "Xenstore");
    expect_clean();
    ASSERT_TRUE(ended(xl({"destroy", "0"}), 0));
    EXPECT_EQ(xl({"export", "0", "--retired"}).out, stub);
}

TEST_F(ImportTest, CreationNeedsUuidAndName)
{
    EXPECT_TRUE(contains(refusal({"create", "7", file("stub", sample("dom0-stub.json")), "--", "true"}),
                         "c_info.uuid is missing"));
}

TEST_F(ImportTest, EachLayoutComesBackAlsoFromTheRetiredDocument)
{
    int domid = 10;
    for (const char* name : {"hvm-rich.json_c.json", "json-c-0.18.json", "pv.json"}) {
        const std::string text = sample(name);
        const auto word = "domid:" + std::to_string(domid);
        ASSERT_TRUE(ended(xl({"import", std::to_string(domid++), file("one", text), "--force"}), 0));
        EXPECT_EQ(xl({"export", word}).out, text) << name;
        ASSERT_TRUE(ended(xl({"destroy", word}), 0));
        EXPECT_EQ(xl({"export", word, "--retired"}).out, text) << name;
    }
}

TEST_F(ImportTest, TextBehindTheNulIsNotDropped)
{
    const std::string good = document("web", '1');
    const auto path = file("behind", good + '\0' + "{}");
    EXPECT_TRUE(contains(refusal({"import", "7", path}),
                         path + " has a NUL at byte " + std::to_string(good.size() + 1) +
                             ", and 2 more behind it"));
    EXPECT_TRUE(contains(refusal({"import", "7", file("two", good + '\0' + '\0')}), "1 more behind"));
    EXPECT_TRUE(contains(refusal({"import", "7", "-"}, good + '\0' + "x"), "standard input has a NUL"));
    ASSERT_TRUE(ended(xl({"import", "7", "-"}, good + '\0'), 0));
    EXPECT_TRUE(contains(refusal({"attach", "7", "qemu", "-"}, std::string("{\"key\":\"a\"}\0{}", 14)),
                         "has a NUL"));
}

TEST_F(ImportTest, WhatIsNoRegularFileIsNamed)
{
    const std::string fifo = store_.directory() / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_EQ(refusal({"import", "7", fifo}), fifo + " is a FIFO, no regular file");
    EXPECT_EQ(refusal({"import", "7", "/dev/zero"}), "/dev/zero is a device, no regular file");
    EXPECT_EQ(refusal({"create", "7", store_.directory().path(), "--", "true"}),
              store_.directory().path() + " is a directory, no regular file");
    const auto good = file("good", document("web", '1'));
    EXPECT_EQ(refusal({"import", "7", good, "--things", fifo}), fifo + " is a FIFO, no regular file");
    ASSERT_TRUE(ended(xl({"import", "7", good}), 0));
    EXPECT_EQ(refusal({"attach", "7", "qemu", "@" + fifo}), fifo + " is a FIFO, no regular file");
}

TEST_F(ImportTest, UuidOrNameOfAnotherLivingDomainIsRefused)
{
    ASSERT_TRUE(ended(xl({"import", "7", file("a", document("web", '1'))}), 0));
    EXPECT_TRUE(contains(refusal({"import", "8", file("b", document("db", '1'))}),
                         "domain 7 (web) has the uuid 8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"));
    EXPECT_TRUE(contains(refusal({"import", "8", file("b", document("web", '2'))}),
                         "domain 7 (web) has the name"));
    EXPECT_TRUE(ended(xl({"import", "8", file("b", document("web--incoming", '1')), "--force"}), 0));

    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    ASSERT_TRUE(ended(xl({"destroy", "8"}), 0));
    EXPECT_TRUE(ended(xl({"import", "9", file("b", document("web", '1'))}), 0)) << "they are over";
    // One that was preserved goes by another uuid, so that the one that follows it has its own.
    ASSERT_TRUE(ended(xl({"preserve", "9", "web-old", "--uuid",
                          "11111111-4b6e-4a51-9d3c-2f1e5a7b9c01"}),
                      0));
    EXPECT_TRUE(ended(xl({"import", "10", file("b", document("web", '1'))}), 0));
}

// The same rule as import has; while xl moves a domain within one host, its uuid is there twice.
TEST_F(ImportTest, CreationOfAnotherLivingDomainsUuidOrNameIsRefused)
{
    const auto creation = [&](const std::string& domid, const std::string& name, char uuid) {
        return Words{"create", domid, file("c", document(name, uuid, "pv")), "--no-qemu"};
    };
    ASSERT_TRUE(ended(xl(creation("7", "web", '1')), 0));
    for (const char* more : {"--no-qemu", "--"}) {
        auto words = creation("8", "db", '1');
        words.back() = more;
        if (words.back() == "--") words.emplace_back("true");
        EXPECT_TRUE(contains(refusal(words),
                             "domain 7 (web) has the uuid 8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"));
    }
    EXPECT_TRUE(contains(refusal(creation("8", "web", '2')), "domain 7 (web) has the name"));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));

    EXPECT_TRUE(ended(xl(creation("8", "web--incoming", '1')), 0));
    EXPECT_TRUE(contains(refusal(creation("9", "web--incoming", '1')),
                         "domain 8 (web--incoming) has"));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
    ASSERT_TRUE(ended(xl({"rename", "7", "web--migratedaway"}), 0));
    ASSERT_TRUE(ended(xl({"rename", "8", "web"}), 0));
    ASSERT_TRUE(ended(xl({"destroy", "domid:7"}), 0));
    EXPECT_TRUE(contains(refusal(creation("9", "other", '1')), "domain 8 (web) has the uuid"));
    ASSERT_TRUE(ended(xl({"destroy", "domid:8"}), 0));
    EXPECT_TRUE(ended(xl(creation("9", "web", '1')), 0)) << "they are over";
}

// A PV domain has what xenstore has; of an HVM domain nothing is settled before its QEMU was asked.
TEST_F(ImportTest, SettledDocumentOfAPvDomainNeedsNoQemu)
{
    const std::string rest = R"(,"disks":[{"pdev_path":"/a","vdev":"xvda"}])";
    ASSERT_TRUE(ended(xl({"import", "7", file("a", document("pv", '1', "pv", rest))}), 0));
    ASSERT_TRUE(ended(xl({"import", "8", file("b", document("pvh", '2', "pvh", rest))}), 0));
    ASSERT_TRUE(ended(xl({"import", "9", file("c", document("hvm", '3', "hvm", rest))}), 0));
    EXPECT_EQ(json_at(xl({"export", "7", "--settled", "--name", "there"}).out, "$.disks[0].vdev"),
              "xvda");
    EXPECT_EQ(xl({"export", "8", "--settled"}).out, xl({"export", "8"}).out);
    EXPECT_TRUE(contains(refusal({"export", "9", "--settled"}), "has no QEMU"));
}

TEST_F(ImportTest, PathThatIsNotUtf8ComesBackAsItWas)
{
    std::string text = sample("json-c-0.18.json");
    const std::string path = R"(\/srv\/xen\/web01.qcow2)";
    text.replace(text.find(path), path.size(), "\\/srv\\/\xff\xe4.qcow2");
    ASSERT_TRUE(ended(xl({"import", "7", file("a", text)}), 0));
    EXPECT_EQ(xl({"export", "7"}).out, text);
    EXPECT_EQ(sql(store_.path(), "SELECT json ->> '$.vdev' FROM thing WHERE json LIKE '%udcff%'"),
              "xvda");
    const Ran listed = xl({"--json", "things", "7"});
    EXPECT_EQ(json_at(listed.out, "$[0].key"), "xvda") << "it is JSON";
    expect_clean();
}

// A member that the library adds stands where libxl's own next write would put it.
TEST_F(ImportTest, NewMemberStandsAtItsPlace)
{
    const std::string uuid = R"("uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01")";
    ASSERT_TRUE(ended(
        xl({"import", "7",
            file("a", R"({"c_info":{"type":"pv",)" + uuid + R"(},"b_info":{"type.pv":{}}})")}),
        0));
    ASSERT_TRUE(ended(xl({"rename", "7", "web"}), 0));
    EXPECT_EQ(sql(store_.path(), "SELECT json FROM libxl_json"),
              R"({"c_info":{"type":"pv","name":"web",)" + uuid + R"(},"b_info":{"type.pv":{}}})");
}

}  // namespace
}  // namespace xlstore::test
