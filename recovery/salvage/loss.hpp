// SPDX-License-Identifier: MIT
// What a salvage could not bring over as it was.
#ifndef XLSTORE_RECOVERY_SALVAGE_LOSS_HPP_
#define XLSTORE_RECOVERY_SALVAGE_LOSS_HPP_

#include <string>

#include "recovery/base/problem.hpp"

namespace xlstore::recovery {

struct Loss {
    Code code;  ///< row_lost, row_rebuilt, row_set_aside
    std::string subject;
    std::string why;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_LOSS_HPP_
