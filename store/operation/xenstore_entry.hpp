// SPDX-License-Identifier: MIT
// The entry of a thing of xenstore over one operation: committed before its nodes (R4), and gone
// behind them (R5). Each of these is one commit under the fast lock that the caller holds.
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_ENTRY_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_ENTRY_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/model/thing_row.hpp"
#include "store/operation/xenstore_work.hpp"

namespace xlstore {

/// An entry that was committed, and the one that was there before it.
struct CommittedEntry {
    ThingName name;
    std::optional<ThingRow> before = {};
};

/// Commits the entry of `json`, new or in the place of one that is there. An empty key is given by
/// the store. Errors: those of put_thing(); nothing has changed then.
Task<Result<CommittedEntry>> commit_xenstore_entry(XenstoreWork& work, const FastLock& fast,
                                                   ThingName name, std::string json, Deadline held);
/// Its nodes were proved not to be written: the entry is what it was before.
Task<Result<void>> take_xenstore_entry_back(XenstoreWork& work, const FastLock& fast,
                                            CommittedEntry entry);
/// The entry becomes 'removing'. Error not_found: it is there no more.
Task<Result<void>> mark_xenstore_entry(XenstoreWork& work, const FastLock& fast, std::int64_t entry,
                                       Deadline held);
/// What is said where a detach, or a change of its medium, has no entry.
[[nodiscard]] Error no_entry_of_xenstore();
/// Its nodes were seen to be gone: the entry goes.
Task<Result<void>> remove_xenstore_entry(XenstoreWork& work, const FastLock& fast, ThingName name);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_ENTRY_HPP_
