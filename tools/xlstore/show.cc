// SPDX-License-Identifier: MIT
// list, show, things, intents, crash-points: looking, never changing.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "store/testing/crash_point.hpp"
#include "store/text/json_text.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/table.hpp"
#include "tools/xlstore/found_domain.hpp"

namespace xlstore::tools {

namespace {

// The rows of a view that are of one domain, or of all.
Result<Status> print_found(const Arguments& arguments, const char* sql,
                           const std::vector<std::string>& head, Past past = Past::no)
{
    const auto found = open_and_find(arguments, past);
    if (!found) return found.error();
    return print_rows(arguments, found->store.get(), sql, found->incarnation, head);
}

Result<Status> list_retired(const Arguments& arguments)
{
    return print_found(
        arguments,
        "SELECT json_object('incarnation', incarnation, 'domid', domid, 'name', domain, 'uuid', "
        "uuid, 'vm_uuid', vm_uuid, 'created', created, 'first_ran', first_ran, 'retired', retired, "
        "'why', why, 'bytes', bytes, 'has_things', json(iif(has_things, 'true', 'false')), "
        "'printed_by', printed_by), 'id:' || incarnation, domid, domain, coalesce(vm_uuid, uuid), "
        "retired, why FROM retired_documents",
        {"INCARNATION", "DOMID", "NAME", "UUID", "RETIRED (UTC)", "WHY"});
}

// What the kernel says of a domain's QEMU, asked for one row after the other: a view can only say
// what was committed.
class Kernel {
public:
    explicit Kernel(xlstore_store* store) : store_(store) {}

