// SPDX-License-Identifier: MIT
// What an entry costs: one attach of a nic to xenstore (connection, looks, the entry's commit, the
// transaction) beside the bare transaction of the same nodes over an open connection. And how that,
// and a detach, grow with what the domain has: among 1, 32 and 1000 other things of xenstore's.
// XENSTORED_PATH has to name a xenstored that may be written to as one likes; domain 7 below it is
// made and taken away.
//
//   xenstore_attach [ROUNDS]
//
// Prints the medians in microseconds and their ratios; the ratios count, single figures do not. Own
// CPU is that of an attach and a detach together, without xenstored's.
#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/classes/xenstore_device.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/operation/operation.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace {

using namespace xlstore;

constexpr const char* kUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01";
constexpr const char* kNic = R"({"devid":0,"mac":"00:16:3e:00:00:01","nictype":"vif"})";

Deadline soon()
{
    return Clock::now() + std::chrono::seconds(30);
}

template <class T>
T must(Result<T> result)
{
    if (!result) throw std::runtime_error(result.error().message);
    return *std::move(result);
}

void must(Result<void> result)
{
    if (!result) throw std::runtime_error(result.error().message);
}

template <class Work>
double microseconds(Work work)
{
    const auto begin = Clock::now();
    work();
    return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

double cpu_microseconds()
{
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double median(std::vector<double> times)
{
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

class Bench {
public:
    Bench(const std::string& directory, int rounds) : rounds_(rounds)
    {
        must(Store::init(directory + "/s"));
        StoreOptions options;
        options.directory = directory + "/s";
        store_ = must(Store::open(options));
        const std::string document = R"({"c_info":{"type":"pv","name":"bench","uuid":")" +
                                     std::string(kUuid) +
                                     R"(","run_hotplug_scripts":"False"},"b_info":{"type.pv":{}}})";
        domain_ = must(run(import_domain(*store_, 7, document, "bench", soon())));
        client_.emplace(must(
            run(xenstore::Client::connect(store_->loop(), xenstore::socket_path(), soon()))));
        const std::string vm = "/vm/" + std::string(kUuid);
        must(run(client_->write("/local/domain/7/vm", vm, 0, soon())));
    }
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;
    ~Bench()
    {
        for (const char* node : {"/local/domain/7", "/libxl/7", "/local/domain/0/backend/vtpm/7"})
            (void)run(client_->remove(node, 0, soon()));
    }

    /// Until the domain has so many other things.
    void fill(int things)
    {
        for (; things_ < things; ++things_) {
            const std::string tpm = R"({"devid":)" + std::to_string(things_) + "}";
            (void)must(run(attach(*store_, domain_, "vtpms", tpm, soon())));
        }
    }

    struct Times {
        double attach;
        double detach;
        double cpu;  // of this process, for both
    };
    Times of_a_nic()
    {
        const std::string state = "/local/domain/0/backend/vif/7/0/state";
        std::vector<double> attached;
        std::vector<double> detached;
        const double before = cpu_microseconds();
        for (int i = 0; i < rounds_; ++i) {
            attached.push_back(microseconds(
                [&] { (void)must(run(attach(*store_, domain_, "nics", kNic, soon()))); }));
            must(run(client_->write(state, "6", 0, soon())));
            detached.push_back(microseconds([&] {
                (void)must(run(detach(*store_, domain_, ThingName{"nics", "0"}, soon())));
            }));
        }
        return {median(attached), median(detached), (cpu_microseconds() - before) / rounds_};
    }
    double of_the_bare_transaction()
    {
        const auto device = must(xenstore_device("nics", kNic, XenstoreHost()));
        const auto paths = xenstore::device_paths(7, device);
        std::vector<double> bare;
        for (int i = 0; i < rounds_; ++i) {
            bare.push_back(microseconds([&] {
                const auto in = must(run(client_->begin(soon())));
                (void)must(run(client_->ask(xenstore::requests_to_add(7, device, in), soon())));
                if (!must(run(client_->commit(in, soon()))))
                    throw std::runtime_error("another client is at work");
            }));
            (void)must(run(client_->ask(xenstore::requests_to_remove(paths, 0), soon())));
        }
        return median(bare);
    }

private:
    template <class T>
    T run(Task<T> task)
    {
        return store_->loop().wait_for(std::move(task));
    }

    int rounds_;
    int things_ = 0;
    std::unique_ptr<Store> store_;
    DomainRow domain_;
    std::optional<xenstore::Client> client_;
};

void measure(const std::string& directory, int rounds)
{
    Bench bench(directory, rounds);
    const double bare = bench.of_the_bare_transaction();
    const auto alone = bench.of_a_nic();
    std::printf("bare transaction %.0f us, attach %.0f us: %.2f times\n", bare, alone.attach,
                alone.attach / bare);
    std::optional<Bench::Times> first;
    for (const int things : {1, 32, 1000}) {
        bench.fill(things);
        const auto times = bench.of_a_nic();
        if (!first) first = times;
        std::printf(
            "among %4d things: attach %.0f us, %.2f times; detach %.0f us, %.2f times; "
            "own CPU %.0f us, %.2f times; bare transaction %.0f us\n",
            things, times.attach, times.attach / first->attach, times.detach,
            times.detach / first->detach, times.cpu, times.cpu / first->cpu,
            bench.of_the_bare_transaction());
    }
}

}  // namespace

int main(int argc, char** argv)
{
    std::string directory =
        (std::filesystem::temp_directory_path() / "xlstore-bench-XXXXXX").string();
    if (!mkdtemp(directory.data())) return 1;
    int status = 0;
    try {
        measure(directory, argc > 1 ? std::atoi(argv[1]) : 200);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "xenstore_attach: %s\n", error.what());
        status = 1;
    }
    std::filesystem::remove_all(directory);
    return status;
}
