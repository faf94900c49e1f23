// SPDX-License-Identifier: MIT
// How a call of the C API ended: one that waited, or one that was started.
#ifndef XLSTORE_TESTS_SUPPORT_STARTED_CALL_HPP_
#define XLSTORE_TESTS_SUPPORT_STARTED_CALL_HPP_

#include <cstdint>
#include <string>

#include "xlstore/xlstore.h"

namespace xlstore::test {

inline std::string last_error()
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    return std::string(error.message) + " (" + xlstore_status_name(error.status) + ")";
}

/// How an operation that was started ended.
struct Told {
    int calls = 0;
    int32_t status = 0;
    int64_t intent = 0;
    std::string message = {};
    std::string json = {};
};
inline void tell(xlstore_result* result, void* userdata)
{
    auto& told = *static_cast<Told*>(userdata);
    ++told.calls;
    told.status = xlstore_result_status(result);
    told.intent = xlstore_result_intent(result);
    told.message = xlstore_result_message(result);
    told.json = xlstore_result_json(result);
}

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_STARTED_CALL_HPP_
