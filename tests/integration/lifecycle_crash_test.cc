// SPDX-License-Identifier: MIT
// Processes that create or destroy a domain are killed at their crash points, and recovery goes on.
#include <filesystem>

#include "tests/integration/lifecycle_test.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

class SpawnCrashTest : public LifecycleTest, public testing::WithParamInterface<const char*> {};

// R13: at each end of the creator, either no program has run or its pid is in the row.
TEST_P(SpawnCrashTest, LeavesNoQemuWithoutARow)
{
    const std::string point = GetParam();
    const bool let_go = point == "spawn.after_start_barrier";
    const auto seen = store_.directory() / "seen";
    Words command = material_.qemu();
    command[0] = script_file(store_.directory(), "qemu",
                             "touch " + seen + "\nexec qemu-system-x86_64 \"$@\"\n");

    EXPECT_TRUE(ended(create(command, crash_at(point)), kKilled));

    // The child at its start barrier ends by itself, a program let go runs on.
    const auto all = [&] { return processes_with(store_.directory().path() + "/"); };
    if (let_go) {
        EXPECT_TRUE(wait_until(seconds(10), [&] { return !qemus().empty(); }));
        EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(all().at(0)));
    } else {
        EXPECT_TRUE(wait_until(seconds(10), [&] { return all().empty(); }));
        EXPECT_FALSE(std::filesystem::exists(seen));
        EXPECT_EQ(cell("SELECT qemu_pid IS NULL FROM domain"),
                  point == "spawn.before_start_barrier" ? "0" : "1");
    }
    const Ran preened = fsck({"-p"});
    EXPECT_TRUE(ended(preened, 1));
    EXPECT_TRUE(contains(preened.out, let_go ? "FINISHED" : "MARKED DESTROYED"));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    if (!let_go) {
        EXPECT_FALSE(std::filesystem::exists(seen));
        expect_nothing_left();
        return;
    }
    EXPECT_EQ(qemus().size(), 1U);  // recovery finishes, and kills nothing
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
    EXPECT_TRUE(ended(xl({"insert", "7", "hdc", material_.images['b']}), 0));
}
INSTANTIATE_TEST_SUITE_P(Points, SpawnCrashTest,
                         testing::Values("spawn.before_fork", "spawn.after_fork",
                                         "spawn.before_start_barrier", "spawn.after_start_barrier"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

class CreateCrashTest : public LifecycleTest, public testing::WithParamInterface<const char*> {};

// R14: a creator that dies leaves a creation that recovery finishes or marks destroyed.
TEST_P(CreateCrashTest, IsFinishedOrRetiredAfterEachPassing)
{
    int passing = 1;
    for (;; ++passing) {
        SCOPED_TRACE(std::string(GetParam()) + ":" + std::to_string(passing));
        const Ran ran = create(material_.qemu(), crash_at(GetParam(), passing));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));
        ASSERT_LE(qemus().size(), 1U);
        const Ran preened = fsck({"-p"});
        EXPECT_TRUE(preened.status == 0 || preened.status == 1) << preened.out << preened.err;
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
        const auto state = cell("SELECT state FROM domain ORDER BY id DESC LIMIT 1");
        if (state == "running") {
            EXPECT_EQ(qemus().size(), 1U);
            EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
            EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
        } else {
            EXPECT_TRUE(state == "destroyed" || state.empty()) << state;
        }
        EXPECT_TRUE(qemus().empty());
    }
    EXPECT_GT(passing, 5);
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
}
INSTANTIATE_TEST_SUITE_P(Points, CreateCrashTest, testing::Values("commit.before", "commit.after"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

class DestroyCrashTest : public LifecycleTest, public testing::WithParamInterface<const char*> {};

// R14: once marked, only forward; recovery or a second destroy goes on.
TEST_P(DestroyCrashTest, IsFinishedByRecovery)
{
    for (int passing = 1;; ++passing) {
        SCOPED_TRACE(passing);
        ASSERT_TRUE(ended(create(material_.qemu()), 0));
        const Ran ran = xl({"destroy", "7"}, crash_at(GetParam(), passing));
        if (ran.status == 0) {
            EXPECT_GT(passing, 1);
            break;
        }
        ASSERT_TRUE(ended(ran, kKilled));
        const auto state = cell("SELECT state FROM domain ORDER BY id DESC LIMIT 1");
        if (state == "destroyed") {
            EXPECT_TRUE(qemus().empty());
        } else if (state == "destroying") {
            const Ran refused = xl({"insert", "7", "hdc", material_.images['b']});
            EXPECT_TRUE(ended(refused, 1)) << "R8";
            EXPECT_TRUE(contains(refused.err, "R8"));
        }
        EXPECT_TRUE(fsck({"-p"}).status <= 1);
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
        EXPECT_EQ(qemus().empty(), state != "running");
        EXPECT_NE(cell("SELECT state FROM domain ORDER BY id DESC LIMIT 1"), "destroying");
        if (state == "running") {
            EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
        }
    }
}
INSTANTIATE_TEST_SUITE_P(Points, DestroyCrashTest,
                         testing::Values("commit.before", "commit.after", "destroy.before_mark",
                                         "destroy.before_kill", "destroy.after_kill",
                                         "destroy.before_unlink", "destroy.after_unlink",
                                         "destroy.before_end"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

}  // namespace
}  // namespace xlstore::test
