// SPDX-License-Identifier: MIT
// A hostile peer in each case of the table (hostile_cases.cc), a slow one, and one that says too
// much.
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "store/core/domain.hpp"
#include "store/lifecycle/finish_creation.hpp"
#include "tests/integration/hostile_cases.hpp"
#include "tests/integration/hostile_stage.hpp"

namespace xlstore::test::hostile {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

class HostileTest : public testing::TestWithParam<Case> {};

TEST_P(HostileTest, EndsTrulyInBounds)
{
    const Case& one = GetParam();
    const Stage stage([&](const Peer& peer) {
        World truth = one.truth;
        truth.plain = one.operation != "detach";
        const Script sane = peer.sane(truth);
        return script({peer.sane(kBorn), one.hostile(peer), sane, sane, sane});
    });
    // The state that the operation starts in, and what such an operation needs.
    const Ran plain = one.operation == "detach"
                          ? stage.operate("attach", {})
                          : stage.xl({"attach", "7", "qemu", chardev("plain")});
    ASSERT_TRUE(ended(plain, 0));
    const auto rows = dump(stage.store().path());

    const auto begun = std::chrono::steady_clock::now();
    const Ran ran =
        stage.operate(one.operation, {"--json", "--timeout", std::to_string(one.timeout.count())});
    const auto took = std::chrono::steady_clock::now() - begun;

    EXPECT_TRUE(ended(ran, one.code.empty() ? 0 : one.open() ? 3 : 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), one.code) << ran.out;
    EXPECT_TRUE(harmless(ran.out + ran.err));
    EXPECT_EQ(stage.entry(one.operation), one.entry);
    const auto intent = stage.cell("SELECT id FROM intent");
    EXPECT_EQ(json_at(ran.out, "$.error.intent"), intent);
    EXPECT_EQ(!intent.empty(), one.open());
    EXPECT_TRUE(harmless(dump(stage.store().path())));
    if (one.code == "protocol" || one.code == "timeout" || one.code == "exists") {
        EXPECT_EQ(dump(stage.store().path()), rows);
    }
    // The operation's deadline, what it takes at most to write down what was seen, and a slow
    // machine.
    EXPECT_LT(took, one.timeout + seconds(5) + seconds(30));
    EXPECT_LT(ran.memory_kib(), plain.memory_kib() + kMoreMemory);
    testing::Test::RecordProperty("memory_kib", static_cast<int>(ran.memory_kib()));
    testing::Test::RecordProperty("plain_memory_kib", static_cast<int>(plain.memory_kib()));

    stage.finds_only(intent);
    EXPECT_TRUE(ended(stage.fsck({"-p"}), one.open() ? 1 : 0));
    EXPECT_EQ(stage.entry(one.operation), one.settled);
    stage.finds_only("");
}
INSTANTIATE_TEST_SUITE_P(Peers, HostileTest, testing::ValuesIn(all_cases()),
                         [](const auto& one) { return one.param.name; });

// As it is said to a person.
TEST(HostileTextTest, IsNotPrintedRaw)
{
    const Stage stage([](const Peer& peer) {
        return peer.lying({refuses("device_add", "GenericError", kSteering)});
    });
    const Ran ran = stage.operate("attach", {});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.err, R"(\x1b]0;mine\x07\x1b[2J\xe2\x80\xae)"));
    EXPECT_TRUE(harmless(ran.out + ran.err));
}

// Others are connected to a QEMU that takes no client: the operation waits for room until its
// deadline.
TEST(HostileQueueTest, FullAcceptQueueEndsAtTheDeadline)
{
    const Stage stage([](const Peer& peer) {
        Script then = {step::accept(), step::line()};
        for (int i = 0; i < 8; ++i)  // those who wait in the queue, when they have given up
            then = script({then, peer.sane(kBorn)});
        return then;
    });
    const auto rows = dump(stage.store().path());
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, stage.monitor().c_str(), stage.monitor().size());
    std::vector<Fd> others;
    const auto is_full = [&] {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            return others.size() >= 3;  // one is served, two wait
        others.push_back(std::move(fd));
        return false;
    };
    ASSERT_TRUE(wait_until(seconds(20), is_full));

    const Ran ran = stage.operate("attach", {"--json", "--timeout", "1"});

    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "timeout") << ran.out;
    EXPECT_EQ(dump(stage.store().path()), rows);
    // They leave while it waits.
    others.clear();
    EXPECT_TRUE(ended(stage.operate("attach", {}), 0));
    EXPECT_EQ(stage.cell("SELECT count(*) FROM intent"), "0");
}

// ---- The slow liar ----

const milliseconds kSlow(500);

