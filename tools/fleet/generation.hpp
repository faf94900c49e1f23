// SPDX-License-Identifier: MIT
// Whether a store is the one that was sent from before, and no older than it
// was then (R17). If it is not, what follows is another generation of the host,
// and what is in the fleet stays as it is.
#ifndef XLSTORE_TOOLS_FLEET_GENERATION_HPP_
#define XLSTORE_TOOLS_FLEET_GENERATION_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <pqxx/pqxx>
#include <string>

#include "store/base/error.hpp"
#include "tools/fleet/host_store.hpp"

namespace xlstore::fleet {

/// What is in the fleet of this host, as fleet.begin_push() says it.
struct Known {
    std::string host;
    std::string machine_id;       ///< "": nothing was sent yet
    std::int64_t generation = 0;  ///< 0: nothing was sent yet
    std::string store_uuid;
    std::int64_t line = 0;
    std::string anchor;
    std::int64_t commits = 0;
    bool expects_restore = false;
    std::map<std::int64_t, std::string> living;  ///< digests by incarnation
};
/// Holds the host's row until the transaction ends. Errors: refused: this role
/// is no host's.
Result<Known> begin_push(pqxx::work& work);

/// How a generation begins.
struct Begin {
    std::int64_t after = 0;  ///< lines up to this one are the earlier generation's, too
    std::string anchor;      ///< of that line
    std::string why;
    bool expects_restore = false;  ///< the line that tells of it is above `after`
};
/// Nothing: the generation goes on.
Result<std::optional<Begin>> begins_anew(pqxx::work& work, xlstore_store* store, const Known& known,
                                         const StoreState& state);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_GENERATION_HPP_
