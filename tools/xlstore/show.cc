// SPDX-License-Identifier: MIT
// list, show, things, intents, history, export, crash-points: looking, never changing.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "store/crash_point.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

struct Found {
    StoreHandle store;
    std::vector<std::string> incarnation;  // as a query's parameter; empty: none was named
};

// The store to look at, and the domain that is named, if one is.
Result<Found> open_and_find(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    Found found{*std::move(store), {}};
    if (arguments.words.empty()) return found;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    if (xlstore_find(found.store.get(), arguments.words[0].c_str(), &info) != XLSTORE_OK)
        return last_error();
    found.incarnation.push_back(std::to_string(info.id));
    return found;
}

// The rows of a view that are of one domain, or of all.
Result<Status> print_found(const Arguments& arguments, const char* sql,
                           const std::vector<std::string>& head)
{
    const auto found = open_and_find(arguments);
    if (!found) return found.error();
    return print_rows(arguments, found->store.get(), sql, found->incarnation, head);
}

}  // namespace

Result<Status> run_list(const Arguments& arguments)
{
    return print_found(
        arguments,
        "SELECT json_object('domid', domid, 'name', name, 'uuid', uuid, 'vm_uuid', "
        "vm_uuid, 'state', state, "
        "'incarnation', incarnation, 'things', things, 'open_intents', open_intents, 'qemu_pid', "
        "qemu_pid, 'closed_since', closed_since, 'closed_reason', reason), domid, name, "
        "coalesce(vm_uuid, uuid), state || iif(closed_since IS NULL, '', ', closed'), things, "
        "open_intents, coalesce(qemu_pid, '-') "
        "FROM domains LEFT JOIN closed_documents USING (incarnation, domid) ORDER BY domid",
        {"DOMID", "NAME", "UUID", "STATE", "THINGS", "INTENTS", "QEMU"});
}

Result<Status> run_show(const Arguments& arguments)
{
    const auto found = open_and_find(arguments);
    if (!found) return found.error();
    // One statement sees one moment (R2).
    constexpr const char* kQuery =
        "SELECT json_object('domid', d.domid, 'name', d.name, 'uuid', d.uuid, 'vm_uuid', d.vm_uuid, 'state', d.state, "
        "'incarnation', d.incarnation, 'things', d.things, 'open_intents', d.open_intents, "
        "'epoch', d.epoch, 'revision', d.revision, 'as_of', d.as_of, 'qemu_pid', d.qemu_pid, "
        "'monitor', d.monitor_path, 'log', d.log_path, 'closed_since', c.closed_since, 'closed_by', "
        "c.closed_program || ' ' || c.closed_pid, 'closed_reason', c.reason, 'opened_by', "
        "c.opened_by, 'document', json(l.json)) AS shown "
        "FROM domains d JOIN libxl_json l ON l.domid = d.domid LEFT JOIN closed_documents c ON "
        "c.incarnation = d.incarnation WHERE d.incarnation = ?1";
    const xlstore_call call = call_of(arguments);
    const char* const incarnation = found->incarnation.front().c_str();
    char* rows = nullptr;
    if (xlstore_query_json(found->store.get(), kQuery, &incarnation, 1, &call, &rows) != XLSTORE_OK)
        return last_error();
    const auto row = nlohmann::json::parse(Text(rows).get());
    if (row.empty())
        return Error(Errc::gone, "domain " + plain(arguments.words[0]) + " is gone meanwhile");
    const auto shown = row[0]["shown"].get<std::string>();
    if (arguments.json) {
        std::puts(shown.c_str());
        return Status::done;
    }
    const auto members = nlohmann::ordered_json::parse(shown);
    for (const auto& [key, value] : members.items())
        if (key != "document" && !value.is_null())
            std::printf("%-13s %s\n", key.c_str(),
                        plain(value.is_string() ? value.get<std::string>() : value.dump()).c_str());
    return Status::done;
}

Result<Status> run_things(const Arguments& arguments)
{
    return print_found(
        arguments,
        "SELECT json_object('class', class, 'key', key, 'state', state, 'primary_at', primary_at, "
        "'products', products, 'intent', intent, 'json', json(json), "
        "'made', (SELECT made FROM things_as_made m WHERE m.incarnation = t.incarnation AND "
        "m.class = t.class AND m.key = t.key), "
        "'address', (SELECT json(address) FROM things_as_made m WHERE m.incarnation = "
        "t.incarnation AND m.class = t.class AND m.key = t.key), "
        "'as_of', as_of, 'evidence', evidence), class, key, state, primary_at, "
        "coalesce(products, '-'), coalesce(intent, '-'), json FROM things t "
        "WHERE incarnation = ?1",
        {"CLASS", "KEY", "STATE", "PRIMARY", "PRODUCTS", "INTENT", "JSON"});
}

