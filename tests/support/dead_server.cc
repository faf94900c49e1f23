// SPDX-License-Identifier: MIT
#include "tests/support/dead_server.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace xlstore::test {

DeadServer::DeadServer(const ScratchDirectory& directory)
    : path_(directory / "dead"), device_(::open("/dev/fuse", O_RDWR | O_CLOEXEC))
{
    if (!device_ || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mkdir(path_.c_str(), 0700) != 0)
        return;
    const std::string options = "fd=" + std::to_string(device_.get()) +
                                ",rootmode=40000,user_id=" + std::to_string(geteuid()) +
                                ",group_id=" + std::to_string(getegid());
    mounted_ = ::mount("dead", path_.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) == 0;
}

DeadServer::~DeadServer()
{
    give_up();
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
}

}  // namespace xlstore::test
