// SPDX-License-Identifier: MIT
// A QEMU of this host as its command line and its environment tell of it. Both are what it was
// started with; that they are this very process's is looked at again before anything rests on it.
#ifndef XLSTORE_RECOVERY_BASE_HOST_QEMU_HPP_
#define XLSTORE_RECOVERY_BASE_HOST_QEMU_HPP_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/creation_note.hpp"

namespace xlstore::recovery {

struct HostQemu {
    pid_t pid = 0;
    std::vector<std::string> words;
    std::optional<std::int64_t> domid;  ///< -xen-domid, or the library's note
    bool is_xens = false;               ///< libxl has a document of it
    std::optional<CreationNote> note;
    std::string monitor;                ///< its socket for us
    std::optional<DomainId> named;      ///< the incarnation that the socket is named after
};

/// `run`: the store's directory of sockets. Nothing: it is no QEMU with a monitor for a store here,
/// or its command line cannot be read.
[[nodiscard]] std::optional<HostQemu> read_host_qemu(pid_t pid, const std::string& run);

/// The living QEMU that was started for this incarnation: its socket in `run` is named after it,
/// and its note, if it has one, names its uuid. @throws IoError  /proc cannot be listed.
[[nodiscard]] std::optional<HostQemu> find_host_qemu(const DomainRow& domain,
                                                     const std::string& run);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_BASE_HOST_QEMU_HPP_
