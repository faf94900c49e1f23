// SPDX-License-Identifier: MIT
// A directory of a test, which goes with its object, and files in it.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_DIRECTORY_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_DIRECTORY_HPP_

#include <sys/types.h>

#include <string>

#include "store/base/fd.hpp"

namespace xlstore::test {

/// A directory with a short path (sockets live in it), removed with the object. Each process
/// that still has the path on its command line is killed first: no test leaves a QEMU behind. A
/// guard does the same if the test dies.
class ScratchDirectory {
public:
    ScratchDirectory();
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const
    {
        return path_ + "/" + name;
    }

private:
    std::string path_;
    Fd leash_;  // its end tells the guard
    pid_t guard_ = -1;
};

void write_file(const std::string& path, const std::string& text);
[[nodiscard]] std::string read_file(const std::string& path);  ///< "" when there is none

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_DIRECTORY_HPP_
