// SPDX-License-Identifier: MIT
// The header of a database file, as it stands in the file: what the log has is not in it. Read by
// SQLite's own layer, without a connection: to open and close the file past that layer would drop
// the locks that this process has on it.
#ifndef XLSTORE_STORE_DATABASE_FILE_HEADER_HPP_
#define XLSTORE_STORE_DATABASE_FILE_HEADER_HPP_

#include <cstdint>
#include <optional>
#include <string>

namespace xlstore {

struct FileHeader {
    enum class Mode { journal, log, other };  ///< how the next connection finds it
    Mode mode;
    std::int64_t user_version;
    std::int64_t application_id;
};

/// Nothing: it cannot be read, or is no database of SQLite's. Reads only.
[[nodiscard]] std::optional<FileHeader> read_file_header(const std::string& database);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_FILE_HEADER_HPP_
