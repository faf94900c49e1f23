// SPDX-License-Identifier: MIT
// libxl's list of the PCI devices of a domain: /local/domain/0/backend/pci/7/0, which is the back
// end of a PV domain's one pci device as well. There is no note of it below /libxl. Pure functions;
// any thread.
#ifndef XLSTORE_STORE_XENSTORE_PCI_LIST_HPP_
#define XLSTORE_STORE_XENSTORE_PCI_LIST_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/pci_address.hpp"
#include "store/xenstore/protocol.hpp"

namespace xlstore::xenstore {

/// The list as it was read, in one transaction.
struct PciList {
    bool is_there = false;                     ///< it has num_devs
    std::int32_t size = 0;                     ///< num_devs
    std::string state;                         ///< of the back end
    std::map<std::string, std::string> nodes;  ///< "dev-0" and so on, below it
    /// Where a device is in it; nothing: it is not.
    [[nodiscard]] std::optional<std::int32_t> index_of(const PciAddress& device) const;
};

[[nodiscard]] std::string pci_list_path(std::int64_t domid);
/// The names of all nodes that a list of `size` devices may have.
[[nodiscard]] std::vector<std::string> pci_list_names(std::int32_t size);

/// Puts `json` (an element of class pcidevs, minified) at its end, and makes the list where there
/// is none, with libxl's nodes and permissions. REQUIRES that the device is not in it.
/// @param domain_name  what libxl notes in a list that it makes
[[nodiscard]] std::vector<Request> requests_to_list_pci(std::int64_t domid,
                                                        const std::string& domain_name,
                                                        const PciAddress& device,
                                                        std::string_view json, const PciList& list,
                                                        Transaction in);
/// Asks the back end of a PV domain to let go of the device at `index`.
[[nodiscard]] std::vector<Request> requests_to_close_pci(std::int64_t domid, std::int32_t index,
                                                         Transaction in);
/// Takes the device at `index` out; those behind it move up. With the last one the list goes, and
/// its front end.
[[nodiscard]] std::vector<Request> requests_to_unlist_pci(std::int64_t domid, std::int32_t index,
                                                          const PciList& list, Transaction in);

}  // namespace xlstore::xenstore

#endif  // XLSTORE_STORE_XENSTORE_PCI_LIST_HPP_
