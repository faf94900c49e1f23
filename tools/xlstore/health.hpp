// SPDX-License-Identifier: MIT
// What of the facts of a store a person has to do something about, and what that is.
#ifndef XLSTORE_TOOLS_XLSTORE_HEALTH_HPP_
#define XLSTORE_TOOLS_XLSTORE_HEALTH_HPP_

#include <string>

namespace xlstore::tools {

/// The facts, an object as status_facts() gathers it, with "health" ("well", "doubt", "ill") and
/// "reasons": an array of {"health", "subject", "text", "advice"}, the worst first. In doubt is
/// what is open, or could not be looked at; ill, what does not become better by waiting. Pure.
[[nodiscard]] std::string with_health(const std::string& facts);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_HEALTH_HPP_
