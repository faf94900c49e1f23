// SPDX-License-Identifier: MIT
// A row is put back if it is an entry or a member of a document, names its domain, and that domain
// is there; it goes in by the same insert as any other, so that the store's rules decide. Then the
// row leaves the table, in the same commit.
#include "store/keep/put_back.hpp"

#include <sqlite3.h>

#include <optional>

#include "store/base/clock.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

struct QuarantinedRow {
    std::int64_t id = 0;
    std::string what;
    DomainId domain{};
    std::string row;  // an object by column, minified
    bool is_entry = false;

    [[nodiscard]] std::string text(const char* column) const
    {
        return json_get_string(row, column).value_or("");
    }
    [[nodiscard]] std::string object() const
    {
        return is_entry ? "entry " + json_shown(text("class") + "/" + text("key"))
                        : "member " + json_shown(text("key"));
    }
};

Error for_reading(std::int64_t id, const std::string& why)
{
    return Error(Errc::refused,
                 "what was quarantined as " + std::to_string(id) + " is not put back: " + why,
                 "nothing was changed; 'xlstore sql \"SELECT * FROM set_aside\"' prints it");
}

Result<QuarantinedRow> read_quarantined(Db& db, std::int64_t id)
{
    QuarantinedRow quarantined;
    quarantined.id = id;
    std::string text;
    {
        auto row = db.prepare("SELECT what, text FROM set_aside WHERE id = ?1").bind(id);
        if (!row.step())
            return Error(Errc::not_found, "nothing is quarantined as " + std::to_string(id),
                         "'xlstore undo' lists what is");
        quarantined.what = row.text(0);
        text = row.text(1);
    }
    quarantined.is_entry = quarantined.what == "row of thing";
    if (!quarantined.is_entry && quarantined.what != "row of document_member")
        return for_reading(id, json_shown(quarantined.what) + " is kept to be read");
    auto minified = json_minify(text, "row");
    if (!minified) return for_reading(id, minified.error().message);
    quarantined.row = *std::move(minified);
    const auto domain = json_get_integer(quarantined.row, "domain");
    if (!domain) return for_reading(id, "it names no domain");
    quarantined.domain = DomainId(*domain);
    return quarantined;
}

// Stale, as long as no pass has seen it in its primary: a `present` that is not true would refuse
// an attach (R16). Its old place among the others is not known any more.
void insert_entry(Db& db, const QuarantinedRow& quarantined)
{
    db.prepare(
          "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
          "VALUES (?1, ?2, ?3, (SELECT coalesce(max(position) + 1, 0) FROM thing WHERE domain = ?1 "
          "AND class = ?2), ?4, 'stale', ?5, ?6)")
        .bind(value_of(quarantined.domain))
        .bind(quarantined.text("class"))
        .bind(quarantined.text("key"))
        .bind(quarantined.text("primary_at"))
        .bind(quarantined.text("json"))
        .bind(now_us())
        .run();
}

void insert_member(Db& db, const QuarantinedRow& quarantined)
{
    db.prepare(
          "INSERT INTO document_member (domain, rank, key, key_text, text) VALUES (?, ?, ?, ?, ?)")
        .bind(value_of(quarantined.domain))
        .bind(json_get_integer(quarantined.row, "rank"))
        .bind(quarantined.text("key"))
        .bind(quarantined.text("key_text"))
        .bind(json_get_string(quarantined.row, "text"))
        .run();
}

Result<void> insert(Db& db, const QuarantinedRow& quarantined)
{
    try {
        if (quarantined.is_entry)
            insert_entry(db, quarantined);
        else
            insert_member(db, quarantined);
    } catch (const DbError& e) {
        // A rule of the schema refuses it: it stays where it is, to be read.
        if ((e.extended_code() & 0xff) != SQLITE_CONSTRAINT) throw;
        return for_reading(quarantined.id, e.reason());
    }
    db.prepare("DELETE FROM set_aside WHERE id = ?1").bind(quarantined.id).run();
    return {};
}

}  // namespace

Task<Result<std::string>> put_back_quarantined(Store& store, std::int64_t id, bool dry_run,
                                               Deadline until)
{
    const auto quarantined = read_quarantined(store.db(), id);
    if (!quarantined) co_return quarantined.error();
    const std::string subject =
        store.subject_of(quarantined->domain) + ": " + quarantined->object();
    const auto row = read_domain(store.db(), quarantined->domain);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone, subject + ": the domain is over", "nothing was changed");
    if (auto open = check_open(store.db(), row->id); !open) co_return std::move(open).error();
    const std::string how = quarantined->is_entry ? ", as a stale entry" : "";
    if (dry_run) co_return subject + " would be put back" + how;
    auto hold = co_await store.slow_lock(quarantined->domain, subject, "undo", until);
    if (!hold) co_return std::move(hold).error();
    Journal journal(store);
    const std::string operation("undo");
    const std::function<Result<void>(const FastHold&)> section =
        [&](const FastHold&) -> Result<void> {
        if (auto open = check_open(store.db(), quarantined->domain); !open) return open;
        if (auto done = insert(store.db(), *quarantined); !done) return done;
        journal.add_history(HistoryLine{quarantined->domain,
                                        operation,
                                        {},
                                        {},
                                        "done",
                                        {},
                                        "quarantined row " + std::to_string(id) + ": " +
                                            quarantined->object() + " was put back" + how});
        return {};
    };
    auto done = co_await journal.commit(*hold, operation, until, section);
    if (!done) co_return std::move(done).error();
    co_return subject + " was put back" + how;
}

}  // namespace xlstore
