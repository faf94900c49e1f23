// SPDX-License-Identifier: MIT
#include "tests/support/process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "tests/support/scratch_directory.hpp"

extern char** environ;

namespace xlstore::test {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::vector<std::string> command_line(pid_t pid)
{
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/cmdline");
    std::vector<std::string> words;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\0', at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

struct Environ {
    std::vector<std::string> texts;
    std::vector<char*> pointers;

    explicit Environ(const Environment& additions)
    {
        for (char** entry = environ; *entry; ++entry) {
            const std::string text = *entry;
            if (!additions.contains(text.substr(0, text.find('=')))) texts.push_back(text);
        }
        for (const auto& [name, value] : additions)
            texts.push_back(name + "=" + value);
        for (auto& text : texts)
            pointers.push_back(text.data());
        pointers.push_back(nullptr);
    }
};

}  // namespace

pid_t spawn(const Words& command, const Environment& environment, std::array<int, 3> stdio)
{
    Environ env(environment);
    std::vector<char*> argv;
    for (const auto& word : command)
        argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; ++i) {
        const int fd = stdio[static_cast<std::size_t>(i)];
        if (fd >= 0)
            posix_spawn_file_actions_adddup2(&actions, fd, i);
        else
            posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    }
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), env.pointers.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) give_up("cannot run " + command[0] + ": " + std::strerror(error));
    return pid;
}

int wait_for_pid(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) give_up("waitpid failed");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::array<Fd, 2> make_pipe()
{
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) give_up("pipe failed");
    return {Fd(ends[0]), Fd(ends[1])};
}

bool wait_until(milliseconds limit, const std::function<bool()>& condition)
{
    const auto until = steady_clock::now() + limit;
    while (!condition()) {
        if (steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
}

bool is_alive(pid_t pid)
{
    const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(") ");
    return name_end != std::string::npos && stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X';
}

std::vector<pid_t> processes_with(const std::string& text)
{
    std::vector<pid_t> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const pid_t pid = std::stoi(name);
        if (pid == getpid()) continue;
        const auto words = command_line(pid);
        const bool named = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
            return word.find(text) != std::string::npos;
        });
        if (named && is_alive(pid)) found.push_back(pid);
    }
    return found;
}

std::vector<pid_t> qemus_with(const std::string& text)
{
    auto pids = processes_with(text);
    std::erase_if(pids, [](pid_t pid) {
        std::array<char, PATH_MAX> target{};
        const auto n = readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), target.data(),
                                target.size() - 1);
        return n <= 0 || std::string(target.data()).find("qemu-system") == std::string::npos;
    });
    return pids;
}

}  // namespace xlstore::test
