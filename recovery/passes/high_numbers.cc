// SPDX-License-Identifier: MIT
#include "recovery/passes/high_numbers.hpp"

#include "recovery/base/alone.hpp"
#include "store/core/store_source.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore::recovery {

namespace {

std::vector<WrongNumber> look(const std::string& directory)
{
    try {
        const auto locks = Locks::open(directory, false);
        if (!locks) return {};
        const auto seen = locks->remembered();
        Db db(StorePaths(directory).database(), Db::Mode::read_only);
        return high_numbers(db, seen);
    } catch (const DbError&) {
        return {};
    }
}

// Counts no commit: what it changes, nothing of the store's rests on.
Result<void> lower(const StoreOptions& where)
{
    const auto until = Clock::now() + where.open_timeout;
    const auto locks = Locks::open(where.directory, true);
    if (!locks) return locks.error();
    const auto writer = take_writer_lock(*locks, until);
    if (!writer) return writer.error();
    try {
        const auto seen = locks->remembered();
        while_busy(until, [&] {
            Db db(StorePaths(where.directory).database(), Db::Mode::read_write);
            Transaction transaction(db);
            lower_high_numbers(db, seen);
            transaction.commit();
        });
    } catch (const DbError& e) {
        return error_of(e);
    }
    return {};
}

}  // namespace

Subject subject_of(const WrongNumber& number)
{
    return Subject{"table " + number.table, "sqlite_sequence has " + std::to_string(number.has) +
                                                ", and " + std::to_string(number.given) +
                                                " was given"};
}

void mend_high_numbers(Check& check, const StoreOptions& where)
{
    std::vector<WrongNumber> agreed;
    for (auto& high : look(where.directory))
        if (check.ask(Code::numbers_high, subject_of(high))) agreed.push_back(std::move(high));
    if (agreed.empty()) return;
    const auto done = lower(where);
    for (const auto& high : agreed) {
        if (done)
            check.fixed(Code::numbers_high, subject_of(high));
        else
            check.failed(Code::numbers_high, subject_of(high), done.error());
    }
}

}  // namespace xlstore::recovery
