// SPDX-License-Identifier: MIT
// Things, their products and the intents on them. R1: an entry that is named by an index alone is
// made again from its key and from the products that it had. An intent comes over only whole, with
// its thing; without one its thing is called present, never absent, and pass 5 asks QEMU.
#include <algorithm>

#include "recovery/base/quarantine.hpp"
#include "recovery/salvage/mended_columns.hpp"
#include "recovery/salvage/mended_row.hpp"
#include "recovery/salvage/transfer.hpp"
#include "store/base/clock.hpp"
#include "store/classes/class_rebuild.hpp"
#include "store/model/device_class.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore::recovery {

std::string Transfer::what_of_intent(const Row& row) const
{
    return name_of(row.integer("domain")) + ": intent " + std::to_string(row.integer("id")) + " (" +
           row.text("operation") + ")";
}

// By their things.
std::map<std::int64_t, const Row*> Transfer::mend_intents()
{
    std::map<std::int64_t, const Row*> open;
    for (auto& [id, row] : intents_) {
        if (is_doubtful("intent", id) || !row.damaged().empty()) continue;  // it is quarantined
        const auto mended = mend_columns("intent", row);
        tell_mended(what_of_intent(row), row, mended);
        open.emplace(row.integer("thing"), &row);
    }
    return open;
}

// By a thing's number. Of a damaged index it may be more than one.
std::map<std::int64_t, std::set<std::int64_t>> Transfer::domains_in_order()
{
    std::map<std::int64_t, std::set<std::int64_t>> domains;
    from_.rows_from_both_ends("thing", "SELECT id, domain FROM thing INDEXED BY thing_order",
                              "domain %s, class %s, position %s, id %s", [&](const Row& row) {
                                  domains[row.integer("id")].insert(row.integer("domain"));
                              });
    return domains;
}

// Of its open intent, or what it is made of.
std::optional<std::int64_t> Transfer::domain_of_parts(std::int64_t thing, const Row* intent) const
{
    if (intent != nullptr) return intent->integer("domain");
    const auto product = std::ranges::find_if(
        products_, [&](const Row& row) { return row.integer("thing") == thing; });
    if (product == products_.end()) return std::nullopt;
    return product->integer("domain");
}

bool Transfer::is_there(std::int64_t domain) const
{
    return domains_.contains(domain) && !is_over(domain);
}

namespace {

bool has_name(const Row& thing, const Row& entry)
{
    return thing.integer("domain") == entry.integer("domain") &&
           thing.text("class") == entry.text("class") && thing.text("key") == entry.text("key");
}

// What an index has of that row: of several one that agrees with it, or none.
const Row* entry_of(const Row& thing, const std::vector<Row>& entries)
{
    if (entries.size() == 1) return &entries.front();
    const auto same =
        std::ranges::find_if(entries, [&](const Row& entry) { return has_name(thing, entry); });
    return same == entries.end() ? nullptr : &*same;
}

}  // namespace

void Transfer::mend_things()
{
    std::map<std::int64_t, std::vector<Row>> index;
    from_.rows_from_both_ends(
        "thing", "SELECT id, domain, class, key FROM thing INDEXED BY sqlite_autoindex_thing_1",
        "domain %s, class %s, key %s", [&](const Row& row) {
            auto& entries = index[row.integer("id")];
            if (std::ranges::none_of(entries, [&](const Row& e) { return has_name(e, row); }))
                entries.push_back(row);
        });
    const auto order = domains_in_order();
    const auto open = mend_intents();
    for (auto& [id, row] : things_) {
        ThingWitness witness;
        const auto intent = open.find(id);
        if (const auto* entry = entry_of(row, index[id])) {
            witness.index_domain = entry->integer("domain");
            witness.index_class = entry->text("class");
            witness.index_key = entry->text("key");
            const auto at = order.find(id);
            witness.other_domain =
                at != order.end() && at->second.size() == 1
                    ? std::optional(*at->second.begin())
                    : domain_of_parts(id, intent == open.end() ? nullptr : intent->second);
            witness.has_own_domain = is_there(row.integer("domain"));
            witness.may_be_moved = is_there(*witness.index_domain) && is_first_of_name(*entry);
        }
        if (intent != open.end()) {
            witness.operation = intent->second->text("operation");
            witness.image = intent->second->text(
                intent->second->is_null("image_after") ? "image_before" : "image_after");
        }
        witness.products = products_of(id);
        const auto was = row.text("json");
        auto mended = mend_thing(row, witness);
        if (row.text("json") != was && !was.empty())  // R22
            quarantine(into_, DomainId(row.integer("domain")),
                       "entry " + row.text("class") + "/" + row.text("key"), "its text was damaged",
                       was);
        tell_mended(name_of(row), row, mended);
    }
}