    const xlstore_domain_info& ask(const std::string& incarnation)
    {
        const auto [at, is_new] = seen_.try_emplace(incarnation);
        if (!is_new) return at->second;
        at->second = XLSTORE_DOMAIN_INFO_INIT;
        xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
        const std::string word = "id:" + incarnation;
        if (xlstore_find_incarnation(store_, word.c_str(), &info, nullptr) == XLSTORE_OK)
            at->second = info;
        return at->second;
    }
    /// "running, QEMU dead (looked at ...)"; of a living QEMU the state alone.
    static std::string state(const std::string& state, const xlstore_domain_info& info)
    {
        const bool plain_state =
            info.qemu == XLSTORE_QEMU_ALIVE ||
            (info.qemu == XLSTORE_QEMU_NONE && std::string_view(info.state) != "running");
        return plain_state ? state : state + ", " + info.seen;
    }
    /// Members of a JSON object.
    static std::string members(const xlstore_domain_info& info)
    {
        constexpr const char* kNames[] = {"none", "alive", "dead", "unseen"};
        return std::string("\"qemu\":\"") + kNames[info.qemu] +
               "\",\"looked_us\":" + std::to_string(info.looked_us) +
               ",\"seen\":" + json_quote(info.seen);
    }

private:
    xlstore_store* store_;
    std::map<std::string, xlstore_domain_info> seen_;
};

using Rows = std::vector<std::vector<std::string>>;

int32_t collect(int32_t columns, const char* const*, const char* const* values, void* userdata)
{
    auto& row = static_cast<Rows*>(userdata)->emplace_back();
    for (int32_t i = 0; i < columns; ++i)
        row.emplace_back(values[i] ? values[i] : "");
    return XLSTORE_OK;
}

// The first columns of `sql` are: a JSON object, an incarnation, a state, and whether that depends
// on QEMU. The rest are those of a table, where the state becomes column `place`.
Result<Status> print_seen(const Arguments& arguments, const Found& found, const char* sql,
                          const std::vector<std::string>& head, std::size_t place)
{
    std::vector<const char*> parameters;
    for (const auto& value : found.incarnation)
        parameters.push_back(value.c_str());
    const xlstore_call call = call_of(arguments);
    Rows rows;
    if (xlstore_query(found.store.get(), sql, parameters.data(), parameters.size(), &call, collect,
                      &rows) != XLSTORE_OK)
        return last_error();
    Kernel kernel(found.store.get());
    std::string objects;
    Rows table;
    for (const auto& row : rows) {
        const auto& info = kernel.ask(row[1]);
        if (arguments.json) {
            objects += (objects.empty() ? "" : ",") + row[0].substr(0, row[0].size() - 1) + "," +
                       Kernel::members(info) + "}";
            continue;
        }
        auto& cells = table.emplace_back();
        for (std::size_t i = 4; i < row.size(); ++i)
            cells.push_back(plain(row[i]));
        cells.insert(cells.begin() + static_cast<std::ptrdiff_t>(place),
                     row[3] == "1" ? Kernel::state(row[2], info) : row[2]);
    }
    if (arguments.json)
        print_json("[" + objects + "]");
    else
        print_table(head, table);
    return Status::done;
}

void print_domain_members(const Json& members)
{
    Cells names;
    Cells values;
    for (const auto& [key, value] : members.items()) {
        if (value.is_null()) continue;
        names.push_back(key);
        values.push_back(plain(value.is_string() ? value.get<std::string>() : json_text(value)));
    }
    const auto where = screen();
    if (where.terminal) {
        for (const auto& line : record_lines(names, values, where.columns))
            std::puts(line.c_str());
        return;
    }
    for (std::size_t i = 0; i < names.size(); ++i)
        std::printf("%-13s %s\n", names[i].c_str(), values[i].c_str());
}

}  // namespace

Result<Status> run_list(const Arguments& arguments)
{
    if (arguments.retired) return list_retired(arguments);
    const auto found = open_and_find(arguments, Past::no);
    if (!found) return found.error();
    return print_seen(
        arguments, *found,
        "SELECT json_object('domid', domid, 'name', name, 'uuid', uuid, 'vm_uuid', vm_uuid, "
        "'state', state, 'incarnation', incarnation, 'things', things, 'open_intents', "
        "open_intents, 'qemu_pid', qemu_pid, 'closed_since', closed_since, 'closed_reason', "
        "reason), incarnation, state || iif(closed_since IS NULL, '', ', closed'), 1, domid, name, "
        "coalesce(vm_uuid, uuid), things, open_intents, coalesce(qemu_pid, '-') "
        "FROM domains LEFT JOIN closed_documents USING (incarnation, domid) ORDER BY domid",
        {"DOMID", "NAME", "UUID", "STATE", "THINGS", "INTENTS", "QEMU"}, 3);
}

Result<Status> run_show(const Arguments& arguments)
{
    const auto found = open_and_find(arguments, Past::yes);
    if (!found) return found.error();
    // One statement sees one moment (R2). Of a destroyed domain the row is what is left.
    constexpr const char* kLiving =
        "SELECT json_object('domid', d.domid, 'name', d.name, 'uuid', d.uuid, 'vm_uuid', "
        "d.vm_uuid, 'state', d.state, 'incarnation', d.incarnation, 'things', d.things, "
        "'open_intents', d.open_intents, 'epoch', d.epoch, 'revision', d.revision, 'as_of', "
        "d.as_of, 'qemu_pid', d.qemu_pid, 'monitor', d.monitor_path, 'log', d.log_path, "
        "'closed_since', c.closed_since, 'closed_by', c.closed_program || ' ' || c.closed_pid, "
        "'closed_reason', c.reason, 'opened_by', c.opened_by, 'document', "
        "iif(json_valid(l.json), json(l.json), NULL)) AS shown "
        "FROM domains d JOIN libxl_json l ON l.domid = d.domid LEFT JOIN closed_documents c ON "
        "c.incarnation = d.incarnation WHERE d.incarnation = ?1";
    constexpr const char* kDestroyed =
        "SELECT json_object('domid', domid, 'name', name, 'uuid', uuid, 'vm_uuid', vm_uuid, "
        "'state', state, 'incarnation', incarnation, 'created', created, 'first_ran', first_ran, "
        "'destroyed', destroyed, 'epoch', epoch, 'revision', revision, 'as_of', as_of, "
        "'log', log_path, 'document_kept', (SELECT printed_by FROM retired_documents r "
        "WHERE r.incarnation = i.incarnation), 'document', (SELECT iif(json_valid(json), "
        "json(json), NULL) FROM retired_documents r WHERE r.incarnation = i.incarnation)) AS shown "
        "FROM incarnations i WHERE incarnation = ?1";
    const xlstore_call call = call_of(arguments);
    const char* const incarnation = found->incarnation.front().c_str();
    char* rows = nullptr;
    if (xlstore_query_json(found->store.get(), found->destroyed ? kDestroyed : kLiving,
                           &incarnation, 1, &call, &rows) != XLSTORE_OK)
        return last_error();
    const Text row(rows);
    note_unreadable(arguments, *found);
    const auto first = json_elements(row.get(), 1);
    if (first.empty())
        return Error(Errc::gone, "domain " + plain(arguments.words[0]) + " is gone meanwhile",
                     "'xlstore history' says what became of it");
    auto shown = json_get_string(first[0], "shown").value_or("{}");
    Kernel kernel(found->store.get());
    const auto& info = kernel.ask(incarnation);
    shown.insert(shown.size() - 1, "," + Kernel::members(info));
    if (arguments.json) {
        print_json(shown);
        return Status::done;
    }
    auto members = json_value(shown);
    members["state"] = Kernel::state(members["state"].get<std::string>(), info);
    for (const char* internal : {"document", "qemu", "looked_us"})
        members.erase(internal);
    // The log of a domain that ran went with it.
    if (found->destroyed && members["log"].is_string() &&
        access(members["log"].get<std::string>().c_str(), F_OK) != 0)
        members.erase("log");
    print_domain_members(members);
    return Status::done;
}

Result<Status> run_things(const Arguments& arguments)
{
    const auto found = open_and_find(arguments, Past::no);
    if (!found) return found.error();
    note_unreadable(arguments, *found);
    return print_seen(
        arguments, *found,
        "SELECT json_object('class', class, 'key', key, 'state', state, 'primary_at', primary_at, "
        "'products', products, 'intent', intent, 'json', iif(json_valid(json), "
        "json(json), json), "
        "'made', (SELECT made FROM things_as_made m WHERE m.incarnation = t.incarnation AND "
        "m.class = t.class AND m.key = t.key), "
        "'address', (SELECT iif(json_valid(address), json(address), address) "
        "FROM things_as_made m WHERE m.incarnation = "
        "t.incarnation AND m.class = t.class AND m.key = t.key), "
        "'as_of', as_of, 'evidence', evidence), incarnation, state, "
        "primary_at = 'qemu' AND state <> 'stale', class, key, primary_at, "
        "coalesce(products, '-'), coalesce(intent, '-'), json FROM things t "
        "WHERE incarnation = ?1",
        {"CLASS", "KEY", "STATE", "PRIMARY", "PRODUCTS", "INTENT", "JSON"}, 2);
}

Result<Status> run_intents(const Arguments& arguments)
{
    return print_found(
        arguments,
        "SELECT json_object('intent', intent, 'domid', domid, 'domain', domain, 'operation', "
        "operation, 'class', class, 'key', key, 'entry', entry, 'waits_for', waits_for, 'age_s', "
        "age_s, 'owner_pid', owner_pid, 'owner_program', owner_program, 'note', note, "
        "'image_before', iif(json_valid(image_before), json(image_before), image_before), "
        "'image_after', iif(json_valid(image_after), json(image_after), image_after), "
        "'plan', iif(json_valid(plan), json(plan), plan), "
        "'probe', iif(json_valid(probe), json(probe), probe), 'as_of', as_of, "
        "'evidence', evidence), intent, domid, domain, "
        "operation, class || '/' || key, waits_for, age_s || ' s', owner_pid, note "
        "FROM pending_intents WHERE ?1 IS NULL OR incarnation = ?1",
        {"INTENT", "DOMID", "DOMAIN", "OPERATION", "THING", "STATE", "AGE", "OWNER", "NOTE"});
}

Result<Status> run_crash_points(const Arguments& arguments)
{
    Json names = Json::array();
    for (const auto name : crash_points()) {
        if (!arguments.json) std::puts(std::string(name).c_str());
        names.push_back(name);
    }
    if (arguments.json) print_json(json_text(names));
    return Status::done;
}

}  // namespace xlstore::tools
