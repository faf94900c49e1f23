// SPDX-License-Identifier: MIT
// What each promise of the tables costs: the bare statements of one operation, with one part of the
// schema left out at a time, beside two transactions that change one row each. Printed are medians
// of CPU.
//
//   schema_cost [ROUNDS]      default: 2000
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/bench/raw_statements.hpp"
#include "tests/bench/two_commits.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

constexpr int kRounds = 2000;
constexpr std::int64_t kThings = 60;

struct Without {
    const char* what;
    bool triggers;                   ///< they are left out, too
    std::vector<std::string> drops;  ///< of the schema
    std::vector<std::string> words;  ///< statements that have one of these are left out
};

const std::vector<Without> kParts = {
    {"nothing", false, {}, {}},
    {"triggers", true, {}, {}},
    {"line of history", false, {"DROP TRIGGER r10_intent_delete"}, {"INTO history"}},
    {"epoch and revision", false, {}, {"UPDATE domain"}},
    {"count of commits", false, {}, {"UPDATE store"}},
    {"index intent_domain", false, {"DROP INDEX intent_domain"}, {}},
    {"triggers, indexes of history",
     true,
     {"DROP INDEX history_domain", "DROP INDEX history_intent"},
     {}},
    {"triggers, intent, history", true, {}, {"intent"}},
    {"all but the entry", true, {}, {"intent", "UPDATE store", "UPDATE domain"}},
};

std::vector<std::string> triggers_of(Db& db)
{
    std::vector<std::string> drops;
    auto rows = db.prepare("SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'");
    while (rows.step())
        drops.push_back(rows.text(0));
    return drops;
}

std::vector<std::string> statements_without(const std::vector<std::string>& words)
{
    auto statements = statements_of_two_commits();
    for (const auto& word : words)
        std::erase_if(statements, [&](const std::string& sql) {
            return sql.find(word) != std::string::npos;
        });
    return statements;
}

void measure(const Without& part, int rounds)
{
    const Fixture fixture(kThings);
    auto drops = part.drops;
    if (part.triggers)
        for (auto& drop : triggers_of(fixture.store->db()))
            drops.push_back(std::move(drop));
    Statements rows(fixture.database(), drops, statements_without(part.words));
    Statements small(fixture.database() + "-small", one_row(), two_transactions_of_one_row());
    Times with;
    Times least;
    for (int i = 0; i < rounds; ++i) {
        const Moment begun;
        bool done = rows.run();
        const Moment between;
        done = small.run() && done;
        if (!done) throw std::runtime_error(std::string("a statement failed without ") + part.what);
        with.add(begun, between);
        least.add(between, Moment());
    }
    std::printf("without %-30s %6.1f us beside %4.1f: %.1f times\n", part.what, with.used(),
                least.used(), with.used() / least.used());
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        for (const auto& part : kParts)
            measure(part, argc > 1 ? std::atoi(argv[1]) : kRounds);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "schema_cost: %s\n", e.what());
        return 1;
    }
}
