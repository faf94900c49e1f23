// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdio>
#include <exception>

#include "store/text/error_json.hpp"
#include "store/text/json_text.hpp"
#include "tools/common/finding_journal.hpp"
#include "tools/common/pager.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

Error cannot_write(const std::string& why)
{
    return Error(Errc::io, "cannot write to standard output: " + why,
                 "the answer is lost or cut off; what the command did stands");
}

int run(const Arguments& arguments)
{
    if (arguments.no_pager || arguments.json) no_pager();
    const auto row = std::find_if(verbs().begin(), verbs().end(),
                                  [&](const VerbRow& v) { return v.name == arguments.verb; });
    auto status = [&]() -> Result<Status> {
        try {
            return row->run(arguments);
        } catch (...) {
            return caught();
        }
    }();
    if (!status && status_of(status.error()) == Status::in_doubt)
        journal_doubt("xlstore", arguments.store, arguments.verb, status.error());
    if (!status && arguments.json)
        std::puts(json_object({{"error", error_json(status.error())}}).c_str());
    end_pager();
    const auto trouble = output_trouble();
    const auto pager = pager_not_run();
    if (!status && (!arguments.json || trouble)) print_error("xlstore", status.error());
    if (trouble) print_error("xlstore", cannot_write(*trouble));
    if (!pager.empty())
        print_error("xlstore",
                    Error(Errc::io, "the pager " + json_shown(pager) + " could not be run",
                          "--no-pager prints without one; XLSTORE_PAGER or PAGER names another"));
    if (!status) return static_cast<int>(status_of(status.error()));
    const bool unwritten = trouble || !pager.empty();
    return static_cast<int>(unwritten && *status == Status::done ? Status::unwritten : *status);
}

}  // namespace

}  // namespace xlstore::tools

int main(int argc, char** argv)
{
    using namespace xlstore::tools;  // NOLINT(google-build-using-namespace)
    fail_at_writes();
    hold_standard_descriptors();
    keep_owners_rights();
    Arguments arguments;
    const auto ended = parse_arguments(argc, argv, arguments);
    if (!ended) return run(arguments);
    const auto trouble = output_trouble();
    if (!trouble) return *ended;
    print_error("xlstore", cannot_write(*trouble));
    return *ended == 0 ? static_cast<int>(Status::unwritten) : *ended;
}
