// SPDX-License-Identifier: MIT
// AUTOINCREMENT keeps the last id of a table in sqlite_sequence. SQLite lets anyone write there,
// and takes the highest number as the next: so these are read with a bound, and where one is above
// it the rows say what was given.
#include "store/database/store_numbers.hpp"

#include <sqlite3.h>

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

// Of an empty store sqlite_sequence has no row. @throws as count_commit()
Numbers numbers_of(Db& db, TooHigh too_high)
{
    Numbers numbers;
    auto rows =
        db.prepare("SELECT s.commits, q.name, q.seq FROM store s LEFT JOIN sqlite_sequence q ON 1");
    while (rows.step()) {
        numbers.commits = rows.integer(0);
        if (numbers.commits < 0 || numbers.commits > Numbers::kMostCommits)
            throw DbError(SQLITE_CORRUPT, "database " + db.called() +
                                              ": the store's own row has an impossible count of "
                                              "commits");
        const auto name = rows.text(1);
        const auto id = rows.integer(2);
        const bool high = id > Numbers::kHighestId;
        if (high && too_high == TooHigh::refuse) db.fail_for_number(name, rows.text(2));
        for (std::size_t i = 0; i < Numbers::kTables.size(); ++i)
            if (name == Numbers::kTables[i])
                numbers.ids[i] = high ? highest_of_rows(db, Numbers::kTables[i]) : id;
    }
    return numbers;
}

}  // namespace

Numbers read_numbers(Db& db)
{
    return numbers_of(db, TooHigh::ask_rows);
}

// One statement reads all of them: a second one costs more than what it says.
Numbers count_commit(Db& db)
{
    auto numbers = numbers_of(db, TooHigh::refuse);
    ++numbers.commits;
    // Not with RETURNING, which makes a table of its own for the one number.
    db.prepare("UPDATE store SET commits = commits + 1").run();
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
            .bind(std::min(std::max(own.ids[i], seen.numbers.ids[i]) + margin, Numbers::kHighestId))
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
