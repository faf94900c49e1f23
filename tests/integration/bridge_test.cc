// SPDX-License-Identifier: MIT
// libxl's files and the store, each brought to the other: what may not be lost by it (more: fsck/bridge_test.py).
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>

#include <filesystem>
#include <memory>

#include "store/base/fd.hpp"
#include "store/core/domain.hpp"
#include "store/libxl/host_lock.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

constexpr const char* kBridgedUuid = "0badcafe-2222-4333-8444-555566667777";

class BridgeTest : public testing::Test {
protected:
    BridgeTest() { std::filesystem::create_directories(where_.lib()); }

    static std::string nic(int devid, const std::string& bridge)
    {
        return R"({"devid":)" + std::to_string(devid) + R"(,"mac":"00:16:3e:aa:bb:0)" +
               std::to_string(devid) + R"(","bridge":")" + bridge + R"("})";
    }
    static std::string document(const std::string& nics)
    {
        return R"({"c_info":{"type":"pv","name":"pv","uuid":")" + std::string(kBridgedUuid) +
               R"("},"b_info":{"type.pv":{}},"nics":[)" + nics + "]}";
    }
    void write_libxls(const std::string& text) { write_file(file_, text + '\0'); }
    Ran bridge(const Words& words)
    {
        Words all{"--json", "--timeout", "0.3", "bridge"};
        all.insert(all.end(), words.begin(), words.end());
        all.insert(all.end(), {"--root", root_});
        return xlstore(store_.path(), all);
    }
    /// What the store exports of it, each bridge in turn.
    std::string bridges()
    {
        const Ran ran = xlstore(store_.path(), {"export", "7"});
        return json_at(ran.out, "$.nics[0].bridge") + " " + json_at(ran.out, "$.nics[1].bridge");
    }

    ScratchStore store_;
    const std::string root_ = store_.directory() / "host";
    const libxl::HostDirectories where_{root_};
    const libxl::FileOwner domain_{7, kBridgedUuid};
    const std::string file_ = where_.document(domain_);
};

