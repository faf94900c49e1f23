// SPDX-License-Identifier: MIT
// What the fleet's database has of one host, as rows of a store: read in one transaction, and
// written as a backup that `restore` takes.
#ifndef XLSTORE_TOOLS_FLEET_LOST_HOST_HPP_
#define XLSTORE_TOOLS_FLEET_LOST_HOST_HPP_

#include <cstdint>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/model/numbers.hpp"

namespace xlstore::fleet {

/// Columns in the order of the statement that reads them (lost_host.cc).
using LostRow = std::vector<std::optional<std::string>>;

struct LostHost {
    std::string store_uuid, commits, seen;
    std::int64_t behind = 0;
    std::vector<LostRow> domains, things, intents;
    /// The highest of its ids that the fleet knows, those of what is over included.
    Numbers highest;
    std::vector<std::string> notes;  ///< what a person has to know of it, a sentence each
};

/// The current generation of host `name`. Errors: not_found (no such host, or it has sent nothing
/// whole yet); refused (domains of it are of the boot that this machine is in: their QEMUs may
/// live here). REQUIRES one snapshot for all statements of `work`.
Result<LostHost> read_lost_host(pqxx::work& work, const std::string& name);

/// Makes the file `path`: a backup, as `xlstore backup` writes one, with the incarnations, entries
/// and open intents of `host` under their own numbers. Ids go on above all that the host can have
/// given: it is the same store, and a number is never another's (R17). No QEMU is registered in it.
/// What cannot be a row is left out and told in `host.notes`; `host.intents` are those that are in.
/// @throws DbError
void write_backup(const std::string& path, LostHost& host);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_LOST_HOST_HPP_
