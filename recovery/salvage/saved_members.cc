// SPDX-License-Identifier: MIT
// The members of documents. They are read by table, then by domain, then from pages that no tree
// leads to, and the index supplies keys, and the domain of a row that has another. Where the index
// names a member and no row has it, an array of a device class gets its place back, without its
// text, since the things have it; any other is noted as lost (1011).
#include <algorithm>

#include "recovery/base/quarantine.hpp"
#include "recovery/salvage/mended_row.hpp"
#include "recovery/salvage/transfer.hpp"
#include "store/model/device_class.hpp"
#include "store/qmp/protocol.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

void Transfer::read_member_keys()
{
    from_.rows_from_both_ends(
        "document_member",
        "SELECT domain, rank, key FROM document_member "
        "INDEXED BY sqlite_autoindex_document_member_2",
        "domain %s, key %s", [&](const Row& row) {
            member_keys_[{row.integer("domain"), row.integer("rank")}] = row.text("key");
        });
    // Without the rank SQLite reads the index alone, also what no row is found for.
    from_.rows_from_both_ends(
        "document_member",
        "SELECT domain, key FROM document_member INDEXED BY sqlite_autoindex_document_member_2",
        "domain %s, key %s",
        [&](const Row& row) { members_named_.emplace(row.integer("domain"), row.text("key")); });
}

bool Transfer::mend_key(Row& row) const
{
    const auto key = member_keys_.find({row.integer("domain"), row.integer("rank")});
    return key != member_keys_.end() && mend_member(row, key->second);
}

namespace {

constexpr std::size_t kMostMended = 1'000;  // more than that are missing where the index is damaged

std::pair<std::int64_t, std::string> key_of(const Row& member)
{
    return {member.integer("domain"), member.text("key")};
}

// Is that domain the one of the row before, or behind, the one at `i`?
bool lies_beside(const std::vector<Row>& rows, std::size_t i, std::int64_t domain)
{
    return (i > 0 && rows[i - 1].integer("domain") == domain) ||
           (i + 1 < rows.size() && rows[i + 1].integer("domain") == domain);
}

}  // namespace

// A member that the index names and no row has is that of a row among the domain's own which has
// another domain, under which the index has none, or there is one more. `rows`: in their order in
// the table. False: of one that the index names there is no row.
bool Transfer::mend_member_domains(std::vector<Row>& rows)
{
    std::map<Key, int> claims;
    for (const auto& row : rows)
        ++claims[key_of(row)];
    std::vector<Key> missing;
    for (const auto& key : members_named_)
        if (!claims.contains(key)) missing.push_back(key);
    if (missing.size() > kMostMended) return false;
    std::vector<std::size_t> suspects;
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (claims.at(key_of(rows[i])) > 1 || !members_named_.contains(key_of(rows[i])))
            suspects.push_back(i);
    bool all = true;
    for (const auto& [domain, key] : missing) {
        std::vector<std::size_t> there;
        for (const auto i : suspects) {
            const auto own = key_of(rows[i]);
            if (own.second == key && lies_beside(rows, i, domain) &&
                (claims.at(own) > 1 || !lies_beside(rows, i, own.first)))
                there.push_back(i);
        }
        all = all && there.size() == 1;
        if (there.size() != 1) continue;
        auto& row = rows[there.front()];
        --claims.at(key_of(row));
        moved_members_.insert(row.cells());
        row.set("domain", domain);
        ++claims[key_of(row)];
        rebuilt(name_of(domain) + ": member " + qmp::printable(key),
                "damaged: domain: that of the index was taken");
    }
    return all;
}

