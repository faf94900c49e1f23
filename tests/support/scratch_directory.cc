// SPDX-License-Identifier: MIT
#include "tests/support/scratch_directory.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <thread>

#include "tests/support/process.hpp"

namespace xlstore::test {

namespace {

// Those that the killed have started meanwhile are found in the next round.
void kill_all_with(const std::string& text)
{
    for (int round = 0; round < 100; ++round) {
        const auto pids = processes_with(text);
        if (pids.empty()) return;
        for (const pid_t pid : pids)
            ::kill(pid, SIGKILL);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

void clean_up(const std::string& path)
{
    kill_all_with(path + "/");
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

}  // namespace

void write_file(const std::string& path, const std::string& text)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    if (!file.flush()) give_up("cannot write " + path);
}

std::string read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    try {
        return {std::istreambuf_iterator<char>(file), {}};
    } catch (const std::ios_base::failure&) {
        return {};  // a file of /proc whose process went while it was read
    }
}

ScratchDirectory::ScratchDirectory()
{
    std::string name = "/tmp/xlst-XXXXXX";
    if (!mkdtemp(name.data())) give_up("cannot make a directory in /tmp");
    path_ = name;
    auto [far, near] = make_pipe();
    guard_ = fork();
    if (guard_ < 0) give_up("cannot fork");
    if (guard_ == 0) {
        // Nothing of the test's stays open in here but the pipe that tells of its end.
        dup2(far.get(), 0);
        for (const int fd : {1, 2})
            dup2(open("/dev/null", O_RDWR), fd);
        syscall(SYS_close_range, 3U, ~0U, 0U);
        for (int number = 1; number < 32; ++number)
            signal(number, SIG_IGN);  // a Ctrl-C is for the test
        char byte = 0;
        if (read(0, &byte, 1) == 0) clean_up(path_);
        _exit(0);
    }
    leash_ = std::move(near);
}

ScratchDirectory::~ScratchDirectory()
{
    clean_up(path_);
    [[maybe_unused]] const auto n = write(leash_.get(), "x", 1);
    wait_for_pid(guard_);
}

}  // namespace xlstore::test
