// SPDX-License-Identifier: MIT
// What the rows say of a domain, so that no embedder has to know tables or views. Each is one query
// on a view; a column that is JSON already is named "json NAME" and goes in as it is, or as a
// string where it is damaged.
#include <algorithm>

#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/core/registration_row.hpp"
#include "store/database/query.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

constexpr std::string_view kJson = "json ";
constexpr std::uint32_t kLinesStandard = 1000;

std::string object_of(const std::vector<std::string>& names, const std::vector<QueryCell>& cells)
{
    std::vector<std::pair<std::string, std::string>> members;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const bool json = names[i].starts_with(kJson);
        if (json && cells[i].text)
            members.emplace_back(names[i].substr(kJson.size()), json_or_string(*cells[i].text));
        else
            members.emplace_back(json ? names[i].substr(kJson.size()) : names[i],
                                 cell_json(cells[i]));
    }
    return json_object(members);
}

Result<char*> rows_as_json(Db& db, const std::string& sql,
                           const std::vector<std::optional<std::string>>& parameters)
{
    std::vector<std::string> rows;
    const auto done = run_query(db, sql, parameters, Clock::now() + limits::operation_timeout,
                                [&](const auto& names, const auto& cells) {
                                    rows.push_back(object_of(names, cells));
                                    return true;
                                });
    if (!done) return done.error();
    return new_string(joined(rows));
}

// The answer of `ask(Store&)`, into the caller's pointer.
template <class Ask>
int32_t answer(xlstore_store* store, char** out, Ask ask)
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        if (!out) return Error(Errc::invalid, "NULL for what is to be handed over");
        Result<char*> text = ask(**state);
        if (!text) return text.error();
        *out = *text;
        return {};
    });
}

// Of one incarnation, or, for NULL, of all.
Result<std::optional<std::string>> incarnation_of(State& state, const char* domain)
{
    if (!domain) return std::optional<std::string>();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    return std::optional<std::string>(std::to_string(value_of(row->id)));
}

// Whether the processes live that opened intents, by the kernel's word: {"SESSION": true}. One that
// could not be looked at is not in it.
std::string living_owners(Store& store)
{
    std::vector<std::pair<std::string, std::string>> members;
    auto owners = store.db().prepare("SELECT DISTINCT owner FROM intent");
    while (owners.step()) {
        const auto session = owners.integer(0);
        const auto held = store.locks().is_held(LockKind::session, session);
        if (session != store.session() && !held) continue;
        const bool lives = session == store.session() || *held;
        members.emplace_back(std::to_string(session), lives ? "true" : "false");
    }
    return json_object(members);
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_monitor_path(xlstore_store* store, const char* domain, char** path_out)
{
    return answer(store, path_out, [&](State& state) -> Result<char*> {
        auto row = domain_of(state, domain);
        if (!row) return row.error();
        if (!row->registration) return no_qemu_of(*row, state.store->self().boot_id);
        return new_string(row->registration->path);
    });
}

int32_t xlstore_things(xlstore_store* store, const char* domain, char** json_out)
{
    return answer(store, json_out, [&](State& state) -> Result<char*> {
        auto row = domain_of(state, domain);
        if (!row) return row.error();
        return rows_as_json(state.store->db(),
                            "SELECT class, key, state, primary_at AS \"primary\", products, "
                            "json AS \"json json\", intent FROM things WHERE incarnation = ?1",
                            {std::to_string(value_of(row->id))});
    });
}

int32_t xlstore_intents(xlstore_store* store, const char* domain, char** json_out)
{
    return answer(store, json_out, [&](State& state) -> Result<char*> {
        auto which = incarnation_of(state, domain);
        if (!which) return which.error();
        return rows_as_json(
            state.store->db(),
            "SELECT intent, domid, incarnation AS id, operation, class, key, "
            "CASE waits_for WHEN 'open' THEN 'false' ELSE 'true' END AS \"json waits_for_guest\", "
            "age_s, owner_pid, owner_program, "
            "json_type(?2, '$.\"' || (SELECT owner FROM intent i WHERE i.id = p.intent) || '\"') "
            "AS \"json owner_lives\", "
            "note, image_before AS \"json before\", "
            "image_after AS \"json after\" FROM pending_intents p "
            "WHERE ?1 IS NULL OR incarnation = CAST(?1 AS INTEGER)",
            {*which, living_owners(*state.store)});
    });
}

int32_t xlstore_history(xlstore_store* store, const char* domain, int64_t after, uint32_t most,
                        char** json_out)
{
    return answer(store, json_out, [&](State& state) -> Result<char*> {
        std::optional<std::string> which;
        if (domain) {
            auto found = find_incarnation(state.store->db(), domain);
            if (!found) return found.error();
            which = std::to_string(value_of(found->row.id));
        }
        return rows_as_json(
            state.store->db(),
            "SELECT line, at_us, domid, incarnation AS id, operation, class, key, intent, outcome, "
            "image, program, pid, evidence FROM history_lines WHERE line > CAST(?2 AS INTEGER) "
            "AND (?1 IS NULL OR incarnation = CAST(?1 AS INTEGER)) LIMIT CAST(?3 AS INTEGER)",
            {which, std::to_string(after), std::to_string(most ? most : kLinesStandard)});
    });
}

int32_t xlstore_settled_since(xlstore_store* store, const char* domain, int64_t since,
                              char** json_out)
{
    return answer(store, json_out, [&](State& state) -> Result<char*> {
        auto row = domain_of(state, domain);
        if (!row) return row.error();
        if (since < 0) return Error(Errc::invalid, "since: is below 0");
        return rows_as_json(
            state.store->db(),
            "SELECT max(?2 + 0, (SELECT coalesce(max(id), 0) FROM history)) AS line, i.revision, "
            "i.incarnation AS id, iif(s.history_pruned_below > ?2 + 1, 'true', 'false') "
            "AS \"json pruned\", (SELECT json_group_array(json_object("
            "'line', h.line, 'intent', h.intent, 'operation', h.operation, 'class', h.class, "
            "'key', h.key, 'outcome', h.outcome, 'image', h.image, 'at_us', h.at_us, "
            "'program', h.program, 'pid', h.pid, 'state', t.state, "
            "'json', iif(json_valid(t.json), json(t.json), t.json))) "
            "FROM history_lines h LEFT JOIN things t ON t.incarnation = h.incarnation "
            "AND t.class = h.class AND t.key = h.key WHERE h.line IN (SELECT max(id) FROM history "
            "WHERE domain = i.incarnation AND id > ?2 + 0 AND intent IS NOT NULL "
            "AND outcome <> 'begun' GROUP BY class, key)) AS \"json settled\" "
            "FROM incarnations i, store s WHERE i.incarnation = ?1 + 0",
            {std::to_string(value_of(row->id)), std::to_string(since)});
    });
}
