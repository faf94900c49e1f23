// SPDX-License-Identifier: MIT
#include "store/qmp/protocol.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

namespace xlstore::qmp {
namespace {

using namespace std::string_literals;

// Lines as QEMU 7.2 writes them.
const std::string kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, )"
    R"("package": "Debian 1:7.2+dfsg-7+deb12u18"}, "capabilities": ["oob"]}})"
    "\r\n";
const std::string kDeleted =
    R"({"timestamp": {"seconds": 1700000000, "microseconds": 1}, "event": "DEVICE_DELETED", )"
    R"("data": {"device": "xenusb-1", "path": "/machine/peripheral/xenusb-1"}})"
    "\r\n";
const std::string kResume =
    R"({"timestamp": {"seconds": 1700000000, "microseconds": 2}, "event": "RESUME"})"
    "\r\n";

std::string returned(const std::string& id, const std::string& value = "{}")
{
    return R"({"return": )" + value + R"(, "id": )" + id + "}\r\n";
}
std::string ours(int n)
{
    return "\"p-" + std::to_string(n) + "\"";
}

std::string shown(const Action& action)
{
    if (const auto* greeted = std::get_if<Greeted>(&action)) return "greeted " + greeted->version;
    if (const auto* event = std::get_if<Event>(&action)) return event->name + " " + event->data;
    if (const auto* failure = std::get_if<Failure>(&action)) return "failure: " + failure->reason;
    const auto& reply = std::get<Reply>(action);
    if (reply.ok) return "return " + reply.value;
    return "error " + reply.error_class + ": " + reply.error_desc;
}
std::vector<std::string> shown(const std::vector<Action>& actions)
{
    std::vector<std::string> all;
    for (const auto& action : actions)
        all.push_back(shown(action));
    return all;
}
using Shown = std::vector<std::string>;

/// A conversation that was greeted; with command p-1 outstanding if one is named.
Protocol talking(const std::string& execute = {})
{
    Protocol protocol("p-");
    EXPECT_EQ(shown(protocol.feed(kGreeting)), Shown{"greeted 7.2.22"});
    if (!execute.empty()) (void)protocol.command(execute, "");
    return protocol;
}

/// What `bytes` are answered with while the reply to p-1 is outstanding; REQUIRES one action.
std::string answer_to(const std::string& bytes)
{
    Protocol protocol = talking("stop");
    const auto actions = protocol.feed(bytes);
    EXPECT_EQ(actions.size(), 1U);
    EXPECT_EQ(protocol.failed(), !actions.empty() && std::holds_alternative<Failure>(actions[0]));
    return actions.empty() ? "nothing" : shown(actions[0]);
}

// ---- The straight path ----

TEST(Protocol, GreetsCommandsAndReplies)
{
    Protocol protocol("aB3_");

    EXPECT_EQ(shown(protocol.feed(kGreeting)), Shown{"greeted 7.2.22"});
    EXPECT_EQ(protocol.command("qmp_capabilities", ""),
              "{\"execute\":\"qmp_capabilities\",\"id\":\"aB3_1\"}\n");
    EXPECT_TRUE(protocol.awaiting_reply());
    EXPECT_EQ(shown(protocol.feed(returned("\"aB3_1\""))), Shown{"return {}"});
    EXPECT_FALSE(protocol.awaiting_reply());
    EXPECT_EQ(protocol.command("device_del", R"({"id":"xenusb-1"})"),
              "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"xenusb-1\"},"
              "\"id\":\"aB3_2\"}\n");
    EXPECT_EQ(shown(protocol.feed(R"({"id": "aB3_2", "error": {"class": "DeviceNotFound", )"
                                  R"("desc": "Device 'xenusb-1' not found"}})"
                                  "\r\n")),
              Shown{"error DeviceNotFound: Device 'xenusb-1' not found"});
    EXPECT_FALSE(protocol.failed());
    EXPECT_EQ(protocol.foreign_replies(), 0U);
}

TEST(Protocol, KeepsTheSpellingOfAReturnedValue)
{
    EXPECT_EQ(answer_to(returned(ours(1), R"([1.50, 18446744073709551616, "\u0041 B", -0])")),
              R"(return [1.50,18446744073709551616,"\u0041 B",-0])");
    EXPECT_EQ(answer_to(returned(ours(1), "null")), "return null");
}

TEST(Protocol, GivesTheErrorRawForItIsEvidence)
{
    EXPECT_EQ(answer_to(R"({"error": {"class": "GenericError", "desc": "a\u001b[2J\n\"%s"}, )"
                        R"("id": "p-1"})"
                        "\n"),
              "error GenericError: a\x1b[2J\n\"%s");
}