// How long the lock is held is not QEMU's to say (R20): counted is what it was asked, since time is
// the machine's.
TEST(HostileSlowTest, LeftoverSetsCostNoMoreThanTheOperationsTime)
{
    const Stage stage([](const Peer& peer) {
        std::string sets = peer.fdsets();
        sets = many(1000, sets.replace(sets.find(":1,"), 3, ":#,").substr(1, sets.size() - 2));
        const Script hostile = peer.lying({returns("query-fdsets", sets),
                                           refuses("blockdev-change-medium", "GenericError", "x"),
                                           late(returns("remove-fd", "{}"), kSlow)});
        return script({hostile, peer.sane(kBorn), peer.sane(kBorn)});
    });
    const Ran ran = stage.operate("insert", {"--json", "--timeout", "2"});
    EXPECT_TRUE(ended(ran, 3)) << ran.out;
    EXPECT_LE(stage.heard("remove-fd"), 1 + (seconds(2) + milliseconds(2500)) / kSlow);
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
    EXPECT_EQ(stage.entry("insert"), "present");
    EXPECT_EQ(stage.cell("SELECT count(*) FROM intent"), "0");
}

TEST(HostileSlowTest, OneOperationSweepsUpABoundedNumberOfSets)
{
    const Stage stage([](const Peer& peer) {
        std::string sets = peer.fdsets();
        sets = many(1000, sets.replace(sets.find(":1,"), 3, ":#,").substr(1, sets.size() - 2));
        const Script hostile = peer.lying({returns("query-fdsets", sets),
                                           refuses("blockdev-change-medium", "GenericError", "x")});
        return script({hostile, peer.sane(kBorn), peer.sane(kBorn)});
    });
    const Ran ran = stage.operate("insert", {"--json", "--timeout", "60"});
    EXPECT_TRUE(ended(ran, 3)) << ran.out;
    EXPECT_TRUE(contains(ran.out, "of 1000 unused descriptor sets no more than 64"));
    EXPECT_LE(stage.heard("remove-fd"), 1 + 64);
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
}

TEST(HostileSlowTest, UndoingEndsWithTheOperation)
{
    constexpr int kSteps = 12;
    const Stage stage([](const Peer& peer) {
        return script({peer.lying({refuses("device_add", "GenericError", "x"),
                                   late(returns("chardev-remove", "{}"), kSlow * 2)}),
                       peer.sane(kBorn), peer.sane(kBorn)});
    });
    std::string plan = R"({"key":"tab","steps":[)";
    for (int i = 0; i < kSteps; ++i)
        plan += R"({"execute":"chardev-add","arguments":{"id":"c)" + std::to_string(i) +
                R"(","backend":{"type":"null","data":{}}}},)";
    plan += R"({"execute":"device_add","arguments":{"driver":"usb-tablet","id":"tab"}}]})";
    const Ran ran = stage.xl({"--json", "--timeout", "2", "attach", "7", "qemu", plan});
    EXPECT_TRUE(ended(ran, 3)) << ran.out;
    EXPECT_LE(stage.heard("chardev-remove"), 5);
    EXPECT_TRUE(ended(stage.fsck({"-p"}), 1));
    EXPECT_EQ(stage.entry("attach"), "");
}

/// Each query honest and late, in the operation that makes it.
class HostileLateTest : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(HostileLateTest, EndsWithItsTime)
{
    const auto [command, operation] = GetParam();
    const Stage stage([command = command](const Peer& peer) {
        std::vector<Answer> answers = peer.answers(kBorn);
        for (auto& answer : answers)
            if (answer.command == command) answer.late = milliseconds(700);
        return script({handshake(), {step::serve(answers)}, unwilling()});
    });
    const auto begun = std::chrono::steady_clock::now();
    const bool looks = operation == "look"s;
    const Ran ran = looks ? stage.fsck({"-n", "--timeout", "2"})
                          : stage.operate(operation, {"--json", "--timeout", "2"});
    EXPECT_LT(std::chrono::steady_clock::now() - begun, seconds(2 + 5 + 30));
    if (looks) {
        EXPECT_TRUE(ran.status == 0 || ran.status == 8) << ran.out;
        return;
    }
    EXPECT_TRUE(ran.status == 0 || ran.status == 1 || ran.status == 3) << ran.out;
    EXPECT_EQ(ran.status == 3, stage.cell("SELECT count(*) FROM intent") == "1") << ran.out;
}
INSTANTIATE_TEST_SUITE_P(
    Queries, HostileLateTest,
    testing::Values(std::pair{"qom-list", "attach"}, std::pair{"query-block", "insert"},
                    std::pair{"query-fdsets", "insert"},
                    std::pair{"query-named-block-nodes", "insert"}, std::pair{"qom-list", "look"},
                    std::pair{"query-chardev", "look"}, std::pair{"human-monitor-command", "look"}),
    [](const auto& one) { return identifier(one.param.first) + "_" + one.param.second; });

// ---- The large liar, for those who list everything ----

class HostileLargeTest : public testing::TestWithParam<const char*> {};

