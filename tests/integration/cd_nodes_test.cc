// SPDX-License-Identifier: MIT
// The medium of a CD drive is in two primaries: QEMU's drive, and the nodes that libxl keeps in
// xenstore, which `xl list -l` and a PV front end read. QEMU and xenstored are real.
#include <map>

#include "tests/support/domain_test.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

constexpr const char* kBackend = "/local/domain/0/backend/qdisk/7/5632";
constexpr const char* kLibxl = "/libxl/7/device/vbd/5632";

class CdNodesTest : public DomainTest {
protected:
    void SetUp() override
    {
        XLSTORE_NEEDS_XENSTORED();
        daemon_ = std::make_unique<ScratchXenstored>(store_.directory() / "xenstored");
        // As `xl create` of Xen 4.17 left the domain of the document.
        const std::string vm = "/vm/" + domain_.material().uuid;
        tool().write("/libxl/7/type", "hvm");
        tool().write("/local/domain/7/name", "web");
        tool().write("/local/domain/7/vm", vm);
        tool().write(vm + "/uuid", domain_.material().uuid);
        tool().introduce(7);
        write_device("vbd", "51712", "qdisk",
                     {{"params", "qcow2:/srv/xen/web01.qcow2"}, {"type", "qdisk"}, {"dev", "xvda"},
                      {"mode", "w"}, {"device-type", "disk"}});
        write_device("vbd", "5632", "qdisk",
                     {{"params", "aio:" + domain_.image('a')}, {"type", "qdisk"}, {"dev", "hdc"},
                      {"mode", "r"}, {"device-type", "cdrom"}, {"removable", "1"}});
        write_device("vif", "0", "vif",
                     {{"mac", "00:16:3e:1a:2b:3c"}, {"bridge", "xenbr0"}, {"type", "vif"},
                      {"script", "/etc/xen/scripts/vif-bridge"}, {"hotplug-status", "connected"}});
    }
    /// In the three places in which libxl writes one.
    void write_device(const std::string& kind, const std::string& number, const std::string& back,
                      const std::map<std::string, std::string>& values)
    {
        const std::string note = "/libxl/7/device/" + kind + "/" + number;
        const std::string front = "/local/domain/7/device/" + kind + "/" + number;
        const std::string backend = "/local/domain/0/backend/" + back + "/7/" + number;
        tool().write(note + "/frontend", front);
        tool().write(note + "/backend", backend);
        tool().write(front + "/backend", backend);
        tool().write(front + "/state", "1");
        tool().write(backend + "/frontend", front);
        tool().write(backend + "/online", "1");
        tool().write(backend + "/state", "2");
        for (const auto& [name, value] : values) {
            tool().write(note + "/" + name, value);
            tool().write(backend + "/" + name, value);
        }
    }
    XenstoreTool& tool() { return daemon_->tool(); }
    Environment environment(const Environment& more = {}) const
    {
        Environment all = daemon_->environment();
        all.insert(more.begin(), more.end());
        return all;
    }
    Ran on_xen(const Words& words, const Environment& more = {})
    {
        return xl(words, environment(more));
    }
    Ran preened() { return xlfsck(store_.path(), {"-p"}, environment()); }
    /// What both nodes say; two values where they differ.
    std::string params()
    {
        const auto of_backend = tool().read(std::string(kBackend) + "/params").value_or("none");
        const auto of_libxl = tool().read(std::string(kLibxl) + "/params").value_or("none");
        return of_backend == of_libxl ? of_backend : of_backend + " " + of_libxl;
    }
    std::string in_drive() { return domain_.medium(); }
    /// What the nodes have to say of what is in the drive.
    std::string of_drive()
    {
        const auto medium = in_drive();
        return medium.empty() ? "" : "aio:" + medium.substr(medium.find('/'));
    }

    std::unique_ptr<ScratchXenstored> daemon_;
};

