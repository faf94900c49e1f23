// SPDX-License-Identifier: MIT
// AUTOINCREMENT keeps the last id of a table in sqlite_sequence. SQLite lets anyone write there,
// and takes the highest number as the next: so these are read with a bound, and where one is above
// it the rows say what was given.
#include "store/database/store_numbers.hpp"

#include <algorithm>

#include "store/database/low_numbers.hpp"

namespace xlstore {

namespace {

// Where it is not known how much is missing: no directory has lost so many commits unseen.
constexpr std::int64_t kUnknownLoss = 100'000;

}  // namespace

bool counts_commits(Db& db)
{
    return db.pragma_integer(
               "SELECT count(*) FROM pragma_table_info('store') WHERE name = 'commits'") != 0;
}

namespace {

enum class TooHigh { refuse, ask_rows };

void read_ids(Db& db, Numbers& numbers, TooHigh too_high)
{
    auto rows = db.prepare("SELECT name, seq FROM sqlite_sequence");
    while (rows.step()) {
        const auto id = rows.integer(1);
        const bool high = id > Numbers::kHighestId;
        const auto name = rows.text(0);
        if (high && too_high == TooHigh::refuse) db.fail_for_number(name, rows.text(1));
        for (std::size_t i = 0; i < Numbers::kTables.size(); ++i)
            if (name == Numbers::kTables[i])
                numbers.ids[i] = high ? highest_of_rows(db, Numbers::kTables[i]) : id;
    }
}

}  // namespace

Numbers read_numbers(Db& db)
{
    Numbers numbers;
    numbers.commits = db.pragma_integer("SELECT commits FROM store");
    read_ids(db, numbers, TooHigh::ask_rows);
    return numbers;
}

Numbers count_commit(Db& db)
{
    Numbers numbers;
    read_ids(db, numbers, TooHigh::refuse);
    // Not with RETURNING, which makes a table of its own for the one number.
    db.prepare("UPDATE store SET commits = commits + 1").run();
    numbers.commits = db.pragma_integer("SELECT commits FROM store");
    return numbers;
}

void raise_numbers(Db& db, const Memory& seen, Loss loss)
{
    lower_high_numbers(db, seen);
    const auto own = read_numbers(db);
    auto missing = std::max<std::int64_t>(0, seen.numbers.commits - own.commits);
    const std::int64_t margin = seen.foreign || loss == Loss::unknown ? kUnknownLoss : 0;
    missing += margin;
    for (std::size_t i = 0; i < Numbers::kTables.size(); ++i) {
        const auto* table = Numbers::kTables[i];
        db.prepare(
              "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0 WHERE NOT EXISTS "
              "(SELECT 1 FROM sqlite_sequence WHERE name = ?1)")
            .bind(table)
            .run();
        db.prepare("UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1 AND seq < ?2")
            .bind(table)
            .bind(std::max(own.ids[i], seen.numbers.ids[i]) + margin)
            .run();
    }
    if (missing == 0) return;
    db.prepare("UPDATE store SET commits = commits + ?").bind(missing).run();
    // A commit advances an epoch, and a revision, by one at most.
    db.prepare(
          "UPDATE domain SET epoch = epoch + ?1, revision = revision + ?1 WHERE state <> "
          "'destroyed'")
        .bind(missing + 1)
        .run();
}

}  // namespace xlstore