TEST_P(HostileLargeTest, ALookThatIsToldTooMuchEndsInBoundedMemory)
{
    const std::string command = GetParam();
    const std::string lines = "n#: index=0,type=user\\r\\n";
    std::string value = many(
        150'000, command == "query-chardev"             ? R"({"label":"c#"})"
                 : command == "query-block"             ? R"({"device":"d#"})"
                 : command == "query-named-block-nodes" ? R"({"node-name":"n#","file":"f#"})"
                 : command == "query-fdsets" ? R"({"fdset-id":#,"fds":[{"fd":1,"opaque":"o#"}]})"
                                             : R"({"name":"d#","type":"child<x>"})");
    if (command == "human-monitor-command") value = "\"" + repeated(150'000, lines) + "\"";
    const Stage stage([&](const Peer& peer) {
        return script({peer.sane(kBorn), peer.lying({returns(command, value)}),
                       peer.lying({returns(command, value)}), peer.sane(kBorn)});
    });
    const Ran plain = stage.fsck({"-n"});
    ASSERT_TRUE(ended(plain, 0));
    const auto rows = dump(stage.store().path());

    const Ran ran = stage.fsck({"-p"});

    EXPECT_TRUE(ended(ran, 8));
    EXPECT_TRUE(contains(ran.out, "names more than 20000 things"));
    EXPECT_LT(ran.memory_kib(), plain.memory_kib() + kMoreMemory);
    testing::Test::RecordProperty("memory_kib", static_cast<int>(ran.memory_kib()));
    testing::Test::RecordProperty("plain_memory_kib", static_cast<int>(plain.memory_kib()));
    EXPECT_EQ(dump(stage.store().path()), rows);
}
INSTANTIATE_TEST_SUITE_P(Queries, HostileLargeTest,
                         testing::Values("qom-list", "query-chardev", "query-block",
                                         "query-named-block-nodes", "query-fdsets",
                                         "human-monitor-command"),
                         [](const auto& one) { return identifier(one.param); });

// Each device that no entry knows is looked into: it costs what it names, and no more devices than
// can be compared.
TEST(HostileAdoptionTest, ManyUnmanagedDevicesAreNotLookedInto)
{
    Answer devices = returns("qom-list", many(3'000, R"({"name":"d#","type":"child<x>"})"));
    devices.about = R"(/machine/peripheral")";
    const Stage stage([&](const Peer& peer) {
        std::vector<Answer> answers = peer.answers(kBorn);
        answers.front() = devices;
        answers.push_back(returns("query-hotpluggable-cpus", "[]"));
        return script({handshake(), {step::serve(answers)}, peer.sane(kBorn)});
    });
    const Ran ran = stage.fsck({"-p"});
    EXPECT_TRUE(ended(ran, 8));
    EXPECT_TRUE(contains(ran.out, "QEMU has 3000 things that no entry knows"));
    EXPECT_EQ(stage.heard("qom-get"), 0);
}

TEST(HostileAdoptionTest, WhatADeviceSaysOfItselfIsBounded)
{
    Answer device = returns("qom-list", R"([{"name":"d","type":"child<x>"}])");
    device.about = R"(/machine/peripheral")";
    Answer members = returns("qom-list", many(200, R"({"name":"l#","type":"link<x>"})"));
    members.about = R"(/machine/peripheral/d")";
    const Answer value = returns("qom-get", "\"" + std::string(1U << 18U, 'x') + "\"");
    const Stage stage([&](const Peer& peer) {
        std::vector<Answer> answers = peer.answers(kBorn);
        answers.front() = device;
        answers.push_back(members);
        answers.push_back(value);
        answers.push_back(returns("query-hotpluggable-cpus", "[]"));
        return script({peer.sane(kBorn), handshake(), {step::serve(answers)}, peer.sane(kBorn)});
    });
    const Ran plain = stage.fsck({"-n"});
    const Ran ran = stage.fsck({"-p"});
    EXPECT_TRUE(ended(ran, 8));
    EXPECT_TRUE(contains(ran.out, "what device \"d\" is made of names more than"));
    EXPECT_LE(stage.heard("qom-get"), 5);
    EXPECT_LT(ran.memory_kib(), plain.memory_kib() + kMoreMemory);
}

// Of a creation: a thing of which QEMU says nothing is neither there nor not there.
class HostileFinishTest : public testing::TestWithParam<const char*> {};

TEST_P(HostileFinishTest, WhatQemuDoesNotAnswerForBecomesNoStaleEntry)
{
    const std::string how = GetParam();
    const Stage stage([&](const Peer& peer) {
        return how == "refuses" ? peer.lying({refuses("query-block", "GenericError", "no")})
                                : script({peer.until("query-block", {step::close()}), unwilling()});
    });
    const auto store = stage.store().open();
    const auto row = find_domain(store->db(), "7");
    ASSERT_TRUE(row);
    auto hold = store->try_slow_lock(row->id, "test");
    ASSERT_TRUE(hold && *hold);
    const auto things = stage.cell("SELECT group_concat(class || key || state) FROM thing");

    const auto finished = store->loop().wait_for(
        finish_creation(*store, *row, **std::move(hold), Clock::now() + seconds(20)));

    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().code, Errc::protocol) << finished.error().message;
    EXPECT_TRUE(contains(finished.error().message, "disks/hdc is not known"))
        << finished.error().message;
    EXPECT_EQ(stage.cell("SELECT group_concat(class || key || state) FROM thing"), things);
}
INSTANTIATE_TEST_SUITE_P(Answers, HostileFinishTest, testing::Values("refuses", "hangs_up"),
                         [](const auto& one) { return std::string(one.param); });

}  // namespace
}  // namespace xlstore::test::hostile
