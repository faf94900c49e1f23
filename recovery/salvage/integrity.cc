// SPDX-License-Identifier: MIT
// SQLite's integrity check, with the CHECKs that it omits over a read-only connection; its check of
// foreign keys; and two questions of our own: a value that no release writes, and a row whose uuid
// an index and the document contradict. It is told apart whether indexes alone are wrong, or rows
// that name missing ones alone. A line that tells of a page that could not be read is thrown as an
// error, since it proves nothing.
#include "recovery/salvage/integrity.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <charconv>

#include "recovery/salvage/mended_row.hpp"
#include "recovery/salvage/table_checks.hpp"
#include "store/base/error.hpp"
#include "store/database/page_head.hpp"
#include "store/database/store_numbers.hpp"
#include "store/model/document.hpp"
#include "store/os/process.hpp"
#include "store/qmp/protocol.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

std::string words_of_sqlite(std::string_view text)
{
    std::string words(text);
    std::ranges::replace(words, '\n', ' ');
    for (const char marked : {'"', '\\'})  // so that nothing but the ends is a quote
        std::ranges::replace(words, marked, '\'');
    words = qmp::printable(words);
    words.erase(words.rfind('"'), 1);
    return words.substr(1);
}

namespace {

// Of what SQLite says of a damaged file; there may be thousands.
constexpr int kLinesShown = 3;

bool is_of_index(const std::string& line)
{
    for (const char* words :
         {"missing from index ", "wrong # of entries in index ", "non-unique entry in index "})
        if (line.find(words) != std::string::npos) return true;
    return false;
}

// Rows that an index contradicts, and what more has to agree with the index before the row is
// taken for the one that is damaged. "": it does not.
struct Contradiction {
    const char* rows;
    std::string (*flaw)(const Statement& row);
};

constexpr Contradiction kContradictions[] = {
    // The text of a domain's document agrees with the index.
    {"SELECT d.domid, d.uuid, i.uuid, m.text "
     "FROM (SELECT id, uuid FROM domain INDEXED BY domain_uuid ORDER BY uuid, id) i "
     "CROSS JOIN domain d NOT INDEXED ON d.id = i.id AND d.uuid <> i.uuid "
     "JOIN document_member m ON m.domain = d.id AND m.key = 'c_info'",
     [](const Statement& row) -> std::string {
         const auto c_info = json_minify(row.text(3), "c_info");
         auto uuid = c_info ? json_get_string(*c_info, "uuid") : std::nullopt;
         if (!uuid || normal_uuid(*std::move(uuid)) != row.text(2)) return {};
         return "the row of domain " + row.text(0) + " has another uuid than its document";
     }},
    // The entry's own text agrees with the index, or another index in the domain.
    {"WITH o AS MATERIALIZED (SELECT id, domain FROM thing INDEXED BY thing_order) "
     "SELECT t.id, t.domain, t.class, t.key, t.state, t.primary_at, t.json, i.domain, i.class, "
     "i.key, o.domain "
     "FROM (SELECT id, domain, class, key FROM thing INDEXED BY sqlite_autoindex_thing_1 "
     "      ORDER BY domain, class, key) i CROSS JOIN thing t NOT INDEXED ON t.id = i.id "
     "AND (t.domain, t.class, t.key) <> (i.domain, i.class, i.key) LEFT JOIN o ON o.id = t.id",
     [](const Statement& row) -> std::string {
         Row entry;
         entry.set("domain", row.integer(1));
         entry.set("class", row.text(2));
         entry.set("key", row.text(3));
         entry.set("state", row.text(4));
         entry.set("primary_at", row.text(5));
         entry.set("json", row.text(6));
         const ThingWitness index{row.integer(7), row.text(8), row.text(9), row.maybe_integer(10)};
         if (mend_thing(entry, index).empty()) return {};
         return "the row of entry " + row.text(0) + " is another thing than its index says";
     }},
    // The spelling of a member's key agrees with the index.
    {"SELECT d.domid, m.key, m.key_text, i.key "
     "FROM (SELECT domain, rank, key FROM document_member "
     "      INDEXED BY sqlite_autoindex_document_member_2 ORDER BY domain, key) i "
     "CROSS JOIN document_member m NOT INDEXED ON m.domain = i.domain AND m.rank = i.rank "
     "AND m.key <> i.key JOIN domain d ON d.id = m.domain",
     [](const Statement& row) -> std::string {
         Row member;
         member.set("key", row.text(1));
         member.set("key_text", row.text(2));
         if (!mend_member(member, row.text(3))) return {};
         return "a member of the document of domain " + row.text(0) +
                " has another key than its index and its spelling";
     }},
};

std::string first_flaw(Db& db, const Contradiction& contradiction)
{
    auto rows = db.prepare(contradiction.rows);
    while (rows.step())
        if (auto flaw = contradiction.flaw(rows); !flaw.empty()) return flaw;
    return {};
}

// Which witnesses there are: REINDEX would make the indexes as wrong as the rows.
std::string contradicted(Db& db)
{
    for (const auto& contradiction : kContradictions) {
        try {
            if (auto flaw = first_flaw(db, contradiction); !flaw.empty()) return flaw;
        } catch (const DbError& e) {
            if (!is_damage(e)) throw;  // an index that cannot be read is no witness
        }
    }
    return {};
}

bool has_impossible_count(Db& db)
{
    if (!counts_commits(db)) return false;
    auto row = db.prepare("SELECT commits BETWEEN 0 AND ?1 FROM store");
    row.bind(Numbers::kMostCommits);
    return row.step() && row.integer(0) == 0;
}

// What no release writes into a row, and no CHECK keeps out.
std::string impossible_row(Db& db)
{
    const auto stores = db.pragma_integer("SELECT count(*) FROM store");
    if (stores != 1)
        return std::string("the store's own row is ") +
               (stores == 0 ? "missing" : "there more than once");
    if (has_impossible_count(db)) return "the store's own row has an impossible count of commits";
    auto domains = db.prepare(
        "SELECT domid, uuid, boot_id, epoch BETWEEN 1 AND ?1 AND revision BETWEEN 1 AND ?1 "
        "FROM domain WHERE state <> 'destroyed'");
    domains.bind(std::int64_t{1} << 56);  // far above what a store counts to
    while (domains.step()) {
        if (domains.integer(3) == 0)
            return "the row of domain " + domains.text(0) + " has an impossible epoch";
        if (normal_uuid(domains.text(1)) != domains.text(1))
            return "the row of domain " + domains.text(0) + " has an impossible uuid";
        if (is_damaged_boot(domains.text(2), current_boot_id()))
            return "the row of domain " + domains.text(0) + " has a damaged boot_id";
    }
    return {};
}

}  // namespace

