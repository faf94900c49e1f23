// SPDX-License-Identifier: MIT
// Registering a QEMU that already runs (R19): it is looked at, and what it has is written down.
// Nothing but queries is sent to it. The document follows what is proved: what is there and in no
// entry gets one, what is not there becomes stale, a CD drive's entry names what the drive holds.
// Only the creation of a QEMU that its row started attaches a document.
//
//   slow lock; connect, prove the peer, barrier        R7 R11 R12
//   QEMU's lists, its command line, the survey
//   one commit: QEMU, initial devices, entries         R1 R6 R15
#ifndef XLSTORE_STORE_LIFECYCLE_REGISTRATION_HPP_
#define XLSTORE_STORE_LIFECYCLE_REGISTRATION_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/model/document.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

struct RegisterRequest {
    std::string monitor_path;
    /// The process that has to be at its other end; it is waited for until it listens, as long as
    /// it lives. Nothing: the process that is there.
    std::optional<std::int64_t> pid;
    /// The toolstack made the socket: the peer need not be QEMU. `pid` is needed, and believed if
    /// the kernel shows that it holds the socket (R11).
    bool handed_in = false;
    std::string log_path = {};        ///< what QEMU writes to; "": not known
    /// False: entries stay as they are, for recovery to speak of each that QEMU has otherwise, and
    /// the files of libxl's locks are left as they were found.
    bool follow = true;
};

/// What a registration found of one thing, and what became of it.
struct RegistrationNote {
    enum class Became {
        adopted,   ///< it is in QEMU, and had no entry: it has one
        returned,  ///< its entry was stale, and is present: QEMU has it
        stale,     ///< its entry is: QEMU does not have it
        differs,   ///< QEMU has it otherwise than its entry said; of a medium, the entry follows
        left,      ///< nothing was written of it
    };
    Became became;
    std::optional<ThingName> thing;  ///< nothing: it has no entry
    std::string text;                ///< what was seen, or why; bounded and printable
};
[[nodiscard]] std::string_view became_name(RegistrationNote::Became became) noexcept;

struct Registered {
    DomainRow domain;
    std::vector<RegistrationNote> notes;
    /// Why it is not known what QEMU was started with; "": it is. What no entry has is `left` then,
    /// and stays a finding of xlfsck (5011), which never takes it out.
    std::string gap;
};

/// Registers a QEMU that runs, in place of none or of a dead one. Errors: exists (another QEMU is
/// registered and not proved dead; or this one, as another domain's), busy (open intents of the
/// dead one; the lock or the monitor), conflict (the domain is being created), gone (R8), refused
/// (the peer is another process, or it is not proved which; the document is closed), invalid (no
/// such pid), protocol, no_qemu (it died meanwhile), lost. Nothing has changed then, in QEMU or in
/// the store.
Task<Result<Registered>> register_qemu(Store& store, DomainRow domain, RegisterRequest request,
                                       Deadline until);

/// Brings a running domain in line under a slow hold, over a connection to the QEMU that is
/// registered: queries only, and what is proved is written. `external`, if given, is a document
/// that another toolstack keeps of the domain: what it has and the store lacks gets an entry first,
/// which counts as stale until QEMU has shown it; one of xenstore's is present, as that document
/// says. No entry goes, and a thing with an open intent is left alone. REQUIRES that row and
/// monitor are those of the hold. Errors: gone, lost, timeout, protocol, refused (the document is
/// closed), invalid (`external` is another domain's). A commit that was made before an error stays.
Task<Result<Registered>> follow_qemu(Store& store, SlowHold& hold, qmp::Monitor& monitor,
                                     DomainRow domain, std::optional<Document> external,
                                     Deadline until);

/// Writes a QEMU that a creation has started into its row, which is `creating` from then on (R11,
/// R13). `mark`: store/lifecycle/creation_mark.hpp; empty: none, or no longer needed. Errors:
/// exists (it is another domain's), gone, lost.
Task<Result<void>> write_registration(Store& store, SlowHold& hold, qmp::Registration registration,
                                      std::string log_path, std::string mark, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_REGISTRATION_HPP_