TEST_F(BridgeTest, WhatTheStoreLacksIsNotOverwritten)
{
    write_libxls(document(nic(0, "xenbr0")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    write_libxls(document(nic(0, "xenbr0") + "," + nic(1, "xenbr1")));
    const auto before = read_file(file_);
    const Ran refused = bridge({"write", "7"});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(json_at(refused.out, "$.error.message"), "nics/1, which the store lacks"));
    EXPECT_EQ(read_file(file_), before);
    // The way out that it names.
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    EXPECT_EQ(bridges(), "xenbr0 xenbr1");
    EXPECT_TRUE(ended(bridge({"write", "7"}), 0));
}

// A write that was killed behind its copy is asked for again.
TEST_F(BridgeTest, WhatIsWrittenOverIsKeptOnce)
{
    write_libxls(document(nic(0, "xenbr0")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    for (const auto* other : {"xenbr9", "xenbr9", "xenbr8"}) {
        write_libxls(document(nic(0, other)));
        EXPECT_TRUE(ended(bridge({"write", "7"}), 0));
    }
    EXPECT_EQ(
        sql(store_.path(), "SELECT group_concat(text ->> '$.nics[0].bridge', ' ') FROM set_aside"),
        "xenbr9 xenbr8");
}

TEST_F(BridgeTest, LibxlsLockIsKeptByBoth)
{
    write_libxls(document(nic(0, "xenbr0")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    write_libxls(document(nic(0, "xenbr1")));
    const auto before = read_file(file_);
    const std::string path = lock_path(where_, domain_, libxl::HostLockKind::document);
    const Fd held(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    ASSERT_EQ(flock(held.get(), LOCK_EX | LOCK_NB), 0);
    for (const auto& words : {Words{"sync"}, Words{"write", "7"}})
        EXPECT_TRUE(contains(bridge(words).out, "domain-userdata-lock is held by")) << words[0];
    EXPECT_EQ(bridges(), "xenbr0 ");
    EXPECT_EQ(read_file(file_), before);
    flock(held.get(), LOCK_UN);
    EXPECT_TRUE(ended(bridge({"sync"}), 0));
    EXPECT_EQ(bridges(), "xenbr1 ");
}

TEST_F(BridgeTest, OneDomainIsNamedInEitherWorld)
{
    write_libxls(document(nic(0, "xenbr0")));
    for (const auto& word : {"7", "pv", "domid:7", "name:pv", kBridgedUuid}) {
        const Ran status = bridge({"status", word});
        ASSERT_TRUE(ended(status, 0)) << word;
        EXPECT_EQ(json_at(status.out, "$.domains[0].name"), "pv") << status.out;
        EXPECT_EQ(json_at(status.out, "$.domains[0].in_store"), "0");
    }
    for (const auto& words : {Words{"status", "8"}, Words{"sync", "name:other"}}) {
        const Ran none = bridge(words);
        EXPECT_TRUE(ended(none, 4));
        EXPECT_TRUE(contains(none.out, "in the store, nor among the documents in " + where_.lib()));
    }
    const libxl::FileOwner other{7, "0badcafe-2222-4333-8444-555566667778"};
    write_file(where_.document(other), read_file(file_));
    EXPECT_TRUE(contains(bridge({"sync", "7"}).out, "fits several of libxl's documents"));
    std::filesystem::remove(where_.document(other));
    ASSERT_TRUE(ended(bridge({"sync", "7"}), 0));
    EXPECT_EQ(bridges(), "xenbr0 ");
}

// Of one domain its trouble is the error; of all of them the status tells.
TEST_F(BridgeTest, WhatCouldNotBeBroughtIsNotDone)
{
    write_libxls(document(nic(0, "xenbr0")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    write_libxls("{bad");
    const Ran one = bridge({"sync", "7"});
    EXPECT_TRUE(ended(one, 1));
    EXPECT_EQ(json_at(one.out, "$.error.code"), "invalid") << one.out;
    const Ran all = bridge({"sync"});
    EXPECT_TRUE(ended(all, 1));
    EXPECT_TRUE(contains(json_at(all.out, "$.domains[0].trouble"), "not valid JSON"));
    EXPECT_EQ(json_at(all.out, "$.domains[0].file"), file_) << "it is there";
    // The advice is that of what is wrong.
    write_libxls(R"({"c_info":{"name":"x","uuid":"0badcafe-2222-4333-8444-555566667778"}})");
    EXPECT_TRUE(contains(bridge({"write", "7"}).out, "xlfsck --libxl"));
    ASSERT_TRUE(ended(xlstore(store_.path(), {"destroy", "7"}), 0));
    EXPECT_TRUE(ended(bridge({"sync", "id:1"}), 4));
}

// What only QEMU can tell comes by recovery: sync would not help.
TEST_F(BridgeTest, AThingOfQemuThatTheStoreLacksHasAnotherWay)
{
    const std::string hvm = R"({"c_info":{"type":"hvm","name":"hvm","uuid":")" +
                            std::string(kBridgedUuid) +
                            R"("},"b_info":{"type.hvm":{}},"usbctrls":[)";
    write_libxls(hvm + "]}");
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    write_libxls(hvm + R"({"type":"devicemodel","devid":0,"version":2,"ports":6}]})");
    const Ran refused = bridge({"write", "7"});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(json_at(refused.out, "$.error.message"), "usbctrls/0"));
    EXPECT_TRUE(contains(json_at(refused.out, "$.error.advice"), "'xlstore recover'"));
}

// By hand: each command names it, answers in JSON, and writes no document that libxl cannot read.
TEST_F(BridgeTest, WhatIsDamagedIsNamed)
{
    write_libxls(document(nic(0, "xenbr0") + "," + nic(1, "xenbr1")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    const auto before = read_file(file_);
    {
        auto store = store_.open();
        store->db().execute("PRAGMA ignore_check_constraints = ON");
        store->db().execute("UPDATE thing SET json = '{bad' WHERE key = '1'");
    }
    const auto json = [&](Words words) {
        words.insert(words.begin(), "--json");
        return xlstore(store_.path(), words);
    };
    const Words writes{"bridge", "write", "7", "--root", root_};
    const Words settles{"export", "7", "--settled"};
    for (const auto& words : {writes, Words{"export", "7"}, settles}) {
        const Ran refused = json(words);
        EXPECT_TRUE(ended(refused, 1));
        EXPECT_EQ(json_at(refused.out, "$.error.code"), "store") << refused.out;
        EXPECT_TRUE(contains(refused.out, "domain 7 (pv): nics/1: its text is not valid JSON"));
        EXPECT_TRUE(contains(refused.out, "xlfsck -y"));
    }
    EXPECT_EQ(read_file(file_), before);
    const Ran things = json({"things", "7"});
    EXPECT_EQ(json_at(things.out, "$[0].json.bridge"), "xenbr0");
    EXPECT_EQ(json_at(things.out, "$[1].json"), "{bad");
    for (const auto& words : {Words{"things", "7"}, Words{"show", "7"}}) {
        const Ran shown = json(words);
        EXPECT_TRUE(ended(shown, 0));
        EXPECT_TRUE(contains(shown.err, "domain 7 (pv): nics/1 cannot be read; 'xlfsck -n'"));
        EXPECT_FALSE(json_at(shown.out, words[0] == "show" ? "$.state" : "$[0].state").empty());
    }
    EXPECT_EQ(json_at(json({"diff", "7"}).out, "$.things[1].thing"), "nics/1");
    EXPECT_TRUE(contains(json({"forget", "7", "nics/1"}).out, "its text cannot be read"));
    const Ran status = json({"bridge", "status", "--root", root_});
    EXPECT_EQ(json_at(status.out, "$.domains[0].differences[0].store"), "{bad");
    EXPECT_TRUE(contains(xlfsck(store_.path(), {"-y"}).out, "SAVED")) << "the way that they name";
    EXPECT_TRUE(ended(json({"export", "7"}), 0));
}

// R6: what is pending is its operation's own.
TEST_F(BridgeTest, WhatIsPendingStaysAsItIs)
{
    XLSTORE_NEEDS_XENSTORED();
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    daemon.tool().load("/libxl/7 = \"\" (n0)\n/libxl/7/device = \"\"\n/local/domain/7 = \"\" (n0,r7)\n"
                       "/local/domain/7/device = \"\" (n0,r7)\n/local/domain/7/vm = \"/vm/" +
                       std::string(kBridgedUuid) + "\"\n/local/domain/0/backend = \"\" (n0,r7)\n");
    daemon.tool().introduce(7);
    write_libxls(document(nic(0, "xenbr0")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    ASSERT_TRUE(ended(
        xlstore(store_.path(), {"attach", "7", "nics", nic(1, "xenbr1"), "--no-scripts"}), 0));
    ASSERT_TRUE(ended(xlstore(store_.path(), {"status", "-x"}), 0));
    ASSERT_TRUE(ended(xlstore(store_.path(), {"detach", "7", "nics", "1", "--no-scripts"},
                              crash_at("xenstore.after_commit")),
                      kKilled));
    const Ran status = xlstore(store_.path(), {"status", "-x"});
    EXPECT_TRUE(ended(status, 3)) << "it has no intent, and is open (R18)";
    EXPECT_TRUE(contains(status.out, "'xlstore detach 7 nics 1'")) << status.out;
    write_libxls(document(nic(0, "xenbr8") + "," + nic(1, "xenbr9")));
    const Ran synced = bridge({"sync"});
    unsetenv("XENSTORED_PATH");
    ASSERT_TRUE(ended(synced, 0));
    EXPECT_EQ(bridges(), "xenbr8 xenbr1");
    EXPECT_EQ(sql(store_.path(), "SELECT state FROM thing WHERE key = '1'"), "removing");
}

// What no finding tells of is as the entry says, where it was looked at.
TEST_F(BridgeTest, XenstoreBesideAProcessThatIsAtWorkThereIsNotSeen)
{
    XLSTORE_NEEDS_XENSTORED();
    ScratchXenstored daemon(store_.directory() / "xs");
    setenv("XENSTORED_PATH", daemon.socket().c_str(), 1);
    daemon.tool().introduce(7);
    write_libxls(document(nic(0, "xenbr0")));
    ASSERT_TRUE(ended(bridge({"sync"}), 0));
    const auto beside = store_.open();
    const auto id = find_domain(beside->db(), "7")->id;
    auto held = beside->locks().try_acquire(LockKind::fast, value_of(id));
    ASSERT_TRUE(held && *held);
    const Ran diff = xlstore(store_.path(), {"--json", "diff", "7"});
    const Ran look = xlfsck(store_.path(), {"-n"});
    held->reset();
    unsetenv("XENSTORED_PATH");
    EXPECT_EQ(json_at(diff.out, "$.things[0].thing"), "nics/0");
    EXPECT_EQ(json_at(diff.out, "$.things[0].xenstore"), "not seen") << diff.out;
    EXPECT_TRUE(contains(look.out, "domain 7 (pv): xenstore: a living process")) << look.out;
}

}  // namespace
}  // namespace xlstore::test
