// SPDX-License-Identifier: MIT
#include "tools/common/child_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "store/base/fd.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

namespace {

// The process, with its standard output at `output`; -1, and errno.
pid_t spawn(const std::vector<std::string>& words, int output)
{
    std::vector<char*> pointers;
    for (const auto& word : words)
        pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t ordinary;
    sigemptyset(&ordinary);
    sigaddset(&ordinary, SIGPIPE);
    sigaddset(&ordinary, SIGXFSZ);
    posix_spawnattr_setsigdefault(&attributes, &ordinary);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, pointers[0], &actions, &attributes, pointers.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    errno = error;
    return error == 0 ? pid : -1;
}

// Until its end; false: the time was over.
bool read_all(int fd, std::chrono::steady_clock::time_point until, std::size_t bytes_max,
              std::string& text)
{
    std::array<char, 65536> part{};
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd ready{fd, POLLIN, 0};
        const int got = poll(
            &ready, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000'000)));
        if (got == 0) return false;
        if (got < 0 && errno == EINTR) continue;
        const auto bytes = read(fd, part.data(), part.size());
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes <= 0) return true;
        const auto room = bytes_max - std::min(bytes_max, text.size());
        text.append(part.data(), std::min(room, static_cast<std::size_t>(bytes)));
    }
}

}  // namespace

Result<ChildOutput> output_of(const std::vector<std::string>& words,
                              std::chrono::steady_clock::time_point until, std::size_t bytes_max)
{
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
        return Error(Errc::io, "pipe: " + errno_text(errno), "nothing was started");
    const Fd output(ends[0]);
    Fd input(ends[1]);
    const pid_t pid = spawn(words, input.get());
    if (pid < 0)
        return Error(Errc::io, plain(words[0]) + ": " + errno_text(errno), "it was not started");
    input = Fd();
    ChildOutput said;
    said.in_time = read_all(output.get(), until, bytes_max, said.text);
    if (!said.in_time) (void)kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return said;
}

std::string program_beside(const std::string& name)
{
    std::error_code failed;
    const auto bin = std::filesystem::read_symlink("/proc/self/exe", failed).parent_path();
    if (failed) return name;
    for (const auto& place : {bin / name, bin.parent_path() / "sbin" / name})
        if (std::filesystem::exists(place, failed)) return place.string();
    return name;
}

}  // namespace xlstore::tools