Result<Status> run_intents(const Arguments& arguments)
{
    return print_found(
        arguments,
        "SELECT json_object('intent', intent, 'domid', domid, 'domain', domain, 'operation', "
        "operation, 'class', class, 'key', key, 'entry', entry, 'waits_for', waits_for, 'age_s', "
        "age_s, 'owner_pid', owner_pid, 'owner_program', owner_program, 'note', note, "
        "'image_before', json(image_before), 'image_after', json(image_after), 'plan', json(plan), "
        "'probe', json(probe), 'as_of', as_of, 'evidence', evidence), intent, domid, domain, "
        "operation, class || '/' || key, waits_for, age_s || ' s', owner_pid, note "
        "FROM pending_intents WHERE ?1 IS NULL OR incarnation = ?1",
        {"INTENT", "DOMID", "DOMAIN", "OPERATION", "THING", "STATE", "AGE", "OWNER", "NOTE"});
}

Result<Status> run_history(const Arguments& arguments)
{
    return print_found(
        arguments,
        "SELECT json_object('id', id, 'at_us', at_us, 'incarnation', domain, 'domid', domid, "
        "'operation', operation, 'class', class, 'key', key, 'intent', intent, 'outcome', outcome, "
        "'image', image, 'evidence', evidence, 'pid', pid, 'program', program), "
        "datetime(at_us / 1000000, 'unixepoch'), coalesce(domid, '-'), operation, "
        "coalesce(class || '/' || key, '-'), coalesce(intent, '-'), outcome, program || ' ' || "
        "pid, evidence FROM history WHERE ?1 IS NULL OR domain = ?1 ORDER BY id",
        {"AT (UTC)", "DOMID", "OPERATION", "THING", "INTENT", "OUTCOME", "BY", "EVIDENCE"});
}

namespace {

Result<void> print_document(const char* json)
{
    if (std::fputs(json, stdout) == EOF || std::fflush(stdout) != 0)
        return Error(Errc::io, "cannot write the document to standard output");
    return {};
}

// A file that is whole or not there: what it holds goes to another host.
Result<void> write_file(const std::string& path, const std::string& text)
{
    const std::string part = path + ".part";
    std::ofstream file(part, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    std::error_code error;
    if (file) std::filesystem::rename(part, path, error);
    if (file && !error) return {};
    std::filesystem::remove(part, error);
    return Error(Errc::io, "cannot write " + path, "nothing was printed; name another file");
}

// What the document needs beside it in another store, and the document itself.
Result<Status> export_settled(const Arguments& arguments, xlstore_store* store)
{
    char* json = nullptr;
    char* things = nullptr;
    char* notes = nullptr;
    const bool with_things = !arguments.things.empty();
    if (xlstore_outgoing_domain(store, arguments.words[0].c_str(),
                                arguments.name.empty() ? nullptr : arguments.name.c_str(), &json,
                                with_things ? &things : nullptr, &notes) != XLSTORE_OK)
        return last_error();
    const Text document(json);
    const Text beside(things);
    const Text list(notes);
    if (with_things)
        if (auto written = write_file(arguments.things, things); !written) return written.error();
    if (auto printed = print_document(json); !printed) return printed.error();
    print_notes(notes);
    return Status::done;
}

}  // namespace

Result<Status> run_export(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    if (arguments.settled) return export_settled(arguments, store->get());
    char* json = nullptr;
    if (xlstore_document(store->get(), arguments.words[0].c_str(), &json, nullptr) != XLSTORE_OK)
        return last_error();
    const Text document(json);
    if (auto printed = print_document(json); !printed) return printed.error();
    return Status::done;
}

Result<Status> run_crash_points(const Arguments& arguments)
{
    nlohmann::json names = nlohmann::json::array();
    for (const auto name : crash_points()) {
        if (!arguments.json) std::puts(std::string(name).c_str());
        names.push_back(name);
    }
    if (arguments.json) std::puts(names.dump().c_str());
    return Status::done;
}

}  // namespace xlstore::tools
