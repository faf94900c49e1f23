// SPDX-License-Identifier: MIT
// This host's xenstored, for the part of an operation on a thing of QEMU's that is in xenstore.
#ifndef XLSTORE_STORE_OPERATION_HOST_XENSTORE_HPP_
#define XLSTORE_STORE_OPERATION_HOST_XENSTORE_HPP_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/xenstore/client.hpp"

namespace xlstore {

/// Has this host a xenstored? One that cannot be reached is there, too.
[[nodiscard]] bool has_host_xenstore();

/// A connection; nothing: the host has no xenstored, as one without Xen. Errors: io: there is one,
/// and it cannot be reached.
Task<Result<std::optional<xenstore::Client>>> connect_host_xenstore(Loop& loop, Deadline until);

/// Does Xen have this domain, by xenstored's word? Errors: io: there is no xenstored, or it does
/// not answer.
Task<Result<bool>> is_introduced(Loop& loop, std::int64_t domid, Deadline until);

/// Has xenstore, or Xen by its word, anything of a domain of that number? A toolstack introduces
/// one only late in its creation, long after it made its home. Errors: io, as above.
Task<Result<bool>> has_xenstore_domain(Loop& loop, std::int64_t domid, Deadline until);

/// No longer than an operation may be kept by a silent daemon.
[[nodiscard]] Deadline xenstore_deadline(Deadline until);

/// How a transaction is to end that went without an error.
enum class TransactionEnd {
    commit,
    abort,  ///< nothing is to be written
};
using XenstoreChange =
    std::function<Task<Result<TransactionEnd>>(xenstore::Client&, xenstore::Transaction, Deadline)>;
/// Carries `change` out in a transaction, anew when another client was faster. False: it chose to
/// leave all as it is. Errors: io, and those of `change`.
Task<Result<bool>> in_xenstore_transaction(xenstore::Client& client, XenstoreChange change,
                                           Deadline until);
/// Takes away, one after another, those of `nodes` that are there and have no node below them.
/// Errors: io.
Task<Result<void>> remove_empty(xenstore::Client& client, std::vector<std::string> nodes,
                                xenstore::Transaction in, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_HOST_XENSTORE_HPP_
