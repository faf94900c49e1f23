// SPDX-License-Identifier: MIT
// The command line of xlfsck, as fsck(8) users type it: getopt_long(3), letters of e2fsck(8).
#ifndef XLSTORE_TOOLS_XLFSCK_OPTIONS_HPP_
#define XLSTORE_TOOLS_XLFSCK_OPTIONS_HPP_

#include <optional>
#include <string>
#include <variant>

#include "recovery/base/check.hpp"

namespace xlstore::tools {

struct Settings {
    std::string store;
    bool store_named = false;  ///< not the default
    std::string domain;
    std::optional<recovery::Mode> mode;
    bool verbose = false;
    bool json = false;
    int progress_fd = -1;
    double timeout_s = 10;
    bool evict = false;
    bool whole = false;
    bool rebuild = false;
    std::string userdata;
    bool libxl = false;  ///< a host without a store
    std::string root;    ///< of such a host
    std::string bundle;  ///< the file of 'xlstore bundle' that is looked at, in place of a store
    std::string undo;    ///< the directory of a repair of such a host, to be put back
};

/// What a command line asks for instead of a run.
enum class Instead { help, version };
/// A problem to explain, by number or name.
struct Explain {
    std::string what;
};
/// It cannot be used; one line that says why.
struct BadUsage {
    std::string why;
};
using Parsed = std::variant<Settings, Instead, Explain, BadUsage>;

/// `argv` as main() gets it; getopt_long may put it into another order. One thread at a time.
[[nodiscard]] Parsed parse_options(int argc, char** argv);

extern const char* const kUsage;

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLFSCK_OPTIONS_HPP_
