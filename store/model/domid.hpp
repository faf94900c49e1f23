// SPDX-License-Identifier: MIT
// Xen's number of a domain.
#ifndef XLSTORE_STORE_MODEL_DOMID_HPP_
#define XLSTORE_STORE_MODEL_DOMID_HPP_

#include <cstdint>

#include "store/base/error.hpp"

namespace xlstore {

/// Error invalid: no domid that Xen gives to a domain.
Result<void> check_domid(std::int64_t domid);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DOMID_HPP_
