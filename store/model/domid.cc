// SPDX-License-Identifier: MIT
#include "store/model/domid.hpp"

#include <string>

namespace xlstore {

Result<void> check_domid(std::int64_t domid)
{
    if (domid < 0 || domid > 32751)
        return Error(Errc::invalid,
                     "domid " + std::to_string(domid) + " is out of range: 0 to 32751");
    return {};
}

}  // namespace xlstore
