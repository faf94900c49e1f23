// SPDX-License-Identifier: MIT
// What keeping the rules costs: the two commits of one operation (a CD change) with slow lock, fast
// locks, writer, epoch and R17, but without QMP, beside a raw SQLite loop of two transactions over
// the same rows of the same tables. And what the tables themselves cost: that loop beside two
// transactions that change one row each. They take turns, so that a ratio is of one moment; single
// figures do not count. Bars: ratio 1.15, cpu_ratio 1.35, schema_cpu_ratio 2.
#include <benchmark/benchmark.h>
#include <sqlite3.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/database/write_permit.hpp"
#include "tests/bench/two_commits.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

/// Statements by hand: prepared once, no locks but SQLite's own.
class Statements {
public:
    Statements(const std::string& path, std::initializer_list<const char*> made_by,
         std::initializer_list<const char*> statements)
    {
        if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) throw std::runtime_error("sqlite3_open");
        for (const char* pragma : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL",
                                   "PRAGMA foreign_keys = ON"})
            sqlite3_exec(db_, pragma, nullptr, nullptr, nullptr);
        if (permit_writes(db_) != SQLITE_OK) throw std::runtime_error("permit_writes");
        for (const char* sql : made_by)
            if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
                throw std::runtime_error(sqlite3_errmsg(db_));
        for (const char* sql : statements) {
            sqlite3_stmt* statement = nullptr;
            if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK)
                throw std::runtime_error(sqlite3_errmsg(db_));
            statements_.push_back(statement);
        }
    }
    Statements(const Statements&) = delete;
    Statements& operator=(const Statements&) = delete;
    ~Statements()
    {
        for (auto* statement : statements_)
            sqlite3_finalize(statement);
        sqlite3_close(db_);
    }
    bool run()
    {
        for (auto* statement : statements_) {
            const int rc = sqlite3_step(statement);
            sqlite3_reset(statement);
            if (rc != SQLITE_DONE) return false;
        }
        return true;
    }

private:
    sqlite3* db_ = nullptr;
    std::vector<sqlite3_stmt*> statements_;
};

/// The rows that the two commits write, the count of commits among them.
Statements same_rows(const std::string& path)
{
    return Statements(
        path, {},
        {"BEGIN IMMEDIATE",
         "UPDATE domain SET epoch = epoch + 1, revision = revision + 1, changed_us = 1 WHERE "
         "domid = 1",
         "UPDATE thing SET state = 'changing', json = json, changed_us = 1 WHERE id = 3",
         "INSERT INTO intent (id, domain, thing, owner, operation, image_before, image_after, "
         "plan, probe, "
         "monitor_path, epoch, opened_us) SELECT NULL, 1, 3, (SELECT max(id) FROM session), "
         "'change', json, "
         "json, '[{\"execute\":\"eject\",\"arguments\":{\"id\":\"ide-5632\"}}]', "
         "'{\"products\":[],\"drive\":{\"id\":\"ide-5632\"}}', '/run/qmp', 1, 1 FROM thing "
         "WHERE id = 3",
         "UPDATE store SET commits = commits + 1", "COMMIT", "BEGIN IMMEDIATE",
         "UPDATE domain SET epoch = epoch + 1, revision = revision + 1, changed_us = 1 WHERE "
         "domid = 1",
         "INSERT INTO history (at_us, domain, domid, operation, class, key, intent, outcome, "
         "image, evidence, "
         "pid, program) SELECT 1, 1, 1, 'change', 'disks', 'd2', id, 'done', 'after', 'raw', "
         "1, 'bench' FROM intent WHERE thing = 3",
         "DELETE FROM intent WHERE thing = 3",
         "UPDATE thing SET state = 'present', json = json, changed_us = 1 WHERE id = 3",
         "UPDATE store SET commits = commits + 1", "COMMIT"});
}

Statements two_small(const std::string& path)
{
    return Statements(path, {"CREATE TABLE one (id INTEGER PRIMARY KEY, n INTEGER)",
                       "INSERT INTO one VALUES (1, 0)"},
                {"BEGIN IMMEDIATE", "UPDATE one SET n = n + 1 WHERE id = 1", "COMMIT",
                 "BEGIN IMMEDIATE", "UPDATE one SET n = n + 1 WHERE id = 1", "COMMIT"});
}

void two_commits(benchmark::State& state)
{
    Fixture fixture(state.range(0));
    const Draft draft = change(fixture, state.range(0) / 2);
    const Fixture raw(state.range(0));
    Statements rows = same_rows(raw.database());
    Statements small = two_small(raw.database() + "-small");
    Times ours;
    Times same;
    Times smallest;
    for (auto _ : state) {
        const Moment begun;
        bool done = fixture.store->loop().wait_for(one_operation(fixture, draft));
        const Moment first;
        done = rows.run() && done;
        const Moment second;
        done = small.run() && done;
        const Moment third;
        if (!done) {
            state.SkipWithError("an operation failed");
            break;
        }
        ours.add(begun, first);
        same.add(first, second);
        smallest.add(second, third);
        state.SetIterationTime((first.passed - begun.passed).count());
    }
    state.counters["cpu_us"] = ours.used();
    state.counters["rows_cpu_us"] = same.used();
    state.counters["small_cpu_us"] = smallest.used();
    state.counters["ratio"] = ours.passed() / same.passed();
    state.counters["cpu_ratio"] = ours.used() / same.used();
    state.counters["schema_cpu_ratio"] = same.used() / smallest.used();
}
BENCHMARK(two_commits)
    ->Arg(5)
    ->Arg(60)
    ->Arg(1000)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
