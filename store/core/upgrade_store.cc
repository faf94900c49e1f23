// SPDX-License-Identifier: MIT
// The connection stays open while it waits to be alone: below the writer lock no session can begin,
// so that holding every session byte there means that no other process has the store open for
// writing (R17). Then all steps, what they cannot say in SQL, and the line of history are one
// transaction. Who comes second finds the new version and goes on.
#include <sqlite3.h>

#include <thread>

#include "schema/steps.hpp"
#include "store/core/history.hpp"
#include "store/core/store.hpp"
#include "store/core/upgrade.hpp"
#include "store/database/tables.hpp"
#include "store/lock/session_holders.hpp"
#include "store/testing/mutation.hpp"

namespace xlstore {

namespace {

Error not_upgraded(const Store& store, std::int64_t from, const DbError& why)
{
    const bool full = (why.extended_code() & 0xff) == SQLITE_FULL;
    return Error(Errc::store,
                 "store: " + store.directory() + " " + version_words(from) +
                     "; it could not be upgraded, and is as it was: " + why.reason(),
                 full ? "make room on its file system, and run 'xlstore upgrade'"
                      : "run 'xlstore upgrade'; the release that made the store can still use it");
}

Error upgrade_in_use(const Store& store, std::int64_t from)
{
    return Error(Errc::busy,
                 "store: " + store.directory() + " " + version_words(from) +
                     "; to upgrade it a process must have it alone, and it is open" +
                     and_session_holders(store.locks()),
                 "start these programs anew with this release, or end them, and run 'xlstore "
                 "upgrade'; the QEMUs run on");
}

std::string steps_since(std::int64_t from)
{
    return "schema version " + std::to_string(from) + " to " +
           std::to_string(schema::newest_version());
}

// Under the writer lock no session can be about to begin. False: not alone.
Result<bool> upgrade_if_alone(Store& store, std::int64_t from, Deadline until)
{
    std::optional<ByteLock> alone;  // until after the commit
    const KeysUnchecked unchecked(store.db());
    const auto section = [&](const WriterHold&) -> Result<bool> {
        const auto found = schema_version(store.db());
        if (found != from) return found == schema::newest_version();  // another process did it
        auto sessions = store.locks().try_all_sessions();
        if (!sessions) return sessions.error();
        if (!*sessions && !XLSTORE_MUTATION("alone for an upgrade")) return false;
        alone = std::move(*sessions);
        upgrade_rows(store.db());
        add_history(store.db(), Author{store.self().pid, store.program()},
                    HistoryLine{{}, "upgrade", {}, {}, "done", {}, steps_since(from)});
        return true;
    };
    return store.loop().wait_for(store.with_writer_lock("upgrade", until, section));
}

}  // namespace

Result<void> Store::upgrade(Deadline until)
{
    for (;;) {
        const auto from = schema_version(*db_);
        if (from >= schema::newest_version()) return {};
        try {
            const auto done = upgrade_if_alone(*this, from, until);
            if (!done) return done.error();
            if (*done) {
                log(LogLevel::info, "upgraded: " + steps_since(from));
                return {};
            }
        } catch (const DbError& e) {
            if (is_damage(e)) throw;
            return not_upgraded(*this, from, e);
        }
        if (Clock::now() >= until) return upgrade_in_use(*this, from);
        std::this_thread::sleep_for(kLockPoll);
    }
}

}  // namespace xlstore
