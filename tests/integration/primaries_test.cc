// SPDX-License-Identifier: MIT
// Pass 5 of xlfsck: what is in QEMU against what the store says of it. Things come into QEMU
// without an entry the way they would in life: by a client at another monitor, or since an entry
// was lost.
#include <signal.h>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

class PrimariesTest : public DomainTest {
protected:
    void ask_qemu(const std::string& command, const std::string& arguments)
    {
        ASSERT_TRUE(contains(qmp(domain_.judge(), command, arguments), "\"return\""));
    }
    /// The entry is lost; its thing is not.
    void lose_entry(const std::string& key)
    {
        const auto store = store_.open();
        for (const char* change :
             {"UPDATE thing SET state = 'stale' WHERE key = ?",
              "DELETE FROM product WHERE thing = (SELECT id FROM thing WHERE key = ?)",
              "DELETE FROM thing WHERE key = ?"})
            store->db().prepare(change).bind(key).run();
    }
    std::string row_of(const std::string& key)
    {
        return cell(
            "SELECT class || ' ' || key || ' ' || state || ' ' || primary_at || ' ' || json || ' ' "
            "|| "
            "(SELECT coalesce(group_concat(kind || ':' || name), '') FROM product WHERE thing = "
            "thing.id) FROM thing WHERE key = '" +
            key + "'");
    }
    /// What is attached, and loses its entry, gets the same one again.
    void adopted_as_attached(const std::string& device_class, const std::string& key,
                             const std::string& json)
    {
        SCOPED_TRACE(json);
        ASSERT_TRUE(ended(xl({"attach", "7", device_class, json}), 0));
        const auto attached = row_of(key);
        lose_entry(key);
        ASSERT_EQ(row_of(key), "");
        const auto available = exported_vcpus();
        EXPECT_TRUE(ended(fsck({"-n"}), 4));
        EXPECT_EQ(row_of(key), "");
        const Ran ran = fsck({"-p"});
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_TRUE(contains(ran.out, "ADOPTED"));
        EXPECT_EQ(row_of(key), attached);
        EXPECT_EQ(exported_vcpus(), available);
        EXPECT_TRUE(all_is_settled());
    }
    std::string exported_vcpus()
    {
        return json_at(xl({"export", "7"}).out, "$.b_info.avail_vcpus");
    }
    void found(const Ran& ran, int status, const std::string& said)
    {
        EXPECT_TRUE(ended(ran, status));
        EXPECT_TRUE(contains(ran.out, said));
    }
};

