// SPDX-License-Identifier: MIT
// Open intents as their rows have them. Reading only; the journal writes them
// (store/core/journal.hpp).
#ifndef XLSTORE_STORE_CORE_INTENT_ROWS_HPP_
#define XLSTORE_STORE_CORE_INTENT_ROWS_HPP_

#include <optional>
#include <vector>

#include "store/base/domain_id.hpp"
#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// What an open intent is about.
struct IntentSubject {
    DomainId domain{};
    ThingName thing;
    bool in_batch = false;
};
/// Without its plan, which takes time to read. Error: not_found.
Result<IntentSubject> read_intent_subject(Db& db, IntentId id);
/// The open intent with this number; not_found otherwise. Error store: it cannot be read back.
Result<Intent> read_intent(Db& db, IntentId id);
/// What has to be settled as one: that intent, or the whole batch it belongs to, oldest first. Of
/// an older state of the store each is settled with what QEMU shows of it alone: nothing is undone.
Result<std::vector<Intent>> read_batch(Db& db, IntentId id);
/// Of one domain, oldest first.
std::vector<IntentId> open_intents(Db& db, DomainId domain);
std::optional<IntentId> open_intent_of(Db& db, DomainId domain, const ThingName& name);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_INTENT_ROWS_HPP_
