// SPDX-License-Identifier: MIT
// Intents that were overtaken. The thing of one is in QEMU as none of its images says: another
// program changed a medium while the intent was open; or the intent is of an older state of the
// store (R17), and QEMU has gone on since. What is there may be any later operation's, or be
// wanted: it is not undone. The intent is closed as not done, and what is there has an entry (R1,
// R19).
#ifndef XLSTORE_STORE_OPERATION_OVERTAKEN_HPP_
#define XLSTORE_STORE_OPERATION_OVERTAKEN_HPP_

#include <vector>

#include "store/core/store.hpp"
#include "store/model/intent.hpp"
#include "store/operation/engine.hpp"

namespace xlstore {

/// Closes overtaken intents as not done, and makes an entry for what of an addition is there. The
/// medium of a drive is taken into its entry by recovery (5008). Sends nothing but queries. Errors:
/// gone, lost, timeout, with the intents open; of the entry also protocol: then they are closed,
/// and recovery adopts what is there (5003).
Task<Result<Resolved>> close_overtaken(Store& store, Engine& engine, std::vector<Intent> intents,
                                       Evidence found, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_OVERTAKEN_HPP_
