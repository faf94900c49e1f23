// SPDX-License-Identifier: MIT
// Pass 3 over domains that run, as one who only looks sees them: many at a time.
//
// Checks     that their QEMUs are alive (3007), and that documents are open (3009).
// Relies on  pass 0.
// Leaves     everything as it is, and to pass3_lifecycle() each domain that is in another state or
//            of an older boot, whose lock is held, whose row has changed, or whose QEMU cannot be
//            looked at.
//
// The order of what is seen is that of pass3_lifecycle(): the QEMU, the lock, the row. It holds for
// each domain while it holds for all of a batch at once, and so a batch needs one look at whose
// /proc it is and one transaction, where a domain at a time needs one each.
#include <algorithm>
#include <exception>
#include <iterator>
#include <set>

#include "recovery/passes/passes.hpp"
#include "store/core/closed_document.hpp"
#include "store/os/process.hpp"

namespace xlstore::recovery {

namespace {

// Rows in memory twice, and nothing is told before its batch is over.
constexpr std::size_t kBatch = 500;

enum class Seen { other, lives, dead };

// By their rows alone, which are looked at once more in the batch.
std::set<DomainId> closed_documents(Db& db)
{
    std::set<DomainId> closed;
    auto rows = db.prepare("SELECT id FROM domain WHERE closed_us IS NOT NULL");
    while (rows.step())
        closed.insert(DomainId(rows.integer(0)));
    return closed;
}

bool is_for_glance(const DomainRow& domain)
{
    return domain.state == DomainState::running && domain.boot_id == current_boot_id();
}

// What their QEMUs are, and their locks where one is dead. A domain without a QEMU lives.
std::vector<Seen> look_at_processes(const Store& store, const std::vector<DomainRow>& domains)
{
    std::vector<Seen> seen(domains.size(), Seen::other);
    std::vector<ProcessId> qemus;
    std::vector<std::size_t> of;
    for (std::size_t i = 0; i < domains.size(); ++i) {
        if (!is_for_glance(domains[i])) continue;
        seen[i] = Seen::lives;
        if (!domains[i].registration) continue;
        qemus.push_back(domains[i].registration->qemu);
        of.push_back(i);
    }
    auto lives = lives_of(qemus);
    lives.resize(qemus.size(), Life::unknown);
    std::vector<std::size_t> dead;
    std::vector<std::int64_t> ids;
    for (std::size_t i = 0; i < qemus.size(); ++i) {
        if (lives[i] != Life::alive) seen[of[i]] = Seen::other;
        if (lives[i] != Life::dead) continue;
        dead.push_back(of[i]);
        ids.push_back(value_of(domains[of[i]].id));
    }
    const auto held = store.locks().are_held(LockKind::slow, ids);
    for (std::size_t i = 0; held && i < dead.size(); ++i)
        if (!(*held)[i]) seen[dead[i]] = Seen::dead;
    return seen;
}

struct Told {
    Code code;
    Subject about;
};

// REQUIRES a read transaction that began after the processes and the locks were looked at.
Seen look_at_row(Db& db, const DomainRow& domain, Seen seen, bool may_be_closed,
                 std::vector<Told>& told)
{
    const auto now = read_domain(db, domain.id);
    if (!now || !is_for_glance(*now)) return Seen::other;
    if (seen == Seen::dead &&
        (!now->registration || now->registration->qemu != domain.registration->qemu))
        return Seen::other;
    if (may_be_closed)
        if (auto note = closed_note(db, *now))
            told.push_back({Code::document_closed, *std::move(note)});
    if (seen == Seen::dead)
        told.push_back({Code::qemu_dead, Subject{now->subject(), qemu_words(*now), now->domid}});
    return seen;
}

// What is thrown at one domain is a finding of that one: then each is looked at by itself.
std::vector<Seen> look_at_batch(Store& store, const std::vector<DomainRow>& batch,
                                const std::set<DomainId>& closed, std::vector<Told>& told)
{
    try {
        auto seen = look_at_processes(store, batch);
        const ReadTransaction snapshot(store.db());
        for (std::size_t i = 0; i < batch.size(); ++i)
            if (seen[i] != Seen::other)
                seen[i] = look_at_row(store.db(), batch[i], seen[i], closed.contains(batch[i].id),
                                      told);
        return seen;
    } catch (const std::exception&) {
        told.clear();
        return std::vector<Seen>(batch.size(), Seen::other);
    }
}

}  // namespace

LivesSeen glance_at_lives(Check& check, Store& store, std::vector<DomainRow> domains)
{
    LivesSeen glance;
    const auto closed = closed_documents(store.db());
    const int count = static_cast<int>(domains.size());
    for (std::size_t first = 0; first < domains.size() && !check.cancelled(); first += kBatch) {
        check.progress(3, static_cast<int>(first), count);
        const auto from = domains.begin() + static_cast<std::ptrdiff_t>(first);
        const auto size = std::min(kBatch, domains.size() - first);
        std::vector<DomainRow> batch(
            std::make_move_iterator(from),
            std::make_move_iterator(from + static_cast<std::ptrdiff_t>(size)));
        std::vector<Told> told;
        const auto seen = look_at_batch(store, batch, closed, told);
        for (const auto& [code, about] : told)
            if (problem(code).question.empty())
                check.report(code, about);
            else
                (void)check.ask(code, about);
        for (std::size_t i = 0; i < batch.size(); ++i) {
            auto& place = seen[i] == Seen::lives  ? glance.living
                          : seen[i] == Seen::dead ? glance.without_qemu
                                                  : glance.others;
            place.push_back(std::move(batch[i]));
        }
    }
    return glance;
}

}  // namespace xlstore::recovery
