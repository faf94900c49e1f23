// SPDX-License-Identifier: MIT
#include "tools/common/bundle_findings.hpp"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/common/moment.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

void print_seen_there(const std::map<std::string, std::string>& members)
{
    try {
        const auto manifest = nlohmann::json::parse(members.at("MANIFEST.json"));
        const auto findings = nlohmann::json::parse(members.at("findings.json"));
        std::printf("as it was seen where the bundle was made, %s:\n",
                    moment_text(manifest.at("made_us").get<std::int64_t>()).c_str());
        for (const auto& finding : findings)
            std::printf("  %s\n", plain(finding.at("line").get<std::string>()).c_str());
        if (findings.empty()) std::puts("  nothing was found");
    } catch (const std::exception& e) {
        std::printf("what was seen there cannot be read: %s\n", plain(e.what()).c_str());
    }
}

}  // namespace xlstore::tools
