// SPDX-License-Identifier: MIT
#include "tools/common/store_handles.hpp"

#include <utility>

namespace xlstore::tools {

Error error_of(int32_t status, std::string message, std::string advice, int64_t intent)
{
    Error error(static_cast<Errc>(-1 - status), std::move(message), std::move(advice));
    if (intent != 0) error.intent = intent;
    return error;
}

Error last_error()
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    return error_of(error.status, error.message, error.advice, error.intent);
}

}  // namespace xlstore::tools
