// SPDX-License-Identifier: MIT
// A store of this process's own that goes with it: what the passes work on when there is no store.
// It is kept in memory (/dev/shm) where that is there. What a killed process left is taken away by
// the next one.
#ifndef XLSTORE_RECOVERY_LIBXL_PRIVATE_STORE_HPP_
#define XLSTORE_RECOVERY_LIBXL_PRIVATE_STORE_HPP_

#include <memory>
#include <string>

#include "store/core/store.hpp"

namespace xlstore::recovery {

class PrivateStore {
public:
    /// Errors: io (no directory can be made in $TMPDIR, /dev/shm or /tmp), those of Store.
    static Result<std::unique_ptr<PrivateStore>> make(std::shared_ptr<const Log> log);
    PrivateStore(const PrivateStore&) = delete;
    PrivateStore& operator=(const PrivateStore&) = delete;
    ~PrivateStore();

    [[nodiscard]] Store& store() noexcept { return *store_; }

private:
    explicit PrivateStore(std::string directory) : directory_(std::move(directory)) {}

    std::string directory_;
    std::unique_ptr<Store> store_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_PRIVATE_STORE_HPP_
