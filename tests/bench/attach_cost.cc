// SPDX-License-Identifier: MIT
// A whole attach beside the bare exchange with the same QEMU, which is a real one: a client that
// knows nothing of stores connects, negotiates, sends the one command, reads the reply and hangs
// up; and beside one that asks QEMU first whether it has that name, as R16 demands. They take turns.
// Printed are medians of what passed, and the CPU of this process alone. Bar: 1.25 times the bare
// exchange.
//
//   attach_cost [ROUNDS]      default: 200
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
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

constexpr int kRounds = 200;

/// A client that only talks.
class Bare {
public:
    explicit Bare(const std::string& path)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("connect");
        (void)line();
        ask(R"({"execute":"qmp_capabilities"})");
    }
    Bare(const Bare&) = delete;
    Bare& operator=(const Bare&) = delete;
    ~Bare() { close(fd_); }
    void ask(const std::string& command)
    {
        if (send(fd_, command.data(), command.size(), MSG_NOSIGNAL) < 0)
            throw std::runtime_error("send");
        if (line().find("\"return\"") == std::string::npos) throw std::runtime_error(command);
    }

private:
    std::string line()
    {
        for (;;) {
            const auto end = pending_.find('\n');
            if (end != std::string::npos) {
                auto found = pending_.substr(0, end);
                pending_.erase(0, end + 1);
                return found;
            }
            char bytes[4096];
            const auto n = read(fd_, bytes, sizeof bytes);
            if (n <= 0) throw std::runtime_error("read");
            pending_.append(bytes, static_cast<std::size_t>(n));
        }
    }
    int fd_;
    std::string pending_;
};

double now_us(clockid_t clock)
{
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// Of many rounds.
struct Times {
    std::vector<double> passed;
    std::vector<double> used;

    template <class Work>
    void take(Work work)
    {
        const double begun = now_us(CLOCK_MONOTONIC);
        const double cpu = now_us(CLOCK_PROCESS_CPUTIME_ID);
        work();
        used.push_back(now_us(CLOCK_PROCESS_CPUTIME_ID) - cpu);
        passed.push_back(now_us(CLOCK_MONOTONIC) - begun);
    }
};

double median(std::vector<double> values)
{
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

void measure(int rounds)
{
    const Directory place;
    const std::string monitor = place / "monitor";
    const RealQemu qemu(monitor);
    must(Store::init(place / "store"));
    const auto store = open_store(place / "store");
    const auto run = [&](auto task) { return store->loop().wait_for(std::move(task)); };
    auto domain = must(run(import_domain(
        *store, 7,
        R"({"c_info":{"type":"hvm","name":"d","uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000007"},)"
        R"("b_info":{"type.hvm":{}}})",
        "document", soon())));
    register_monitor(*store, domain, monitor);
    domain = must(find_domain(store->db(), "domid:7"));
    const std::string add =
        R"({"execute":"chardev-add","arguments":{"id":"probe","backend":{"type":"null","data":{}}}})";
    const std::string thing = R"({"key":"probe","steps":[)" + add + "]}";
    const std::string remove = R"({"execute":"chardev-remove","arguments":{"id":"probe"}})";
    Times whole;
    Times bare;
    Times looking;
    for (int i = 0; i < rounds; ++i) {
        whole.take([&] { (void)must(run(attach(*store, domain, "qemu", thing, soon()))); });
        (void)must(run(detach(*store, domain, ThingName{"qemu", "probe"}, soon())));
        bare.take([&] { Bare(monitor).ask(add); });
        Bare(monitor).ask(remove);
        looking.take([&] {
            Bare client(monitor);
            client.ask(R"({"execute":"query-chardev"})");
            client.ask(add);
        });
        Bare(monitor).ask(remove);
    }
    std::printf("attach %.0f us, bare exchange %.0f us: %.2f times (bar 1.25); CPU %.0f and %.0f us\n",
                median(whole.passed), median(bare.passed),
                median(whole.passed) / median(bare.passed), median(whole.used), median(bare.used));
    std::printf("beside one that looks first, %.0f us: %.2f times\n", median(looking.passed),
                median(whole.passed) / median(looking.passed));
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        measure(argc > 1 ? std::atoi(argv[1]) : kRounds);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "attach_cost: %s\n", e.what());
        return 1;
    }
}
