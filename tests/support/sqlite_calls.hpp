// SPDX-License-Identifier: MIT
// Every call of SQLite's to its files, seen by one observer, which may let it fail. It is a VFS of
// SQLite's own kind over the usual one, and becomes the default, so that the library under test is
// opened through it and needs no seam.
#ifndef XLSTORE_TESTS_SUPPORT_SQLITE_CALLS_HPP_
#define XLSTORE_TESTS_SUPPORT_SQLITE_CALLS_HPP_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace xlstore::test {

enum class SqliteCall {
    open,
    remove,
    access,
    read,
    write,
    truncate,
    sync,
    size,
    lock,
    map,
    index_lock
};
inline constexpr int kSqliteCalls = 11;
[[nodiscard]] std::string_view name_of(SqliteCall call) noexcept;
/// SQLite's own code for a failure of such a call.
[[nodiscard]] int failure_of(SqliteCall call) noexcept;

class SqliteObserver {
public:
    SqliteObserver() = default;
    SqliteObserver(const SqliteObserver&) = delete;
    SqliteObserver& operator=(const SqliteObserver&) = delete;
    virtual ~SqliteObserver() = default;

    /// Before a call. False: it is not made, and SQLite gets failure_of(call).
    virtual bool may(SqliteCall, const std::string& /*path*/) { return true; }
    // After calls that changed something (a removal: just before). A file that was there already is
    // not made.
    virtual void made(const std::string& /*path*/) {}
    virtual void removed(const std::string& /*path*/) {}
    virtual void written(const std::string& /*path*/, std::int64_t /*at*/,
                         std::span<const std::byte> /*what*/)
    {}
    virtual void truncated(const std::string& /*path*/, std::int64_t /*size*/) {}
    virtual void synced(const std::string& /*path*/) {}
    /// SQLite's writer lock was given back: what was committed is committed.
    virtual void writer_left(const std::string& /*path*/) {}
};

/// While it exists, files that are opened in this process are opened through the observer's eyes.
/// One at a time; files that are still open when it ends are no longer watched.
class Watching {
public:
    explicit Watching(SqliteObserver& observer);
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching();
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SQLITE_CALLS_HPP_
