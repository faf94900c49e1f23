// SPDX-License-Identifier: MIT
// R12 against a real QEMU, again and again: a client is killed right after it sent a command, and
// recovery looks at once whether the command took effect. What it believes has to be true still
// when everything has come to rest.
//
// QEMU is quick; or stopped while the command arrives; or slow, since a client of another monitor
// keeps its one dispatcher busy. Of the dead client either nothing is left, or a copy of its
// connection lives on for a while in a child of its own: then QEMU reads on, and what was sent has
// yet to run when recovery comes. (What a client with no copy left behind, QEMU 7.2 nearly always
// throws away: it sees the hang-up before the command.)
//
// A second ctest runs this in a build without the barrier, whose Monitor::connect() asks at QEMU's
// second monitor, and has to fail: the commands of a copied connection wait for their turn there,
// behind slow ones, and a question at another monitor is answered between two of them.
//
// XLSTORE_BARRIER_RUNS says how many runs.
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "store/qmp/probe.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// It takes QEMU a millisecond or more, and leaves nothing behind.
constexpr const char* kSlow = "{\"execute\":\"query-command-line-options\",\"id\":\"slow\"}\n";
constexpr int kSlowAhead = 20;
constexpr int kBatch = 25;  // runs between two looks at what is really there

std::string slow_commands()
{
    std::string text;
    for (int i = 0; i < kSlowAhead; ++i)
        text += kSlow;
    return text;
}

/// A QMP client with no code of the project's; throws when QEMU is gone.
class Client {
public:
    explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            throw std::runtime_error("cannot connect to " + path);
        line();
        send("{\"execute\":\"qmp_capabilities\"}\n");
        line();
    }
    void send(const std::string& text) const
    {
        if (write(fd_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            throw std::runtime_error("cannot write to a monitor");
    }
    /// Is there something that QEMU has not read yet?
    [[nodiscard]] bool has_unread() const
    {
        int bytes = 0;
        return ioctl(fd_.get(), SIOCOUTQ, &bytes) == 0 && bytes > 0;
    }
    void line()
    {
        while (pending_.find('\n') == std::string::npos) {
            std::array<char, 65536> buffer{};
            const auto n = read(fd_.get(), buffer.data(), buffer.size());
            if (n <= 0) throw std::runtime_error("a monitor hung up");
            pending_.append(buffer.data(), static_cast<std::size_t>(n));
        }
        pending_.erase(0, pending_.find('\n') + 1);
    }

private:
    Fd fd_;
    std::string pending_;
};

struct Scene {
    bool stopped;
    bool busy;
    bool copied;
    microseconds until_killed;  // after it sent
    milliseconds until_woken;   // stopped: the QEMU
    milliseconds until_let_go;  // copied: the connection

    [[nodiscard]] std::string name() const
    {
        return std::string(stopped ? "stopped"
                           : busy  ? "slow"
                                   : "quick") +
               (copied ? ", a copy of the connection lives on" : ", nothing is left of the client");
    }
};

struct Tally {
    int runs = 0;
    int took_effect = 0;
    int wrong = 0;
};

struct Belief {
    std::string label;
    Scene scene;
    bool there;
};

/// Forks a child that does it and ends.
template <class Act>
pid_t in_child(Act act)
{
    const pid_t pid = fork();
    if (pid != 0) return pid;
    try {
        act();
    } catch (const std::exception&) {
        _exit(1);
    }
    _exit(0);
}

void wait_for_child(pid_t pid)
{
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
}

class BarrierTest : public testing::Test {
protected:
    void SetUp() override
    {
        ASSERT_TRUE(wait_until(seconds(30), [&] { return can_connect(judge_path_); }));
        judge_ = std::make_unique<Client>(judge_path_);
        const Deadline until = Clock::now() + seconds(30);
        auto introduced = loop_.wait_for(
            qmp::Monitor::introduce(loop_, monitor_path_, "the QEMU", std::nullopt, until));
        ASSERT_TRUE(introduced) << introduced.error().message;
        const auto qemu = identify(qemu_.pid());
        ASSERT_TRUE(qemu);
        registration_ = {*qemu, monitor_path_, introduced->socket, introduced->peer};
    }

    static bool can_connect(const std::string& path)
    {
        try {
            const Client client(path);
            return true;
        } catch (const std::exception&) {
            return false;
        }
    }

    /// A client that sends, and is killed. Returns when it is dead.
    void send_and_die(const Scene& scene, const std::string& label)
    {
        std::array<int, 2> go{};
        std::array<int, 2> ready{};
        ASSERT_EQ(pipe2(go.data(), O_CLOEXEC), 0);
        ASSERT_EQ(pipe2(ready.data(), O_CLOEXEC), 0);
        const std::array<Fd, 4> ends = {Fd(go[0]), Fd(go[1]), Fd(ready[0]), Fd(ready[1])};
        const pid_t client = in_child([&] {
            close(go[1]);
            const Client monitor(monitor_path_);
            std::string text = R"({"execute":"chardev-add","arguments":{"id":")" + label +
                               R"(","backend":{"type":"null","data":{}}},"id":"dead"})"
                               "\n";
            if (scene.copied) text = slow_commands() + text;
            char byte = 0;
            if (write(ready[1], "r", 1) != 1 || read(go[0], &byte, 1) != 1) _exit(1);
            monitor.send(text);
            if (scene.copied)
                in_child([&] {
                    while (monitor.has_unread())  // let go before, QEMU would throw it away
                        std::this_thread::sleep_for(milliseconds(1));
                    std::this_thread::sleep_for(scene.until_let_go);
                });
            std::this_thread::sleep_for(scene.until_killed);
            kill(getpid(), SIGKILL);
        });
        char byte = 0;
        ASSERT_EQ(read(ready[0], &byte, 1), 1);
        if (scene.busy) judge_->send(slow_commands());
        if (scene.stopped) kill(qemu_.pid(), SIGSTOP);
        ASSERT_EQ(write(go[1], "g", 1), 1);
        wait_for_child(client);
    }

    /// What recovery does: connect, and look whether it is there.
    Task<Evidence> look_for(std::string label, Deadline until)
    {
        Probe probe;
        probe.products.push_back(Product{"chardev", label, std::nullopt});
        // Every other time the question goes with the barrier's command, in one piece.
        std::vector<qmp::Question> ahead;
        if (number_ % 2 == 0) ahead = questions_of(probe);
        auto monitor = co_await qmp::Monitor::connect_asking(loop_, qemus_, registration_,
                                                             "the QEMU", std::move(ahead), until);
        if (!monitor) {
            Evidence nothing;
            nothing.reason = monitor.error().message;
            co_return nothing;
        }
        co_return co_await run_probe(*monitor, Verb::add, probe, until);
    }

    void run_once(const Scene& scene)
    {
        const std::string label = "c" + std::to_string(number_++);
        send_and_die(scene, label);
        pid_t waker = -1;
        if (scene.stopped) {
            waker = in_child([&] {
                std::this_thread::sleep_for(scene.until_woken);
                kill(qemu_.pid(), SIGCONT);
            });
        }
        const auto found = loop_.wait_for(look_for(label, Clock::now() + seconds(60)));
        if (waker > 0) wait_for_child(waker);
        ASSERT_TRUE(found.image) << found.reason;
        beliefs_.push_back({label, scene, *found.image == Image::after});
        if (scene.busy)
            for (int i = 0; i < kSlowAhead; ++i)
                judge_->line();
    }

    /// Everything has come to rest: what is really there?
    void judge_beliefs()
    {
        // The holder of a copy of a connection keeps others from this monitor: it is gone then, and
        // what was sent over it has run or been thrown away.
        ASSERT_TRUE(can_connect(monitor_path_));
        judge_.reset();  // for qmp(): a monitor has one client
        const std::string there = qmp(judge_path_, "query-chardev");
        for (const auto& belief : beliefs_) {
            const bool took_effect = there.find("\"" + belief.label + "\"") != std::string::npos;
            Tally& tally = tallies_[belief.scene.name()];
            ++tally.runs;
            tally.took_effect += took_effect;
            tally.wrong += belief.there != took_effect;
            if (took_effect)
                (void)qmp(judge_path_, "chardev-remove", R"({"id":")" + belief.label + "\"}");
        }
        beliefs_.clear();
        judge_ = std::make_unique<Client>(judge_path_);
    }

    ScratchDirectory directory_;
    std::string monitor_path_ = directory_ / "monitor";
    std::string judge_path_ = directory_ / "judge";
    Child qemu_{{"qemu-system-x86_64", "-machine", "none", "-nodefaults", "-display", "none",
                 "-qmp", "unix:" + monitor_path_ + ",server=on,wait=off", "-qmp",
                 "unix:" + monitor_path_ + ".second,server=on,wait=off", "-qmp",
                 "unix:" + judge_path_ + ",server=on,wait=off"}};
    Loop loop_;
    HeldProcesses qemus_;
    std::unique_ptr<Client> judge_;
    qmp::Registration registration_;
    std::vector<Belief> beliefs_;
    std::map<std::string, Tally> tallies_;
    int number_ = 0;
};

