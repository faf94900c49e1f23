// SPDX-License-Identifier: MIT
#include "tools/common/stderr_log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace xlstore::tools {

namespace {

spdlog::level::level_enum to_spdlog(LogLevel level)
{
    switch (level) {
    case LogLevel::debug:
        return spdlog::level::debug;
    case LogLevel::info:
        return spdlog::level::info;
    case LogLevel::warning:
        return spdlog::level::warn;
    case LogLevel::error:
        break;
    }
    return spdlog::level::err;
}

}  // namespace

StderrLog::StderrLog(const std::string& program)
    : logger_(std::make_shared<spdlog::logger>(program,
                                               std::make_shared<spdlog::sinks::stderr_sink_mt>()))
{
    logger_->set_pattern("%n: %l: %v");
    logger_->set_level(spdlog::level::debug);  // which lines there are, the store is told
    logger_->set_error_handler([](const std::string&) {});
}

void StderrLog::operator()(LogLevel level, std::string_view line) const
{
    logger_->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace xlstore::tools
