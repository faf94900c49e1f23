// SPDX-License-Identifier: MIT
// Which of two worlds is right about an element, by what its primary shows: QEMU, or xenstore. One
// look at each of a domain's primaries, which changes nothing in either.
#ifndef XLSTORE_STORE_BRIDGE_PRIMARIES_HPP_
#define XLSTORE_STORE_BRIDGE_PRIMARIES_HPP_

#include <optional>
#include <string>

#include "store/bridge/difference.hpp"
#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"
#include "store/model/domain_traits.hpp"
#include "store/qmp/inventory.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore {

class Primaries {
public:
    /// Asks the registered QEMU, under libxl's locks where it is libxl's, and xenstore. One that
    /// does not answer tells nothing: judge() says why.
    static Task<Primaries> look(Store& store, DomainRow domain, Deadline until);

    /// Sets `right` and `evidence`.
    void judge(BridgeDifference& one) const;

private:
    Task<Result<Inventory>> ask_qemu(Store& store, DomainRow domain, Deadline until);
    Task<Result<xenstore::Tree>> ask_xenstore(Store& store, Deadline until);
    void by_drive(BridgeDifference& one, const std::string& drive) const;
    void by_products(BridgeDifference& one) const;
    void by_nodes(BridgeDifference& one) const;

    std::int64_t domid_ = 0;
    DomainTraits traits_;
    std::optional<Inventory> qemu_;
    std::optional<xenstore::Tree> nodes_;
    std::string qemu_unseen_;
    std::string nodes_unseen_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BRIDGE_PRIMARIES_HPP_
