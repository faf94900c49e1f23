// SPDX-License-Identifier: MIT
// An intent: a committed, self-describing record of a pending operation. Committed before the first
// byte of its plan is sent (R10); closed by the commit that settles its entry with what the primary
// showed. At most one open intent a thing. Nothing here reads or writes; see
// store/core/journal.hpp.
#ifndef XLSTORE_STORE_MODEL_INTENT_HPP_
#define XLSTORE_STORE_MODEL_INTENT_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/domain_id.hpp"
#include "store/model/plan.hpp"

namespace xlstore {

enum class IntentId : std::int64_t {};
constexpr std::int64_t value_of(IntentId id)
{
    return static_cast<std::int64_t>(id);
}

enum class Verb { add, remove, change };
[[nodiscard]] std::string_view verb_name(Verb verb) noexcept;

/// Which image of the thing the primary shows.
enum class Image { before, after, neither };
[[nodiscard]] std::string_view image_name(Image image) noexcept;

/// A thing's class and key: "disks/hdc". Of an add, an empty key: the store gives it one of its own
/// when it is committed (an element that libxl gives no identity).
struct ThingName {
    std::string device_class;
    std::string key;
    [[nodiscard]] std::string text() const { return device_class + "/" + key; }
};

/// Something that QEMU has and no entry: what it is made of there, and how it was seen.
struct TakenIn {
    std::vector<Product> products;
    std::string evidence;
};

/// An operation on one thing, before it is committed. A draft without a plan says what is wanted,
/// as far as that is known before the entry is read and QEMU is asked: of a change, `image_after`
/// has the medium alone.
struct Draft {
    Verb verb;
    ThingName thing;
    std::optional<std::string> image_before;   ///< JSON; nothing: an add
    std::optional<std::string> image_after;    ///< JSON; nothing: a removal
    std::optional<std::string> image_neither;  ///< JSON of an emptied drive, for a change
    Plan plan;
    /// JSON of the stale entry that a change is to put back into QEMU; of an intent that adds, of
    /// the entry that it replaces.
    std::optional<std::string> image_stale = {};
    /// An add that puts a thing of the document into another QEMU: the entry keeps its place in the
    /// order of making.
    bool put_back = false;
    /// State of the entry that an intent's add replaces; of an eviction, the one that was there, or
    /// "adding": none.
    std::optional<std::string> replaced_state = {};
    /// Of an eviction that is not committed yet: the commit of its intent writes the entry, as
    /// `image_before` has it, too.
    std::optional<TakenIn> taken_in = {};
    /// A guest that keeps the drive's tray shut is waited for, instead of being an end of it.
    bool waits_for_tray = false;
    /// Nor is it asked: the tray is opened against its will.
    bool forces_tray = false;
};

/// Does it take out what no entry had (xlfsck --evict)? Where it was not done the entry stays.
[[nodiscard]] inline bool is_eviction(const Draft& draft)
{
    return draft.verb != Verb::add && draft.replaced_state.has_value();
}

/// An open intent as it stands in the store.
struct Intent {
    IntentId id;
    DomainId domain;
    std::int64_t thing;
    Draft draft;
    std::string monitor_path;
    std::int64_t owner;  ///< session
    std::int64_t opened_us;
    std::optional<std::int64_t> asked_us;
    std::string note;
    std::optional<std::int64_t> batch;  ///< shared by adds of which all are done or none
    std::vector<Product> asked = {};    ///< devices that the guest has been asked to let go of
    bool older_state = false;  ///< the store went back since (R17): it is closed by looking alone
    /// Of an addition that QEMU has: where QEMU put it (store/qmp/address.hpp); empty: not known.
    /// Not stored before the settle.
    std::string address = {};
};
[[nodiscard]] std::vector<IntentId> ids_of(const std::vector<Intent>& intents);

/// What a probe showed. No image: silence, or something that proves none of the images; then
/// `reason` says what.
struct Evidence {
    std::optional<Image> image;
    bool half = false;  ///< some of it is there, some not: a product, an unused descriptor set
    std::vector<Product> asked;    ///< of those present, what the guest has been asked to let go of
    std::vector<Product> present;  ///< those that are
    std::vector<std::int64_t> leftover_fdsets;  ///< ours, and nothing uses them
    std::optional<std::string> medium;          ///< what is in the drive, as QEMU names the file
    std::optional<std::string> medium_name = {};  ///< the same as a document does, "raw:/a.iso"
    bool tray_shut = false;                     ///< its guest keeps the drive's tray shut
    /// What QEMU has is no image, and will be none: others changed it since.
    bool overtaken = false;
    /// It was asked for, and QEMU gave no answer that could have named it: nothing is known.
    bool silent = false;
    std::string reason;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_INTENT_HPP_
