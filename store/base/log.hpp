// SPDX-License-Identifier: MIT
// What a store has to say while it works: changes of state (info) and decisions (debug), a line
// each, facts as fields. Errors are returned, not logged: a caller that drops one logs it. Lines go
// to a function of the host's; the library itself writes none anywhere.
#ifndef XLSTORE_STORE_BASE_LOG_HPP_
#define XLSTORE_STORE_BASE_LOG_HPP_

#include <functional>
#include <mutex>
#include <string_view>

namespace xlstore {

enum class LogLevel { debug, info, warning, error };

/// Receives a finished line, without newline, printable. Called on the store's thread, possibly
/// under its locks: it must not call back into the store, wait, or throw.
using LogFunction = std::function<void(LogLevel, std::string_view)>;

class Log {
public:
    /// Lines of at least `least` go to `function`, one at a time.
    Log(LogFunction function, LogLevel least);
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;
    ~Log() = default;

    /// What `function` throws all the same is dropped: a line that could not be written ends no
    /// operation.
    void write(LogLevel level, std::string_view line) const noexcept;

private:
    LogFunction function_;
    LogLevel least_;
    mutable std::mutex one_line_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_LOG_HPP_
