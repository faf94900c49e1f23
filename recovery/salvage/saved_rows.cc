// SPDX-License-Identifier: MIT
// Transfer reads first and writes then. Sessions, domains, intents and things are read whole, each
// with the ids that an index names, so that a row that is lost is known by its number. mend_* fill
// damaged columns from indexes and documents; rebuild_* make rows for what is named and cannot be
// read (R1: an entry that is too many harms nothing, one that is missing does). Then rows are
// inserted in the order of their foreign keys, under the store's own rules: what a rule refuses is
// quarantined in table set_aside, with the reason. At last the numbers of each table are set above
// all that can have been given (R17).
#include "recovery/salvage/saved_rows.hpp"

#include <sqlite3.h>

#include <algorithm>

#include "recovery/base/quarantine.hpp"
#include "recovery/salvage/mended_columns.hpp"
#include "recovery/salvage/transfer.hpp"
#include "store/base/clock.hpp"
#include "store/base/random.hpp"
#include "store/model/numbers.hpp"

namespace xlstore::recovery {

std::vector<Loss> Transfer::run()
{
    read_sequences();
    store_row();
    loose_rows("set_aside");  // those of today come after it
    read_numbered();
    read_products();
    mend_domains();
    rebuild_domains();
    mend_things();
    rebuild_things();
    domains();
    members();
    things();
    products();
    initial_devices();
    intents();
    settle_states();
    loose_rows("tombstone");
    loose_rows("history");
    retired_documents();
    undo_rows();
    sequences();
    return std::move(losses_);
}

void Transfer::lost(const std::string& what, const std::string& why)
{
    losses_.push_back({Code::row_lost, what, why});
}

void Transfer::rebuilt(const std::string& what, const std::string& why)
{
    losses_.push_back({Code::row_rebuilt, what, why});
}

// Neither table nor index could be read to its end. What was read all the same is back, also page
// by page: that it is lost is said only where there is nothing of it.
void Transfer::not_all(const std::string& what, bool any)
{
    if (!any)
        lost(what,
             "table and index are damaged, and no page has one: whether there were any, is not "
             "known");
    else
        rebuilt(
            what,
            "table and index are damaged: what could be read is back; whether there was more, is "
            "not known");
}

// Where to stop looking behind the damage.
std::int64_t Transfer::highest(const std::string& table) const
{
    const auto known = ids_.find(table);
    return known != ids_.end() ? known->second : ids_from_ + kIdsAhead;
}

bool Transfer::is_doubtful(const std::string& table, std::int64_t id) const
{
    const auto ids = doubtful_.find(table);
    return ids != doubtful_.end() && ids->second.contains(id);
}

void Transfer::note_id(const std::string& table, std::int64_t id)
{
    auto& most = ids_[table];
    if (id <= Numbers::kHighestId) most = std::max(most, id);
}

void Transfer::read_sequences()
{
    from_.rows_from_both_ends(
        "sqlite_sequence", "SELECT name, seq FROM sqlite_sequence", "rowid %s",
        [&](const Row& row) { sequences_[row.text("name")] = row.integer("seq"); });
}

// Its statement stays prepared: Db knows it by the address of its text. A row that was rebuilt
// may lack columns of those that were read.
Statement Transfer::inserting(const std::string& table, const Row& row)
{
    std::string names;
    std::string marks;
    for (const auto& [column, cell] : row.cells()) {
        names += (names.empty() ? "" : ", ") + column;
        marks += marks.empty() ? "?" : ", ?";
    }
    auto& sql = inserts_[table + " " + names];
    if (sql.empty()) sql = "INSERT INTO " + table + " (" + names + ") VALUES (" + marks + ")";
    auto statement = into_.prepare(sql.c_str());
    for (const auto& [column, cell] : row.cells()) {
        if (const auto* number = std::get_if<std::int64_t>(&cell))
            statement.bind(*number);
        else if (const auto* text = std::get_if<std::string>(&cell))
            statement.bind(*text);
        else
            statement.bind(nullptr);
    }
    return statement;
}

// False: the store's rules do not let it in, and it is quarantined.
bool Transfer::put(const std::string& table, const Row& row, const std::string& what)
{
    // R17: the table would go on above it.
    const auto id = row.cells().contains("id") ? row.integer("id") : 1;
    if (id <= 0 || id > Numbers::kHighestId) {
        quarantine_row(table, row, what, "its number was never given");
        return false;
    }
    try {
        inserting(table, row).run();
        return true;
    } catch (const DbError& e) {
        // What a rule, a key or a type is against; a full disk is no reason to go on.
        const int code = e.extended_code() & 0xff;
        if (code != SQLITE_CONSTRAINT && code != SQLITE_MISMATCH) throw;
        quarantine_row(table, row, what, e.reason());
        return false;
    }
}

void Transfer::quarantine_row(const std::string& table, const Row& row, const std::string& what,
                              const std::string& why)
{
    const bool of_domain = row.cells().contains("domain") && !row.is_null("domain");
    quarantine(into_, of_domain ? std::optional(DomainId(row.integer("domain"))) : std::nullopt,
               "row of " + table, why, row.json());
    losses_.push_back({Code::row_set_aside, what, why});
}

std::string Transfer::name_of(std::int64_t domain) const
{
    const auto at = domains_.find(domain);
    if (at == domains_.end()) return "incarnation " + std::to_string(domain);
    return "domain " + std::to_string(at->second.integer("domid")) + " (" +
           at->second.text("name") + ")";
}

std::string Transfer::name_of(const Row& thing) const
{
    return name_of(thing.integer("domain")) + ": " + thing.text("class") + "/" + thing.text("key");
}

// Of the store itself, what its CHECKs ask for, and numbers that the store can have given.
void Transfer::mend_store_row(Row& row)
{
    constexpr const char* kPruned = "history_pruned_below";
    Mending mending(row);
    if (row.integer("id") != 1) mending.set("id", std::int64_t{1}, "1 was taken");
    mending.one_of("durability", {"process", "power"}, "power");
    const auto lines = sequences_.find("history");
    const auto most = lines == sequences_.end()
                          ? Numbers::kHighestId
                          : std::clamp(lines->second, std::int64_t{0}, Numbers::kHighestId) + 1;
    if (const auto pruned = row.integer(kPruned); pruned < 0 || pruned > most)
        mending.set(kPruned, std::int64_t{0}, "0 was taken");
    if (mending.has("commits")) {
        const auto told = row.integer("commits");
        if (told >= 0 && told <= Numbers::kMostCommits)
            commits_ = told;
        else
            mending.set("commits", std::int64_t{0}, "that of the directory is taken");
    }
    tell_mended("the store's own row", row, mending.mended());
}

void Transfer::store_row()
{
    Row row;
    bool there = false;
    from_.rows_by_id("store", 1, [&](Row read) {
        if (there && read.integer("id") != 1) return;  // of two the one with its own number
        row = std::move(read);
        there = true;
    });
    if (!there) {
        row.set("id", std::int64_t{1});
        row.set("created_us", now_us());
        row.set("durability", "power");
        row.set("history_pruned_below", std::int64_t{0});
        rebuilt("the store's own row",
                "its durability is not known: 'power', the stronger one, was taken");
    }
    mend_store_row(row);
    row.set("uuid", random_uuid());  // R17: it is another database
    put("store", row, "the store's own row");
}

void Transfer::tell_mended(const std::string& what, const Row& row,
                           const std::vector<std::string>& mended)
{
    std::string why;
    for (const auto& words : mended)
        why += (why.empty() ? "" : "; ") + words;
    for (const auto& column : row.damaged())
        if (why.find(column + ":") == std::string::npos)
            why += (why.empty() ? "" : "; ") + column + ": it is not known any more";
    if (!why.empty()) rebuilt(what, "damaged: " + why);
}

bool Transfer::has_column(const char* table, const char* column)
{
    auto found =
        into_.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ?").bind(table).bind(column);
    return found.step();
}

// A table that nothing hangs on.
void Transfer::loose_rows(const std::string& table)
{
    bool any = false;
    const bool whole = from_.rows_by_id(table, highest(table), [&](Row row) {
        any = true;
        note_id(table, row.integer("id"));
        if (row.cells().contains("domain")) note_id("domain", row.integer("domain"));
        const auto what = table + " " + std::to_string(row.integer("id"));
        tell_mended(what, row, mend_columns(table, row));
        if (row.damaged().empty())
            put(table, row, what);
        else
            quarantine_row(table, row, what, "its column " + row.damaged().front() + " is damaged");
    });
    if (!whole) not_all("rows of " + table, any);
}

// R22. Their ids are those of incarnations.
void Transfer::retired_documents()
{
    if (!has_column("retired_document", "json")) return;  // a release that kept none
    loose_rows("retired_document");
    note_id("domain", ids_["retired_document"]);
}

// R22. Without the generations, which this salvage moves on.
void Transfer::undo_rows()
{
    if (!has_column("undo_row", "before")) return;  // a release that kept none
    loose_rows("undo_run");
    loose_rows("undo_row");
}

// R17: above all that was ever given.
void Transfer::sequences()
{
    for (const char* table :
         {"session", "domain", "tombstone", "thing", "intent", "set_aside", "history"}) {
        // As damaged as any other row: what no store gets to is none of its numbers.
        const auto told = sequences_[table];
        const auto known = std::max(ids_[table], told <= Numbers::kHighestId ? told : 0);
        const auto first = std::max(known, ids_from_) + kIdsAhead;
        into_.prepare("DELETE FROM sqlite_sequence WHERE name = ?").bind(table).run();
        into_.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)")
            .bind(table)
            .bind(first)
            .run();
    }
}

std::vector<Loss> bring_over(DamagedDatabase& from, Db& into, std::int64_t ids_from)
{
    return Transfer(from, into, ids_from).run();
}

}  // namespace xlstore::recovery
