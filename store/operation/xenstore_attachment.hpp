// SPDX-License-Identifier: MIT
// The attach of a thing of xenstore, from its connection to its answer
// (store/operation/in_xenstore.hpp has the order).
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_ATTACHMENT_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_ATTACHMENT_HPP_

#include "store/operation/outcome.hpp"
#include "store/operation/xenstore_work.hpp"

namespace xlstore {

/// Carries out work.request, an attach. Errors: those of perform_in_xenstore().
Task<Result<Done>> attach_in_xenstore(XenstoreWork& work);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_ATTACHMENT_HPP_
