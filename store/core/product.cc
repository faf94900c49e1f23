// SPDX-License-Identifier: MIT
// Rows say what a thing is made of, in the order of making and with what takes it out; where there
// are none, or rows of release 0.1 that lack order and undo, the thing's class tells. Before rows
// are written, each name is looked for among the claims of other things (R16): of two entries with
// one product one would take out what is the other's. The index of the table holds the same rule
// against SQL.
#include "store/core/product.hpp"

#include <algorithm>
#include <optional>

#include "store/base/clock.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/class_rebuild.hpp"
#include "store/core/domain.hpp"
#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

std::optional<Command> undo_from(const std::optional<std::string>& text)
{
    if (!text) return std::nullopt;
    const auto minified = json_minify(*text, "undo");
    auto command = minified ? command_from_json(*minified) : Result<Command>(minified.error());
    return command ? std::optional(*std::move(command)) : std::nullopt;
}

std::string shown(const Product& product)
{
    return "QEMU's " + product.kind + " " + json_shown(product.name);
}

// The other thing that claims this name; nothing: it is free.
std::optional<std::string> owner_of(Db& db, DomainId domain, std::int64_t thing,
                                    const Product& product)
{
    auto taken = db.prepare(
                       "SELECT t.class || '/' || t.key FROM product p JOIN thing t "
                       "ON t.id = p.thing WHERE p.domain = ? AND p.kind = ? AND "
                       "p.name = ? AND p.thing <> ? AND p.claimed = 1")
                     .bind(value_of(domain))
                     .bind(product.kind)
                     .bind(product.name)
                     .bind(thing);
    if (!taken.step()) return std::nullopt;
    return taken.text(0);
}

// An entry without rows (of an imported document, or an older release) has by its class what it is
// made of. That matters where another key gives the same name: libxl's ids of PCI devices.
std::optional<std::string> unrecorded_owner_of(Db& db, DomainId domain, std::int64_t thing,
                                               const Product& product)
{
    if (!product.name.starts_with("pci-pt-")) return std::nullopt;
    auto rows = db.prepare(
                      "SELECT id, key, json FROM thing WHERE domain = ? AND class = 'pcidevs' AND "
                      "id <> ? AND state <> 'stale' AND primary_at = 'qemu' AND "
                      "NOT EXISTS (SELECT 1 FROM product p WHERE p.thing = thing.id)")
                    .bind(value_of(domain))
                    .bind(thing);
    while (rows.step()) {
        ThingRow other;
        other.name = ThingName{"pcidevs", rows.text(1)};
        other.json = rows.text(2);
        if (has_product(products_of(other), product)) return other.name.text();
    }
    return std::nullopt;
}

Result<void> all_free(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                      const std::vector<Product>& products)
{
    if (XLSTORE_MUTATION("id of another thing")) return {};
    for (const auto& product : products) {
        auto owner = owner_of(db, domain, thing, product);
        if (!owner) owner = unrecorded_owner_of(db, domain, thing, product);
        if (owner)
            return Error(Errc::exists,
                         name.text() + ": " + shown(product) + " belongs to " + *owner + " (R16)",
                         "nothing was changed; choose another id, or detach that one first");
    }
    return {};
}

// A detach claims what its entry has already: the row is there, and gets what the plan says of it.
void insert_products(Db& db, DomainId domain, std::int64_t thing, const char* image,
                     const std::vector<Product>& products)
{
    std::int64_t seq = 0;
    for (const auto& product : products)
        db.prepare(
              "INSERT INTO product (domain, kind, name, thing, image, seq, undo, claimed) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
              "claimed = excluded.claimed, seq = excluded.seq, undo = excluded.undo")
            .bind(value_of(domain))
            .lend(product.kind)
            .lend(product.name)
            .bind(thing)
            .lend(std::string_view(image))
            .bind(++seq)
            .lend(product.undo ? std::optional(command_to_json(*product.undo)) : std::nullopt)
            // The trigger that keeps the rule against SQL, too, is disabled with the guard.
            .bind(std::int64_t{XLSTORE_MUTATION("id of another thing") ? 0 : 1})
            .run();
}