// ---- Splits ----

/// A conversation with everything in it that an honest QEMU and a dead client make; commands are
/// sent where the client would.
Shown converse(const std::vector<std::string>& pieces)
{
    Protocol protocol("p-");
    Shown all;
    std::size_t commands = 0;
    for (const auto& piece : pieces) {
        for (const auto& action : protocol.feed(piece))
            all.push_back(shown(action));
        EXPECT_LE(protocol.buffered(), limits::qmp_line_bytes_max);
        // The replies that are to come are for p-1 and p-2: asked for once their turn has come.
        const auto replies = static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [](const std::string& text) {
                return text.starts_with("greeted") || text.starts_with("return");
            }));
        if (replies > commands && commands < 2 && !protocol.failed()) {
            (void)protocol.command("query-status", "");
            ++commands;
        }
    }
    all.push_back("foreign " + std::to_string(protocol.foreign_replies()));
    for (const auto& action : protocol.end_of_stream())
        all.push_back(shown(action));
    return all;
}

// Each part is what comes until the client has something to say.
const std::vector<std::string> kParts = {
    kGreeting,
    returned("\"other-7\"") + kResume + returned(ours(1)),
    kDeleted + returned("2020372736", "{\"running\": false}") + kResume +
        returned(ours(2), "{\"status\": \"prelaunch\"}") + kResume,
};
const Shown kConversation = {
    "greeted 7.2.22",
    "RESUME {}",
    "return {}",
    R"(DEVICE_DELETED {"device":"xenusb-1","path":"/machine/peripheral/xenusb-1"})",
    "RESUME {}",
    R"(return {"status":"prelaunch"})",
    "RESUME {}",
    "foreign 2",
    "failure: hung up, no reply was outstanding",
};

TEST(Protocol, UnderstandsTheSameInEverySplit)
{
    EXPECT_EQ(converse(kParts), kConversation);
    for (std::size_t part = 0; part < kParts.size(); ++part) {
        for (std::size_t cut = 0; cut <= kParts[part].size(); ++cut) {
            auto pieces = kParts;
            pieces[part] = kParts[part].substr(0, cut);
            pieces.insert(pieces.begin() + static_cast<std::ptrdiff_t>(part) + 1,
                          kParts[part].substr(cut));
            ASSERT_EQ(converse(pieces), kConversation) << "part " << part << " cut at " << cut;
        }
    }
}

TEST(Protocol, UnderstandsTheSameByteByByte)
{
    std::vector<std::string> bytes;
    for (const auto& part : kParts)
        for (const char c : part)
            bytes.emplace_back(1, c);

    EXPECT_EQ(converse(bytes), kConversation);
}

TEST(Protocol, TakesALineFeedAlone)
{
    EXPECT_EQ(answer_to("{\"return\":{},\"id\":\"p-1\"}\n"), "return {}");
}

TEST(Protocol, SaysAtEveryCutWhetherAReplyWasOutstanding)
{
    const std::string hostless = kGreeting + kResume + returned(ours(1));
    for (std::size_t cut = 0; cut <= hostless.size(); ++cut) {
        Protocol protocol("p-");
        (void)protocol.feed(std::string_view(hostless).substr(0, std::min(cut, kGreeting.size())));
        const bool asked = cut >= kGreeting.size();
        if (asked) (void)protocol.command("stop", "");
        if (asked)
            (void)protocol.feed(
                std::string_view(hostless).substr(kGreeting.size(), cut - kGreeting.size()));
        const bool whole = cut == 0 || cut == kGreeting.size() ||
                           cut == kGreeting.size() + kResume.size() || cut == hostless.size();
        const std::string where = whole ? "hung up" : "hung up in the middle of a line";
        const std::string why = !asked                  ? " before its greeting"
                                : cut < hostless.size() ? " before the reply to stop"
                                                        : ", no reply was outstanding";

        EXPECT_EQ(shown(protocol.end_of_stream()), Shown{"failure: " + where + why}) << cut;
        EXPECT_TRUE(protocol.failed());
        EXPECT_EQ(protocol.buffered(), 0U);
        EXPECT_EQ(shown(protocol.end_of_stream()), Shown{});
    }
}

