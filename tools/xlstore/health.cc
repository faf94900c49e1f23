// SPDX-License-Identifier: MIT
#include "tools/xlstore/health.hpp"

#include <algorithm>

#include "store/base/limits.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/moment.hpp"

namespace xlstore::tools {

namespace {

// A log that is longer than this is kept from being started anew; an intent that is older, though
// its owner lives, is worth a look; a disk with less room refuses hotplug soon.
constexpr std::int64_t kLogBytesMany = 4 * static_cast<std::int64_t>(limits::log_bytes_large);
constexpr std::int64_t kOldSeconds = 300;
constexpr std::int64_t kFreeBytesFew = 64 << 20;

class Reasons {
public:
    void ill(std::string subject, std::string text, std::string advice)
    {
        add(ill_, "ill", std::move(subject), std::move(text), std::move(advice));
    }
    void doubt(std::string subject, std::string text, std::string advice)
    {
        add(doubt_, "doubt", std::move(subject), std::move(text), std::move(advice));
    }
    /// What is ill first.
    [[nodiscard]] Json list() const
    {
        Json all = ill_;
        all.insert(all.end(), doubt_.begin(), doubt_.end());
        return all;
    }
    [[nodiscard]] const char* health() const
    {
        if (!ill_.empty()) return "ill";
        return doubt_.empty() ? "well" : "doubt";
    }

private:
    static void add(Json& to, const char* health, std::string subject, std::string text,
                    std::string advice)
    {
        to.push_back({{"health", health},
                      {"subject", std::move(subject)},
                      {"text", std::move(text)},
                      {"advice", std::move(advice)}});
    }
    Json ill_ = Json::array();
    Json doubt_ = Json::array();
};

std::string text_of(const Json& value)
{
    return value.is_string() ? value.get<std::string>() : std::string();
}

std::string number_of(const Json& value)
{
    return value.dump();
}

std::string subject_of(const Json& domain)
{
    return "domain " + number_of(domain["domid"]) + " (" + text_of(domain["name"]) + ")";
}

std::string because(const Json& why)
{
    return why.is_string() ? ": " + text_of(why) : "";
}

void judge_qemu(const Json& domain, Reasons& reasons)
{
    const auto subject = subject_of(domain);
    const auto pid = number_of(domain["qemu_pid"]);
    const auto run_state = text_of(domain["run_state"]);
    if (domain["qemu"] == "dead")
        reasons.ill(subject, "its QEMU " + pid + " is dead",
                    "'xlfsck -p' settles what is open; then 'xlstore destroy " +
                        number_of(domain["domid"]) + "', or soft-reset");
    else if (domain["qemu"] == "none" && domain["lost_qemu"] == true)
        reasons.ill(subject, "its QEMU is dead, and none was begun since",
                    "'xlstore soft-reset " + number_of(domain["domid"]) +
                        " -- QEMU…' begins one; or 'xlstore destroy'");
    else if (domain["qemu"] == "alive" && domain["answer"] == "unasked")
        reasons.doubt(subject, "its QEMU was not asked" + because(domain["why"]),
                      "look as a user who may write to its monitor");
    else if (domain["qemu"] == "unseen")
        reasons.doubt(subject, "could not look at its QEMU" + because(domain["why"]),
                      "look from where it was started");
    else if (domain["stopped"] == true)
        reasons.ill(subject, "its QEMU is stopped by a signal or a debugger, and answers nothing",
                    "'kill -CONT " + pid + "' lets it go on");
    else if (domain["answer"] == "silent")
        reasons.doubt(subject, "its QEMU does not answer" + because(domain["why"]),
                      "look again; 'xlfsck -n' says what can be told without it");
    else if (domain["answer"] == "answered" &&
             (run_state == "internal-error" || run_state == "io-error" ||
              run_state == "guest-panicked" || run_state == "shutdown"))
        reasons.ill(subject, "QEMU says " + run_state,
                    "see QEMU's log: 'xlstore show " + number_of(domain["domid"]) + "' names it");
}

// Does a process hold the domain's destroy lock, that is not proved dead?
bool is_being_destroyed(const Json& domain, const Json& locks)
{
    return std::ranges::any_of(locks, [&](const Json& lock) {
        return lock["lock"] == "destroy lock" && lock["domid"] == domain["domid"] &&
               lock["held"] == true &&
               !(lock["claim"].is_object() && lock["claim"]["lives"] == false);
    });
}

// R8: what is being destroyed can only be destroyed to its end. A process that is at it is well:
// judge_lock() tells of one that is stopped.
void judge_destruction(const Json& domain, const Json& locks, Reasons& reasons)
{
    if (is_being_destroyed(domain, locks)) return;
    const auto subject = subject_of(domain);
    if (domain["qemu"] == "dead" || domain["qemu"] == "none")
        reasons.ill(subject, "its destruction was ordered, and no process finishes it",
                    "'xlstore destroy id:" + number_of(domain["incarnation"]) +
                        "' or 'xlfsck -p' finishes it");
    else  // libxl marks it so, ends QEMU, and holds no lock meanwhile
        reasons.doubt(subject, "its destruction was ordered, and its QEMU is not seen dead",
                      "'xlfsck -n' says which process is at it; 'xlfsck -p' finishes it");
}

void judge_domain(const Json& domain, const Json& locks, Reasons& reasons)
{
    const auto state = text_of(domain["state"]);
    if (state == "destroying") return judge_destruction(domain, locks, reasons);
    const bool busy = domain["answer"] == "busy";
    if (state != "running" && !busy)
        reasons.doubt(subject_of(domain), "is " + state,
                      "if no process is at it any more ('xlstore locks'): 'xlfsck -p'");
    judge_qemu(domain, reasons);
}

// What closes an intent whose process is gone. Where no QEMU is registered, as on a spare host that
// has the store of a lost one, none can show anything.
std::string way_out_of(const Json& intent, const Json& domains)
{
    const bool has_qemu = std::ranges::none_of(domains, [&](const Json& domain) {
        return domain["incarnation"] == intent["id"] && domain["qemu"] == "none";
    });
    if (has_qemu) return "'xlfsck -p' settles it by what QEMU shows";
    return "the domain has no QEMU in the store: if the boot of its host is over ('xlfsck -n' says "
           "so), 'xlfsck -p' closes it with its domain; else 'xlstore register' its QEMU first";
}

void judge_intent(const Json& intent, const Json& domains, Reasons& reasons)
{
    const auto number = number_of(intent["intent"]);
    const auto age = intent["age_s"].get<std::int64_t>();
    const std::string subject = "intent " + number + " of domain " + number_of(intent["domid"]);
    const std::string what = text_of(intent["operation"]) + " " + text_of(intent["class"]) + "/" +
                             text_of(intent["key"]);
    const std::string owner =
        text_of(intent["owner_program"]) + " " + number_of(intent["owner_pid"]);
    if (intent["waits_for_guest"] == true)
        reasons.doubt(
            subject,
            what + ": the guest was asked " + duration_text(age) + " ago to let go, and has not",
            "'xlstore wait " + number + "'; or act in the guest");
    else if (intent["owner_lives"] == false)
        reasons.ill(subject, what + ": its process (" + owner + ") is gone since",
                    way_out_of(intent, domains));
    else if (age > kOldSeconds)
        reasons.doubt(subject,
                      what + " is open for " + duration_text(age) + ", by " + owner +
                          (intent["owner_lives"] == true ? ", which lives" : ""),
                      "'xlstore locks' says what it waits for");
}

// A thing of xenstore has no intent, and its row no owner. A process that is at it has a lock of
// the domain, but for a removal that waits for its guest.
void judge_unsettled(const Json& thing, const Json& locks, Reasons& reasons)
{
    const bool at_it = std::ranges::any_of(locks, [&](const Json& lock) {
        return lock["domid"] == thing["domid"] && lock["held"] == true &&
               !(lock["claim"].is_object() && lock["claim"]["lives"] == false);
    });
    if (at_it) return;
    const auto domid = number_of(thing["domid"]);
    const auto device_class = text_of(thing["class"]);
    const auto key = text_of(thing["key"]);
    const auto subject = device_class + "/" + key + " of domain " + domid;
    if (thing["state"] == "removing")
        reasons.doubt(subject, "its removal from xenstore was begun and is not at its end",
                      "'xlstore detach " + domid + " " + device_class + " " + key +
                          "' again goes on with it");
    else
        reasons.doubt(subject,
                      "is " + text_of(thing["state"]) + " in xenstore, and not at the end of it",
                      "give the command again, or run 'xlfsck -p', which looks there");
}

void judge_lock(const Json& lock, Reasons& reasons)
{
    if (lock["held"] != true) return;
    const auto& claim = lock["claim"];
    if (!claim.is_object()) return;
    const std::string subject = text_of(lock["lock"]) + " of " + text_of(lock["subject"]);
    if (claim["stopped"] == true)
        reasons.ill(subject, "its holder is stopped: " + text_of(claim["text"]),
                    "'kill -CONT " + number_of(claim["pid"]) + "' lets it go on");
    else if (claim["lives"] == false)
        reasons.ill(subject, "is held, and its holder is dead: " + text_of(claim["text"]),
                    "'xlstore locks' names who keeps it; 'xlstore locks --break DOM' frees it");
}

void judge_space(const Json& space, Reasons& reasons)
{
    if (space["read_only"] == true)
        reasons.ill("the disk of the store", "is mounted read-only: nothing can be changed",
                    "see what the kernel says of it (dmesg); mount it writable");
    if (space["free_bytes"].is_number() && space["free_bytes"].get<std::int64_t>() < kFreeBytesFew)
        reasons.ill("the disk of the store", "has less than 64 MiB free",
                    "free some: hotplug is refused on a full disk");
    if (space["log_bytes"].is_number() && space["log_bytes"].get<std::int64_t>() > kLogBytesMany)
        reasons.doubt("store.db-wal", "has grown: a reader keeps it from being started anew",
                      "end the reader that has been in a query for long");
}

void judge_units(const Json& units, Reasons& reasons)
{
    for (const auto& unit : units["list"])
        if (unit["active"] == "failed")
            reasons.ill(text_of(unit["name"]), "has failed (" + text_of(unit["result"]) + ")",
                        "'systemctl status " + text_of(unit["name"]) + "'");
}

}  // namespace

std::string with_health(const std::string& gathered)
{
    Json facts = json_value(gathered);
    Reasons reasons;
    for (const auto& domain : facts["domains"])
        judge_domain(domain, facts["locks"], reasons);
    for (const auto& intent : facts["intents"])
        judge_intent(intent, facts["domains"], reasons);
    for (const auto& thing : facts["unsettled"])
        judge_unsettled(thing, facts["locks"], reasons);
    for (const auto& lock : facts["locks"])
        judge_lock(lock, reasons);
    for (const auto& breach : facts["breaches"])
        reasons.ill("domain " + number_of(breach["domid"]),
                    text_of(breach["rule"]) + ": " + text_of(breach["breach"]),
                    "'xlfsck -p', then 'xlfsck -n'");
    judge_space(facts["space"], reasons);
    judge_units(facts["units"], reasons);
    Json all = {{"health", reasons.health()}, {"reasons", reasons.list()}};
    all.update(facts);
    return json_text(all);
}

}  // namespace xlstore::tools
