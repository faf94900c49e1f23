// SPDX-License-Identifier: MIT
// adopt, forget: what xlfsck does about one thing of a domain, with its proofs, and about no other.
// Recovery runs over the domain and asks about each finding; the answer is yes for that thing and
// for the repairs that the verb stands for, else no.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include "store/base/limits.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"
#include "tools/common/finding_journal.hpp"
#include "tools/common/finding_line.hpp"
#include "tools/common/json_value.hpp"
#include "tools/xlstore/library.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

namespace {

// Problems (xlfsck(8)) whose repair gives the thing an entry, or makes its entry true.
constexpr std::array<std::string_view, 6> kAdopting = {
    "thing_unknown", "thing_back", "medium_other", "device_unknown", "device_back", "device_kept"};
// Those whose repair says that it is not there.
constexpr std::array<std::string_view, 3> kForgetting = {"thing_absent", "medium_gone",
                                                         "device_absent"};

// Those of the domain itself while which recovery looks into neither QEMU nor xenstore.
constexpr std::array<std::string_view, 9> kNotServed = {
    "qemu_dead",      "destruction_unfinished", "destruction_of_libxl",
    "older_boot",     "creation_abandoned",     "creation_unfinished",
    "creation_older", "creation_unmade",        "creation_made"};

struct Wish {
    std::string thing;  // "usbctrls/0", or an id in QEMU
    bool adopt = false;
    std::vector<std::string> others;  // what was found of it, and is no matter of this verb
    std::string line;                 // what was done
    bool done = false;
    std::string store = {};  // for the host's journal
    std::string busy = {};   // a living process is at work on the domain: it was not looked into
    std::string not_served = {};  // why it was not looked into otherwise
    bool qemu_dead = false;       // that is why
};

// Is the finding about that thing: "...: CLASS/KEY", "...: device "ID"", or the entry that it would
// get? Whole words alone: what stands in parentheses behind an id is what the device is.
bool is_about(const xlstore_finding& finding, const std::string& named)
{
    const std::string thing = plain_text(named, limits::error_bytes_max);  // as a finding has it
    const std::string subject = std::string(finding.subject) + ":";
    const std::string evidence = finding.evidence;
    const auto name = subject.rfind("): ");  // of the domain, which may have any letter
    const auto what = std::string_view(subject).substr(name == std::string::npos ? 0 : name + 1);
    const auto quoted = what.find(" \"" + thing + "\"");
    return what.find(": " + thing + ":") != std::string_view::npos ||
           (quoted != std::string_view::npos && what.find('"') == quoted + 1) ||
           evidence.find("entry would be " + thing + " ") != std::string::npos;
}

bool is_meant(const Wish& wish, const xlstore_finding& finding)
{
    const auto in = [&](const auto& names) {
        return std::ranges::find(names, finding.problem) != names.end();
    };
    return is_about(finding, wish.thing) && (wish.adopt ? in(kAdopting) : in(kForgetting));
}

int32_t answer(const xlstore_finding* finding, void* wish)
{
    return is_meant(*static_cast<const Wish*>(wish), *finding) ? 1 : 0;
}

void found(const xlstore_finding* finding, void* userdata)
{
    auto& wish = *static_cast<Wish*>(userdata);
    if (finding->action == XLSTORE_ACTION_FIXED) journal_finding("xlstore", wish.store, *finding);
    if (is_meant(wish, *finding)) {
        wish.done = wish.done || finding->action == XLSTORE_ACTION_FIXED;
        wish.line = plain(finding_line(*finding));
    } else if (std::string_view(finding->problem).ends_with("_owned")) {
        wish.busy = plain(finding_line(*finding));
    } else if (std::ranges::find(kNotServed, finding->problem) != kNotServed.end()) {
        wish.not_served = plain(finding_line(*finding));
        wish.qemu_dead = std::string_view(finding->problem) == "qemu_dead";
    } else if (is_about(*finding, wish.thing) || (finding->if_left & XLSTORE_FSCK_BLIND) != 0) {
        wish.others.push_back(plain(finding_line(*finding)));
    }
}

// How long the verb may take in all, as for attach and detach.
constexpr double kStandardSeconds = 30;
using Limit = std::chrono::steady_clock::time_point;

Limit limit_of(const Arguments& arguments)
{
    const std::chrono::duration<double> seconds(arguments.timeout_s.value_or(kStandardSeconds));
    return std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::steady_clock::duration>(seconds);
}

// The same arguments with the time that is left.
Arguments within(const Arguments& arguments, Limit limit)
{
    Arguments rest = arguments;
    const std::chrono::duration<double> left = limit - std::chrono::steady_clock::now();
    rest.timeout_s = std::max(0.001, left.count());
    return rest;
}

// Recovery waits for no lock: it leaves alone what another process is at. So it runs again until
// that one is through, or the time is over.
Result<ResultHandle> recover_one(const Arguments& arguments, Limit limit, Wish& wish)
{
    constexpr std::chrono::milliseconds pause_most{500};
    std::chrono::milliseconds pause{20};
    for (;;) {
        auto result =
            perform(within(arguments, limit), [&](auto* store, const auto& call, auto** out) {
                xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
                options.mode = XLSTORE_RECOVER_ASK;
                options.domain = arguments.words[0].c_str();
                options.timeout_ms = call.timeout_ms;
                options.found = found;
                options.answer = answer;
                options.userdata = &wish;
                return xlstore_recover(store, &options, out);
            });
        const bool in_the_way = result && !wish.busy.empty() && !wish.done;
        if (!in_the_way || std::chrono::steady_clock::now() + pause >= limit) return result;
        wish = Wish{wish.thing, wish.adopt, {}, {}, false, wish.store};
        std::this_thread::sleep_for(pause);
        pause = std::min(pause * 2, pause_most);
    }
}

Status say_done(const Arguments& arguments, const Wish& wish)
{
    if (arguments.json)
        print_json(json_object({{"result", json_quote("done")},
                                {"thing", json_quote(wish.thing)},
                                {"text", json_quote(wish.line)}}));
    else
        std::puts(wish.line.c_str());
    return Status::done;
}

// Otherwise nothing was looked at. What was found of other things makes it refused or in doubt.
bool has_run(int32_t status)
{
    return status == XLSTORE_OK || status == XLSTORE_E_IN_DOUBT || status == XLSTORE_E_REFUSED;
}

bool has_qemu(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    return !store || xlstore_find(store->get(), arguments.words[0].c_str(), &info) != XLSTORE_OK ||
           info.qemu != XLSTORE_QEMU_NONE;
}

// What keeps it from being done, in the words of the findings.
Error not_done(const Arguments& arguments, const Wish& wish)
{
    std::string message = json_shown(wish.thing) + ": ";
    if (!wish.line.empty()) return Error(Errc::refused, wish.line, "nothing else was changed");
    if (!wish.not_served.empty())
        return Error(
            wish.qemu_dead ? Errc::no_qemu : Errc::refused, message + wish.not_served,
            wish.qemu_dead
                ? "nothing was changed; 'xlfsck -p' settles what is open and keeps the "
                  "document; then 'xlstore soft-reset " +
                      arguments.words[0] + "' or 'xlstore destroy " + arguments.words[0] + "'"
                : "nothing was changed; 'xlfsck -p' brings the domain to where it belongs");
    if (!wish.others.empty())
        return Error(Errc::refused, message + wish.others.front(), "nothing was changed");
    if (!wish.busy.empty())
        return Error(
            Errc::busy, wish.busy,
            "nothing was changed; try again once it is through, or wait longer (--timeout)");
    if (!wish.adopt)
        message += "no entry of that name lacks its thing";
    else if (has_qemu(arguments))
        message += "nothing of that name is in QEMU or xenstore without an entry";
    else
        message +=
            "nothing of that name is in xenstore without an entry, and the store has no QEMU "
            "of the domain to look into";
    return Error(Errc::not_found, message,
                 "nothing was changed; 'xlstore diff DOM' and 'xlfsck -n' show what differs");
}

// "disks/hdc" -> class and key.
std::optional<std::pair<std::string, std::string>> split(const std::string& thing)
{
    const auto slash = thing.find('/');
    if (slash == std::string::npos) return std::nullopt;
    return std::pair(thing.substr(0, slash), thing.substr(slash + 1));
}

// Is it an entry that is stale?
Result<bool> is_stale(const Arguments& arguments, const std::string& thing)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    char* text = nullptr;
    if (xlstore_things(store->get(), arguments.words[0].c_str(), &text) != XLSTORE_OK)
        return last_error();
    for (const auto& one : json_value(Text(text).get()))
        if (plain(one["class"].get<std::string>() + "/" + one["key"].get<std::string>()) ==
            plain(thing))
            return one["state"] == "stale";
    return false;
}

}  // namespace

