// SPDX-License-Identifier: MIT
#include "tools/common/finding_line.hpp"

#include <string_view>

namespace xlstore::tools {

using recovery::Action;

namespace {

std::string statement(std::string_view subject, std::string_view message, std::string_view evidence)
{
    std::string text = std::string(subject) + ": " + std::string(message);
    if (!evidence.empty()) text += " (" + std::string(evidence) + ")";
    return text;
}

std::string with_outcome(std::string statement, Action action, std::string_view fixed,
                         std::string_view error)
{
    statement += ".";
    if (action == Action::fixed) statement += "  " + std::string(fixed) + ".";
    if (action == Action::left) statement += "  LEFT.";
    if (action == Action::failed) statement += "  NOT REPAIRED: " + std::string(error) + ".";
    return statement;
}

}  // namespace

std::string statement_of(const recovery::Problem& about, const recovery::Subject& subject)
{
    return statement(subject.text, about.message, subject.evidence);
}

std::string finding_line(const recovery::Finding& finding)
{
    const auto& about = recovery::problem(finding.code);
    return with_outcome(statement(finding.subject, about.message, finding.evidence), finding.action,
                        about.fixed, finding.error);
}

std::string finding_line(const xlstore_finding& finding)
{
    return with_outcome(statement(finding.subject, finding.message, finding.evidence),
                        static_cast<Action>(finding.action), finding.fixed, finding.error);
}

}  // namespace xlstore::tools
