// SPDX-License-Identifier: MIT
// What an embedder with an external QMP client pays, without its QMP: slow lock, intend, settle,
// with all checks of its connection to a real QEMU, beside the internal two commits of the same
// change of the same CD drive. They take turns, so that the counter "ratio" is of one moment.
// Bar: 1.1.
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "store/capi/handle.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/core/store.hpp"
#include "xlstore/xlstore.h"

namespace {

using namespace xlstore;

constexpr const char* kDisk =
    R"({"pdev_path":"/srv/xen/b.iso","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1})";

std::string document(std::int64_t things)
{
    std::string text =
        R"({"c_info":{"type":"hvm","name":"bench","uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"},)"
        R"("b_info":{"type.hvm":{}},"disks":[{"pdev_path":"","vdev":"hdc","format":"empty",)"
        R"("removable":1,"is_cdrom":1}],"nics":[)";
    for (std::int64_t i = 1; i < things; ++i)
        text +=
            (i > 1 ? "," : "") + (R"({"devid":)" + std::to_string(i) + R"(,"model":"rtl8139"})");
    return text + "]}";
}

void must(int32_t status)
{
    if (status == XLSTORE_OK) return;
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    throw std::runtime_error(error.message);
}

/// A store with one domain of so many things, whose QEMU has an empty CD drive; and a connection to
/// its monitor.
class Fixture {
public:
    explicit Fixture(std::int64_t things)
    {
        std::string name = (std::filesystem::temp_directory_path() / "xlb-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
        directory_ = name;
        const std::string where = directory_ + "/s";
        must(xlstore_init(where.c_str(), nullptr));
        must(xlstore_open(where.c_str(), nullptr, &embedder));
        const char* const command[] = {"qemu-system-x86_64",
                                       "-nodefaults",
                                       "-display",
                                       "none",
                                       "-S",
                                       "-machine",
                                       "pc,accel=tcg",
                                       "-m",
                                       "32",
                                       "-drive",
                                       "if=none,readonly=on,id=ide-5632",
                                       "-device",
                                       "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
                                       nullptr};
        must(xlstore_create(embedder, 1, document(things).c_str(), command, nullptr, nullptr));

        auto row = find_domain(store().db(), "domid:1");
        if (!row) throw std::runtime_error(row.error().message);
        domain = *row;

        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        domain.registration->path.copy(address.sun_path, sizeof address.sun_path - 1);
        monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(monitor, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("connect");
    }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;
    ~Fixture()
    {
        close(monitor);
        xlstore_destroy(embedder, "domid:1", nullptr, nullptr);
        xlstore_close(embedder);
        std::filesystem::remove_all(directory_);
    }

    /// What is behind the embedder's handle: both use the same connection to the database.
    [[nodiscard]] Store& store() const { return *embedder->state->store; }

    xlstore_store* embedder = nullptr;
    DomainRow domain;
    int monitor = -1;

private:
    std::string directory_;
};

Task<bool> two_commits(Fixture& fixture, Draft draft)
{
    Journal journal(fixture.store());
    const auto until = Clock::now() + std::chrono::seconds(30);
    auto hold = co_await fixture.store().slow_lock(fixture.domain.id, "bench", "bench", until);
    if (!hold) co_return false;
    std::vector<Draft> drafts;
    drafts.push_back(std::move(draft));
    auto intents =
        co_await journal.open(*hold, std::move(drafts), fixture.domain.registration->path, until);
    if (!intents) co_return false;
    auto settled =
        co_await journal.settle(*hold, *intents, Image::after, "QEMU acknowledged", until);
    co_return settled.has_value();
}

bool embedded(Fixture& fixture)
{
    xlstore_hold* hold = nullptr;
    std::int64_t intent = 0;
    xlstore_intention intention = XLSTORE_INTENTION_INIT;
    intention.operation = XLSTORE_CHANGE;
    intention.device_class = "disks";
    intention.key = "hdc";
    intention.json = kDisk;
    intention.monitor_path = fixture.domain.registration->path.c_str();
    intention.monitor_fd = fixture.monitor;
    intention.seen = XLSTORE_SEEN_BEFORE;
    const bool done =
        xlstore_slow_lock(fixture.embedder, "domid:1", "bench", nullptr, &hold) == XLSTORE_OK &&
        xlstore_intend(hold, &intention, nullptr, &intent) == XLSTORE_OK &&
        xlstore_settle(hold, intent, XLSTORE_SEEN_AFTER, "QEMU acknowledged", nullptr) ==
            XLSTORE_OK;
    xlstore_hold_release(hold);
    return done;
}

/// Time that has passed, and what this thread has used of it: on a busy machine the second is
/// steadier.
struct Moment {
    std::chrono::duration<double> passed = std::chrono::steady_clock::now().time_since_epoch();
    std::chrono::duration<double> used = cpu_time();

    static std::chrono::duration<double> cpu_time()
    {
        timespec now{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
    }
};

void external_qmp_cost(benchmark::State& state)
{
    Fixture fixture(state.range(0));
    const auto entry =
        read_thing(fixture.store().db(), fixture.domain.id, ThingName{"disks", "hdc"});
    const auto draft = draft_change(*entry, kDisk);
    if (!draft) throw std::runtime_error(draft.error().message);
    std::chrono::duration<double> internal{}, internal_cpu{}, ours{}, ours_cpu{};
    for (auto _ : state) {
        const Moment begun;
        bool done = fixture.store().loop().wait_for(two_commits(fixture, *draft));
        const Moment between;
        done = embedded(fixture) && done;
        const Moment ended;
        if (!done) {
            state.SkipWithError("an operation failed");
            break;
        }
        internal += between.passed - begun.passed;
        internal_cpu += between.used - begun.used;
        ours += ended.passed - between.passed;
        ours_cpu += ended.used - between.used;
        state.SetIterationTime((ended.passed - between.passed).count());
    }
    state.counters["two_commits_us"] =
        benchmark::Counter(internal.count() * 1e6, benchmark::Counter::kAvgIterations);
    state.counters["ratio"] = ours / internal;
    state.counters["cpu_ratio"] = ours_cpu / internal_cpu;
    state.SetLabel("bar: cpu_ratio 1.1");
}
BENCHMARK(external_qmp_cost)
    ->Arg(5)
    ->Arg(60)
    ->Arg(1000)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
