// SPDX-License-Identifier: MIT
// Looking: domains, SQL, locks; and breaking a lock.
#include <algorithm>
#include <cstddef>

#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/core/lock_survey.hpp"
#include "store/database/query.hpp"
#include "store/lifecycle/qemu_life.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

// REQUIRES a read transaction: the count of intents is that of the revision that is given with it.
Result<xlstore_domain_info> info_of(Db& db, const DomainRow& domain)
{
    auto row = db.prepare(
                     "SELECT revision, (SELECT count(*) FROM intent WHERE domain = ?1) "
                     "FROM domain WHERE id = ?1")
                   .bind(value_of(domain.id));
    if (!row.step()) return Error(Errc::gone, domain.subject() + " is gone");
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    info.domid = static_cast<int32_t>(domain.domid);
    info.id = value_of(domain.id);
    info.revision = row.integer(0);
    info.open_intents = row.integer(1);
    info.qemu_pid = domain.registration ? domain.registration->qemu.pid : 0;
    copy_text(info.uuid, domain.uuid);
    copy_text(info.state, state_name(domain.state));
    copy_text(info.name, domain.name);
    const auto life = qemu_life_of(domain);
    static_assert(static_cast<int>(QemuLife::Seen::none) == XLSTORE_QEMU_NONE);
    static_assert(static_cast<int>(QemuLife::Seen::alive) == XLSTORE_QEMU_ALIVE);
    static_assert(static_cast<int>(QemuLife::Seen::dead) == XLSTORE_QEMU_DEAD);
    static_assert(static_cast<int>(QemuLife::Seen::unseen) == XLSTORE_QEMU_UNSEEN);
    info.qemu = static_cast<int32_t>(life.seen);
    info.looked_us = life.at_us;
    copy_text(info.seen, life.text());
    return info;
}

// 0.1 had it without what QEMU was seen to be. NULL: the status alone is wanted.
Result<void> give_info(xlstore_domain_info* out, const xlstore_domain_info& info)
{
    if (!out) return {};
    return give(out, info, "info_out", offsetof(xlstore_domain_info, qemu));
}

Result<std::vector<std::optional<std::string>>> parameters_of(const char* const* parameters,
                                                              std::size_t count)
{
    if (count > 0 && !parameters) return Error(Errc::invalid, "parameters: NULL");
    std::vector<std::optional<std::string>> values;
    for (std::size_t i = 0; i < count; ++i)
        values.push_back(parameters[i] ? std::optional<std::string>(parameters[i]) : std::nullopt);
    return values;
}

// A NUL would be the end of a value: it is shown, in a text of its own that `shown` has.
std::vector<const char*> values_of(const std::vector<QueryCell>& cells,
                                   std::vector<std::string>& shown)
{
    shown.reserve(cells.size());  // none of them moves
    std::vector<const char*> values;
    values.reserve(cells.size());
    for (const auto& cell : cells) {
        const bool cut = cell.text && cell.text->find('\0') != std::string::npos;
        if (!cut) {
            values.push_back(cell.text ? cell.text->c_str() : nullptr);
            continue;
        }
        std::string& text = shown.emplace_back();
        for (const char c : *cell.text)
            text += c == '\0' ? std::string("\\x00") : std::string(1, c);
        values.push_back(text.c_str());
    }
    return values;
}

// A reader of JSON takes the last of several members of one name.
Result<void> check_columns(std::vector<std::string> names)
{
    std::ranges::sort(names);
    const auto twice = std::ranges::adjacent_find(names);
    if (twice == names.end()) return {};
    return Error(Errc::invalid,
                 "sql: several columns are called " + json_shown(*twice) +
                     ", and an object has one member of a name",
                 "give each a name of its own, as in SELECT a.key AS one, b.key AS other");
}

Result<void> query(const xlstore_store* store, const char* sql, const char* const* parameters,
                   std::size_t count, const xlstore_call* call, const QueryRow& row)
{
    auto state = state_of(store);
    if (!state) return state.error();
    auto text = text_of(sql, "sql");
    if (!text) return text.error();
    auto values = parameters_of(parameters, count);
    if (!values) return values.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    return run_query((*state)->store->db(), *text, *values, *until, row);
}

