// SPDX-License-Identifier: MIT
#include "tools/xlstore/status_facts.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <fstream>

#include "store/base/clock.hpp"
#include "store/base/fd.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/units.hpp"
#include "tools/xlstore/health.hpp"

namespace xlstore::tools {

namespace {

Result<Json> rows_of(xlstore_store* store, const char* sql)
{
    char* text = nullptr;
    if (xlstore_query_json(store, sql, nullptr, 0, nullptr, &text) != XLSTORE_OK)
        return last_error();
    return json_value(Text(text).get());
}

// The one that is asked about; NULL: all. 'bundle' has a file as its word.
const char* domain_of(const Arguments& arguments)
{
    const bool one = arguments.verb == "status" && !arguments.words.empty();
    return one ? arguments.words[0].c_str() : nullptr;
}

Result<std::string> looks_of(const Arguments& arguments, xlstore_store* store)
{
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_look_at_qemus(store, domain_of(arguments), &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    if (xlstore_result_status(made) != XLSTORE_OK) return last_error();
    return json_text(json_value(xlstore_result_json(made))["domains"]);
}

// A domain that came since has no look, and a look that is older than the rows may be of one that
// went.
Result<Json> domains_of(xlstore_store* store, const Json& looks)
{
    auto rows = rows_of(
        store,
        "SELECT d.domid, d.name, coalesce(d.vm_uuid, d.uuid) AS uuid, d.incarnation, d.state, "
        "d.things, (SELECT count(*) FROM stale_things s WHERE s.domid = d.domid) AS stale, "
        "d.open_intents, d.qemu_pid, c.closed_since, c.reason AS closed_reason, "
        "d.state = 'running' AND d.qemu_pid IS NULL AND EXISTS (SELECT 1 FROM history h "
        "WHERE h.domain = d.incarnation AND h.operation = 'strike off') AS lost_qemu "
        "FROM domains d LEFT JOIN closed_documents c ON c.incarnation = d.incarnation "
        "ORDER BY d.domid");
    if (!rows) return rows;
    for (auto& row : *rows) {
        for (const char* member : {"qemu", "answer", "run_state", "doing", "why", "looked_us"})
            row[member] = nullptr;
        row["stopped"] = false;
        row["lost_qemu"] = row["lost_qemu"] == 1;
        for (const auto& look : looks)
            if (look["id"] == row["incarnation"])
                for (const char* member :
                     {"qemu", "answer", "run_state", "doing", "why", "looked_us", "stopped"})
                    row[member] = look[member];
        if (row["doing"].is_null()) row["doing"] = "not looked at yet";
    }
    return rows;
}

Result<Json> intents_of(xlstore_store* store)
{
    char* text = nullptr;
    if (xlstore_intents(store, nullptr, &text) != XLSTORE_OK) return last_error();
    auto intents = json_value(Text(text).get());
    for (auto& one : intents)
        for (const char* secret : {"before", "after"})  // documents hold passwords
            one.erase(secret);
    return intents;
}

// Those that are held, or waited for.
Result<Json> locks_of(xlstore_store* store)
{
    char* text = nullptr;
    if (xlstore_locks(store, &text) != XLSTORE_OK) return last_error();
    auto held = Json::array();
    for (auto& lock : json_value(Text(text).get()))
        if (lock["held"] == true || !lock["waiters"].empty()) held.push_back(std::move(lock));
    return held;
}

// Of the rows of all domains those of one.
void keep_only(Json& rows, const char* member, std::int64_t number)
{
    Json kept = Json::array();
    for (auto& row : rows)
        if (row[member] == number) kept.push_back(std::move(row));
    rows = std::move(kept);
}

Json bytes_of(const std::string& path)
{
    struct stat st {};
    if (stat(path.c_str(), &st) != 0) return nullptr;
    return st.st_size;
}

// Is the file system read-only, not only this process's own mount of it? A unit that may not write
// (ProtectSystem=) has the store read-only for itself alone. What is mounted is the same for all:
// its options stand last in its line of mountinfo(5).
bool is_file_system_read_only(const std::string& directory, const struct statvfs& disk)
{
    if ((disk.f_flag & ST_RDONLY) == 0) return false;
    const Fd place(::open(directory.c_str(), O_PATH | O_CLOEXEC));
    std::ifstream about("/proc/self/fdinfo/" + std::to_string(place.get()));
    std::string word;
    while (about >> word && word != "mnt_id:") {
    }
    std::string id;
    about >> id;
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; !id.empty() && std::getline(mounts, line);)
        if (line.starts_with(id + " ")) {
            const auto options = line.substr(line.rfind(' ') + 1);
            return options == "ro" || options.starts_with("ro,");
        }
    return true;
}

Json space_of(const std::string& directory)
{
    Json space = {{"database_bytes", bytes_of(directory + "/store.db")},
                  {"log_bytes", bytes_of(directory + "/store.db-wal")},
                  {"free_bytes", nullptr},
                  {"disk_bytes", nullptr},
                  {"read_only", false}};
    struct statvfs disk {};
    if (statvfs(directory.c_str(), &disk) != 0) return space;
    space["free_bytes"] = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    space["read_only"] = is_file_system_read_only(directory, disk);
    space["disk_bytes"] = static_cast<std::uint64_t>(disk.f_blocks) * disk.f_frsize;
    return space;
}

Json unit_json(const Unit& unit)
{
    const auto number = [](const auto& value) -> Json {
        return value ? Json(*value) : Json(nullptr);
    };
    return {{"name", unit.name},
            {"load", unit.load},
            {"active", unit.active},
            {"sub", unit.sub},
            {"result", unit.result},
            {"enabled", unit.enabled},
            {"status", number(unit.status)},
            {"last_us", number(unit.last_us)},
            {"next_us", number(unit.next_us)}};
}

Json units_of_host()
{
    std::string why;
    const auto units = units_now(why);
    Json list = Json::array();
    for (const auto& unit : units.value_or(std::vector<Unit>()))
        list.push_back(unit_json(unit));
    return {{"why", units ? Json(nullptr) : Json(why)}, {"list", list}};
}

}  // namespace

Result<std::string> status_facts(const Arguments& arguments, xlstore_store* store)
{
    const auto looks = looks_of(arguments, store);
    return looks ? status_facts_with(*looks, arguments, store) : looks;
}

Result<std::string> status_facts_with(const std::string& looks, const Arguments& arguments,
                                      xlstore_store* store)
{
    const auto looked_us = now_us();
    auto domains = domains_of(store, json_value(looks));
    if (!domains) return domains.error();
    auto intents = intents_of(store);
    if (!intents) return intents.error();
    auto locks = locks_of(store);
    if (!locks) return locks.error();
    auto breaches =
        rows_of(store, "SELECT rule, domid, class, key, breach FROM invariant_breaches LIMIT 100");
    if (!breaches) return breaches.error();
    // What of xenstore is open has no intent: the state of its entry says it.
    auto unsettled = rows_of(store,
                             "SELECT domid, class, key, state FROM things WHERE primary_at = "
                             "'xenstore' AND state IN ('adding', 'changing', 'removing')");
    if (!unsettled) return unsettled.error();
    // What a run rewrote; one that rewrote nothing leaves no row.
    auto repairs = rows_of(store,
                           "SELECT run, began, mode, program, pid, domains, kept AS rows, put_back "
                           "FROM undo_runs LIMIT 1");
    if (!repairs) return repairs.error();
    // What it settled, adopted or called stale has a line of history.
    auto runs = rows_of(store,
                        "SELECT max(at_us) AS at_us, pid, count(*) AS lines, operation || "
                        "coalesce(' ' || class || '/' || key, '') || ': ' || outcome AS last FROM "
                        "(SELECT * FROM history WHERE program = 'xlfsck' ORDER BY id DESC LIMIT "
                        "1000) GROUP BY pid ORDER BY at_us DESC LIMIT 1");
    if (!runs) return runs.error();
    if (const char* const domain = domain_of(arguments)) {
        xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
        if (xlstore_find(store, domain, &info) != XLSTORE_OK) return last_error();
        keep_only(*domains, "incarnation", info.id);
        keep_only(*intents, "id", info.id);
        keep_only(*locks, "domid", info.domid);
        keep_only(*breaches, "domid", info.domid);
        keep_only(*unsettled, "domid", info.domid);
    }
    const Json facts = {{"store", plain(arguments.store)},
                        {"looked_us", looked_us},
                        {"domains", *std::move(domains)},
                        {"intents", *std::move(intents)},
                        {"locks", *std::move(locks)},
                        {"breaches", *std::move(breaches)},
                        {"unsettled", *std::move(unsettled)},
                        {"space", space_of(arguments.store)},
                        {"last_fsck", runs->empty() ? Json(nullptr) : (*runs)[0]},
                        {"last_repair", repairs->empty() ? Json(nullptr) : (*repairs)[0]},
                        {"units", units_of_host()}};
    return with_health(json_text(facts));
}

}  // namespace xlstore::tools
