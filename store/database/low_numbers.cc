// SPDX-License-Identifier: MIT
// For each table one statement tells the highest number that rows anywhere show to have been given
// (kTold), and the directory's memory another (R17). A sequence below the higher of both is raised;
// one above kHighestId, which leaves no number to give, is refused at commits and lowered by xlfsck
// alone. What is further above the memory than a store can have gone since tells nothing, as at
// commits, which go by the memory alone.
#include "store/database/low_numbers.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "store/database/high_rows.hpp"

namespace xlstore {

namespace {

// A table, its highest number, and where its numbers stand. ?1: a row above it tells of no number
// that was given.
struct Told {
    const char* table;
    const char* top;
    const char* highest;
};
constexpr std::array kTold = {
    Told{"session", "SELECT coalesce(max(id), 0) FROM session",
         "SELECT max(coalesce((SELECT max(id) FROM session WHERE id <= ?1), 0), "
         "coalesce((SELECT max(owner) FROM intent WHERE owner <= ?1), 0), "
         "coalesce((SELECT max(creator) FROM domain WHERE creator <= ?1), 0))"},
    Told{"domain", "SELECT coalesce(max(id), 0) FROM domain",
         "SELECT max(coalesce((SELECT max(id) FROM domain WHERE id <= ?1), 0), "
         "coalesce((SELECT max(domain) FROM history WHERE domain <= ?1), 0), "
         "coalesce((SELECT max(domain) FROM set_aside WHERE domain <= ?1), 0), "
         "coalesce((SELECT max(domain) FROM thing WHERE domain <= ?1), 0))"},
    Told{"thing", "SELECT coalesce(max(id), 0) FROM thing",
         "SELECT max(coalesce((SELECT max(id) FROM thing WHERE id <= ?1), 0), "
         "coalesce((SELECT max(thing) FROM intent WHERE thing <= ?1), 0), "
         "coalesce((SELECT max(thing) FROM product WHERE thing <= ?1), 0))"},
    Told{"intent", "SELECT coalesce(max(id), 0) FROM intent",
         "SELECT max(coalesce((SELECT max(id) FROM intent WHERE id <= ?1), 0), "
         "coalesce((SELECT max(intent) FROM history WHERE intent <= ?1), 0))"},
    Told{"tombstone", "SELECT coalesce(max(id), 0) FROM tombstone",
         "SELECT coalesce((SELECT max(id) FROM tombstone WHERE id <= ?1), 0)"},
    Told{"set_aside", "SELECT coalesce(max(id), 0) FROM set_aside",
         "SELECT coalesce((SELECT max(id) FROM set_aside WHERE id <= ?1), 0)"},
    Told{"history", "SELECT coalesce(max(id), 0) FROM history",
         "SELECT max(coalesce((SELECT max(id) FROM history WHERE id <= ?1), 0), "
         "coalesce((SELECT max(history_pruned_below) - 1 FROM store "
         "WHERE history_pruned_below <= ?1), 0))"},
    Told{"undo_run", "SELECT coalesce(max(id), 0) FROM undo_run",
         "SELECT coalesce((SELECT max(id) FROM undo_run WHERE id <= ?1), 0)"},
    Told{"undo_row", "SELECT coalesce(max(id), 0) FROM undo_row",
         "SELECT coalesce((SELECT max(id) FROM undo_row WHERE id <= ?1), 0)"},
};

std::int64_t sequence_of(Db& db, const char* table)
{
    auto row =
        db.prepare("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?").bind(table);
    return row.step() ? row.integer(0) : 0;
}

// Of a table that it knows nothing of: 0, as of a new one.
std::int64_t remembered(const Memory& seen, std::string_view table)
{
    const auto at = std::ranges::find(Numbers::kTables, table);
    if (at == Numbers::kTables.end()) return 0;
    return seen.numbers.ids.at(static_cast<std::size_t>(at - Numbers::kTables.begin()));
}

// What the rows, and the memory, tell of; rows only up to here.
struct Given {
    std::int64_t number;
    std::int64_t bound;
};

Given given_of(Db& db, const Told& told, const Memory& seen)
{
    auto least = remembered(seen, told.table);
    auto bound = Numbers::kHighestId;
    if (seen.foreign || least > Numbers::kHighestId)
        least = 0;  // of another place; written by a hand
    else
        bound = std::min(bound, least + Numbers::kMostAtOnce);
    auto row = db.prepare(told.highest).bind(bound);
    return {std::max(row.step() ? row.integer(0) : 0, least), bound};
}

// 0: there is none, or damage hides them.
std::int64_t top_of(Db& db, const Told& told)
{
    try {
        auto row = db.prepare(told.top);
        return row.step() ? row.integer(0) : 0;
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        return 0;
    }
}

// An older schema has not each of these tables.
bool has_table(Db& db, const char* table)
{
    return db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?")
        .bind(table)
        .step();
}

void set_sequence(Db& db, const WrongNumber& number)
{
    db.prepare("DELETE FROM sqlite_sequence WHERE name = ?").bind(number.table).run();
    db.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)")
        .bind(number.table)
        .bind(number.given)
        .run();
}

// Rows that are taken out are quarantined when each table has a number to give.
void lower(Db& db, std::vector<WrongNumber> high)
{
    if (high.empty()) return;
    HighRows rows(db);
    for (auto& number : high) {
        if (number.row != 0) number.given = rows.lower(number.table, number.given);
        set_sequence(db, number);
    }
    rows.quarantine();
}

}  // namespace

