// SPDX-License-Identifier: MIT
// list, show, things, intents, history, export, crash-points: looking, never changing.
#include <cstdio>

#include "store/crash_point.hpp"
#include "store/json_text.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

/// Runs a query whose first column is a JSON object of the row, the others the cells of a table.
void print_rows(const Arguments& arguments, Statement rows, const std::vector<std::string>& head)
{
    std::string json = "[";
    std::vector<std::vector<std::string>> table;
    while (rows.step()) {
        json += (json.size() > 1 ? "," : "") + rows.text(0);
        std::vector<std::string> cells;
        for (std::size_t i = 0; i < head.size(); ++i)
            cells.push_back(plain(rows.text(static_cast<int>(i) + 1)));
        table.push_back(std::move(cells));
    }
    if (arguments.json)
        std::puts((json + "]").c_str());
    else
        print_table(head, table);
}

// All domains, or the one that is named: the rows of a view are chosen by incarnation or domid.
Result<std::optional<DomainRow>> maybe_domain(const Arguments& arguments, Db& db)
{
    if (arguments.words.empty()) return std::optional<DomainRow>();
    auto domain = find_domain(db, arguments.words[0]);
    if (!domain) return domain.error();
    return std::optional<DomainRow>(*std::move(domain));
}

}  // namespace

Result<Status> run_list(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    print_rows(arguments,
               (*store)->db().prepare(
                   "SELECT json_object('domid', domid, 'name', name, 'uuid', uuid, 'state', state, "
                   "'incarnation', "
                   "incarnation, 'things', things, 'open_intents', open_intents, 'qemu_pid', "
                   "qemu_pid), domid, name, "
                   "uuid, state, things, open_intents, coalesce(qemu_pid, '-') FROM domains"),
               {"DOMID", "NAME", "UUID", "STATE", "THINGS", "INTENTS", "QEMU"});
    return Status::done;
}

Result<Status> run_show(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    Db& db = (*store)->db();
    const ReadTransaction at_once(db);  // R2
    auto domain = find_domain(db, arguments.words[0]);
    if (!domain) return domain.error();
    auto row = db.prepare(
                     "SELECT incarnation, things, open_intents, epoch, revision, as_of FROM "
                     "domains WHERE domid = ?")
                   .bind(domain->domid);
    if (!row.step()) return Error(Errc::gone, domain->subject() + " is gone");
    std::vector<std::pair<std::string, std::string>> members = {
        {"domid", std::to_string(domain->domid)},
        {"name", json_quote(domain->name)},
        {"uuid", json_quote(domain->uuid)},
        {"state", json_quote(state_name(domain->state))},
        {"incarnation", row.text(0)},
        {"things", row.text(1)},
        {"open_intents", row.text(2)},
        {"epoch", row.text(3)},
        {"revision", row.text(4)},
        {"as_of", json_quote(row.text(5))}};
    if (const auto& r = domain->registration) {
        members.emplace_back("qemu_pid", std::to_string(r->qemu.pid));
        members.emplace_back("monitor", json_quote(r->path));
        if (!domain->log_path.empty()) members.emplace_back("log", json_quote(domain->log_path));
    }
    if (arguments.json) {
        members.emplace_back("document", read_document(db, domain->id));
        std::puts(json_object(members).c_str());
        return Status::done;
    }
    for (const auto& [key, value] : members)
        std::printf("%-13s %s\n", key.c_str(),
                    plain(json_type(value) == JsonType::string ? json_decode_string(value) : value)
                        .c_str());
    return Status::done;
}

Result<Status> run_things(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    auto domain = find_domain((*store)->db(), arguments.words[0]);
    if (!domain) return domain.error();
    print_rows(arguments,
               (*store)
                   ->db()
                   .prepare("SELECT json_object('class', class, 'key', key, 'state', state, "
                            "'primary_at', primary_at, "
                            "'products', products, 'intent', intent, 'json', json(json), 'as_of', "
                            "as_of, 'evidence', "
                            "evidence), class, key, state, primary_at, coalesce(products, '-'), "
                            "coalesce(intent, '-'), "
                            "json FROM things WHERE domid = ?")
                   .bind(domain->domid),
               {"CLASS", "KEY", "STATE", "PRIMARY", "PRODUCTS", "INTENT", "JSON"});
    return Status::done;
}

Result<Status> run_intents(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    const auto domain = maybe_domain(arguments, (*store)->db());
    if (!domain) return domain.error();
    print_rows(
        arguments,
        (*store)
            ->db()
            .prepare(
                "SELECT json_object('intent', intent, 'domid', domid, 'domain', domain, "
                "'operation', "
                "operation, 'class', class, 'key', key, 'entry', entry, 'waits_for', waits_for, "
                "'age_s', "
                "age_s, 'owner_pid', owner_pid, 'owner_program', owner_program, 'note', note, "
                "'image_before', json(image_before), 'image_after', json(image_after), 'plan', "
                "json(plan), 'probe', json(probe), 'as_of', as_of, 'evidence', evidence), intent, "
                "domid, "
                "domain, operation, class || '/' || key, waits_for, age_s || ' s', owner_pid, note "
                "FROM pending_intents WHERE ?1 IS NULL OR domid = ?1")
            .bind(*domain ? std::optional((*domain)->domid) : std::nullopt),
        {"INTENT", "DOMID", "DOMAIN", "OPERATION", "THING", "STATE", "AGE", "OWNER", "NOTE"});
    return Status::done;
}

Result<Status> run_history(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    const auto domain = maybe_domain(arguments, (*store)->db());
    if (!domain) return domain.error();
    print_rows(
        arguments,
        (*store)
            ->db()
            .prepare("SELECT json_object('id', id, 'at_us', at_us, 'incarnation', domain, 'domid', "
                     "domid, "
                     "'operation', operation, 'class', class, 'key', key, 'intent', intent, "
                     "'outcome', outcome, "
                     "'image', image, 'evidence', evidence, 'pid', pid, 'program', program), "
                     "datetime(at_us / 1000000, 'unixepoch'), coalesce(domid, '-'), operation, "
                     "coalesce(class || '/' || key, '-'), coalesce(intent, '-'), outcome, program "
                     "|| ' ' || pid, "
                     "evidence FROM history WHERE ?1 IS NULL OR domain = ?1 ORDER BY id")
            .bind(*domain ? std::optional(value_of((*domain)->id)) : std::nullopt),
        {"AT (UTC)", "DOMID", "OPERATION", "THING", "INTENT", "OUTCOME", "BY", "EVIDENCE"});
    return Status::done;
}

Result<Status> run_export(const Arguments& arguments)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    auto domain = find_domain((*store)->db(), arguments.words[0]);
    if (!domain) return domain.error();
    const auto text = export_document((*store)->db(), *domain);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        return Error(Errc::io, "cannot write the document to standard output");
    return Status::done;
}

Result<Status> run_crash_points(const Arguments& arguments)
{
    std::string json = "[";
    for (const auto name : crash_points()) {
        if (!arguments.json) std::puts(std::string(name).c_str());
        json += (json.size() > 1 ? "," : "") + json_quote(name);
    }
    if (arguments.json) std::puts((json + "]").c_str());
    return Status::done;
}

}  // namespace xlstore::tools
