// SPDX-License-Identifier: MIT
#include "store/core/entry_rows.hpp"

#include <set>

#include "store/base/clock.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

// libxl's default, when the member is absent, is the first vcpu alone.
void follow_vcpu(Db& db, DomainId domain, const ThingName& thing, bool present)
{
    const auto index = json_integer(thing.key);
    if (thing.device_class != "vcpus" || !index) return;
    std::string b_info;
    {
        auto row =
            db.prepare("SELECT text FROM document_member WHERE domain = ? AND key = 'b_info'")
                .bind(value_of(domain));
        if (!row.step()) return;
        b_info = row.text(0);
    }
    std::set<std::int64_t> available;
    const auto array = json_find(b_info, "avail_vcpus");
    if (!array) available.insert(0);
    for (const auto element : json_elements(array.value_or("[]")))
        if (const auto n = json_integer(element)) available.insert(*n);
    if (present)
        available.insert(*index);
    else
        available.erase(*index);
    std::string text = "[";  // ascending: libxl sizes the bitmap from the last element
    for (const auto n : available)
        text += (text.size() > 1 ? "," : "") + std::to_string(n);
    db.prepare("UPDATE document_member SET text = ? WHERE domain = ? AND key = 'b_info'")
        // libxl writes no empty bitmap.
        .bind(available.empty() ? json_without_member(b_info, "avail_vcpus")
                                : with_libxl_member("b_info", b_info, "avail_vcpus", text + "]"))
        .bind(value_of(domain))
        .run();
}

std::int64_t insert_entry_row(Db& db, DomainId domain, const ThingName& name,
                              std::string_view state, const std::string& json)
{
    db.prepare(
          "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
          "VALUES (?1, ?2, ?3, (SELECT coalesce(max(position) + 1, 0) FROM thing "
          "WHERE domain = ?1 AND class = ?2), 'qemu', ?4, ?5, ?6)")
        .bind(value_of(domain))
        .lend(name.device_class)
        .lend(name.key)
        .lend(state)
        .lend(json)
        .bind(now_us())
        .run();
    return db.last_insert_id();
}

std::optional<std::int64_t> entry_row_id(Db& db, DomainId domain, const ThingName& name)
{
    auto row = db.prepare("SELECT id FROM thing WHERE domain = ? AND class = ? AND key = ?")
                   .bind(value_of(domain))
                   .lend(name.device_class)
                   .lend(name.key);
    return row.step() ? std::optional(row.integer(0)) : std::nullopt;
}

std::int64_t next_made(Db& db, DomainId domain)
{
    auto row = db.prepare(
                     "SELECT 1 + max(coalesce((SELECT max(made) FROM thing WHERE domain = ?1), 0), "
                     "coalesce((SELECT max(made) FROM intent WHERE domain = ?1), 0))")
                   .bind(value_of(domain));
    row.step();
    return row.integer(0);
}

void update_entry_row(Db& db, std::int64_t thing, std::string_view state, const std::string& json)
{
    // A condition that names more than the one row makes SQLite read every row.
    db.prepare(XLSTORE_MUTATION("its own thing alone")
                   ? "UPDATE thing SET state = ?, json = ?, changed_us = ? WHERE ?4 = ?4"
                   : "UPDATE thing SET state = ?, json = ?, changed_us = ? WHERE id = ?4")
        .lend(state)
        .lend(json)
        .bind(now_us())
        .bind(thing)
        .run();
}

void write_made(Db& db, const Intent& intent)
{
    db.prepare(
          "UPDATE thing SET address = ?1, made = coalesce((SELECT made FROM intent WHERE id = ?2), "
          "made) WHERE id = ?3")
        .bind(intent.address.empty() ? std::nullopt : std::optional(intent.address))
        .bind(value_of(intent.id))
        .bind(intent.thing)
        .run();
}

}  // namespace xlstore
