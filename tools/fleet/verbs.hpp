// SPDX-License-Identifier: MIT
// The verbs of `xlstore-fleet`: a row each in arguments.cc, a function each.
#ifndef XLSTORE_TOOLS_FLEET_VERBS_HPP_
#define XLSTORE_TOOLS_FLEET_VERBS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "tools/common/output.hpp"

namespace xlstore::fleet {

/// The command line, taken apart.
struct Arguments {
    std::string verb;
    std::string database;  ///< as libpq takes it
    std::string store;
    bool json = false;
    std::vector<std::string> hosts;    ///< init --host
    std::vector<std::string> readers;  ///< init --reader
    bool follow = false;
    bool with_secrets = false;
    bool new_machine = false;
    std::string findings;  ///< a file
    std::size_t lines = 2000;
    int every_seconds = 0;  ///< push --follow; 0: as changes come
    int months = 0;
    bool dry_run = false;
    std::vector<std::string> words;  ///< positional, in the verb's order
};

/// Fills `out`; an exit status when the program is to end at once (help,
/// usage).
std::optional<int> parse_arguments(int argc, char** argv, Arguments& out);

using tools::Status;
using Verb = Result<Status> (*)(const Arguments&);
[[nodiscard]] Verb verb_of(const std::string& name);

Result<Status> run_init(const Arguments&);
Result<Status> run_push(const Arguments&);
Result<Status> run_status(const Arguments&);
Result<Status> run_query(const Arguments&);
Result<Status> run_export(const Arguments&);
Result<Status> run_move_plan(const Arguments&);
Result<Status> run_retain(const Arguments&);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_VERBS_HPP_
