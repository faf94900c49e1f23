// SPDX-License-Identifier: MIT
// The library's C interface as the verbs use it, and they use nothing else: all that this program
// does, an embedder can do.
#ifndef XLSTORE_TOOLS_XLSTORE_LIBRARY_HPP_
#define XLSTORE_TOOLS_XLSTORE_LIBRARY_HPP_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "tools/common/store_handles.hpp"
#include "tools/xlstore/verbs.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::tools {

Result<StoreHandle> open_store(const Arguments& arguments);
Result<StoreHandle> open_to_look(const Arguments& arguments);

/// The time limit that --timeout sets, or the standard one.
[[nodiscard]] xlstore_call call_of(const Arguments& arguments);

/// Opens the store for writing and runs `operation(store, call, result_out)`. An error only if it
/// did not run at all.
using Operation =
    std::function<int32_t(xlstore_store*, const xlstore_call&, xlstore_result** result_out)>;
Result<ResultHandle> perform(const Arguments& arguments, const Operation& operation);
/// Prints what came of it: its object with --json, else its line. Not done: its error.
Result<Status> tell(const Arguments& arguments, const xlstore_result* result);
/// Both.
Result<Status> run_operation(const Arguments& arguments, const Operation& operation);

/// Notes on standard error that `word` fits further incarnations besides `id`, the `which`
/// ("newest") of them. `others`: a JSON array of their ids; none: there is nothing to note.
void note_others(std::int64_t id, const char* which, const std::string& word, const char* others);

/// A JSON array of notes, a line each on standard error.
void print_notes(const char* notes);

/// A query's rows: with --json the first column, an object each; else a table of all others.
Result<Status> print_rows(const Arguments& arguments, xlstore_store* store, const char* sql,
                          const std::vector<std::string>& parameters,
                          const std::vector<std::string>& head);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_LIBRARY_HPP_
