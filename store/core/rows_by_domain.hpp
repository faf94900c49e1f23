// SPDX-License-Identifier: MIT
// Rows of many domains, read by one statement in one walk: to begin a statement costs as much as
// some rows.
#ifndef XLSTORE_STORE_CORE_ROWS_BY_DOMAIN_HPP_
#define XLSTORE_STORE_CORE_ROWS_BY_DOMAIN_HPP_

#include <utility>
#include <vector>

#include "store/base/domain_id.hpp"
#include "store/database/db.hpp"

namespace xlstore {

/// What the domains have in one table. REQUIRES that the database is open for as long, and a read
/// transaction, so that all of it is of one moment.
template <class Row>
class RowsByDomain {
public:
    /// `rows`: ordered by domain, which is their column `domain`; `from` makes one of a row.
    RowsByDomain(Statement rows, int domain, Row (*from)(const Statement&))
        : rows_(std::move(rows)), domain_(domain), from_(from), here_(rows_.step())
    {}

    /// In the order of the statement. REQUIRES that each id is above the one before.
    [[nodiscard]] std::vector<Row> of(DomainId id)
    {
        std::vector<Row> found;
        for (; here_ && rows_.integer(domain_) <= value_of(id); here_ = rows_.step())
            if (rows_.integer(domain_) == value_of(id)) found.push_back(from_(rows_));
        return found;
    }

private:
    Statement rows_;
    int domain_;
    Row (*from_)(const Statement&);
    bool here_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_ROWS_BY_DOMAIN_HPP_
