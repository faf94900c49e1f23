// SPDX-License-Identifier: MIT
// sql: a read-only query, with a time limit: an endless reader would make the log grow.
#include <unistd.h>

#include <cstdio>

#include "store/base/limits.hpp"
#include "store/os/regular_file.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/screen.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

// Statements of the largest size, and what is between them.
constexpr std::size_t kQueryBytesMax = std::size_t{16} * limits::query_text_bytes_max;
constexpr int32_t kCannotWrite = 1;  // no status of the library: the end of the program says why

// Nothing that steers a terminal; its lines stay lines.
std::string for_terminal(std::string_view value)
{
    std::string text;
    for (;;) {
        const auto end = value.find('\n');
        text += plain(value.substr(0, end));
        if (end == std::string_view::npos) return text;
        text += '\n';
        value.remove_prefix(end + 1);
    }
}

int32_t print_row(int32_t columns, const char* const* /*names*/, const char* const* values,
                  void* is_terminal)
{
    for (int32_t i = 0; i < columns; ++i) {
        const std::string value = values[i] ? values[i] : "";
        const bool steers = *static_cast<const bool*>(is_terminal);
        std::printf("%s%s", i > 0 ? "|" : "", (steers ? for_terminal(value) : value).c_str());
    }
    std::putchar('\n');
    return std::ferror(stdout) ? kCannotWrite : XLSTORE_OK;
}

}  // namespace

Result<Status> run_sql(const Arguments& arguments)
{
    const bool of_input = arguments.words.empty() || arguments.words[0] == "-";
    const auto query = of_input ? read_to_end(STDIN_FILENO, "standard input", kQueryBytesMax)
                                : Result<std::string>(arguments.words[0]);
    if (!query) return query.error();
    // Of a C string the rest would not be run, and nothing would say so.
    if (query->find('\0') != std::string::npos)
        return Error(Errc::invalid, "the query has a NUL",
                     "nothing was run; give it as text, in SQL a NUL is char(0)");
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    if (!arguments.json) {
        bool is_terminal = screen().terminal;
        const int32_t ended =
            xlstore_query(store->get(), query->c_str(), nullptr, 0, &call, print_row, &is_terminal);
        if (ended == XLSTORE_OK || ended == kCannotWrite) return Status::done;
        return last_error();
    }
    char* rows = nullptr;
    if (xlstore_query_json(store->get(), query->c_str(), nullptr, 0, &call, &rows) != XLSTORE_OK)
        return last_error();
    print_json(Text(rows).get());
    return Status::done;
}

}  // namespace xlstore::tools
