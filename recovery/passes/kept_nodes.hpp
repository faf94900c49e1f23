// SPDX-License-Identifier: MIT
// R22 for one transaction on xenstore, where the store does not last (Options::before_nodes): what
// the transaction makes of the nodes is kept before it is committed, and afterwards it is noted
// what became of it. A repair may be killed between the two: the transaction carries a node of its
// own, so that the daemon has it if and only if the transaction was committed.
//
//     look(in); requests of the change; keep(in); commit(in), or abort(in); false: begin anew
#ifndef XLSTORE_RECOVERY_PASSES_KEPT_NODES_HPP_
#define XLSTORE_RECOVERY_PASSES_KEPT_NODES_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"
#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/operation/libxl_nodes.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore::recovery {

/// Does nothing at all where the options keep nothing. One change; both arguments outlive it.
class KeptNodes {
public:
    /// `roots`: the change touches nothing but these, what is below them, and parents that come
    /// or go.
    /// `domid`: whose they are.
    KeptNodes(const Options& options, xenstore::Client& client, std::optional<std::int64_t> domid,
              std::vector<std::string> roots)
        : options_(options), client_(client), domid_(domid), roots_(std::move(roots))
    {}

    /// Before the first request of the change in `in`. An attempt before it has been superseded,
    /// and is withdrawn. Errors: io.
    Task<Result<void>> look(xenstore::Transaction in, Deadline until);
    /// Behind the last request: keeps what is different now. An error keeps the nodes as they are,
    /// if the caller aborts.
    Task<Result<void>> keep(xenstore::Transaction in, Deadline until);

    /// True: committed; false: another client was faster. Errors: io: nothing was changed, but for
    /// silence (the client is not usable). What became of it is noted.
    Task<Result<bool>> commit(xenstore::Transaction in, Deadline until);
    Task<void> abort(xenstore::Transaction in, Deadline until);

    enum class Fate { made, not_made, unknown };
    /// What became of it, where it was committed otherwise. Of an unknown one nothing is noted: the
    /// daemon knows (see above).
    Task<void> settle(Fate fate, Deadline until);

private:
    Task<Result<xenstore::Tree>> read(xenstore::Transaction in, Deadline until);
    void withdraw();

    const Options& options_;
    xenstore::Client& client_;
    std::optional<std::int64_t> domid_;
    std::vector<std::string> roots_;
    std::vector<NodeBefore> before_;
    std::string proof_;  // the node of its own; "": nothing is kept
};

/// Writes and removes these nodes in one transaction, and keeps what they were; another client's
/// change of one of them makes it begin anew. Errors: io; busy: it was changed all the time.
/// Nothing was changed then, but for silence over the commit (io; the client is not usable).
Task<Result<void>> change_and_keep(const Options& options, xenstore::Client& client,
                                   std::optional<std::int64_t> domid,
                                   std::vector<NodeChange> changes, Deadline until);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_KEPT_NODES_HPP_