// A CD drive whose medium was changed says so in history.
std::set<Transfer::Key> Transfer::changed_drives()
{
    std::set<Key> drives;  // by domain and key
    from_.rows_from_both_ends(
        "history",
        "SELECT domain, key FROM history NOT INDEXED WHERE class = 'disks' AND "
        "operation IN ('change', 'adopt') AND domain IS NOT NULL AND key IS NOT NULL",
        "id %s", [&](const Row& row) { drives.emplace(row.integer("domain"), row.text("key")); });
    return drives;
}

// R1: an index that names a thing says enough for an entry.
void Transfer::rebuild_things()
{
    if (!damaged_.contains("thing")) return;
    const auto drives = changed_drives();
    const bool all_named = from_.rows_from_both_ends(
        "thing", "SELECT id, domain, class, key FROM thing INDEXED BY sqlite_autoindex_thing_1",
        "domain %s, class %s, key %s", [&](const Row& row) {
            const auto id = row.integer("id");
            const auto* of = find_device_class(row.text("class"));
            note_id("thing", id);
            // Also where a damaged entry has another number than its row.
            if (things_.contains(id) || is_over(row.integer("domain")) || !is_first_of_name(row))
                return;
            if (of == nullptr) {
                lost(name_of(row), "its row was damaged, and its class is not known");
                return;
            }
            Row thing = row;
            const auto made_of = products_of(id);
            // Only what is QEMU's is made of something there, or changed by an intent. Of a USB
            // controller that alone tells.
            const bool always = of->primary == Primary::qemu && of->name != "usbctrls";
            const bool in_qemu = always || !made_of.empty() ||
                                 (of->key == KeyRule::vdev &&
                                  drives.contains(Key(row.integer("domain"), row.text("key"))));
            const auto json = of->key == KeyRule::given
                                  ? found_entry(row.text("key"), made_of)
                                  : element_of_key(*of, row.text("key"), in_qemu);
            thing.set("position", id);  // in the order in which they came
            thing.set("primary_at", std::string(primary_name(thing_primary(*of, json, {}))));
            thing.set("state", "present");
            thing.set("json", json);
            thing.set("changed_us", now_us());
            rebuilt(name_of(thing), "the entry has its key alone");
            things_.emplace(id, std::move(thing));
        });
    if (!all_named) not_all("entries", !things_.empty());
}

void Transfer::things()
{
    for (auto& [id, row] : things_) {
        const bool doubtful = is_doubtful("thing", id);
        if (doubtful && (is_over(row.integer("domain")) || !is_first_of_name(row))) continue;
        const auto state = row.text("state");
        if (doubtful) row.set("state", "stale");
        if (row.text("class").empty() || row.text("key").empty()) {
            quarantine_row("thing", row, name_of(row), "which thing it is is not known");
            continue;
        }
        if (!put("thing", row, name_of(row))) continue;
        kept_things_.insert(id);
        if (doubtful)
            rebuilt(name_of(row), kDoubtful + ("it was " + state) +
                                      ", and is called stale until its QEMU is seen to have it");
    }
}

// Of a thing that was added again the row of before may have been read, too.
bool Transfer::is_first_of_name(const Row& row) const
{
    return std::ranges::none_of(things_, [&](const auto& other) {
        return other.first != row.integer("id") && !is_doubtful("thing", other.first) &&
               has_name(other.second, row);
    });
}

void Transfer::read_products()
{
    std::set<std::string> found;
    const auto claim = [&](Row& row) {
        const auto thing = things_.find(row.integer("thing"));
        const bool stale = thing != things_.end() && thing->second.text("state") == "stale";
        if (from_.has_column("product", "claimed"))  // an older release's has none
            row.set("claimed", std::int64_t{stale ? 0 : 1});
    };
    const bool has_image = from_.has_column("product", "image");
    const auto take = [&](Row row) {
        const auto mended = mend_columns("product", row);
        if (!mended.empty()) claim(row);
        const auto name = std::to_string(row.integer("thing")) + " " +
                          (has_image ? row.text("image") : "") + " " + row.text("kind") + " " +
                          row.text("name");
        if (!found.insert(name).second) return;
        tell_mended(what_of_product(row), row, mended);
        products_by_thing_[row.integer("thing")].push_back(
            Product{row.text("kind"), row.text("name"), std::nullopt});
        products_.push_back(std::move(row));
    };
    const std::string names =
        has_image ? "domain, kind, name, thing, image" : "domain, kind, name, thing";
    const std::string order = has_image ? ", thing %s, image %s" : "";
    const bool whole = from_.rows_from_both_ends(
        "product",
        "SELECT " + names + (has_image ? ", claimed, seq, undo, asked_us" : "") +
            " FROM product NOT INDEXED",
        "domain %s, kind %s, name %s" + order, take);
    for (const auto& row : from_.scanned("product"))
        if (row.proved()) take(row);
    // The index has the names, which is what matters (R1); order and undo are those of the
    // kind.
    const auto take_name = [&](Row row) {
        claim(row);
        take(std::move(row));
    };
    if (!whole &&
        !from_.rows_from_both_ends(
            "product", "SELECT " + names + " FROM product INDEXED BY product_thing",
            std::string("thing %s, domain %s, kind %s, name %s") + (has_image ? ", image %s" : ""),
            take_name))
        not_all("what things are made of in QEMU", !products_.empty());
}