std::vector<std::pair<std::string, std::string>> members_of(const Claim& claim)
{
    return {{"pid", std::to_string(claim.pid)},
            {"program", json_quote(claim.program)},
            {"operation", json_quote(claim.operation)},
            {"since_us", std::to_string(claim.since_us)}};
}

// For JSON, where a claimant that could not be looked at is neither alive nor dead.
std::string life_word(Life life)
{
    if (life == Life::unknown) return "null";
    return life == Life::alive ? "true" : "false";
}

std::string json_of(const LockUse& use)
{
    std::string claim = "null";
    if (use.claim) {
        auto members = members_of(*use.claim);
        members.emplace_back("lives", life_word(use.claimant));
        members.emplace_back("stopped", use.claimant_stopped ? "true" : "false");
        members.emplace_back("text", json_quote(describe(*use.claim)));
        claim = json_object(members);
    }
    std::vector<std::string> keepers;
    for (const auto& keeper : use.kept_by)
        keepers.push_back(json_object({{"pid", std::to_string(keeper.pid)},
                                       {"program", json_quote(keeper.program)},
                                       {"text", json_quote(describe(keeper))}}));
    std::vector<std::string> waiters;
    for (const auto& waiter : use.waiters) {
        auto members = members_of(waiter);
        members.emplace_back("text", json_quote(describe(waiter)));
        waiters.push_back(json_object(members));
    }
    // Scripts look for the name that release 0.1 gave it.
    const auto name = use.kind == LockKind::writer ? "write gate" : lock_name(use.kind);
    return json_object({{"lock", json_quote(name)},
                        {"subject", json_quote(use.domain ? use.domain->subject() : "store")},
                        {"domid", use.domain ? std::to_string(use.domain->domid) : "null"},
                        {"held", use.held ? "true" : "false"},
                        {"claim", claim},
                        {"kept_by", joined(keepers)},
                        {"waiters", joined(waiters)}});
}

Work break_work(Store& store, DomainRow domain, bool force, Deadline until)
{
    auto broken = co_await break_slow_lock(store, std::move(domain), force, until);
    if (!broken) co_return std::move(broken).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = broken->text;
        words.json = json_object({{"result", json_quote("done")},
                                  {"broken", broken->broken ? "true" : "false"},
                                  {"text", json_quote(broken->text)}});
    });
    co_return answer;
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_find(xlstore_store* store, const char* domain, xlstore_domain_info* info_out)
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        Db& db = (*state)->store->db();
        // All of one moment (R2): a domain may be renamed between the search and the look.
        const ReadTransaction snapshot(db);
        auto row = domain_of(**state, domain);
        if (!row) return row.error();
        auto info = info_of(db, *row);
        if (!info) return info.error();
        return give_info(info_out, *info);
    });
}

int32_t xlstore_find_incarnation(xlstore_store* store, const char* domain,
                                 xlstore_domain_info* info_out, char** others_json_out)
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        auto word = text_of(domain, "domain");
        if (!word) return word.error();
        Db& db = (*state)->store->db();
        const ReadTransaction snapshot(db);
        auto found = find_incarnation(db, *word);
        if (!found) return found.error();
        auto info = info_of(db, found->row);
        if (!info) return info.error();
        std::vector<std::string> others;
        for (const auto other : found->others)
            others.push_back(std::to_string(value_of(other)));
        std::unique_ptr<char[]> text(others_json_out ? new_string(joined(others)) : nullptr);
        if (auto given = give_info(info_out, *info); !given) return given;
        if (others_json_out) *others_json_out = text.release();
        return {};
    });
}

