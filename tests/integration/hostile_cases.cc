// SPDX-License-Identifier: MIT
// QEMU is not trusted (DESIGN.md, What is trusted): whole operations of the real commands against a peer that is
// registered as a domain's QEMU and does what no QEMU would. In each case the operation ends
// in time and in bounded memory with one of three outcomes, the tables say the same, nothing of the
// peer's is printed raw, `xlfsck -n` finds nothing but the intent that is open, and once the peer
// is a sane QEMU again `xlfsck -p` settles that.
//
//   a breach of the protocol …            outcome       entry, intent
//   in the greeting, at a probe           protocol, of   as before, none
//                                         silence timeout
//   at a command of the plan              in doubt      adding/removing/changing, open
//   none, though it is slow or chatty     done          as asked, none
//   a lie                                 see add_lies() and add_large_lies()
//
// A lie about presence can be believed: it hurts the liar's own domain alone. It never makes an
// entry go while the intent is open, and nonsense is never taken for absence.
#include "tests/integration/hostile_cases.hpp"

namespace xlstore::test::hostile {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct Breach {
    std::string name;
    std::function<Steps()> steps;
    seconds timeout = seconds(20);
};

/// What ends a conversation wherever it stands, once a command was heard.
std::vector<Breach> breaches()
{
    const auto sends = [](const std::string& text) {
        return [text] { return Steps{step::send(text)}; };
    };
    const std::string reply = "{\"return\": [], \"id\": $id}";
    return {
        {"silence", [] { return Steps{step::line()}; }, seconds(4)},
        {"no_json", sends("HTTP/1.1 200 OK\r\n")},
        {"half_a_message", sends("{\"return\": \r\n")},
        {"no_utf8", sends("{\"return\": \"\xff\", \"id\": $id}\r\n")},
        {"control_characters", sends("{\"return\": \"\x1b]0;mine\x07\", \"id\": $id}\r\n")},
        {"nul_byte_behind", sends(reply + "\0\n"s)},
        {"nul_byte_before", sends("\0"s + reply + "\r\n")},
        {"no_id", sends("{\"return\": []}\r\n")},
        {"error_without_id",
         sends(R"({"error": {"class": "x", "desc": ")"s + kSteering + "\"}}\r\n")},
        {"return_and_error",
         sends(R"({"return": [], "error": {"class": "x", "desc": "y"}, "id": $id})"
               "\r\n")},
        {"two_ids", sends("{\"return\": [], \"id\": $id, \"id\": $id}\r\n")},
        {"second_greeting", sends(greeting())},
        {"deep", sends(std::string(100'000, '[') + "\r\n")},
        {"deep_reply", sends("{\"return\": " + std::string(100'000, '[') +
                             std::string(100'000, ']') + ", \"id\": $id}\r\n")},
        {"long_line", [] { return Steps{very_long('x')}; }},
        {"long_reply",
         [] {
             return Steps{step::send("{\"return\": \""), very_long('x'),
                          step::send("\", \"id\": $id}\r\n")};
         }},
        {"foreign_replies", sends(repeated(1001, kForeign))},
        {"events", sends(repeated(10'001, kEvent))},
        {"hang_up", [] { return Steps{step::close()}; }},
        {"hang_up_amid_a_line",
         [] {
             return Steps{step::send("{\"return\": "), step::close()};
         }},
    };
}

// Each at a probe and at one kind of plan in turn. A good reply follows, so that the operation
// would succeed if the breach were overlooked.
void add_breaches(std::vector<Case>& cases)
{
    int turn = 0;
    for (const auto& [name, steps, timeout] : breaches()) {
        const auto at = [steps = steps](const Peer& peer, const char* command, const char* value,
                                        const World& before, const World& after) {
            return script({peer.until(command, steps(), before),
                           {step::reply(value), step::serve(peer.answers(after))}});
        };
        cases.push_back(
            {name + "_at_a_probe", "attach",
             [at](const Peer& peer) { return at(peer, "qom-list", "[]", kBorn, World{true}); },
             name == "silence" ? "timeout" : "protocol", "", kBorn, "", timeout});
        switch (turn++ % 3) {
        case 0:
            cases.push_back(
                {name + "_at_an_addition", "attach",
                 [at](const Peer& peer) {
                     return script({at(peer, "device_add", "{}", kBorn, World{true}), unwilling()});
                 },
                 "in_doubt", "adding", kBorn, "", timeout});
            break;
        case 1:
            cases.push_back(
                {name + "_at_a_removal", "detach",
                 [at](const Peer& peer) {
                     return script({at(peer, "device_del", "{}", World{true}, kBorn), unwilling()});
                 },
                 "in_doubt", "removing", kBorn, "", timeout});
            break;
        default:
            cases.push_back({name + "_at_an_insertion", "insert",
                             [at](const Peer& peer) {
                                 return script({at(peer, "blockdev-change-medium", "{}", kBorn,
                                                   World{false, 'b'}),
                                                unwilling()});
                             },
                             "in_doubt", "changing", World{false, 'b'}, "present", timeout});
        }
    }
    // A second reply is met when the next one is waited for.
    cases.push_back({"duplicate_reply_at_a_probe", "attach",
                     [](const Peer& peer) {
                         return script({peer.until("qom-list", {step::reply("[]"),
                                                                step::reply("[]"), step::close()}),
                                        unwilling()});
                     },
                     "in_doubt", "adding", kBorn, ""});
    cases.push_back(
        {"duplicate_reply_at_a_removal", "detach",
         [](const Peer& peer) {
             return script(
                 {peer.until("device_del", {step::reply("{}"), step::reply("{}"), step::close()},
                             World{true}),
                  unwilling()});
         },
         "in_doubt", "removing", World{true}, "present"});
}

// What only an event says: that the guest refused. A real one of x86 says so by ACPI, for memory
// (guest_test.cc); the other form is POWER's.
void add_refusals_of_the_guest(std::vector<Case>& cases)
{
    const auto add = [&](const std::string& name, const std::string& event, const std::string& data,
                         bool refused) {
        const std::string line = R"({"event":")" + event + R"(","data":)" + data + "}\r\n";
        cases.push_back(
            {"guest_" + name, "detach",
             [line](const Peer& peer) {
                 return peer.until(
                     "device_del",
                     {step::reply("{}"), step::send(line), step::serve(peer.answers(World{true}))},
                     World{true});
             },
             refused ? "refused" : "in_doubt", refused ? "present" : "removing",
             refused ? World{true} : kBorn, refused ? "present" : "", seconds(refused ? 20 : 4)});
    };
    const std::string error = "DEVICE_UNPLUG_GUEST_ERROR";
    add("refused", error, R"({"device":"tab","path":"/machine/peripheral/tab"})", true);
    add("refused_by_path", error, R"({"path":"/machine/peripheral/tab"})", true);
    add("refused_another", error, R"({"device":"tab2","path":"/machine/peripheral/tab2"})", false);
    const auto acpi = [](const std::string& device, int source, int status) {
        return R"({"info":{"device":")" + device + R"(","source":)" + std::to_string(source) +
               R"(,"status":)" + std::to_string(status) + R"(,"slot":"0","slot-type":"DIMM"}})";
    };
    const std::string ost = "ACPI_DEVICE_OST";
    add("is_busy", ost, acpi("tab", 3, 0x82), true);
    add("failed_to_eject", ost, acpi("tab", 0x103, 1), true);
    add("is_at_it", ost, acpi("tab", 3, 0x84), false);
    add("refused_to_plug", ost, acpi("tab", 0, 0x82), false);
    add("is_busy_with_another", ost, acpi("other", 3, 0x82), false);
}

// Behind each the peer goes on as a sane one would.
void add_greetings(std::vector<Case>& cases)
{
    const auto add = [&](const std::string& name, const std::function<Steps()>& steps,
                         seconds timeout = seconds(20)) {
        cases.push_back(
            {"greeting_" + name, "attach",
             [steps](const Peer& peer) {
                 return script({{step::accept()}, steps(), {step::serve(peer.answers(kBorn))}});
             },
             timeout < seconds(20) ? "timeout" : "protocol", "", kBorn, "", timeout});
    };
    const auto sends = [](const std::string& text) {
        return [text] { return Steps{step::send(text)}; };
    };
    add(
        "never", [] { return Steps{step::line()}; }, seconds(2));
    add("twice", sends(greeting() + greeting()));
    add("no_json", sends("220 mail ESMTP\r\n"));
    add("without_version", sends("{\"QMP\": {}}\r\n"));
    add("after_too_many_events", sends(repeated(1001, kEvent) + greeting()));
    add("after_too_many_replies", sends(repeated(1001, "{\"return\": {}}\r\n") + greeting()));
    add("after_too_many_bytes", [] {
        const std::string some(1U << 20U, 'x');
        return Steps{step::send_repeatedly("{\"return\": \"" + some + "\"}\r\n", 9),
                     step::send(greeting())};
    });
    add("endless", [] { return Steps{very_long(' ')}; });
    add("hang_up", [] { return Steps{step::close()}; });
    add(
        "and_no_reply",
        [] {
            return Steps{step::send(greeting()), step::line(), step::line()};
        },
        seconds(2));
    add("and_a_refusal", [] {
        return Steps{step::send(greeting()), step::line(),
                     step::refuse("CommandNotFound", kSteering)};
    });
}

// What is slow or chatty, and no breach.
void add_tolerated(std::vector<Case>& cases)
{
    const World tab{true};
    const auto add = [&](const std::string& name, const Script& connection) {
        cases.push_back({"tolerated_" + name, "attach",
                         [connection](const Peer&) { return connection; }, "", "present", tab,
                         "present"});
    };
    const auto chat = [](const Step& before_each) {
        return Script{step::accept(), before_each, step::send(greeting()),
                      step::line(),   before_each, step::reply("{}"),
                      step::line(),   before_each, step::reply("[]"),
                      step::line(),   before_each, step::reply("{}"),
                      step::line()};
    };
    add("lateness", chat(step::sleep(milliseconds(300))));
    add("foreign_replies", chat(step::send(repeated(250, kForeign))));
    Script bytewise = {step::accept(), step::send_bytewise(greeting())};
    for (const char* value : {"{}", "[]", "{}"}) {
        bytewise.push_back(step::line());
        bytewise.push_back(step::send_bytewise("{\"return\": "s + value + ", \"id\": $id}\r\n"));
    }
    add("bytewise", bytewise);
    // What QEMU 7.2 gives the next client of what it had for the one before.
    for (const auto& [name, leftover] :
         {std::pair{"event", kEvent},
          {"reply", kForeign},
          {"reply_without_id", "{\"return\": {}}\r\n"s},
          {"error_without_id", R"({"error": {"class": "GenericError", "desc": "x"}})"
                               "\r\n"s},
          {"many", repeated(300, kEvent + kForeign + "{\"return\": {}}\r\n")}}) {
        add("before_the_greeting_"s + name,
            {step::accept(), step::send(leftover + greeting()), step::line(), step::reply("{}"),
             step::line(), step::reply("[]"), step::line(), step::reply("{}"), step::line()});
        add("behind_the_greeting_"s + name,
            {step::accept(), step::send(greeting() + leftover), step::line(), step::send(leftover),
             step::reply("{}"), step::line(), step::reply("[]"), step::line(), step::reply("{}"),
             step::line()});
    }
    add("events", {step::accept(), step::send(greeting()), step::line(), step::reply("{}"),
                   step::line(), step::send(repeated(10'000, kEvent)), step::reply("[]"),
                   step::line(), step::send(repeated(10'000, kEvent)), step::reply("{}")});
}

/// What a peer says in good form and is not so.
void add_lies(std::vector<Case>& cases)
{
    const World none{false};
    const World tab{true};
    const auto add = [&](const std::string& name, const std::string& operation,
                         std::vector<std::vector<Answer>> connections, const World& world,
                         const std::string& code, const std::string& entry, const World& truth,
                         const std::string& settled, seconds timeout = seconds(20)) {
        cases.push_back({"lie_" + name, operation,
                         [connections, world](const Peer& peer) {
                             Script all;
                             for (const auto& lies : connections)
                                 all = script({all, peer.lying(lies, world)});
                             return all;
                         },
                         code, entry, truth, settled, timeout});
    };
    const std::string steering = "\""s + kSteering + "\"";
    // Nonsense in the place of an answer proves nothing, least of all absence.
    int number = 0;
    for (const std::string& nonsense :
         {"{}"s, "null"s, "true"s, "0"s, steering, "[1]"s, "[[]]"s, "[{}]"s, R"([{"name":"tab"}])"s,
          R"([{"name":1,"type":"child<x>"}])"s, R"([{"name":"tab","type":{}}])"s,
          "[{\"name\":"s + steering + ",\"type\":[]}]"}) {
        const std::string which = std::to_string(number++);
        add("nonsense_" + which, "attach", {{returns("qom-list", nonsense)}}, none, "refused", "",
            none, "");
        add("nonsense_removal_" + which, "detach",
            {{returns("qom-list", Peer::kTab), returns("qom-list", nonsense)}}, tab, "in_doubt",
            "removing", tab, "present");
    }
    for (const char* error_class : {"GenericError", "CommandNotFound", "DeviceNotFound"}) {
        add("query_refused_"s + error_class, "attach",
            {{refuses("qom-list", error_class, kSteering)}}, none, "refused", "", none, "");
        add("query_refused_removal_"s + error_class, "detach",
            {{returns("qom-list", Peer::kTab), refuses("qom-list", error_class, kSteering)}}, tab,
            "in_doubt", "removing", tab, "present");
    }
    // It is there, says QEMU, and it is not; and the other way round.
    add("is_there", "attach", {{returns("qom-list", Peer::kTab)}}, none, "exists", "", none, "");
    add("is_not_there", "attach",
        {{returns("qom-list", "[]"), refuses("device_add", "GenericError", kSteering)}}, tab,
        "refused", "", none, "");
    add("refused_and_there", "attach",
        {{returns("qom-list", "[]"), returns("qom-list", Peer::kTab),
          refuses("device_add", "GenericError", kSteering)}},
        none, "in_doubt", "adding", tab, "present");
    add("gone_already", "detach", {{returns("qom-list", "[]")}}, tab, "", "", none, "");
    add("refused_and_gone", "detach",
        {{returns("qom-list", Peer::kTab), returns("qom-list", "[]"),
          refuses("device_del", "DeviceNotFound", kSteering)}},
        tab, "", "", none, "");
    add("refused_and_not_gone", "detach", {{refuses("device_del", "GenericError", kSteering)}}, tab,
        "refused", "present", tab, "present");
    add("asked_and_never_gone", "detach", {{}}, tab, "in_doubt", "removing", none, "", seconds(4));
    // Drives.
    number = 0;
    for (const std::string& nonsense :
         {"{}"s, "null"s, steering, "[1]"s, "[{}]"s, R"([{"device":1}])"s, "[]"s,
          R"([{"device":"ide-5632","inserted":{}}])"s,
          R"([{"device":"ide-5632","inserted":{"file":7}}])"s,
          R"([{"device":"ide-5632","inserted":{"file":)"s + steering + "}}]"})
        add("drives_" + std::to_string(number++), "insert", {{returns("query-block", nonsense)}},
            none, "refused", "present", none, "present");
    for (const std::string& nonsense : {"{}"s, "[1]"s, "[{}]"s, R"([{"fdset-id":"1","fds":[]}])"s,
                                        R"([{"fdset-id":1e2,"fds":[]}])"s, R"([{"fdset-id":1}])"s})
        add("sets_" + std::to_string(number++), "insert", {{returns("query-fdsets", nonsense)}},
            none, "refused", "present", none, "present");
    add("drive_refused", "insert", {{refuses("blockdev-change-medium", "GenericError", kSteering)}},
        none, "refused", "present", none, "present");
    add("foreign_medium", "insert",
        {{returns("query-block", R"([{"device":"ide-5632","inserted":{"file":"/a"}}])")}}, none,
        "refused", "present", none, "present");
}

/// The large liar: each query that the library makes is answered in good form, by more than can be
/// in a QEMU. Nothing is concluded from it, and it costs no more memory than a line does.
void add_large_lies(std::vector<Case>& cases)
{
    struct Query {
        const char* command;
        const char* element;
        const char* operation;
    };
    for (const Query& query :
         {Query{"qom-list", R"({"name":"d#","type":"child<x>"})", "attach"},
          Query{"query-block", R"({"device":"d#"})", "insert"},
          Query{"query-fdsets", R"({"fdset-id":#,"fds":[{"fd":1,"opaque":"o#"}]})", "insert"},
          Query{"query-named-block-nodes", R"({"node-name":"n#","file":"f#"})", "insert"}}) {
        const bool attach = query.operation == "attach"s;
        // Made when it is told: a process that tests one case need not have all of them.
        const auto add = [&](const std::string& name, const std::function<std::string()>& value,
                             const std::string& code = "refused") {
            cases.push_back({"large_" + name + "_" + identifier(query.command), query.operation,
                             [value, command = query.command](const Peer& peer) {
                                 return peer.lying({returns(command, value())});
                             },
                             code, attach ? "" : "present", kBorn, attach ? "" : "present"});
        };
        const std::string element = query.element;
        add("count", [element] { return many(150'000, element); });
        add("nothings", [] { return many(2'000'000, "[]"); });
        add("names", [element] {
            std::string one = element;
            one.insert(one.rfind('#'), std::string(1U << 20U, 'x'));
            return many(5, one);
        });
        // Not even JSON that is read to its end.
        add(
            "members",
            [] {
                std::string all = "[{";
                for (int i = 0; i < 600'000; ++i)
                    all += (i > 0 ? ",\"m" : "\"m") + std::to_string(i) + "\":0";
                return all + "}]";
            },
            "protocol");
    }
}

}  // namespace

std::vector<Case> all_cases()
{
    std::vector<Case> cases;
    add_breaches(cases);
    add_greetings(cases);
    add_refusals_of_the_guest(cases);
    add_tolerated(cases);
    add_lies(cases);
    add_large_lies(cases);
    return cases;
}

}  // namespace xlstore::test::hostile
