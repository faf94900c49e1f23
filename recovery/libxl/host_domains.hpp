// SPDX-License-Identifier: MIT
// The domains of a host that knows nothing of this project, by all that tells of them: the
// hypervisor, xenstore and libxl's files. One source alone is not believed to know all: xenstore
// has none that is being destroyed, the hypervisor may not be asked, files outlive their domains.
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_DOMAINS_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_DOMAINS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/libxl/document_file.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore::recovery {

struct HostDomain {
    std::int64_t domid = 0;
    std::string uuid;  ///< the hypervisor's, else what xenstore goes by; "": not known
    std::string name;  ///< as xenstore has it; ""
    std::string type;  ///< libxl's word for it: "hvm", "pv", "pvh"; "": not known
    bool has_home = false;                     ///< /local/domain/7
    bool has_libxl_node = false;               ///< /libxl/7
    std::optional<bool> in_hypervisor = {};    ///< nothing: it was not asked
    bool paused = false;                       ///< only where the hypervisor was asked
    bool dying = false;                        ///< destroyed; its memory is not all back yet
    std::int64_t model_pid = 0;                ///< of its device model, by xenstore; 0: none
    std::vector<libxl::UserdataName> files = {};  ///< documents and those being written, any uuid

    /// Something says that it lives.
    [[nodiscard]] bool lives() const noexcept
    {
        return in_hypervisor ? *in_hypervisor : has_home;
    }
    /// "domain 7 (web)".
    [[nodiscard]] std::string subject() const;
};

struct HostDomains {
    std::vector<HostDomain> domains;  ///< by domid, without domain 0
    xenstore::Tree tree;              ///< the nodes that this was read from
    std::optional<Error> hypervisor_unasked;
    std::optional<Error> files_unseen;  ///< libxl's directory could not be listed
};

/// Looks, and changes nothing. `ask_hypervisor`: not where `where` is no live host's. Errors: io:
/// xenstored could not be asked, without which nothing can be said of a domain.
Task<Result<HostDomains>> list_host_domains(Loop& loop, libxl::HostDirectories where,
                                            bool ask_hypervisor, Deadline until);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_DOMAINS_HPP_