int32_t xlstore_next(xlstore_store* store, int32_t domid, xlstore_domain_info* info_out)
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        Db& db = (*state)->store->db();
        const ReadTransaction snapshot(db);
        // Not a list: what an embedder walks through may be changed under way by its own calls.
        std::optional<DomainId> next;
        {
            auto row = db.prepare(
                             "SELECT id FROM domain WHERE domid > ? AND state <> 'destroyed' "
                             "ORDER BY domid LIMIT 1")
                           .bind(std::int64_t{domid});
            if (row.step()) next = DomainId(row.integer(0));
        }
        if (!next)
            return Error(Errc::not_found,
                         "there is no domain above domid " + std::to_string(domid));
        auto info = info_of(db, *read_domain(db, *next));
        if (!info) return info.error();
        return give_info(info_out, *info);
    });
}

int32_t xlstore_query(xlstore_store* store, const char* sql, const char* const* parameters,
                      size_t parameters_count, const xlstore_call* call, xlstore_row row,
                      void* userdata)
{
    int32_t stopped = XLSTORE_OK;
    const int32_t status = guarded([&]() -> Result<void> {
        if (auto state = state_of(store); !state) return state.error();
        if (!row) return Error(Errc::invalid, "row: NULL");
        return query(store, sql, parameters, parameters_count, call,
                     [&](const auto& names, const auto& cells) {
                         std::vector<const char*> heads;
                         heads.reserve(names.size());
                         for (const auto& name : names)
                             heads.push_back(name.c_str());
                         std::vector<std::string> shown;
                         const auto values = values_of(cells, shown);
                         // The pointers are the callback's until it returns.
                         stopped = row(static_cast<int32_t>(names.size()), heads.data(),
                                       values.data(), userdata);
                         return stopped == XLSTORE_OK;
                     });
    });
    // What the callback returned to stop it is the answer of the call, so that it can say why.
    return status == XLSTORE_OK ? stopped : status;
}

int32_t xlstore_query_json(xlstore_store* store, const char* sql, const char* const* parameters,
                           size_t parameters_count, const xlstore_call* call, char** json_out)
{
    return guarded([&]() -> Result<void> {
        if (auto state = state_of(store); !state) return state.error();
        if (!json_out) return Error(Errc::invalid, "json_out: NULL");
        std::vector<std::string> rows;
        std::size_t bytes = 0;
        std::vector<std::string> checked;
        Result<void> columns;
        auto done = query(store, sql, parameters, parameters_count, call,
                          [&](const auto& names, const auto& cells) {
                              if (names != checked) columns = check_columns(names);
                              checked = names;
                              if (!columns) return false;
                              rows.push_back(row_json(names, cells));
                              bytes += rows.back().size();
                              return bytes <= limits::query_answer_bytes_max;
                          });
        if (done && !columns) return columns;
        if (done && bytes > limits::query_answer_bytes_max)
            return Error(Errc::refused,
                         "sql: the answer has more than " +
                             std::to_string(limits::query_answer_bytes_max >> 20) + " MiB",
                         "ask for less at once, or for each row by itself (xlstore_query)");
        if (done) *json_out = new_string(joined(rows));
        return done;
    });
}

int32_t xlstore_locks(xlstore_store* store, char** json_out)
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        if (!json_out) return Error(Errc::invalid, "json_out: NULL");
        const auto uses = survey_locks(*(*state)->store);
        if (!uses) return uses.error();
        std::vector<std::string> objects;
        for (const auto& use : *uses)
            objects.push_back(json_of(use));
        *json_out = new_string(joined(objects));
        return {};
    });
}

int32_t xlstore_break_lock(xlstore_store* store, const char* domain, uint32_t flags,
                           const xlstore_call* call, xlstore_result** result_out)
{
    return wait_without_slow(store, result_out, [&](State& state) -> Result<Work> {
        if ((flags & ~XLSTORE_FORCE) != 0) return Error(Errc::invalid, "flags: unknown bits");
        const auto until = deadline_of(call, limits::operation_timeout);
        if (!until) return until.error();
        auto row = domain_of(state, domain);
        if (!row) return row.error();
        return break_work(*state.store, *std::move(row), (flags & XLSTORE_FORCE) != 0, *until);
    });
}