// ---- Greeting ----

// QEMU 7.2 gives the next client what it still had for the one before: seen once in some thousand
// connections.
TEST(Protocol, SkipsBeforeTheGreetingWhatWasMeantForTheClientBefore)
{
    const std::string all = kResume + returned("7") + "{\"return\": {}}\n" +
                            R"({"error": {"class": "a", "desc": "b"}})"
                            "\n" +
                            R"({"id": "p", "error": {"class": "a", "desc": "b"}})"
                            "\n" +
                            R"({"event": 1})"
                            "\n";
    Protocol protocol("p-");
    EXPECT_EQ(shown(protocol.feed(all + kGreeting)), Shown{"greeted 7.2.22"});
    EXPECT_EQ(protocol.leftovers(), 6U);
    EXPECT_EQ(protocol.foreign_replies(), 0U);
    EXPECT_TRUE(std::string(protocol.command("stop", "")).find("\"p-1\"") != std::string::npos);
    EXPECT_EQ(shown(protocol.feed(returned(ours(1)))), Shown{"return {}"});
}

TEST(Protocol, TakesNothingForALeftoverThatClaimsOurId)
{
    Protocol protocol("p-");
    EXPECT_EQ(shown(protocol.feed(returned(ours(1)) + kGreeting)),
              Shown{"failure: sent a reply that no command asked for: \"p-1\""});
}

TEST(Protocol, BoundsTheNumberOfLeftovers)
{
    for (const std::string& one : {kResume, returned("7"), "{\"return\": {}}\n"s}) {
        Protocol protocol("p-");
        for (std::size_t i = 0; i < limits::qmp_leftovers_max; ++i)
            ASSERT_EQ(shown(protocol.feed(one)), Shown{}) << i;
        EXPECT_EQ(shown(protocol.feed(one)),
                  Shown{"failure: sent more than 1000 messages, or 8388608 bytes, that were meant "
                        "for the client before us"});
    }
}

TEST(Protocol, BoundsTheBytesOfLeftovers)
{
    const std::string line = "{\"return\": \"" + std::string(1U << 20U, 'x') + "\"}\n";
    Protocol protocol("p-");
    std::size_t fed = 0;
    while (!protocol.failed()) {
        ASSERT_LE(fed, limits::qmp_line_bytes_max);
        (void)protocol.feed(line);
        fed += line.size();
    }
    EXPECT_GT(fed, limits::qmp_line_bytes_max - line.size());
}

TEST(Protocol, WantsTheGreetingOnce)
{
    EXPECT_EQ(answer_to(kGreeting), "failure: sent a second greeting");
    Protocol protocol("p-");
    EXPECT_EQ(shown(protocol.feed(kGreeting + kGreeting)),
              (Shown{"greeted 7.2.22", "failure: sent a second greeting"}));
}

TEST(Protocol, WantsAVersionInTheGreeting)
{
    for (const auto* greeting :
         {R"({"QMP": 1})", R"({"QMP": {}})", R"({"QMP": {"version": []}})",
          R"({"QMP": {"version": {"qemu": {}}}})",
          R"({"QMP": {"version": {"qemu": {"major": 7, "minor": 2}}}})",
          R"({"QMP": {"version": {"qemu": {"major": -7, "minor": 2, "micro": 1}}}})",
          R"({"QMP": {"version": {"qemu": {"major": "7", "minor": 2, "micro": 1}}}})"}) {
        Protocol protocol("p-");
        EXPECT_EQ(shown(protocol.feed(greeting + "\r\n"s)),
                  Shown{"failure: sent a greeting without a version"})
            << greeting;
    }
}

// ---- Whose reply is it ----

