// SPDX-License-Identifier: MIT
// What QEMU's lists prove, on answers as QEMU 7.2 writes them and on answers that it would not
// give: names of each kind, media, descriptor sets; what a connection does while it waits. Nonsense
// and silence prove nothing, least of all absence.
#include "store/qmp/probe.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "store/qmp/inventory.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scripted_peer.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

using std::chrono::seconds;
using test::Answer;
using test::refuses;
using test::returns;
using Names = std::set<std::string>;

/// A monitor, connected to a peer that gives these answers.
class AnsweringTest : public testing::Test {
protected:
    qmp::Monitor& answering(std::vector<Answer> answers)
    {
        std::vector<qmp::Question> nothing;
        return playing({test::step::serve(std::move(answers))}, std::move(nothing));
    }
    /// A monitor, connected to a peer that goes on so behind the barrier's command.
    qmp::Monitor& playing(test::Script steps, std::vector<qmp::Question> ahead)
    {
        monitor_.reset();
        peer_.reset();
        peer_.emplace(path_, test::script({test::handshake(), std::move(steps)}));
        auto connected = loop_.wait_for(qmp::Monitor::connect_asking(
            loop_, qemus_, registration(), "domain 7 (web)", std::move(ahead), soon()));
        EXPECT_TRUE(connected) << (connected ? "" : connected.error().message);
        monitor_.emplace(*std::move(connected));
        return *monitor_;
    }
    [[nodiscard]] qmp::Registration registration() const
    {
        qmp::Registration registration;
        registration.qemu = *identify(peer_->pid());
        registration.path = path_;
        registration.socket = *file_identity(path_);
        registration.peer.pid = peer_->pid();
        registration.peer.uid = geteuid();
        registration.peer.gid = getegid();
        return registration;
    }
    Result<Names> names(const std::string& kind, std::vector<Answer> answers)
    {
        const auto found = types(kind, std::move(answers));
        if (!found) return found.error();
        Names names;
        for (const auto& [name, type] : *found)
            names.insert(name);
        return names;
    }
    Result<TypeByName> types(const std::string& kind, std::vector<Answer> answers)
    {
        return loop_.wait_for(names_of_kind(answering(std::move(answers)), kind, soon()));
    }
    Evidence seen(Verb verb, Probe probe, std::vector<Answer> answers)
    {
        return loop_.wait_for(
            run_probe(answering(std::move(answers)), verb, std::move(probe), soon()));
    }
    /// An error of the protocol: nothing is concluded.
    template <class T>
    static void proves_nothing(const Result<T>& result, const std::string& about)
    {
        ASSERT_FALSE(result) << about;
        EXPECT_EQ(result.error().code, Errc::protocol) << about << ": " << result.error().message;
    }

    test::ScratchDirectory directory_;
    std::string path_ = directory_ / "q";
    Loop loop_;
    HeldProcesses qemus_;
    std::optional<test::ScriptedPeer> peer_;
    std::optional<qmp::Monitor> monitor_;
};

std::string quoted(const std::string& text)
{
    return json_quote(text);
}

// ---- What is asked ahead ----

const qmp::Question kChardevs{"query-chardev", ""};
const qmp::Question kDevices{"qom-list", R"({"path":"/machine/peripheral"})"};

Answer chardev(const std::string& label)
{
    return returns("query-chardev", R"([{"label":")" + label + R"("}])");
}

class AskedAheadTest : public AnsweringTest {
protected:
    bool has(const std::string& kind, const std::string& name, Freshness freshness)
    {
        const auto found = loop_.wait_for(
            has_name(*monitor_, Product{kind, name, std::nullopt}, freshness, soon()));
        EXPECT_TRUE(found) << found.error().message;
        return found && *found;
    }
    using Commands = std::vector<std::string>;
};

TEST_F(AskedAheadTest, IsSentWithTheBarrierAndAnsweredOnce)
{
    playing({test::step::serve({chardev("c0"), returns("qom-list", "[]")})}, {kChardevs, kDevices});
    EXPECT_TRUE(peer_->wait_for_lines(3)) << "not sent before it was wanted";
    EXPECT_TRUE(has("chardev", "c0", Freshness::if_new));
    EXPECT_FALSE(has("device", "c0", Freshness::if_new));
    EXPECT_EQ(peer_->commands(), (Commands{"qmp_capabilities", "query-chardev", "qom-list"}));
}