std::vector<Product> recorded_products(Db& db, const ThingRow& entry)
{
    auto rows = db.prepare(
                      "SELECT DISTINCT kind, name, undo, seq FROM product WHERE thing = ? "
                      "ORDER BY image DESC, seq, kind, name")
                    .bind(entry.id);
    std::vector<Product> products;
    bool ordered = true;
    while (rows.step()) {
        Product product{rows.text(0), rows.text(1), undo_from(rows.maybe_text(2))};
        ordered = ordered && rows.integer(3) != 0;
        if (!has_product(products, product)) products.push_back(std::move(product));
    }
    if (ordered) return products;
    // Rows of a store of release 0.1 say neither order nor undo.
    auto told = products_of(entry);
    const bool same = told.size() == products.size() &&
                      std::all_of(told.begin(), told.end(),
                                  [&](const Product& p) { return has_product(products, p); });
    if (same) return told;
    order_by_kind(products);
    return products;
}

}  // namespace

MadeOf made_of(Db& db, DomainId domain, const ThingRow& entry)
{
    MadeOf made;
    auto products = recorded_products(db, entry);
    made.recorded = !products.empty();
    if (!made.recorded) products = products_of(entry);
    for (auto& product : products) {
        const bool other = owner_of(db, domain, entry.id, product).has_value();
        (other ? made.of_others : made.products).push_back(with_undo(std::move(product)));
    }
    return made;
}

std::string owners_among(Db& db, DomainId domain, const ThingName& thing,
                         const std::vector<Product>& products)
{
    const auto entry = read_thing(db, domain, thing);
    const std::int64_t own = entry ? entry->id : 0;
    std::string text;
    for (const auto& product : products) {
        auto owner = owner_of(db, domain, own, product);
        if (!owner) owner = unrecorded_owner_of(db, domain, own, product);
        if (owner)
            text += (text.empty() ? "" : ", ") + product.kind + " " + json_shown(product.name) +
                    " belongs to " + *owner;
    }
    return text;
}

Result<void> claim_products(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                            const std::vector<Product>& products)
{
    if (auto free = all_free(db, domain, thing, name, products); !free) return free;
    insert_products(db, domain, thing, "", products);
    return {};
}

Result<void> replace_products(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                              const std::vector<Product>& products)
{
    if (auto free = all_free(db, domain, thing, name, products); !free) return free;
    db.prepare("DELETE FROM product WHERE thing = ?").bind(thing).run();
    insert_products(db, domain, thing, "", products);
    return {};
}

Result<void> claim_second_image(Db& db, DomainId domain, std::int64_t thing, const ThingName& name,
                                const std::vector<Product>& products)
{
    if (auto free = all_free(db, domain, thing, name, products); !free) return free;
    db.prepare("UPDATE product SET image = 'before' WHERE thing = ?").bind(thing).run();
    insert_products(db, domain, thing, "after", products);
    return {};
}

void keep_products_of_one(Db& db, std::int64_t thing, bool second_image)
{
    {
        // Most things have no such rows, and to write costs more than to look.
        auto row = db.prepare(
                         "SELECT 1 FROM product WHERE thing = ? AND (image <> '' OR asked_us IS "
                         "NOT NULL) LIMIT 1")
                       .bind(thing);
        if (!row.step()) return;
    }
    db.prepare("DELETE FROM product WHERE thing = ? AND image = ?")
        .bind(thing)
        .bind(std::string_view(second_image ? "before" : "after"))
        .run();
    // A row that says so already is left alone: its page is not written once more.
    db.prepare(
          "UPDATE product SET image = '', asked_us = NULL WHERE thing = ? AND (image <> '' OR "
          "asked_us IS NOT NULL)")
        .bind(thing)
        .run();
}

std::vector<Product> asked_products(Db& db, std::int64_t thing)
{
    auto rows =
        db.prepare("SELECT kind, name FROM product WHERE thing = ? AND asked_us IS NOT NULL")
            .bind(thing);
    std::vector<Product> asked;
    while (rows.step())
        asked.push_back(Product{rows.text(0), rows.text(1), std::nullopt});
    return asked;
}

void write_asked(Db& db, std::int64_t thing, const std::vector<Product>& asked)
{
    for (const auto& product : asked_products(db, thing)) {
        if (has_product(asked, product)) continue;
        db.prepare("UPDATE product SET asked_us = NULL WHERE thing = ? AND kind = ? AND name = ?")
            .bind(thing)
            .bind(product.kind)
            .bind(product.name)
            .run();
    }
    for (const auto& product : asked)
        db.prepare(
              "UPDATE product SET asked_us = coalesce(asked_us, ?) WHERE thing = ? AND kind = ? "
              "AND name = ?")
            .bind(now_us())
            .bind(thing)
            .bind(product.kind)
            .bind(product.name)
            .run();
}

}  // namespace xlstore
