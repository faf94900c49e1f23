// SPDX-License-Identifier: MIT
// Rows of a run are taken domain by domain, each under its slow lock and in one commit. A row is
// put back only if the table still has what the run wrote ("after"); then what stood there
// ("before") is written. A domain whose epoch or revision moved on since is refused as a whole,
// unless the caller forces it. A dry run makes the same decisions, and no commit.
#include "store/keep/undo.hpp"

#include <algorithm>

#include "store/base/clock.hpp"
#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/journal.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

struct KeptRow {
    std::int64_t id = 0;
    std::optional<DomainId> domain;
    std::string kind;
    std::string operation;
    std::optional<std::string> before;
    std::optional<std::string> after;
};

// The newest first.
// The last change of a row goes back first, so that each finds what it wrote itself.
std::vector<KeptRow> kept_rows(Db& db, std::int64_t run)
{
    auto rows = db.prepare(
                      "SELECT id, domain, kind, operation, before, after FROM undo_row "
                      "WHERE run = ?1 AND undone_us IS NULL ORDER BY id DESC")
                    .bind(run);
    std::vector<KeptRow> kept;
    while (rows.step()) {
        KeptRow row{rows.integer(0),   {}, rows.text(2), rows.text(3), rows.maybe_text(4),
                    rows.maybe_text(5)};
        if (const auto domain = rows.maybe_integer(1)) row.domain = DomainId(*domain);
        kept.push_back(std::move(row));
    }
    return kept;
}

std::string column(const std::optional<std::string>& row, const char* name)
{
    return row ? json_get_string(*row, name).value_or("") : "";
}

// As the row has it: a text, or nothing for NULL.
std::optional<std::string> text_in(const std::optional<std::string>& row, const char* name)
{
    return row ? json_get_string(*row, name) : std::nullopt;
}

std::int64_t number_in(const std::optional<std::string>& row, const char* name)
{
    return row ? json_get_integer(*row, name).value_or(0) : 0;
}

// "entry disks/hdc", "member b_info", "intent 12".
std::string object_of(const KeptRow& row)
{
    const auto& shown = row.before ? row.before : row.after;
    if (row.kind == "thing") return "entry " + column(shown, "class") + "/" + column(shown, "key");
    if (row.kind == "document_member") return "member " + column(shown, "key");
    if (row.kind == "intent") return "intent " + std::to_string(number_in(shown, "id"));
    if (row.kind == "xenstore") return "node " + column(shown, "path");
    if (row.kind == "domain")
        return "registration of QEMU " + std::to_string(number_in(shown, "qemu_pid"));
    return row.kind + " " + column(shown, "type") + " " + column(shown, "name");
}

std::string subject_of(Store& store, const KeptRow& row)
{
    const std::string object = plain_text(object_of(row), limits::operation_bytes_max);
    return row.domain ? store.subject_of(*row.domain) + ": " + object : object;
}

// Why it is kept to be read alone; "": it can be put back.
std::string why_kept(const KeptRow& row)
{
    const auto parsed = [](const std::optional<std::string>& text) {
        return !text || json_minify(*text, "row").has_value();
    };
    if (!parsed(row.before) || !parsed(row.after)) return "its text cannot be read back";
    const bool is_of_document = row.kind == "document_member" || row.kind == "thing";
    if (is_of_document && !row.domain) return "it does not say which domain it belonged to";
    if (row.kind == "document_member") return {};
    if (row.kind == "intent") return "a closed intent is not opened again; history has its outcome";
    if (row.kind == "domain") return "'xlstore register' registers a QEMU that lives";
    if (row.kind == "xenstore")
        return "'xenstore-write' writes it again, if its device is to "
               "come back";
    // Its text is data that came out of the database.
    if (row.kind == "schema") return "SQL from the store is not run";
    if (row.kind != "thing") return "it has no place to be put back to";
    // R1 the other way round: an entry alone makes no device.
    if (row.operation == "delete")
        return "QEMU does not have it; 'xlstore attach' adds what 'before' says";
    const auto was = json_minify(column(row.before, "json"), "was");
    const auto is = json_minify(column(row.after, "json"), "is");
    if (was && is && medium_of(*was) != medium_of(*is))
        return "its medium is what QEMU showed; 'xlstore insert' changes it";
    return {};
}

Error not_as_left(const std::string& subject)
{
    return Error(Errc::refused, subject + " is no longer as that run left it",
                 "nothing was changed; 'xlstore undo RUN --dry-run' shows both, --force puts back "
                 "the others");
}

