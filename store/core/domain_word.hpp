// SPDX-License-Identifier: MIT
// The words by which a caller names domains, and what each can mean.
#ifndef XLSTORE_STORE_CORE_DOMAIN_WORD_HPP_
#define XLSTORE_STORE_CORE_DOMAIN_WORD_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/database/db.hpp"

namespace xlstore {

enum class NamedBy { domid, uuid, name };

/// One of the ways in which a word can be meant.
struct Reading {
    NamedBy by;
    std::variant<std::int64_t, std::string> value;  ///< a uuid in lower case
};

/// In the order in which they are tried: "domid:7", "uuid:…", "name:web" has one, a bare word all
/// three. None: the word cannot name a domain.
[[nodiscard]] std::vector<Reading> readings_of(std::string_view word);

/// The number in "id:N", which names one incarnation and has no other reading.
[[nodiscard]] std::optional<std::int64_t> incarnation_of(std::string_view word);

/// The statement, with the reading's value as its one parameter.
[[nodiscard]] Statement prepare_reading(Db& db, const char* sql, const Reading& reading);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_DOMAIN_WORD_HPP_
