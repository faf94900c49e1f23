// SPDX-License-Identifier: MIT
// The end of a domain that may have no row yet, because its creation is still on its way.
#ifndef XLSTORE_STORE_LIFECYCLE_TOMBSTONE_HPP_
#define XLSTORE_STORE_LIFECYCLE_TOMBSTONE_HPP_

#include <cstdint>
#include <string>

#include "store/core/store.hpp"
#include "store/event/task.hpp"

namespace xlstore {

/// destroy_domain() of the row that there is; where there is none a tombstone is left, which
/// defeats the creation of that domid and uuid for 60 s, also where the row's import is taken back
/// meanwhile. True: there was a row, and it is destroyed. Errors: as of destroy_domain(); invalid
/// (no domid or uuid: nothing was changed).
Task<Result<bool>> destroy_or_forestall(Store& store, std::int64_t domid, std::string uuid,
                                        Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_TOMBSTONE_HPP_