TEST(Protocol, SkipsRepliesToADeadClientsCommands)
{
    Protocol protocol = talking("stop");
    std::uint64_t foreign = 0;
    for (const auto* id : {"7", "null", "true", "[]", "{\"a\": 1}", "1.5", "\"\"", "\"p\"",
                           "\"p1-1\"", "\"P-1\"", "\" p-1\"", "[\"p-1\"]"}) {
        EXPECT_EQ(shown(protocol.feed(returned(id))), Shown{}) << id;
        EXPECT_EQ(protocol.foreign_replies(), ++foreign) << id;
    }
    EXPECT_EQ(shown(protocol.feed(R"({"id": 7, "error": {"class": "a", "desc": "b"}})"
                                  "\n")),
              Shown{});
    EXPECT_TRUE(protocol.awaiting_reply());
    EXPECT_EQ(shown(protocol.feed(returned(ours(1)))), Shown{"return {}"});
    EXPECT_EQ(shown(protocol.feed(returned("7"))), Shown{}) << "idle";
}

// A dead client's command ended between our connecting and the greeting: seen of QEMU 7.2.
TEST(Protocol, SkipsAReplyToADeadClientsCommandThatOvertookTheGreeting)
{
    Protocol protocol("p-");
    EXPECT_EQ(shown(protocol.feed(returned("7") + kGreeting)), Shown{"greeted 7.2.22"});
    EXPECT_EQ(protocol.leftovers(), 1u);
}

// A dead client that gave its commands no id (seen of QEMU 7.2 as well): until QEMU has answered
// us, and no longer.
TEST(Protocol, SkipsAReplyWithoutAnIdUntilItsOwnFirstReply)
{
    const std::string refused = R"({"error": {"class": "a", "desc": "b"}})"
                                "\n";
    Protocol protocol = talking();
    EXPECT_EQ(shown(protocol.feed("{\"return\": {}}\n")), Shown{}) << "idle";
    (void)protocol.command("qmp_capabilities", "");
    EXPECT_EQ(shown(protocol.feed("{\"return\": {}}\n" + refused)), Shown{});
    EXPECT_TRUE(protocol.awaiting_reply());
    EXPECT_EQ(protocol.leftovers(), 3U);
    EXPECT_EQ(shown(protocol.feed(returned(ours(1)))), Shown{"return {}"});
    EXPECT_EQ(shown(protocol.feed("{\"return\": {}}\n")),
              Shown{"failure: sent a reply without an id"});
}

TEST(Protocol, QuestionsBehindACommandAreAnsweredInTheirOrder)
{
    Protocol protocol = talking("qmp_capabilities");
    EXPECT_EQ(protocol.question_behind("query-chardev", ""),
              "{\"execute\":\"query-chardev\",\"id\":\"p-2\"}\n");
    (void)protocol.question_behind("query-block", "");
    EXPECT_EQ(shown(protocol.feed(returned(ours(1)) + returned(ours(2), "[1]"))),
              (Shown{"return {}", "return [1]"}));
    EXPECT_TRUE(protocol.awaiting_reply());
    EXPECT_THROW((void)protocol.command("stop", ""), std::logic_error);
    EXPECT_EQ(shown(protocol.feed(returned(ours(3), "[2]"))), Shown{"return [2]"});
    EXPECT_FALSE(protocol.awaiting_reply());
    EXPECT_THROW((void)protocol.question_behind("query-block", ""), std::logic_error);
}

TEST(Protocol, EndsAtAReplyThatOvertakesAnother)
{
    Protocol protocol = talking("qmp_capabilities");
    (void)protocol.question_behind("query-chardev", "");
    EXPECT_EQ(shown(protocol.feed(returned(ours(2)))),
              Shown{"failure: sent a reply that no command asked for: \"p-2\""});
}

TEST(Protocol, NamesTheReplyThatIsDueWhenItHangsUp)
{
    Protocol protocol = talking("qmp_capabilities");
    (void)protocol.question_behind("query-chardev", "");
    (void)protocol.feed(returned(ours(1)));
    EXPECT_EQ(shown(protocol.end_of_stream()),
              Shown{"failure: hung up before the reply to query-chardev"});
}

TEST(Protocol, BoundsForeignReplies)
{
    Protocol protocol = talking("stop");
    for (std::size_t i = 0; i < limits::qmp_foreign_replies_max; ++i)
        ASSERT_EQ(shown(protocol.feed(returned("7"))), Shown{}) << i;

    EXPECT_EQ(shown(protocol.feed(returned("7"))),
              Shown{"failure: sent more than 1000 replies to commands of others"});
}

