// SPDX-License-Identifier: MIT
// A host's store as its fleet sees it, through the C interface, read-only. Each
// look is one query of one moment, and over before the database of the fleet is
// written to.
#ifndef XLSTORE_TOOLS_FLEET_HOST_STORE_HPP_
#define XLSTORE_TOOLS_FLEET_HOST_STORE_HPP_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "tools/common/store_handles.hpp"

namespace xlstore::fleet {

using tools::last_error;
using tools::ResultHandle;
using tools::StoreHandle;
using tools::Text;

Result<StoreHandle> open_read_only(const std::string& directory);

/// A row: names and values; a value that is NULL in SQL is NULL here.
using Row =
    std::function<void(int32_t columns, const char* const* names, const char* const* values)>;
Result<void> query(xlstore_store* store, const std::string& sql,
                   const std::vector<std::string>& parameters, const Row& row);

/// What a store is, as of the moment of a look.
struct StoreState {
    std::string uuid;
    std::string machine;  ///< /etc/machine-id of its place
    std::int64_t commits = 0;
    std::int64_t pruned_below = 0;  ///< lines of history below it may be gone
    std::int64_t last_line = 0;
    std::int64_t highest_id = 0;  ///< that any table has given (R17)
};
Result<StoreState> read_state(xlstore_store* store);

/// Lines `lines` of history, by number, as fleet.last_lines() words them.
using Anchors = std::map<std::int64_t, std::string>;
/// Those with numbers from `least` to `most`.
Result<Anchors> read_anchors(xlstore_store* store, std::int64_t least, std::int64_t most);

struct Limits {
    std::size_t lines = 2000;
    std::size_t bytes = std::size_t{4} << 20;  ///< of texts, above which no further domain is taken
};

struct Line {
    std::int64_t number = 0;
    bool restore = false;  ///< tells of a backup that became the store
    std::string json;      ///< an object, as fleet.take_lines() takes it
    std::string anchor;
};
struct DomainState {
    std::int64_t incarnation = 0;
    bool over = false;           ///< destroyed
    std::int64_t last_line = 0;  ///< of one that is over: the last that names it
    std::string digest;
    std::string row, document;    ///< JSON; the document may be "": it is over
    std::string things, intents;  ///< JSON arrays
};
struct Snapshot {
    StoreState state;
    std::vector<Line> lines;
    std::vector<DomainState> changed;
    std::vector<std::int64_t> gone;  ///< `living` that have no row any more
    bool more = false;               ///< something did not fit
};

/// What is above line `after`, and each domain whose digest is not that of
/// `living` (by incarnation). While lines are left over, of domains only those
/// that are over: states do not overtake history.
Result<Snapshot> read_changes(xlstore_store* store, std::int64_t after,
                              const std::map<std::int64_t, std::string>& living,
                              const Limits& limits, bool with_secrets);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_HOST_STORE_HPP_
