// SPDX-License-Identifier: MIT
// Names for what is kept beside a store: they say when it was put aside (R22).
#ifndef XLSTORE_STORE_BASE_DATED_PATH_HPP_
#define XLSTORE_STORE_BASE_DATED_PATH_HPP_

#include <string>

namespace xlstore {

/// `stem` with this second behind it ("…-20261129T093000Z", "…Z-2"): a name that neither a file nor
/// a log ("-wal") has. Another process may take it in the next moment: rename without replacing.
[[nodiscard]] std::string dated_path(const std::string& stem);

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_DATED_PATH_HPP_
