// SPDX-License-Identifier: MIT
// What has been done to the store, a line each: written in the transaction of what it tells, so
// that there is no line without its deed. Old lines go by pruning (store/keep/prune.hpp).
#ifndef XLSTORE_STORE_CORE_HISTORY_HPP_
#define XLSTORE_STORE_CORE_HISTORY_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/domain_id.hpp"
#include "store/database/db.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// One line of history. Evidence is bounded and printable; neither it nor a medium holds a secret.
struct HistoryLine {
    std::optional<DomainId> domain;
    std::string operation;
    std::optional<ThingName> thing;
    std::optional<IntentId> intent;
    std::string outcome;  ///< done, not done, begun
    std::optional<Image> image;
    std::string evidence;
    std::string asked = {};  ///< names of QMP commands; their arguments may be secret
    std::optional<std::int64_t> author = {};  ///< session that opened the intent
    std::optional<std::string> medium_before = {};
    std::optional<std::string> medium_after = {};
};

/// What history says of the medium in a CD drive with this JSON: a path; "" for none; of what is no
/// absolute path (a URI can hold a password) the part before its first colon. Nothing: the thing is
/// no CD drive.
[[nodiscard]] std::optional<std::string> medium_in(const ThingName& thing, std::string_view json);

/// The path of a medium; of a name that is no path its protocol alone: the rest may hold a secret.
[[nodiscard]] std::string path_of_medium(std::string name);

/// The process that writes a line.
struct Author {
    std::int64_t pid;
    std::string program;
};

/// REQUIRES an open write transaction.
void add_history(Db& db, const Author& author, const HistoryLine& line);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_HISTORY_HPP_
