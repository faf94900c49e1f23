// SPDX-License-Identifier: MIT
// The nodes that libxl keeps in xenstore for a CD drive of an HVM domain: the same medium as in
// QEMU's drive, for `xl list -l` and for the guest's PV front end.
#ifndef XLSTORE_STORE_OPERATION_CD_NODES_HPP_
#define XLSTORE_STORE_OPERATION_CD_NODES_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"

namespace xlstore {

struct CdNodes {
    std::string backend;  ///< "/local/domain/0/backend/qdisk/7/5632"
    std::string libxl;    ///< "/libxl/7/device/vbd/5632"
    std::string kind;     ///< "qdisk"
    std::string params;   ///< of the back end, as they stand: any bytes
    std::string libxl_params;
};

/// The nodes of the drive "ide-5632" of domain `domid`. Nothing: this host has no xenstored, or
/// xenstored has no such device. Reads alone. Errors: io: could not look; protocol: libxl's node
/// names a back end that cannot be this drive's.
Task<Result<std::optional<CdNodes>>> find_cd_nodes(Loop& loop, std::int64_t domid,
                                                   std::string drive, Deadline until);

/// What the nodes say of the medium that a disk's JSON (minified) names: "aio:/a.iso"; "": the
/// drive is empty. Pure.
[[nodiscard]] std::string cd_params(std::string_view kind, std::string_view disk_json);
/// Do both nodes say so?
[[nodiscard]] bool says(const CdNodes& nodes, std::string_view params) noexcept;

/// Writes `params`, and libxl's word for the back end beside it, into both, in one transaction.
/// False: the device is gone from xenstore, and nothing was written. Errors: io.
Task<Result<bool>> write_cd_params(Loop& loop, CdNodes nodes, std::string params, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_CD_NODES_HPP_
