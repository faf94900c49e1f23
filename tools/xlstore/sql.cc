// SPDX-License-Identifier: MIT
// sql: a read-only query, with a time limit: an endless reader would make the log grow.
#include <cstdio>
#include <iostream>
#include <iterator>

#include "tools/common/json_value.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

constexpr int32_t kCannotWrite = 1;  // no status of the library: the end of the program says why

int32_t print_row(int32_t columns, const char* const* /*names*/, const char* const* values,
                  void* /*userdata*/)
{
    for (int32_t i = 0; i < columns; ++i)
        std::printf("%s%s", i > 0 ? "|" : "", values[i] ? values[i] : "");
    std::putchar('\n');
    return std::ferror(stdout) ? kCannotWrite : XLSTORE_OK;
}

}  // namespace

Result<Status> run_sql(const Arguments& arguments)
{
    const std::string query = arguments.words.empty() || arguments.words[0] == "-"
                                  ? std::string(std::istreambuf_iterator<char>(std::cin), {})
                                  : arguments.words[0];
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    if (!arguments.json) {
        const int32_t ended = xlstore_query(store->get(), query.c_str(), nullptr, 0, &call,
                                            print_row, nullptr);
        if (ended == XLSTORE_OK || ended == kCannotWrite) return Status::done;
        return last_error();
    }
    char* rows = nullptr;
    if (xlstore_query_json(store->get(), query.c_str(), nullptr, 0, &call, &rows) != XLSTORE_OK)
        return last_error();
    print_json(Text(rows).get());
    return Status::done;
}

}  // namespace xlstore::tools
