// SPDX-License-Identifier: MIT
// Rows that have a number, by which others name them. Where row and index differ in it one of them
// is damaged, and either may be: the index's is taken only where a third witness says so, and no
// other row has it. Otherwise the row keeps its own (R1 R22): it has the data.
//   1. A row that the index has, under its number and with its values, is confirmed.
//   2. Of the others, one that the index has under another number, which no row has, gets that
//      one if its own is a confirmed row's, or a second index or other tables have it so.
//   3. What of the index is left and has the values of a row that keeps its number names none.
#include <algorithm>

#include "recovery/salvage/transfer.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

// Of some columns, which `names` has in a row of SQL.
std::string values_of(const Row& row, std::string_view names)
{
    std::string values;
    for (auto rest = names; !rest.empty();) {
        const auto end = rest.find(", ");
        const std::string name(rest.substr(0, end));
        values += json_quote(row.text(name)) + std::to_string(row.integer(name));
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
    }
    return values;
}

bool is_named(const std::set<std::pair<std::int64_t, std::string>>& named, std::int64_t id)
{
    const auto at = named.lower_bound({id, ""});
    return at != named.end() && at->first == id;
}

}  // namespace

void Transfer::read_numbered()
{
    read(sessions_, "session");
    read(domains_, "domain",
         {{"domain_uuid", "uuid", "uuid %s, id %s"},
          {"domain_living", "domid", "domid %s", " WHERE state <> 'destroyed'"},
          {{"document_member", "domain", "domain %s, rank %s"}, {"thing", "domain", "id %s"}}});
    read(intents_, "intent",
         {{"sqlite_autoindex_intent_1", "thing", "thing %s"},
          {"intent_domain", "domain", "domain %s, id %s"}});
    read(things_, "thing",
         {{"sqlite_autoindex_thing_1", "domain, class, key", "domain %s, class %s, key %s"},
          {"thing_order", "domain, class, position", "domain %s, class %s, position %s, id %s"},
          {{"product", "thing", "domain %s, kind %s, name %s"}, {"intent", "thing", "id %s"}}});
}

// Those first whose number an index confirms, so that no other takes it.
void Transfer::read(Rows& rows, const std::string& table, const NumberWitnesses& witnesses)
{
    auto named = named_by(table, witnesses.index);
    const auto second = named_by(table, witnesses.second);
    std::vector<Row> unconfirmed;
    const bool whole = from_.rows_by_id(table, highest(table), [&](Row row) {
        const auto id = row.integer("id");
        if (named.contains({id, values_of(row, witnesses.index.columns)}))
            rows.insert_or_assign(id, std::move(row));
        else
            unconfirmed.push_back(std::move(row));
    });
    if (!whole) damaged_.insert(table);
    mend_numbers(rows, unconfirmed, table, named, second, witnesses);
    std::set<std::string> kept;  // by rows that the index has under another number, or not at all
    for (const auto& row : unconfirmed)
        if (row.proved()) kept.insert(values_of(row, witnesses.index.columns));
    std::erase_if(named, [&](const Key& entry) { return kept.contains(entry.second); });
    std::ranges::stable_partition(unconfirmed, [&](const Row& row) {
        return second.contains({row.integer("id"), values_of(row, witnesses.second.columns)});
    });
    for (auto& row : unconfirmed) {
        const auto id = row.integer("id");
        if (rows.contains(id) && row.proved()) {
            quarantine_row(table, row, "row " + std::to_string(id) + " of table " + table,
                           "there is another with its number");
            continue;
        }
        // What an index names has not been deleted.
        if (!row.proved() && !is_named(named, id)) doubtful_[table].insert(id);
        rows.try_emplace(id, std::move(row));
    }
    for (const auto& [id, row] : rows)
        note_id(table, id);
}

// Two entries that claim one number are both there.
Transfer::Named Transfer::named_by(const std::string& table, const NamingIndex& index)
{
    Named named;
    if (index.name == nullptr) return named;
    from_.rows_from_both_ends(table,
                              "SELECT id, " + std::string(index.columns) + " FROM " + table +
                                  " INDEXED BY " + index.name + index.rows,
                              index.order, [&](const Row& row) {
                                  named.emplace(row.integer("id"), values_of(row, index.columns));
                              });
    return named;
}

std::set<std::int64_t> Transfer::named_in(const std::vector<NamingColumn>& columns)
{
    std::set<std::int64_t> ids;
    for (const auto& [table, column, order] : columns)
        from_.rows_from_both_ends(
            table, "SELECT " + std::string(column) + " FROM " + table + " NOT INDEXED", order,
            [&](const Row& row) { ids.insert(row.integer(column)); });
    return ids;
}

// `unconfirmed`: rows that the index has not under their own number.
void Transfer::mend_numbers(Rows& rows, std::vector<Row>& unconfirmed, const std::string& table,
                            const Named& named, const Named& second,
                            const NumberWitnesses& witnesses)
{
    std::map<std::int64_t, int> claims;  // on a number that no row has
    std::map<std::string, std::vector<std::int64_t>> missing;
    for (const auto& [id, values] : named) {
        if (rows.contains(id)) continue;
        ++claims[id];
        missing[values].push_back(id);
    }
    std::map<std::string, int> there;
    for (const auto& row : unconfirmed) {
        if (!row.proved()) continue;
        ++claims[row.integer("id")];
        ++there[values_of(row, witnesses.index.columns)];
    }
    std::optional<std::set<std::int64_t>> elsewhere;
    const auto is_proved = [&](const Row& row, std::int64_t id) {
        const auto own = row.integer("id");
        if (rows.contains(own)) return true;
        const auto values = values_of(row, witnesses.second.columns);
        if (second.contains({own, values}) != second.contains({id, values}))
            return second.contains({id, values});
        if (!elsewhere) elsewhere = named_in(witnesses.columns);
        return elsewhere->contains(id) && !elsewhere->contains(own);
    };
    std::erase_if(unconfirmed, [&](Row& row) {
        if (!row.proved()) return false;
        const auto values = values_of(row, witnesses.index.columns);
        const auto ids = missing.find(values);
        if (ids == missing.end() || ids->second.size() != 1 || there.at(values) != 1) return false;
        const auto id = ids->second.front();
        const auto own = row.integer("id");
        if (claims.at(id) != 1 || !is_proved(row, id)) return false;
        --claims.at(own);
        rebuilt("row " + std::to_string(own) + " of table " + table,
                "damaged: id: " + std::to_string(id) + ", that of the index, was taken");
        row.set("id", id);
        rows.insert_or_assign(id, std::move(row));
        return true;
    });
}

}  // namespace xlstore::recovery
