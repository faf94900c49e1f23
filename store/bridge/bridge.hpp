// SPDX-License-Identifier: MIT
// A host that uses libxl and this store at once: libxl's documents brought into the store, and the
// store's written to libxl's files. Both under the fast lock and libxl's own lock on the document,
// in that order (R2, R7), so that neither world sees half of it. QEMU and xenstore are asked only
// to say which of the two is right (primaries.hpp); what both have wrong about them is recovery's
// to find (xlfsck, xlfsck --libxl).
#ifndef XLSTORE_STORE_BRIDGE_BRIDGE_HPP_
#define XLSTORE_STORE_BRIDGE_BRIDGE_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/bridge/difference.hpp"
#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/libxl/host_directories.hpp"

namespace xlstore {

/// A domain of either world.
struct BridgedDomain {
    std::int64_t domid = 0;
    std::string uuid;
    std::string name;
    std::string file;       ///< libxl's document; "": there is none
    bool in_store = false;
    std::optional<Error> trouble = {};  ///< why the file cannot be used, or was not
    std::vector<BridgeDifference> differences = {};
};

/// All domains of the store that run, and all of libxl's files but domain 0's; or the domain that
/// the word `only` names in either world. Where the two differ the domain's QEMU and xenstore are
/// asked which is right. Changes nothing. Errors: io, libxl's directory cannot be listed; of one
/// domain: not_found, invalid (the word fits several), busy and gone (it does not run).
Task<Result<std::vector<BridgedDomain>>> bridge_status(Store& store, libxl::HostDirectories where,
                                                       std::optional<std::string> only,
                                                       Deadline until);

/// Files into the store. A domain that the store lacks is imported, without its QEMU. Of one that
/// it has, elements of xenstore's that are not pending become those of the file, and so do the
/// document's other members, but for the domain's name; elements that the file lacks stay, since a
/// thing may be there; things of QEMU's stay as they are, because QEMU alone tells (recovery asks
/// it). What became of each domain; its trouble, where nothing was done. Errors: as of
/// bridge_status(); of one domain its trouble.
Task<Result<std::vector<BridgedDomain>>> bridge_sync(Store& store, libxl::HostDirectories where,
                                                     std::optional<std::string> only,
                                                     Deadline until);

/// The store's document into libxl's file, byte for byte as libxl writes it. Where the two differ
/// the file's text is quarantined first (R22). Errors: conflict (the file has an element or a
/// member that the store lacks, which would be lost: sync first; or it is none of this domain's);
/// busy, naming the holder of libxl's lock; gone; io. The file is as it was then.
Task<Result<BridgedDomain>> bridge_write(Store& store, libxl::HostDirectories where,
                                         DomainRow domain, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_BRIDGE_BRIDGE_HPP_