TEST(Protocol, EndsAtAReplyOfOursThatIsNotOutstanding)
{
    // Of the future, of no command at all, and another spelling of the one that is outstanding.
    for (const auto* id :
         {"p-2", "p-0", "p-", "p-01", "p-1 ", "p-1\\u0000", "p-18446744073709551617"}) {
        const std::string answer = answer_to(returned("\""s + id + "\""));
        EXPECT_TRUE(answer.starts_with("failure: sent a reply that no command asked for: \"p-"))
            << answer;
    }
    // Twice, idle.
    Protocol twice = talking("stop");
    EXPECT_EQ(shown(twice.feed(returned(ours(1)) + returned(ours(1)))),
              (Shown{"return {}", "failure: sent a reply that no command asked for: \"p-1\""}));
    // Twice, with another command outstanding.
    Protocol late = talking("stop");
    (void)late.feed(returned(ours(1)));
    (void)late.command("cont", "");
    EXPECT_EQ(shown(late.feed(returned(ours(1)))),
              Shown{"failure: sent a reply that no command asked for: \"p-1\""});
    // Before anything was asked.
    Protocol early = talking();
    EXPECT_EQ(shown(early.feed(returned(ours(1)))),
              Shown{"failure: sent a reply that no command asked for: \"p-1\""});
}

TEST(Protocol, KnowsItsIdHoweverItIsEscaped)
{
    EXPECT_EQ(answer_to(returned(R"("\u0070-1")")), "return {}");
    EXPECT_EQ(answer_to(returned(R"("\u0070-2")")),
              "failure: sent a reply that no command asked for: \"p-2\"");
}

TEST(Protocol, EndsAtAReplyWithoutAnId)
{
    const auto second_answer = [](const std::string& line) {
        Protocol protocol = talking("qmp_capabilities");
        (void)protocol.feed(returned(ours(1)));
        (void)protocol.command("stop", "");
        return shown(protocol.feed(line));
    };
    EXPECT_EQ(second_answer("{\"return\": {}}\n"), Shown{"failure: sent a reply without an id"});
    EXPECT_EQ(
        second_answer(R"({"error": {"class": "GenericError", "desc": "JSON parse error, \u001b"}})"
                      "\n"),
        Shown{R"(failure: sent an error without an id: "JSON parse error, \x1b")"});
}

// ---- Messages out of shape ----

TEST(Protocol, WantsExactlyOneKindOfMessage)
{
    const std::string all_kinds[] = {
        R"("QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 1}}})",
        R"("event": "STOP")", R"("return": {})", R"("error": {"class": "a", "desc": "b"})"};
    for (const auto& a : all_kinds)
        for (const auto& b : all_kinds)
            if (&a != &b) {
                EXPECT_EQ(answer_to("{" + a + ", " + b + ", \"id\": \"p-1\"}\n"),
                          "failure: sent a message that is not exactly one of greeting, event, "
                          "return and error");
            }
    for (const auto* none : {"{}\n", "{\"id\": \"p-1\"}\n", "{\"Return\": {}, \"id\": \"p-1\"}\n"})
        EXPECT_EQ(answer_to(none),
                  "failure: sent a message that is not exactly one of greeting, event, return and "
                  "error");
}

TEST(Protocol, WantsClassAndDescriptionInAnError)
{
    for (const auto* error : {"1", "{}", "[]", R"({"class": "a"})", R"({"desc": "a"})",
                              R"({"class": 1, "desc": "a"})", R"({"class": "a", "desc": null})"}) {
        // In an unrelated process's too: a peer that sends such a thing is not to be believed.
        for (const auto* id : {"\"p-1\"", "7"})
            EXPECT_EQ(answer_to("{\"error\": "s + error + ", \"id\": " + id + "}\n"),
                      "failure: sent an error without a class or a description");
    }
}

TEST(Protocol, WantsNameAndDataInAnEvent)
{
    EXPECT_EQ(answer_to("{\"event\": 1}\n"), "failure: sent an event whose name is no string");
    EXPECT_EQ(answer_to("{\"event\": \"STOP\", \"data\": 1}\n"),
              "failure: sent an event whose data is no object");
    EXPECT_EQ(answer_to("{\"event\": \"STOP\", \"data\": {\"a\": [ ]}}\n"), "STOP {\"a\":[]}");
}

