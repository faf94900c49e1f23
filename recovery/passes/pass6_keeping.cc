// SPDX-License-Identifier: MIT
// Pass 6, its end: what is kept (R20 R22).
//
// Checks     that history, copies and lock slots are within their bounds          (6007).
// Relies on  nothing.
// Leaves     no more than the bounds of store/keep/prune.hpp, or what there was no time for.
#include "recovery/passes/passes.hpp"
#include "store/keep/prune.hpp"

namespace xlstore::recovery {

namespace {

Subject subject_of(const Pruned& due)
{
    return Subject{std::string(kept_name(due.kept)), describe(due)};
}

}  // namespace

Task<void> pass6_keeping(Check& check, Store& store)
{
    PruneOptions looking;
    looking.only_when_due = true;
    looking.dry_run = true;
    const auto due = co_await prune(store, looking, check.deadline());
    if (!due) co_return;  // there is time for it in the next run
    for (const auto& pruned : *due) {
        if (pruned.count == 0) continue;
        Subject about = subject_of(pruned);
        if (!check.ask(Code::kept_too_long, about)) continue;
        PruneOptions acting;
        acting.what.push_back(pruned.kept);
        acting.only_when_due = true;
        const auto done = co_await prune(store, acting, check.deadline());
        if (done)
            check.fixed(Code::kept_too_long, about);
        else
            check.failed(Code::kept_too_long, about, done.error());
    }
}

}  // namespace xlstore::recovery
