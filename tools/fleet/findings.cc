// SPDX-License-Identifier: MIT
#include "tools/fleet/findings.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "store/os/regular_file.hpp"
#include "store/text/json_text.hpp"
#include "tools/common/secrets.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/portable_text.hpp"

namespace xlstore::fleet {

namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20;

std::string finding_row(const std::string& line, std::int64_t row)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"number", std::to_string(row)},
        {"code", std::to_string(json_get_integer(line, "code").value_or(0))}};
    for (const char* key : {"problem", "subject", "message", "evidence", "action"})
        members.emplace_back(key, json_quote(json_get_string(line, key).value_or("")));
    return json_object(members);
}

}  // namespace

Result<std::optional<Findings>> read_findings(const std::string& path, bool with_secrets)
{
    if (path.empty()) return std::optional<Findings>();
    const std::string name = path == "-" ? "standard input" : path;
    const auto text = path == "-" ? read_to_end(STDIN_FILENO, name, kMostBytes)
                                  : read_regular_file(path, kMostBytes);
    if (!text) return text.error();
    Findings findings;
    std::string rows;
    std::int64_t count = 0;
    bool whole = false;
    std::istringstream lines(*text);
    for (std::string raw; std::getline(lines, raw);) {
        if (raw.empty()) continue;
        const auto line = json_minify(raw, name);
        if (!line) return line.error();
        if (const auto summary = json_find(*line, "summary")) {
            findings.status = json_get_integer(*summary, "status").value_or(0);
            findings.found = json_get_integer(*summary, "found").value_or(0);
            whole = true;
        } else if (json_find(*line, "code")) {
            rows += (rows.empty() ? "" : ",") + finding_row(*line, ++count);
        }
    }
    if (!whole)
        return Error(Errc::invalid, name + " has no summary: it is not all that xlfsck prints",
                     "nothing was sent; 'xlfsck -n --json' prints it whole");
    rows = "[" + rows + "]";
    findings.json =
        portable_json(with_secrets ? rows : tools::without_secrets(rows, tools::InPlace::null));
    return std::optional<Findings>(std::move(findings));
}

Result<void> send_findings(pqxx::connection& database, const Findings& findings)
{
    return in_transaction(database, "send the findings", [&](pqxx::work& work) -> Result<void> {
        work.exec_params("SELECT fleet.take_findings($1::json, $2, $3)", findings.json,
                         findings.status, findings.found);
        return {};
    });
}

std::optional<FindingsFile::Identity> FindingsFile::identity() const
{
    struct stat st {};
    if (path_.empty() || stat(path_.c_str(), &st) != 0) return std::nullopt;
    return Identity{static_cast<std::int64_t>(st.st_dev), static_cast<std::int64_t>(st.st_ino),
                    st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
}

bool FindingsFile::is_new() const
{
    const auto now = identity();
    return now && now != sent_;
}

Result<void> FindingsFile::send(pqxx::connection& database)
{
    const auto now = identity();
    if (!now || now == sent_) return {};
    const auto findings = read_findings(path_, with_secrets_);
    if (!findings) {
        sent_ = now;
        return findings.error();
    }
    if (*findings)
        if (auto sent = send_findings(database, **findings); !sent) return sent;
    sent_ = now;
    return {};
}

}  // namespace xlstore::fleet