TEST_F(CdNodesTest, InsertAndEjectAreInBothPrimaries)
{
    ASSERT_TRUE(ended(on_xen({"insert", "7", "hdc", domain_.image('b')}), 0));
    EXPECT_EQ(params(), "aio:" + domain_.image('b'));
    EXPECT_EQ(tool().read(std::string(kBackend) + "/type"), "qdisk");
    ASSERT_TRUE(ended(on_xen({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(params(), "");
    EXPECT_EQ(entry("hdc"), "present");
    EXPECT_TRUE(all_is_settled());
}

// What libxl reads of QEMU's other things.
TEST_F(CdNodesTest, LibxlsNotesOfAControllerComeAndGoWithIt)
{
    const std::string note = "/libxl/7/device/vusb/1";
    ASSERT_TRUE(ended(on_xen({"attach", "7", "usbctrls", R"({"devid":1,"version":1})"}), 0));
    EXPECT_EQ(tool().read(note + "/type"), "devicemodel");
    EXPECT_EQ(tool().read(note + "/num-ports"), "2");
    EXPECT_EQ(tool().read(note + "/port/2"), "");
    const Ran asked = on_xen({"--timeout", "0.5", "detach", "7", "usbctrls", "1"});
    EXPECT_TRUE(ended(asked, 3));
    EXPECT_EQ(tool().read(note + "/type"), "devicemodel") << "the guest has it yet";
    ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
    EXPECT_TRUE(ended(on_xen({"--timeout", "20", "wait", "2"}), 0));
    EXPECT_EQ(tool().read(note + "/type"), std::nullopt);
    EXPECT_EQ(tool().read(note), std::nullopt);
}

// A host without Xen, or a drive that xenstore does not have.
TEST_F(CdNodesTest, WithoutNodesThePlanIsQemusAlone)
{
    const auto before = tool().dump();
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')},
                         {{"XENSTORED_PATH", store_.directory() / "none"}}),
                      0));
    EXPECT_EQ(tool().dump(), before);
    tool().remove(kLibxl);
    const auto without = tool().dump();
    ASSERT_TRUE(ended(on_xen({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(tool().dump(), without);
    EXPECT_EQ(in_drive(), "");
    EXPECT_TRUE(all_is_settled());
}

// Silence is no absence: nothing is changed before xenstore could be looked at.
TEST_F(CdNodesTest, ASilentXenstoredIsNotPassedOver)
{
    const auto rows = dump(store_.path());
    daemon_->stop();
    const Ran ran = on_xen({"--json", "--timeout", "1", "insert", "7", "hdc", domain_.image('b')});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(code(ran), "timeout") << ran.out;
    daemon_->resume();
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_TRUE(contains(in_drive(), domain_.image('a')));
    EXPECT_EQ(params(), "aio:" + domain_.image('a'));
}

// libxl's node is domain 0's alone; what it names is checked all the same before it is written to.
TEST_F(CdNodesTest, ABackEndThatCannotBeTheDrivesIsRefused)
{
    for (const char* path :
         {"/local/domain/0/backend/qdisk/8/5632", "/local/domain/0/backend/qdisk/7/768",
          "/local/domain/0/backend/vif/7/5632", "/vm/7/5632", "/local/domain/x/backend/qdisk/7/5632"}) {
        tool().write(std::string(kLibxl) + "/backend", path);
        const auto tree = tool().dump();
        const Ran ran = on_xen({"--json", "insert", "7", "hdc", domain_.image('b')});
        EXPECT_TRUE(ended(ran, 1)) << path;
        EXPECT_EQ(code(ran), "protocol") << ran.out;
        EXPECT_EQ(tool().dump(), tree);
    }
    EXPECT_TRUE(contains(in_drive(), domain_.image('a')));
    EXPECT_TRUE(all_is_settled());
}

// Killed behind each reply of QEMU's and before each commit: recovery settles both primaries.
TEST_F(CdNodesTest, RecoverySettlesBoth)
{
    for (const char* point : {"qmp.after_receive", "commit.before"}) {
        for (int passing = 1;; ++passing) {
            SCOPED_TRACE(std::string(point) + ":" + std::to_string(passing));
            const char which = contains(in_drive(), domain_.image('a')) ? 'b' : 'a';
            const Ran ran = on_xen({"insert", "7", "hdc", domain_.image(which)},
                                   {{"XLSTORE_CRASH_AT",
                                     std::string(point) + ":" + std::to_string(passing)}});
            if (ran.status == 0) {
                EXPECT_GT(passing, 1);
                break;
            }
            ASSERT_TRUE(ended(ran, kKilled));
            const Ran mended = preened();
            ASSERT_TRUE(mended.status == 0 || mended.status == 1) << mended.out << mended.err;
            ASSERT_EQ(params(), of_drive());
            ASSERT_TRUE(invariant_holds(store_.path(), domain_.judge()));
            ASSERT_LT(passing, 40);
        }
    }
    EXPECT_TRUE(all_is_settled());
}

// QEMU has the medium, and xenstored is gone: the intent stays open until it can be said there.
TEST_F(CdNodesTest, WhatXenstoreWasNotToldStaysOpen)
{
    // Past QEMU's last command, before the settle.
    const Ran killed = on_xen({"insert", "7", "hdc", domain_.image('b')},
                              {{"XLSTORE_CRASH_AT", "commit.before:3"}});
    ASSERT_TRUE(ended(killed, kKilled));
    for (const char* device : {kBackend, kLibxl})
        tool().write(std::string(device) + "/params", "");
    daemon_->stop();
    const Ran blind = xlfsck(store_.path(), {"-p", "--timeout", "1"}, environment());
    EXPECT_NE(blind.status, 0);
    EXPECT_TRUE(contains(blind.out, "xenstore")) << blind.out;
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "1");
    daemon_->resume();
    EXPECT_TRUE(ended(preened(), 1));
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_EQ(params(), of_drive());
}

}  // namespace
}  // namespace xlstore::test
