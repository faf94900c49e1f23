// SPDX-License-Identifier: MIT
#include "tools/common/pager.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace xlstore::tools {

namespace {

pid_t pager = -1;
bool wanted = true;
int terminal = -1;  // standard output as it was before
std::string not_run;  // the pager that could not be

// Not on each host; then all goes to the terminal, as where none is wanted.
constexpr const char* kUsual = "command -v less >/dev/null && exec less; exec cat";

std::string command()
{
    for (const char* name : {"XLSTORE_PAGER", "PAGER"})
        if (const char* const value = std::getenv(name)) return value;
    return kUsual;
}

// What less does unless a person said otherwise: end where all fits, keep colours, keep the screen.
std::vector<std::string> environment()
{
    std::vector<std::string> all;
    for (char** one = environ; *one; ++one)
        all.emplace_back(*one);
    if (!std::getenv("LESS")) all.emplace_back("LESS=FRX");
    if (!std::getenv("LESSCHARSET")) all.emplace_back("LESSCHARSET=utf-8");
    return all;
}

pid_t spawn(std::string line, int input)
{
    std::vector<std::string> variables = environment();
    std::vector<char*> pointers;
    for (auto& one : variables)
        pointers.push_back(one.data());
    pointers.push_back(nullptr);
    std::string shell = "sh";
    std::string option = "-c";
    char* const words[] = {shell.data(), option.data(), line.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    // We ignore them; what is started does not.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t ordinary;
    sigemptyset(&ordinary);
    sigaddset(&ordinary, SIGPIPE);
    sigaddset(&ordinary, SIGXFSZ);
    posix_spawnattr_setsigdefault(&attributes, &ordinary);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    pid_t pid = -1;
    if (posix_spawn(&pid, "/bin/sh", &actions, &attributes, words, pointers.data()) != 0) pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

}  // namespace

void start_pager()
{
    if (!wanted || pager >= 0 || !isatty(STDOUT_FILENO)) return;
    const std::string line = command();
    if (line.empty() || line == "cat") return;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    std::fflush(stdout);
    const pid_t pid = spawn(line, ends[0]);
    close(ends[0]);
    if (pid >= 0) {
        terminal = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        dup2(ends[1], STDOUT_FILENO);
        pager = pid;
        // The reader's ^C is the pager's to answer.
        std::signal(SIGINT, SIG_IGN);
    }
    close(ends[1]);
}

void no_pager()
{
    wanted = false;
}

void end_pager()
{
    if (pager < 0) return;
    std::fflush(stdout);
    // Only the closing of the last copy is the end of its input.
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
    if (nowhere >= 0) close(nowhere);
    int status = 0;
    while (waitpid(pager, &status, 0) < 0 && errno == EINTR) {
    }
    pager = -1;
    // The shell's words for a command that is not there, or is none.
    constexpr int not_executable = 126;
    constexpr int not_found = 127;
    if (WIFEXITED(status) &&
        (WEXITSTATUS(status) == not_found || WEXITSTATUS(status) == not_executable))
        not_run = command();
    std::clearerr(stdout);  // a reader who left early has read enough
}

std::string pager_not_run()
{
    return not_run;
}

int terminal_behind_output()
{
    if (terminal >= 0) return terminal;
    return isatty(STDOUT_FILENO) ? STDOUT_FILENO : -1;
}

}  // namespace xlstore::tools
