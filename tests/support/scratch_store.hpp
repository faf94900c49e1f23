// SPDX-License-Identifier: MIT
// A store of a test.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_STORE_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_STORE_HPP_

#include <memory>
#include <string>

#include "store/core/store.hpp"
#include "tests/support/scratch_directory.hpp"

namespace xlstore::test {

/// A store made by Store::init below a scratch directory.
class ScratchStore {
public:
    ScratchStore();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const ScratchDirectory& directory() const noexcept { return directory_; }
    /// Another handle on it. @throws std::runtime_error when it cannot be opened.
    [[nodiscard]] std::unique_ptr<Store> open() const;

private:
    ScratchDirectory directory_;
    std::string path_;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_STORE_HPP_
