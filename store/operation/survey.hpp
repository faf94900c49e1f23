// SPDX-License-Identifier: MIT
// What the store says of one domain's QEMU, held against what that QEMU has: what a registration
// writes (R19) and what pass 5 of recovery asks about is decided here, from the same lists.
//
// What is no finding, since it belongs to something that is looked at: initial devices; what a
// device model made for a back end of xenstore (store/classes/device_model.hpp); block nodes with a
// name that QEMU gave ("#block…"), and those that a known node or drive depends on; descriptor
// sets, which are a means, and which QEMU itself drops; everything below /machine/unattached, which
// QEMU made for a device of its own.
#ifndef XLSTORE_STORE_OPERATION_SURVEY_HPP_
#define XLSTORE_STORE_OPERATION_SURVEY_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/classes/class_rebuild.hpp"
#include "store/core/domain.hpp"
#include "store/core/initial_devices.hpp"
#include "store/database/db.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/qmp/monitor.hpp"
#include "store/qmp/proposal.hpp"

namespace xlstore {

/// An entry whose primary is QEMU, and what QEMU has of it.
struct SurveyedEntry {
    ThingRow row;
    bool open = false;  ///< an intent is open: either image may be there
    /// What it is made of in QEMU, and what of that is another entry's by now
    /// (store/core/product.hpp).
    std::vector<Product> products;
    std::vector<Product> of_others;
    enum class Shown {
        unknown,  ///< it has nothing that could be looked for; `evidence` says why, if it matters
        all,
        part,
        none,
    };
    Shown shown = Shown::unknown;
    std::string evidence;  ///< "QEMU has …, but no …"
};

/// What a drive holds.
struct SurveyedDrive {
    std::string id;
    std::optional<ThingRow> entry;  ///< nothing: no entry has the drive
    bool open = false;
    enum class Holds {
        as_said,  ///< what its entry names, which may be nothing
        initial,  ///< another medium, which QEMU was started with; or one of a drive without entry
        other,    ///< another one; or any, or none, where a salvage left the entry its key alone
        unnamable,  ///< one that no entry can name
        nothing,    ///< though its entry names one
        no_drive,   ///< QEMU has no such drive
    };
    Holds holds = Holds::as_said;
    /// The entry with what the drive holds: of `other` and `nothing`, and of `initial` if an entry
    /// can name it.
    std::optional<Rebuilt> seen;
    std::string what;      ///< "disks/hdc", or "drive "ide0-cd0" with …"
    std::string evidence;  ///< "drive … holds …, not …"
};

struct Survey {
    std::vector<Proposal> unknown;  ///< what no entry has, as the entries that it would have
    std::vector<SurveyedEntry> entries;
    std::vector<SurveyedDrive> drives;  ///< as QEMU lists them, then those that it has not
};

/// `there` was taken over `monitor`, which is asked for more of what is unknown. Reads the store,
/// and changes nothing. Errors: protocol (QEMU did not say enough, or too much), invalid.
Task<Result<Survey>> take_survey(Db& db, DomainId domain, const InitialDevices& initial,
                                 const Inventory& there, qmp::Monitor& monitor, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_SURVEY_HPP_
