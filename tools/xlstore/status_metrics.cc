// SPDX-License-Identifier: MIT
// The facts of a store for node_exporter's textfile collector.
#include <algorithm>

#include "tools/common/json_value.hpp"
#include "tools/xlstore/status_page.hpp"

namespace xlstore::tools {

namespace {

// A value of a label: what Prometheus reads back as that text.
std::string label(const std::string& text)
{
    std::string quoted;
    for (const char c : text) {
        if (c == '\\' || c == '"') quoted += '\\';
        quoted += c == '\n' ? ' ' : c;
    }
    return "\"" + quoted + "\"";
}

class Metrics {
public:
    // A figure has its help and type once, before its first value.
    void begin(const std::string& name, const std::string& help)
    {
        name_ = "xlstore_" + name;
        text_ += "# HELP " + name_ + " " + help + "\n# TYPE " + name_ + " gauge\n";
    }
    void value(const Json& number, const std::string& labels = {})
    {
        if (number.is_null()) return;
        text_ += name_ + (labels.empty() ? "" : "{" + labels + "}") + " " +
                 (number.is_boolean() ? (number.get<bool>() ? "1" : "0") : number.dump()) + "\n";
    }
    void one(const std::string& name, const std::string& help, const Json& number)
    {
        if (number.is_null()) return;
        begin(name, help);
        value(number);
    }
    [[nodiscard]] std::string text() { return std::move(text_); }

private:
    std::string name_;
    std::string text_;
};

std::string labels_of(const Json& domain)
{
    return "domid=" + label(domain["domid"].dump()) +
           ",name=" + label(domain["name"].get<std::string>());
}

void add_domains(const Json& facts, Metrics& metrics)
{
    std::int64_t stale = 0;
    for (const auto& d : facts["domains"])
        stale += d["stale"].get<std::int64_t>();
    metrics.one("domains", "Domains in the store.", facts["domains"].size());
    metrics.one("stale_things", "Entries whose thing is not in its primary.", stale);
    metrics.begin("qemu_up",
                  "1: its QEMU answered; 0: it is dead, stopped or silent. Absent where the domain "
                  "has none, could not be looked at, or was being worked on.");
    for (const auto& d : facts["domains"]) {
        if (d["answer"] == "answered") metrics.value(true, labels_of(d));
        if (d["answer"] == "silent" || d["qemu"] == "dead") metrics.value(false, labels_of(d));
    }
    metrics.begin("domain_state", "1, with what the domain's QEMU is doing in a label.");
    for (const auto& d : facts["domains"])
        metrics.value(1, labels_of(d) + ",doing=" + label(d["doing"].get<std::string>()));
    metrics.begin("domain_things", "Entries of the domain.");
    for (const auto& d : facts["domains"])
        metrics.value(d["things"], labels_of(d));
}

void add_intents(const Json& facts, Metrics& metrics)
{
    int waiting = 0;
    int ownerless = 0;
    std::int64_t oldest = 0;
    for (const auto& one : facts["intents"]) {
        waiting += one["waits_for_guest"] == true ? 1 : 0;
        ownerless += one["owner_lives"] == false && one["waits_for_guest"] == false ? 1 : 0;
        oldest = std::max(oldest, one["age_s"].get<std::int64_t>());
    }
    metrics.one("open_intents", "Intents that are not settled.", facts["intents"].size());
    metrics.one("oldest_intent_seconds", "Age of the oldest open intent.", oldest);
    metrics.one("waiting_for_guest",
                "Open intents whose guest was asked to let go and has not.", waiting);
    metrics.one("intents_of_the_dead", "Open intents whose process is gone.", ownerless);
}

void add_units(const Json& facts, Metrics& metrics)
{
    if (facts["units"]["list"].empty()) return;
    metrics.begin("unit_failed", "1: that unit of systemd has failed.");
    for (const auto& unit : facts["units"]["list"])
        metrics.value(unit["active"] == "failed",
                      "unit=" + label(unit["name"].get<std::string>()));
}

}  // namespace

std::string status_metrics(const std::string& gathered)
{
    const Json facts = json_value(gathered);
    int ill = 0;
    for (const auto& reason : facts["reasons"])
        ill += reason["health"] == "ill" ? 1 : 0;
    Metrics metrics;
    metrics.one("status_time_seconds", "When 'xlstore status' looked.",
                facts["looked_us"].get<std::int64_t>() / 1'000'000);
    metrics.one("ill", "What does not become better by waiting.", ill);
    metrics.one("doubtful", "What is open, or could not be looked at.",
                static_cast<int>(facts["reasons"].size()) - ill);
    add_domains(facts, metrics);
    add_intents(facts, metrics);
    metrics.one("locks_held", "Locks that a process holds or waits for.", facts["locks"].size());
    metrics.one("invariant_breaches", "What must never be, by the rows alone.",
                facts["breaches"].size());
    metrics.one("database_bytes", "Size of store.db.", facts["space"]["database_bytes"]);
    metrics.one("log_bytes", "Size of store.db-wal.", facts["space"]["log_bytes"]);
    metrics.one("disk_free_bytes", "Free on the disk of the store.", facts["space"]["free_bytes"]);
    if (facts["last_repair"].is_object())
        metrics.one("last_repair_rows", "Rows that the last run of recovery rewrote.",
                    facts["last_repair"]["rows"]);
    add_units(facts, metrics);
    return metrics.text();
}

}  // namespace xlstore::tools
