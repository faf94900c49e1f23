// SPDX-License-Identifier: MIT
// A store and what a creation needs, for tests of the life of an incarnation.
#ifndef XLSTORE_TESTS_INTEGRATION_LIFECYCLE_TEST_HPP_
#define XLSTORE_TESTS_INTEGRATION_LIFECYCLE_TEST_HPP_

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/scratch.hpp"

namespace xlstore::test {

/// QEMU's command under a program of the test's own; the path of a script that may be executed.
inline std::string script_file(const ScratchDirectory& directory, const std::string& name,
                               const std::string& text)
{
    const std::string path = directory / name;
    write_file(path, "#!/bin/sh\n" + text);
    chmod(path.c_str(), 0700);
    return path;
}

class LifecycleTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    Ran create(const Words& command, const Environment& environment = {}, int domid = 7)
    {
        return xl(create_words(domid, material_, command), environment);
    }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }
    /// Nothing of a creation that failed is left: no process, no row that is not over, no socket,
    /// and the domid is free.
    void expect_nothing_left()
    {
        EXPECT_TRUE(processes_with(store_.directory().path() + "/").empty());
        EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state <> 'destroyed'"), "0");
        EXPECT_EQ(cell("SELECT count(*) FROM thing"), "0");
        EXPECT_FALSE(std::filesystem::exists(store_.path() + "/run/qmp-1"));
        EXPECT_TRUE(ended(create(material_.qemu()), 0));
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_INTEGRATION_LIFECYCLE_TEST_HPP_
