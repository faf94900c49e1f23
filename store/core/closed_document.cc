// SPDX-License-Identifier: MIT
#include "store/core/closed_document.hpp"

#include "store/core/domain.hpp"

namespace xlstore {

std::string command_to_reopen(const DomainRow& domain)
{
    return "'xlstore reopen domid:" + std::to_string(domain.domid) + "'";
}

std::optional<std::string> closed_by(Db& db, DomainId domain)
{
    auto row = db.prepare(
                     "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', closed_us / 1000000, 'unixepoch'), "
                     "closed_program, closed_pid, "
                     "closed_reason FROM domain WHERE id = ? AND closed_us IS NOT NULL")
                   .bind(value_of(domain));
    if (!row.step()) return std::nullopt;
    return "since " + row.text(0) + " by " + row.text(1) + " (pid " + row.text(2) +
           "): " + row.text(3);
}

Result<void> check_open(Db& db, DomainId domain)
{
    const auto by = closed_by(db, domain);
    if (!by) return {};
    const auto row = read_domain(db, domain);
    if (row->state != DomainState::running) return {};
    return Error(
        Errc::refused, row->subject() + ": its document is closed " + *by,
        "nothing was changed; when that is over, " + command_to_reopen(*row) + " opens it");
}

}  // namespace xlstore
