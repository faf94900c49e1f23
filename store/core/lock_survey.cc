// SPDX-License-Identifier: MIT
// Whether a lock is held is asked of the kernel; who holds it is read from the claim in the lock's
// slot and compared with the process of that pid and start time. Where the claimant is dead and the
// lock is held all the same, a copy of the descriptor lives in another process, and /proc tells in
// which.
//
// Breaking a lock, under the fast lock: the row's epoch is advanced and the incarnation gets
// another byte, in one transaction. What the old holder does next fails at its commit (R15), so
// that it need not be proved dead; it is refused without --force only because a living one may be
// half-way through its plan.
#include "store/core/lock_survey.hpp"

#include "store/base/clock.hpp"
#include "store/core/history.hpp"
#include "store/testing/trace.hpp"

namespace xlstore {

namespace {

Result<LockUse> use_of(Store& store, LockKind kind, std::optional<DomainRow> domain)
{
    const auto id = domain ? value_of(domain->id) : 0;
    const Locks& locks = store.locks();
    LockUse use;
    use.kind = kind;
    use.domain = std::move(domain);
    const auto byte = locks.byte(kind, id);
    const auto held = locks.is_held(kind, id);
    if (!held) return held.error();
    use.held = *held;
    use.claim = locks.claim(kind, id);
    if (use.claim) use.claimant = life_of(process_of(*use.claim));
    use.claimant_stopped = use.held && use.claim && is_stopped(process_of(*use.claim));
    if (use.held && use.claimant != Life::alive) {
        const LockFile& file = locks.file(kind);
        use.kept_by = lock_holders(file.path(), file.identity(), byte, byte);
    }
    return use;
}

}  // namespace

Result<std::vector<LockUse>> survey_locks(Store& store)
{
    std::vector<Wait> waits;
    {
        auto sessions = store.db().prepare("SELECT id FROM session");
        while (sessions.step()) {
            const auto session = sessions.integer(0);
            auto wait = store.locks().waiter(session);
            if (!wait) continue;
            const auto lives = store.locks().is_held(LockKind::session, session);
            if (!lives) return lives.error();
            if (*lives) waits.push_back(*std::move(wait));
        }
    }
    std::vector<LockUse> uses;
    const auto add = [&](LockKind kind, std::optional<DomainRow> domain) -> Result<void> {
        auto use = use_of(store, kind, std::move(domain));
        if (!use) return std::move(use).error();
        if (kind == LockKind::slow)
            for (const auto& wait : waits)
                if (wait.id == value_of(use->domain->id)) use->waiters.push_back(wait.claim);
        if (use->held || use->claim || !use->waiters.empty()) uses.push_back(*std::move(use));
        return {};
    };
    if (auto ok = add(LockKind::writer, {}); !ok) return ok.error();
    for (const auto& domain : living_domains(store.db()))
        for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::destroy})
            if (auto ok = add(kind, domain); !ok) return ok.error();
    return uses;
}

Task<Result<Broken>> break_slow_lock(Store& store, DomainRow domain, bool force, Deadline until)
{
    if (auto ok = store.check(); !ok) co_return ok.error();
    const auto id = value_of(domain.id);
    const auto byte = store.locks().byte(LockKind::slow, id);
    const auto use = use_of(store, LockKind::slow, domain);
    if (!use) co_return use.error();
    const std::string subject = "the slow lock of " + domain.subject();
    if (!use->held) co_return Broken{false, "no process holds " + subject};

    std::string whose =
        use->claim ? describe_holder(*use->claim) : std::string("a process that made no claim");
    if (!use->kept_by.empty()) whose += ", kept by " + describe(use->kept_by);
    const bool dead = use->claim && use->claimant == Life::dead;
    if (!dead && !force)
        co_return Error(
            Errc::refused,
            subject + " is held by " + whose +
                (use->claim && use->claimant == Life::alive ? ", and that process lives"
                                                            : ", and that may be a living process"),
            "nothing was changed; wait for it, or end it, or break the lock with --force: then its "
            "operation fails at its next commit, and recovery looks at what it did");

    const std::string text =
        subject + " was held by " + whose + (dead ? ", whose holder is dead" : " and was forced");
    auto done = co_await store.with_fast_lock(
        domain.id, "break slow lock", until,
        [&](const FastHold&) -> Result<void> {
            if (store.locks().byte(LockKind::slow, id) != byte)
                return Error(Errc::busy, subject + " was broken by another process just now");
            store.db()
                .prepare("UPDATE domain SET epoch = epoch + 1, changed_us = ? WHERE id = ?")
                .bind(now_us())
                .bind(id)
                .run();
            add_history(store.db(), Author{store.self().pid, store.program()},
                        HistoryLine{domain.id, "break lock", {}, {}, "done", {}, text});
            XLSTORE_TRACE("slow.broken", id);
            return store.locks().break_slow(id);
        },
        Room::reserve);
    if (!done) co_return std::move(done).error();
    store.locks().wake_slow_waiters();
    co_return Broken{true, "broken: " + text};
}

}  // namespace xlstore
