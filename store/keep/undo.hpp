// SPDX-License-Identifier: MIT
// What a run of recovery took away or rewrote (R22), and how it is put back. Rows are written by
// recovery/base/undo_recorder.hpp.
//
// Put back are the documents: the text of entries, and members. The rest is kept to be read, since
// QEMU decides it: an entry that goes (R1), the medium in a drive, a registration, an intent, and
// what was dropped from the schema, which is never run.
//
// Of each domain all rows are put back in one commit under its slow lock, or none. A domain that
// has changed since (its epoch or revision moved on) is refused by name; with `force` a row is put
// back where it is still what the run left.
#ifndef XLSTORE_STORE_KEEP_UNDO_HPP_
#define XLSTORE_STORE_KEEP_UNDO_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"

namespace xlstore {

struct UndoOptions {
    std::optional<DomainId> only;  ///< rows of this domain alone
    bool force = false;
    bool dry_run = false;  ///< says what it would do, and writes nothing
};

/// What became of one row, or would.
struct UndoneRow {
    std::int64_t line = 0;  ///< its number
    std::string subject;    ///< "domain 7 (web): entry disks/hdc"
    std::string operation;  ///< insert, update, delete: what the run did
    bool put_back = false;
    std::string why;                    ///< why not; "": it was
    std::optional<std::string> before;  ///< the row as it was, an object by column
    std::optional<std::string> after;
};

/// In the order in which they are put back: the newest first. Those that were put back earlier are
/// omitted. Errors: not_found (no such run, or it is pruned); refused, naming the first domain
/// that moved on, or the row that cannot be put back; busy, lost; gone (the domains of all that
/// could be put back are over; of some, their rows are told as kept to be read). What was put back
/// of domains before the one that the error names stays so, and is named; of that one nothing was
/// changed.
Task<Result<std::vector<UndoneRow>>> undo_run(Store& store, std::int64_t run, UndoOptions options,
                                              Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_KEEP_UNDO_HPP_