std::int64_t highest_of_rows(Db& db, std::string_view table)
{
    const auto* told = std::ranges::find(kTold, table, &Told::table);
    return told == kTold.end() ? 0 : given_of(db, *told, Memory{{}, true}).number;
}

std::vector<WrongNumber> low_numbers(Db& db, const Memory& seen)
{
    std::vector<WrongNumber> low;
    for (const auto& told : kTold) {
        if (!has_table(db, told.table)) continue;
        const auto has = sequence_of(db, told.table);
        const auto given = given_of(db, told, seen).number;
        if (has < given) low.push_back({told.table, has, given});
    }
    return low;
}

namespace {

// `with_rows`: also where the sequence is low, and a row is above it.
std::vector<WrongNumber> numbers_above(Db& db, const Memory& seen, bool with_rows)
{
    std::vector<WrongNumber> high;
    for (const auto& told : kTold) {
        if (!has_table(db, told.table)) continue;
        const auto has = sequence_of(db, told.table);
        // A process that writes has read the end of this table: its own row is there.
        const bool is_read = told.table == std::string_view("session");
        const auto row = with_rows || is_read || has > Numbers::kMostAtOnce ? top_of(db, told) : 0;
        const auto next = std::max(has, row);
        if (next <= Numbers::kMostAtOnce) continue;  // also where its rows are damaged
        const auto given = given_of(db, told, seen);
        const bool is_above = row > given.bound;
        if (is_above || next > Numbers::kHighestId || next - given.number > Numbers::kMostAtOnce)
            high.push_back({told.table, has, given.number, is_above ? row : 0});
    }
    return high;
}

}  // namespace

std::vector<WrongNumber> high_numbers(Db& db, const Memory& seen)
{
    return numbers_above(db, seen, true);
}

void refuse_high_numbers(Db& db)
{
    auto high = db.prepare(
                      "SELECT name, seq FROM sqlite_sequence WHERE CAST(seq AS INTEGER) > ? "
                      "LIMIT 1")
                    .bind(Numbers::kHighestId);
    if (high.step()) db.fail_for_number(high.text(0), high.text(1));
}

std::optional<Error> wrong_numbers(const Numbers& now, const Memory& seen)
{
    if (seen.foreign) return std::nullopt;
    for (std::size_t i = 0; i < now.ids.size(); ++i) {
        const auto given = seen.numbers.ids[i];
        if (given > Numbers::kHighestId) continue;
        const bool back = now.ids[i] < given;
        if (!back && now.ids[i] - given <= Numbers::kMostAtOnce) continue;
        return Error(Errc::store,
                     std::string("store: table ") + Numbers::kTables[i] +
                         ": sqlite_sequence was set " + (back ? "back" : "far up") +
                         " by hand: it has " + std::to_string(now.ids[i]) + ", and " +
                         std::to_string(given) + " was given (R17)",
                     std::string("nothing was changed; run 'xlfsck -p', which ") +
                         (back ? "raises" : "lowers") +
                         " it, also while others have the store open; then try again");
    }
    return std::nullopt;
}

void lower_high_numbers(Db& db, const Memory& seen)
{
    // No table is read that need not be: SQLite takes a commit back in which it met damage, and the
    // rows are looked at once more when the store is settled.
    lower(db, numbers_above(db, seen, false));
}

void put_numbers_right(Db& db, const Memory& seen, const std::vector<WrongNumber>& agreed)
{
    const auto is_not_agreed = [&](const WrongNumber& number) {
        return std::ranges::find(agreed, number.table, &WrongNumber::table) == agreed.end();
    };
    auto high = high_numbers(db, seen);
    auto low = low_numbers(db, seen);
    std::erase_if(high, is_not_agreed);
    std::erase_if(low, is_not_agreed);
    lower(db, std::move(high));
    for (const auto& number : low)
        set_sequence(db, number);
}

}  // namespace xlstore