std::optional<std::string> wrong_page_size(Db& db)
{
    const auto size = db.pragma_integer("PRAGMA page_size");
    if (size == static_cast<std::int64_t>(kPageSize)) return std::nullopt;
    return "its pages are of " + std::to_string(size) + " bytes, those of a store are of " +
           std::to_string(kPageSize) + ": another program wrote it anew";
}

int unread_in(const std::string& line)
{
    constexpr std::string_view kCode = "error code=";
    const auto at = line.rfind(kCode);
    if (at == std::string::npos) return 0;
    int code = 0;
    std::from_chars(line.data() + at + kCode.size(), line.data() + line.size(), code);
    return is_damage(DbError(code, "")) ? 0 : code;
}

Integrity integrity_of(Db& db)
{
    Integrity found;
    int count = 0;
    const auto add = [&](const std::string& line, bool of_index, bool of_rows) {
        found.indexes_alone = found.indexes_alone && of_index;
        found.rows_alone = found.rows_alone && of_rows;
        if (++count > kLinesShown) return;
        found.lines += (found.lines.empty() ? "" : "; ") + words_of_sqlite(line);
    };
    const auto with_count = [&]() -> Integrity {
        if (count > kLinesShown) found.lines += "; " + std::to_string(count) + " in all";
        return std::move(found);
    };
    auto integrity = db.prepare("PRAGMA integrity_check(100)");
    while (integrity.step()) {
        const auto text = integrity.text(0);
        if (text == "ok") break;
        if (const int code = unread_in(text); code != 0)
            throw DbError(code, "database " + db.called() + ": " + words_of_sqlite(text) + ": " +
                                    sqlite3_errstr(code));
        add(text, is_of_index(text), false);
    }
    if (found.indexes_alone && sqlite3_db_readonly(db.handle(), "main") == 1)
        for (const auto& line : failed_checks(db))
            add(line, false, false);
    // What rows of damaged tables say adds nothing. Where pages name one another it takes for ever
    // to read them; the check of integrity looks at each page once.
    if (!found.indexes_alone) return with_count();
    auto keys = db.prepare("PRAGMA foreign_key_check");
    while (keys.step())
        add("a row of " + keys.text(0) + " names a missing row of " + keys.text(2), false, true);
    if (const auto row = impossible_row(db); !row.empty()) add(row, false, false);
    // An index may be right where the row is damaged.
    if (count != 0 && found.indexes_alone)
        if (const auto row = contradicted(db); !row.empty()) add(row, false, false);
    return with_count();
}

}  // namespace xlstore::recovery
