// SPDX-License-Identifier: MIT
// What was damaged or has no place any more, kept in table set_aside: nothing that can be read is
// thrown away.
#ifndef XLSTORE_RECOVERY_BASE_QUARANTINE_HPP_
#define XLSTORE_RECOVERY_BASE_QUARANTINE_HPP_

#include <optional>
#include <string_view>

#include "store/core/store.hpp"

namespace xlstore::recovery {

/// REQUIRES a transaction of `db`. @throws DbError
void quarantine(Db& db, std::optional<DomainId> domain, std::string_view what, std::string_view why,
                std::string_view text);
/// Is that name a string of any text that is kept there, in any spelling? Of a text that cannot be
/// read rather too often than not. @throws DbError
[[nodiscard]] bool is_named_in_quarantine(Db& db, std::string_view name);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_BASE_QUARANTINE_HPP_
