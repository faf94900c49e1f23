// SPDX-License-Identifier: MIT
// All that xlfsck does with a directory: recovery as recover.hpp has it, and, since it need not
// have the store open, the salvage of a damaged database in front of it.
#ifndef XLSTORE_RECOVERY_RUNS_FSCK_HPP_
#define XLSTORE_RECOVERY_RUNS_FSCK_HPP_

#include <memory>
#include <string>

#include "recovery/runs/recover.hpp"
#include "store/base/domain_id.hpp"

namespace xlstore::recovery {

struct Checked {
    Report report;
    std::unique_ptr<Store> store;       ///< null: its database is damaged
    std::optional<DomainId> only = {};  ///< the domain that was named
};

/// `domain`: a word as find_domain() takes it; "": all. Errors: those of Store::open, find_domain()
/// and recover(). @throws DbError
Result<Checked> fsck(const StoreOptions& where, Options options, const std::string& domain);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_RUNS_FSCK_HPP_
