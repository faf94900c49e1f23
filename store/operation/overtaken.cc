// SPDX-License-Identifier: MIT
// The intent is closed first, and what is there adopted second: between the two recovery finds a
// device without an entry, and adopts it itself (5003). In the other order the entry would claim
// products that the open intent still claims (R16).
#include "store/operation/overtaken.hpp"

#include <algorithm>

#include "store/core/initial_devices.hpp"
#include "store/operation/survey.hpp"
#include "store/qmp/inventory.hpp"

namespace xlstore {

namespace {

// What of `present` no entry has, now that the intent has it no longer.
Task<Result<void>> adopt(Store& store, Engine& engine, std::vector<Product> present, Deadline until)
{
    const auto domain = engine.domain().id;
    const auto there = co_await take_inventory(engine.monitor(), until);
    if (!there) co_return there.error();
    const auto initial = read_initial_devices(store.db(), domain);
    auto survey =
        co_await take_survey(store.db(), domain, initial, *there, engine.monitor(), until);
    if (!survey) co_return std::move(survey).error();
    for (const auto& unknown : survey->unknown) {
        const bool left = std::ranges::any_of(unknown.products, [&](const Product& product) {
            return has_product(present, product);
        });
        if (!left) continue;
        auto adopted = co_await engine.journal().adopt(engine.hold(), unknown.name, unknown.json,
                                                       unknown.products, "QEMU has " + unknown.seen,
                                                       until);
        if (!adopted) co_return adopted;
    }
    co_return Result<void>();
}

}  // namespace

Task<Result<Resolved>> close_overtaken(Store& store, Engine& engine, std::vector<Intent> intents,
                                       Evidence found, Deadline until)
{
    const bool add = intents.front().draft.verb == Verb::add;
    found.reason += "; closed as not done, and what is there stays";
    std::string evidence = found.reason;
    if (!intents.front().note.empty()) evidence += " (before: " + intents.front().note + ")";
    auto settled = co_await engine.journal().settle(engine.hold(), std::move(intents),
                                                    Image::before, std::move(evidence), until);
    if (!settled) co_return std::move(settled).error();
    if (add && !found.present.empty()) {
        auto adopted = co_await adopt(store, engine, std::move(found.present), until);
        if (!adopted) co_return std::move(adopted).error();
    }
    Resolved closed{Resolution::overtaken, std::move(found.reason)};
    co_return closed;
}

}  // namespace xlstore
