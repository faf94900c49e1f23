// SPDX-License-Identifier: MIT
// The members of documents. They are read by table, then by domain, then from pages that no tree
// leads to, and the index supplies the keys. Where the index names a member and no row has it, an
// array of a device class gets its place back, without its text, since the things have it; any
// other is noted as lost (1011).
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
}

bool Transfer::mend_key(Row& row) const
{
    const auto key = member_keys_.find({row.integer("domain"), row.integer("rank")});
    return key != member_keys_.end() && mend_member(row, key->second);
}

void Transfer::members()
{
    std::map<Key, Row> found;  // by domain and key
    read_member_keys();
    const auto take = [&](Row row) {
        if (mend_key(row) && !found.contains(Key(row.integer("domain"), row.text("key"))))
            rebuilt(name_of(row.integer("domain")) + ": member " + qmp::printable(row.text("key")),
                    "damaged: key: that of the index was taken");
        found.insert_or_assign(Key(row.integer("domain"), row.text("key")), std::move(row));
    };
    const std::string select =
        "SELECT domain, rank, key, key_text, text FROM document_member NOT INDEXED";
    const bool whole =
        from_.rows_from_both_ends("document_member", select, "domain %s, rank %s", take);
    if (!whole)
        for (const auto& [domain, row] : domains_)
            from_.rows_from_both_ends("document_member",
                                      select + " WHERE domain = " + std::to_string(domain),
                                      "rank %s", take);
    const bool all = take_scanned_members(found) && whole;
    std::set<std::pair<std::int64_t, std::int64_t>> ranks;  // of each domain
    for (const auto& [key, row] : found) {
        ranks.emplace(key.first, row.integer("rank"));
        put("document_member", row, name_of(key.first) + ": member " + qmp::printable(key.second));
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
            if (row.proved() != proved || !kept_.contains(row.integer("domain"))) continue;
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
