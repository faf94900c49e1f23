// SPDX-License-Identifier: MIT
// The address of a device is asked for right after its attach. Where QEMU fell silent just then, or
// the entry came in with a document, it is missing; it is asked for again where it is needed.
// QEMU's silence is no error here: the things stay without an address, and are named.
#include "store/operation/unplaced.hpp"

#include <algorithm>

#include "store/core/journal.hpp"
#include "store/core/product.hpp"
#include "store/qmp/address.hpp"

namespace xlstore {

namespace {

constexpr auto kLongestPing = std::chrono::seconds(2);

struct Unplaced {
    ThingRow thing;
    std::vector<Product> devices;
    std::string address;
};

std::vector<Unplaced> unplaced_things(Db& db, DomainId domain)
{
    std::vector<Unplaced> found;
    for (auto& thing : read_things(db, domain)) {
        if (thing.primary != "qemu" || thing.state != "present" || !thing.address.empty()) continue;
        auto made = made_of(db, domain, thing);
        if (!made.recorded) continue;
        auto products = std::move(made.products);
        std::erase_if(products, [](const Product& p) { return p.kind != "device"; });
        if (!products.empty()) found.push_back(Unplaced{std::move(thing), std::move(products), {}});
    }
    return found;
}

}  // namespace

Task<Result<std::vector<std::string>>> learn_addresses(Store& store, DomainRow domain,
                                                       SlowHold& hold, const libxl::HostHold&,
                                                       Deadline until)
{
    std::vector<std::string> unknown;
    auto unplaced = unplaced_things(store.db(), domain.id);
    if (unplaced.empty() || !domain.registration) co_return unknown;
    const auto asking = std::min(until, Clock::now() + kLongestPing);
    auto monitor = co_await qmp::Monitor::connect(store.loop(), *domain.registration,
                                                  domain.subject(), asking);
    if (monitor)
        for (auto& one : unplaced)
            one.address = co_await query_addresses(*monitor, one.devices, asking);
    for (const auto& one : unplaced)
        if (one.address.empty()) unknown.push_back(one.thing.name.text());
    if (unknown.size() == unplaced.size()) co_return unknown;
    Journal journal(store);
    auto written =
        co_await journal.commit(hold, "addresses", until, [&](const FastHold&) -> Result<void> {
            for (const auto& one : unplaced)
                if (!one.address.empty())
                    store.db()
                        .prepare("UPDATE thing SET address = ? WHERE id = ?")
                        .bind(one.address)
                        .bind(one.thing.id)
                        .run();
            return {};
        });
    if (!written) co_return std::move(written).error();
    co_return unknown;
}

}  // namespace xlstore
