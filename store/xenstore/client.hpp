// SPDX-License-Identifier: MIT
// A connection to xenstored over its Unix socket, on the library's loop.
//
// Three things may come of a question, never two: the daemon has it, the daemon says that there is
// no such node (ENOENT, and nothing else, is absence), or we could not look (Errc::io): no socket,
// no permission, silence until the deadline, a hang-up, a malformed reply. After silence, a hang-up
// or a malformed reply the connection is over, and what was asked last may have been done. A
// transaction that was not ended dies with its connection.
//
// The descriptor is close-on-exec and is closed in every forked child (R7). One thread,
// one loop; one operation at a time. A coroutine that is destroyed before its replies ends the
// connection.
#ifndef XLSTORE_STORE_XENSTORE_CLIENT_HPP_
#define XLSTORE_STORE_XENSTORE_CLIENT_HPP_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/xenstore/protocol.hpp"

namespace xlstore::xenstore {

/// Where xenstored listens: XENSTORED_PATH of the environment, as libxenstore has it, else
/// /run/xenstored/socket. libxenstore's second way, the kernel's /dev/xen/xenbus, is not taken: a
/// domain that has only that is no toolstack domain with its own xenstored.
[[nodiscard]] std::string socket_path();
/// The same for a process of whose environment XENSTORED_PATH is `named`, or "".
[[nodiscard]] std::string socket_path_of(std::string_view named);
constexpr const char* kSocketVariable = "XENSTORED_PATH";

class Client {
public:
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;
    ~Client();

    /// Connects to the daemon at `path`; sends nothing. Errors: io (it cannot be reached, or its
    /// accept queue stays full), invalid (the path is longer than a socket's may be).
    static Task<Result<Client>> connect(Loop& loop, std::string path, Deadline until);
    [[nodiscard]] bool usable() const noexcept;

    /// Sends all requests, several at a time, and waits for the replies: one a request, in the
    /// order of the requests. That the daemon refuses one (Reply::error) keeps none behind it from
    /// being done. Errors: io (see above); invalid (one request cannot be sent: none of them was).
    Task<Result<std::vector<Reply>>> ask(std::vector<Request> requests, Deadline until);

    // Each of these is one request. Errors, besides those of ask(): io, when the daemon refuses;
    // the message has its word.

    /// The value as it stands: any bytes. Nothing: there is no such node.
    Task<Result<std::optional<std::string>>> read(std::string path, Transaction in, Deadline until);
    /// The names below a node, checked. Nothing: there is no such node. A listing that is longer
    /// than a message is taken in parts; one that another client changes meanwhile is begun anew.
    /// More than limits::xenstore_nodes_max names are refused (io).
    Task<Result<std::optional<std::vector<std::string>>>> directory(std::string path,
                                                                    Transaction in, Deadline until);
    Task<Result<void>> write(std::string path, std::string value, Transaction in, Deadline until);
    /// Makes an empty node; one that is there stays as it is.
    Task<Result<void>> make(std::string path, Transaction in, Deadline until);
    /// Takes the node and all below it away; fine, too, when there is none.
    Task<Result<void>> remove(std::string path, Transaction in, Deadline until);
    /// Nothing: there is no such node.
    Task<Result<std::optional<Permissions>>> permissions(std::string path, Transaction in,
                                                         Deadline until);
    Task<Result<void>> set_permissions(std::string path, Permissions permissions, Transaction in,
                                       Deadline until);
    Task<Result<Transaction>> begin(Deadline until);
    /// True: committed. False: another client was faster (EAGAIN); nothing was changed, and the
    /// caller may do the whole transaction again. An error that came of silence or a hang-up leaves
    /// open whether it was committed; a refusal (usable() is true then) has changed nothing.
    Task<Result<bool>> commit(Transaction transaction, Deadline until);
    Task<Result<void>> abort(Transaction transaction, Deadline until);
    /// Does xenstored know the domain? (It forgets one when the hypervisor says that it is gone.)
    Task<Result<bool>> is_domain_introduced(std::uint32_t domid, Deadline until);
    /// "/local/domain/7"; the daemon makes it of any number.
    Task<Result<std::string>> domain_path(std::uint32_t domid, Deadline until);

private:
    struct Connection;
    explicit Client(std::unique_ptr<Connection> connection);
    Task<Result<Reply>> ask_one(Request request, Deadline until);
    Task<Result<std::vector<std::string>>> directory_in_parts(std::string path, Transaction in,
                                                              Deadline until);

    std::unique_ptr<Connection> connection_;
};

/// What the caller is told when the daemon refuses `what` ("write /local/domain/7/name"): io. The
/// advice says what helps against this word.
[[nodiscard]] Error refused(const std::string& what, const Reply& reply);

}  // namespace xlstore::xenstore

#endif  // XLSTORE_STORE_XENSTORE_CLIENT_HPP_
