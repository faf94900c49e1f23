// SPDX-License-Identifier: MIT
#include "store/database/write_permit.hpp"

#include <sqlite3.h>

namespace xlstore {

int permit_writes(sqlite3* db) noexcept
{
    return sqlite3_create_function_v2(
        db, "only_xlstore_changes_this", 0, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
        nullptr,
        [](sqlite3_context* context, int, sqlite3_value**) { sqlite3_result_int(context, 1); },
        nullptr, nullptr, nullptr);
}

int tell_written_for(sqlite3* db, const std::string& token) noexcept
{
    return sqlite3_create_function_v2(
        db, "written_for", 0, SQLITE_UTF8 | SQLITE_INNOCUOUS, const_cast<std::string*>(&token),
        [](sqlite3_context* context, int, sqlite3_value**) {
            const auto& now = *static_cast<const std::string*>(sqlite3_user_data(context));
            sqlite3_result_text(context, now.data(), static_cast<int>(now.size()),
                                SQLITE_TRANSIENT);
        },
        nullptr, nullptr, nullptr);
}

}  // namespace xlstore
