// SPDX-License-Identifier: MIT
// Pass 2: sessions.
//
// Checks     that a session's process holds its byte of the file `locks`   (2001).
// Relies on  passes 3 and 4 having settled what dead sessions left open.
// Leaves     rows of living sessions, and of dead ones that an open intent or a creation still
//            names.
#include "recovery/passes/passes.hpp"

namespace xlstore::recovery {

Task<void> pass2_sessions(Check& check, Store& store)
{
    struct SessionRow {
        std::int64_t id;
        std::string text;
    };
    std::vector<SessionRow> dead;
    {
        auto rows = store.db().prepare(
            "SELECT id, program, pid FROM session s WHERE id NOT IN (SELECT owner FROM intent) "
            "AND NOT EXISTS (SELECT 1 FROM domain WHERE creator = s.id)");
        while (rows.step()) {
            const auto id = rows.integer(0);
            const auto held = store.locks().is_held(LockKind::session, id);
            if (!held || *held || id == store.session()) continue;
            dead.push_back(SessionRow{id, "session " + std::to_string(id) + " (" + rows.text(1) +
                                       ", pid " + std::to_string(rows.integer(2)) + ")"});
        }
    }
    for (const auto& row : dead) {
        const Subject about{row.text};
        if (!check.ask(Code::session_dead, about)) continue;
        const auto section = [&](const WriterHold&) -> Result<void> {
            store.db().prepare("DELETE FROM session WHERE id = ?").bind(row.id).run();
            return {};
        };
        auto removed =
            co_await unless_full(store.with_writer_lock("recover", check.deadline(), section));
        if (removed)
            check.fixed(Code::session_dead, about);
        else
            check.failed(Code::session_dead, about, removed.error());
    }
}

}  // namespace xlstore::recovery
