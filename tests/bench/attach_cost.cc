// SPDX-License-Identifier: MIT
// A whole attach beside the bare exchange with the same QEMU, which is a real one: a client that
// knows nothing of stores connects, negotiates, sends the one command, reads the reply and hangs
// up. They take turns. Printed are medians of what passed, and the CPU of this process alone.
// Bar: 1.25 times the bare exchange.
//
//   attach_cost [ROUNDS]      default: 200
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
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

constexpr int kRounds = 200;

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

/// A directory, and a QEMU that ends with it.
struct Place {
    Place()
    {
        if (!mkdtemp(path.data())) throw std::runtime_error("mkdtemp");
        const std::string monitor = "unix:" + path + "/monitor,server=on,wait=off";
        const std::vector<const char*> words = {
            "qemu-system-x86_64", "-S", "-nodefaults", "-display", "none", "-machine",
            "pc,accel=tcg", "-m", "32", "-qmp", monitor.c_str(), nullptr};
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
        if (posix_spawnp(&qemu, words[0], &actions, nullptr, const_cast<char**>(words.data()),
                         environ) != 0)
            throw std::runtime_error("cannot run QEMU");
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place()
    {
        kill(qemu, SIGKILL);
        waitpid(qemu, nullptr, 0);
        std::filesystem::remove_all(path);
    }
    std::string path = "/tmp/xlb-XXXXXX";
    pid_t qemu = -1;
};

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
    const Place place;
    const std::string monitor = place.path + "/monitor";
    const std::string directory = place.path + "/store";
    if (auto made = Store::init(directory); !made) throw std::runtime_error(made.error().message);
    StoreOptions where;
    where.directory = directory;
    where.program = "bench";
    const auto store = must(Store::open(where));
    const auto run = [&](auto task) { return store->loop().wait_for(std::move(task)); };
    auto domain = must(run(import_domain(
        *store, 7,
        R"({"c_info":{"type":"hvm","name":"d","uuid":"8f2c7d10-4b6e-4a51-9d3c-000000000007"},)"
        R"("b_info":{"type.hvm":{}}})",
        "document", soon())));
    for (int tries = 0;; ++tries) {  // it may not listen yet
        RegisterRequest request;
        request.monitor_path = monitor;
        const auto registered = run(register_qemu(*store, domain, std::move(request), soon()));
        if (registered) break;
        if (tries > 1000) throw std::runtime_error(registered.error().message);
        usleep(10'000);
    }
    domain = must(find_domain(store->db(), "domid:7"));
    const std::string add =
        R"({"execute":"chardev-add","arguments":{"id":"probe","backend":{"type":"null","data":{}}}})";
    const std::string thing = R"({"key":"probe","steps":[)" + add + "]}";
    Times whole;
    Times bare;
    for (int i = 0; i < rounds; ++i) {
        whole.take([&] { (void)must(run(attach(*store, domain, "qemu", thing, soon()))); });
        (void)must(run(detach(*store, domain, ThingName{"qemu", "probe"}, soon())));
        bare.take([&] { Bare(monitor).ask(add); });
        Bare(monitor).ask(R"({"execute":"chardev-remove","arguments":{"id":"probe"}})");
    }
    std::printf("attach %.0f us, bare exchange %.0f us: %.2f times (bar 1.25); CPU %.0f and %.0f us\n",
                median(whole.passed), median(bare.passed),
                median(whole.passed) / median(bare.passed), median(whole.used), median(bare.used));
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