TEST_F(PrimariesTest, UsbDeviceIsAdoptedAsAttachWouldHaveWrittenIt)
{
    adopted_as_attached("usbdevs", "0.2",
                        R"({"ctrl":0,"port":2,"type.emulated":{"driver":"usb-tablet"}})");
    EXPECT_TRUE(ended(xl({"detach", "7", "usbdevs", "0.2"}), 0));
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(PrimariesTest, UsbControllersAreAdoptedAsAttachWouldHaveWrittenThem)
{
    adopted_as_attached("usbctrls", "1", R"({"type":"devicemodel","devid":1,"version":1})");
    adopted_as_attached("usbctrls", "2", R"({"type":"devicemodel","devid":2,"version":2})");
    adopted_as_attached("usbctrls", "3",
                        R"({"type":"devicemodel","devid":3,"version":3,"ports":5})");
    const Ran asked = xl({"--json", "--timeout", "0.5", "detach", "7", "usbctrls", "3"});
    ASSERT_TRUE(ended(asked, 3));
    ask_qemu("system_reset", "");  // the firmware lets go
    EXPECT_TRUE(ended(xl({"--timeout", "20", "wait", json_at(asked.out, "$.error.intent")}), 0));
    EXPECT_EQ(entry("3"), "");
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0 xenusb-1 xenusb-2");
}

TEST_F(PrimariesTest, VcpuIsAdoptedAsAttachWouldHaveWrittenIt)
{
    const ScratchStore other;
    const ScratchDomain domain(other, 7, "web", {"-smp", "1,maxcpus=3"});
    ASSERT_TRUE(ended(xlstore(other.path(), {"attach", "7", "vcpus", R"({"index":2})"}), 0));
    const auto json = sql(other.path(), "SELECT json FROM thing WHERE class = 'vcpus'");
    const auto document = xlstore(other.path(), {"export", "7"}).out;
    {
        const auto store = other.open();
        for (const char* change :
             {"UPDATE thing SET state = 'stale' WHERE class = 'vcpus'", "DELETE FROM product",
              "DELETE FROM thing WHERE class = 'vcpus'",
              "UPDATE document_member SET text = json_remove(text, '$.avail_vcpus[2]') WHERE key = "
              "'b_info'"})
            store->db().prepare(change).run();
    }
    found(xlfsck(other.path(), {"-p"}), 1, "vcpus/2");
    EXPECT_EQ(sql(other.path(), "SELECT json FROM thing WHERE class = 'vcpus'"), json);
    EXPECT_EQ(xlstore(other.path(), {"export", "7"}).out, document);
    EXPECT_TRUE(ended(xlfsck(other.path(), {"-n"}), 0));
    // By its entry it is asked for; firmware without hotplug of processors makes QEMU refuse.
    const Ran ran = xlstore(other.path(), {"--json", "detach", "7", "vcpus", "2"});
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused");
    EXPECT_TRUE(contains(ran.out, "device_del"));
}

TEST_F(PrimariesTest, MediumIsAdoptedAsInsertWouldHaveWrittenIt)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    const auto inserted = row_of("hdc");
    ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    ask_qemu("blockdev-change-medium",
             R"({"id":"ide-5632","format":"raw","filename":")" + domain_.image('b') + "\"}");
    const auto rows = dump(store_.path());
    found(fsck({"-n"}), 4, "holds another medium");
    EXPECT_EQ(dump(store_.path()), rows);
    found(fsck({"-p"}), 1, "ADOPTED");
    EXPECT_EQ(row_of("hdc"), inserted);
    EXPECT_TRUE(all_is_settled());
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(domain_.medium(), "");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(PrimariesTest, MediumOfADriveWithoutEntryIsAdopted)
{
    lose_entry("hdc");
    found(fsck({"-n"}), 0, "");  // its medium is an initial one
    ask_qemu("blockdev-change-medium",
             R"({"id":"ide-5632","format":"raw","filename":")" + domain_.image('b') + "\"}");
    found(fsck({"-p"}), 1, "disks/hdc");
    EXPECT_EQ(cell("SELECT json FROM thing WHERE key = 'hdc'"),
              R"({"pdev_path":")" + domain_.image('b') +
                  R"(","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1})");
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(domain_.medium(), "");
    EXPECT_TRUE(all_is_settled());
}

// Who put a medium into a drive is told by rows that last, not by history, which is pruned.
TEST_F(PrimariesTest, AMediumThatCameBackIsAFindingWithoutHistoryToo)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    ask_qemu("blockdev-change-medium",  // the one that QEMU was started with
             R"({"id":"ide-5632","format":"raw","filename":")" + domain_.image('a') + "\"}");
    found(fsck({"-n"}), 4, "holds another medium");
    {
        const auto store = store_.open();
        store->db().prepare("UPDATE store SET history_pruned_below = 1000000").run();
        store->db().prepare("DELETE FROM history").run();
    }
    found(fsck({"-n"}), 4, "holds another medium");
    found(fsck({"-p"}), 1, "ADOPTED");
    EXPECT_TRUE(all_is_settled());
}

// R16: the name that a stale entry would have is another one's by now.
TEST_F(PrimariesTest, ANameThatAnotherEntryHasIsNotCountedForAStaleOne)
{
    const std::string id = "xenusb-emulated-0-2";
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet(id)}), 0));
    ask_qemu("device_del", R"({"id":")" + id + "\"}");
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(entry(id), "stale");
    ASSERT_TRUE(ended(xl({"attach", "7", "usbdevs",
                          R"({"ctrl":0,"port":2,"type.emulated":{"driver":"usb-tablet"}})"}),
                      0));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_TRUE(ended(fsck({"-y"}), 0));
    EXPECT_EQ(entry(id), "stale");
    EXPECT_EQ(entry("0.2"), "present");
}

TEST_F(PrimariesTest, MediumThatNoEntryCanNameIsReportedAndLeft)
{
    ask_qemu("blockdev-change-medium",
             R"({"id":"ide-5632","format":"raw","filename":"null-co://"})");
    const auto rows = dump(store_.path());
    found(fsck({"-p"}), 4, "none can be made for it");
    EXPECT_EQ(dump(store_.path()), rows);
}

TEST_F(PrimariesTest, EmptiedDriveMakesItsEntryStale)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    ask_qemu("eject", R"({"id":"ide-5632","force":true})");
    found(fsck({"-n"}), 4, "the drive is empty");
    found(fsck({"-p"}), 1, "STALE");
    EXPECT_EQ(entry("hdc"), "stale");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    // A client puts it back.
    ask_qemu("blockdev-change-medium",
             R"({"id":"ide-5632","format":"raw","filename":")" + domain_.image('b') + "\"}");
    found(fsck({"-p"}), 1, "PRESENT");
    EXPECT_EQ(entry("hdc"), "present");
    EXPECT_TRUE(all_is_settled());
}

