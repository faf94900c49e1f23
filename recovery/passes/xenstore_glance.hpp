// SPDX-License-Identifier: MIT
// A first look at a domain's devices: the few nodes by which compare() tells that there is nothing
// to tell. A transaction makes xenstored copy each node that is read in it, and a whole tree has
// many times as many; most domains are well, and cost this look alone.
#ifndef XLSTORE_RECOVERY_PASSES_XENSTORE_GLANCE_HPP_
#define XLSTORE_RECOVERY_PASSES_XENSTORE_GLANCE_HPP_

#include <cstdint>

#include "store/xenstore/client.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore::recovery {

/// Not of one moment: what it seems to show is believed only from xenstore::read_tree(). With
/// `with_media` what is in CD drives is looked at, too. Errors: io, as those of read_tree().
Task<Result<xenstore::Tree>> glance(xenstore::Client& client, std::int64_t domid, bool with_media,
                                    Deadline until);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_XENSTORE_GLANCE_HPP_
