// SPDX-License-Identifier: MIT
// What a repair replaces is kept, or it is not replaced.
#include "recovery/libxl/host_undo.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "tests/support/scratch_directory.hpp"

namespace xlstore::recovery {
namespace {

namespace fs = std::filesystem;

// As on a full disk: no file grows while it is there.
class NoGrowth {
public:
    NoGrowth()
    {
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit none = {0, before_.rlim_max};
        std::signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &none);
    }
    ~NoGrowth()
    {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, SIG_DFL);
    }
    NoGrowth(const NoGrowth&) = delete;
    NoGrowth& operator=(const NoGrowth&) = delete;

private:
    rlimit before_{};
};

TEST(HostUndoTest, AnIndexThatCannotBeBegunIsNotInTheWayOfTheNext)
{
    const test::ScratchDirectory root;
    HostUndo undo(root.path());
    const std::vector<NodeBefore> nodes(1);
    {
        const NoGrowth full;
        const auto kept = undo.keep_nodes(7, nodes);
        ASSERT_FALSE(kept);
        EXPECT_EQ(kept.error().code, Errc::io);
    }
    EXPECT_EQ(undo.directory(), "") << "nothing was changed";
    EXPECT_TRUE(fs::is_empty(root.path() + "/var/lib/xlfsck"));
    EXPECT_TRUE(undo.keep_nodes(7, nodes));
    EXPECT_TRUE(fs::exists(undo.directory() + "/index"));
}

}  // namespace
}  // namespace xlstore::recovery
