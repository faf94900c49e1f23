// SPDX-License-Identifier: MIT
// What is kept (R22): documents of domains that are over, and what a run of recovery took away.
#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/keep/prune.hpp"
#include "store/keep/put_back.hpp"
#include "store/keep/retired.hpp"
#include "store/keep/undo.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

std::string json_of(const UndoneRow& row)
{
    return json_object({{"line", std::to_string(row.line)},
                        {"subject", json_quote(row.subject)},
                        {"operation", json_quote(row.operation)},
                        {"put_back", row.put_back ? "true" : "false"},
                        {"why", json_quote(row.why)},
                        {"before", row.before ? json_quote(*row.before) : "null"},
                        {"after", row.after ? json_quote(*row.after) : "null"}});
}

Work undo_work(Store& store, std::int64_t run, UndoOptions options, Deadline until)
{
    const bool dry_run = options.dry_run;
    auto rows = co_await undo_run(store, run, std::move(options), until);
    if (!rows) co_return std::move(rows).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> objects;
        // A dry run puts nothing back; it counts what it would.
        std::size_t back = 0;
        for (const auto& row : *rows) {
            objects.push_back(json_of(row));
            if (dry_run ? row.why.empty() : row.put_back) ++back;
        }
        const auto number = [](std::size_t n) {
            return std::to_string(n) + (n == 1 ? " row" : " rows");
        };
        words.message = "run " + std::to_string(run) + ": " + number(back) +
                        (dry_run ? " would be" : "") + " put back, " + number(rows->size() - back) +
                        " kept to be read";
        words.json = json_object({{"result", json_quote(dry_run ? "not done" : "done")},
                                  {"run", std::to_string(run)},
                                  {"put_back", std::to_string(dry_run ? 0 : back)},
                                  {"rows", joined(objects)}});
    });
    co_return answer;
}

Work put_back_work(Store& store, std::int64_t number, bool dry_run, Deadline until)
{
    auto text = co_await put_back_quarantined(store, number, dry_run, until);
    if (!text) co_return std::move(text).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.json = json_object({{"result", json_quote(dry_run ? "not done" : "done")},
                                  {"set_aside", std::to_string(number)},
                                  {"text", json_quote(*text)}});
        words.message = *std::move(text);
    });
    co_return answer;
}

// Words between commas; all: "".
Result<std::vector<Kept>> kinds_in(std::string_view words)
{
    std::vector<Kept> kinds;
    while (!words.empty()) {
        const auto end = words.find(',');
        const auto word = words.substr(0, end);
        const auto kept = kept_of(word);
        if (!kept)
            return Error(Errc::invalid, "prune: there is no kind " + json_shown(word),
                         "history, retired, undo, domains, damaged, locks");
        kinds.push_back(*kept);
        words.remove_prefix(end == std::string_view::npos ? words.size() : end + 1);
    }
    return kinds;
}

Work prune_work(Store& store, PruneOptions options, Deadline until)
{
    const bool dry_run = options.dry_run;
    auto pruned = co_await prune(store, std::move(options), until);
    if (!pruned) co_return std::move(pruned).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> objects;
        std::string text;
        for (const auto& one : *pruned) {
            objects.push_back(json_object({{"kept", json_quote(kept_name(one.kept))},
                                           {"count", std::to_string(one.count)},
                                           {"bytes", std::to_string(one.bytes)},
                                           {"complete", one.complete ? "true" : "false"},
                                           {"text", json_quote(describe(one))}}));
            if (one.count > 0) text += (text.empty() ? "" : ", ") + describe(one);
        }
        words.message =
            (dry_run ? "would be pruned: " : "pruned: ") + (text.empty() ? "nothing" : text);
        words.json = json_object(
            {{"result", json_quote(dry_run ? "not done" : "done")}, {"pruned", joined(objects)}});
    });
    co_return answer;
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_retired_document(xlstore_store* store, const char* domain, char** json_out,
                                 char** things_out, int64_t* id_out, char** others_json_out)
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        if (!json_out) return Error(Errc::invalid, "json_out: NULL");
        auto word = text_of(domain, "domain");
        if (!word) return word.error();
        Db& db = (*state)->store->db();
        const ReadTransaction snapshot(db);
        const auto found = find_retired(db, *word);
        if (!found) return found.error();
        std::vector<std::string> ids;
        for (const auto other : found->others)
            ids.push_back(std::to_string(value_of(other)));
        // All strings are made before one is given: what fails must not leave a half-filled answer.
        std::unique_ptr<char[]> json(new_string(found->text));
        std::unique_ptr<char[]> others(others_json_out ? new_string(joined(ids)) : nullptr);
        char* const things =
            things_out && !found->things.empty() ? new_string(found->things) : nullptr;
        *json_out = json.release();
        if (things_out) *things_out = things;
        if (id_out) *id_out = value_of(found->id);
        if (others_json_out) *others_json_out = others.release();
        return {};
    });
}

