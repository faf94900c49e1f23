// SPDX-License-Identifier: MIT
// A file system whose server does not answer: every open(), stat() or exec of a path below it hangs
// until this object goes, or the process that hangs is killed. It is FUSE's kernel side with no
// process behind it, mounted in a mount namespace of the test's own. Of a dead NFS server it has
// what counts: nothing that the caller could say (O_NONBLOCK, a signal handler) brings the call
// back.
#ifndef XLSTORE_TESTS_SUPPORT_DEAD_SERVER_HPP_
#define XLSTORE_TESTS_SUPPORT_DEAD_SERVER_HPP_

#include <string>

#include "store/base/fd.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {

class DeadServer {
public:
    explicit DeadServer(const ScratchDirectory& directory);
    DeadServer(const DeadServer&) = delete;
    DeadServer& operator=(const DeadServer&) = delete;
    ~DeadServer();
    /// False: not to be had here (no rights, no FUSE). Skip the test.
    explicit operator bool() const noexcept { return mounted_; }
    [[nodiscard]] std::string operator/(const std::string& name) const
    {
        return path_ + "/" + name;
    }
    /// What hangs fails from now on.
    void give_up() noexcept { device_.reset(); }

private:
    std::string path_;
    Fd device_;
    bool mounted_ = false;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_DEAD_SERVER_HPP_
