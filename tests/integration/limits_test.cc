// SPDX-License-Identifier: MIT
// Limits that a process was started with (getrlimit(2)).
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

// A write beyond it would end the process by SIGXFSZ, and a disk with room would be called full.
TEST(LimitsTest, AFileThatMayNotGrowIsAnErrorThatNamesTheLimit)
{
    const ScratchStore store;
    const std::string document = store.directory() / "domain.json";
    write_file(document, hvm_document("web", "8f2c7d10-4b6e-4a51-9d3c-000000000007", "/a.iso"));
    const auto before = dump(store.path());
    for (const char* blocks : {"64", "80"}) {
        const Ran limited = run({"sh", "-c", "ulimit -f \"$1\"; shift; exec \"$@\"", "sh", blocks,
                                 binary("xlstore"), "--store", store.path(), "import", "7", document});
        EXPECT_TRUE(ended(limited, 1)) << blocks;
        EXPECT_TRUE(contains(limited.err, "(ulimit -f)"));
        EXPECT_EQ(dump(store.path()), before);
    }
    EXPECT_TRUE(ended(xlstore(store.path(), {"import", "7", document}), 0));
    EXPECT_TRUE(ended(xlfsck(store.path(), {"-n"}), 0));
}

}  // namespace
}  // namespace xlstore::test
