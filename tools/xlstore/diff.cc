// SPDX-License-Identifier: MIT
// diff: a domain's document, its entries, QEMU and xenstore, side by side. What QEMU and xenstore
// have is what recovery sees when it only looks, so that a line here and a line of 'xlfsck -n'
// never contradict each other. What was not seen is said to be not seen.
#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "tools/common/finding_line.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/one_of.hpp"
#include "tools/common/table.hpp"
#include "tools/xlstore/found_domain.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

namespace {

constexpr const char* kNotSeen = "not seen";

// A thing, or what has no entry, and who has it.
struct SideBySideRow {
    std::string document = "-";
    std::string entry = "-";
    std::string qemu = "-";
    std::string xenstore = "-";
    std::vector<std::string> differences;
};

struct Findings {
    std::string prefix;  // "domain 7 (web01): "
    std::map<std::string, std::vector<xlstore_finding>> of_things;
    std::vector<std::string> of_the_domain;
    std::vector<std::string> not_seen;                // what recovery could not look at, and why
    std::vector<std::unique_ptr<std::string>> texts;  // what the findings point into
    bool qemu_unseen = false;
    bool qemu_absent = false;  // none is registered
    bool xenstore_unseen = false;
    bool xenstore_absent = false;
};

const char* keep_text(Findings& all, const char* text)
{
    return all.texts.emplace_back(std::make_unique<std::string>(text))->c_str();
}

// What was not looked at may be as it should: that is no difference.
bool says_not_seen(const xlstore_finding& finding)
{
    return (finding.if_left & XLSTORE_FSCK_BLIND) != 0 ||
           std::string_view(finding.problem).ends_with("_owned");
}

// Which of the two a living process is at work on.
bool is_of_xenstore(const xlstore_finding& finding)
{
    return std::string_view(finding.subject).ends_with(": xenstore");
}

// Of a domain that is on its way in or out recovery looks into neither, and says only that it is.
bool leaves_all_unseen(std::string_view problem)
{
    return problem.starts_with("creation_") || problem.starts_with("destruction_") ||
           problem == "older_boot" || problem == "domain_unknown";
}

void gather(const xlstore_finding* finding, void* userdata)
{
    auto& all = *static_cast<Findings*>(userdata);
    const std::string_view problem = finding->problem;
    // With an intent to speak of, pass 4 alone says that QEMU was not looked into, or not further.
    if (is_one_of(problem, {"primary_unseen", "qemu_dead", "qemu_unseen", "intent_owned",
                            "intent_in_doubt", "intents_left"}))
        all.qemu_unseen = true;
    if (problem == "xenstore_unseen") all.xenstore_unseen = true;
    if (problem == "primary_owned")
        (is_of_xenstore(*finding) ? all.xenstore_unseen : all.qemu_unseen) = true;
    if (leaves_all_unseen(problem)) all.qemu_unseen = all.xenstore_unseen = true;
    if (problem == "xenstore_absent") all.xenstore_absent = true;
    // Names are compared as they are shown, for bytes that are not UTF-8 among them.
    const std::string subject = plain(finding->subject);
    if (says_not_seen(*finding)) {
        all.not_seen.push_back(plain(finding_line(*finding)));
        return;
    }
    if (!subject.starts_with(all.prefix)) {
        if (finding->if_left != 0) all.of_the_domain.push_back(plain(finding_line(*finding)));
        return;
    }
    // "disks/hdc", "disks/hdc: intent 12 (add)", "device "tablet"": up to the next colon and blank.
    const auto rest = subject.substr(all.prefix.size());
    xlstore_finding kept = *finding;
    kept.subject = keep_text(all, finding->subject);
    kept.message = keep_text(all, finding->message);
    kept.evidence = keep_text(all, finding->evidence);
    kept.error = keep_text(all, finding->error);
    kept.problem = keep_text(all, finding->problem);
    all.of_things[rest.substr(0, rest.find(": "))].push_back(kept);
}

Result<void> look(const Arguments& arguments, xlstore_store* store, Findings& all)
{
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.mode = XLSTORE_RECOVER_LOOK;
    options.domain = arguments.words[0].c_str();
    options.timeout_ms = call_of(arguments).timeout_ms;
    options.found = gather;
    options.userdata = &all;
    xlstore_result* made = nullptr;
    xlstore_recover(store, &options, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    const auto report = json_value(xlstore_result_json(made));
    if (report.contains("fsck_status")) return {};
    return Error(Errc::io, xlstore_result_message(made), xlstore_result_advice(made));
}

// What the findings on a thing say of who has it.
void apply(SideBySideRow& row, const xlstore_finding& finding)
{
    const std::string_view problem = finding.problem;
    if (is_one_of(problem, {"thing_absent", "medium_gone"})) row.qemu = "lacks it";
    if (is_one_of(problem, {"thing_unknown", "thing_back", "thing_unwanted"})) row.qemu = "has it";
    if (is_one_of(problem, {"thing_partial"})) row.qemu = "has a part";
    if (is_one_of(problem, {"medium_other", "medium_unknown"})) row.qemu = "has another";
    if (is_one_of(problem, {"thing_unasked"})) row.qemu = kNotSeen;
    if (problem == "device_absent") row.xenstore = "lacks it";
    if (is_one_of(problem, {"device_unknown", "device_back", "device_kept", "device_leaving",
                            "device_waits"}))
        row.xenstore = "has it";
    if (problem == "device_partial") row.xenstore = "has a part";
    if (is_one_of(problem, {"copy_differs", "device_strange"})) row.xenstore = "differs";
    if (finding.if_left == 0) return;
    std::string text = finding.message;
    if (*finding.evidence != '\0') text += " (" + std::string(finding.evidence) + ")";
    row.differences.push_back(plain(text));
}

// "class/key" of what the document has: the entries of each array that it lists. Its text may be
// damaged.
Result<std::set<std::string>> in_document(const Arguments& arguments, const Found& found)
{
    const auto rows = query_rows(
        arguments, found.store.get(),
        "SELECT class || '/' || key FROM things t WHERE incarnation = ?1 AND EXISTS (SELECT 1 FROM "
        "document_member m WHERE m.domain = t.incarnation AND m.key = t.class AND m.text IS NULL)",
        {found.incarnation.front()});
    if (!rows) return rows.error();
    std::set<std::string> names;
    for (const auto& row : *rows)
        names.insert(plain(row[0].value_or("")));
    return names;
}

Result<bool> has_registered_qemu(const Arguments& arguments, const Found& found)
{
    const auto rows =
        query_rows(arguments, found.store.get(),
                   "SELECT 1 FROM domains WHERE incarnation = ?1 AND qemu_pid IS NOT NULL",
                   {found.incarnation.front()});
    if (!rows) return rows.error();
    return !rows->empty();
}

SideBySideRow row_of_entry(const Json& thing, bool documented, const Findings& all)
{
    SideBySideRow row;
    const bool stale = thing["state"] == "stale";
    row.entry = thing["state"].get<std::string>();
    row.document = documented ? "has it" : "-";
    const std::string has = stale ? "lacks it" : "has it";
    if (thing["primary"] == "qemu") row.qemu = all.qemu_unseen || all.qemu_absent ? kNotSeen : has;
    if (thing["primary"] == "xenstore")
        row.xenstore = all.xenstore_unseen || all.xenstore_absent ? kNotSeen : has;
    if (!thing["intent"].is_null()) {
        (thing["primary"] == "xenstore" ? row.xenstore : row.qemu) = "intent open";
        row.differences.push_back("intent " + thing["intent"].dump() + " is open");
    }
    return row;
}

using SideBySideRows = std::vector<std::pair<std::string, SideBySideRow>>;

SideBySideRows rows_of_all(const Json& things, const std::set<std::string>& documented,
                           const Findings& all)
{
    SideBySideRows rows;
    std::set<std::string> told;
    for (const auto& thing : things) {
        const auto name =
            plain(thing["class"].get<std::string>() + "/" + thing["key"].get<std::string>());
        auto row = row_of_entry(thing, documented.contains(name), all);
        if (const auto about = all.of_things.find(name); about != all.of_things.end())
            for (const auto& finding : about->second)
                apply(row, finding);
        rows.emplace_back(name, std::move(row));
        told.insert(name);
    }
    for (const auto& [name, findings] : all.of_things) {
        if (told.contains(name)) continue;
        SideBySideRow row;
        for (const auto& finding : findings)
            apply(row, finding);
        if (!row.differences.empty()) rows.emplace_back(name, std::move(row));
    }
    return rows;
}

// Of what is not there no finding tells.
std::vector<std::string> absent_primaries(const Findings& all)
{
    std::vector<std::string> lines;
    if (all.qemu_absent)
        lines.emplace_back("no QEMU is registered: what it would have is not known");
    if (all.xenstore_absent)
        lines.emplace_back("no xenstored runs here: what it would have is not known");
    return lines;
}

Json json_of_rows(const Found& found, const SideBySideRows& rows, const Findings& all)
{
    Json list = Json::array();
    for (const auto& [name, row] : rows)
        list.push_back({{"thing", name},
                        {"document", row.document},
                        {"entry", row.entry},
                        {"qemu", row.qemu},
                        {"xenstore", row.xenstore},
                        {"differences", row.differences}});
    auto not_seen = all.not_seen;
    std::ranges::copy(absent_primaries(all), std::back_inserter(not_seen));
    return {{"subject", found.subject},
            {"things", list},
            {"of_the_domain", all.of_the_domain},
            {"not_seen", not_seen}};
}

void print_side_by_side(const Found& found, const SideBySideRows& rows, const Findings& all)
{
    std::vector<Cells> table;
    for (const auto& [name, row] : rows)
        table.push_back({row.differences.empty() ? " " : "!", name, row.document, row.entry,
                         row.qemu, row.xenstore});
    const auto where = screen();
    const auto say = [&](const std::string& text) { print_paragraph(text, 2, where); };
    say(found.subject);
    print_table({" ", "THING", "DOCUMENT", "ENTRY", "QEMU", "XENSTORE"}, table);
    for (const auto& [name, row] : rows)
        for (const auto& difference : row.differences)
            say("! " + name + ": " + difference);
    for (const auto& line : all.of_the_domain)
        say("! " + line);
    for (const auto& line : all.not_seen)
        say("? " + line);
    for (const auto& line : absent_primaries(all))
        say(line);
    if (all.qemu_unseen) say("QEMU was not seen: what it has is not known");
    if (all.xenstore_unseen) say("xenstore was not seen: what it has is not known");
}

}  // namespace

Result<Status> run_diff(const Arguments& arguments)
{
    const auto found = open_and_find(arguments, Past::no);
    if (!found) return found.error();
    char* text = nullptr;
    if (xlstore_things(found->store.get(), arguments.words[0].c_str(), &text) != XLSTORE_OK)
        return last_error();
    const auto things = json_value(Text(text).get());
    const auto documented = in_document(arguments, *found);
    if (!documented) return documented.error();
    const auto has_qemu = has_registered_qemu(arguments, *found);
    if (!has_qemu) return has_qemu.error();
    Findings all;
    all.prefix = found->subject + ": ";
    all.qemu_absent = !*has_qemu && std::ranges::any_of(things, [](const Json& thing) {
        return thing["primary"] == "qemu";
    });
    if (const auto looked = look(arguments, found->store.get(), all); !looked)
        return looked.error();
    const auto rows = rows_of_all(things, *documented, all);
    if (arguments.json)
        print_json(json_text(json_of_rows(*found, rows, all)));
    else
        print_side_by_side(*found, rows, all);
    const bool differ =
        std::ranges::any_of(rows, [](const auto& row) { return !row.second.differences.empty(); });
    if (differ || !all.of_the_domain.empty()) return Status::refused;
    const bool unseen = std::ranges::any_of(rows, [](const auto& row) {
        return row.second.qemu == kNotSeen || row.second.xenstore == kNotSeen;
    });
    const bool blind = all.qemu_unseen || all.xenstore_unseen || !all.not_seen.empty();
    return unseen || blind ? Status::in_doubt : Status::done;
}

}  // namespace xlstore::tools
