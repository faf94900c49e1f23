// SPDX-License-Identifier: MIT
// Names in a store's run/: sockets and logs are called after the incarnation that they are of. A
// name is never used twice (R11): QEMU unlinks what stands at the path of a socket that it makes,
// and would so take the monitor of a living QEMU away.
#ifndef XLSTORE_STORE_CORE_RUN_DIRECTORY_HPP_
#define XLSTORE_STORE_CORE_RUN_DIRECTORY_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/core/store.hpp"

namespace xlstore {

/// How many digits an incarnation's id may have in a name: more are no name of the library's.
inline constexpr std::size_t kIdDigits = 10;

/// Of "qmp-N" and "qmp-N-…" (again after a soft reset), "qemu-N.log"; nothing: another name.
[[nodiscard]] std::optional<DomainId> incarnation_in(std::string_view name,
                                                     std::string_view prefix);
/// The highest incarnation that a name in `run` is of, living or not; 0: none.
/// @throws IoError  `run` cannot be listed: what was not seen is not absent.
[[nodiscard]] std::int64_t highest_incarnation_in(const std::string& run);

/// R11 R17: the next incarnation gets an id above every name in run/, even if the database has gone
/// back to an older copy of itself and gives numbers out again. @throws IoError, DbError
void raise_ids_above_names(Store& store, const WriterHold& writer);

/// `path`, or if something is there, the first of path-2, path-3, … where nothing is.
/// @throws IoError when a path cannot be looked at.
[[nodiscard]] std::string unused_path(const std::string& path);

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_RUN_DIRECTORY_HPP_
