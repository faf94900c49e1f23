// SPDX-License-Identifier: MIT
// The two commits of one operation (a CD change) with all their locks, but without QMP, on a store
// with one domain of so many disks.
#ifndef XLSTORE_TESTS_BENCH_TWO_COMMITS_HPP_
#define XLSTORE_TESTS_BENCH_TWO_COMMITS_HPP_

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/new_domain.hpp"

namespace xlstore::bench {

inline constexpr const char* kUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01";

inline std::string disk(std::int64_t i)
{
    return R"({"pdev_path":"/srv/xen/disk)" + std::to_string(i) + R"(.img","vdev":"d)" +
           std::to_string(i) + R"(","format":"raw","removable":1,"is_cdrom":1})";
}

inline std::string document(std::int64_t things)
{
    std::string text = R"({"c_info":{"type":"hvm","name":"bench","uuid":")" + std::string(kUuid) +
                       R"("},"b_info":{"type.hvm":{}},"disks":[)";
    for (std::int64_t i = 0; i < things; ++i)
        text += (i ? "," : "") + disk(i);
    return text + "]}";
}

/// A store with one imported domain of so many disks.
class Fixture {
public:
    explicit Fixture(std::int64_t things)
    {
        std::string name =
            (std::filesystem::temp_directory_path() / "xlstore-bench-XXXXXX").string();
        if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
        directory_ = name;
        if (auto made = Store::init(directory_ + "/s"); !made)
            throw std::runtime_error(made.error().message);
        StoreOptions options;
        options.directory = directory_ + "/s";
        auto opened = Store::open(options);
        if (!opened) throw std::runtime_error(opened.error().message);
        store = *std::move(opened);
        auto imported =
            store->loop().wait_for(import_domain(*store, 1, document(things), "bench", soon()));
        if (!imported) throw std::runtime_error(imported.error().message);
        domain = *imported;
    }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;
    ~Fixture()
    {
        store.reset();
        std::filesystem::remove_all(directory_);
    }
    static Deadline soon() { return Clock::now() + std::chrono::seconds(30); }
    [[nodiscard]] std::string database() const { return directory_ + "/s/store.db"; }

    std::unique_ptr<Store> store;
    DomainRow domain;

private:
    std::string directory_;
};

inline Draft change(const Fixture& fixture, std::int64_t key)
{
    const auto entry = read_thing(fixture.store->db(), fixture.domain.id,
                                  ThingName{"disks", "d" + std::to_string(key)});
    Draft draft{Verb::change, entry->name, entry->json, entry->json, entry->json, {}};
    draft.plan.steps.push_back(Step{{"eject", R"({"id":"ide-5632"})"}, std::nullopt, {}, {}});
    draft.plan.probe.drive = DriveProbe{"ide-5632", "raw:/srv/xen/a.iso", "raw:/srv/xen/b.iso", {}, {}};
    return draft;
}

inline Task<bool> one_operation(Fixture& fixture, Draft draft)
{
    Journal journal(*fixture.store);
    const auto until = Fixture::soon();
    auto hold = co_await fixture.store->slow_lock(fixture.domain.id, "bench", "bench", until);
    if (!hold) co_return false;
    std::vector<Draft> drafts;
    drafts.push_back(std::move(draft));
    auto intents = co_await journal.open(*hold, std::move(drafts), "/run/qmp", until);
    if (!intents) co_return false;
    auto settled =
        co_await journal.settle(*hold, *intents, Image::after, "QEMU acknowledged", until);
    co_return settled.has_value();
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

/// Of many rounds, in microseconds. Medians: a round in which another process had the CPU, or in
/// which the log was copied into the database, does not decide.
class Times {
public:
    void add(const Moment& begun, const Moment& ended)
    {
        passed_.push_back((ended.passed - begun.passed).count() * 1e6);
        used_.push_back((ended.used - begun.used).count() * 1e6);
    }
    [[nodiscard]] double passed() const { return median(passed_); }
    [[nodiscard]] double used() const { return median(used_); }

private:
    static double median(std::vector<double> values)
    {
        const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
        std::nth_element(values.begin(), middle, values.end());
        return middle == values.end() ? 0 : *middle;
    }
    std::vector<double> passed_;
    std::vector<double> used_;
};

}  // namespace xlstore::bench

#endif  // XLSTORE_TESTS_BENCH_TWO_COMMITS_HPP_
