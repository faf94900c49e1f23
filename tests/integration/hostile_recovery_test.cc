// SPDX-License-Identifier: MIT
// Recovery with a hostile peer, and with one that is silent: what it says of why.
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstring>

#include "tests/integration/hostile_stage.hpp"
#include "tests/support/holder.hpp"

namespace xlstore::test::hostile {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// An attach of a tablet of that name whose QEMU hangs up when it hears the plan.
Script broken_off(const Peer& peer, const World& world = kBorn)
{
    return script({peer.until("device_add", {step::close()}, world), unwilling()});
}

TEST(HostileRecoveryTest, SkipsWhatWasMeantForTheClientBefore)
{
    const std::string leftovers = kEvent + kForeign + "{\"return\": {}}\r\n";
    const Stage stage([&](const Peer& peer) {
        const Script leaking = {step::accept(),    step::send(leftovers + greeting()),
                                step::line(),      step::send(leftovers),
                                step::reply("{}"), step::serve(peer.answers(kBorn))};
        return script({broken_off(peer), leaking, leaking, leaking});
    });
    ASSERT_TRUE(ended(stage.operate("attach", {}), 3));
    EXPECT_TRUE(ended(stage.fsck({"-n"}), 4)) << "looking";
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 0));
}

TEST(HostileRecoveryTest, OneListServesAllOpenIntents)
{
    constexpr int kIntents = 5;
    const Stage stage([](const Peer& peer) {
        Script all;
        for (int i = 0; i < kIntents; ++i)
            all = script({all, broken_off(peer)});
        return script({all, peer.sane(kBorn)});
    });
    for (int i = 0; i < kIntents; ++i)
        ASSERT_TRUE(ended(stage.xl({"attach", "7", "qemu", tablet("t" + std::to_string(i))}), 3));
    const auto lists = [&] {
        const auto lines = stage.qemu().received();
        return std::count_if(lines.begin(), lines.end(), [](const auto& one) {
            return one.line.find(R"("/machine/peripheral")") != std::string::npos;
        });
    };
    const auto before = lists();
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
    EXPECT_EQ(stage.cell("SELECT count(*) FROM intent"), "0");
    EXPECT_EQ(lists() - before, 2) << "one for the intents, one for what is in QEMU beside them";
}

// What QEMU says unasked may mean that the list is no longer true.
TEST(HostileRecoveryTest, AnEventEndsWhatAListSays)
{
    const Stage stage([](const Peer& peer) {
        Script eventful = handshake();
        // Each reply with an event right behind it: the first list is never asked twice by itself.
        for (int i = 0; i < 3; ++i) {
            eventful.push_back(step::line());
            eventful.push_back(step::send("{\"return\": [], \"id\": $id}\r\n" + kEvent));
        }
        eventful.push_back(step::serve(peer.answers(kBorn)));
        return script({broken_off(peer), broken_off(peer), eventful});
    });
    for (const auto* name : {"t0", "t1"})
        ASSERT_TRUE(ended(stage.xl({"attach", "7", "qemu", tablet(name)}), 3));
    const auto before = stage.heard("qom-list");
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
    EXPECT_EQ(stage.cell("SELECT count(*) FROM intent"), "0");
    // Each of two intents looked at and resolved, then peripherals, anonymous and objects.
    EXPECT_EQ(stage.heard("qom-list") - before, 3 + 1 + 3);
}

