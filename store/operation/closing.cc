// SPDX-License-Identifier: MIT
// Closing takes the slow lock, and libxl's with it, so that no operation on QEMU is under way, asks
// QEMU for the addresses that are not known yet, and writes who closed the document, when and why
// in one commit of that hold. Opening takes the fast lock alone: the process that closed it may be
// dead. The refusals stand at commit 1 (check_open) and in the schema.
#include "store/operation/closing.hpp"

#include <algorithm>

#include "store/base/clock.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/operation/unplaced.hpp"
#include "store/text/json_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kReasonBytes = 200;

// It is told to people and kept in the row.
Result<void> check_reason(const std::string& reason)
{
    const bool bad = reason.empty() || reason.size() > kReasonBytes ||
                     std::any_of(reason.begin(), reason.end(),
                                 [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (bad || !is_utf8(reason))
        return Error(Errc::invalid,
                     "reason: it has to be one line of UTF-8, 1 to " +
                         std::to_string(kReasonBytes) + " bytes",
                     "nothing was changed; say why the document is closed");
    return {};
}

// Running, open, and nothing under way.
Result<void> may_close(Db& db, DomainId domain)
{
    const auto row = read_domain(db, domain);
    if (row->state != DomainState::running)
        return Error(Errc::refused, row->subject() + " is " + std::string(state_name(row->state)),
                     "nothing was changed; close its document when it runs");
    if (const auto by = closed_by(db, domain))
        return Error(Errc::refused, row->subject() + ": its document is closed already, " + *by,
                     "nothing was changed; " + command_to_reopen(*row) + " opens it");
    return check_nothing_under_way(db, *row);
}

void add_line(Store& store, DomainId domain, std::string operation, std::string evidence)
{
    Journal(store).add_history(
        HistoryLine{domain, std::move(operation), {}, {}, "done", {}, std::move(evidence)});
}

}  // namespace

Result<void> check_nothing_under_way(Db& db, const DomainRow& domain)
{
    if (const auto open = open_intents(db, domain.id); !open.empty()) {
        const auto first = std::to_string(value_of(open.front()));
        const auto rest = open.size() - 1;
        Error error(Errc::busy,
                    domain.subject() + " has an open intent, " + first +
                        (rest > 0 ? ", and " + std::to_string(rest) + " more" : "") +
                        ": what its thing is, is not known",
                    "nothing was changed; 'xlstore wait " + first +
                        "', or run 'xlstore recover'; 'xlstore intents' shows all");
        error.intent = value_of(open.front());
        return error;
    }
    // Its detach waits for the guest without the slow lock, and has no intent.
    for (const auto& thing : read_things(db, domain.id))
        if (thing.primary == "xenstore" && thing.state == "removing")
            return Error(
                Errc::busy,
                domain.subject() + ": " + thing.name.text() + " is being removed from xenstore",
                "nothing was changed; wait until its detach has ended, or detach it "
                "again, which goes on with that");
    return {};
}

Task<Result<Closed>> close_document(Store& store, DomainRow domain, std::string reason,
                                    Deadline until)
{
    if (auto ok = check_reason(reason); !ok) co_return std::move(ok).error();
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), "close", until);
    if (!hold) co_return std::move(hold).error();
    auto row = read_domain(store.db(), domain.id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    if (auto ok = may_close(store.db(), domain.id); !ok) co_return std::move(ok).error();
    // xl may be at work on its devices, where it is libxl's.
    auto beside = co_await libxl::HostHold::take_for(store.loop(), *row, until);
    if (!beside) co_return std::move(beside).error();
    auto unknown = co_await learn_addresses(store, *row, *hold, *beside, until);
    if (!unknown) co_return std::move(unknown).error();
    // R18: all of the answer is there before the commit, so that nothing can fail afterwards.
    Closed answer{*row, {}};
    for (const auto& thing : *unknown)
        answer.notes.push_back(thing +
                               ": QEMU did not say where it is; put into another QEMU, it "
                               "goes where that one chooses");
    Journal journal(store);
    auto closed =
        co_await journal.commit(*hold, "close", until, [&](const FastHold& fast) -> Result<void> {
            // Level two may have opened an intent under this same hold: never, but asked all the
            // same.
            if (auto ok = may_close(store.db(), fast.domain()); !ok) return ok;
            store.db()
                .prepare(
                    "UPDATE domain SET closed_us = ?, closed_pid = ?, closed_program = ?, "
                    "closed_reason = ? WHERE id = ?")
                .bind(now_us())
                .bind(store.self().pid)
                .bind(store.program())
                .bind(reason)
                .bind(value_of(fast.domain()))
                .run();
            add_line(store, fast.domain(), "close", reason);
            answer.domain = *read_domain(store.db(), fast.domain());
            return {};
        });
    if (!closed) co_return std::move(closed).error();
    co_return std::move(answer);
}

Task<Result<DomainRow>> reopen_document(Store& store, DomainRow domain, Deadline until)
{
    co_return co_await store.with_fast_lock(
        domain.id, "reopen", until, [&](const FastHold& fast) -> Result<DomainRow> {
            Db& db = store.db();
            const auto row = read_domain(db, fast.domain());
            if (!row || row->state == DomainState::destroying ||
                row->state == DomainState::destroyed)
                return Error(Errc::gone,
                             domain.subject() + " was destroyed or is being destroyed (R8)");
            const auto by = closed_by(db, fast.domain());
            if (!by)
                return Error(Errc::refused, row->subject() + ": its document is open",
                             "nothing was changed");
            db.prepare(
                  "UPDATE domain SET closed_us = NULL, closed_pid = NULL, closed_program = NULL, "
                  "closed_reason = NULL, revision = revision + 1, changed_us = ? WHERE id = ?")
                .bind(now_us())
                .bind(value_of(fast.domain()))
                .run();
            add_line(store, fast.domain(), "reopen", "it was closed " + *by);
            return *row;
        });
}

}  // namespace xlstore