TEST_F(AskedAheadTest, IsThrownAwayForAnythingElse)
{
    playing({test::step::serve({returns("query-chardev", "{}"), returns("qom-list", "[]")})},
            {kChardevs, kChardevs});
    EXPECT_FALSE(has("device", "tab", Freshness::if_new));
    EXPECT_EQ(peer_->commands(),
              (Commands{"qmp_capabilities", "query-chardev", "query-chardev", "qom-list"}));
}

// The peer is gone by then: what asks it anew gets no answer.
TEST_F(AskedAheadTest, IsNotBelievedBehindAnEvent)
{
    playing({test::step::line(), test::step::reply("[]"),
             test::step::send("{\"event\": \"RESUME\"}\r\n"), test::step::close()},
            {kChardevs});
    ASSERT_TRUE(peer_->wait_until_done());
    proves_nothing(loop_.wait_for(has_name(*monitor_, Product{"chardev", "c0", std::nullopt},
                                           Freshness::if_new, soon())),
                   "event");
    playing({test::step::line(), test::step::send("{\"event\": \"RESUME\"}\r\n"),
             test::step::reply("[]"), test::step::close()},
            {kChardevs});
    ASSERT_TRUE(peer_->wait_until_done());
    EXPECT_FALSE(has("chardev", "c0", Freshness::if_new));
}

TEST_F(AskedAheadTest, NothingThatChangesSomethingIsSent)
{
    EXPECT_THROW(playing({test::step::serve({})}, {kChardevs, {"device_del", R"({"id":"a"})"}}),
                 std::logic_error);
    EXPECT_EQ(peer_->commands(), Commands{});
}

// ---- Waiting for a guest ----

class WaitForUnplugTest : public AnsweringTest {
protected:
    // What the peer sends unasked, whole or in part, while the guest is waited for; `rest` comes
    // with the event behind the next command.
    void playing_then_deleted(const std::string& unasked, const std::string& rest)
    {
        const std::string deleted =
            "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"tab\"}}\r\n";
        playing({test::step::send(unasked), test::step::line(), test::step::send(rest),
                 test::step::reply("{}"), test::step::send(deleted)},
                {});
    }
    Result<std::string> wait(Deadline until)
    {
        return loop_.wait_for(monitor_->wait_for_unplug("tab", until));
    }
    static Deadline slice() { return Clock::now() + std::chrono::milliseconds(200); }
};

// A guest may take minutes, and is looked at in between.
TEST_F(WaitForUnplugTest, EndOfASliceIsNoSilence)
{
    const std::string foreign = "{\"return\": {}, \"id\": \"libvirt-17\"}\r\n";
    for (const auto& [unasked, rest] :
         {std::pair<std::string, std::string>{"{\"event\": \"RTC_CH", "ANGE\"}\r\n"},
          {foreign, foreign},
          {"{\"event\": \"RTC_CHANGE\"}\r\n", foreign},
          {foreign + "{", "\"event\": \"RESUME\"}\r\n"}}) {
        playing_then_deleted(unasked, rest);
        const auto nothing = wait(slice());
        ASSERT_TRUE(nothing) << unasked << ": " << nothing.error().message;
        EXPECT_EQ(*nothing, "") << unasked;
        const auto reply = loop_.wait_for(monitor_->execute("query-status", "", soon()));
        ASSERT_TRUE(reply) << unasked << ": " << reply.error().message;
        const auto event = wait(soon());
        ASSERT_TRUE(event) << unasked << ": " << event.error().message;
        EXPECT_EQ(*event, "DEVICE_DELETED") << unasked;
    }
}

// The replies to what was asked ahead may come late, and are of before the wait.
TEST_F(WaitForUnplugTest, WhatWasAskedAheadIsNeitherAwaitedNorBelieved)
{
    playing({test::step::line(), test::step::sleep(std::chrono::milliseconds(600)),
             test::step::reply("[]"), test::step::serve({chardev("c0")})},
            {kChardevs});
    const auto nothing = wait(slice());
    ASSERT_TRUE(nothing) << nothing.error().message;
    const auto found = loop_.wait_for(
        has_name(*monitor_, Product{"chardev", "c0", std::nullopt}, Freshness::if_new, soon()));
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(*found);
}