// A document may hold other bytes; QEMU has no reason to send them.
TEST(Protocol, EndsAtWhatIsNotUtf8)
{
    for (const auto& line :
         {"{\"event\": \"\xFF\"}\n"s, "{\"event\": \"\xC0\x80\"}\n"s,
          "{\"event\": \"\xED\xA0\x80\"}\n"s, "{\"event\": \"\\udcff\"}\n"s})
        EXPECT_EQ(answer_to(line), "failure: sent a line that is not UTF-8") << printable(line);
}

TEST(Protocol, EndsAtWhatIsNoJsonObject)
{
    const std::string not_json = "failure: sent a line that is not valid JSON at ";
    for (const auto& line :
         {"\n"s, "\r\n"s, " \n"s, "hello\n"s, "{\n"s, "{} {}\n"s, "{\"event\": \"A\",}\n"s,
          "{'event': 'A'}\n"s, "\xEF\xBB\xBF{}\n"s, "{\"event\": \"\\ud800\"}\n"s, "{\"event\": \"a\tb\"}\n"s}) {
        const std::string answer = answer_to(line);
        EXPECT_TRUE(answer.starts_with(not_json)) << answer << " for " << printable(line);
    }
    for (const auto* line : {"1\n", "null\n", "[]\n", "\"event\"\n", "[{\"event\": \"A\"}]\n"})
        EXPECT_EQ(answer_to(line), "failure: sent a line that is no JSON object");
}

TEST(Protocol, EndsAtANulByteWhereverItStands)
{
    const std::string line = "{\"return\": {}, \"id\": \"p-1\"}";
    for (std::size_t at = 0; at <= line.size(); ++at) {
        std::string bytes = line + "\n";
        bytes.insert(at, 1, '\0');
        EXPECT_EQ(answer_to(bytes), "failure: sent a NUL byte") << at;
    }
}

TEST(Protocol, EndsAtADuplicateKey)
{
    for (const auto* line : {R"({"return": {}, "id": "p-1", "id": "p-1"})",
                             R"({"return": {}, "return": 1, "id": "p-1"})",
                             R"({"return": {"a": 1, "\u0061": 2}, "id": "p-1"})",
                             R"({"return": [{"b": {"a": 1, "a": 1}}], "id": "p-1"})",
                             R"({"event": "A", "event": "A"})"}) {
        const std::string answer = answer_to(line + "\n"s);
        EXPECT_NE(answer.find("duplicate key"), std::string::npos) << answer;
    }
}

// ---- Bounds ----

TEST(Protocol, BoundsTheLine)
{
    Protocol protocol = talking("stop");
    const std::string piece(1U << 20U, 'x');
    std::size_t fed = 0;
    Shown said;
    for (; fed < 100U << 20U; fed += piece.size()) {
        for (const auto& action : protocol.feed(piece))
            said.push_back(shown(action));
        ASSERT_LE(protocol.buffered(), limits::qmp_line_bytes_max);
    }

    EXPECT_EQ(said, Shown{"failure: sent a line longer than 8388608 bytes"});
    EXPECT_EQ(protocol.buffered(), 0U);
    Protocol at_once = talking("stop");
    EXPECT_EQ(shown(at_once.feed(std::string(100U << 20U, 'x'))), said);
}

TEST(Protocol, TakesALineOfExactlyTheBound)
{
    const std::string head = "{\"return\": \"";
    const std::string tail = "\", \"id\": \"p-1\"}";
    const std::string fill(limits::qmp_line_bytes_max - head.size() - tail.size(), 'x');

    Protocol fits = talking("stop");
    EXPECT_EQ(shown(fits.feed(head + fill + tail + "\n")), Shown{"return \"" + fill + "\""});
    EXPECT_EQ(answer_to(head + fill + "x" + tail + "\n"),
              "failure: sent a line longer than 8388608 bytes");
}

