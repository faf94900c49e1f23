// SPDX-License-Identifier: MIT
#include "tools/xlstore/status_page.hpp"

#include <map>

#include "tools/common/byte_count.hpp"
#include "tools/common/display_width.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/output.hpp"
#include "tools/common/table.hpp"

namespace xlstore::tools {

namespace {

std::string shown(const Json& value)
{
    if (value.is_null()) return "-";
    return plain(value.is_string() ? value.get<std::string>() : json_text(value));
}

std::string counted(std::size_t number, const std::string& what)
{
    return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

Ink ink_of(const std::string& health)
{
    if (health == "well") return Ink::good;
    return health == "doubt" ? Ink::doubt : Ink::bad;
}

// How a QEMU does, as far as its words tell.
Ink ink_of_doing(const Json& domain)
{
    if (domain["qemu"] == "dead" || domain["stopped"] == true) return Ink::bad;
    if (domain["answer"] == "answered" || domain["qemu"] == "none") return Ink::plain;
    return Ink::doubt;
}

class Page {
public:
    Page(Json facts, const Screen& where) : facts_(std::move(facts)), where_(where) {}

    std::vector<std::string> lines()
    {
        field("store", shown(facts_["store"]));
        field("looked", moment_text(facts_["looked_us"].get<std::int64_t>()));
        health();
        domains();
        intents();
        locks();
        space();
        repair();
        units();
        return std::move(lines_);
    }

private:
    static constexpr std::size_t kName = 9;

    // "name     text", broken into lines below one another.
    void field(const std::string& name, const std::string& text, Ink ink = Ink::plain)
    {
        std::string before = where_.in(Ink::strong, padded(name, kName));
        for (const auto& part : wrapped(text, where_.columns - kName)) {
            lines_.push_back(before + where_.in(ink, part));
            before = std::string(kName, ' ');
        }
    }
    void paragraph(std::size_t indent, const std::string& text, Ink ink)
    {
        for (const auto& part : wrapped(text, where_.columns - indent))
            lines_.push_back(std::string(indent, ' ') + where_.in(ink, part));
    }
    // A page has the width of the screen; where there is none, 80 columns.
    void table(const Cells& head, const std::vector<Cells>& rows, const std::vector<Ink>& inks = {})
    {
        Screen narrow = where_;
        narrow.terminal = true;
        narrow.columns -= 2;
        const auto all = table_lines(head, rows, narrow);
        const bool one_each = all.size() == rows.size() + 1;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const Ink ink = one_each && i > 0 && i <= inks.size() ? inks[i - 1] : Ink::plain;
            lines_.push_back("  " + where_.in(ink, all[i]));
        }
    }

    void health()
    {
        const auto& reasons = facts_["reasons"];
        const auto word = facts_["health"].get<std::string>();
        if (word == "well")
            field("health", "all is well", Ink::good);
        else
            field("health",
                  (word == "ill" ? "not well: " : "in doubt: ") +
                      counted(reasons.size(), "thing") + " to look at",
                  ink_of(word));
        for (const auto& reason : reasons) {
            paragraph(2, shown(reason["subject"]) + ": " + shown(reason["text"]),
                      ink_of(reason["health"].get<std::string>()));
            paragraph(6, shown(reason["advice"]), Ink::plain);
        }
    }
    void domains()
    {
        std::map<std::string, std::size_t> counts;
        std::vector<Cells> rows;
        std::vector<Ink> inks;
        for (const auto& d : facts_["domains"]) {
            ++counts[shown(d["doing"])];
            std::string state = shown(d["state"]);
            if (!d["closed_since"].is_null()) state += ", closed";
            const std::string stale =
                d["stale"] == 0 ? "" : " (" + shown(d["stale"]) + " stale)";
            rows.push_back({shown(d["domid"]), cut_to(shown(d["name"]), 24), state,
                            shown(d["qemu_pid"]), shown(d["things"]) + stale,
                            shown(d["open_intents"]), shown(d["doing"])});
            inks.push_back(ink_of_doing(d));
        }
        std::string text = counted(rows.size(), "domain");
        const char* before = ": ";
        for (const auto& [doing, count] : counts) {
            text += before + std::to_string(count) + " " + doing;
            before = ", ";
        }
        field("domains", text);
        table({"DOMID", "NAME", "STATE", "QEMU", "THINGS", "INTENTS", "NOW"}, rows, inks);
    }
    void intents()
    {
        std::vector<Cells> rows;
        for (const auto& i : facts_["intents"]) {
            std::string owner = shown(i["owner_program"]) + " " + shown(i["owner_pid"]);
            if (i["owner_lives"] == false) owner += " (gone)";
            if (i["owner_lives"].is_null()) owner += " (not seen)";
            rows.push_back({shown(i["intent"]), shown(i["domid"]),
                            shown(i["operation"]) + " " + shown(i["class"]) + "/" + shown(i["key"]),
                            duration_text(i["age_s"].get<std::int64_t>()), owner,
                            i["waits_for_guest"] == true ? "guest asked" : "open"});
        }
        field("intents", rows.empty() ? "none is open" : counted(rows.size(), "intent") + " open");
        table({"INTENT", "DOMID", "WHAT", "AGE", "OWNER", "STATE"}, rows);
    }
    void locks()
    {
        std::vector<Cells> rows;
        for (const auto& lock : facts_["locks"])
            rows.push_back({shown(lock["lock"]), shown(lock["subject"]),
                            std::to_string(lock["waiters"].size()),
                            lock["claim"].is_object() ? shown(lock["claim"]["text"]) : "-"});
        if (rows.empty()) {
            field("locks", "none is held");
            return;
        }
        field("locks", counted(rows.size(), "lock") + " held");
        table({"LOCK", "OF", "WAIT", "HOLDER"}, rows);
    }
    void space()
    {
        const auto& space = facts_["space"];
        const auto bytes = [&](const char* name) {
            return space[name].is_number() ? byte_count(space[name].get<std::uint64_t>())
                                           : std::string("not known");
        };
        field("space", "database " + bytes("database_bytes") + ", log " + bytes("log_bytes") +
                           "; " + bytes("free_bytes") + " free of " + bytes("disk_bytes"));
    }
    // A run that found nothing, or only looked, leaves no line.
    void repair()
    {
        const auto& last = facts_["last_fsck"];
        const auto& run = facts_["last_repair"];
        if (last.is_null() && run.is_null()) field("xlfsck", "has repaired nothing that is kept");
        if (!last.is_null())
            field("xlfsck", "last repaired " +
                                moment_and_age(last["at_us"].get<std::int64_t>(),
                                               facts_["looked_us"].get<std::int64_t>()) +
                                ", " + counted(last["lines"].get<std::size_t>(), "line") +
                                " of history; the last: " + shown(last["last"]));
        if (!run.is_null())
            field(last.is_null() ? "xlfsck" : "",
                  "run " + shown(run["run"]) + ", " + shown(run["began"]) + " UTC, by " +
                      shown(run["program"]) + " " + shown(run["pid"]) + " (" + shown(run["mode"]) +
                      "): " + counted(run["rows"].get<std::size_t>(), "row") + " rewritten, " +
                      shown(run["put_back"]) + " put back: 'xlstore undo " + shown(run["run"]) +
                      " --dry-run' shows them");
    }
    void units()
    {
        const auto& units = facts_["units"];
        if (!units["why"].is_null()) {
            field("units", shown(units["why"]));
            return;
        }
        std::vector<Cells> rows;
        for (const auto& u : units["list"]) {
            const auto at = [&](const char* name) {
                return u[name].is_null() ? std::string("-")
                                         : moment_text(u[name].get<std::int64_t>());
            };
            const std::string state = u["load"] == "loaded"
                                          ? shown(u["active"]) + " (" + shown(u["sub"]) + ")"
                                          : shown(u["load"]);
            rows.push_back({shown(u["name"]), state, at("last_us"), at("next_us")});
        }
        field("units", counted(rows.size(), "unit"));
        table({"UNIT", "STATE", "LAST", "NEXT"}, rows);
    }

    Json facts_;
    Screen where_;
    std::vector<std::string> lines_;
};

}  // namespace

std::vector<std::string> status_page(const std::string& facts, const Screen& where)
{
    return Page(json_value(facts), where).lines();
}

std::string status_line(const std::string& gathered)
{
    const Json facts = json_value(gathered);
    const auto& reasons = facts["reasons"];
    const std::string when = ", looked at " + hour_text(facts["looked_us"].get<std::int64_t>());
    if (reasons.empty())
        return "all is well: " + counted(facts["domains"].size(), "domain") + when;
    const auto& first = reasons.front();
    std::string text = shown(first["subject"]) + ": " + shown(first["text"]);
    if (reasons.size() > 1) text += "; and " + std::to_string(reasons.size() - 1) + " more";
    return text + when;
}

}  // namespace xlstore::tools
