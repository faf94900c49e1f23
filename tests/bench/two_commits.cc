// SPDX-License-Identifier: MIT
// What keeping the rules costs: the two commits of one operation (a CD change) with slow lock, fast
// locks, writer, epoch and R17, but without QMP, beside a raw SQLite loop of two transactions over
// the same rows of the same tables, and beside that loop over the store's own layer below SQLite
// (same_layer_cpu_ratio), which writes a commit by one call. And what the tables themselves cost:
// that loop beside two transactions that change one row each. They take turns, so that a ratio is
// of one moment; single figures do not count. Bars: ratio 1.15, cpu_ratio 1.35, schema_cpu_ratio 2.
#include "tests/bench/two_commits.hpp"

#include <benchmark/benchmark.h>
#include <malloc.h>

#include "store/database/reserve.hpp"
#include "tests/bench/raw_statements.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

void two_commits(benchmark::State& state)
{
    Fixture fixture(state.range(0));
    const Draft draft = change(fixture, state.range(0) / 2);
    const Fixture raw(state.range(0));
    Statements rows(raw.database(), {}, statements_of_two_commits());
    const Fixture other(state.range(0));
    Statements layered(other.database(), {}, statements_of_two_commits(), reserving_vfs());
    Statements small(raw.database() + "-small", one_row(), two_transactions_of_one_row());
    Times ours;
    Times same;
    Times same_layer;
    Times smallest;
    for (auto _ : state) {
        const Moment begun;
        bool done = fixture.store->loop().wait_for(one_operation(fixture, draft));
        const Moment first;
        done = rows.run() && done;
        const Moment second;
        done = layered.run() && done;
        const Moment third;
        done = small.run() && done;
        const Moment fourth;
        if (!done) {
            state.SkipWithError("an operation failed");
            break;
        }
        ours.add(begun, first);
        same.add(first, second);
        same_layer.add(second, third);
        smallest.add(third, fourth);
        state.SetIterationTime((first.passed - begun.passed).count());
    }
    state.counters["cpu_us"] = ours.used();
    state.counters["rows_cpu_us"] = same.used();
    state.counters["same_layer_cpu_us"] = same_layer.used();
    state.counters["small_cpu_us"] = smallest.used();
    state.counters["ratio"] = ours.passed() / same.passed();
    state.counters["cpu_ratio"] = ours.used() / same.used();
    state.counters["same_layer_cpu_ratio"] = ours.used() / same_layer.used();
    state.counters["schema_cpu_ratio"] = same.used() / smallest.used();
}
BENCHMARK(two_commits)
    ->Arg(5)
    ->Arg(60)
    ->Arg(1000)
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int argc, char** argv)
{
    // Else glibc gives the end of the heap back to the kernel, and takes it again, in each round of
    // the raw loop, or of none, as the blocks happen to lie: more than the loop itself takes.
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    benchmark::Initialize(&argc, argv);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
