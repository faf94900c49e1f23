// SPDX-License-Identifier: MIT
// Does an operation cost more the more domains a host has? Each domain has a process of its own
// that answers as a QEMU does which has nothing; 16 processes attach and detach a chardev, each in
// domains of its own, as fast as they can. Measured with 100 domains and with 1000, in turns:
// operations a second of all, and the longest of the shortest 50 and 99 of 100. Bar: both flat.
//
//   many_domains [SECONDS [DOMAINS...]]     default: 5 100 1000
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/operation/operation.hpp"
#include "tests/bench/bench_host.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

constexpr int kWorkers = 16;
constexpr double kSeconds = 5;
const std::string kThing =
    R"({"key":"c","steps":[{"execute":"chardev-add","arguments":{"id":"c","backend":{"type":"null","data":{}}}}]})";

std::string document_of(int domid)
{
    return R"({"c_info":{"type":"hvm","name":"d)" + std::to_string(domid) + R"(","uuid":")" +
           uuid_of(domid) + R"("},"b_info":{"type.hvm":{}},"nics":[{"devid":0},{"devid":1},{"devid":2}]})";
}

/// A store of so many domains, and their monitors.
class Host {
public:
    explicit Host(int domains) : domains_(domains)
    {
        must(Store::init(where_ / "s"));
        for (int domid = 1; domid <= domains; ++domid)
            monitors_.start(monitor(domid), 4);
        const auto store = open_store(where_ / "s");
        for (int domid = 1; domid <= domains; ++domid) {
            auto domain = must(store->loop().wait_for(
                import_domain(*store, domid, document_of(domid), "document", soon())));
            register_monitor(*store, domain, monitor(domid));
        }
    }
    /// Milliseconds of each operation that one process did.
    std::vector<double> work(int worker, double seconds) const
    {
        std::vector<double> times;
        const auto store = open_store(where_ / "s");
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
    Directory where_;
    int domains_;
    EmptyQemus monitors_;
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
