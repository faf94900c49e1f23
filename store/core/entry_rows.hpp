// SPDX-License-Identifier: MIT
// The rows of entries (table thing) as the journal writes them. Each function is a part of the
// journal's transaction, below the fast lock; none reads or writes history or intents, but for the
// order in which things were made.
#ifndef XLSTORE_STORE_CORE_ENTRY_ROWS_HPP_
#define XLSTORE_STORE_CORE_ENTRY_ROWS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/domain_id.hpp"
#include "store/database/db.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// A new entry, behind the last of its class, whose thing QEMU has. Its row.
std::int64_t insert_entry_row(Db& db, DomainId domain, const ThingName& name,
                              std::string_view state, const std::string& json);
void update_entry_row(Db& db, std::int64_t thing, std::string_view state, const std::string& json);
/// From the index alone.
[[nodiscard]] std::optional<std::int64_t> entry_row_id(Db& db, DomainId domain,
                                                       const ThingName& name);

/// The number behind the last in the order in which the domain's things were made.
[[nodiscard]] std::int64_t next_made(Db& db, DomainId domain);
/// Of a thing that is there now: its number in that order, and the address that QEMU chose for it.
void write_made(Db& db, const Intent& intent);

/// b_info.avail_vcpus of the document follows the entries of class vcpus; of another class this
/// does nothing.
void follow_vcpu(Db& db, DomainId domain, const ThingName& thing, bool present);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_ENTRY_ROWS_HPP_
