// SPDX-License-Identifier: MIT
// The copy is made in the transaction that ends the domain: there is no moment in which neither has
// the document. What stands in no document, a thing that was only put into QEMU, is kept beside it
// as JSON. A document whose entry cannot be read is kept without those, because a damaged text must
// not keep a domain from being destroyed (R9): what the table refuses is kept in a form that it
// takes.
#include "store/keep/retired.hpp"

#include "store/base/clock.hpp"
#include "store/core/domain_word.hpp"
#include "store/operation/migration.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// Minified; nothing: there are none, or an entry's text is damaged, which keeps no domain from
// being destroyed.
std::optional<std::string> things_of(Db& db, const DomainRow& domain)
{
    auto things = json_minify(carried_text(db, domain), "things");
    if (!things) return std::nullopt;
    const auto list = json_find(*things, "things");
    if (!list || json_elements(*list).empty()) return std::nullopt;
    return *std::move(things);
}

// The table's CHECK reads up to a NUL, which only damage puts into a document: it is kept as the
// escape that a string has for it.
std::string with_nul_escaped(std::string_view json)
{
    std::string escaped;
    for (const char c : json) {
        if (c == '\0')
            escaped += "\\u0000";
        else
            escaped += c;
    }
    return escaped;
}

const char* ids_by(NamedBy by)
{
    switch (by) {
    case NamedBy::domid:
        return "SELECT id FROM retired_document WHERE domid = ?1 ORDER BY id DESC";
    case NamedBy::uuid:
        return "SELECT id FROM retired_document WHERE uuid = ?1 OR vm_uuid = ?1 ORDER BY id DESC";
    case NamedBy::name:
        break;
    }
    return "SELECT id FROM retired_document WHERE name = ?1 ORDER BY id DESC";
}

// The newest first.
std::vector<DomainId> ids_of(Db& db, std::string_view word)
{
    std::vector<DomainId> ids;
    const auto take = [&](Statement rows) {
        while (rows.step())
            ids.push_back(DomainId(rows.integer(0)));
    };
    if (const auto id = incarnation_of(word)) {
        take(db.prepare("SELECT id FROM retired_document WHERE id = ?1").bind(*id));
        return ids;
    }
    for (const auto& reading : readings_of(word)) {
        take(prepare_reading(db, ids_by(reading.by), reading));
        if (!ids.empty()) break;
    }
    return ids;
}

Error not_kept(Db& db, std::string_view word)
{
    const auto lives = find_domain(db, word);
    return Error(Errc::not_found,
                 "no retired document of a domain " + json_shown(word) + " is kept",
                 lives ? "the domain is not destroyed: 'xlstore export' prints its document"
                       : "'xlstore list --retired' shows those that are kept");
}

}  // namespace

void keep_document(Db& db, const DomainRow& domain, std::string_view why)
{
    const auto json = read_document(db, domain.id);
    if (json.size() <= std::string_view("{}").size()) return;
    db.prepare(
          "INSERT INTO retired_document (id, domid, uuid, vm_uuid, name, layout, layout_tight, "
          "created_us, born_us, retired_us, why, json, things) SELECT id, domid, uuid, vm_uuid, "
          "name, iif(layout IN ('yajl', 'json-c'), layout, 'yajl'), layout_tight IS 1, created_us, "
          "born_us, ?2, ?3, ?4, ?5 FROM domain WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM "
          "retired_document WHERE id = ?1)")
        .bind(value_of(domain.id))
        .bind(now_us())
        .bind(why)
        .bind(with_nul_escaped(json))
        .bind(things_of(db, domain))
        .run();
}

Result<RetiredDocument> find_retired(Db& db, std::string_view word)
{
    auto ids = ids_of(db, word);
    if (ids.empty()) return not_kept(db, word);
    RetiredDocument found;
    found.id = ids.front();
    found.others.assign(ids.begin() + 1, ids.end());
    auto row =
        db.prepare("SELECT layout, json, things, layout_tight FROM retired_document WHERE id = ?1")
            .bind(value_of(found.id));
    if (!row.step()) return not_kept(db, word);  // pruned meanwhile
    found.text = json_pretty(row.text(1), layout_of(row.text(0), row.integer(3) != 0));
    if (const auto things = row.maybe_text(2))
        found.things = json_pretty(*things, JsonLayout::yajl);
    return found;
}

}  // namespace xlstore
