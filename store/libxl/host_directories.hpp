// SPDX-License-Identifier: MIT
// Where libxl keeps what belongs to a domain, and how it calls it:
// userdata-WHICH.DOMID.UUID.USERID, WHICH being d (data), n (data that is being written) or l (a
// lock). Names alone: nothing is looked for. Any thread.
#ifndef XLSTORE_STORE_LIBXL_HOST_DIRECTORIES_HPP_
#define XLSTORE_STORE_LIBXL_HOST_DIRECTORIES_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore::libxl {

/// The domain whose files they are. The uuid is the one that the hypervisor has of it, in lower
/// case: libxl asks for it whenever it makes a path.
struct FileOwner {
    std::int64_t domid = 0;
    std::string uuid;
    bool operator==(const FileOwner&) const = default;
};

struct UserdataName {
    char which = 'd';
    FileOwner domain;
    std::string userid;
    bool operator==(const UserdataName&) const = default;
};
/// The name of a file in libxl's directory taken apart; nothing: it is none of userdata.
[[nodiscard]] std::optional<UserdataName> parse_userdata_name(std::string_view name);
[[nodiscard]] std::string userdata_name(const UserdataName& name);

inline constexpr std::string_view kDocumentUserid = "libxl-json";

class HostDirectories {
public:
    /// Those of an installation below `root`; "": of this host.
    explicit HostDirectories(const std::string& root = {});
    /// The installation that a monitor's path belongs to, ROOT/run/xen/qmp-libxl-DOMID (or
    /// ROOT/var/run/xen/…), with that domid; nothing: libxl did not name it so.
    [[nodiscard]] static std::optional<HostDirectories> of_monitor(std::string_view path,
                                                                   std::int64_t domid);

    /// "/var/lib/xen": the userdata files.
    [[nodiscard]] const std::string& lib() const noexcept { return lib_; }
    /// "/run/xen": the sockets.
    [[nodiscard]] const std::string& run() const noexcept { return run_; }

    [[nodiscard]] std::string document(const FileOwner& domain) const;
    /// What libxl renames to document() once it has written it.
    [[nodiscard]] std::string document_being_written(const FileOwner& domain) const;
    /// What this program renames to document(). libxl's own may be the only copy that there is.
    [[nodiscard]] std::string document_beside(const FileOwner& domain) const;
    /// The socket of the one monitor that libxl itself uses.
    [[nodiscard]] std::string monitor(std::int64_t domid) const;

private:
    std::string lib_;
    std::string run_;
};

}  // namespace xlstore::libxl

#endif  // XLSTORE_STORE_LIBXL_HOST_DIRECTORIES_HPP_
