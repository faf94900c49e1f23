// SPDX-License-Identifier: MIT
// Each column is held against what it may be; one that cannot be is replaced, and the words for it
// are kept for the report. Where three witnesses tell (row, index, document) two that agree are
// right; where two contradict each other and no third tells, the row keeps what it can be; where
// none tells, the value is taken that says the least: a registration that is not whole goes as a
// whole, an epoch becomes one that no caller has seen.
#include "recovery/salvage/mended_row.hpp"

#include <algorithm>
#include <array>

#include "recovery/salvage/mended_columns.hpp"
#include "store/classes/class_rebuild.hpp"
#include "store/model/device_class.hpp"
#include "store/model/document.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::int64_t kMostDomid = 32'751;  // Xen: DOMID_FIRST_RESERVED - 1

std::optional<std::string> sound_uuid(const std::optional<std::string>& uuid)
{
    return uuid ? normal_uuid(*uuid) : std::nullopt;
}

// Of three witnesses (the row, an index, the document) two that agree are right. Where none has one
// the domain is one without, as Xen's stub of domain 0: its document and entries stay (R1).
void mend_uuid(Mending& mending, const Row& row, const DomainWitness& witness)
{
    const auto own = sound_uuid(row.text("uuid"));
    const auto index = sound_uuid(witness.index_uuid);
    const auto document = sound_uuid(witness.document_uuid);
    // A letter that turned into a capital one: no release writes it, and no look-up finds it.
    if (own && *own != row.text("uuid")) mending.set("uuid", *own, "its letters are small ones");
    if (own && (own == index || own == document || (!index && !document))) return;
    const bool agreed = index && index == document;
    if (own && !agreed) return;
    const auto& better = index ? index : document;
    if (better)
        mending.set("uuid", *better,
                    "that of the " +
                        std::string(agreed  ? "index and the document"
                                    : index ? "index"
                                            : "document") +
                        " was taken");
    else
        mending.set("uuid", std::string(kNilUuid), "it is not known any more");
}

// The index is as wrong as the row where a statement wrote both.
void mend_domid(Mending& mending, const Row& row, const DomainWitness& witness)
{
    const auto is_sound = [](std::int64_t domid) { return domid >= 0 && domid <= kMostDomid; };
    if (is_sound(row.integer("domid")) && !row.is_null("domid") &&
        std::ranges::count(row.damaged(), "domid") == 0)
        return;
    if (witness.index_domid && is_sound(*witness.index_domid))
        mending.set("domid", *witness.index_domid, "that of the index was taken");
    else if (witness.history_domid && is_sound(*witness.history_domid))
        mending.set("domid", *witness.history_domid, "that of its history was taken");
}

// What is in the index of those that are not destroyed is not; what is not in it is.
void mend_state(Mending& mending, const Row& row, const DomainWitness& witness)
{
    constexpr std::array kStates = {"creating", "running", "destroying", "destroyed"};
    if (std::ranges::count(kStates, row.text("state")) != 0) return;
    const bool over = witness.index_of_living && !witness.index_domid;
    mending.set("state", std::string(over ? "destroyed" : "running"),
                over ? "an index says that it is destroyed" : "'running' was taken");
}

// An older boot ends the domain: one that another row names has to be as good as this.
void mend_boot(Mending& mending, const Row& row, const DomainWitness& witness)
{
    const auto boot = row.text("boot_id");
    if (!is_damaged_boot(boot, witness.boot_id)) return;
    const auto older = std::ranges::find_if(
        witness.known_boots, [&](const std::string& other) { return is_nearly(boot, other); });
    if (older == witness.known_boots.end() || is_nearly(boot, witness.boot_id))
        mending.set("boot_id", witness.boot_id, "that of the kernel that runs was taken");
    else
        mending.set("boot_id", *older, "that of another row was taken");
}

// All of a registration, or none of it.
void mend_registration(Mending& mending, const Row& row)
{
    constexpr std::array kColumns = {"qemu_pid",     "qemu_start_time", "qemu_pid_namespace",
                                     "monitor_path", "monitor_device",  "monitor_inode",
                                     "peer_pid",     "peer_uid",        "peer_gid"};
    if (row.is_null("qemu_pid")) return;
    const bool whole =
        std::ranges::none_of(kColumns, [&](const char* column) { return row.is_null(column); });
    const auto pid = row.integer("qemu_pid");
    if (whole && pid > 0 && pid <= std::int64_t{1} << 22) return;
    for (const char* column : kColumns)
        mending.set(column, std::monostate(), "nothing is known of its QEMU: register it");
}

// They count while a creation is under way alone: it is ended by looking, at Xen where no QEMU is
// known, and nothing of it is taken to be unmade.
void mend_creation(Mending& mending, const Row& row)
{
    const bool creating = row.text("state") == "creating";
    mending.flag("older_state", creating ? 1 : 0);
    mending.flag("without_qemu", creating && row.is_null("qemu_pid") ? 1 : 0);
}

