// SPDX-License-Identifier: MIT
// undo: what runs of recovery took away or rewrote; prune: the end of what is kept.
#include <cstdio>

#include "store/text/number_text.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/table.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

// Of what was quarantined: is it an entry or a member of a domain that is there, and is its place
// free? The rest is for reading (store/keep/put_back.cc decides in the end).
constexpr std::string_view kCanBePutBack =
    "(what IN ('row of thing', 'row of document_member') AND CASE WHEN json_valid(text) THEN "
    "EXISTS (SELECT 1 FROM domain d WHERE d.id = json_extract(text, '$.domain') AND d.state IN "
    "('creating', 'running')) AND NOT EXISTS (SELECT 1 FROM thing t WHERE what = 'row of thing' "
    "AND t.domain = json_extract(text, '$.domain') AND t.class = json_extract(text, '$.class') "
    "AND t.key = json_extract(text, '$.key')) AND NOT EXISTS (SELECT 1 FROM document_member m "
    "WHERE what <> 'row of thing' AND m.domain = json_extract(text, '$.domain') AND "
    "(m.rank = json_extract(text, '$.rank') OR m.key = json_extract(text, '$.key'))) ELSE 0 END)";

Result<Status> list_runs(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    const std::string listed =
        "SELECT json_object('run', run, 'began', began, 'mode', mode, 'program', program, 'pid', "
        "pid, 'domains', domains, 'kept', kept, 'put_back', put_back, 'shown_by', shown_by), "
        "run, began, program || ' ' || pid, mode, domains, kept, put_back FROM undo_runs "
        "UNION ALL SELECT * FROM (SELECT json_object('set_aside', id, 'began', at, 'what', what, "
        "'why', why, 'can_be_put_back', json(iif(back, 'true', 'false'))), "
        "iif(back, 'aside:' || id, '-'), at, '-', what || iif(back, '', "
        "' (to be read: set_aside ' || id || ')'), domain IS NOT NULL, 1, 0 FROM (SELECT *, "
        "datetime(at_us / 1000000, 'unixepoch') AS at, " +
        std::string(kCanBePutBack) + " AS back FROM set_aside) ORDER BY id DESC)";
    return print_rows(
        arguments, store->get(), listed.c_str(), {},
        {"RUN", "BEGAN (UTC)", "BY", "MODE", "DOMAINS", "ROWS", "PUT BACK"});
}

// misuse_of() has seen that it is one.
std::int64_t run_number(std::string_view word)
{
    return parse_number<std::int64_t>(word).value_or(0);
}

// "aside:12"
constexpr std::string_view kAside = "aside:";

Result<Status> put_back(const Arguments& arguments)
{
    const auto number = run_number(std::string_view(arguments.words[0]).substr(kAside.size()));
    auto store = arguments.dry_run ? open_to_look(arguments) : open_store(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_put_back(store->get(), number, arguments.dry_run ? XLSTORE_DRY_RUN : 0, &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    return tell(arguments, made);
}

std::string text_or_dash(const Json& value)
{
    return value.is_null() ? "-" : value.get<std::string>();
}

void print_undone(const Json& rows, bool dry_run)
{
    std::vector<std::vector<std::string>> table;
    for (const auto& row : rows) {
        const auto why = row["why"].get<std::string>();
        const char* const done = dry_run ? "would be put back" : "put back";
        table.push_back({plain(row["subject"].get<std::string>()),
                         row["operation"].get<std::string>(),
                         why.empty() ? done : "kept: " + plain(why),
                         plain(text_or_dash(row["before"])), plain(text_or_dash(row["after"]))});
    }
    print_table({"WHAT", "DONE TO IT", "NOW", "BEFORE", "AFTER"}, table);
}

}  // namespace

Result<Status> run_undo(const Arguments& arguments)
{
    if (arguments.words.empty()) return list_runs(arguments);
    if (arguments.words[0].starts_with(kAside)) return put_back(arguments);
    const auto run = run_number(arguments.words[0]);
    const char* const domain = arguments.words.size() > 1 ? arguments.words[1].c_str() : nullptr;
    const uint32_t flags =
        (arguments.force ? XLSTORE_FORCE : 0) | (arguments.dry_run ? XLSTORE_DRY_RUN : 0);
    auto store = arguments.dry_run ? open_to_look(arguments) : open_store(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_undo(store->get(), run, domain, flags, &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    if (xlstore_result_status(made) == XLSTORE_OK && !arguments.json)
        print_undone(json_value(xlstore_result_json(made))["rows"], arguments.dry_run);
    return tell(arguments, made);
}

Result<Status> run_prune(const Arguments& arguments)
{
    std::string kinds;
    for (const auto& word : arguments.words)
        kinds += (kinds.empty() ? "" : ",") + word;
    auto store = arguments.dry_run ? open_to_look(arguments) : open_store(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_prune(store->get(), kinds.c_str(), arguments.older_than_days,
                  arguments.dry_run ? XLSTORE_DRY_RUN : 0, &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    return tell(arguments, made);
}

}  // namespace xlstore::tools