// What libxl has no class for: one entry for all that belongs together, and one detach for it.
TEST_F(PrimariesTest, DeviceIsAdoptedWithAllThatItStandsOn)
{
    ask_qemu("blockdev-add",
             R"({"driver":"file","node-name":"below","filename":")" + domain_.image('b') + "\"}");
    ask_qemu("blockdev-add", R"({"driver":"raw","node-name":"above","file":"below"})");
    ask_qemu("device_add",
             R"({"driver":"usb-storage","id":"stick","drive":"above","bus":"xenusb-0.0"})");
    ask_qemu("chardev-add", R"({"id":"wire","backend":{"type":"null","data":{}}})");
    ask_qemu("device_add", R"({"driver":"piix3-usb-uhci","id":"slow"})");
    ask_qemu("device_add",
             R"({"driver":"usb-serial","id":"serial","chardev":"wire","bus":"slow.0"})");
    ask_qemu("object-add", R"({"qom-type":"rng-builtin","id":"dice"})");
    ask_qemu("device_add", R"({"driver":"virtio-rng-pci","id":"random","rng":"dice"})");
    ask_qemu("netdev_add", R"({"type":"hubport","hubid":3,"id":"cable"})");
    ask_qemu("device_add", R"({"driver":"usb-mouse","bus":"xenusb-0.0"})");
    found(fsck({"-p"}), 1, "ADOPTED");
    const auto products = [&](const std::string& key) {
        return cell(
            "SELECT group_concat(kind || ':' || name, ' ') FROM product p JOIN thing t ON "
            "t.id = p.thing WHERE t.class = 'qemu' AND t.key = '" +
            key + "'");
    };
    EXPECT_EQ(products("stick"), "device:stick node:above node:below");
    EXPECT_EQ(products("serial"), "chardev:wire device:serial");
    EXPECT_EQ(products("random"), "device:random object:dice");
    EXPECT_EQ(products("cable"), "netdev:cable");
    EXPECT_EQ(products("anonymous:device[0]"), "anonymous:device[0]");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    for (const char* key : {"stick", "serial", "cable", "anonymous:device[0]"})
        EXPECT_TRUE(ended(xl({"detach", "7", "qemu", key}), 0)) << key;
    EXPECT_EQ(domain_.devices(), "ide-5632 random slow xenusb-0");
    EXPECT_FALSE(contains(qmp(domain_.judge(), "query-named-block-nodes"), "below"));
    EXPECT_FALSE(contains(qmp(domain_.judge(), "query-chardev"), "wire"));
    EXPECT_FALSE(contains(
        qmp(domain_.judge(), "qom-list", R"({"path":"/machine/peripheral-anon"})"), "device[0]"));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    // What would make it again is not known.
    refused({"attach", "7", "qemu", cell("SELECT json FROM thing WHERE key = 'random'")}, 1,
            "invalid", "has no steps");
}

