// SPDX-License-Identifier: MIT
// Where the directory is now from which a store was copied (R17): its QEMUs belong to the store
// that is in it, under any name.
#ifndef XLSTORE_STORE_DATABASE_ORIGINAL_HPP_
#define XLSTORE_STORE_DATABASE_ORIGINAL_HPP_

#include <string>

#include "store/database/place.hpp"

namespace xlstore {

/// The path of the directory that `written` speaks of, if there is a store in it: under its old
/// name, under another one beside that or beside `here`, or where a process has a file of it open
/// (its QEMUs have their logs). "": it was not found. Takes as long as processes have descriptors.
[[nodiscard]] std::string original_of(const Place& written, const Place& here);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_ORIGINAL_HPP_
