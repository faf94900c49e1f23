// SPDX-License-Identifier: MIT
// Sends what the fleet has not yet, batch by batch. A batch is one transaction,
// made while the host's row is locked, of what is above the line that is there:
// if either side is killed, the next push goes on from what was committed, and
// nothing comes twice.
#ifndef XLSTORE_TOOLS_FLEET_PUSH_HPP_
#define XLSTORE_TOOLS_FLEET_PUSH_HPP_

#include <chrono>
#include <cstdint>
#include <pqxx/pqxx>
#include <string>

#include "store/base/error.hpp"
#include "tools/fleet/host_store.hpp"

namespace xlstore::fleet {

struct PushOptions {
    std::string directory;  ///< of the store, as told in the facts
    Limits limits;
    bool with_secrets = false;
    bool new_machine = false;       ///< takes the place of the machine that sent before
    std::chrono::seconds every{0};  ///< follow(): at least between two pushes
    std::string findings;           ///< follow(): a file, sent whenever it is another one; "": none
};

struct Pushed {
    std::string host;
    std::int64_t generation = 0;
    std::int64_t lines = 0, domains = 0;
    std::int64_t line = 0, commits = 0;
    std::int64_t gap_first = 0, gap_last = 0;  ///< 0: no gap
    std::string began;                         ///< why a generation began; "": none did
    bool more = false;
};

/// Errors: io (it may be tried again), refused (the role, another machine),
/// lost, store, invalid.
Result<Pushed> push_batch(pqxx::connection& database, xlstore_store* store,
                          const PushOptions& options);
/// Batches until nothing is left; what was sent in all.
Result<Pushed> push_all(pqxx::connection& database, xlstore_store* store,
                        const PushOptions& options);
/// "host a: generation 1, 12 lines, 2 domains, as of commit 40".
[[nodiscard]] std::string in_words(const Pushed& pushed);

/// Stays, and sends each change as it is committed, until SIGTERM or SIGINT;
/// what fails is tried again, later and later. An error only if it could not
/// begin.
Result<void> follow(const std::string& conninfo, const PushOptions& options);

}  // namespace xlstore::fleet

#endif  // XLSTORE_TOOLS_FLEET_PUSH_HPP_
