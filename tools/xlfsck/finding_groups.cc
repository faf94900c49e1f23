// SPDX-License-Identifier: MIT
#include "tools/xlfsck/finding_groups.hpp"

#include "tools/common/finding_line.hpp"

namespace xlstore::tools {

namespace {

constexpr std::size_t kSingly = 8;
constexpr int kPassOne = 1000;  // what lies below is the database's: each loss has its own line

// "domain 7 (web01)" and "disks/hdc" of "domain 7 (web01): disks/hdc".
std::pair<std::string, std::string> parted(const std::string& subject)
{
    const auto at = subject.find("): ");
    if (at == std::string::npos) return {"", subject};
    return {subject.substr(0, at + 1), subject.substr(at + 3)};
}

recovery::Finding group_of(const std::vector<recovery::Finding>& held)
{
    recovery::Finding group = held.front();
    std::string names;
    for (const auto& one : held)
        names += (names.empty() ? "" : ", ") + parted(one.subject).second;
    const auto [domain, first] = parted(group.subject);
    group.subject =
        (domain.empty() ? "" : domain + ": ") + std::to_string(held.size()) + " of a kind";
    group.evidence = names + "; -v says of each what was seen";
    return group;
}

}  // namespace

void FindingGroups::add(const recovery::Finding& finding)
{
    const auto same = [&](const recovery::Finding& one) {
        return one.code == finding.code && one.domid == finding.domid &&
               one.action == finding.action && one.error == finding.error;
    };
    if (!held_.empty() && !same(held_.back())) flush();
    held_.push_back(finding);
    if (each_ || static_cast<int>(finding.code) < kPassOne) flush();
}

void FindingGroups::flush()
{
    if (held_.size() > kSingly)
        say_(finding_line(group_of(held_)));
    else
        for (const auto& one : held_)
            say_(finding_line(one));
    held_.clear();
}

}  // namespace xlstore::tools
