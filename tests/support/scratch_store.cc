// SPDX-License-Identifier: MIT
#include "tests/support/scratch_store.hpp"

#include "tests/support/process.hpp"

namespace xlstore::test {

ScratchStore::ScratchStore() : path_(directory_ / "store")
{
    const auto made = Store::init(path_);
    if (!made) give_up(made.error().message);
}

std::unique_ptr<Store> ScratchStore::open() const
{
    StoreOptions options;
    options.directory = path_;
    options.program = "test";
    auto store = Store::open(options);
    if (!store) give_up(store.error().message);
    return *std::move(store);
}

}  // namespace xlstore::test
