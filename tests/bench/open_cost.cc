// SPDX-License-Identifier: MIT
// What a short visit costs within a process: the store is opened, one domain is read, the store is
// closed. Once to look, and once as those who write do, which begins a session and ends it. Another
// handle keeps the store open, as a daemon does. Bar of the look: 2 ms.
#include <benchmark/benchmark.h>

#include <stdexcept>

#include "tests/bench/two_commits.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

template <class Open>
void visit(benchmark::State& state, Open open)
{
    const Fixture fixture(state.range(0));
    StoreOptions options;
    options.directory = fixture.store->directory();
    for (auto _ : state) {
        auto store = open(options);
        if (!store || !find_domain((*store)->db(), "domid:1")) {
            state.SkipWithError("a visit failed");
            break;
        }
    }
}

void to_look(benchmark::State& state)
{
    visit(state, Store::open_read_only);
}
void to_write(benchmark::State& state)
{
    visit(state, Store::open);
}
BENCHMARK(to_look)->Arg(5)->Arg(1000)->Unit(benchmark::kMicrosecond);
BENCHMARK(to_write)->Arg(5)->Arg(1000)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
