// SPDX-License-Identifier: MIT
// What a store has to say while it works: changes of state (info) and decisions (debug), a line
// each, facts as fields. Errors are returned, not logged: a caller that drops one logs it. A logger
// of our own; spdlog's global one, which may be the host's, is never touched.
#ifndef XLSTORE_STORE_BASE_LOG_HPP_
#define XLSTORE_STORE_BASE_LOG_HPP_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
}

namespace xlstore {

enum class LogLevel { debug, info, warning, error };

/// Receives a finished line, without newline, printable. Called on the store's thread, possibly
/// under its locks: it must not call back into the store, wait, or throw.
using LogFunction = std::function<void(LogLevel, std::string_view)>;

class Log {
public:
    /// Lines of at least `least` go to `function`.
    Log(LogFunction function, LogLevel least);
    /// To standard error, as the command-line tools do it: "xlstore: line".
    static std::shared_ptr<const Log> to_stderr(const std::string& program, LogLevel least);
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    ~Log();

    void write(LogLevel level, std::string_view line) const;

private:
    explicit Log(std::shared_ptr<spdlog::logger> logger);
    std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_LOG_HPP_
