// SPDX-License-Identifier: MIT
// A VFS for SQLite, over its own, that watches the files of one directory: it knows what of each
// was synced and what was not, so that it can say what a power cut may leave; and it can make any
// of its calls fail. It becomes SQLite's default one for the process; files elsewhere pass through.
#ifndef XLSTORE_TESTS_SUPPORT_WATCHED_DISK_HPP_
#define XLSTORE_TESTS_SUPPORT_WATCHED_DISK_HPP_

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <variant>
#include <vector>

namespace xlstore::test {

class WatchedDisk {
public:
    enum class Call { open, read, write, sync, truncate, size, lock, shm_map, shm_lock, remove };

    /// One at a time.
    explicit WatchedDisk(std::string directory);
    WatchedDisk(const WatchedDisk&) = delete;
    WatchedDisk& operator=(const WatchedDisk&) = delete;
    ~WatchedDisk();

    /// Called before each call on a watched file; what it returns (SQLITE_OK, or an error) decides.
    std::function<int(Call)> before = {};
    /// Called after each write, sync and truncation that went well.
    std::function<void(Call)> after = {};
    /// A disk that says it has synced, and has not.
    bool lies = false;

    /// Commits whose last frame was written to a log.
    [[nodiscard]] int commits() const noexcept { return commits_; }

    /// What may have become of the unsynced writes, counted.
    struct Losses {
        std::int64_t kept = 0, lost = 0, torn = 0;
    };
    /// The files, by name, as a cut at this moment may leave them: what was synced, and of what was
    /// not an arbitrary part, whatever its order; some writes torn at a sector's edge.
    std::map<std::string, std::string> cut(std::mt19937_64& dice, Losses& losses) const;

    struct Write {
        std::int64_t at;
        std::string bytes;
    };
    struct Truncate {
        std::int64_t size;
    };
    struct File {
        std::string synced;
        std::vector<std::variant<Write, Truncate>> since;
    };

    // For the functions that SQLite calls.
    [[nodiscard]] bool watches(const char* path) const;
    int ask(Call call) const { return before ? before(call) : SQLITE_OK; }
    void done(Call call) const
    {
        if (after) after(call);
    }
    File& file(const std::string& path);
    void wrote(File& file, bool log, std::int64_t at, const char* bytes, std::size_t size);
    void forget(const std::string& path) { files_.erase(path); }

private:
    std::string directory_;
    std::map<std::string, File> files_;
    int commits_ = 0;
    bool last_frame_ = false;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_WATCHED_DISK_HPP_
