// SPDX-License-Identifier: MIT
// Parts of xenstore's tree as of one moment.
#ifndef XLSTORE_STORE_XENSTORE_TREE_HPP_
#define XLSTORE_STORE_XENSTORE_TREE_HPP_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/xenstore/client.hpp"

namespace xlstore::xenstore {

/// Nodes by their path, with their values as they stand (any bytes; a guest may have written them).
struct Tree {
    std::map<std::string, std::string, std::less<>> nodes;

    [[nodiscard]] bool contains(std::string_view path) const;
    /// The value of a node; nothing: there is none.
    [[nodiscard]] std::optional<std::string_view> value(std::string_view path) const;
    /// The names right below a node, in order.
    [[nodiscard]] std::vector<std::string> children(std::string_view path) const;
};

/// What stands at and below each of `roots`, in one transaction: the daemon vouches at its end that
/// no client changed any of it meanwhile; else it is read anew, until the deadline. A root that is
/// not there is not in the tree. Changes nothing. Errors: io: could not look (see Client), also
/// when there is more than limits::xenstore_nodes_max or xenstore_tree_bytes_max; the message names
/// the node at which it ended.
Task<Result<Tree>> read_tree(Client& client, std::vector<std::string> roots, Deadline until);
/// What transaction `in` sees of them. Errors: the same, but timeout.
Task<Result<Tree>> read_tree_in(Client& client, std::vector<std::string> roots, Transaction in,
                                Deadline until);

}  // namespace xlstore::xenstore

#endif  // XLSTORE_STORE_XENSTORE_TREE_HPP_