TEST(Protocol, BoundsTheDepth)
{
    const auto nested = [](std::size_t levels) {
        return returned(ours(1), std::string(levels, '[') + std::string(levels, ']'));
    };
    // One level is the message itself.
    EXPECT_TRUE(answer_to(nested(limits::qmp_depth_max - 1)).starts_with("return [[["));
    for (const std::size_t levels : {limits::qmp_depth_max, std::size_t{100'000}}) {
        const std::string answer = answer_to(nested(levels));
        EXPECT_NE(answer.find("nested deeper than 64 levels"), std::string::npos) << answer;
    }
    const std::string open = answer_to(std::string(100'000, '{') + "\n");
    EXPECT_TRUE(open.starts_with("failure: ")) << open;
}

TEST(Protocol, BoundsEventsBeforeAReply)
{
    Protocol protocol = talking("stop");
    for (std::size_t i = 0; i < limits::qmp_events_max; ++i)
        ASSERT_EQ(shown(protocol.feed(kResume)), Shown{"RESUME {}"}) << i;

    EXPECT_EQ(shown(protocol.feed(kResume)),
              Shown{"failure: sent more than 10000 events before the reply to stop"});
}

TEST(Protocol, CountsEventsAnewForEachCommandAndNotWhileIdle)
{
    Protocol protocol = talking("stop");
    for (int command = 1; command <= 2; ++command) {
        for (std::size_t i = 0; i < limits::qmp_events_max; ++i)
            (void)protocol.feed(kResume);
        ASSERT_EQ(shown(protocol.feed(returned(ours(command)))), Shown{"return {}"});
        // A guest may need hours to give a device up; no client loses the connection for that.
        for (std::size_t i = 0; i <= limits::qmp_events_max; ++i)
            ASSERT_EQ(shown(protocol.feed(kResume)), Shown{"RESUME {}"}) << i;
        (void)protocol.command("cont", "");
    }
}

TEST(Protocol, BoundsWhatAFailureQuotes)
{
    const std::string answer = answer_to(returned("\"p-" + std::string(1U << 20U, 'x') + "\""));

    EXPECT_LT(answer.size(), limits::qmp_text_bytes_max + 100);
    EXPECT_TRUE(answer.ends_with("x\"...")) << answer;
    EXPECT_LT(answer_to("{\"" + std::string(1U << 20U, 'x') + "\n").size(), 500U);
}

// ---- After the end ----

TEST(Protocol, IgnoresEverythingAfterAFailure)
{
    Protocol protocol = talking("stop");
    ASSERT_EQ(shown(protocol.feed("oops\n" + returned(ours(1)))).size(), 1U);

    EXPECT_EQ(shown(protocol.feed(returned(ours(1)) + kGreeting)), Shown{});
    EXPECT_EQ(shown(protocol.end_of_stream()), Shown{});
    EXPECT_TRUE(protocol.failed());
    EXPECT_FALSE(protocol.awaiting_reply());
}

// A reply and the breach behind it may be read in one piece: the caller then asks its next question
// of a conversation that is over already.
TEST(Protocol, SendsNothingAfterAFailureThatTheCallerHasNotSeen)
{
    Protocol protocol = talking("stop");
    ASSERT_EQ(shown(protocol.feed(returned(ours(1)) + "oops\n")).size(), 2U);

    EXPECT_EQ(protocol.command("cont", ""), "");
    EXPECT_TRUE(protocol.failed());
    EXPECT_FALSE(protocol.awaiting_reply());
    EXPECT_EQ(shown(protocol.feed(returned(ours(2)))), Shown{});
}

TEST(Protocol, RefusesASecondCommandAndOneBeforeTheGreeting)
{
    Protocol protocol("p-");
    EXPECT_THROW((void)protocol.command("qmp_capabilities", ""), std::logic_error);
    (void)protocol.feed(kGreeting);
    (void)protocol.command("qmp_capabilities", "");
    EXPECT_THROW((void)protocol.command("stop", ""), std::logic_error);

    EXPECT_EQ(shown(protocol.feed(returned(ours(1)))), Shown{"return {}"}) << "nothing has changed";
}

TEST(Protocol, MakesExactlyOneLineOfACommand)
{
    Protocol protocol = talking();
    for (const auto* arguments :
         {"1", "[]", "{", "{}}", R"({}} {"execute":"quit"})", "{} {}", "\n"})
        EXPECT_THROW((void)protocol.command("stop", arguments), std::logic_error) << arguments;

    EXPECT_EQ(
        protocol.command("a\"b\n", "{ \"a\":\r\n [1.50, \"x y\"] }"),
        "{\"execute\":\"a\\\"b\\n\",\"arguments\":{\"a\":[1.50,\"x y\"]},\"id\":\"p-1\"}\n");
}

}  // namespace
}  // namespace xlstore::qmp
