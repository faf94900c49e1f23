// SPDX-License-Identifier: MIT
// Does an operation cost more the more domains a host has? Each domain has a process of its own
// that answers as a QEMU does which has nothing; 16 processes attach and detach a chardev, each in
// domains of its own, as fast as they can. Measured with 100 domains and with 1000, in turns:
// operations a second of all, and the longest of the shortest 50 and 99 of 100. Bar: both flat.
//
//   many_domains [SECONDS [DOMAINS...]]     default: 5 100 1000
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/operation/operation.hpp"

namespace {

using namespace xlstore;

constexpr int kWorkers = 16;
constexpr double kSeconds = 5;
const std::string kThing =
    R"({"key":"c","steps":[{"execute":"chardev-add","arguments":{"id":"c","backend":{"type":"null","data":{}}}}]})";

template <class T>
T must(Result<T> result)
{
    if (!result) throw std::runtime_error(result.error().message);
    return *std::move(result);
}

Deadline soon()
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

// A client at a time.
[[noreturn]] void serve(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    listen(listener, 4);
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
                const std::string line = pending.substr(0, end);
                pending.erase(0, end + 1);
                const auto from = line.find('"', line.rfind("\"id\":") + 5);
                const auto id = line.substr(from, line.find('"', from + 1) + 1 - from);
                const auto has = [&](const char* text) {
                    return line.find(text) != std::string::npos;
                };
                const char* answer = has("human-monitor-command")             ? "\"\""
                                     : has("\"query-") || has("\"qom-list\"") ? "[]"
                                                                              : "{}";
                say(std::string("{\"return\": ") + answer + ", \"id\": " + id + "}\r\n");
            }
        }
        close(client);
    }
}

std::string document_of(int domid)
{
    char uuid[64];
    std::snprintf(uuid, sizeof uuid, "8f2c7d10-4b6e-4a51-9d3c-%012d", domid);
    return R"({"c_info":{"type":"hvm","name":"d)" + std::to_string(domid) + R"(","uuid":")" + uuid +
           R"("},"b_info":{"type.hvm":{}},"nics":[{"devid":0},{"devid":1},{"devid":2}]})";
}

/// A store of so many domains, and their monitors.
class Host {
public:
    explicit Host(int domains) : domains_(domains)
    {
        if (auto made = Store::init(where_ / "s"); !made)
            throw std::runtime_error(made.error().message);
        for (int domid = 1; domid <= domains; ++domid)
            monitors_.push_back(start_monitor(monitor(domid)));
        const auto store = open();
        for (int domid = 1; domid <= domains; ++domid) {
            auto domain = must(store->loop().wait_for(
                import_domain(*store, domid, document_of(domid), "document", soon())));
            for (;;) {  // it may not listen yet
                RegisterRequest request;
                request.monitor_path = monitor(domid);
                if (store->loop().wait_for(
                        register_qemu(*store, domain, std::move(request), soon())))
                    break;
                usleep(1000);
            }
        }
    }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;
    ~Host()
    {
        for (const pid_t pid : monitors_)
            kill(pid, SIGKILL);
        for (const pid_t pid : monitors_)
            waitpid(pid, nullptr, 0);
    }

    /// Milliseconds of each operation that one process did.
    std::vector<double> work(int worker, double seconds) const
    {
        std::vector<double> times;
        const auto store = open();
        const auto until = Clock::now() + std::chrono::duration<double>(seconds);
        for (int domid = worker + 1; Clock::now() < until; domid += kWorkers) {
            if (domid > domains_) domid = worker + 1;
            const auto begun = Clock::now();
            const auto row = must(find_domain(store->db(), "domid:" + std::to_string(domid)));
            (void)must(store->loop().wait_for(attach(*store, row, "qemu", kThing, soon())));
            const auto between = Clock::now();
            (void)must(
                store->loop().wait_for(detach(*store, row, ThingName{"qemu", "c"}, soon())));
            const auto ms = [](auto passed) {
                return std::chrono::duration<double, std::milli>(passed).count();
            };
            times.push_back(ms(between - begun));
            times.push_back(ms(Clock::now() - between));
        }
        return times;
    }

private:
    [[nodiscard]] std::string monitor(int domid) const
    {
        return where_ / ("m" + std::to_string(domid));
    }
    [[nodiscard]] std::unique_ptr<Store> open() const
    {
        StoreOptions options;
        options.directory = where_ / "s";
        options.program = "bench";
        return must(Store::open(options));
    }
    // QEMU's end of the socket is the process that listens.
    static pid_t start_monitor(const std::string& path)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("bind");
        const pid_t pid = fork();
        if (pid == 0) serve(listener);
        close(listener);
        return pid;
    }

    Directory where_;
    int domains_;
    std::vector<pid_t> monitors_;
};

double part(std::vector<double>& times, double share)
{
    const auto at =
        times.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(times.size() - 1));
    std::nth_element(times.begin(), at, times.end());
    return *at;
}

void measure(const Host& host, int domains, double seconds)
{
    std::vector<int> pipes;
    std::vector<pid_t> workers;
    for (int worker = 0; worker < kWorkers; ++worker) {
        int ends[2];
        if (pipe(ends) != 0) throw std::runtime_error("pipe");
        const pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            try {
                for (const double time : host.work(worker, seconds))
                    (void)!write(ends[1], &time, sizeof time);
                _exit(0);
            } catch (const std::exception& e) {
                std::fprintf(stderr, "worker: %s\n", e.what());
                _exit(1);
            }
        }
        close(ends[1]);
        pipes.push_back(ends[0]);
        workers.push_back(pid);
    }
    std::vector<double> times;
    for (const int end : pipes) {
        double time = 0;
        while (read(end, &time, sizeof time) == sizeof time)
            times.push_back(time);
        close(end);
    }
    rusage before{};
    getrusage(RUSAGE_CHILDREN, &before);
    for (const pid_t pid : workers) {
        int status = 0;
        waitpid(pid, &status, 0);
        if (status != 0) throw std::runtime_error("a worker failed");
    }
    rusage after{};
    getrusage(RUSAGE_CHILDREN, &after);
    const auto cpu = [](const rusage& usage) {
        return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
               static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    };
    const auto count = static_cast<double>(times.size());
    std::printf("%5d domains: %6.0f operations/s, half of them in %6.2f ms, 99 of 100 in %7.2f ms, "
                "%5.0f us of CPU each\n",
                domains, count / seconds, part(times, 0.5), part(times, 0.99),
                (cpu(after) - cpu(before)) / count);
}

}  // namespace

int main(int argc, char** argv)
{
    const double seconds = argc > 1 ? std::atof(argv[1]) : kSeconds;
    std::vector<int> sizes;
    for (int i = 2; i < argc; ++i)
        sizes.push_back(std::atoi(argv[i]));
    if (sizes.empty()) sizes = {100, 1000};
    try {
        std::vector<std::unique_ptr<Host>> hosts;
        for (const int domains : sizes)
            hosts.push_back(std::make_unique<Host>(domains));
        for (int round = 0; round < 3; ++round)
            for (std::size_t i = 0; i < sizes.size(); ++i)
                measure(*hosts[i], sizes[i], seconds);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "many_domains: %s\n", e.what());
        return 1;
    }
}