TEST_F(PrimariesTest, PartsOfWhatIsKnownAreNoStrangers)
{
    // The file below the image got a name from its user; the set and "#block…" from QEMU.
    const auto image = store_.directory() / "stick.raw";
    write_file(image, std::string(1024, '\0'));
    const std::string plan =
        R"({"key":"stick","steps":[{"execute":"blockdev-add","arguments":{"driver":"raw",)"
        R"("node-name":"mine","file":{"driver":"file","node-name":"inner","filename":")" +
        image +
        R"("}}},{"execute":"device_add","arguments":{"driver":"usb-storage","id":"stick",)"
        R"("drive":"mine","bus":"xenusb-0.0"}}]})";
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", plan}), 0));
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(PrimariesTest, EntryWhoseThingIsGoneBecomesStaleAndComesBack)
{
    const std::string thing = R"({"ctrl":0,"port":2,"type.emulated":{"driver":"usb-tablet"}})";
    ASSERT_TRUE(ended(xl({"attach", "7", "usbdevs", thing}), 0));
    ask_qemu("device_del", R"({"id":"xenusb-emulated-0-2"})");
    const auto rows = dump(store_.path());
    found(fsck({"-n"}), 4, "usbdevs/0.2");
    EXPECT_EQ(dump(store_.path()), rows);
    found(fsck({"-p"}), 1, "STALE");
    EXPECT_EQ(entry("0.2"), "stale");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    ask_qemu("device_add", R"({"driver":"usb-tablet","id":"xenusb-emulated-0-2",)"
                           R"("bus":"xenusb-0.0","port":"2"})");
    found(fsck({"-p"}), 1, "PRESENT");
    EXPECT_EQ(entry("0.2"), "present");
    EXPECT_TRUE(all_is_settled());
    // And a stale one does no harm (R16).
    ask_qemu("device_del", R"({"id":"xenusb-emulated-0-2"})");
    found(fsck({"-y"}), 1, "STALE");
    EXPECT_TRUE(ended(xl({"attach", "7", "usbdevs", thing}), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(PrimariesTest, PartOfAThingIsReportedAndADetachTakesOutTheRest)
{
    const std::string plan =
        R"({"key":"two","steps":[{"execute":"chardev-add","arguments":{"id":"wire",)"
        R"("backend":{"type":"null","data":{}}}},{"execute":"device_add","arguments":)"
        R"({"driver":"usb-serial","id":"serial","chardev":"wire","bus":"slow.0"}}]})";
    ask_qemu("device_add", R"({"driver":"piix3-usb-uhci","id":"slow"})");
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", plan}), 0));
    ask_qemu("device_del", R"({"id":"serial"})");
    found(fsck({"-p"}), 4, "only a part");
    EXPECT_EQ(entry("two"), "present");
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "two"}), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(PrimariesTest, EvictTakesOutWhatNoEntryKnows)
{
    ask_qemu("device_add", R"({"driver":"usb-tablet","id":"guest-tab","bus":"xenusb-0.0"})");
    ask_qemu("chardev-add", R"({"id":"wire","backend":{"type":"null","data":{}}})");
    ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    ask_qemu("blockdev-change-medium",
             R"({"id":"ide-5632","format":"raw","filename":")" + domain_.image('b') + "\"}");
    const auto rows = dump(store_.path());
    found(fsck({"-n", "--evict"}), 4, "guest-tab");
    EXPECT_TRUE(ended(fsck({"-p", "--evict"}), 16));
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_TRUE(contains(domain_.devices(), "guest-tab"));
    found(fsck({"-y", "--evict"}), 1, "TAKEN OUT");
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_EQ(domain_.medium(), "");
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'qemu'"), "0");
    EXPECT_TRUE(all_is_settled());
}

// A guest that does not let go: the entry stays, the request too, and an administrator must act.
TEST_F(PrimariesTest, EvictionThatNeedsTheGuestWaitsForIt)
{
    ask_qemu("device_add", R"({"driver":"e1000","id":"stray"})");
    found(fsck({"-y", "--evict", "--timeout", "1"}), 2, "asked, waiting for the guest");
    EXPECT_EQ(entry("stray"), "removing");
    ask_qemu("system_reset", "");
    EXPECT_TRUE(wait_until(std::chrono::seconds(20),
                           [&] { return domain_.devices() == "ide-5632 xenusb-0"; }));
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(entry("stray"), "");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(PrimariesTest, QemuThatDoesNotAnswerIsNotLookedInto)
{
    ask_qemu("device_add", R"({"driver":"usb-tablet","id":"tab","bus":"xenusb-0.0"})");
    kill(domain_.qemu_pid(), SIGSTOP);
    const auto rows = dump(store_.path());
    found(fsck({"-p", "--timeout", "0.3"}), 8, "could not be looked into");
    EXPECT_EQ(dump(store_.path()), rows);
    kill(domain_.qemu_pid(), SIGCONT);
    found(fsck({"-p"}), 1, "ADOPTED");
}

// Killed between the commits of its adoptions, the next one does the rest.
TEST_F(PrimariesTest, MayBeKilledBetweenAdoptions)
{
    for (const char* id : {"one", "two", "three"})
        ask_qemu("chardev-add",
                 R"({"id":")" + std::string(id) + R"(","backend":{"type":"null","data":{}}})");
    ASSERT_TRUE(ended(xlfsck(store_.path(), {"-p"}, crash_at("commit.before", 3)), kKilled));
    const auto adopted = cell("SELECT count(*) FROM thing WHERE class = 'qemu'");
    EXPECT_TRUE(adopted == "1" || adopted == "2") << adopted;
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'qemu'"), "3");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

}  // namespace
}  // namespace xlstore::test