std::vector<Product> Transfer::products_of(std::int64_t thing) const
{
    const auto found = products_by_thing_.find(thing);
    if (found == products_by_thing_.end()) return {};
    auto products = found->second;
    order_by_kind(products);
    return products;
}

void Transfer::products()
{
    for (const auto& row : products_)
        put("product", row, what_of_product(row));
}

std::string Transfer::what_of_product(const Row& row) const
{
    return name_of(row.integer("domain")) + ": QEMU's " + row.text("kind") + " " +
           qmp::printable(row.text("name"));
}

// R19: without all of them nothing is known to be initial. A row that is mended, or that a rule
// keeps out, counts as one that is missing: what it was is not proved.
void Transfer::initial_devices()
{
    if (!has_column("initial_device", "kind")) return;  // a release that kept them elsewhere
    std::set<std::string> taken;
    std::set<std::int64_t> unproved;
    const auto take = [&](Row row) {
        const auto domain = row.integer("domain");
        const auto mended = mend_columns("initial_device", row);
        const auto what = name_of(domain) + ": initial " + row.text("kind") + " " +
                          qmp::printable(row.text("name"));
        if (!kept_.contains(domain) || !taken.insert(what).second) return;
        tell_mended(what, row, mended);
        if (!put("initial_device", row, what) || !mended.empty()) unproved.insert(domain);
    };
    const bool whole = from_.rows_from_both_ends(
        "initial_device", "SELECT domain, kind, name, file FROM initial_device",
        "domain %s, kind %s, name %s", take);
    for (const auto& row : from_.scanned("initial_device"))
        if (row.proved()) take(row);
    const std::string why = "what QEMUs were started with is read from their command lines";
    if (!whole) {
        lost("initial devices", why);
        unproved = kept_;
    }
    for (const auto domain : unproved) {
        if (whole) lost(name_of(domain) + ": initial devices", why);
        into_
            .prepare(
                "UPDATE domain SET initial_from = 'unknown' WHERE id = ? AND initial_from IS NOT "
                "NULL")
            .bind(domain)
            .run();
    }
}

void Transfer::intents()
{
    std::set<std::int64_t> open;
    for (auto& [id, row] : intents_) {
        const auto what = what_of_intent(row);
        if (is_doubtful("intent", id)) {
            quarantine_row("intent", row, what, "nothing proves that it had not been settled");
            continue;
        }
        if (!row.damaged().empty()) {
            quarantine_row("intent", row, what,
                           "its column " + row.damaged().front() + " is damaged");
            continue;
        }
        need_session(row, "owner");
        if (!kept_things_.contains(row.integer("thing")))
            quarantine_row("intent", row, what, "its thing has no row");
        else if (put("intent", row, what))
            open.insert(row.integer("thing"));
    }
    if (damaged_.contains("intent"))
        from_.rows_from_both_ends(
            "intent", "SELECT id, thing FROM intent INDEXED BY sqlite_autoindex_intent_1",
            "thing %s", [&](const Row& row) {
                note_id("intent", row.integer("id"));
                const bool is_read = std::ranges::any_of(intents_, [&](const auto& intent) {
                    return !is_doubtful("intent", intent.first) &&
                           intent.second.integer("thing") == row.integer("thing");
                });
                if (is_read || intents_.contains(row.integer("id"))) return;
                intents_.emplace(row.integer("id"), row);
                const auto thing = things_.find(row.integer("thing"));
                lost((thing == things_.end() ? "" : name_of(thing->second) + ": ") + "intent " +
                         std::to_string(row.integer("id")),
                     "its row was damaged");
            });
    for (const auto id : kept_things_) {
        const auto& thing = things_.at(id);
        const auto state = thing.text("state");
        if (state == "present" || state == "stale" || open.contains(id)) continue;
        // Never towards absence; pass 5 asks QEMU.
        into_.prepare("UPDATE thing SET state = 'present' WHERE id = ?").bind(id).run();
        rebuilt(name_of(thing), "it was " + state + ", and the intent is lost: called present");
    }
}

}  // namespace xlstore::recovery
