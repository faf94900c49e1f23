// SPDX-License-Identifier: MIT
// What a QEMU with many things in it costs, on a real one.
//
//   attach    an attach of a chardev and of a block node, each over a connection of its own, with
//             nothing in QEMU and with 500 of each. Bar: a chardev no more than 4 times as long.
//             (QEMU 7.2 takes some 0.2 ms a node to list its nodes; there is no other question.)
//   fill      the 500 of each, as one batch over one connection
//   recover   xlfsck -p on one domain with 1500 open intents that came to nothing.
//             Bar: the 10 s that it has for a domain.
//
//   crowded [--xlfsck PROGRAM]
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/classes/class_plan.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/operation.hpp"
#include "tests/bench/bench_host.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

constexpr int kThings = 500;
constexpr int kIntents = 1'500;
constexpr int kRounds = 30;
constexpr double kRatioMost = 4;
constexpr double kRecoveryMost = 10;

double seconds_since(Clock::time_point begun)
{
    return std::chrono::duration<double>(Clock::now() - begun).count();
}

std::string chardev(const std::string& id)
{
    return R"({"key":")" + id + R"(","steps":[{"execute":"chardev-add","arguments":{"id":")" + id +
           R"(","backend":{"type":"null","data":{}}}}]})";
}
std::string node(const std::string& id)
{
    return R"({"key":")" + id +
           R"(","steps":[{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":")" +
           id + R"(","size":4096}}]})";
}

class Bench {
public:
    explicit Bench(const Directory& place)
        : qemu_(place / "monitor"), directory_(place / "store")
    {
        must(Store::init(directory_));
        store_ = open_store(directory_);
        domain_ = must(run(import_domain(
            *store_, 7,
            R"({"c_info":{"type":"hvm","name":"d","uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000007"},)"
            R"("b_info":{"type.hvm":{}}})",
            "document", soon())));
        register_monitor(*store_, domain_, place / "monitor");
    }
    [[nodiscard]] const std::string& directory() const { return directory_; }
    void close() { store_.reset(); }

    /// Milliseconds of an attach, the median of some.
    double attach_time(std::string (*thing)(const std::string&))
    {
        std::vector<double> times;
        for (int i = 0; i < kRounds; ++i) {
            const auto begun = Clock::now();
            (void)must(run(attach(*store_, domain_, "qemu", thing("probe"), soon())));
            times.push_back(seconds_since(begun) * 1e3);
            (void)must(run(detach(*store_, domain_, ThingName{"qemu", "probe"}, soon())));
        }
        std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
        return times[kRounds / 2];
    }
    void fill()
    {
        std::vector<Request> requests;
        for (int i = 0; i < kThings; ++i)
            for (const auto& json :
                 {chardev("c" + std::to_string(i)), node("n" + std::to_string(i))})
                requests.push_back(Request{Request::Kind::attach, "qemu", {}, json});
        for (const auto& outcome :
             must(run(batch(*store_, domain_, std::move(requests), BatchMode::each, soon()))))
            if (!outcome.done) throw std::runtime_error(outcome.done.error().message);
    }
    void open_intents()
    {
        auto hold = must(run(store_->slow_lock(domain_.id, "domain", "bench", soon())));
        Journal journal(*store_);
        for (int i = 0; i < kIntents; ++i) {
            std::vector<Draft> drafts;
            drafts.push_back(must(draft_attach("qemu", chardev("x" + std::to_string(i)))));
            (void)must(run(journal.open(hold, std::move(drafts), "monitor", soon())));
        }
    }

private:
    template <class T>
    T run(Task<T> task)
    {
        return store_->loop().wait_for(std::move(task));
    }
    RealQemu qemu_;
    std::string directory_;
    std::unique_ptr<Store> store_;
    DomainRow domain_;
};

int measure(const std::string& xlfsck)
{
    const Directory place;
    Bench bench(place);
    const double chardev_alone = bench.attach_time(chardev);
    const double node_alone = bench.attach_time(node);
    auto begun = Clock::now();
    bench.fill();
    const double filled = seconds_since(begun);
    const double chardev_crowded = bench.attach_time(chardev);
    const double node_crowded = bench.attach_time(node);
    std::printf("attach   a chardev %6.2f ms, among %d things %6.2f ms: %.1f times\n",
                chardev_alone, 2 * kThings, chardev_crowded, chardev_crowded / chardev_alone);
    std::printf("attach   a node    %6.2f ms, among %d things %6.2f ms: %.1f times\n", node_alone,
                2 * kThings, node_crowded, node_crowded / node_alone);
    std::printf("fill     %d things as one batch %5.2f s, %.2f ms each\n", 2 * kThings, filled,
                filled * 1e3 / (2 * kThings));
    bench.open_intents();
    bench.close();
    begun = Clock::now();
    int status = 0;
    waitpid(spawned({xlfsck, "--store", bench.directory(), "-p"}), &status, 0);
    const double recovered = seconds_since(begun);
    std::printf("recover  %d open intents %5.2f s, exit status %d\n", kIntents, recovered,
                WEXITSTATUS(status));
    const bool good = chardev_crowded <= kRatioMost * chardev_alone && WIFEXITED(status) &&
                      WEXITSTATUS(status) == 1 && recovered <= kRecoveryMost;
    return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    const std::string xlfsck =
        argc == 3 && std::string(argv[1]) == "--xlfsck" ? argv[2] : own + "/xlfsck";
    try {
        return measure(xlfsck);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "crowded: %s\n", e.what());
        return 1;
    }
}
