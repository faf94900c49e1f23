// SPDX-License-Identifier: MIT
// Words of rows as values. A damaged page may hold any word where a name of ours belongs: none is
// taken for a value without being one.
#ifndef XLSTORE_STORE_MODEL_ROW_NAMES_HPP_
#define XLSTORE_STORE_MODEL_ROW_NAMES_HPP_

#include <string_view>

#include "store/base/error.hpp"
#include "store/model/domain_row.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// Error store: it is no state of a domain.
Result<DomainState> state_from_name(std::string_view name);
/// Error store: it is no operation on a thing.
Result<Verb> verb_from_name(std::string_view name);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_ROW_NAMES_HPP_
