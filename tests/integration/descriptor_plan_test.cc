// SPDX-License-Identifier: MIT
// Plans that pass descriptors, on a real QEMU: a disk that goes with its descriptor set, or not at
// all.
#include "tests/integration/operation_test.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

/// A disk: its image passed as a descriptor, the node on it, the device on that.
std::string disk(const std::string& image, const std::string& bus = "xenusb-0.0",
                 const std::string& extra = "")
{
    return R"({"key":"disk0","steps":[
        {"execute":"add-fd","arguments":{"opaque":"qemu/disk0"},"file":")" +
           image + R"(","writable":true},
        {"execute":"blockdev-add","arguments":{"node-name":"disk0-file","driver":"file",
         "filename":"/dev/fdset/$fdset"}},
        {"execute":"blockdev-add","arguments":{"node-name":"disk0","driver":"raw","file":"disk0-file"}},
        {"execute":"device_add","arguments":{"driver":"usb-storage","id":"disk0-dev",
         "drive":"disk0","bus":")" +
           bus + "\"}}]" + extra + "}";
}

bool has_node(const std::string& judge, const std::string& name)
{
    return qmp(judge, "query-named-block-nodes").find("\"" + name + "\"") != std::string::npos;
}

TEST_F(OperationTest, DiskByDescriptorIsAttachedAndDetached)
{
    for (int round = 0; round < 2; ++round) {
        ASSERT_TRUE(ended(xl({"attach", "7", "qemu", disk(domain_.image('b'))}), 0));
        EXPECT_TRUE(contains(domain_.devices(), "disk0-dev"));
        EXPECT_TRUE(has_node(domain_.judge(), "disk0"));
        EXPECT_EQ(cell("SELECT group_concat(kind || ':' || name, ' ') FROM product "
                       "WHERE name LIKE '%disk0%'"),
                  "device:disk0-dev fdset:qemu/disk0 node:disk0 node:disk0-file");
        EXPECT_TRUE(all_is_settled());

        ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "disk0"}), 0));
        EXPECT_FALSE(contains(domain_.devices(), "disk0-dev"));
        EXPECT_FALSE(has_node(domain_.judge(), "disk0"));
        EXPECT_FALSE(has_node(domain_.judge(), "disk0-file"));
        EXPECT_EQ(entry("disk0"), "");
        EXPECT_TRUE(all_is_settled());
    }
    // The guest does not run, so that QEMU lists sets that it was told to drop; then it does.
    ASSERT_TRUE(contains(qmp(domain_.judge(), "cont"), "return"));
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", disk(domain_.image('b'))}), 0));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "disk0"}), 0));
    EXPECT_TRUE(wait_until(seconds(20), [&] {
        return qmp(domain_.judge(), "query-fdsets").find("qemu/disk0") == std::string::npos;
    }));
}

TEST_F(OperationTest, DiskWhoseLastStepIsRefusedLeavesNothing)
{
    // A QEMU whose guest runs drops a removed set at once.
    ASSERT_TRUE(contains(qmp(domain_.judge(), "cont"), "return"));
    const auto initial = state_of(domain_.judge());
    const Ran ran =
        xl({"--json", "attach", "7", "qemu", disk(domain_.image('b'), "no-such-bus.0")});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(code(ran), "refused");
    EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "no-such-bus"));
    EXPECT_EQ(state_of(domain_.judge()), initial);
    EXPECT_FALSE(has_node(domain_.judge(), "disk0"));
    EXPECT_EQ(entry("disk0"), "");
    EXPECT_TRUE(all_is_settled());
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", disk(domain_.image('b'))}), 0));
}

// A node that a device left behind is not "absent": the entry stays until that is gone, too.
TEST_F(OperationTest, NodeLeftBehindIsTakenOutWithItsDescriptorSet)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", disk(domain_.image('b'))}), 0));
    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_del", R"({"id":"disk0-dev"})"), "return"));
    ASSERT_TRUE(wait_until(
        seconds(20), [&] { return domain_.devices().find("disk0-dev") == std::string::npos; }));
    // Attaching anew undoes what the same entry left behind.
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", disk(domain_.image('b'))}), 0));
    EXPECT_TRUE(contains(domain_.devices(), "disk0-dev"));
    ASSERT_TRUE(contains(qmp(domain_.judge(), "device_del", R"({"id":"disk0-dev"})"), "return"));
    ASSERT_TRUE(wait_until(
        seconds(20), [&] { return domain_.devices().find("disk0-dev") == std::string::npos; }));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "disk0"}), 0));
    EXPECT_FALSE(has_node(domain_.judge(), "disk0"));
    EXPECT_EQ(entry("disk0"), "");
    EXPECT_TRUE(all_is_settled());
}

TEST_F(OperationTest, DiskIsWholeOrGoneWhereverItsToolstackDied)
{
    int half_done = 0;
    Ran ran;
    for (int n = 1; ran.status != 0; ++n) {
        SCOPED_TRACE(n);
        ran =
            xl({"attach", "7", "qemu", disk(domain_.image('b'))}, crash_at("qmp.after_receive", n));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));
        EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        if (has_node(domain_.judge(), "disk0") && !contains(domain_.devices(), "disk0-dev"))
            ++half_done;
        EXPECT_TRUE(ended(fsck({"-p"}), 1));  // the dead session at least
        EXPECT_EQ(has_node(domain_.judge(), "disk0-file"), entry("disk0") == "present");
        ASSERT_TRUE(all_is_settled());
        if (entry("disk0") == "present") {  // killed after the last step
            ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "disk0"}), 0));
        }
    }
    EXPECT_GE(half_done, 1);
}

TEST_F(OperationTest, BadPlansWithDescriptorsAreRefused)
{
    const auto plan = [](const std::string& step) {
        return R"({"key":"x","steps":[)" + step +
               R"(,{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"x"}}]})";
    };
    const std::string good = R"({"execute":"add-fd","arguments":{"opaque":"o"},"file":"/dev/null")";
    const struct {
        std::string step;
        const char* said;
    } cases[] = {
        {R"({"execute":"add-fd","arguments":{"opaque":"o"}})", "file"},
        {R"({"execute":"add-fd","arguments":{"opaque":"o"},"file":"relative.img"})", "absolute"},
        {R"({"execute":"add-fd","file":"/dev/null"})", "opaque"},
        {R"({"execute":"add-fd","arguments":{"opaque":"o","fdset-id":3},"file":"/dev/null"})",
         "fdset-id"},
        {good + R"(,"capture":"A-1"})", "capture"},
        {good + R"(,"writable":1})", "writable"},
        {good + R"(,"other":1})", "other"},
        {R"({"execute":"object-add","arguments":{"qom-type":"secret","id":"s"},"file":"/dev/null"})",
         "file"},
        {good + "}", "/dev/null"},  // neither a file nor a block device
    };
    for (const auto& one : cases)
        refused({"attach", "7", "qemu", plan(one.step)}, 1, "invalid", one.said);
    refused({"attach", "7", "qemu", disk(store_.directory() / "missing.img")}, 1, "invalid",
            "missing.img");
    refused({"attach", "7", "qemu", R"({"key":"x","steps":[)" + good + "}]}"}, 1, "invalid", "");
}

}  // namespace
}  // namespace xlstore::test
