// SPDX-License-Identifier: MIT
// R18 at the boundary: what settles an intent begins with one that is committed. What goes
// wrong with it, cancelling included, leaves that intent open, and the answer says so.
#ifndef XLSTORE_STORE_CAPI_DOUBT_HPP_
#define XLSTORE_STORE_CAPI_DOUBT_HPP_

#include <cstdint>

#include "store/core/domain.hpp"
#include "store/model/intent.hpp"

namespace xlstore::capi {

/// In doubt, with the number. Only what history, the row or the arguments say is more: it is
/// closed, its domain is destroyed, or the caller is at fault.
[[nodiscard]] Error still_open(const DomainRow& domain, IntentId id, Error error) noexcept;

/// The status of a waiting call that settles `intent`: one for which there was no memory even to
/// begin is in doubt, too.
int32_t or_in_doubt(std::int64_t intent, int32_t status) noexcept;

}  // namespace xlstore::capi

#endif  // XLSTORE_STORE_CAPI_DOUBT_HPP_