TEST_F(WaitForUnplugTest, HangUpEndsIt)
{
    playing({test::step::close()}, {});
    const auto ended = wait(soon());
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, Errc::protocol);
    EXPECT_FALSE(monitor_->usable());
}

// A monitor serves one client: the next request would wait for this one.
TEST_F(AnsweringTest, ACommandThatIsGivenUpHangsUp)
{
    playing(test::script({{test::step::line()}, {test::step::line()}, test::handshake()}), {});
    {
        auto given_up = monitor_->execute("query-status", "", soon());
        given_up.start();
        ASSERT_TRUE(peer_->wait_for_lines(2));
    }
    EXPECT_FALSE(monitor_->usable());
    const auto next =
        loop_.wait_for(qmp::Monitor::connect(loop_, registration(), "domain 7 (web)", soon()));
    EXPECT_TRUE(next) << next.error().message;
}

// ---- Names ----

class NamesTest : public AnsweringTest {};

TEST_F(NamesTest, DevicesAndObjectsAreChildren)
{
    const std::string list =
        R"([{"name":"type","type":"string"},{"name":"tab","type":"child<usb-tablet>"},)"
        R"({"name":"hot","type":"link<device>"},{"name":"","type":"child<x>"}])";
    for (const std::string kind : {"device", "anonymous", "object"}) {
        const auto found = names(kind, {returns("qom-list", list)});
        ASSERT_TRUE(found) << kind << ": " << found.error().message;
        EXPECT_EQ(*found, (Names{"", "tab"})) << kind;
    }
}

TEST_F(NamesTest, EachHasTheTypeThatQemuTells)
{
    const auto devices = types(
        "device", {returns("qom-list", R"([{"name":"xen-vkbd-0","type":"child<xen-backend>"}])")});
    ASSERT_TRUE(devices) << devices.error().message;
    EXPECT_EQ(*devices, (TypeByName{{"xen-vkbd-0", "xen-backend"}}));
    const auto nodes = types("node", {returns("query-named-block-nodes",
                                              R"([{"node-name":"n","drv":"raw","file":"/a"}])")});
    ASSERT_TRUE(nodes) << nodes.error().message;
    EXPECT_EQ(*nodes, (TypeByName{{"n", "raw"}}));
}

TEST_F(NamesTest, CharacterDevicesAndBlockNodes)
{
    const auto chardevs =
        names("chardev",
              {returns("query-chardev",
                       R"([{"frontend-open":true,"filename":"unix","label":"compat_monitor0"},)"
                       R"({"frontend-open":false,"filename":"null","label":"c\u0031"}])")});
    ASSERT_TRUE(chardevs) << chardevs.error().message;
    EXPECT_EQ(*chardevs, (Names{"compat_monitor0", "c1"}));
    const auto nodes =
        names("node", {returns("query-named-block-nodes", R"([{"node-name":"n0","file":"/a"}])")});
    ASSERT_TRUE(nodes) << nodes.error().message;
    EXPECT_EQ(*nodes, (Names{"n0"}));
}

// The human monitor's list, which has no other form.
TEST_F(NamesTest, NetworkBackEnds)
{
    const std::string text =
        "free: index=0,type=user,net=10.0.2.0\r\n"
        "nic0: index=0,type=nic,model=e1000,macaddr=52:54:00:12:34:56\r\n"
        " \\ behind: index=0,type=user,net=10.0.2.0\r\n"
        "hub 3\r\n"
        " \\ port0: nic1: index=0,type=nic,model=rtl8139\r\n"
        " \\ port1: wired: index=0,type=user\r\n"
        " \\ port2\r\n";
    const auto found = names("netdev", {returns("human-monitor-command", quoted(text))});
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(*found, (Names{"behind", "free", "port0", "port1", "port2", "wired"}));
    const auto none = names("netdev", {returns("human-monitor-command", "\"\"")});
    ASSERT_TRUE(none);
    EXPECT_TRUE(none->empty());
}

TEST_F(NamesTest, WhatIsNoListProvesNothing)
{
    for (const auto& [kind, command] : {std::pair{"device", "qom-list"},
                                        {"chardev", "query-chardev"},
                                        {"node", "query-named-block-nodes"},
                                        {"netdev", "human-monitor-command"}})
        for (const std::string answer : {"{}", "[{}]", "[1]", "null", "17",
                                         R"([{"name":1,"type":"x"}])", R"([{"label":null}])"})
            proves_nothing(names(kind, {returns(command, answer)}),
                           std::string(kind) + " " + answer);
}

