// SPDX-License-Identifier: MIT
// What SQLite does not read of its log, and would write over.
#ifndef XLSTORE_STORE_DATABASE_LOG_FLAW_HPP_
#define XLSTORE_STORE_DATABASE_LOG_FLAW_HPP_

#include <optional>
#include <string>

#include "store/base/error.hpp"

namespace xlstore {

/// Why SQLite reads less of the log of `database` than was committed there, in words; nothing: it
/// reads all, or its header is sound and it is of an older boot: a power cut can leave a gap, and
/// what follows that was never promised. The header is on the disk before the first frame is
/// written. That there are commits behind a gap does not prove that they count: a process that is
/// killed in the middle of a commit leaves frames that the next commit writes over in part. Whether
/// SQLite reads what the directory remembers (R17) tells the two apart; that is for the caller to
/// ask. Reads the file through SQLite's own functions. @throws IoError
[[nodiscard]] std::optional<std::string> flaw_of_log(const std::string& database);

/// Has that log anything that SQLite does not read of it, of any boot, and whether or not it can be
/// read at all (DamagedLog::has_unread)? Reads it as flaw_of_log(). @throws IoError
[[nodiscard]] bool has_unread_log(const std::string& database);
/// The same of a database that lacks commits: what no checksum proves may be theirs.
[[nodiscard]] bool may_have_lost_commits(const std::string& database);

/// Error store: what flaw_of_log() says, and the command that helps.
[[nodiscard]] Error log_error(const std::string& directory, const std::string& flaw);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_LOG_FLAW_HPP_
