// SPDX-License-Identifier: MIT
// Is a domain that lacks what libxl writes last one that a living process creates just now?
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace xlstore::recovery {

/// What tells whether a domain may be one that is created just now.
struct Unfinished {
    bool is_new = false;              ///< libxl has not noted that it built it, or did so lately
    std::vector<std::string> others;  ///< the names of the other domains that the host has
};

struct Creator {
    pid_t pid = 0;
    std::string what;  ///< "xl, which creates a domain"
};

/// A process that may be creating the domain; which domain it creates cannot be seen. None: no such
/// process, or /proc does not tell. It is
///  - an xl(1) that creates a domain, restores or receives one;
///  - of a new domain, the xl that stays behind for each domain that it has created: it makes that
///    domain anew when its guest reboots. It is known by its log: it is none while that says that
///    it waits for its domain to end. Where the log has been cut, its name tells, which is that of
///    the domain when it was created: it is none where another domain has that name, unless more
///    of them have that name than one;
///  - of a new domain, another program that uses libxenlight (libvirtd, xenopsd).
/// It is none that a device model was started by: libxl has a process of its own between the two.
[[nodiscard]] std::optional<Creator> creating_process(const Unfinished& domain);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_CREATOR_HPP_
