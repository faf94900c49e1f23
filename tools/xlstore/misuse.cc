// SPDX-License-Identifier: MIT
// What a command line has wrong in itself: words that are no numbers, options that contradict each
// other, "-" where a file has to be. All of it is said before a store is opened (status 2).
#include <array>

#include "store/base/clock.hpp"
#include "store/model/device_class.hpp"
#include "store/model/domid.hpp"
#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/one_of.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

using Misuse = std::optional<std::string>;

constexpr const char* kStandardInputOnce = "standard input can be read once: name a file";

bool is_number_from(std::string_view word, std::int64_t least)
{
    const auto number = parse_number<std::int64_t>(word);
    return number && *number >= least;
}

Misuse no_domid(const std::string& word)
{
    const auto digits = std::string_view(word).substr(word.starts_with("domid:") ? 6 : 0);
    const auto domid = parse_number<std::int64_t>(digits);
    if (domid && check_domid(*domid)) return {};
    return json_shown(word) +
           " is not a domid, the number that Xen has for the domain, 0 to 32751, such as 7";
}

Misuse of_times(const Arguments& a)
{
    std::array<std::int64_t, 2> at{};
    for (const auto& [word, index] : {std::pair(&a.since, 0U), std::pair(&a.until, 1U)}) {
        if (word->empty()) continue;
        const auto moment = parse_moment(*word, now_us());
        if (!moment) return moment.error().message + ", " + moment.error().advice;
        at.at(index) = *moment;
    }
    if (!a.since.empty() && !a.until.empty() && at[0] > at[1])
        return "--since " + a.since + " is after --until " + a.until + ": no line is from then";
    if (a.follow && !a.until.empty())
        return "history: --follow goes on until it is ended, --until ends it before: give one of "
               "the two";
    return {};
}

Misuse of_history(const Arguments& a)
{
    if (!a.device_class.empty() && !find_device_class(a.device_class))
        return "there is no device class " + json_shown(a.device_class);
    return of_times(a);
}

Misuse of_timeline(const Arguments& a)
{
    if (a.words.empty() == (a.intent == 0))
        return "timeline is of a domain ('xlstore timeline DOM') or of an intent ('xlstore "
               "timeline --intent N')";
    if (a.html == "-" && a.json) return "--html - and --json both want standard output";
    return {};
}

Misuse of_undo(const Arguments& a)
{
    if (a.words.empty()) return {};
    constexpr std::string_view aside = "aside:";
    const std::string_view word = a.words[0];
    const bool is_aside = word.starts_with(aside);
    if (is_aside && (a.words.size() > 1 || a.force))
        return "undo " + a.words[0] + " is one row: it takes neither a domain nor --force";
    if (is_number_from(word.substr(is_aside ? aside.size() : 0), 1)) return {};
    return json_shown(a.words[0]) +
           " is not the number of a run; 'xlstore undo' lists those that "
           "are kept";
}

Misuse of_prune(const Arguments& a)
{
    for (const auto& word : a.words)
        if (!is_one_of(word, {"history", "retired", "undo", "domains", "damaged", "locks"}))
            return "prune: there is no kind " + json_shown(word) +
                   ": history, retired, undo, domains, damaged, locks";
    return {};
}

// Where a file has to be named.
Misuse of_no_file(const Arguments& a)
{
    const bool is_first = is_one_of(a.verb, {"backup", "restore", "bundle"});
    const bool is_second = is_one_of(a.verb, {"create", "import"});
    const bool is_third = a.verb == "insert";
    const bool is_of_json = a.verb == "attach" && a.words[2] == "@";
    const bool is_empty = (is_first && a.words[0].empty()) || (is_second && a.words[1].empty()) ||
                          (is_third && a.words[2].empty());
    if (is_of_json || is_empty || (a.verb == "batch" && a.words[1] == "@"))
        return a.verb + ": an empty word names no file";
    return {};
}

// A file that is written or read by its name: by the library, or beside standard output.
Misuse of_dash(const Arguments& a)
{
    const bool file_is_word = is_one_of(a.verb, {"backup", "restore", "insert"});
    const bool dash =
        (file_is_word && a.words.back() == "-") || (a.verb == "export" && a.things == "-");
    if (dash)
        return a.verb +
               " takes the name of a file, and no standard input or output; ./- is a file "
               "of that name";
    if (is_one_of(a.verb, {"create", "import"}) && a.words[1] == "-" && a.things == "-")
        return std::string(kStandardInputOnce);
    if (a.verb == "bundle" && a.words[0] == "-" && a.json && !a.show)
        return std::string("bundle - and --json both want standard output");
    return {};
}

}  // namespace

std::optional<std::string> misuse_of(const Arguments& a)
{
    if (auto misuse = of_no_file(a)) return misuse;
    if (auto misuse = of_dash(a)) return misuse;
    if (is_one_of(a.verb, {"create", "import"}) || (a.verb == "destroy" && !a.uuid.empty()))
        if (auto misuse = no_domid(a.words[0])) return misuse;
    if (is_one_of(a.verb, {"create", "soft-reset"}) && a.command.empty() && !a.no_qemu)
        return a.verb +
               ": no command was given that starts QEMU; write it behind --, as in 'xlstore " +
               a.verb + " ... -- qemu-system-x86_64 ...'";
    if (a.verb == "wait" && !is_number_from(a.words[0], 1))
        return json_shown(a.words[0]) +
               " is not the number of an intent; 'xlstore intents' shows those that are open";
    if (a.verb == "bridge" && !is_one_of(a.words[0], {"status", "sync", "write"}))
        return "bridge: there is no " + json_shown(a.words[0]) + ": status, sync or write";
    if (a.verb == "bridge" && a.words[0] == "write" && a.words.size() < 2)
        return std::string("bridge write takes a domain: one document is written at a time");
    if (a.verb == "export" && !a.things.empty() && !a.settled && !a.retired)
        return std::string("export: --things is given without --settled or --retired");
    if (a.verb == "demo" && a.json)
        return std::string("demo tells a story, which is no JSON value: run 'xlstore demo'");
    if (a.verb == "status" && a.metrics && !a.words.empty())
        return std::string("status --metrics is of all domains: leave out the one");
    if (a.verb == "status" && a.metrics && a.json)
        return std::string("status --metrics prints figures for node_exporter, which are no JSON");
    if (a.verb == "undo") return of_undo(a);
    if (a.verb == "prune") return of_prune(a);
    if (a.verb == "history") return of_history(a);
    if (a.verb == "timeline") return of_timeline(a);
    return {};
}

}  // namespace xlstore::tools
