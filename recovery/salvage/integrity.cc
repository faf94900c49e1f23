// SPDX-License-Identifier: MIT
// SQLite's integrity check, its check of foreign keys, and two questions of our own: a value that
// no release writes, and a row whose uuid an index and the document contradict. It is told apart
// whether indexes alone are wrong, or rows that name missing ones alone. A line that tells of a
// page that could not be read is thrown as an error, since it proves nothing.
#include "recovery/salvage/integrity.hpp"

#include <sqlite3.h>

#include <charconv>
#include <string_view>

#include "recovery/salvage/damaged_database.hpp"
#include "recovery/salvage/mended_row.hpp"
#include "store/base/error.hpp"
#include "store/database/page_head.hpp"
#include "store/model/document.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

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

// Where an index and the text of a domain's document have one uuid, and the row another.
std::string contradicted_row(Db& db)
{
    auto domains = db.prepare(
        "SELECT d.domid, d.uuid, i.uuid, m.text "
        "FROM (SELECT id, uuid FROM domain INDEXED BY domain_uuid ORDER BY uuid, id) i "
        "CROSS JOIN domain d NOT INDEXED ON d.id = i.id AND d.uuid <> i.uuid "
        "JOIN document_member m ON m.domain = d.id AND m.key = 'c_info'");
    while (domains.step()) {
        const auto c_info = json_minify(domains.text(3), "c_info");
        auto uuid = c_info ? json_get_string(*c_info, "uuid") : std::nullopt;
        if (uuid && normal_uuid(*std::move(uuid)) == domains.text(2))
            return "the row of domain " + domains.text(0) + " has another uuid than its document";
    }
    return {};
}

// Where an index says which thing a row is, and the row's own text does not contradict it.
std::string contradicted_thing(Db& db)
{
    auto things = db.prepare(
        "SELECT t.id, t.domain, t.class, t.key, t.state, t.primary_at, t.json, i.domain, i.class, "
        "i.key FROM (SELECT id, domain, class, key FROM thing INDEXED BY sqlite_autoindex_thing_1 "
        "ORDER BY domain, class, key) i CROSS JOIN thing t NOT INDEXED ON t.id = i.id "
        "AND (t.domain, t.class, t.key) <> (i.domain, i.class, i.key)");
    while (things.step()) {
        Row row;
        row.set("domain", things.integer(1));
        row.set("class", things.text(2));
        row.set("key", things.text(3));
        row.set("state", things.text(4));
        row.set("primary_at", things.text(5));
        row.set("json", things.text(6));
        const ThingWitness index{things.integer(7), things.text(8), things.text(9)};
        if (!mend_thing(row, index).empty())
            return "the row of entry " + things.text(0) + " is another thing than its index says";
    }
    return {};
}

// Where an index has the key that a member is spelled with, and the row another.
std::string contradicted_member(Db& db)
{
    auto members = db.prepare(
        "SELECT d.domid, m.key, m.key_text, i.key "
        "FROM (SELECT domain, rank, key FROM document_member "
        "      INDEXED BY sqlite_autoindex_document_member_2 ORDER BY domain, key) i "
        "CROSS JOIN document_member m NOT INDEXED ON m.domain = i.domain AND m.rank = i.rank "
        "AND m.key <> i.key JOIN domain d ON d.id = m.domain");
    while (members.step()) {
        Row row;
        row.set("key", members.text(1));
        row.set("key_text", members.text(2));
        if (mend_member(row, members.text(3)))
            return "a member of the document of domain " + members.text(0) +
                   " has another key than its index and its spelling";
    }
    return {};
}

// Which witnesses there are: REINDEX would make the indexes as wrong as the rows.
std::string contradicted(Db& db)
{
    for (auto* find : {contradicted_row, contradicted_thing, contradicted_member}) {
        try {
            if (auto row = find(db); !row.empty()) return row;
        } catch (const DbError& e) {
            if (!is_damage(e)) throw;  // an index that cannot be read is no witness
        }
    }
    return {};
}

// As other uuids are, but for a character or two: one boot of another is nothing like it.
bool is_turned(const std::string& boot, const std::string& now)
{
    constexpr std::size_t kTurned = 2;
    if (boot == now || boot.size() != now.size()) return false;
    std::size_t differ = 0;
    for (std::size_t i = 0; i < now.size(); ++i)
        differ += boot[i] != now[i] ? 1 : 0;
    return differ <= kTurned;
}

// What no release writes into a row. Where no CHECK keeps it out, or where the connection is
// read-only and SQLite looks at none.
std::string impossible_row(Db& db)
{
    auto words = db.prepare(
        "SELECT 'domain ' || domid, 'state' FROM domain "
        "WHERE state NOT IN ('creating', 'running', 'destroying', 'destroyed') "
        "UNION ALL SELECT 'domain ' || domid, 'epoch' FROM domain "
        "WHERE state <> 'destroyed' AND (epoch NOT BETWEEN 1 AND ?1 OR revision NOT BETWEEN 1 AND ?1) "
        "UNION ALL SELECT 'entry ' || id, 'state' FROM thing "
        "WHERE state NOT IN ('adding', 'present', 'changing', 'removing', 'stale') "
        "UNION ALL SELECT 'entry ' || id, 'primary_at' FROM thing "
        "WHERE primary_at NOT IN ('qemu', 'xenstore', 'none') "
        "UNION ALL SELECT 'intent ' || id, 'operation' FROM intent "
        "WHERE operation NOT IN ('add', 'remove', 'change')");
    words.bind(std::int64_t{1} << 56);  // far above what a store counts to
    if (words.step()) return "the row of " + words.text(0) + " has an impossible " + words.text(1);
    auto domains = db.prepare("SELECT domid, uuid, boot_id FROM domain WHERE state <> 'destroyed'");
    while (domains.step()) {
        if (normal_uuid(domains.text(1)) != domains.text(1))
            return "the row of domain " + domains.text(0) + " has an impossible uuid";
        const auto boot = domains.text(2);
        if (!check_name(boot) || is_turned(boot, current_boot_id()))
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
    auto integrity = db.prepare("PRAGMA integrity_check(100)");
    while (integrity.step()) {
        const auto text = integrity.text(0);
        if (text == "ok") break;
        if (const int code = unread_in(text); code != 0)
            throw DbError(code, "database " + db.called() + ": " + words_of_sqlite(text) + ": " +
                                    sqlite3_errstr(code));
        add(text, is_of_index(text), false);
    }
    auto keys = db.prepare("PRAGMA foreign_key_check");
    while (keys.step())
        add("a row of " + keys.text(0) + " names a missing row of " + keys.text(2), false, true);
    if (const auto row = impossible_row(db); !row.empty()) add(row, false, false);
    // An index may be right where the row is damaged.
    if (count != 0 && found.indexes_alone)
        if (const auto row = contradicted(db); !row.empty()) add(row, false, false);
    if (count > kLinesShown) found.lines += "; " + std::to_string(count) + " in all";
    return found;
}

}  // namespace xlstore::recovery
