// SPDX-License-Identifier: MIT
#include "tools/common/bundle_findings.hpp"

#include <cstdio>

#include "tools/common/json_value.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

std::vector<std::string> findings_page(const std::map<std::string, std::string>& members)
{
    std::vector<std::string> lines;
    const auto look = json_value(members.at("findings.json"));
    const bool tells = look.is_object();
    if (tells && look.at("error").is_string())
        lines.push_back("it was not looked at, or not at everything: " +
                        plain(look["error"].get<std::string>()));
    for (const auto& finding : tells ? look.at("findings") : look)
        lines.push_back(plain(finding.at("line").get<std::string>()));
    if (lines.empty()) lines.emplace_back("nothing was found");
    return lines;
}

void print_seen_there(const std::map<std::string, std::string>& members)
{
    try {
        const auto manifest = json_value(members.at("MANIFEST.json"));
        const auto lines = findings_page(members);
        std::printf("as it was seen where the bundle was made, %s:\n",
                    moment_text(manifest.at("made_us").get<std::int64_t>()).c_str());
        for (const auto& line : lines)
            std::printf("  %s\n", line.c_str());
    } catch (const std::exception& e) {
        std::printf("what was seen there cannot be read: %s\n", plain(e.what()).c_str());
    }
}

}  // namespace xlstore::tools
