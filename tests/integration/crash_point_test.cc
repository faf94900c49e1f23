// SPDX-License-Identifier: MIT
// Operations killed at each passing of each crash point (R1, R10).
#include <algorithm>
#include <iterator>
#include <sstream>

#include "tests/integration/operation_test.hpp"

namespace xlstore::test {
namespace {

struct CrashCase {
    const char* operation;
    const char* point;
    friend std::ostream& operator<<(std::ostream& out, const CrashCase& one)
    {
        return out << one.operation << " " << one.point;
    }
};

class OperationCrashTest : public OperationTest, public testing::WithParamInterface<CrashCase> {
protected:
    [[nodiscard]] Words operation(int round) const
    {
        const std::string which = GetParam().operation;
        if (which.starts_with("insert"))
            return {"insert", "7", "hdc", domain_.image(round % 2 ? 'b' : 'a')};
        if (which == "attach") return {"attach", "7", "qemu", tablet("tab")};
        return {"detach", "7", "qemu", "tab"};
    }
    /// The state that the operation starts in.
    void prepare()
    {
        const std::string which = GetParam().operation;
        // QEMU drops descriptor sets of its own accord, but only while its guest runs.
        if (which == "insert_running") (void)qmp(domain_.judge(), "cont");
        const bool there = !entry("tab").empty();
        if (which == "attach" && there) {
            ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "tab"}), 0));
        }
        if (which == "detach" && !there) {
            ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
        }
    }
};

// R1 R10: killed at each passing of each point, the invariant holds before any recovery, and
// recovery settles all.
TEST_P(OperationCrashTest, IsSettledAfterEachPassing)
{
    int passing = 1;
    for (;; ++passing) {
        SCOPED_TRACE(std::string(GetParam().point) + ":" + std::to_string(passing));
        prepare();
        const Ran ran = xl(operation(passing), crash_at(GetParam().point, passing));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));

        ASSERT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        const Ran preened = fsck({"-p"});
        EXPECT_TRUE(preened.status == 0 || preened.status == 1) << preened.out << preened.err;
        ASSERT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        ASSERT_TRUE(all_is_settled());
        ASSERT_LT(passing, 60);
    }
    EXPECT_GT(passing, 1) << "the point is not passed";
    EXPECT_TRUE(all_is_settled());
}
constexpr CrashCase kCrashCases[] = {
    {"insert", "commit.before"},          {"insert", "commit.after"},
    {"insert", "qmp.before_connect"},     {"insert", "qmp.after_connect"},
    {"insert", "qmp.before_send"},        {"insert", "qmp.after_send"},
    {"insert", "qmp.before_receive"},     {"insert", "qmp.after_receive"},
    {"insert_running", "qmp.after_send"}, {"insert_running", "qmp.before_receive"},
    {"attach", "commit.before"},          {"attach", "commit.after"},
    {"attach", "qmp.before_connect"},     {"attach", "qmp.after_connect"},
    {"attach", "qmp.before_send"},        {"attach", "qmp.after_send"},
    {"attach", "qmp.before_receive"},     {"attach", "qmp.after_receive"},
    {"detach", "commit.before"},          {"detach", "commit.after"},
    {"detach", "qmp.before_connect"},     {"detach", "qmp.after_connect"},
    {"detach", "qmp.before_send"},        {"detach", "qmp.after_send"},
    {"detach", "qmp.before_receive"},     {"detach", "qmp.after_receive"},
};
INSTANTIATE_TEST_SUITE_P(Points, OperationCrashTest, testing::ValuesIn(kCrashCases),
                         [](const auto& one) {
                             std::string point = one.param.point;
                             point.replace(point.find('.'), 1, "_");
                             return std::string(one.param.operation) + "_" + point;
                         });

// A new crash point has to be tried somewhere: here, among the spawn and destroy points of
// lifecycle_crash_test.cc, among those of xenstore_test.cc and hotplug_test.cc, or among libxl's of
// tests/fsck/host_input_test.py.
TEST(CrashPointListTest, EveryPointIsTried)
{
    const Ran ran = run({binary("xlstore"), "crash-points"});
    ASSERT_TRUE(ended(ran, 0));
    std::istringstream points(ran.out);
    for (std::string point; points >> point;) {
        const bool here = std::any_of(std::begin(kCrashCases), std::end(kCrashCases),
                                      [&](const CrashCase& one) { return one.point == point; });
        const bool elsewhere = point.starts_with("spawn.") || point.starts_with("destroy.") ||
                               point.starts_with("xenstore.") ||
                               point.starts_with("hotplug.") || point.starts_with("libxl.");
        EXPECT_TRUE(here || elsewhere) << point;
    }
}

}  // namespace
}  // namespace xlstore::test