Result<Status> run_adopt(const Arguments& arguments)
{
    Wish wish{arguments.words[1], true, {}, {}, false, arguments.store};
    const auto result = recover_one(arguments, limit_of(arguments), wish);
    if (!result) return result.error();
    if (!has_run(xlstore_result_status(result->get()))) return tell(arguments, result->get());
    if (wish.done) return say_done(arguments, wish);
    return not_done(arguments, wish);
}

// An entry whose thing is gone becomes stale; one that is stale goes. The second is what a detach
// does with it, which asks QEMU once more.
Result<Status> run_forget(const Arguments& arguments)
{
    Wish wish{arguments.words[1], false, {}, {}, false, arguments.store};
    const auto limit = limit_of(arguments);
    const auto result = recover_one(arguments, limit, wish);
    if (!result) return result.error();
    if (!has_run(xlstore_result_status(result->get()))) return tell(arguments, result->get());
    const auto stale = is_stale(arguments, wish.thing);
    if (!stale) return stale.error();
    const auto name = split(wish.thing);
    if (!*stale || !name) return not_done(arguments, wish);
    auto gone =
        run_operation(within(arguments, limit), [&](auto* store, const auto& call, auto** out) {
            return xlstore_detach(store, arguments.words[0].c_str(), name->first.c_str(),
                                  name->second.c_str(), &call, out);
        });
    if (gone || !wish.done) return gone;
    // The detach speaks of itself alone: recovery has committed before it began.
    auto error = gone.error();
    error.message = json_shown(wish.thing) + ": its entry is stale now; " + error.message;
    if (error.code != Errc::in_doubt)
        error.advice = name->first == "disks"
                           ? "nothing else was changed; of a CD drive the entry stays: 'xlstore "
                             "eject' or 'insert' make it true again"
                           : "nothing else was changed; 'xlstore detach' takes it out";
    return error;
}

}  // namespace xlstore::tools
