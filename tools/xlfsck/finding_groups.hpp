// SPDX-License-Identifier: MIT
// Many findings of one kind in one domain, told as one line.
#ifndef XLSTORE_TOOLS_XLFSCK_FINDING_GROUPS_HPP_
#define XLSTORE_TOOLS_XLFSCK_FINDING_GROUPS_HPP_

#include <functional>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"

namespace xlstore::tools {

class FindingGroups {
public:
    /// `say`: gets a line. `each`: every finding has a line of its own (-v).
    FindingGroups(std::function<void(const std::string&)> say, bool each)
        : say_(std::move(say)), each_(each)
    {}
    FindingGroups(const FindingGroups&) = delete;
    FindingGroups& operator=(const FindingGroups&) = delete;
    ~FindingGroups() { flush(); }

    /// Says it, or holds it back until it is known whether more of its kind follow. Up to 8 of a
    /// kind have lines of their own; more are "domain 7 (web01): 20 of a kind: MESSAGE (NAME, NAME,
    /// ...)", all of them named. What a damaged database lost has a line each, always.
    void add(const recovery::Finding& finding);
    /// Says what is held back.
    void flush();

private:
    std::function<void(const std::string&)> say_;
    bool each_;
    std::vector<recovery::Finding> held_;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLFSCK_FINDING_GROUPS_HPP_
