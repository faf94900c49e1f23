// SPDX-License-Identifier: MIT
// demo: the story of tools/demo/story.sh, which is installed beside the program.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

// Where this program is installed, or was built.
Result<std::filesystem::path> directory_of_program()
{
    std::error_code failed;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
    if (failed)
        return Error(Errc::io, "demo: cannot read /proc/self/exe: " + failed.message(),
                     "mount /proc, and run 'xlstore demo' again");
    return program.parent_path();
}

}  // namespace

Result<Status> run_demo(const Arguments& /*arguments*/)
{
    const auto bin = directory_of_program();
    if (!bin) return bin.error();
    const auto prefix = bin->parent_path();
    const auto story = prefix / "share/xlstore/demo/story.sh";
    std::error_code ignored;
    if (!std::filesystem::exists(story, ignored))
        return Error(Errc::not_found, "demo: " + story.string() + " is not there",
                     "it is installed with xlstore; in the source tree 'sh tools/quickstart.sh' "
                     "tells the same");
    std::fflush(nullptr);
    const std::string where = bin->string() + ":" + (prefix / "sbin").string();
    execl("/bin/sh", "sh", story.c_str(), where.c_str(), static_cast<char*>(nullptr));
    return Error(Errc::io,
                 "demo: cannot run /bin/sh: " + std::generic_category().message(errno),
                 "nothing was done");
}

}  // namespace xlstore::tools
