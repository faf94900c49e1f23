// SPDX-License-Identifier: MIT
#include "recovery/recover.hpp"

#include "recovery/passes.hpp"
#include "recovery/rebuild.hpp"

namespace xlstore::recovery {

namespace {

// Domains at a time: a QEMU that does not answer costs its own deadline and one place among these.
// Each takes a lock, a connection, and at times a descriptor or two more.
constexpr std::size_t kSideBySide = 100;

Task<void> primaries(Check& check, Store& store, DomainRow domain)
{
    const auto row = read_domain(store.db(), domain.id);  // as pass 3 left it
    if (!row || row->state != DomainState::running || !row->registration) co_return;
    // Dead or unseen: pass 3 has spoken of it.
    if (life_of(row->registration->qemu) != Life::alive) co_return;
    auto reached = co_await Reached::reach(check, store, *row);
    co_await pass4_intents(check, store, *row, reached);
    co_await pass5_primaries(check, store, *row, reached);
}

class SideBySide {
public:
    SideBySide(Check& check, Store& store, int pass, std::vector<DomainRow> domains)
        : check_(check), store_(store), pass_(pass), domains_(std::move(domains))
    {}

    Task<void> run()
    {
        // A human is asked one thing at a time, and no other domain waits for the answer.
        const bool one_by_one = check_.options().mode == Mode::ask;
        const std::size_t places = std::min(one_by_one ? 1 : kSideBySide, domains_.size());
        std::vector<Task<void>> workers;
        for (std::size_t i = 0; i < places; ++i)
            workers.push_back(work());
        for (auto& worker : workers)
            worker.start();
        for (auto& worker : workers)
            co_await worker.join();
    }

    /// Those that have a living QEMU, once pass 3 is over.
    [[nodiscard]] std::vector<DomainRow> living() { return std::move(living_); }

private:
    Task<void> work()
    {
        while (next_ < domains_.size() && !check_.cancelled()) {
            DomainRow domain = std::move(domains_[next_++]);
            check_.progress(pass_, static_cast<int>(next_) - 1, static_cast<int>(domains_.size()));
            if (pass_ == 4) {
                co_await primaries(check_, store_, std::move(domain));
                continue;
            }
            const bool lives = co_await pass3_lifecycle(check_, store_, domain);
            if (lives) living_.push_back(std::move(domain));
        }
    }

    Check& check_;
    Store& store_;
    int pass_;
    std::vector<DomainRow> domains_;
    std::vector<DomainRow> living_;
    std::size_t next_ = 0;
};

}  // namespace

Task<std::optional<std::string>> run_passes(Check& check, Store& store)
{
    check.progress(0, 0, 1);
    auto database = co_await pass0_database(check, store);
    if (!database.damage.empty()) co_return std::move(database.damage);
    if (database.sound) {
        co_await pass1_documents(check, store);
        if (check.options().rebuild && !check.options().only) co_await rebuild(check, store);
        auto domains = living_domains(store.db());
        const auto& only = check.options().only;
        if (only) std::erase_if(domains, [&](const DomainRow& d) { return d.id != *only; });
        SideBySide lives(check, store, 3, std::move(domains));
        co_await lives.run();
        SideBySide primaries(check, store, 4, lives.living());
        co_await primaries.run();
        // Last, since a dead session's row stays for as long as an open intent names it.
        if (!check.options().only && !check.cancelled()) co_await pass2_sessions(check, store);
        if (!check.options().only && !check.cancelled()) pass6_surroundings(check, store);
    }
    if (store.is_behind()) check.report(Code::database_behind, Subject{store.directory()});
    co_return std::nullopt;
}

Task<Result<Report>> recover(Store& store, Options options)
{
    Check check(std::move(options));
    const auto damage = co_await run_passes(check, store);
    const Subject about{"store.db", damage.value_or("")};
    // Whoever calls has it open, which is in the way.
    const Error open(Errc::refused, "it can only be replaced when nobody has the store open",
                     "close the store, and run xlfsck");
    if (damage && check.ask(Code::database_damaged, about))
        check.failed(Code::database_damaged, about, open);
    co_return check.so_far();
}

}  // namespace xlstore::recovery