Result<void> put_back_entry(Db& db, const KeptRow& row, const std::string& subject)
{
    const auto id = number_in(row.before, "id");
    std::optional<std::string> now;
    std::optional<std::int64_t> intent;
    {
        auto entry = db.prepare(
                           "SELECT json, (SELECT id FROM intent WHERE thing = t.id) FROM thing t "
                           "WHERE id = ?1 AND domain = ?2")
                         .bind(id)
                         .bind(value_of(*row.domain));
        if (entry.step()) {
            now = entry.text(0);
            intent = entry.maybe_integer(1);
        }
    }
    // What another process wrote since is worth more than what the run took away.
    if (now != text_in(row.after, "json")) return not_as_left(subject);
    if (intent) {
        Error error(Errc::refused, subject + " has an open intent",
                    "nothing was changed; 'xlstore wait' for it, or run 'xlstore recover'");
        error.intent = intent;
        return error;
    }
    db.prepare("UPDATE thing SET json = ?, primary_at = ?, changed_us = ? WHERE id = ?")
        .bind(text_in(row.before, "json"))
        .bind(text_in(row.before, "primary_at"))
        .bind(now_us())
        .bind(id)
        .run();
    return {};
}

Result<void> put_back_member(Db& db, const KeptRow& row, const std::string& subject)
{
    const auto& shown = row.before ? row.before : row.after;
    const auto rank = number_in(shown, "rank");
    std::optional<DocumentMember> now;
    for (auto& member : read_members(db, *row.domain))
        if (member.rank == rank) now = std::move(member);
    if (now.has_value() != row.after.has_value()) return not_as_left(subject);
    if (now &&
        (now->key != column(row.after, "key") || now->key_text != column(row.after, "key_text") ||
         now->text != text_in(row.after, "text")))
        return not_as_left(subject);
    db.prepare("DELETE FROM document_member WHERE domain = ? AND rank = ?")
        .bind(value_of(*row.domain))
        .bind(rank)
        .run();
    if (!row.before) return {};
    db.prepare(
          "INSERT INTO document_member (domain, rank, key, key_text, text) VALUES (?, ?, ?, ?, ?)")
        .bind(value_of(*row.domain))
        .bind(rank)
        .bind(column(row.before, "key"))
        .bind(column(row.before, "key_text"))
        .bind(text_in(row.before, "text"))
        .run();
    return {};
}

struct Generation {
    std::int64_t epoch = 0;
    std::int64_t revision = 0;
    bool operator==(const Generation&) const = default;
    [[nodiscard]] std::string text() const
    {
        return "epoch " + std::to_string(epoch) + ", revision " + std::to_string(revision);
    }
};

std::optional<Generation> generation(Statement row)
{
    if (!row.step()) return std::nullopt;
    return Generation{row.integer(0), row.integer(1)};
}

std::optional<Generation> left_at(Db& db, std::int64_t run, DomainId domain)
{
    return generation(
        db.prepare("SELECT epoch, revision FROM undo_mark WHERE run = ?1 AND domain = ?2")
            .bind(run)
            .bind(value_of(domain)));
}

// One run, domain by domain.
class Undo {
public:
    Undo(Store& store, std::int64_t run, UndoOptions options)
        : store_(store), run_(run), options_(std::move(options))
    {}

    Task<Result<std::vector<UndoneRow>>> run(Deadline until)
    {
        {
            auto there = store_.db().prepare("SELECT 1 FROM undo_run WHERE id = ?1").bind(run_);
            if (!there.step())
                co_return Error(Errc::not_found,
                                "no run " + std::to_string(run_) + " is kept to be undone",
                                "'xlstore undo' lists those that are");
        }
        rows_ = kept_rows(store_.db(), run_);
        if (options_.only)
            std::erase_if(rows_, [&](const KeptRow& row) { return row.domain != options_.only; });
        for (const auto& row : rows_)
            told_.push_back(UndoneRow{row.id, subject_of(store_, row), row.operation, false,
                                      why_kept(row), row.before, row.after});
        std::vector<DomainId> domains;
        for (std::size_t i = 0; i < rows_.size(); ++i)
            if (told_[i].why.empty() &&
                std::ranges::find(domains, *rows_[i].domain) == domains.end())
                domains.push_back(*rows_[i].domain);
        // All are looked at before the first is changed: most refusals come here, with nothing
        // done. One that is over keeps no other from being put back.
        std::vector<DomainId> over;
        std::string refusing;
        for (const auto domain : domains) {
            if (is_over(domain)) {
                over.push_back(domain);
            } else if (auto ok = may_be_put_back(domain, 0); !ok) {
                if (!options_.dry_run) co_return std::move(ok).error();
                keep_to_be_read(domain, ok.error().message);
                refusing = store_.subject_of(domain);
            }
        }
        for (const auto domain : over)
            keep_to_be_read(domain, "the domain is over: 'xlstore export --retired id:" +
                                        std::to_string(value_of(domain)) + "' prints its document");
        if (!refusing.empty())
            for (const auto domain : domains)
                keep_to_be_read(domain, "the run is refused for " + refusing +
                                            "; name this domain alone, and it is put back");
        if (options_.dry_run) co_return std::move(told_);
        if (!over.empty() && over.size() == domains.size()) co_return gone(over.front());
        std::erase_if(domains, [&](DomainId domain) {
            return std::ranges::find(over, domain) != over.end();
        });
        std::string done;
        for (const auto domain : domains) {
            const std::string subject = store_.subject_of(domain);
            auto put = co_await put_back(domain, until);
            if (!put) {
                Error error = std::move(put).error();
                if (!done.empty()) error.message += "; put back was what concerns " + done;
                co_return error;
            }
            done += (done.empty() ? "" : ", ") + subject;
        }
        co_return std::move(told_);
    }

private:
    [[nodiscard]] bool is_over(DomainId domain) const
    {
        const auto row = read_domain(store_.db(), domain);
        return !row || row->state == DomainState::destroying ||
               row->state == DomainState::destroyed;
    }
    void keep_to_be_read(DomainId domain, const std::string& why)
    {
        for (std::size_t i = 0; i < rows_.size(); ++i)
            if (rows_[i].domain == domain && told_[i].why.empty()) told_[i].why = why;
    }
    [[nodiscard]] Error gone(DomainId domain) const
    {
        return Error(Errc::gone, store_.subject_of(domain) + " is over",
                     "nothing was changed; 'xlstore export --retired id:" +
                         std::to_string(value_of(domain)) + "' prints the document that it had");
    }

