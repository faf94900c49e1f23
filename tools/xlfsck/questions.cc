// SPDX-License-Identifier: MIT
#include "tools/xlfsck/questions.hpp"

#include <algorithm>

namespace xlstore::tools {

bool Questions::answer(const recovery::Problem& about, const recovery::Subject& subject)
{
    if (const auto known = known_.find({about.code, subject.text, subject.evidence});
        known != known_.end())
        return known->second;
    open_.emplace_back(about.code, subject);
    return false;
}

void Questions::ask_open(const Ask& ask)
{
    for (const auto& [code, subject] : std::exchange(open_, {}))
        known_[{code, subject.text, subject.evidence}] = ask(recovery::problem(code), subject);
}

bool Questions::to_be_told(const recovery::Finding& finding)
{
    const Key key{finding.code, finding.subject};
    const bool unasked = std::ranges::any_of(open_, [&](const auto& one) {
        return one.first == finding.code && one.second.text == finding.subject;
    });
    if (unasked && finding.action == recovery::Action::left) return false;
    return told_.emplace(key, finding.action).second;
}

}  // namespace xlstore::tools
