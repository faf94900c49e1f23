// SPDX-License-Identifier: MIT
// Where the library's lines go in the tools: to standard error, "xlstore: debug: line". A logger of
// our own; spdlog is used here alone, and its global logger not at all.
#ifndef XLSTORE_TOOLS_COMMON_STDERR_LOG_HPP_
#define XLSTORE_TOOLS_COMMON_STDERR_LOG_HPP_

#include <memory>
#include <string>
#include <string_view>

#include "store/base/log.hpp"

namespace spdlog {
class logger;
}

namespace xlstore::tools {

/// A LogFunction; copies write to the same logger. A line that cannot be written is lost.
class StderrLog {
public:
    explicit StderrLog(const std::string& program);

    void operator()(LogLevel level, std::string_view line) const;

private:
    std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_STDERR_LOG_HPP_