TEST_F(BarrierTest, RecoveryNeverBelievesAWrongProbe)
{
    const char* const given = std::getenv("XLSTORE_BARRIER_RUNS");
    const int runs = given ? std::atoi(given) : 240;
    std::mt19937 random(1);
    const auto below = [&](int bound) { return static_cast<int>(random() % unsigned(bound)); };
    for (int i = 0; i < runs; ++i) {
        run_once({i % 3 == 1, i % 3 == 2, i % 2 == 1, microseconds(below(1000)),
                  milliseconds(below(10)), milliseconds(below(60))});
        if (HasFatalFailure()) return;
        if ((i + 1) % kBatch == 0 || i + 1 == runs) judge_beliefs();
        if (HasFatalFailure()) return;
    }
    Tally all;
    for (const auto& [scene, tally] : tallies_) {
        std::cout << "barrier: " << scene << ": " << tally.runs << " runs, took effect in "
                  << tally.took_effect << ", wrong probes believed " << tally.wrong << "\n";
        all.runs += tally.runs;
        all.took_effect += tally.took_effect;
        all.wrong += tally.wrong;
    }
    EXPECT_EQ(all.runs, runs);
    // Neither answer is always the right one.
    EXPECT_GT(all.took_effect, 0);
    EXPECT_LT(all.took_effect, runs);
    EXPECT_EQ(all.wrong, 0) << "recovery believed a wrong probe";
}

}  // namespace
}  // namespace xlstore::test
