// SPDX-License-Identifier: MIT
#include "tools/xlstore/found_domain.hpp"

#include <cstdio>

namespace xlstore::tools {

namespace {

int32_t keep_row(int32_t columns, const char* const*, const char* const* values, void* userdata)
{
    auto& row = static_cast<std::vector<NullableRow>*>(userdata)->emplace_back();
    for (int32_t i = 0; i < columns; ++i)
        row.push_back(values[i] ? std::optional<std::string>(values[i]) : std::nullopt);
    return XLSTORE_OK;
}

}  // namespace

Result<Found> open_and_find(const Arguments& arguments, Past past)
{
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    Found found{*std::move(store), {}};
    if (arguments.words.empty()) return found;
    const char* const word = arguments.words[0].c_str();
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    char* others = nullptr;
    const int32_t status = past == Past::yes
                               ? xlstore_find_incarnation(found.store.get(), word, &info, &others)
                               : xlstore_find(found.store.get(), word, &info);
    if (status != XLSTORE_OK) return last_error();
    found.incarnation.push_back(std::to_string(info.id));
    found.destroyed = std::string_view(info.state) == "destroyed";
    found.subject = "domain " + std::to_string(info.domid) + " (" + plain(info.name) + ")";
    if (!others) return found;
    const Text others_json(others);
    const bool of_interest =
        found.destroyed || arguments.verb == "history" || arguments.verb == "timeline";
    if (of_interest)
        note_others(info.id, found.destroyed ? "newest" : "living one", word, others_json.get());
    return found;
}

void note_unreadable(const Arguments& arguments, const Found& found)
{
    const auto which =
        found.incarnation.empty() ? std::nullopt : std::optional(found.incarnation[0]);
    const auto rows =
        query_rows(arguments, found.store.get(),
                   "SELECT 'domain ' || domid || ' (' || domain || '): ' || class || "
                   "'/' || key FROM things WHERE (?1 IS NULL OR incarnation = ?1) AND "
                   "NOT json_valid(json) UNION ALL SELECT 'domain ' || domid || ': its "
                   "document' FROM libxl_json WHERE (?1 IS NULL OR domid = (SELECT "
                   "domid FROM domains WHERE incarnation = ?1)) AND NOT "
                   "json_valid(json)",
                   {which});
    if (!rows) return;  // what is asked next says why
    for (const auto& row : *rows)
        std::fprintf(stderr,
                     "xlstore: note: %s cannot be read; 'xlfsck -n' says what can be done\n",
                     plain(row[0].value_or("")).c_str());
}

Result<std::vector<NullableRow>> query_rows(const Arguments& arguments, xlstore_store* store,
                                            const std::string& sql,
                                            const std::vector<std::optional<std::string>>& values)
{
    std::vector<const char*> pointers;
    for (const auto& value : values)
        pointers.push_back(value ? value->c_str() : nullptr);
    const xlstore_call call = call_of(arguments);
    std::vector<NullableRow> rows;
    if (xlstore_query(store, sql.c_str(), pointers.data(), pointers.size(), &call, keep_row,
                      &rows) != XLSTORE_OK)
        return last_error();
    return rows;
}

}  // namespace xlstore::tools
