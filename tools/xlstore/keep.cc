// SPDX-License-Identifier: MIT
// undo: what runs of recovery took away or rewrote; prune: the end of what is kept.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "store/text/number_text.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

Result<Status> list_runs(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    return print_rows(
        arguments, store->get(),
        "SELECT json_object('run', run, 'began', began, 'mode', mode, 'program', program, 'pid', "
        "pid, 'domains', domains, 'kept', kept, 'put_back', put_back, 'shown_by', shown_by), "
        "run, began, program || ' ' || pid, mode, domains, kept, put_back FROM undo_runs "
        "UNION ALL SELECT * FROM (SELECT json_object('set_aside', id, 'began', at, 'what', what, "
        "'why', why), 'aside:' || id, at, '-', what, domain IS NOT NULL, 1, 0 FROM (SELECT *, "
        "datetime(at_us / 1000000, 'unixepoch') AS at FROM set_aside) ORDER BY id DESC)",
        {}, {"RUN", "BEGAN (UTC)", "BY", "MODE", "DOMAINS", "ROWS", "PUT BACK"});
}

Result<std::int64_t> run_number(std::string_view word)
{
    if (const auto number = parse_number<std::int64_t>(word); number && *number > 0) return *number;
    return Error(Errc::invalid, "undo: " + plain(std::string(word)) + " is not the number of a run",
                 "'xlstore undo' lists those that are kept");
}

// "aside:12"
constexpr std::string_view kAside = "aside:";

Result<Status> put_back(const Arguments& arguments)
{
    const auto number = run_number(std::string_view(arguments.words[0]).substr(kAside.size()));
    if (!number) return number.error();
    auto store = arguments.dry_run ? open_to_look(arguments) : open_store(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_put_back(store->get(), *number, arguments.dry_run ? XLSTORE_DRY_RUN : 0, &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    return tell(arguments, made);
}

std::string text_of(const nlohmann::json& value)
{
    return value.is_null() ? "-" : value.get<std::string>();
}

void print_undone(const nlohmann::json& rows, bool dry_run)
{
    std::vector<std::vector<std::string>> table;
    for (const auto& row : rows) {
        const auto why = row["why"].get<std::string>();
        const char* const done = dry_run ? "would be put back" : "put back";
        table.push_back({plain(row["subject"].get<std::string>()),
                         row["operation"].get<std::string>(),
                         why.empty() ? done : "kept: " + plain(why), plain(text_of(row["before"])),
                         plain(text_of(row["after"]))});
    }
    print_table({"WHAT", "DONE TO IT", "NOW", "BEFORE", "AFTER"}, table);
}

}  // namespace

Result<Status> run_undo(const Arguments& arguments)
{
    if (arguments.words.empty()) return list_runs(arguments);
    if (arguments.words[0].starts_with(kAside)) return put_back(arguments);
    const auto run = run_number(arguments.words[0]);
    if (!run) return run.error();
    const char* const domain = arguments.words.size() > 1 ? arguments.words[1].c_str() : nullptr;
    const uint32_t flags =
        (arguments.force ? XLSTORE_FORCE : 0) | (arguments.dry_run ? XLSTORE_DRY_RUN : 0);
    auto store = arguments.dry_run ? open_to_look(arguments) : open_store(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_undo(store->get(), *run, domain, flags, &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    if (xlstore_result_status(made) == XLSTORE_OK && !arguments.json)
        print_undone(nlohmann::json::parse(xlstore_result_json(made))["rows"], arguments.dry_run);
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