    // Before anything is changed, and again in the commit. `ahead`: how far the commit that asks
    // has advanced both numbers.
    Result<void> may_be_put_back(DomainId domain, std::int64_t ahead)
    {
        Db& db = store_.db();
        if (auto open = check_open(db, domain); !open || options_.force) return open;
        const auto now =
            generation(db.prepare("SELECT epoch - ?1, revision - ?1 FROM domain WHERE id = ?2")
                           .bind(ahead)
                           .bind(value_of(domain)));
        const auto left = left_at(db, run_, domain);
        if (now && left && *now == *left) return {};
        return Error(Errc::refused,
                     store_.subject_of(domain) + " has changed since: it is at " +
                         (now ? now->text() : "none") + ", run " + std::to_string(run_) +
                         " left it at " +
                         (left ? left->text() : "a number that is not known any more"),
                     "nothing was changed; 'xlstore undo RUN --dry-run' shows what it was; with "
                     "--force each row is put back that is still as the run left it");
    }

    Task<Result<void>> put_back(DomainId domain, Deadline until)
    {
        auto hold = co_await store_.slow_lock(domain, store_.subject_of(domain), "undo", until);
        if (!hold) co_return std::move(hold).error();
        Journal journal(store_);
        const std::string operation("undo");
        const std::function<Result<void>(const FastHold&)> section =
            [&](const FastHold&) -> Result<void> { return put_back_all(journal, domain); };
        auto done = co_await journal.commit(*hold, operation, until, section);
        if (!done)
            for (std::size_t i = 0; i < rows_.size(); ++i)
                if (rows_[i].domain == domain) told_[i].put_back = false;
        co_return done;
    }

    Result<void> put_back_all(Journal& journal, DomainId domain)
    {
        if (auto ok = may_be_put_back(domain, 1); !ok) return ok;
        std::int64_t count = 0;
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            const KeptRow& row = rows_[i];
            if (row.domain != domain || !told_[i].why.empty()) continue;
            auto put = row.kind == "thing" ? put_back_entry(store_.db(), row, told_[i].subject)
                                           : put_back_member(store_.db(), row, told_[i].subject);
            if (!put && !(options_.force && put.error().code == Errc::refused)) return put;
            if (!put) {
                told_[i].why = put.error().message;
                continue;
            }
            store_.db()
                .prepare("UPDATE undo_row SET undone_us = ? WHERE id = ?")
                .bind(now_us())
                .bind(row.id)
                .run();
            told_[i].put_back = true;
            ++count;
        }
        journal.add_history(
            HistoryLine{domain,
                        "undo",
                        {},
                        {},
                        "done",
                        {},
                        "run " + std::to_string(run_) + ": " + std::to_string(count) +
                            (count == 1 ? " row was" : " rows were") + " put back"});
        return {};
    }

    Store& store_;
    std::int64_t run_;
    UndoOptions options_;
    std::vector<KeptRow> rows_;
    std::vector<UndoneRow> told_;  // one for each row
};

}  // namespace

Task<Result<std::vector<UndoneRow>>> undo_run(Store& store, std::int64_t run, UndoOptions options,
                                              Deadline until)
{
    Undo undo(store, run, std::move(options));
    co_return co_await undo.run(until);
}

}  // namespace xlstore
