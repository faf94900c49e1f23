// SPDX-License-Identifier: MIT
// The domain that a command which only looks was given, found once.
#ifndef XLSTORE_TOOLS_XLSTORE_FOUND_DOMAIN_HPP_
#define XLSTORE_TOOLS_XLSTORE_FOUND_DOMAIN_HPP_

#include <optional>
#include <string>
#include <vector>

#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

struct Found {
    StoreHandle store;
    std::vector<std::string> incarnation;  ///< as a query's parameter; empty: none was named
    bool destroyed = false;
    std::string subject = {};  ///< "domain 7 (web01)"; "": none was named
};

/// The store to look at, and the domain that the first word names, if there is one. `past`: it may
/// be destroyed. Notes on standard error which further incarnations the word fits.
enum class Past { no, yes };
Result<Found> open_and_find(const Arguments& arguments, Past past);

/// Notes on standard error of which entries the text is damaged: an answer has a string, or null,
/// in their place.
void note_unreadable(const Arguments& arguments, const Found& found);

/// Rows of a query, with NULLs; `parameters` are bound to ?1, ?2, …
using NullableRow = std::vector<std::optional<std::string>>;
Result<std::vector<NullableRow>> query_rows(const Arguments& arguments, xlstore_store* store,
                                            const std::string& sql,
                                            const std::vector<std::optional<std::string>>& values);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_FOUND_DOMAIN_HPP_
