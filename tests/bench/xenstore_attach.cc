// SPDX-License-Identifier: MIT
// What an entry costs: one attach of a nic to xenstore (connection, looks, the entry's commit, the
// transaction) beside the bare transaction of the same nodes over an open connection.
// XENSTORED_PATH has to name a xenstored that may be written to as one likes; domain 7 below it is
// made and taken away.
//
//   xenstore_attach [ROUNDS]
//
// Prints the medians in microseconds and their ratio; the ratio counts, single figures do not.
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/classes/xenstore_device.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/creation.hpp"
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

double median(std::vector<double> times)
{
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

void measure(const std::string& directory, int rounds)
{
    must(Store::init(directory + "/s"));
    StoreOptions options;
    options.directory = directory + "/s";
    const auto store = must(Store::open(options));
    Loop& loop = store->loop();
    const std::string document = R"({"c_info":{"type":"pv","name":"bench","uuid":")" +
                                 std::string(kUuid) + R"(","run_hotplug_scripts":"False"},"b_info":{"type.pv":{}}})";
    const auto domain = must(loop.wait_for(import_domain(*store, 7, document, "bench", soon())));
    auto client =
        must(loop.wait_for(xenstore::Client::connect(loop, xenstore::socket_path(), soon())));
    const std::string vm = "/vm/" + std::string(kUuid);
    must(loop.wait_for(client.write("/local/domain/7/vm", vm, 0, soon())));
    const auto device = must(xenstore_device("nics", kNic, XenstoreHost()));
    const auto paths = xenstore::device_paths(7, device);
    const std::string state = paths.back + "/state";

    std::vector<double> bare;
    std::vector<double> whole;
    for (int i = 0; i < rounds; ++i) {
        bare.push_back(microseconds([&] {
            const auto in = must(loop.wait_for(client.begin(soon())));
            (void)must(loop.wait_for(client.ask(xenstore::requests_to_add(7, device, in), soon())));
            if (!must(loop.wait_for(client.commit(in, soon()))))
                throw std::runtime_error("another client is at work");
        }));
        (void)must(loop.wait_for(client.ask(xenstore::requests_to_remove(paths, 0), soon())));
        whole.push_back(microseconds(
            [&] { (void)must(loop.wait_for(attach(*store, domain, "nics", kNic, soon()))); }));
        must(loop.wait_for(client.write(state, "6", 0, soon())));
        (void)must(loop.wait_for(detach(*store, domain, ThingName{"nics", "0"}, soon())));
    }
    for (const char* node : {"/local/domain/7", "/libxl/7"})
        must(loop.wait_for(client.remove(node, 0, soon())));
    std::printf("bare transaction %.0f us, attach %.0f us: %.2f times\n", median(bare),
                median(whole), median(whole) / median(bare));
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