std::optional<std::string> key_in(const DeviceClass* of, const std::string& json)
{
    if (of == nullptr || !json_minify(json, "json")) return std::nullopt;
    auto key = thing_key(*of, json, 0);
    return key ? std::optional(*std::move(key)) : std::nullopt;
}

// Where row and index differ a third witness decides; where there is none, whether the row's own
// domain is there.
bool is_of_index_domain(const Row& row, const ThingWitness& witness)
{
    if (!witness.may_be_moved) return false;
    if (std::ranges::count(row.damaged(), "domain") != 0) return true;
    return witness.other_domain ? witness.other_domain == witness.index_domain
                                : !witness.has_own_domain;
}

// The third witness is the text, which says which thing it is: without one that can be read the row
// is the one that is damaged.
bool is_of_index_name(const Row& row, const ThingWitness& witness)
{
    const auto* by_index = find_device_class(witness.index_class);
    if (by_index == nullptr) return false;
    const auto* of = find_device_class(row.text("class"));
    const auto json = row.text("json");
    if (of == nullptr || row.text("key").empty() || !is_object(json)) return true;
    return key_in(of, json) != row.text("key") && key_in(by_index, json) == witness.index_key;
}

// Domain, class and key.
void mend_name(Mending& mending, const Row& row, const ThingWitness& witness)
{
    const std::string words = "that of the index was taken";
    if (*witness.index_domain != row.integer("domain") && is_of_index_domain(row, witness))
        mending.set("domain", *witness.index_domain, words);
    if ((witness.index_class == row.text("class") && witness.index_key == row.text("key")) ||
        !is_of_index_name(row, witness))
        return;
    if (witness.index_class != row.text("class")) mending.set("class", witness.index_class, words);
    if (witness.index_key != row.text("key")) mending.set("key", witness.index_key, words);
}

// What is known of an entry whose text is lost, as pass 1 has it.
void mend_json(Mending& mending, const Row& row, const DeviceClass& of, const ThingWitness& witness)
{
    const auto key = row.text("key");
    const bool is_numbered = key.starts_with('#');  // its text has no key
    if (witness.image && is_object(*witness.image) &&
        (is_numbered || key_in(&of, *witness.image) == key))
        mending.set("json", *witness.image, "that of its open intent was taken");
    else
        mending.set("json",
                    of.key == KeyRule::given
                        ? found_entry(key, witness.products)
                        : element_of_key(of, key, row.text("primary_at") == "qemu"),
                    "its key alone is left");
}

}  // namespace

bool is_damaged_boot(const std::string& boot, const std::string& now)
{
    if (boot == now) return false;
    return normal_uuid(boot) != boot || is_nearly(boot, now);
}

std::vector<std::string> mend_domain(Row& row, const DomainWitness& witness)
{
    Mending mending(row);
    mend_uuid(mending, row, witness);
    mend_domid(mending, row, witness);
    if (!check_name(row.text("name")))
        mending.set(
            "name",
            witness.document_name.value_or("domain-" + std::to_string(row.integer("domid"))),
            witness.document_name ? "that of the document was taken" : "it has a new one");
    mend_state(mending, row, witness);
    mending.counts("epoch", witness.above);
    mending.counts("revision", witness.above);
    mending.one_of("layout", {"yajl", "json-c"}, "yajl");
    mending.flag("layout_tight", 0);
    mend_creation(mending, row);
    mend_boot(mending, row, witness);
    if (!row.is_null("vm_uuid")) {
        const auto sound = sound_uuid(row.text("vm_uuid"));
        if (!sound)
            mending.set("vm_uuid", std::monostate(), "it is not known any more");
        else if (*sound != row.text("vm_uuid"))
            mending.set("vm_uuid", *sound, "its letters are small ones");
    }
    mending.flag("monitor_handed_in", 0);
    mend_registration(mending, row);
    if (mending.has("initial_from") && !row.is_null("initial_from"))
        mending.one_of("initial_from", {"creation", "command line", "listed", "unknown"},
                       "unknown");
    mending.object_or_null("baseline");
    return mending.mended();
}

std::vector<std::string> mend_thing(Row& row, const ThingWitness& witness)
{
    Mending mending(row);
    if (witness.index_domain) mend_name(mending, row, witness);
    const auto* of = find_device_class(row.text("class"));
    mending.one_of("state", {"adding", "present", "changing", "removing", "stale"},
                   witness.operation == "add"      ? "adding"
                   : witness.operation == "remove" ? "removing"
                   : witness.operation == "change" ? "changing"
                                                   : "present");
    if (of && !is_object(row.text("json"))) mend_json(mending, row, *of, witness);
    if (of &&
        std::ranges::count(std::array{"qemu", "xenstore", "none"}, row.text("primary_at")) == 0)
        mending.set("primary_at",
                    std::string(primary_name(thing_primary(*of, row.text("json"), {}))),
                    "that of its text was taken");
    mending.object_or_null("address");
    return mending.mended();
}

bool mend_member(Row& row, const std::string& index_key)
{
    if (row.text("key") == index_key || row.text("key_text") != json_quote(index_key)) return false;
    row.set("key", index_key);
    return true;
}

}  // namespace xlstore::recovery
