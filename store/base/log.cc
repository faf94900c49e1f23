// SPDX-License-Identifier: MIT
#include "store/base/log.hpp"

#include <exception>

namespace xlstore {

Log::Log(LogFunction function, LogLevel least) : function_(std::move(function)), least_(least) {}

void Log::write(LogLevel level, std::string_view line) const noexcept
{
    if (level < least_) return;
    try {
        const std::lock_guard one_line(one_line_);
        function_(level, line);
    } catch (const std::exception&) {
        // There is no other place to say it.
    }
}

}  // namespace xlstore
