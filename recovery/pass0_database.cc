// SPDX-License-Identifier: MIT
// Pass 0: the database itself.
//
// Checks     integrity, foreign keys, that rows do not contradict each other   (1-2);
//            which SQLite this is, and the size of its log                     (3-4).
// Relies on  nothing but that the store could be opened (identity and version are checked there).
// Leaves     a database that can be read, or nothing for the other passes to do.
#include <sqlite3.h>

#include "recovery/passes.hpp"

namespace xlstore::recovery {

namespace {

// Fixed in 3.51.3, and in the branches 3.50 (.7) and 3.44 (.6). See DESIGN 4.
bool has_log_race()
{
    const int v = sqlite3_libversion_number();
    return !(v >= 3051003 || (v >= 3050007 && v < 3051000) || (v >= 3044006 && v < 3045000));
}

}  // namespace

bool pass0_database(Check& check, Store& store)
{
    Db& db = store.db();
    bool sound = true;
    try {
        auto integrity = db.prepare("PRAGMA integrity_check(10)");
        while (integrity.step()) {
            const auto text = integrity.text(0);
            if (text == "ok") break;
            sound = false;
            check.report(Code::database_damaged, Subject{"store.db", text});
        }
        auto keys = db.prepare("PRAGMA foreign_key_check");
        while (keys.step()) {
            sound = false;
            check.report(Code::database_damaged,
                         Subject{"store.db", "a row of " + keys.text(0) +
                                                 " names a missing row of " + keys.text(2)});
        }
        if (!sound) return false;
        auto breaches = db.prepare(
            "SELECT domid, coalesce(class || '/' || key, ''), rule || ': ' || breach "
            "FROM invariant_breaches");
        while (breaches.step())
            check.report(Code::database_breach,
                         Subject{"domain " + breaches.text(0) + " " + breaches.text(1),
                                 breaches.text(2), breaches.integer(0)});
    } catch (const DbError& e) {
        check.report(Code::database_damaged, Subject{"store.db", e.what()});
        return false;
    }
    if (has_log_race())
        check.report(Code::log_race, Subject{std::string("SQLite ") + sqlite3_libversion()});
    return true;
}

}  // namespace xlstore::recovery