TEST_F(NamesTest, RefusalProvesNothing)
{
    proves_nothing(names("chardev", {refuses("query-chardev", "GenericError", "no")}), "refused");
    const auto unknown = names("teapot", {});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, Errc::invalid);
}

// ---- Media and descriptor sets ----

class DrivesTest : public AnsweringTest {
protected:
    static std::vector<Answer> blocks(const std::string& list)
    {
        return {returns("query-block", list),
                returns("query-fdsets",
                        R"([{"fdset-id":4,"fds":[{"fd":12,"opaque":"raw:/srv/a.iso"}]},)"
                        R"({"fdset-id":5,"fds":[{"fd":13,"opaque":"raw:/srv/b.iso"}]}])"),
                returns("query-named-block-nodes", R"([{"node-name":"x","file":"/dev/fdset/4"}])")};
    }
    Result<Drives> drives(const std::string& list)
    {
        return loop_.wait_for(query_drives(answering(blocks(list)), soon()));
    }
};

TEST_F(DrivesTest, MediumIsNamedByItsDescriptorSet)
{
    const auto found = drives(
        R"([{"device":"ide-5632","qdev":"ide-5632","inserted":{"file":"/dev/fdset/4","drv":"raw"}},)"
        R"({"device":"","qdev":"/machine/peripheral/cd1"},)"
        R"({"device":"other","inserted":{"file":"/srv/c.img","drv":"qcow2"}}])");
    ASSERT_TRUE(found) << found.error().message;
    const auto* by_set = found->find("ide-5632");
    ASSERT_TRUE(by_set && by_set->file);
    EXPECT_TRUE(found->holds(*by_set, "raw:/srv/a.iso"));
    EXPECT_FALSE(found->holds(*by_set, "raw:/srv/b.iso"));
    EXPECT_EQ(found->medium_in(*by_set), "raw:/srv/a.iso");
    const auto* empty = found->find("cd1");
    ASSERT_TRUE(empty) << "a drive without a back end goes by its device";
    EXPECT_FALSE(empty->file);
    const auto* by_path = found->find("other");
    ASSERT_TRUE(by_path && by_path->file);
    EXPECT_TRUE(found->holds(*by_path, "qcow2:/srv/c.img"));
    EXPECT_FALSE(found->holds(*by_path, "raw:/srv/c.img")) << "the same file as another format";
    EXPECT_FALSE(found->holds(*by_path, "qcow2:/srv/d.img"));
    EXPECT_FALSE(found->holds(*empty, "raw:/srv/a.iso"));
    EXPECT_EQ(found->medium_in(*by_path), "qcow2:/srv/c.img");
    EXPECT_EQ(found->find("none"), nullptr);
}

// QEMU's names of drivers are not libxl's names of formats.
TEST_F(DrivesTest, FormatsAreNamedAsLibxlDoes)
{
    const auto found = drives(
        R"([{"device":"a","removable":true,"inserted":{"file":"/a.vhd","drv":"vpc"}},)"
        R"({"device":"b","removable":false,"inserted":{"file":"/dev/sr0","drv":"host_device"}}])");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(found->holds(*found->find("a"), "vhd:/a.vhd"));
    EXPECT_TRUE(found->find("a")->removable);
    EXPECT_TRUE(found->holds(*found->find("b"), "raw:/dev/sr0"));
    EXPECT_FALSE(found->find("b")->removable);
}

TEST_F(DrivesTest, SetThatNoNodeUsesIsUnused)
{
    const auto found = drives("[]");
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->sets.unused("raw:/srv/a.iso"), std::vector<std::int64_t>{});
    EXPECT_EQ(found->sets.unused("raw:/srv/b.iso"), std::vector<std::int64_t>{5});
}

TEST_F(DrivesTest, NonsenseProvesNothing)
{
    for (const std::string list :
         {"{}", "[{}]", R"([{"device":1}])", R"([{"device":"d","inserted":{"drv":"raw"}}])"})
        proves_nothing(drives(list), list);
}

// ---- What a look proves ----

