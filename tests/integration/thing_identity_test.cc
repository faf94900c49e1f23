// SPDX-License-Identifier: MIT
// A thing is its class and key; what it is made of in QEMU is not (R16). A second image of a thing
// that is there, an add that fails over an entry, stale entries, things of several devices.
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

/// A thing of class qemu with that key, and the steps of another.
std::string called(const std::string& key, std::string thing, const std::string& id)
{
    const std::string from = R"("key":")" + id + "\"";
    const auto at = thing.find(from);
    EXPECT_NE(at, std::string::npos) << thing;
    return thing.replace(at, from.size(), R"("key":")" + key + "\"");
}

std::string two_rngs()
{
    return R"({"key":"pair","steps":[)"
           R"({"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":"rng1"}},)"
           R"({"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":"rng2"}}]})";
}

class ThingIdentityTest : public DomainTest {
protected:
    /// All that the store says of a thing but when.
    std::string all_of(const std::string& key)
    {
        return cell(
            "SELECT state || ' ' || json || ' ' || coalesce((SELECT group_concat(kind || ':' || "
            "name || image || claimed || seq || coalesce(undo, ''), ' ') FROM product WHERE "
            "thing = thing.id), '') FROM thing WHERE key = '" +
            key + "'");
    }
    void lose_chardev(const std::string& id)
    {
        ASSERT_TRUE(
            contains(qmp(domain_.judge(), "chardev-remove", R"({"id":")" + id + "\"}"), "return"));
    }
    /// A plan whose first step is done and whose second QEMU refuses.
    static std::string fails_after(const std::string& key, const std::string& id)
    {
        return R"({"key":")" + key + R"(","steps":[{"execute":"chardev-add","arguments":{"id":")" +
               id +
               R"(","backend":{"type":"null","data":{}}}},)"
               R"({"execute":"device_add","arguments":{"driver":"no-such-device","id":"d0"}}]})";
    }
};

// R11: QEMU takes a netdev out from under a NIC without a word; that NIC may be another's.
TEST_F(ThingIdentityTest, NetdevBehindAnUnmanagedNicStays)
{
    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_add", R"({"driver":"qemu-xhci","id":"xh"})"),
                         "return"));
    const std::string nic =
        R"({"key":"net","steps":[)"
        R"({"execute":"netdev_add","arguments":{"type":"user","id":"nd"}},)"
        R"({"execute":"device_add","arguments":{"driver":"usb-net","id":"un","netdev":"nd",)"
        R"("bus":"xh.0"}}]})";
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", nic}), 0));
    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_del", R"({"id":"un"})"), "return"));
    ASSERT_TRUE(wait_until(std::chrono::seconds(20), [&] {
        return contains(qmp(domain_.judge(), "device_add",
                            R"({"driver":"usb-net","id":"unmanaged","netdev":"nd",)"
                            R"("bus":"xh.0"})"),
                        "return");
    }));
    refused({"attach", "7", "qemu", nic}, 1, "exists", "\"nd\"");
    EXPECT_TRUE(contains(qmp(domain_.judge(), "netdev_del", R"({"id":"nd"})"), "return"));
}

TEST_F(ThingIdentityTest, SecondImageOfWhatIsThereIsRefused)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("one")}), 0));
    refused({"attach", "7", "qemu", called("one", tablet("two"), "two")}, 1, "exists", "\"one\"");
    refused({"attach", "7", "qemu", called("one", chardev("two"), "two")}, 1, "exists", "\"one\"");
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "one"}), 0));
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", called("one", tablet("two"), "two")}), 0));
    EXPECT_TRUE(all_is_settled());
}

// libxl's ids differ by the kind of device, for one and the same port.
TEST_F(ThingIdentityTest, OtherUsbDeviceAtAPortThatIsTakenIsRefused)
{
    const std::string at = R"({"ctrl":0,"port":1,)";
    ASSERT_TRUE(ended(
        xl({"attach", "7", "usbdevs", at + R"("type.emulated":{"driver":"usb-tablet"}})"}), 0));
    refused({"attach", "7", "usbdevs", at + R"("type.hostdev":{"hostbus":1,"hostaddr":2}})"}, 1,
            "exists", "xenusb-emulated-0-1");
    EXPECT_TRUE(ended(xl({"detach", "7", "usbdevs", "0.1"}), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ThingIdentityTest, SecondImageInABatchIsRefused)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("one")}), 0));
    const auto before = all_of("one");
    const auto qemu = state_of(domain_.judge());
    const std::string again =
        R"({"attach":"qemu","thing":)" + called("one", chardev("two"), "two") + "}";
    const std::string other = R"({"attach":"qemu","thing":)" + chardev("three") + "}";
    const std::string requests = "[" + other + "," + again + "]";
    refused({"batch", "7", requests, "--all-or-none"}, 1, "", "");
    EXPECT_EQ(all_of("one"), before);
    EXPECT_EQ(state_of(domain_.judge()), qemu);
    EXPECT_NE(xl({"batch", "7", requests}).status, 0);  // each for itself
    EXPECT_EQ(all_of("one"), before);
    EXPECT_EQ(entry("three"), "present");
    EXPECT_TRUE(all_is_settled());
}

