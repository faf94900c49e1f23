// SPDX-License-Identifier: MIT
#include "store/keep/put_back.hpp"

#include <sqlite3.h>

#include <optional>

#include "store/base/clock.hpp"
#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

struct Aside {
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
                 "what was set aside as " + std::to_string(id) + " is not put back: " + why,
                 "nothing was changed; 'xlstore sql \"SELECT * FROM set_aside\"' prints it");
}

Result<Aside> read_aside(Db& db, std::int64_t id)
{
    Aside aside;
    aside.id = id;
    std::string text;
    {
        auto row = db.prepare("SELECT what, text FROM set_aside WHERE id = ?1").bind(id);
        if (!row.step())
            return Error(Errc::not_found, "nothing is set aside as " + std::to_string(id),
                         "'xlstore undo' lists what is");
        aside.what = row.text(0);
        text = row.text(1);
    }
    aside.is_entry = aside.what == "row of thing";
    if (!aside.is_entry && aside.what != "row of document_member")
        return for_reading(id, json_shown(aside.what) + " is kept to be read");
    auto minified = json_minify(text, "row");
    if (!minified) return for_reading(id, minified.error().message);
    aside.row = *std::move(minified);
    const auto domain = json_get_integer(aside.row, "domain");
    if (!domain) return for_reading(id, "it names no domain");
    aside.domain = DomainId(*domain);
    return aside;
}

void insert_entry(Db& db, const Aside& aside)
{
    db.prepare(
          "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
          "VALUES (?1, ?2, ?3, (SELECT coalesce(max(position) + 1, 0) FROM thing WHERE domain = ?1 "
          "AND class = ?2), ?4, 'stale', ?5, ?6)")
        .bind(value_of(aside.domain))
        .bind(aside.text("class"))
        .bind(aside.text("key"))
        .bind(aside.text("primary_at"))
        .bind(aside.text("json"))
        .bind(now_us())
        .run();
}

void insert_member(Db& db, const Aside& aside)
{
    db.prepare(
          "INSERT INTO document_member (domain, rank, key, key_text, text) VALUES (?, ?, ?, ?, ?)")
        .bind(value_of(aside.domain))
        .bind(json_get_integer(aside.row, "rank"))
        .bind(aside.text("key"))
        .bind(aside.text("key_text"))
        .bind(json_get_string(aside.row, "text"))
        .run();
}

Result<void> insert(Db& db, const Aside& aside)
{
    try {
        if (aside.is_entry)
            insert_entry(db, aside);
        else
            insert_member(db, aside);
    } catch (const DbError& e) {
        if ((e.extended_code() & 0xff) != SQLITE_CONSTRAINT) throw;
        return for_reading(aside.id, e.reason());
    }
    db.prepare("DELETE FROM set_aside WHERE id = ?1").bind(aside.id).run();
    return {};
}

}  // namespace

Task<Result<std::string>> put_back_aside(Store& store, std::int64_t id, bool dry_run,
                                         Deadline until)
{
    const auto aside = read_aside(store.db(), id);
    if (!aside) co_return aside.error();
    const std::string subject = store.subject_of(aside->domain) + ": " + aside->object();
    const auto row = read_domain(store.db(), aside->domain);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone, subject + ": the domain is over", "nothing was changed");
    const std::string how = aside->is_entry ? ", as a stale entry" : "";
    if (dry_run) co_return subject + " would be put back" + how;
    auto hold = co_await store.slow_lock(aside->domain, subject, "undo", until);
    if (!hold) co_return std::move(hold).error();
    Journal journal(store);
    const std::string operation("undo");
    const std::function<Result<void>(const FastHold&)> section =
        [&](const FastHold&) -> Result<void> {
        if (auto done = insert(store.db(), *aside); !done) return done;
        journal.add_history(HistoryLine{
            aside->domain,
            operation,
            {},
            {},
            "done",
            {},
            "set aside " + std::to_string(id) + ": " + aside->object() + " was put back" + how});
        return {};
    };
    auto done = co_await journal.commit(*hold, operation, until, section);
    if (!done) co_return std::move(done).error();
    co_return subject + " was put back" + how;
}

}  // namespace xlstore
