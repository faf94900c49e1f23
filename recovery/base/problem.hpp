// SPDX-License-Identifier: MIT
// Everything that xlfsck can find, in one table: permanent code, message, question, and whether an
// unattended run may fix it. A pass only says "this problem, about this subject" and acts on the
// answer; policy is in check.hpp. Codes are pass * 1000 + n, never changed, never used again.
#ifndef XLSTORE_RECOVERY_BASE_PROBLEM_HPP_
#define XLSTORE_RECOVERY_BASE_PROBLEM_HPP_

#include <cstdint>
#include <span>
#include <string_view>

namespace xlstore::recovery {

enum class Code : std::uint16_t {
    database_damaged = 1,
    database_breach = 2,
    log_race = 3,
    log_large = 4,
    log_held = 5,
    database_behind = 6,
    schema_changed = 7,
    index_damaged = 8,
    row_lost = 9,
    row_rebuilt = 10,
    row_set_aside = 11,
    database_missing = 12,
    salvage_untold = 13,
    database_unseen = 20,
    row_dangling = 21,
    pages_resized = 22,
    database_older = 30,
    database_older_in_use = 31,
    store_moved = 32,
    store_moved_in_use = 33,
    store_is_copy = 34,
    store_of_another_machine = 35,
    copy_without_log = 36,
    numbers_low = 40,
    numbers_high = 41,
    entry_unreadable = 1001,
    entry_class_unknown = 1002,
    entry_key_differs = 1003,
    entry_primary_differs = 1004,
    member_unreadable = 1005,
    member_key_differs = 1006,
    member_misplaced = 1007,
    array_unlisted = 1008,
    identity_differs = 1009,
    document_differs = 1010,
    member_missing = 1011,
    entry_orphaned = 1020,
    session_dead = 2001,
    creation_owned = 3001,
    creation_abandoned = 3002,
    creation_unfinished = 3003,
    destruction_owned = 3004,
    destruction_unfinished = 3005,
    older_boot = 3006,
    qemu_dead = 3007,
    qemu_unseen = 3008,
    document_closed = 3009,
    creation_older = 3010,
    domain_unknown = 3011,
    creation_unmade = 3012,
    creation_made = 3013,
    destruction_of_libxl = 3014,
    intent_owned = 4001,
    intent_done = 4002,
    intent_undone = 4003,
    intent_emptied = 4004,
    intent_half_done = 4005,
    intent_waits = 4006,
    intent_in_doubt = 4007,
    intent_unreadable = 4008,
    intents_left = 4009,
    intent_overtaken = 4010,
    intent_ended = 4011,
    eviction_unfinished = 4012,
    primary_owned = 5001,
    primary_unseen = 5002,
    thing_unknown = 5003,
    thing_unwanted = 5004,
    thing_absent = 5005,
    thing_partial = 5006,
    thing_back = 5007,
    medium_other = 5008,
    medium_unknown = 5009,
    medium_gone = 5010,
    thing_perhaps_initial = 5011,
    thing_unasked = 5012,
    usb_replugged = 5013,
    xenstore_absent = 5020,
    xenstore_unseen = 5021,
    device_unknown = 5022,
    device_absent = 5023,
    device_back = 5024,
    device_partial = 5025,
    device_leaving = 5026,
    device_waits = 5027,
    device_unconnected = 5028,
    copy_differs = 5029,
    device_strange = 5030,
    pci_owner_left = 5031,
    device_kept = 5032,
    socket_left = 6001,
    socket_served = 6002,
    qemu_unknown = 6003,
    log_left = 6004,
    surroundings_unseen = 6005,
    qemu_homeless = 6006,
    kept_too_long = 6007,
    nodes_left = 6020,
    domain_survives = 6021,
    host_document_unfinished = 7001,
    host_document_missing = 7002,
    host_document_damaged = 7003,
    host_document_open_ended = 7004,
    host_document_unseen = 7005,
    host_document_left = 7006,
    host_thing_unlisted = 7010,
    host_thing_stale = 7011,
    host_medium_other = 7012,
    host_medium_gone = 7013,
    host_medium_unnamable = 7014,
    host_vcpu_unlisted = 7015,
    host_vcpu_note = 7016,
    host_thing_partial = 7017,
    host_thing_perhaps_initial = 7018,
    host_model_gone = 7020,
    host_domain_bare = 7021,
    host_domain_unseen = 7022,
    host_domain_begun = 7023,
    hypervisor_unasked = 7030,
};

/// Bits of the exit status, as in fsck(8).
enum class Exit : unsigned {
    clean = 0,       ///< clean
    corrected = 1,   ///< something was corrected
    outside = 2,     ///< a guest or another process must act first
    left = 4,        ///< something was left uncorrected
    blind = 8,       ///< something could not be looked at
    usage = 16,      ///< wrong usage
    cancelled = 32,  ///< cancelled by an interrupt
};

struct Problem {
    Code code;
    std::string_view name;      ///< stable word for --json
    std::string_view message;   ///< follows the subject
    std::string_view question;  ///< empty: there is nothing to fix
    std::string_view fixed;     ///< what an unattended run says it did
    bool preen;                 ///< -p may fix it
    Exit if_left;               ///< the bit when it is not fixed
};

/// A note that is said even where notes are omitted: a living process is at work; a closed document
/// refuses what people try; what was under way on a lost host.
[[nodiscard]] bool is_always_said(Code code) noexcept;

[[nodiscard]] std::span<const Problem> problems();
[[nodiscard]] const Problem& problem(Code code);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_BASE_PROBLEM_HPP_
