// SPDX-License-Identifier: MIT
// What programs here set up: a directory that goes with them, programs that run beside them, a real
// QEMU, or monitors that answer as one does which has nothing.
#ifndef XLSTORE_TESTS_BENCH_BENCH_HOST_HPP_
#define XLSTORE_TESTS_BENCH_BENCH_HOST_HPP_

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "store/core/store.hpp"
#include "store/lifecycle/registration.hpp"

namespace xlstore::bench {

template <class T>
T must(Result<T> result)
{
    if (!result) throw std::runtime_error(result.error().message);
    return *std::move(result);
}
inline void must(const Result<void>& result)
{
    if (!result) throw std::runtime_error(result.error().message);
}

inline Deadline soon()
{
    return Clock::now() + std::chrono::seconds(120);
}

class Directory {
public:
    Directory()
    {
        if (!mkdtemp(path_.data())) throw std::runtime_error("mkdtemp");
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string operator/(const std::string& name) const
    {
        return path_ + "/" + name;
    }

private:
    std::string path_ = "/tmp/xlb-XXXXXX";
};

inline std::string uuid_of(int domid)
{
    char text[64];
    std::snprintf(text, sizeof text, "8f2c7d10-4b6e-4a51-9d3c-%012d", domid);
    return text;
}

inline std::unique_ptr<Store> open_store(const std::string& directory)
{
    StoreOptions where;
    where.directory = directory;
    where.program = "bench";
    return must(Store::open(where));
}

/// Its standard output goes nowhere.
inline pid_t spawned(std::vector<std::string> words)
{
    std::vector<char*> argv;
    for (auto& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
    pid_t pid = -1;
    if (posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0)
        throw std::runtime_error("cannot run " + words[0]);
    return pid;
}

/// A real QEMU without devices, with its monitor at that path; it ends with this.
class RealQemu {
public:
    explicit RealQemu(const std::string& monitor)
        : pid_(spawned({"qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-machine",
                        "pc,accel=tcg", "-m", "32", "-qmp",
                        "unix:" + monitor + ",server=on,wait=off"}))
    {}
    RealQemu(const RealQemu&) = delete;
    RealQemu& operator=(const RealQemu&) = delete;
    ~RealQemu()
    {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }

private:
    pid_t pid_;
};

/// Its monitor may not listen yet.
inline void register_monitor(Store& store, const DomainRow& domain, const std::string& monitor)
{
    const auto until = soon();
    for (;;) {
        RegisterRequest request;
        request.monitor_path = monitor;
        auto task = register_qemu(store, domain, std::move(request), soon());
        const auto registered = store.loop().wait_for(std::move(task));
        if (registered) return;
        if (Clock::now() > until) throw std::runtime_error(registered.error().message);
        usleep(1000);
    }
}

/// Answers one line of a client's.
inline std::string answer_of_empty_qemu(const std::string& line)
{
    const auto from = line.find('"', line.rfind("\"id\":") + 5);
    const auto id = line.substr(from, line.find('"', from + 1) + 1 - from);
    const auto has = [&](const char* text) { return line.find(text) != std::string::npos; };
    const char* answer = has("human-monitor-command")             ? "\"\""
                         : has("\"query-") || has("\"qom-list\"") ? "[]"
                                                                  : "{}";
    return std::string("{\"return\": ") + answer + ", \"id\": " + id + "}\r\n";
}

/// Answers as a QEMU does that has nothing; a client at a time.
[[noreturn]] inline void serve_as_empty_qemu(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        const int client = accept(listener, nullptr, nullptr);
        const auto say = [&](const std::string& line) {
            (void)!write(client, line.data(), line.size());
        };
        say("{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": 7}, "
            "\"package\": \"\"}, \"capabilities\": []}}\r\n");
        std::string pending;
        char bytes[4096];
        for (ssize_t n = 0; (n = read(client, bytes, sizeof bytes)) > 0;) {
            pending.append(bytes, static_cast<std::size_t>(n));
            for (auto end = pending.find('\n'); end != std::string::npos;
                 end = pending.find('\n')) {
                say(answer_of_empty_qemu(pending.substr(0, end)));
                pending.erase(0, end + 1);
            }
        }
        close(client);
    }
}

/// Processes that answer so. A socket's peer is the process that listens.
class EmptyQemus {
public:
    EmptyQemus() = default;
    EmptyQemus(const EmptyQemus&) = delete;
    EmptyQemus& operator=(const EmptyQemus&) = delete;
    ~EmptyQemus()
    {
        for (const pid_t pid : pids_)
            kill(pid, SIGKILL);
        for (const pid_t pid : pids_)
            waitpid(pid, nullptr, 0);
    }
    void start(const std::string& monitor, int backlog)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, monitor.c_str(), monitor.size());
        const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("bind");
        const pid_t pid = fork();
        if (pid == 0) {
            listen(listener, backlog);
            serve_as_empty_qemu(listener);
        }
        pids_.push_back(pid);
        close(listener);
    }
    /// It answers no more, and does not end.
    void stop(std::size_t which) const { kill(pids_[which], SIGSTOP); }

private:
    std::vector<pid_t> pids_;
};

}  // namespace xlstore::bench

#endif  // XLSTORE_TESTS_BENCH_BENCH_HOST_HPP_
