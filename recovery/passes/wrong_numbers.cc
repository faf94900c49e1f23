// SPDX-License-Identifier: MIT
// This runs before the store is opened, because opening it is what such numbers make impossible:
// the first commit would be refused (R17). So it works on the database itself, under the writer
// lock, and looks for the numbers once more there: another process may have put them right since
// the question was asked.
#include "recovery/passes/wrong_numbers.hpp"

#include "recovery/base/alone.hpp"
#include "store/core/store_source.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore::recovery {

namespace {

Subject subject_of(const WrongNumber& number)
{
    std::string evidence = "sqlite_sequence has " + std::to_string(number.has) + ", and " +
                           std::to_string(number.given) + " was given";
    if (number.row != 0) evidence += "; a row has " + std::to_string(number.row);
    return Subject{"table " + number.table, std::move(evidence)};
}

std::vector<NumberFound> look(const std::string& directory)
{
    try {
        const auto locks = Locks::open(directory, false);
        if (!locks) return {};
        const auto seen = locks->remembered();
        Db db(StorePaths(directory).database(), Db::Mode::read_only);
        return find_wrong_numbers(db, seen);
    } catch (const DbError&) {
        return {};
    }
}

// Counts no commit: what it changes, nothing of the store's rests on.
Result<void> put_right(const StoreOptions& where, const std::vector<NumberFound>& agreed)
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
            xlstore::Transaction transaction(db);
            put_numbers_right(db, seen, numbers_of(agreed));
            transaction.commit();
        });
    } catch (const DbError& e) {
        return error_of(e);
    }
    return {};
}

}  // namespace

std::vector<NumberFound> find_wrong_numbers(Db& db, const Memory& seen)
{
    std::vector<NumberFound> found;
    for (auto& high : high_numbers(db, seen))
        found.push_back({Code::numbers_high, std::move(high)});
    for (auto& low : low_numbers(db, seen))
        found.push_back({Code::numbers_low, std::move(low)});
    return found;
}

void ask_about(Check& check, std::vector<NumberFound>& found)
{
    std::erase_if(found, [&](const NumberFound& wrong) {
        return !check.ask(wrong.code, subject_of(wrong.number));
    });
}

void tell(Check& check, const std::vector<NumberFound>& agreed, const Result<void>& done)
{
    for (const auto& [code, number] : agreed) {
        if (done)
            check.fixed(code, subject_of(number));
        else
            check.failed(code, subject_of(number), done.error());
    }
}

std::vector<WrongNumber> numbers_of(const std::vector<NumberFound>& found)
{
    std::vector<WrongNumber> numbers;
    numbers.reserve(found.size());
    for (const auto& wrong : found)
        numbers.push_back(wrong.number);
    return numbers;
}

void mend_numbers(Check& check, const StoreOptions& where)
{
    auto found = look(where.directory);
    ask_about(check, found);
    if (!found.empty()) tell(check, found, put_right(where, found));
}

}  // namespace xlstore::recovery
