// SPDX-License-Identifier: MIT
// Which database is opened: the store's own, or a private copy of it, for those who look and must
// leave every byte as it is, or may not take the log beside it for its own.
#ifndef XLSTORE_STORE_CORE_STORE_SOURCE_HPP_
#define XLSTORE_STORE_CORE_STORE_SOURCE_HPP_

#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "schema/steps.hpp"
#include "store/base/file_identity.hpp"
#include "store/database/db.hpp"
#include "store/database/displaced.hpp"
#include "store/database/private_copy.hpp"
#include "store/lock/locks.hpp"

namespace xlstore {

/// SQLite may have its log locked for longer than one wait of its own lasts, or not wait at all,
/// when many programs open the store in the moment in which its last user has closed it.
/// @throws what `open` throws, and DbError once `until` is over
template <class Open>
auto while_busy(Deadline until, Open open)
{
    constexpr int kBusy = 5;  // SQLITE_BUSY
    for (;;) {
        try {
            return open();
        } catch (const DbError& e) {
            if ((e.extended_code() & 0xff) != kBusy || Clock::now() >= until) throw;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

struct DatabaseKind {
    Durability durability;
    std::int64_t version;
    std::optional<Displaced> displaced;
    [[nodiscard]] bool is_older() const { return version < schema::newest_version(); }
};

/// What SQLite says of `database`, as an error of the store's.
[[nodiscard]] Error unusable(const std::string& database, const DbError& why);

class Source {
public:
    /// `reconcile`: a database that went back or was copied is to be made this place's store.
    Source(const std::string& directory, Db::Mode mode, bool reconcile);
    /// Looks at it, and decides. Reads only, but for `reconcile`: the log of another state is put
    /// aside, and one that SQLite does not read is kept (displaced.hpp). Errors: store, busy, io,
    /// as Store::open has them.
    Result<DatabaseKind> choose(const Locks& locks, Deadline until);

    std::string database;
    std::string path;  ///< of what is opened
    std::unique_ptr<PrivateCopy> copy;
    std::unique_ptr<Db> connection;        ///< to go on with; null: open `path`
    std::optional<FileIdentity> identity;  ///< of `database`, from before `connection` was made
    Db::Mode looking_mode;
    std::optional<Displaced> displaced;  ///< for those who look
    std::string kept_log;                ///< for `reconcile`, the log that was kept; "": none

private:
    [[nodiscard]] bool writes() const { return mode_ == Db::Mode::read_write; }
    Result<void> read_a_copy();
    Result<void> pass_log(Displaced why, const Locks& locks, Deadline until);
    Result<void> look_at_older(std::int64_t version);

    std::string directory_;
    Db::Mode mode_;
    bool reconcile_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_STORE_SOURCE_HPP_