class LookAtThingTest : public DrivesTest {
protected:
    static Probe products(std::initializer_list<const char*> names)
    {
        Probe probe;
        for (const char* name : names)
            probe.products.push_back(Product{"chardev", name, std::nullopt});
        return probe;
    }
    static std::vector<Answer> chardevs(const std::string& first, const std::string& second = {})
    {
        std::string list = "[{\"label\":" + quoted(first) + "}";
        if (!second.empty()) list += ",{\"label\":" + quoted(second) + "}";
        return {returns("query-chardev", list + "]")};
    }
    static Probe drive(std::optional<std::string> before, std::optional<std::string> after)
    {
        Probe probe;
        probe.drive = DriveProbe{"ide-5632", std::move(before), std::move(after), {}, {}};
        return probe;
    }
    static std::string holding(const std::string& file)
    {
        return R"([{"device":"ide-5632","inserted":{"file":)" + quoted(file) + R"(,"drv":"raw"}}])";
    }
};

TEST_F(LookAtThingTest, AllSomeOrNoneOfItsProducts)
{
    const auto all = seen(Verb::add, products({"a", "b"}), chardevs("a", "b"));
    EXPECT_EQ(all.image, Image::after);
    EXPECT_FALSE(all.half);
    const auto some = seen(Verb::add, products({"a", "b"}), chardevs("b"));
    EXPECT_FALSE(some.image);
    EXPECT_TRUE(some.half);
    ASSERT_EQ(some.present.size(), 1U);
    EXPECT_EQ(some.present[0].name, "b");
    const auto none = seen(Verb::add, products({"a", "b"}), chardevs("other"));
    EXPECT_EQ(none.image, Image::before);
    // A removal is done where an add has not begun.
    EXPECT_EQ(seen(Verb::remove, products({"a"}), chardevs("other")).image, Image::after);
    EXPECT_EQ(seen(Verb::remove, products({"a"}), chardevs("a")).image, Image::before);
}

TEST_F(LookAtThingTest, NoAnswerIsNoImage)
{
    const std::vector<std::vector<Answer>> answers = {
        {returns("query-chardev", "{}")},
        {refuses("query-chardev", "GenericError", "not now")},
    };
    for (const auto& given : answers)
        for (const auto verb : {Verb::add, Verb::remove}) {
            const auto evidence = seen(verb, products({"a"}), given);
            EXPECT_FALSE(evidence.image);
            EXPECT_FALSE(evidence.half);
            EXPECT_NE(evidence.reason, "");
        }
    EXPECT_FALSE(seen(Verb::add, Probe{}, {}).image) << "nothing to be asked for";
}

TEST_F(LookAtThingTest, DriveHoldsEitherMediumOrNone)
{
    const auto change = drive("raw:/srv/b.iso", "raw:/srv/a.iso");
    EXPECT_EQ(seen(Verb::change, change, blocks(holding("/dev/fdset/4"))).image, Image::after);
    EXPECT_EQ(seen(Verb::change, change, blocks(holding("/srv/b.iso"))).image, Image::before);
    EXPECT_EQ(seen(Verb::change, change, blocks(R"([{"device":"ide-5632"}])")).image,
              Image::neither);
    const auto foreign = seen(Verb::change, change, blocks(holding("/srv/other.iso")));
    EXPECT_FALSE(foreign.image);
    EXPECT_EQ(foreign.medium, "/srv/other.iso");
    EXPECT_FALSE(seen(Verb::change, change, blocks("[]")).image) << "no such drive";
}

TEST_F(LookAtThingTest, EmptyDriveIsWhatAnEjectionWantsAndAnInsertionFinds)
{
    const auto empty = R"([{"device":"ide-5632"}])";
    EXPECT_EQ(seen(Verb::change, drive("raw:/srv/b.iso", std::nullopt), blocks(empty)).image,
              Image::after);
    EXPECT_EQ(seen(Verb::change, drive(std::nullopt, "raw:/srv/a.iso"), blocks(empty)).image,
              Image::before);
}

TEST_F(LookAtThingTest, UnusedSetOfTheNewMediumIsHalf)
{
    // b.iso was passed, and nothing opens it: the plan broke off there.
    const auto evidence = seen(Verb::change, drive("raw:/srv/a.iso", "raw:/srv/b.iso"),
                               blocks(holding("/dev/fdset/4")));
    EXPECT_EQ(evidence.image, Image::before);
    EXPECT_TRUE(evidence.half);
    EXPECT_EQ(evidence.leftover_fdsets, std::vector<std::int64_t>{5});
}

}  // namespace
}  // namespace xlstore
