// SPDX-License-Identifier: MIT
// The documents that libxl keeps, one file a domain: userdata-d.DOMID.UUID.libxl-json. While libxl
// writes one anew it is called userdata-n.…, and renamed at the end.
#ifndef XLSTORE_RECOVERY_REBUILD_USERDATA_HPP_
#define XLSTORE_RECOVERY_REBUILD_USERDATA_HPP_

#include <cstdint>
#include <string>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore::recovery {

struct UserdataDocument {
    std::string path;
    std::string uuid;  ///< as the name of the file and the document have it, in lower case
    std::string name;  ///< of the domain
    std::string text;
};

struct Userdata {
    std::vector<UserdataDocument> documents;  ///< one a uuid, in the order of uuids
    /// What could not be looked at, or is no document of the domain that its file is named after.
    std::vector<Error> unseen;
};

/// The documents in `directory` of domains with this domid. Several: all but one are of domains
/// that are over; which, the files do not tell. The file userdata-n counts where there is no
/// userdata-d of that uuid and what is in it is a whole document: its writer was cut off before the
/// rename.
[[nodiscard]] Userdata read_userdata(const std::string& directory, std::int64_t domid);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_REBUILD_USERDATA_HPP_
