// SPDX-License-Identifier: MIT
#include "store/low_numbers.hpp"

#include <algorithm>
#include <array>

namespace xlstore {

namespace {

// A table, and where its numbers stand.
struct Told {
    const char* table;
    const char* highest;
};
constexpr std::array kTold = {
    Told{"session",
         "SELECT max(coalesce((SELECT max(id) FROM session), 0), "
         "coalesce((SELECT max(owner) FROM intent), 0), "
         "coalesce((SELECT max(creator) FROM domain), 0))"},
    Told{"domain",
         "SELECT max(coalesce((SELECT max(id) FROM domain), 0), "
         "coalesce((SELECT max(domain) FROM history), 0), "
         "coalesce((SELECT max(domain) FROM set_aside), 0), "
         "coalesce((SELECT max(domain) FROM thing), 0))"},
    Told{"thing",
         "SELECT max(coalesce((SELECT max(id) FROM thing), 0), "
         "coalesce((SELECT max(thing) FROM intent), 0), "
         "coalesce((SELECT max(thing) FROM product), 0))"},
    Told{"intent",
         "SELECT max(coalesce((SELECT max(id) FROM intent), 0), "
         "coalesce((SELECT max(intent) FROM history WHERE intent IS NOT NULL), 0))"},
    Told{"tombstone", "SELECT coalesce((SELECT max(id) FROM tombstone), 0)"},
    Told{"set_aside", "SELECT coalesce((SELECT max(id) FROM set_aside), 0)"},
    Told{"history",
         "SELECT max(coalesce((SELECT max(id) FROM history), 0), "
         "coalesce((SELECT max(history_pruned_below) - 1 FROM store), 0))"},
};

std::int64_t sequence_of(Db& db, const char* table)
{
    auto row =
        db.prepare("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?").bind(table);
    return row.step() ? row.integer(0) : 0;
}

std::int64_t remembered(const Memory& seen, std::string_view table)
{
    if (seen.foreign) return 0;  // of another place
    const auto at = std::ranges::find(Numbers::kTables, table);
    return at == Numbers::kTables.end()
               ? 0
               : seen.numbers.ids.at(static_cast<std::size_t>(at - Numbers::kTables.begin()));
}

}  // namespace

std::vector<LowNumber> low_numbers(Db& db, const Memory& seen)
{
    std::vector<LowNumber> low;
    for (const auto& [table, highest] : kTold) {
        const auto has = sequence_of(db, table);
        const auto given = std::max(db.pragma_integer(highest), remembered(seen, table));
        if (has < given) low.push_back({table, has, given});
    }
    return low;
}

void raise_low_numbers(Db& db, const Memory& seen)
{
    for (const auto& low : low_numbers(db, seen)) {
        db.prepare("DELETE FROM sqlite_sequence WHERE name = ?").bind(low.table).run();
        db.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)")
            .bind(low.table)
            .bind(low.given)
            .run();
    }
}

}  // namespace xlstore
