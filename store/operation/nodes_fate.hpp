// SPDX-License-Identifier: MIT
// What became of one transaction on the nodes of a device: it is written, the device was there
// already, it is refused, or the daemon fell silent over the commit and it is not known. What ends
// before the commit was sent has changed nothing: a transaction dies with its connection. One that
// fails because another client was faster is done again until the deadline.
//
// Each of these functions is to be called under the fast lock of the domain (R3).
#ifndef XLSTORE_STORE_OPERATION_NODES_FATE_HPP_
#define XLSTORE_STORE_OPERATION_NODES_FATE_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "store/classes/xenstore_device.hpp"
#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace xlstore {

struct NodesFate {
    /// written, there and refused are proved; unknown is silence over the commit.
    enum Fate { written, there, refused, unknown };
    explicit NodesFate(Fate fate_, std::string why_ = {}, std::string advice_ = {})
        : fate(fate_), why(std::move(why_)), advice(std::move(advice_))
    {}
    NodesFate(Fate fate_, Error&& error)
        : fate(fate_), why(std::move(error.message)), advice(std::move(error.advice))
    {}
    Fate fate;
    std::string why;
    std::string advice;
};

Task<Result<xenstore::Client>> connect_to_xenstore(Store& store, Deadline until);

/// The node that says whose a domid is: no guest may write it.
[[nodiscard]] std::string vm_path(const DomainRow& domain);
/// Is `vm`, the value of that node, this domain's? Error refused: another domain has the number, or
/// none.
Result<void> judge_domain(const DomainRow& domain, const std::optional<std::string>& vm);
/// Asks for it. Errors: refused, io.
Task<Result<void>> check_domain(xenstore::Client& client, const DomainRow& domain, Deadline until);

/// The first of `replies` that says that its request was not done. A node that is not there is no
/// refusal of a read or a removal, and one that is there none of a make.
[[nodiscard]] std::optional<Error> first_refusal(const std::vector<xenstore::Request>& requests,
                                                 const std::vector<xenstore::Reply>& replies);
/// Ends a transaction without a change; silence is none of the caller's concern then.
Task<void> abort_quietly(xenstore::Client& client, xenstore::Transaction in, Deadline until);
/// Commits. Nothing: another client was faster, and the whole is to be done again.
Task<std::optional<NodesFate>> commit_nodes(xenstore::Client& client, xenstore::Transaction in,
                                            Deadline until);

/// What makes the device's nodes in transaction `in`, behind a look whether it is there: of one
/// that is there the writes are given up.
[[nodiscard]] std::vector<xenstore::Request> requests_of_addition(std::int64_t domid,
                                                                  const XenstoreDevice& device,
                                                                  xenstore::Transaction in);
/// A transaction in which those were asked for. Nothing of it is there before it is committed, so
/// that it may be begun before the device's entry is (R4).
struct NodesAddition {
    xenstore::Transaction in;
    std::vector<xenstore::Request> requests;
    Result<std::vector<xenstore::Reply>> replies;
};
/// Commits it; where another client was faster, does it again.
Task<NodesFate> add_nodes(xenstore::Client& client, std::int64_t domid,
                          const XenstoreDevice& device, NodesAddition first, Deadline until);
/// Takes them away, and what stands empty above them.
Task<NodesFate> remove_nodes(xenstore::Client& client, const xenstore::DevicePaths& paths,
                             Deadline until);
/// Writes the node and removes it: what a dead client's transaction had of it can be committed no
/// more. A late back end goes, too. REQUIRES that the node was seen absent. Errors: conflict (such
/// a transaction was faster: the device is there, and stays), io.
Task<Result<void>> make_absence_sure(xenstore::Client& client, const xenstore::DevicePaths& paths,
                                     Deadline until);
/// Takes away what a hotplug script that came late has written where the device's back end was:
/// nodes without "frontend", which each back end has. A device whose own node is there is left as
/// it is, so that no lock is needed. Value: there was such a thing. Errors: io.
Task<Result<bool>> remove_late_back_end(xenstore::Client& client, xenstore::DevicePaths paths,
                                        Deadline until);
/// After silence over a commit, over another connection: is the device there? Nothing: that could
/// not be found out.
Task<std::optional<bool>> look_again(Store& store, const DomainRow& domain,
                                     const xenstore::DevicePaths& paths, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_NODES_FATE_HPP_
