// SPDX-License-Identifier: MIT
#include "store/base/log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <mutex>

namespace xlstore {

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

LogLevel from_spdlog(spdlog::level::level_enum level)
{
    switch (level) {
    case spdlog::level::trace:
    case spdlog::level::debug:
        return LogLevel::debug;
    case spdlog::level::info:
        return LogLevel::info;
    case spdlog::level::warn:
        return LogLevel::warning;
    default:
        return LogLevel::error;
    }
}

class FunctionSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit FunctionSink(LogFunction function) : function_(std::move(function)) {}

protected:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        function_(from_spdlog(message.level),
                  std::string_view(message.payload.data(), message.payload.size()));
    }
    void flush_() override {}

private:
    LogFunction function_;
};

}  // namespace

Log::Log(std::shared_ptr<spdlog::logger> logger) : logger_(std::move(logger)) {}
Log::~Log() = default;

Log::Log(LogFunction function, LogLevel least)
    : logger_(std::make_shared<spdlog::logger>("xlstore",
                                               std::make_shared<FunctionSink>(std::move(function))))
{
    logger_->set_level(to_spdlog(least));
    // A line that could not be made is lost; spdlog would say so on the embedder's standard error.
    logger_->set_error_handler([](const std::string&) {});
}

std::shared_ptr<const Log> Log::to_stderr(const std::string& program, LogLevel least)
{
    auto logger = std::make_shared<spdlog::logger>(
        program, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("%n: %l: %v");
    logger->set_level(to_spdlog(least));
    return std::shared_ptr<const Log>(new Log(std::move(logger)));
}

void Log::write(LogLevel level, std::string_view line) const
{
    logger_->log(to_spdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace xlstore
