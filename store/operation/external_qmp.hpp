// SPDX-License-Identifier: MIT
// The external QMP client: the embedder talks to QEMU itself, as libxl does. The store keeps
// the protocol's order (slow lock, intent, settle, epochs) and checks of the embedder's connection
// what can be seen from outside. What the embedder promises stands in xlstore.h.
#ifndef XLSTORE_STORE_OPERATION_EXTERNAL_QMP_HPP_
#define XLSTORE_STORE_OPERATION_EXTERNAL_QMP_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/core/domain.hpp"
#include "store/database/db.hpp"
#include "store/model/intent.hpp"
#include "store/os/held_processes.hpp"

namespace xlstore {

/// What an embedder is about to do to one thing.
struct Intention {
    Verb verb;
    std::string device_class;
    std::string key;                  ///< of an add: empty, its JSON says it
    std::string json;                 ///< of a removal: empty
    std::optional<std::string> plan;  ///< JSON; nothing: the class makes it
};

/// The draft, from the entry as it is. Errors: invalid, not_found.
Result<Draft> draft_of(Db& db, DomainId domain, const Intention& intention);

/// The monitor at `path` is the registered one, and leads to the registered QEMU, which lives
/// (R11) and is held among `processes` from then on. Errors: no_qemu, refused.
Result<void> check_monitor(const DomainRow& domain, const std::string& path,
                           HeldProcesses& processes);

/// What tells the socket behind a descriptor from every other one of this boot.
/// Errors: refused, naming what it is: no socket, not connected to the registered peer, hung up.
Result<std::uint64_t> check_connection(const DomainRow& domain, int fd);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_EXTERNAL_QMP_HPP_