// True: of none that table or index names anything is missing.
bool Transfer::read_members(std::map<Key, Row>& found)
{
    read_member_keys();
    std::vector<Row> read;
    std::set<Key> told;
    const auto take = [&](Row row) {
        if (mend_key(row) && told.insert(key_of(row)).second)
            rebuilt(name_of(row.integer("domain")) + ": member " + qmp::printable(row.text("key")),
                    "damaged: key: that of the index was taken");
        read.push_back(std::move(row));
    };
    const std::string select =
        "SELECT domain, rank, key, key_text, text FROM document_member NOT INDEXED";
    const bool whole =
        from_.rows_from_both_ends("document_member", select, "domain %s, rank %s", take);
    if (!whole) {
        for (const auto& [domain, row] : domains_)
            from_.rows_from_both_ends("document_member",
                                      select + " WHERE domain = " + std::to_string(domain),
                                      "rank %s", take);
        std::set<std::map<std::string, Value>> once;  // it was read from several sides
        std::erase_if(read, [&](const Row& row) { return !once.insert(row.cells()).second; });
    }
    const bool placed = mend_member_domains(read);
    for (auto& row : read) {
        const Key key(row.integer("domain"), row.text("key"));
        const auto [at, is_first] = found.try_emplace(key, row);
        if (!is_first && at->second.cells() != row.cells())
            quarantine_row("document_member", row,
                           name_of(key.first) + ": member " + qmp::printable(key.second),
                           "there is another of that name");
    }
    return whole && placed;
}

void Transfer::members()
{
    std::map<Key, Row> found;  // by domain and key
    const bool whole = read_members(found);
    const bool all = take_scanned_members(found) && whole;
    std::set<std::pair<std::int64_t, std::int64_t>> ranks;  // of each domain
    for (auto& [key, row] : found) {
        const auto what = name_of(key.first) + ": member " + qmp::printable(key.second);
        auto rank = row.integer("rank");
        while (!ranks.emplace(key.first, rank).second)
            ++rank;
        if (rank != row.integer("rank")) rebuilt(what, "damaged: rank: it has a new one");
        row.set("rank", rank);
        put("document_member", row, what);
    }
    if (all) return;
    const bool all_named = from_.rows_from_both_ends(
        "document_member",
        "SELECT domain, key FROM document_member INDEXED BY sqlite_autoindex_document_member_2",
        "domain %s, key %s", [&](const Row& row) {
            const Key key(row.integer("domain"), row.text("key"));
            if (!kept_.contains(key.first) || !found.emplace(key, row).second) return;
            const std::string what = name_of(key.first) + ": member " + qmp::printable(key.second);
            const auto& classes = device_classes();
            const auto of = std::ranges::find(classes, key.second, &DeviceClass::name);
            if (of == classes.end() || !of->in_document) {
                lost(what, "its row was damaged");
                note_lost_member(key.first, key.second);
                return;
            }
            // The place of an array: there is no more to it. Where a document of libxl has it.
            Row member = row;
            std::int64_t rank = 10 * (3 + (of - classes.begin()));
            while (!ranks.emplace(key.first, rank).second)
                ++rank;
            member.set("rank", rank);
            member.set("key_text", json_quote(key.second));
            member.set("text", std::monostate());
            put("document_member", member, what);
        });
    if (all_named) return;
    not_all("members of documents", !found.empty());
    for (const auto id : kept_)
        if (!is_over(id) && !found.contains(Key(id, "b_info"))) note_lost_member(id, "b_info");
}

// Pass 1 goes on saying so until the document has it again (1011).
void Transfer::note_lost_member(std::int64_t domain, const std::string& key)
{
    quarantine(into_, DomainId(domain), "member " + qmp::printable(key), "its row was damaged", "");
}

// True: there is none that the trees do not lead to.
bool Transfer::take_scanned_members(std::map<Key, Row>& found)
{
    bool none = true;
    for (const bool proved : {true, false})
        for (auto row : from_.scanned("document_member")) {
            if (row.proved() != proved || !kept_.contains(row.integer("domain")) ||
                moved_members_.contains(row.cells()))
                continue;
            (void)mend_key(row);
            const Key key(row.integer("domain"), row.text("key"));
            if (!found.emplace(key, row).second) continue;
            none = false;
            if (!proved)
                rebuilt(name_of(key.first) + ": member " + qmp::printable(key.second),
                        std::string(kDoubtful) + "it may be an older text");
        }
    return none;
}

}  // namespace xlstore::recovery
