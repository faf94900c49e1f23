// SPDX-License-Identifier: MIT
// A QEMU as its row has it: which process it is, and who answers at its monitor (R11). Values.
#ifndef XLSTORE_STORE_MODEL_QEMU_REGISTRATION_HPP_
#define XLSTORE_STORE_MODEL_QEMU_REGISTRATION_HPP_

#include <cstdint>
#include <string>

#include "store/base/file_identity.hpp"
#include "store/base/process_id.hpp"

namespace xlstore::qmp {

/// Who is at the other end of a Unix socket: for a listener, the process that called listen().
struct Peer {
    std::int64_t pid = 0;
    std::int64_t uid = 0;
    std::int64_t gid = 0;
    bool operator==(const Peer&) const = default;
};

/// What registration saw of a QEMU, and what every later connection is held against (R11).
struct Registration {
    ProcessId qemu;
    std::string path;
    FileIdentity socket;
    Peer peer;
    bool handed_in = false;  ///< the toolstack made the socket: the peer need not be QEMU itself
};

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_MODEL_QEMU_REGISTRATION_HPP_
