// SPDX-License-Identifier: MIT
#include "tools/fleet/batch.hpp"

#include <algorithm>

#include "store/text/json_text.hpp"
#include "tools/fleet/host_facts.hpp"
#include "tools/fleet/portable_text.hpp"

namespace xlstore::fleet {

namespace {

// Which line begins another generation: the first that tells of a restore, but
// for the one that is expected, and for one that a generation begins with
// anyway.
std::size_t first_of_next(const Batch& batch, bool expected)
{
    const auto& lines = batch.snapshot.lines;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (!lines[i].restore || (i == 0 && batch.begins)) continue;
        if (!expected) return i;
        expected = false;
    }
    return lines.size();
}

void end_before(Batch& batch, std::size_t line)
{
    auto& snapshot = batch.snapshot;
    if (line == snapshot.lines.size()) return;
    snapshot.lines.resize(line);
    // Those that are over may be named by these lines alone; all other states are
    // of later.
    const auto last = snapshot.lines.empty() ? 0 : snapshot.lines.back().number;
    std::erase_if(snapshot.changed, [&](const DomainState& domain) {
        return !domain.over || domain.last_line > last;
    });
    snapshot.gone.clear();
    snapshot.more = true;
}

std::string joined(const std::string& array)
{
    return array.substr(1, array.size() - 2);
}

void append(std::string& list, const std::string& what)
{
    if (what.empty()) return;
    if (!list.empty()) list += ',';
    list += what;
}

std::string domain_json(const DomainState& domain, std::int64_t commits)
{
    std::string json = domain.row.substr(0, domain.row.size() - 1) +
                       ",\"digest\":" + json_quote(domain.digest) +
                       ",\"commits\":" + std::to_string(commits);
    if (!domain.document.empty()) json += ",\"document\":" + json_quote(domain.document);
    return json + "}";
}

}  // namespace

Batch make_batch(const Known& known, std::optional<Begin> begins, Snapshot snapshot)
{
    Batch batch;
    batch.generation = known.generation + (begins ? 1 : 0);
    batch.after = begins ? begins->after : known.line;
    batch.begins = std::move(begins);
    batch.snapshot = std::move(snapshot);
    const bool expected = batch.begins ? batch.begins->expects_restore : known.expects_restore;
    end_before(batch, first_of_next(batch, expected));
    const auto& lines = batch.snapshot.lines;
    batch.told_of_restore = std::ranges::any_of(lines, &Line::restore);
    const auto pruned_below = batch.snapshot.state.pruned_below;
    const auto first = lines.empty() ? pruned_below : std::min(pruned_below, lines.front().number);
    // What a store had pruned before its first push was never the fleet's to get.
    if (first > batch.after + 1 && batch.after > 0) batch.gap = {batch.after + 1, first - 1};
    batch.line =
        lines.empty() ? (batch.gap ? batch.gap->second : batch.after) : lines.back().number;
    return batch;
}

std::string batch_json(const Batch& batch, const std::string& directory)
{
    const auto& snapshot = batch.snapshot;
    std::string lines, domains, things, intents, gone;
    for (const auto& line : snapshot.lines)
        append(lines, line.json);
    for (const auto& domain : snapshot.changed) {
        append(domains, domain_json(domain, snapshot.state.commits));
        append(things, joined(domain.things));
        append(intents, joined(domain.intents));
    }
    for (const auto incarnation : snapshot.gone)
        append(gone, std::to_string(incarnation));
    const auto array = [](const std::string& list) { return "[" + list + "]"; };
    std::vector<std::pair<std::string, std::string>> members = {
        {"generation", std::to_string(batch.generation)},
        {"after", std::to_string(batch.after)},
        {"line", std::to_string(batch.line)},
        {"told_of_restore", batch.told_of_restore ? "true" : "false"},
        {"lines", array(lines)},
        {"domains", array(domains)},
        {"things", array(things)},
        {"intents", array(intents)},
        {"gone", array(gone)},
        {"facts",
         host_facts(directory, std::max<std::int64_t>(0, snapshot.state.last_line - batch.line),
                    snapshot.state.highest_id)}};
    if (batch.begins)
        members.emplace_back(
            "begins",
            json_object({{"store_uuid", json_quote(snapshot.state.uuid)},
                         {"why", json_quote(batch.begins->why)},
                         {"expects_restore", batch.begins->expects_restore ? "true" : "false"}}));
    if (batch.gap)
        members.emplace_back("gap", json_object({{"first", std::to_string(batch.gap->first)},
                                                 {"last", std::to_string(batch.gap->second)}}));
    const auto anchor = !snapshot.lines.empty() ? snapshot.lines.back().anchor
                        : batch.begins          ? batch.begins->anchor
                                                : std::string();
    if (!anchor.empty()) members.emplace_back("anchor", json_quote(anchor));
    if (!snapshot.more) members.emplace_back("commits", std::to_string(snapshot.state.commits));
    return portable_json(json_object(members));
}

}  // namespace xlstore::fleet
