// SPDX-License-Identifier: MIT
#include "store/numbers.hpp"

#include <algorithm>
#include <charconv>

#include "store/db.hpp"
#include "store/low_numbers.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kFormat = "xlstore-numbers-1";
// Numbers above this are no numbers of a store's: they are not believed, also with a right sum.
constexpr std::int64_t kHighest = std::int64_t{1} << 53;
// Where it is not known how much is missing: no directory has lost so many commits unseen.
constexpr std::int64_t kUnknownLoss = 100'000;

// FNV-1a. Against bits that flipped and lines that are half written, not against malice: who can
// write into a lock file can write into the database.
std::uint64_t check_sum(std::string_view text)
{
    std::uint64_t sum = 0xcbf29ce484222325U;
    for (const unsigned char c : text)
        sum = (sum ^ c) * 0x100000001b3U;
    return sum;
}

std::string_view next_word(std::string_view& text)
{
    const auto end = text.find(' ');
    const auto word = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return word;
}

template <class T>
bool read_number(std::string_view& text, T& value)
{
    const auto word = next_word(text);
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc() && !word.empty() && end == word.data() + word.size();
}

bool is_possible(std::int64_t number)
{
    return number >= 0 && number <= kHighest;
}

}  // namespace

std::string numbers_line(const Numbers& numbers, LineFile file)
{
    std::string line = std::string(kFormat) + ' ' + std::to_string(file.inode) + ' ' +
                       std::to_string(file.born_ns) + ' ' + std::to_string(numbers.commits);
    for (const auto id : numbers.ids)
        line += ' ' + std::to_string(id);
    return line + ' ' + std::to_string(check_sum(line));
}

std::optional<NumbersLine> read_numbers_line(std::string_view line)
{
    const auto last = line.rfind(' ');
    if (last == std::string_view::npos) return std::nullopt;
    auto told = line.substr(last + 1);
    auto rest = line.substr(0, last);
    std::uint64_t sum = 0;
    if (!read_number(told, sum) || sum != check_sum(rest)) return std::nullopt;
    NumbersLine read;
    if (next_word(rest) != kFormat || !read_number(rest, read.file.inode) ||
        !read_number(rest, read.file.born_ns) ||
        !read_number(rest, read.numbers.commits) || !is_possible(read.numbers.commits))
        return std::nullopt;
    for (auto& id : read.numbers.ids)
        if (!read_number(rest, id) || !is_possible(id)) return std::nullopt;
    return read;
}

bool counts_commits(Db& db)
{
    return db.pragma_integer(
               "SELECT count(*) FROM pragma_table_info('store') WHERE name = 'commits'") != 0;
}

Numbers read_numbers(Db& db)
{
    Numbers numbers;
    numbers.commits = db.pragma_integer("SELECT commits FROM store");
    auto rows = db.prepare("SELECT name, seq FROM sqlite_sequence");
    while (rows.step()) {
        const auto name = rows.text(0);
        for (std::size_t i = 0; i < Numbers::kTables.size(); ++i)
            if (name == Numbers::kTables[i])
                numbers.ids[i] = rows.integer(1) <= Numbers::kHighestId
                                     ? rows.integer(1)
                                     : highest_of_rows(db, Numbers::kTables[i]);
    }
    return numbers;
}

Numbers count_commit(Db& db)
{
    refuse_high_numbers(db);
    db.prepare("UPDATE store SET commits = commits + 1").run();
    return read_numbers(db);
}

void raise_numbers(Db& db, const Memory& seen)
{
    lower_high_numbers(db, seen);
    const auto own = read_numbers(db);
    auto missing = std::max<std::int64_t>(0, seen.numbers.commits - own.commits);
    if (seen.foreign) missing += kUnknownLoss;
    const std::int64_t margin = seen.foreign ? kUnknownLoss : 0;
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
