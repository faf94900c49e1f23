// SPDX-License-Identifier: MIT
#include "store/lifecycle/adoption.hpp"

#include "store/base/limits.hpp"
#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/model/document.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

std::optional<DomainRow> living_row(Db& db, std::int64_t domid)
{
    for (auto& row : living_domains(db))
        if (row.domid == domid) return std::move(row);
    return std::nullopt;
}

// Its toolstack ended that life without telling the store.
Task<Result<void>> end_earlier_life(Store& store, DomainRow row, Deadline until)
{
    if (row.registration && life_of(row.registration->qemu) != Life::dead)
        co_return Error(Errc::exists,
                        row.subject() + ": another uuid than the domain's, and its QEMU (pid " +
                            std::to_string(row.registration->qemu.pid) +
                            ") is not known to be dead",
                        "nothing was changed; 'xlstore show' has both, 'xlstore destroy' ends one");
    co_return co_await archive_domain(
        store, std::move(row), "its domid is another domain's now, and it has no QEMU", until);
}

// A toolstack that did not tell the store has ended the domain that had the name: xenstore has
// nothing of it. What is not known stays, and the import refuses the name.
Task<void> free_name(Store& store, std::string name, std::int64_t domid, Deadline until)
{
    for (auto& row : living_domains(store.db())) {
        if (row.name != name || row.domid == domid || row.state == DomainState::creating) continue;
        if (row.registration && life_of(row.registration->qemu) != Life::dead) continue;
        const auto known = co_await has_xenstore_domain(store.loop(), row.domid, until);
        if (!known || *known) continue;
        std::string why = "Xen has it no more, and another domain has its name";
        (void)co_await archive_domain(store, std::move(row), std::move(why), until);
    }
}

}  // namespace

Task<Result<Registered>> adopt_domain(Store& store, Adoption adoption, Deadline until)
{
    const auto document = parse_document(adoption.document, adoption.what);
    if (!document) co_return document.error();
    auto row = living_row(store.db(), adoption.domid);
    if (row && row->uuid != document->uuid) {
        auto ended = co_await end_earlier_life(store, *std::move(row), until);
        if (!ended) co_return std::move(ended).error();
        row.reset();
    }
    const bool imported = !row;
    if (imported) {
        co_await free_name(store, document->name, adoption.domid, until);
        auto fresh =
            co_await import_domain(store, adoption.domid, adoption.document, adoption.what, until);
        if (!fresh) co_return std::move(fresh).error();
        row = *std::move(fresh);
    }
    Registered as_it_is{*row, {}, {}};
    const bool lives = row->registration && life_of(row->registration->qemu) != Life::dead;
    if (adoption.monitor_path.empty() || lives) co_return as_it_is;
    RegisterRequest request;
    request.monitor_path = adoption.monitor_path;
    auto registered = co_await register_qemu(store, *row, std::move(request), until);
    if (registered || !imported) co_return registered;
    auto gone = co_await archive_domain(store, *std::move(row), registered.error().message, until);
    if (!gone) registered.error().message += "; its row stays: " + gone.error().message;
    co_return registered;
}

}  // namespace xlstore
