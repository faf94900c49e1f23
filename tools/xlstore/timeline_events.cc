// SPDX-License-Identifier: MIT
#include "tools/xlstore/timeline_events.hpp"

#include <algorithm>
#include <cstdio>

#include "store/base/clock.hpp"
#include "store/text/number_text.hpp"

namespace xlstore::tools {

namespace {

constexpr std::int64_t kEventsMost = 2000;

// ?1 incarnation, ?2 intent, ?3 how many. Closed ones are lines of history; open ones are rows.
constexpr const char* kEvents =
    "SELECT * FROM (SELECT line, opened_us, at_us, coalesce(class || '/' || key, 'domain'), "
    "operation || coalesce(' ' || class || '/' || key, ''), intent, outcome, "
    "program || ' ' || pid, author_program || ' ' || author_pid, asked, evidence, "
    "'domain ' || domid || ' (' || coalesce(domain, '') || ')' FROM history_lines "
    "WHERE (?1 IS NULL OR incarnation = CAST(?1 AS INTEGER)) "
    "AND (?2 IS NULL OR intent = CAST(?2 AS INTEGER)) "
    "ORDER BY line DESC LIMIT CAST(?3 AS INTEGER)) "
    "UNION ALL SELECT 0, i.opened_us, 0, p.class || '/' || p.key, "
    "p.operation || ' ' || p.class || '/' || p.key, p.intent, 'open', "
    "p.owner_program || ' ' || p.owner_pid, p.owner_program || ' ' || p.owner_pid, "
    "(SELECT group_concat(json_extract(value, '$.execute'), ' ') FROM "
    "json_each(iif(json_valid(p.plan), p.plan, '[]'))), "
    "coalesce(p.note, p.waits_for), 'domain ' || p.domid || ' (' || p.domain || ')' "
    "FROM pending_intents p JOIN intent i ON i.id = p.intent "
    "WHERE (?1 IS NULL OR p.incarnation = CAST(?1 AS INTEGER)) "
    "AND (?2 IS NULL OR p.intent = CAST(?2 AS INTEGER))";

std::int64_t number_in(const std::optional<std::string>& cell)
{
    return parse_number<std::int64_t>(cell.value_or("0")).value_or(0);
}

std::vector<std::string> words_in(const std::string& text)
{
    std::vector<std::string> words;
    for (std::string_view rest = text; !rest.empty();)
        if (const auto word = next_word(rest); !word.empty()) words.emplace_back(word);
    return words;
}

TimelineEvent event_of(const NullableRow& row, std::int64_t now)
{
    const auto text = [&](std::size_t column) { return plain(row[column].value_or("")); };
    TimelineEvent event;
    event.line = number_in(row[0]);
    if (row[1]) event.opened_us = number_in(row[1]);
    event.at_us = event.line == 0 ? now : number_in(row[2]);
    event.lane = text(3);
    event.what = text(4);
    event.intent = text(5);
    event.outcome = text(6);
    event.by = text(7);
    event.asked_by = text(8);
    event.commands = words_in(text(9));
    event.evidence = text(10);
    return event;
}

}  // namespace

Result<Timeline> timeline_of(const Arguments& arguments)
{
    const auto found = open_and_find(arguments, Past::yes);
    if (!found) return found.error();
    std::optional<std::string> incarnation;
    std::optional<std::string> intent;
    if (!found->incarnation.empty()) incarnation = found->incarnation.front();
    if (arguments.intent != 0) intent = std::to_string(arguments.intent);
    const std::int64_t most = arguments.limit > 0 ? arguments.limit : kEventsMost;
    const auto rows = query_rows(arguments, found->store.get(), kEvents,
                                 {incarnation, intent, std::to_string(most)});
    if (!rows) return rows.error();
    if (arguments.limit <= 0 && std::ssize(*rows) == kEventsMost)
        std::fprintf(stderr,
                     "xlstore: note: these are the last %lld lines; --limit shows more\n",
                     static_cast<long long>(kEventsMost));
    if (rows->empty())
        return Error(Errc::not_found,
                     intent ? "no line of history tells of intent " + *intent
                            : "history has no line of " + found->subject,
                     "it keeps the last 100 000 lines: 'xlstore history'");
    Timeline timeline;
    timeline.made_us = now_us();
    for (const auto& row : *rows)
        timeline.events.push_back(event_of(row, timeline.made_us));
    std::ranges::stable_sort(timeline.events, {}, &TimelineEvent::at_us);
    timeline.subject = found->subject;
    if (intent)
        timeline.subject = "intent " + *intent + " of " + plain((*rows)[0][11].value_or(""));
    return timeline;
}

}  // namespace xlstore::tools
