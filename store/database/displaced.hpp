// SPDX-License-Identifier: MIT
// Why a database is not the store of the place that it is found in (R17). One of another place was
// copied; one with fewer commits than its directory has seen went back to an older state: a copy
// was put back, or its log was lost. Both may be looked at. A process that wrote there would give
// ids out again, and act on QEMUs by rows that are not true, or are another store's: writing is
// refused until xlfsck has made it this place's store.
#ifndef XLSTORE_STORE_DATABASE_DISPLACED_HPP_
#define XLSTORE_STORE_DATABASE_DISPLACED_HPP_

#include <optional>
#include <string>

#include "store/base/error.hpp"
#include "store/database/db.hpp"
#include "store/database/place.hpp"
#include "store/lock/locks.hpp"

namespace xlstore {

/// Why a database is not this place's store.
struct Displaced {
    enum class Why {
        older,          ///< it has fewer commits than the directory has seen
        beside_a_log,   ///< it is a copy, and the log of another state lies beside it
        copied,         ///< it is that of another directory of this machine
        other_machine,  ///< it is that of another machine
    };
    Why why;
    std::string text;      ///< what was seen, for messages
    std::string original;  ///< copied: where the store that it is a copy of still is; "": gone
};
/// `db`: the database, of any schema; `seen`: what the directory remembers, read before the
/// database was. @throws DbError
[[nodiscard]] std::optional<Displaced> displaced(Db& db, const Memory& seen, const Place& here);
/// Of a database with so many commits, fewer than the directory has seen.
[[nodiscard]] Displaced went_back(std::int64_t commits, const Memory& seen);
/// Before SQLite has opened it, which would take that log for the database's own: a database that
/// came out of a backup has none. `database`: its path. Opens it through SQLite's own functions.
[[nodiscard]] std::optional<Displaced> beside_a_log(const std::string& database);
/// Keeps that log under a dated name, which it returns; "": another process did. Waits until
/// `until` for those that have the store open. Errors: busy, naming them; lost. @throws IoError
Result<std::string> put_log_aside(const Locks& locks, const std::string& directory, Deadline until);
/// Before a database that is not this place's store is made that, whose commits SQLite writes over
/// what it does not read of the log: a copy of such a log, under a dated name, which it returns;
/// "": SQLite reads all that is there. Waits, and fails, as put_log_aside().
/// @throws IoError
Result<std::string> keep_unread_log(const Locks& locks, const std::string& directory,
                                    Deadline until);
/// Error busy, naming those that have the store open: it can be put in its place by one alone.
[[nodiscard]] Error displaced_in_use(const Locks& locks, const std::string& directory);
/// Error store: what was seen, and the command that helps.
[[nodiscard]] Error displaced_error(const std::string& directory, const Displaced& why);

/// Makes it the store of `here`: ids and epochs go on above all that the directory has seen, and
/// what is under way in it (open intents, creations) is marked as that of an older state, which is
/// found out about by looking alone (R19; schema/0017_older_intents.sql). REQUIRES an open write
/// transaction, and every session byte. @throws DbError
void reconcile_place(Db& db, const Memory& seen, const Place& here);
/// The same where it is not known which place's store it is. Otherwise the place stays as its row
/// has it: whether a copy becomes this place's store is asked (xlfsck). REQUIRES and @throws as
/// above.
void reconcile_unplaced(Db& db, const Memory& seen, const Place& here);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_DISPLACED_HPP_