TEST(HostileRecoveryTest, LeavesTheRestWhenItsTimeIsOver)
{
    constexpr int kIntents = 8;
    std::string there = "[";
    for (int i = 0; i < kIntents; ++i)
        there += (i > 0 ? R"(,{"name":"t)" : R"({"name":"t)") + std::to_string(i) +
                 R"(","type":"child<usb-tablet>"})";
    there += "]";
    const auto devices = [&](milliseconds time) {
        Answer answer = late(returns("qom-list", there), time);
        answer.about = R"(/machine/peripheral")";
        return answer;
    };
    const Stage stage([&](const Peer& peer) {
        const auto with = [&](Answer first) {
            std::vector<Answer> answers = peer.answers(kBorn);
            answers.front() = std::move(first);
            return answers;
        };
        Script all;
        for (int i = 0; i < kIntents; ++i)
            all = script({all, peer.sane(kBorn)});
        for (int i = 0; i < kIntents; ++i)
            all =
                script({all,
                        handshake(),
                        {step::serve(with(devices(milliseconds(0))), "device_del"), step::close()},
                        unwilling()});
        const Script sane = script({handshake(), {step::serve(with(devices(milliseconds(0))))}});
        return script(
            {all, handshake(), {step::serve(with(devices(milliseconds(1200))))}, sane, sane, sane});
    });
    for (const auto* verb : {"attach", "detach"})
        for (int i = 0; i < kIntents; ++i) {
            const std::string name = "t" + std::to_string(i);
            const std::string thing = verb == "attach"s ? tablet(name) : name;
            ASSERT_TRUE(ended(stage.xl({verb, "7", "qemu", thing}), verb == "attach"s ? 0 : 3));
        }
    const Ran ran = stage.fsck({"-p", "--json", "--timeout", "4"});
    EXPECT_TRUE((ran.status & 4) != 0) << ran.out;
    EXPECT_TRUE(contains(ran.out, "\"problem\":\"intents_left\""));
    EXPECT_TRUE(contains(ran.out, "were not looked at"));
    EXPECT_NE(stage.cell("SELECT count(*) FROM intent"), "0");
    // The next run goes on from there.
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
    EXPECT_EQ(stage.cell("SELECT count(*) FROM intent"), "0");
    EXPECT_EQ(stage.cell("SELECT count(*) FROM thing WHERE class = 'qemu' AND state = 'present'"),
              std::to_string(kIntents));
}

// ---- Silence, and why ----

class HostileSilenceTest : public testing::Test {
protected:
    static constexpr int kAttempts = 6;  // those that gave up are still in the accept queue
    void says(const Ran& ran, const std::string& text) const
    {
        EXPECT_TRUE(contains(ran.out + ran.err, text));
        EXPECT_TRUE(harmless(ran.out + ran.err));
    }
};

TEST_F(HostileSilenceTest, NamesTheOtherClientOfTheMonitor)
{
    const Stage stage([](const Peer& peer) {
        Script all = {step::accept(), step::line()};
        for (int i = 0; i < kAttempts; ++i)
            all = script({all, peer.sane(kBorn)});
        return all;
    });
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, stage.monitor().c_str(), stage.monitor().size());
        const Holder other([&] {
            const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
            return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
        });
        const std::string named = "pid " + std::to_string(other.pid()) + " (";
        const Ran ran = stage.operate("attach", {"--timeout", "2"});
        EXPECT_TRUE(ended(ran, 1));
        says(ran, named);
        says(ran, "is connected to it, and a monitor serves one client at a time");
        for (const auto* mode : {"-n", "-p"}) {
            const Ran look = stage.fsck({mode, "--timeout", "2"});
            EXPECT_TRUE(ended(look, 8));
            says(look, named);
        }
    }
    EXPECT_TRUE(ended(stage.operate("attach", {}), 0)) << "it has hung up";
}

TEST_F(HostileSilenceTest, SaysThatQemuIsStopped)
{
    const Stage stage([](const Peer& peer) {
        Script all;
        for (int i = 0; i < kAttempts; ++i)
            all = script({all, peer.sane(kBorn)});
        return all;
    });
    const std::string pid = std::to_string(stage.qemu().pid());
    ASSERT_EQ(kill(stage.qemu().pid(), SIGSTOP), 0);
    const Ran ran = stage.operate("attach", {"--timeout", "1"});
    EXPECT_TRUE(ended(ran, 1));
    says(ran, "its QEMU (pid " + pid + ") is stopped");
    says(ran, "kill -CONT " + pid);
    const Ran look = stage.fsck({"-n", "--timeout", "1"});
    EXPECT_TRUE(ended(look, 8));
    says(look, "its QEMU (pid " + pid + ") is stopped");
    // What it is told to do helps.
    ASSERT_EQ(kill(stage.qemu().pid(), SIGCONT), 0);
    EXPECT_TRUE(ended(stage.operate("attach", {}), 0));
}

TEST_F(HostileSilenceTest, SaysThatNoOtherClientCanBeSeen)
{
    const Stage stage([](const Peer&) { return Script{step::accept(), step::line()}; });
    const Ran ran = stage.operate("attach", {"--timeout", "1"});
    EXPECT_TRUE(ended(ran, 1));
    says(ran, "is not stopped, and no other client of this monitor can be seen");
}

}  // namespace
}  // namespace xlstore::test::hostile
