// SPDX-License-Identifier: MIT
#include "store/database/first_look.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <optional>

#include "store/model/store_paths.hpp"

namespace xlstore {

namespace {

std::optional<off_t> size_of(const std::string& path)
{
    struct stat st {};
    if (lstat(path.c_str(), &st) == 0) return st.st_size;
    if (errno == ENOENT) return std::nullopt;
    throw IoError(errno, "cannot look at " + path);
}

}  // namespace

Result<void> check_before_opening(const std::string& directory)
{
    const std::string database = StorePaths(directory).database();
    const auto size = size_of(database);
    const bool has_log = size_of(database + "-wal").value_or(0) != 0;
    if (size.value_or(1) != 0 && (size || !has_log)) return {};
    const std::string what = size ? database + " is empty" : "there is no " + database;
    if (!has_log)
        return Error(
            Errc::store, "store: " + what,
            "'xlfsck -y' makes a new one, 'xlfsck -y --rebuild' registers the QEMUs of the lost "
            "one in it; if there is a backup, 'xlstore restore FILE' puts that back instead");
    return Error(
        Errc::store, "store: " + what + ", and its log store.db-wal is there",
        "open it with no other program, which would delete the log; 'xlfsck -y' makes a new "
        "database of what the log has");
}

}  // namespace xlstore
