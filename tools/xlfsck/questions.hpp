// SPDX-License-Identifier: MIT
// Questions to a person, asked while no lock is held: a run answers no to what was not asked yet
// and notes it; then the person is asked; then the run is made once more, looks again, and has the
// answers. A domain's slow lock is so never held for as long as a person thinks.
#ifndef XLSTORE_TOOLS_XLFSCK_QUESTIONS_HPP_
#define XLSTORE_TOOLS_XLFSCK_QUESTIONS_HPP_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "recovery/base/check.hpp"

namespace xlstore::tools {

class Questions {
public:
    using Ask = std::function<bool(const recovery::Problem&, const recovery::Subject&)>;

    /// The answer that is known, of just this object on just this evidence: a person's yes to one
    /// medium is none to another. Else no, and it is asked by ask_open().
    bool answer(const recovery::Problem& about, const recovery::Subject& subject);
    /// Asks for each that is open, in the order in which they came; none is open then.
    void ask_open(const Ask& ask);
    [[nodiscard]] bool any_open() const noexcept { return !open_.empty(); }
    /// Is this finding to be told in this round? Not one that was left only because it was not
    /// asked yet, and none twice with the same outcome.
    bool to_be_told(const recovery::Finding& finding);

private:
    using Key = std::pair<recovery::Code, std::string>;
    /// What was asked about: problem, object, evidence.
    using Asked = std::tuple<recovery::Code, std::string, std::string>;

    std::map<Asked, bool> known_;
    std::vector<std::pair<recovery::Code, recovery::Subject>> open_;
    std::set<std::pair<Key, recovery::Action>> told_;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLFSCK_QUESTIONS_HPP_
