// SPDX-License-Identifier: MIT
// xenstored's wire protocol as a machine without I/O: requests in, bytes out; bytes in, replies
// out. It knows nothing of sockets, time or domains; Client performs what it says.
//
// We speak the protocol of xen/io/xs_wire.h ourselves over xenstored's Unix socket and do not link
// libxenstore: that library's calls block without a deadline and would need a thread, and the
// protocol is a header of 16 bytes and a payload of at most 4096. So nothing has to be installed
// for it, and it is always built in.
//
// The daemon's answers are untrusted: a guest writes any bytes below its own nodes,
// and what listens on a socket need not be a xenstored. A length, an id or a type that cannot be
// ends the conversation; a value is bytes until one of the readers below has looked at it. One
// thread.
#ifndef XLSTORE_STORE_XENSTORE_PROTOCOL_HPP_
#define XLSTORE_STORE_XENSTORE_PROTOCOL_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/base/error.hpp"
#include "store/base/limits.hpp"

namespace xlstore::xenstore {

/// The numbers are the protocol's (enum xsd_sockmsg_type).
enum class Kind : std::uint32_t {
    directory = 1,
    read = 2,
    get_permissions = 3,
    transaction_start = 6,
    transaction_end = 7,
    get_domain_path = 10,
    write = 11,
    make = 12,
    remove = 13,
    set_permissions = 14,
    is_domain_introduced = 17,
    directory_part = 22,
};
/// As the protocol calls it: "READ".
[[nodiscard]] std::string_view kind_name(Kind kind) noexcept;

/// A transaction's number, chosen by the daemon; 0 is none.
using Transaction = std::uint32_t;

/// One request: about a node, or about a domain or a transaction (then `path` is empty). Made by
/// the functions of namespace request.
struct Request {
    Request(Kind kind_, std::string path_, std::string rest_, Transaction transaction_ = 0)
        : kind(kind_), path(std::move(path_)), rest(std::move(rest_)), transaction(transaction_)
    {}
    Kind kind;
    std::string path;  ///< absolute
    std::string rest;  ///< what follows the path's NUL
    Transaction transaction;
};

/// Who may do what with a node. The first of a node's list names its owner, and `access` there is
/// what every domain without an item of its own may do.
struct Permission {
    char access;  ///< 'n' nothing, 'r' read, 'w' write, 'b' both
    std::uint32_t domid;
    friend bool operator==(const Permission&, const Permission&) = default;
};
using Permissions = std::vector<Permission>;
/// "n0,r7".
[[nodiscard]] std::string shown(const Permissions& permissions);

namespace request {
[[nodiscard]] Request read(std::string path, Transaction in = 0);
[[nodiscard]] Request directory(std::string path, Transaction in = 0);
/// The part of a listing from the byte `from` on.
[[nodiscard]] Request directory_part(std::string path, std::size_t from, Transaction in = 0);
[[nodiscard]] Request write(std::string path, std::string value, Transaction in = 0);
[[nodiscard]] Request make(std::string path, Transaction in = 0);
/// Removes the node with all below it. The daemon says done, too, where there was no such node.
[[nodiscard]] Request remove(std::string path, Transaction in = 0);
[[nodiscard]] Request get_permissions(std::string path, Transaction in = 0);
[[nodiscard]] Request set_permissions(std::string path, const Permissions& permissions,
                                      Transaction in = 0);
[[nodiscard]] Request begin();
[[nodiscard]] Request end(Transaction transaction, bool commit);
[[nodiscard]] Request is_domain_introduced(std::uint32_t domid);
[[nodiscard]] Request get_domain_path(std::uint32_t domid);
}  // namespace request

/// The reply to one request.
struct Reply {
    std::uint32_t id = 0;
    int error = 0;      ///< 0: done; else the errno that the daemon's word stands for, EPROTO: none
    std::string value;  ///< done: the payload as it came; else the daemon's word ("ENOENT")
};

/// The conversation is over. One sentence whose subject is the daemon ("hung up").
struct Failure {
    std::string reason;
};

using Action = std::variant<Reply, Failure>;

/// One conversation. Several requests may be outstanding; each has an id of its own, and replies
/// may come in any order.
class Protocol {
public:
    /// The bytes of `request`; it is outstanding from then on. Errors, with nothing changed:
    /// invalid (no such path can be, or the payload is longer than the protocol allows; the error
    /// names the path).
    [[nodiscard]] Result<std::string> send(const Request& request);
    /// The id of the request that was sent last.
    [[nodiscard]] std::uint32_t last_id() const noexcept { return last_id_; }

    /// What the daemon sent, in pieces of any size -> what it means, in order; a Failure is the
    /// last. Never throws on what comes from the peer, and never holds more than one message.
    [[nodiscard]] std::vector<Action> feed(std::string_view bytes);
    /// The daemon hung up: always a Failure; nothing if the conversation had failed before.
    [[nodiscard]] std::vector<Action> end_of_stream();

    [[nodiscard]] std::size_t outstanding() const noexcept { return outstanding_.size(); }
    [[nodiscard]] bool failed() const noexcept { return failed_; }
    /// Bytes of an unfinished message.
    [[nodiscard]] std::size_t buffered() const noexcept { return buffer_.size(); }

private:
    Action message(std::uint32_t type, std::uint32_t id, std::string payload);
    Failure fail(std::string reason);

    std::map<std::uint32_t, Kind> outstanding_;
    std::uint32_t last_id_ = 0;
    std::string buffer_;  // of a message that has not come whole
    bool failed_ = false;
};

/// Can `path` be a node's: absolute, of the characters that the protocol allows (letters, digits,
/// - / _ @; so never "." or ".."), without empty parts, and short enough?
[[nodiscard]] bool is_node_path(std::string_view path) noexcept;
/// Can `name` be one part of such a path?
[[nodiscard]] bool is_node_name(std::string_view name) noexcept;

// Readers of payloads; nothing: it is not what the daemon may say there.

/// The names in a listing.
[[nodiscard]] std::optional<std::vector<std::string>> names_in(std::string_view payload);
/// A part of a listing: the listing's generation, the bytes of names behind it, and whether they
/// are the last.
struct Part {
    std::string generation;
    std::string names;  ///< each with its NUL
    bool last = false;
};
[[nodiscard]] std::optional<Part> part_in(std::string_view payload);
[[nodiscard]] std::optional<Permissions> permissions_in(std::string_view payload);
/// A number with nothing round it but one NUL at the end.
[[nodiscard]] std::optional<std::uint32_t> number_in(std::string_view payload);
/// "T" or "F".
[[nodiscard]] std::optional<bool> truth_in(std::string_view payload);

/// A value as text: valid UTF-8 without NUL and control characters; nothing: a value that no
/// toolstack writes.
[[nodiscard]] std::optional<std::string> text_of(std::string_view value);
/// A value as a number in decimal, at most 2^31-1; nothing: it is none.
[[nodiscard]] std::optional<std::int32_t> number_of(std::string_view value);

}  // namespace xlstore::xenstore

#endif  // XLSTORE_STORE_XENSTORE_PROTOCOL_HPP_
