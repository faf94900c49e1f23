// SPDX-License-Identifier: MIT
// Recovery as a library call, for a toolstack at start-up; xlfsck is its face. It may run while
// toolstacks live (what a living process is at work on is named and left alone), and may be killed
// anywhere: each fix is one commit, and a second run goes on from there. It never harms a guest: it
// stops no domain but one whose destruction was ordered.
#ifndef XLSTORE_RECOVERY_RUNS_RECOVER_HPP_
#define XLSTORE_RECOVERY_RUNS_RECOVER_HPP_

#include "recovery/base/check.hpp"
#include "store/core/store.hpp"

namespace xlstore::recovery {

/// Runs the passes over `store`. In Mode::look the store may be open read-only, and nothing is
/// written. Errors: lost, order; what is found is not an error but a finding. @throws DbError
Task<Result<Report>> recover(Store& store, Options options);

/// The passes alone. What it gives is why the database has to be replaced
/// (recovery/salvage/salvage.hpp), which has neither been asked nor reported yet; nothing: they
/// have run as far as they could.
Task<std::optional<std::string>> run_passes(Check& check, Store& store);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_RUNS_RECOVER_HPP_
