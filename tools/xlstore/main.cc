// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <exception>

#include "store/json_text.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

int run(const Arguments& arguments)
{
    const auto row = std::find_if(verbs().begin(), verbs().end(),
                                  [&](const VerbRow& v) { return v.name == arguments.verb; });
    auto status = [&]() -> Result<Status> {
        try {
            return row->run(arguments);
        } catch (const DbError& e) {
            return Error(Errc::store, e.what(), "run xlfsck");
        } catch (const std::exception& e) {
            return Error(Errc::io, e.what());
        }
    }();
    if (status) return static_cast<int>(*status);
    if (arguments.json) {
        std::puts(json_object({{"error", error_json(status.error())}}).c_str());
    } else {
        print_error("xlstore", status.error());
    }
    return static_cast<int>(status_of(status.error()));
}

}  // namespace

}  // namespace xlstore::tools

int main(int argc, char** argv)
{
    xlstore::tools::Arguments arguments;
    if (const auto ended = xlstore::tools::parse_arguments(argc, argv, arguments)) return *ended;
    return xlstore::tools::run(arguments);
}
