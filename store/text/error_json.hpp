// SPDX-License-Identifier: MIT
// An Error as JSON, for the command line's --json and the results of the C interface.
#ifndef XLSTORE_STORE_TEXT_ERROR_JSON_HPP_
#define XLSTORE_STORE_TEXT_ERROR_JSON_HPP_

#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// {"code":…,"message":…,"advice":…,"intent":…}; bounded and printable.
[[nodiscard]] std::string error_json(const Error& error);

}  // namespace xlstore

#endif  // XLSTORE_STORE_TEXT_ERROR_JSON_HPP_
