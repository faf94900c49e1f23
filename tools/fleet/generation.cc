// SPDX-License-Identifier: MIT
#include "tools/fleet/generation.hpp"

#include <algorithm>

#include "store/text/json_text.hpp"

namespace xlstore::fleet {

namespace {

constexpr int kLinesCompared = 500;

// The last line that the earlier generation and the store have in common:
// history only grows, so that all before it is the same, too.
Result<Begin> went_back(pqxx::work& work, xlstore_store* store, const Known& known,
                        const StoreState& state)
{
    Begin begin;
    begin.why = "the store went back: commit " + std::to_string(state.commits) + ", line " +
                std::to_string(state.last_line) + "; the fleet has commit " +
                std::to_string(known.commits) + ", line " + std::to_string(known.line);
    begin.expects_restore = true;
    auto below = std::min(known.line, state.last_line);
    for (;;) {
        const auto rows = work.exec_params("SELECT line, anchor FROM fleet.last_lines($1, $2, $3)",
                                           known.generation, below, kLinesCompared);
        if (rows.empty()) return begin;
        const auto least = rows.back()[0].as<std::int64_t>();
        const auto anchors = read_anchors(store, least, below);
        if (!anchors) return anchors.error();
        for (const auto& row : rows) {
            const auto here = anchors->find(row[0].as<std::int64_t>());
            if (here == anchors->end() || here->second != row[1].as<std::string>()) continue;
            begin.after = here->first;
            begin.anchor = here->second;
            return begin;
        }
        below = least - 1;
    }
}

Result<bool> is_older(xlstore_store* store, const Known& known, const StoreState& state)
{
    if (state.commits < known.commits) return true;
    // Pruned: the store had that line, and what it was is not known any more.
    if (known.line < state.pruned_below) return false;
    if (state.last_line < known.line) return true;
    if (known.anchor.empty()) return false;
    const auto anchors = read_anchors(store, known.line, known.line);
    if (!anchors) return anchors.error();
    return anchors->empty() || anchors->begin()->second != known.anchor;
}

}  // namespace

Result<Known> begin_push(pqxx::work& work)
{
    const auto row = work.exec1("SELECT fleet.begin_push()::text, current_user");
    if (row[0].is_null())
        return Error(Errc::refused, "the role " + row[1].as<std::string>() + " is no host's",
                     "'xlstore-fleet init --host NAME=" + row[1].as<std::string>() +
                         "' lets it in, as the owner of the database");
    const auto text = json_minify(row[0].as<std::string>(), "what the fleet knows", SIZE_MAX);
    if (!text) return text.error();
    Known known;
    known.host = json_get_string(*text, "name").value_or("");
    known.machine_id = json_get_string(*text, "machine_id").value_or("");
    known.generation = json_get_integer(*text, "generation").value_or(0);
    known.store_uuid = json_get_string(*text, "store_uuid").value_or("");
    known.line = json_get_integer(*text, "line").value_or(0);
    known.anchor = json_get_string(*text, "anchor").value_or("");
    known.commits = json_get_integer(*text, "commits").value_or(0);
    known.expects_restore = json_find(*text, "expects_restore") == "true";
    for (const auto& member : json_members(json_find(*text, "living").value_or("{}")))
        known.living[std::stoll(member.key)] = json_decode_string(member.value);
    return known;
}

Result<std::optional<Begin>> begins_anew(pqxx::work& work, xlstore_store* store, const Known& known,
                                         const StoreState& state)
{
    if (known.generation == 0) return std::optional<Begin>({0, "", "first push", false});
    if (known.store_uuid != state.uuid)
        return std::optional<Begin>(
            {0, "", "another store: " + state.uuid + " in the place of " + known.store_uuid,
             false});
    const auto older = is_older(store, known, state);
    if (!older) return older.error();
    if (!*older) return std::optional<Begin>();
    auto begin = went_back(work, store, known, state);
    if (!begin) return begin.error();
    return std::optional<Begin>(*std::move(begin));
}

}  // namespace xlstore::fleet
