// SPDX-License-Identifier: MIT
// The detach of a thing of xenstore, from its connection to its answer
// (store/operation/in_xenstore.hpp has the order).
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_REMOVAL_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_REMOVAL_HPP_

#include "store/operation/outcome.hpp"
#include "store/operation/xenstore_work.hpp"

namespace xlstore {

/// Carries out work.request, a detach. Errors: those of perform_in_xenstore().
Task<Result<Done>> detach_in_xenstore(XenstoreWork& work);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_REMOVAL_HPP_
