// SPDX-License-Identifier: MIT
// Where the things of one document really are, as its rows say it.
#ifndef XLSTORE_STORE_CORE_PLACING_HPP_
#define XLSTORE_STORE_CORE_PLACING_HPP_

#include "store/base/domain_id.hpp"
#include "store/database/db.hpp"

namespace xlstore {

/// Writes down of each thing where it really is, as the whole document says now: another type of a
/// domain or of a USB controller moves what depends on it. A thing with an open intent stays.
void place_things(Db& db, DomainId domain);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_PLACING_HPP_