// Its thing is gone behind our back, so that an add may take its place; QEMU refuses, or the client
// dies: the entry is what it was, with all that it is made of.
TEST_F(ThingIdentityTest, AddThatQemuRefusesLeavesTheEntryAsItWas)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("con")}), 0));
    const auto before = all_of("con");
    lose_chardev("con");
    const auto qemu = state_of(domain_.judge());

    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", fails_after("con", "two")}), 1));
    EXPECT_EQ(all_of("con"), before);
    const Ran batch = xl({"batch", "7",
                          R"([{"attach":"qemu","thing":)" + chardev("c3") +
                              R"(},{"attach":"qemu","thing":)" + fails_after("con", "con") + "}]",
                          "--all-or-none"});
    EXPECT_TRUE(ended(batch, 1));
    EXPECT_EQ(all_of("con"), before);
    EXPECT_EQ(entry("c3"), "");
    EXPECT_EQ(state_of(domain_.judge()), qemu);
    EXPECT_TRUE(ended(fsck({"-y"}), 1));  // it is not there, and becomes stale
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ThingIdentityTest, AddWhoseClientDiesLeavesTheEntryAsItWasOrIsDone)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("con")}), 0));
    const auto before = all_of("con");
    int undone = 0;
    int done = 0;
    for (int passing = 1; done == 0; ++passing) {
        SCOPED_TRACE(passing);
        ASSERT_LT(passing, 60);
        if (passing == 1) lose_chardev("con");
        const Ran ran = xl({"attach", "7", "qemu", called("con", chardev("two"), "two")},
                           crash_at("qmp.before_send", passing));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));
        EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        const auto number = cell("SELECT id FROM intent");
        if (number.empty()) {
            EXPECT_TRUE(all_of("con") == before || entry("con") == "present");
            done += all_of("con") == before ? 0 : 1;
            continue;
        }
        (void)xl({"--timeout", "20", "wait", number});
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
        ++(all_of("con") == before ? undone : done);
    }
    EXPECT_GT(undone, 0);
    EXPECT_EQ(cell("SELECT name FROM product"), "two");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(ThingIdentityTest, StaleEntryIsDetached)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("con")}), 0));
    lose_chardev("con");
    ASSERT_TRUE(ended(fsck({"-y"}), 1));
    ASSERT_EQ(entry("con"), "stale");

    const Ran ran = xl({"--json", "detach", "7", "qemu", "con"});

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_EQ(entry("con"), "");
    EXPECT_EQ(cell("SELECT operation || ' ' || outcome FROM history ORDER BY id DESC"),
              "remove done");
    EXPECT_TRUE(all_is_settled());
}

// Release 0.1 forgot what a stale entry was made of: its class says it.
TEST_F(ThingIdentityTest, StaleEntryWithoutProductsIsDetached)
{
    const std::string tab = R"({"ctrl":0,"port":1,"type.emulated":{"driver":"usb-tablet"}})";
    ASSERT_TRUE(ended(xl({"attach", "7", "usbdevs", tab}), 0));
    ASSERT_TRUE(
        contains(qmp(domain_.judge(), "device_del", R"({"id":"xenusb-emulated-0-1"})"), "return"));
    ASSERT_TRUE(ended(fsck({"-y"}), 1));
    store_.open()->db().execute("DELETE FROM product");

    EXPECT_TRUE(ended(xl({"detach", "7", "usbdevs", "0.1"}), 0));
    EXPECT_EQ(entry("0.1"), "");
    EXPECT_TRUE(all_is_settled());
}

// QEMU has the drive: that its medium is out is no proof that the drive is.
TEST_F(ThingIdentityTest, StaleDriveGoesOnlyWhenQemuHasNone)
{
    store_.open()->db().execute("UPDATE thing SET state = 'stale' WHERE key = 'hdc'");
    refused({"detach", "7", "disks", "hdc"}, 1, "refused", "QEMU has drive");
    store_.open()->db().execute(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "VALUES (1, 'disks', 'hdd', 9, 'qemu', 'stale', "
        "'{\"pdev_path\":\"/x.iso\",\"vdev\":\"hdd\",\"format\":\"raw\",\"is_cdrom\":1}', 1)");
    EXPECT_TRUE(ended(xl({"detach", "7", "disks", "hdd"}), 0));
    EXPECT_EQ(entry("hdd"), "");
}

// The same id in QEMU: it is the present entry's. The stale one is neither back, nor does taking it
// away touch what is not its own.
TEST_F(ThingIdentityTest, StaleEntryAndAPresentOneWithTheSameIdInQemu)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("con")}), 0));
    lose_chardev("con");
    ASSERT_TRUE(ended(fsck({"-y"}), 1));
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", called("two", chardev("con"), "con")}), 0));
    const auto qemu = state_of(domain_.judge());

    for (const bool remembered : {true, false}) {
        if (!remembered) store_.open()->db().execute("DELETE FROM product WHERE claimed = 0");
        EXPECT_TRUE(ended(fsck({"-y"}), 0));
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
        EXPECT_EQ(entry("con"), "stale");
    }
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "con"}), 0));
    EXPECT_EQ(entry("con"), "");
    EXPECT_EQ(state_of(domain_.judge()), qemu);
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "two"}), 0));
    EXPECT_TRUE(all_is_settled());
}

