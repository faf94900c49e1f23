// SPDX-License-Identifier: MIT
// What is checked of every option of xlstore and xlstore-fleet. Included where CLI11 is alone.
#ifndef XLSTORE_TOOLS_COMMON_CHECKED_OPTIONS_HPP_
#define XLSTORE_TOOLS_COMMON_CHECKED_OPTIONS_HPP_

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"
#include "tools/common/moment.hpp"

namespace xlstore::tools {

/// A whole number from `least` to `most`; `what` it is for the message: "a process id".
[[nodiscard]] inline CLI::Validator whole_number(std::int64_t least, std::int64_t most,
                                                 const std::string& what)
{
    const auto range = std::to_string(least) + " to " + std::to_string(most);
    return {[=](std::string& word) {
                const auto number = parse_number<std::int64_t>(word);
                if (number && *number >= least && *number <= most) return std::string();
                return json_shown(word) + " is not " + what + ", " + range;
            },
            ""};
}

/// Seconds, as parse_seconds() reads them.
[[nodiscard]] inline CLI::Validator seconds_number()
{
    return {[](std::string& word) {
                return parse_seconds(word) ? std::string()
                                           : json_shown(word) + " is not seconds, 0 to 1000000";
            },
            ""};
}

/// Of all options of `app` and its verbs that take a value: an empty one is refused, since it would
/// count as not given. `prepare` changes each before it is read.
template <typename Prepare>
void check_values(CLI::App& app, const Prepare& prepare)
{
    for (auto* option : app.get_options())
        if (option->get_items_expected_max() > 0 && !option->get_positional())
            option->transform(CLI::Validator(
                [prepare](std::string& word) {
                    prepare(word);
                    return std::string(word.empty() ? "its value is empty" : "");
                },
                ""));
    for (auto* verb : app.get_subcommands({}))
        check_values(*verb, prepare);
}

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_CHECKED_OPTIONS_HPP_
