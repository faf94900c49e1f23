// SPDX-License-Identifier: MIT
#include <cstdio>

#include "store/text/error_json.hpp"
#include "store/text/json_text.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

int run(const Arguments& arguments)
{
    auto status = [&]() -> Result<Status> {
        try {
            return verb_of(arguments.verb)(arguments);
        } catch (...) {
            return caught();
        }
    }();
    if (!status && arguments.json)
        std::puts(json_object({{"error", error_json(status.error())}}).c_str());
    const auto trouble = tools::output_trouble();
    if (!status && (!arguments.json || trouble))
        tools::print_error("xlstore-fleet", status.error());
    if (trouble)
        tools::print_error("xlstore-fleet",
                           Error(Errc::io, "cannot write to standard output: " + *trouble,
                                 "the answer is lost or cut off; what the command did stands"));
    if (!status) return static_cast<int>(tools::status_of(status.error()));
    return static_cast<int>(trouble && *status == Status::done ? Status::unwritten : *status);
}

}  // namespace

}  // namespace xlstore::fleet

int main(int argc, char** argv)
{
    using namespace xlstore;  // NOLINT(google-build-using-namespace)
    tools::fail_at_writes();
    tools::hold_standard_descriptors();
    tools::keep_owners_rights();
    fleet::Arguments arguments;
    const auto ended = fleet::parse_arguments(argc, argv, arguments);
    return ended ? *ended : fleet::run(arguments);
}