// A stale entry whose thing is back is there: it can be taken out, and is not added once more.
TEST_F(ThingIdentityTest, StaleEntryWhoseThingIsBackIsNotReplaced)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", chardev("con")}), 0));
    store_.open()->db().execute("UPDATE thing SET state = 'stale' WHERE key = 'con'");
    refused({"attach", "7", "qemu", called("con", chardev("two"), "two")}, 1, "exists", "\"con\"");
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "con"}), 0));
    EXPECT_TRUE(all_is_settled());
}

// Each device is asked for, so that it ends when the guest has let go of both.
TEST_F(ThingIdentityTest, GuestIsAskedForEachDeviceOfAThing)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", two_rngs()}), 0));
    const Ran asked = xl({"--json", "--timeout", "1", "detach", "7", "qemu", "pair"});
    EXPECT_TRUE(ended(asked, 3));
    const auto number = json_at(asked.out, "$.error.intent");
    EXPECT_EQ(cell("SELECT count(*) FROM product WHERE asked_us IS NOT NULL"), "2");
    EXPECT_TRUE(ended(fsck({"-p"}), 2));
    EXPECT_TRUE(ended(xl({"--timeout", "1", "detach", "7", "qemu", "pair"}), 3));
    EXPECT_EQ(cell("SELECT group_concat(id) FROM intent"), number);

    ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
    EXPECT_TRUE(ended(xl({"--timeout", "20", "wait", number}), 0));
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_TRUE(all_is_settled());
}

class OneOfTwoTest : public ThingIdentityTest, public testing::WithParamInterface<const char*> {};

// Killed when it had asked for one of two: the next process asks for the other, and it can end.
TEST_P(OneOfTwoTest, NextProcessAsksForTheOtherDevice)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", two_rngs()}), 0));
    for (int passing = 1; cell("SELECT count(*) FROM product WHERE asked_us IS NOT NULL") != "1";
         ++passing) {
        ASSERT_LT(passing, 20);
        ASSERT_TRUE(ended(xl({"--timeout", "1", "detach", "7", "qemu", "pair"},
                             crash_at("commit.after", passing)),
                          kKilled));
    }
    const auto number = cell("SELECT id FROM intent");
    const std::string by = GetParam();
    if (by == "wait") (void)xl({"--timeout", "0", "wait", number});
    if (by == "detach") (void)xl({"--timeout", "1", "detach", "7", "qemu", "pair"});
    if (by == "recover") {
        EXPECT_TRUE(ended(fsck({"-p"}), 3));
    }
    EXPECT_EQ(cell("SELECT count(*) FROM product WHERE asked_us IS NOT NULL"), "2");

    ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
    EXPECT_TRUE(ended(xl({"--timeout", "20", "wait", number}), 0));
    EXPECT_EQ(domain_.devices(), "ide-5632 xenusb-0");
    EXPECT_TRUE(all_is_settled());
}
INSTANTIATE_TEST_SUITE_P(By, OneOfTwoTest, testing::Values("wait", "detach", "recover"),
                         [](const auto& one) { return std::string(one.param); });

// An undo asks for both as well, and an add that is being undone is never called done.
TEST_F(ThingIdentityTest, UndoAsksForEachDevice)
{
    std::string pair = two_rngs();
    pair.replace(pair.rfind("]"), 1,
                 R"(,{"execute":"device_add","arguments":{"driver":"no-such","id":"x"}}])");
    const Ran ran = xl({"--json", "--timeout", "1", "attach", "7", "qemu", pair});
    EXPECT_TRUE(ended(ran, 3));
    const auto number = json_at(ran.out, "$.error.intent");
    EXPECT_EQ(cell("SELECT count(*) FROM product WHERE asked_us IS NOT NULL"), "2");
    EXPECT_TRUE(ended(fsck({"-p"}), 2));

    ASSERT_TRUE(contains(qmp(domain_.judge(), "system_reset"), "return"));
    EXPECT_TRUE(ended(xl({"--timeout", "20", "wait", number}), 1));  // closed as not done
    EXPECT_EQ(entry("pair"), "");
    EXPECT_TRUE(all_is_settled());
}

// Names that would be sent with a number in them could not be found again.
TEST_F(ThingIdentityTest, CapturedNumberInANameIsRefused)
{
    const auto image = domain_.image('b');
    const std::string set =
        R"({"key":"k","steps":[{"execute":"add-fd","arguments":{"opaque":"o"},"file":")" + image +
        R"("},{"execute":"blockdev-add","arguments":{"driver":"file",)"
        R"("read-only":true,"filename":"/dev/fdset/$fdset","node-name":")";
    refused({"attach", "7", "qemu", set + "n$fdset\"}}]}"}, 1, "invalid", "R16");
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", set + "n\"}}]}"}), 0));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "k"}), 0));
}

}  // namespace
}  // namespace xlstore::test