int32_t xlstore_undo(xlstore_store* store, int64_t run, const char* domain, uint32_t flags,
                     const xlstore_call* call, xlstore_result** result_out)
{
    const bool dry_run = (flags & XLSTORE_DRY_RUN) != 0;
    const auto prepare = [&](State& state) -> Result<Work> {
        if ((flags & ~(XLSTORE_FORCE | XLSTORE_DRY_RUN)) != 0)
            return Error(Errc::invalid, "flags: unknown bits");
        const auto until = deadline_of(call, limits::operation_timeout);
        if (!until) return until.error();
        UndoOptions options;
        options.force = (flags & XLSTORE_FORCE) != 0;
        options.dry_run = dry_run;
        if (domain) {
            auto row = domain_of(state, domain);
            if (!row) return row.error();
            options.only = row->id;
        }
        return undo_work(*state.store, run, std::move(options), *until);
    };
    // A dry run is for a store that is open for reading, too.
    return wait_for(store, result_out, prepare, dry_run ? state_of : writer_of);
}

int32_t xlstore_put_back(xlstore_store* store, int64_t number, uint32_t flags,
                         const xlstore_call* call, xlstore_result** result_out)
{
    const bool dry_run = (flags & XLSTORE_DRY_RUN) != 0;
    const auto prepare = [&](State& state) -> Result<Work> {
        if ((flags & ~XLSTORE_DRY_RUN) != 0) return Error(Errc::invalid, "flags: unknown bits");
        const auto until = deadline_of(call, limits::operation_timeout);
        if (!until) return until.error();
        return put_back_work(*state.store, number, dry_run, *until);
    };
    return wait_for(store, result_out, prepare, dry_run ? state_of : writer_of);
}

int32_t xlstore_prune(xlstore_store* store, const char* kinds, int64_t older_than_days,
                      uint32_t flags, const xlstore_call* call, xlstore_result** result_out)
{
    const bool dry_run = (flags & XLSTORE_DRY_RUN) != 0;
    const auto prepare = [&](State& state) -> Result<Work> {
        constexpr int64_t kMostDays = 36'500;
        if ((flags & ~XLSTORE_DRY_RUN) != 0) return Error(Errc::invalid, "flags: unknown bits");
        if (older_than_days < -1 || older_than_days > kMostDays)
            return Error(Errc::invalid, "older_than_days: not from -1 to 36500");
        const auto until = deadline_of(call, limits::operation_timeout);
        if (!until) return until.error();
        auto what = kinds_in(kinds ? kinds : "");
        if (!what) return what.error();
        PruneOptions options;
        options.what = *std::move(what);
        if (older_than_days >= 0) options.older_than_days = older_than_days;
        options.dry_run = dry_run;
        return prune_work(*state.store, std::move(options), *until);
    };
    return wait_without_slow(store, result_out, prepare, dry_run ? state_of : writer_of);
}
