// SPDX-License-Identifier: MIT
// A quota of xenstored's is used up. Both daemons exempt domain 0 from the number of entries, and
// the one in C from the size of one, too; oxenstored does not: E2BIG, of a toolstack's own value.
#include <stdlib.h>

#include <filesystem>
#include <memory>

#include "tests/support/scratch.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

constexpr const char* kQuotaUuid = "0badcafe-2222-4333-8444-555566667777";
constexpr const char* kQuotaConfig =
    "quota-activate = true\nquota-maxentity = 8\nquota-maxsize = 200\nquota-maxwatch = 100\n"
    "quota-transaction = 10\npersistent = false\ntest-eagain = false\nperms-activate = true\n"
    "xenstored-kva = /proc/xen/xsd_kva\nxenstored-port = /proc/xen/xsd_port\n";

std::string quota_disk(const std::string& vdev, std::size_t path_length)
{
    return R"({"vdev":")" + vdev + R"(","format":"qcow2","readwrite":1,"pdev_path":"/)" +
           std::string(path_length, 'a') + R"("})";
}

class XenstoreQuotaTest : public testing::Test {
protected:
    void SetUp() override
    {
        setenv("XLSTORE_TEST_XENSTORED", "oxenstored", 1);
        XLSTORE_NEEDS_XENSTORED();
        const std::string directory = store_.directory() / "xs";
        std::filesystem::create_directories(directory);
        write_file(directory + "/config", kQuotaConfig);
        daemon_ = std::make_unique<ScratchXenstored>(directory);
        setenv("XENSTORED_PATH", daemon_->socket().c_str(), 1);
        daemon_->tool().load(
            "/libxl/7 = \"\" (n0)\n/libxl/7/device = \"\"\n/local/domain/7 = \"\" (n0,r7)\n"
            "/local/domain/7/device = \"\" (n0,r7)\n/local/domain/7/data = \"\" (n7)\n"
            "/local/domain/7/vm = \"/vm/" +
            std::string(kQuotaUuid) + "\"\n/local/domain/0/backend = \"\" (n0,r7)\n");
        daemon_->tool().introduce(7);
        const std::string document = store_.directory() / "pv.json";
        write_file(document, R"({"c_info":{"type":"pv","name":"pv","uuid":")" +
                                 std::string(kQuotaUuid) +
                                 R"(","run_hotplug_scripts":"False"},"b_info":{"type.pv":{}}})");
        ASSERT_TRUE(ended(xl({"import", "7", document}), 0));
    }
    void TearDown() override
    {
        unsetenv("XENSTORED_PATH");
        unsetenv("XLSTORE_TEST_XENSTORED");
    }

    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    std::string entries()
    {
        return sql(store_.path(),
                   "SELECT coalesce(group_concat(class || '/' || key || ' ' || state), '') "
                   "FROM thing");
    }
    std::string tree() { return daemon_->tool().dump("/"); }
    /// By the quota, and nothing is changed.
    void refused(Words words)
    {
        const auto rows = entries();
        const auto nodes = tree();
        words.insert(words.begin(), "--json");
        const Ran ran = xl(words);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(json_at(ran.out, "$.error.code"), "refused") << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "E2BIG"));
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "nothing was changed"));
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "quota"));
        EXPECT_EQ(entries(), rows);
        EXPECT_EQ(tree(), nodes);
        EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
    }

    ScratchStore store_;
    std::unique_ptr<ScratchXenstored> daemon_;
};

TEST_F(XenstoreQuotaTest, AnAttachThatFindsItFullChangesNothing)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "disks", quota_disk("xvda", 100)}), 0));
    refused({"attach", "7", "disks", quota_disk("xvdb", 300)});
    EXPECT_EQ(entries(), "disks/xvda present");
    daemon_->tool().write("/local/domain/0/backend/qdisk/7/51712/state", "6");
    EXPECT_TRUE(ended(xl({"detach", "7", "disks", "xvda"}), 0));
}

// The nodes of its front ends are the guest's, and more than it may have of its own.
TEST_F(XenstoreQuotaTest, AGuestsOwnQuotaKeepsNoDeviceOut)
{
    for (const auto* vdev : {"xvda", "xvdb", "xvdc"})
        EXPECT_TRUE(ended(xl({"attach", "7", "disks", quota_disk(vdev, 10)}), 0));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_EQ(sql(store_.path(), "SELECT state FROM domain"), "destroyed");
}

}  // namespace
}  // namespace xlstore::test
