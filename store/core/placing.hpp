// SPDX-License-Identifier: MIT
// Where the things of one document really are, as its rows say it. Another type of a domain, or of
// a USB controller, moves what depends on it.
#ifndef XLSTORE_STORE_CORE_PLACING_HPP_
#define XLSTORE_STORE_CORE_PLACING_HPP_

#include "store/base/domain_id.hpp"
#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/model/domain_traits.hpp"

namespace xlstore {

/// Writes down of each thing where it really is, as the whole document says now. A thing with an
/// open intent stays.
void place_things(Db& db, DomainId domain);

/// The same after an edit under the fast lock; `before`: read_traits() before it. An edit moves
/// only what is in no primary: what left QEMU in the rows alone could be removed there without QEMU
/// (R1, R3). Error refused, naming the thing: the caller rolls its edit back.
Result<void> follow_document(Db& db, DomainId domain, const DomainTraits& before);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_PLACING_HPP_
