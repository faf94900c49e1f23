// SPDX-License-Identifier: MIT
// A process that holds something until it is ended.
#ifndef XLSTORE_TESTS_SUPPORT_HOLDER_HPP_
#define XLSTORE_TESTS_SUPPORT_HOLDER_HPP_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>

namespace xlstore::test {

/// A forked process that does something, says so, and waits to be ended. It opens its own files:
/// nothing of the parent's is locked in it.
class Holder {
public:
    explicit Holder(const std::function<bool()>& act)
    {
        std::array<int, 2> ready{};
        EXPECT_EQ(pipe2(ready.data(), O_CLOEXEC), 0);
        pid_ = fork();
        if (pid_ == 0) {
            const char ok = act() ? 'y' : 'n';
            if (write(ready[1], &ok, 1) != 1) _exit(1);
            for (;;)
                pause();
        }
        close(ready[1]);
        char ok = 'n';
        EXPECT_EQ(read(ready[0], &ok, 1), 1);
        EXPECT_EQ(ok, 'y');
        close(ready[0]);
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder() { end(); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void end()
    {
        if (pid_ < 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

private:
    pid_t pid_ = -1;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_HOLDER_HPP_
