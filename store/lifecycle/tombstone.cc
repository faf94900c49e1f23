// SPDX-License-Identifier: MIT
// Row or tombstone: one look and one commit under the writer lock, so that no creation comes
// between.
#include "store/lifecycle/tombstone.hpp"

#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "store/base/clock.hpp"
#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/model/domid.hpp"
#include "store/qmp/protocol.hpp"
#include "store/testing/trace.hpp"

namespace xlstore {

namespace {

constexpr std::int64_t kTombstoneUs = 60'000'000;

// The row of that domain; nothing: there is none, and the tombstone is left.
Task<Result<std::optional<DomainRow>>> find_or_forestall(Store& store, std::int64_t domid,
                                                         std::string uuid, Deadline until)
{
    co_return co_await store.with_writer_lock(
        "destroy", until,
        [&](const WriterHold&) -> Result<std::optional<DomainRow>> {
            Db& db = store.db();
            auto row =
                db.prepare(
                      "SELECT id FROM domain WHERE domid = ? AND ? IN (uuid, vm_uuid) AND state <> "
                      "'destroyed'")
                    .bind(domid)
                    .bind(uuid);
            if (row.step()) return read_domain(db, DomainId(row.integer(0)));
            XLSTORE_TRACE("tombstone", 0, "domid=" + std::to_string(domid) + " uuid=" + uuid);
            const auto until_us = since_boot_us() + kTombstoneUs;
            db.prepare(
                  "INSERT INTO tombstone (domid, uuid, boot_id, until_us) VALUES (?1, ?2, ?3, ?4) "
                  "ON CONFLICT (domid, uuid) DO UPDATE SET boot_id = ?3, until_us = ?4")
                .bind(domid)
                .bind(uuid)
                .bind(store.self().boot_id)
                .bind(until_us)
                .run();
            Journal(store).add_history(
                HistoryLine{{},
                            "destroy",
                            {},
                            {},
                            "done",
                            {},
                            "no row of domid " + std::to_string(domid) + ": a tombstone was left"});
            return std::optional<DomainRow>();
        },
        Room::reserve);
}

}  // namespace

Task<Result<bool>> destroy_or_forestall(Store& store, std::int64_t domid, std::string uuid,
                                        Deadline until)
{
    if (auto ok = check_domid(domid); !ok) co_return std::move(ok).error();
    std::transform(uuid.begin(), uuid.end(), uuid.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (uuid.size() != 36 || uuid.find_first_not_of("0123456789abcdef-") != std::string::npos)
        co_return Error(Errc::invalid, qmp::printable(uuid) + " is not a uuid");
    for (;;) {
        auto found = co_await find_or_forestall(store, domid, uuid, until);
        if (!found) co_return std::move(found).error();
        if (!*found) co_return false;
        auto destroyed = co_await destroy_domain(store, **std::move(found), until);
        if (destroyed) co_return true;
        // Its import was taken back meanwhile: there is none now.
        if (destroyed.error().code != Errc::not_found || Clock::now() >= until)
            co_return std::move(destroyed).error();
    }
}

}  // namespace xlstore
