// SPDX-License-Identifier: MIT
// A trigger that another program made or changed acts on each write of ours, also on the first one,
// which begins a session. So these are mended before the store is opened, under the writer lock:
// all go first, then what they were is written to quarantine. In the other order the first of them
// could undo what is being kept. A table whose text was overwritten lacks a column, perhaps, that
// the first statement names: it comes before them.
#include "recovery/passes/schema_in_the_way.hpp"

#include <algorithm>

#include "recovery/base/alone.hpp"
#include "recovery/base/quarantine.hpp"
#include "store/core/store_source.hpp"
#include "store/database/tables.hpp"
#include "store/model/store_paths.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

Subject subject_of(const SchemaFlaw& flaw)
{
    return Subject{flaw.type + " " + json_shown(flaw.name), "it " + flaw.what};
}

// What is missing is in no commit's way.
std::vector<SchemaFlaw> flaws_in_the_way(Db& db)
{
    auto flaws = schema_flaws(db);
    std::erase_if(flaws, [&](const SchemaFlaw& flaw) {
        if (!flaw.text.empty()) return false;
        return flaw.type != "trigger" || flaw.repair.empty() ||
               !db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = ?")
                    .bind(flaw.name)
                    .step();
    });
    std::ranges::stable_partition(flaws, [](const SchemaFlaw& flaw) { return !flaw.text.empty(); });
    return flaws;
}

// All go before the first of them can act on what is written. Another process may have put some
// right meanwhile.
void put_right(Db& db, const std::vector<SchemaFlaw>& agreed)
{
    std::vector<std::pair<SchemaFlaw, std::string>> gone;
    for (const auto& now : flaws_in_the_way(db)) {
        if (std::ranges::find(agreed, now.name, &SchemaFlaw::name) == agreed.end()) continue;
        auto row = db.prepare("SELECT sql FROM sqlite_schema WHERE type = ? AND name = ?")
                       .bind(now.type)
                       .bind(now.name);
        gone.emplace_back(now, row.step() ? row.text(0) : std::string());
    }
    for (const auto& [flaw, sql] : gone)
        xlstore::put_right(db, flaw);
    for (const auto& [flaw, sql] : gone)
        quarantine(db, std::nullopt, flaw.type + " " + json_shown(flaw.name), "it " + flaw.what,
                   sql);
}

}  // namespace

bool mend_schema_in_the_way(Check& check, const StoreOptions& where)
{
    const auto until = Clock::now() + where.open_timeout;
    std::vector<SchemaFlaw> agreed;
    {
        Db db(StorePaths(where.directory).database(), Db::Mode::read_only);
        agreed = flaws_in_the_way(db);
    }
    std::erase_if(agreed, [&](const SchemaFlaw& flaw) {
        return !check.ask(Code::schema_changed, subject_of(flaw));
    });
    if (agreed.empty()) return false;
    std::optional<Error> failure;
    const auto locks = Locks::open(where.directory, true);
    const auto writer = locks ? take_writer_lock(*locks, until) : Result<ByteLock>(locks.error());
    if (!writer) failure = writer.error();
    if (!failure)
        while_busy(until, [&] {
            Db db(StorePaths(where.directory).database(), Db::Mode::read_write);
            xlstore::Transaction transaction(db);
            put_right(db, agreed);
            transaction.commit();
        });
    for (const auto& flaw : agreed) {
        if (failure)
            check.failed(Code::schema_changed, subject_of(flaw), *failure);
        else
            check.fixed(Code::schema_changed, subject_of(flaw));
    }
    return !failure;
}

}  // namespace xlstore::recovery
