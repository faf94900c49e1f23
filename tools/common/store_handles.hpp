// SPDX-License-Identifier: MIT
// What the library's C interface hands out, owned; and what it has to say of a call that failed.
#ifndef XLSTORE_TOOLS_COMMON_STORE_HANDLES_HPP_
#define XLSTORE_TOOLS_COMMON_STORE_HANDLES_HPP_

#include <memory>
#include <string>

#include "store/base/error.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::tools {

struct Closer {
    void operator()(xlstore_store* store) const { xlstore_close(store); }
    void operator()(xlstore_result* result) const { xlstore_result_free(result); }
    void operator()(char* text) const { xlstore_string_free(text); }
};
using StoreHandle = std::unique_ptr<xlstore_store, Closer>;
using ResultHandle = std::unique_ptr<xlstore_result, Closer>;
using Text = std::unique_ptr<char, Closer>;

/// A status of the C interface (not XLSTORE_OK) and its words. `intent`: 0, none.
[[nodiscard]] Error error_of(int32_t status, std::string message, std::string advice,
                             int64_t intent);
/// What the last call on this thread that failed had to say.
[[nodiscard]] Error last_error();

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_STORE_HANDLES_HPP_
