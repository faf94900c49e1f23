// SPDX-License-Identifier: MIT
// The looks of an external QMP client, taken by the store: before its commands and after them,
// under its hold, over a connection of the store's own that is hung up between. For a client that
// calls another toolstack's functions instead of QEMU (libxl's), and so cannot look itself.
//
//   look_and_open     an earlier intent on the thing is resolved by what QEMU shows; the probe of
//   R16;
//                     commit 1 (R10)
//   the client's commands, which need the monitor
//   look_and_settle   the probe; commit 2 (R5), or a note of why the intent stays open
//
// Between the two, the connections are the client's or none (R12): that no other client has
// commands under way that change the same thing is what the client promises by its hold, as ever.
#ifndef XLSTORE_STORE_OPERATION_EXTERNAL_LOOKS_HPP_
#define XLSTORE_STORE_OPERATION_EXTERNAL_LOOKS_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/operation/engine.hpp"
#include "store/operation/external_qmp.hpp"

namespace xlstore {

/// Opens an intent for each, in one commit, each with an end of its own. A removal that an earlier
/// client asked for, and that waits for its guest, is gone on with: its intent is the one returned.
/// Errors, with nothing changed but earlier intents that were settled: exists (R16), refused or
/// in_doubt with the number of an earlier intent that stays open; not_found, invalid (also: a thing
/// is named twice), protocol, and as of Journal::open.
Task<Result<std::vector<IntentId>>> look_and_open(Engine& engine, std::vector<Intention> wanted,
                                                  Deadline until);

/// What a client says of an intent that it has carried out, or tried to.
struct CarriedOut {
    IntentId intent;
    std::string evidence;  ///< what it was told; goes into history beside what is seen
    bool asked = false;    ///< of a removal: the guest was asked to let go
    std::optional<std::string>
        json;  ///< the thing as the other toolstack keeps it, once it is there
};
/// What the look found.
struct LookedAt {
    IntentId intent;
    std::optional<Image> image;  ///< nothing: it stays open
    std::string reason;
};
/// Settles it with the image that is seen. One of which nothing is proved, or whose guest has not
/// let go, stays open, with that in its note. Errors: not_found, invalid (`json` is another
/// thing's), gone, lost, timeout.
Task<Result<LookedAt>> look_and_settle(Engine& engine, CarriedOut done, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_EXTERNAL_LOOKS_HPP_
