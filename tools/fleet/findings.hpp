// SPDX-License-Identifier: MIT
// What xlfsck found, as 'xlfsck --json' prints it: a line each, the summary
// last.
#ifndef XLSTORE_TOOLS_FLEET_FINDINGS_HPP_
#define XLSTORE_TOOLS_FLEET_FINDINGS_HPP_

#include <array>
#include <cstdint>
#include <optional>
#include <pqxx/pqxx>
#include <string>

#include "store/base/error.hpp"

namespace xlstore::fleet {

struct Findings {
    std::string json = "[]";  ///< as fleet.take_findings() takes them
    std::int64_t status = 0, found = 0;
};

/// Of a file, or "-"; nothing for "". Secrets are taken out, unless
/// `with_secrets`. Errors: invalid (no summary: it is not whole), io.
Result<std::optional<Findings>> read_findings(const std::string& path, bool with_secrets);
/// They replace what the fleet has of this host. Errors: as push.
Result<void> send_findings(pqxx::connection& database, const Findings& findings);

/// A file of findings that is written anew now and then ('xlfsck -n --json', put in its place by a
/// rename): each is sent once.
class FindingsFile {
public:
    FindingsFile(std::string path, bool with_secrets)
        : path_(std::move(path)), with_secrets_(with_secrets)
    {}
    /// It is there, and another one than that which was sent last.
    [[nodiscard]] bool is_new() const;
    /// Sends it if it is. Errors: io (it may be tried again); invalid, it is not whole or no such
    /// file: it is not looked at again before it is another one.
    Result<void> send(pqxx::connection& database);

private:
    using Identity = std::array<std::int64_t, 5>;
    [[nodiscard]] std::optional<Identity> identity() const;

    std::string path_;
    bool with_secrets_;
    std::optional<Identity> sent_;
};

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_FINDINGS_HPP_
