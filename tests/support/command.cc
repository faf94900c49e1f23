// SPDX-License-Identifier: MIT
#include "tests/support/command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

namespace xlstore::test {

std::string binary(const std::string& name)
{
    const char* elsewhere = std::getenv("XLSTORE_BIN");
    return std::string(elsewhere ? elsewhere : XLSTORE_BINARY_DIR "/bin") + "/" + name;
}

Environment crash_at(const std::string& point, int passing)
{
    return {{"XLSTORE_CRASH_AT", point + ":" + std::to_string(passing)}};
}

namespace {

constexpr int kMemoryPoll = 2;  // milliseconds

// The most memory that a process has had since its exec, in KiB; 0 before that, and for a zombie.
// Not its resource usage: there the memory of who forked it counts as its own.
long memory_of(pid_t pid)
{
    const std::string process = "/proc/" + std::to_string(pid);
    std::error_code error;
    if (std::filesystem::read_symlink(process + "/exe", error) ==
        std::filesystem::read_symlink("/proc/self/exe"))
        return 0;
    std::ifstream status(process + "/status");
    const std::string name = "VmHWM:";
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name)) return std::stol(line.substr(name.size()));
    return 0;
}

}  // namespace

Ran run(const Words& command, const Environment& environment, const std::string& input,
        std::chrono::seconds limit)
{
    auto [in_far, in_near] = make_pipe();
    auto [out_near, out_far] = make_pipe();
    auto [err_near, err_far] = make_pipe();
    // Inputs of tests are short: they fit into the pipe.
    if (write(in_near.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
        give_up("cannot give input to " + command[0]);
    in_near.reset();
    Ran ran;
    if (MemoryWatch::any()) ran.most_kib = 0;
    const pid_t pid = spawn(command, environment, {in_far.get(), out_far.get(), err_far.get()});
    out_far.reset();
    err_far.reset();

    const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
    const auto until = std::chrono::steady_clock::now() + limit;
    const auto drain = [](int fd, std::string& into) {
        std::array<char, 65536> buffer{};
        const auto n = read(fd, buffer.data(), buffer.size());
        if (n > 0) into.append(buffer.data(), static_cast<std::size_t>(n));
        return n > 0;
    };
    fcntl(out_near.get(), F_SETFL, O_NONBLOCK);
    fcntl(err_near.get(), F_SETFL, O_NONBLOCK);
    // Until the command has ended, not until its pipes have: what it leaves running may hold them.
    for (bool ended = false; !ended;) {
        std::array<pollfd, 3> fds = {pollfd{out_near.get(), POLLIN, 0},
                                     pollfd{err_near.get(), POLLIN, 0},
                                     pollfd{pidfd.get(), POLLIN, 0}};
        if (ran.most_kib) ran.most_kib = std::max(*ran.most_kib, memory_of(pid));
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())
                .count();
        if (left <= 0) {
            ::kill(pid, SIGKILL);
            ran.err += "(killed by the test: it did not end in time)";
        }
        const int patience = left <= 0 ? 1000 : ran.most_kib ? kMemoryPoll : static_cast<int>(left);
        if (poll(fds.data(), fds.size(), patience) < 0) continue;
        ended = fds[2].revents != 0;
        while (drain(out_near.get(), ran.out)) {
        }
        while (drain(err_near.get(), ran.err)) {
        }
        if (!ended && (fds[0].revents | fds[1].revents) == POLLHUP)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ran.status = wait_for_pid(pid);
    return ran;
}

std::string why_not(const Words& command)
{
    const Ran ran = run(command);
    if (ran.status == 0) return {};
    return ran.err.empty() ? command[0] + " ended with " + std::to_string(ran.status) : ran.err;
}

Ran xlstore(const std::string& store, Words words, const Environment& environment,
            const std::string& input)
{
    words.insert(words.begin(), {binary("xlstore"), "--store", store});
    return run(words, environment, input);
}

Ran xlfsck(const std::string& store, Words words, const Environment& environment)
{
    words.insert(words.begin(), {binary("xlfsck"), "--store", store});
    return run(words, environment);
}

bool strace_works()
{
    static const bool works = [] {
        try {
            return run({"strace", "-e", "trace=none", "true"}).status == 0;
        } catch (const std::exception&) {
            return false;
        }
    }();
    return works;
}

Child::Child(const Words& command, const Environment& environment)
    : pid_(spawn(command, environment, {-1, -1, -1}))
{}

Child::~Child()
{
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    wait();
}

void Child::signal(int number) const
{
    if (pid_ < 0 || ::kill(pid_, number) != 0) give_up("cannot signal a child");
}

int Child::wait()
{
    const int status = wait_for_pid(pid_);
    pid_ = -1;
    return status;
}

testing::AssertionResult ended(const Ran& ran, int status)
{
    if (ran.status == status) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "ended with " << ran.status << ", not " << status
                                       << "\nstdout: " << ran.out << "\nstderr: " << ran.err;
}

testing::AssertionResult contains(const std::string& text, const std::string& part)
{
    if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << '"' << part << "\" is not in \"" << text << '"';
}

}  // namespace xlstore::test
