// SPDX-License-Identifier: MIT
// The hotplug script of a device of xenstore: run when its back end is ready for it (state 2), and
// once more when it is closed, as libxl runs it.
//
// It may take seconds, so that no fast lock is held. The domain's slow lock is, so that no other
// process runs the same script meanwhile: not recovery, which takes an unfinished one up (5028).
// A destruction needs no slow lock (R9): its mark keeps recovery away from the domain's devices.
// The script lives on if this process dies; recovery leaves it alone then until it has ended.
#ifndef XLSTORE_STORE_OPERATION_HOTPLUG_HPP_
#define XLSTORE_STORE_OPERATION_HOTPLUG_HPP_

#include <string>

#include "store/classes/hotplug_script.hpp"
#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace xlstore {

/// Are the scripts of this domain's devices this program's to run?
[[nodiscard]] bool runs_scripts(Store& store, DomainId domain);

/// Waits until the driver of the back end has set it up, 10 seconds at most. Errors: refused (it
/// has not; its state is named), io.
Task<Result<void>> wait_for_back_end(Store& store, xenstore::Client& client, ScriptedDevice device,
                                     Deadline until);

/// Waits until no process runs a hotplug script of the device: what one writes behind the device's
/// end makes its nodes anew. Without a back end in `paths` it is the one by a driver of domain 0.
/// Error busy: one runs yet, by `until`.
Task<Result<void>> let_script_end(Store& store, xenstore::DevicePaths paths, Deadline until);

/// The same for each device of xenstore that the domain has an entry of, where its scripts are this
/// program's to run; the error names the device.
Task<Result<void>> let_scripts_end(Store& store, DomainRow domain, Deadline until);

/// Runs the script, once or twice, 40 seconds at most. Value: what is to be said of it. Errors:
/// refused (it failed; the message has the script's own word, hotplug-error; or the device was
/// taken out meanwhile), timeout (it was not through in time and was killed), busy (one that
/// another process started runs yet), io.
/// REQUIRES the slow lock of the domain, or its destroy lock behind the mark; and no fast lock.
Task<Result<std::string>> run_script(Store& store, xenstore::Client& client, ScriptedDevice device,
                                     ScriptAction action, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_HOTPLUG_HPP_
