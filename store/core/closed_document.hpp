// SPDX-License-Identifier: MIT
// Is a document closed? (How it is closed and opened: store/operation/closing.hpp.) Asked by each
// commit 1, and by what would change what QEMU has.
#ifndef XLSTORE_STORE_CORE_CLOSED_DOCUMENT_HPP_
#define XLSTORE_STORE_CORE_CLOSED_DOCUMENT_HPP_

#include <optional>
#include <string>

#include "store/base/domain_id.hpp"
#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/model/domain_row.hpp"

namespace xlstore {

/// Who closed a document, when and why, for people; nothing: it is open.
[[nodiscard]] std::optional<std::string> closed_by(Db& db, DomainId domain);

/// Error refused, naming that and the way out: the document of a running domain is closed.
Result<void> check_open(Db& db, DomainId domain);

/// The command that opens it again, quoted, for messages.
[[nodiscard]] std::string command_to_reopen(const DomainRow& domain);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_CLOSED_DOCUMENT_HPP_
