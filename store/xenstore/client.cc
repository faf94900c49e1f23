// SPDX-License-Identifier: MIT
// connect() gives a socket that does not block. ask() sends requests in windows: a few are written
// in one piece, then their replies are awaited, and so on. A window is small enough that its
// replies have room in the socket's buffer, so that the daemon can always go on reading while we
// write; so a stalled write is the daemon's silence and never a knot of two full buffers.
#include "store/xenstore/client.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include "store/base/fd.hpp"

namespace xlstore::xenstore {

namespace {

constexpr auto kQueueRetry = std::chrono::milliseconds(20);
// 16 replies of 4 KiB at most are less than a Unix socket holds by default.
constexpr std::size_t kWindowRequests = 16;

constexpr std::string_view kSilentAdvice =
    "nothing is believed that was not proved; see whether xenstored is stopped or hung, or was "
    "started anew, then run this again";

Error unreachable(const std::string& path, int number)
{
    std::string advice = "start xenstored, or set XENSTORED_PATH to its socket";
    if (number == EACCES || number == EPERM)
        advice = "run this as a user who may write to that socket (root)";
    if (number == EAGAIN) advice = std::string(kSilentAdvice);
    return Error(number == EAGAIN ? Errc::timeout : Errc::io,
                 "could not look into xenstore: " + path + " cannot be reached: " +
                     (number == EAGAIN ? std::string("its queue stayed full") : errno_text(number)),
                 advice);
}

// R12: a reply that the protocol does not know proves nothing, neither that a node is there nor
// that it is not.
Error nonsense(const Request& request)
{
    return Error(Errc::io,
                 "could not look into xenstore: its reply to " +
                     std::string(kind_name(request.kind)) + " " + request.path +
                     " is not one of the protocol",
                 std::string(kSilentAdvice));
}

}  // namespace

std::string socket_path()
{
    const char* named = secure_getenv(kSocketVariable);
    return socket_path_of(named ? named : "");
}

std::string socket_path_of(std::string_view named)
{
    return std::string(named.empty() ? "/run/xenstored/socket" : named);
}

Error refused(const std::string& what, const Reply& reply)
{
    std::string advice;
    switch (reply.error) {
    case EACCES:
    case EPERM:
        advice = "run this in the domain that xenstored gives all rights to (dom0)";
        break;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case E2BIG:
        advice =
            "a quota of xenstored is used up: remove what is left of dead domains, or raise it";
        break;
    case EAGAIN:
        advice = "other clients change the same nodes; run this again";
        break;
    default:
        advice = "see xenstored's log";
    }
    return Error(Errc::io, "xenstored refuses to " + what + ": " + reply.value, advice);
}

struct Client::Connection {
    Loop& loop;
    ForkClosedFd socket;
    std::string path;
    Protocol protocol;
    bool over = false;

    Connection(Loop& loop_, ForkClosedFd socket_, std::string path_)
        : loop(loop_), socket(std::move(socket_)), path(std::move(path_))
    {}
    Error failed(const std::string& what, Errc code = Errc::io)
    {
        over = true;
        socket.reset();
        return Error(code, "could not look into xenstore: the daemon at " + path + " " + what,
                     std::string(kSilentAdvice));
    }
    Task<Result<void>> send(std::string bytes, Deadline until);
    Task<Result<void>> receive(std::map<std::uint32_t, Reply>& replies, Kind last, Deadline until);
};

Task<Result<void>> Client::Connection::send(std::string bytes, Deadline until)
{
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const auto n = ::send(socket.get(), bytes.data() + sent, bytes.size() - sent,
                              MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            sent += static_cast<std::size_t>(n);
        } else if (errno == EAGAIN) {
            if (!co_await loop.writable(socket.get(), until))
                co_return failed("takes no more requests", Errc::timeout);
        } else if (errno != EINTR) {
            co_return failed("could not be written to: " + errno_text(errno));
        }
    }
    co_return Result<void>();
}

// Waits until every request that is outstanding has its reply.
Task<Result<void>> Client::Connection::receive(std::map<std::uint32_t, Reply>& replies, Kind last,
                                               Deadline until)
{
    std::array<char, 16384> buffer;
    while (protocol.outstanding() > 0) {
        // Tried first: the daemon has often answered by now, and a wait costs a turn of the loop.
        auto n = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            // The clock too: a peer may send byte by byte for as long as it likes.
            if (!co_await loop.readable(socket.get(), until) || Clock::now() >= until)
                co_return failed("stayed silent: the reply to " + std::string(kind_name(last)) +
                                     " did not come in time",
                                 Errc::timeout);
            continue;
        }
        const bool hung_up = n == 0 || (n < 0 && errno == ECONNRESET);
        if (n < 0 && !hung_up) co_return failed("could not be read: " + errno_text(errno));
        auto actions =
            hung_up ? protocol.end_of_stream()
                    : protocol.feed(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
        for (auto& action : actions) {
            if (const auto* failure = std::get_if<Failure>(&action))
                co_return failed(failure->reason);
            auto& reply = std::get<Reply>(action);
            const std::uint32_t id = reply.id;
            replies.insert_or_assign(id, std::move(reply));
        }
    }
    co_return Result<void>();
}

Client::Client(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

bool Client::usable() const noexcept
{
    return connection_ && !connection_->over && connection_->socket.get() >= 0;
}

Task<Result<Client>> Client::connect(Loop& loop, std::string path, Deadline until)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        co_return Error(Errc::invalid,
                        "the path of xenstored's socket is " + std::to_string(path.size()) +
                            " bytes long, a socket's may have " +
                            std::to_string(sizeof address.sun_path - 1) + ": " + path,
                        "set XENSTORED_PATH to a shorter path");
    std::memcpy(address.sun_path, path.c_str(), path.size());
    for (;;) {
        ForkClosedFd socket;
        {
            // A fork between socket() and the mark for closing would give the child a copy.
            const NoFork no_fork;
            socket = ForkClosedFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        }
        if (!socket) co_return unreachable(path, errno);
        const int rc =
            ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        if (rc == 0) {
            auto connection =
                std::make_unique<Connection>(loop, std::move(socket), std::move(path));
            co_return Client(std::move(connection));
        }
        // EAGAIN: the accept queue is full, and xenstored's is short.
        if (errno != EAGAIN || Clock::now() >= until) co_return unreachable(path, errno);
        (void)co_await loop.sleep(std::min(until, Clock::now() + kQueueRetry));
    }
}

Task<Result<std::vector<Reply>>> Client::ask(std::vector<Request> requests, Deadline until)
{
    if (!usable())
        co_return Error(Errc::io, "could not look into xenstore: the connection to it is over",
                        std::string(kSilentAdvice));
    Connection& connection = *connection_;
    // All are tried before one is sent: one that cannot be sent is found in time.
    Protocol trial;
    for (const auto& request : requests)
        if (auto message = trial.send(request); !message) co_return std::move(message).error();
    // Cancelled on the way, replies are still to come that the next question knows nothing of.
    struct Cancelled {
        Connection& connection;
        bool finished = false;
        ~Cancelled() { connection.over |= !finished; }
    } cancelled{connection};
    std::map<std::uint32_t, Reply> replies;
    std::vector<std::uint32_t> ids;
    for (std::size_t first = 0; first < requests.size(); first += kWindowRequests) {
        const std::size_t end = std::min(requests.size(), first + kWindowRequests);
        std::string bytes;
        for (std::size_t at = first; at < end; ++at) {
            bytes += *connection.protocol.send(requests[at]);
            ids.push_back(connection.protocol.last_id());
        }
        auto sent = co_await connection.send(std::move(bytes), until);
        if (!sent) co_return std::move(sent).error();
        auto received = co_await connection.receive(replies, requests[end - 1].kind, until);
        if (!received) co_return std::move(received).error();
    }
    std::vector<Reply> in_order;
    in_order.reserve(ids.size());
    for (const auto id : ids)
        in_order.push_back(std::move(replies[id]));
    cancelled.finished = true;
    co_return in_order;
}

Task<Result<Reply>> Client::ask_one(Request request, Deadline until)
{
    std::vector<Request> one;
    one.push_back(std::move(request));
    auto replies = co_await ask(std::move(one), until);
    if (!replies) co_return std::move(replies).error();
    co_return std::move(replies->front());
}

Task<Result<std::optional<std::string>>> Client::read(std::string path, Transaction in,
                                                      Deadline until)
{
    auto reply = co_await ask_one(request::read(path, in), until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error == ENOENT) co_return std::optional<std::string>();
    if (reply->error != 0) co_return refused("read " + path, *reply);
    co_return std::optional(std::move(reply->value));
}

Task<Result<std::optional<std::vector<std::string>>>> Client::directory(std::string path,
                                                                        Transaction in,
                                                                        Deadline until)
{
    using Names = std::optional<std::vector<std::string>>;
    const Request request = request::directory(path, in);
    auto reply = co_await ask_one(request, until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error == ENOENT) co_return Names();
    if (reply->error == E2BIG) {
        auto names = co_await directory_in_parts(path, in, until);
        if (!names) co_return std::move(names).error();
        co_return Names(*std::move(names));
    }
    if (reply->error != 0) co_return refused("list " + path, *reply);
    Names names = names_in(reply->value);
    if (!names) co_return nonsense(request);
    co_return names;
}

Task<Result<std::vector<std::string>>> Client::directory_in_parts(std::string path, Transaction in,
                                                                  Deadline until)
{
    std::string whole;
    std::string generation;
    for (;;) {
        if (Clock::now() >= until)
            co_return Error(Errc::timeout,
                            "could not look into xenstore: " + path +
                                " changed again and again while it was listed",
                            "other clients change the same nodes; run this again");
        const Request request = request::directory_part(path, whole.size(), in);
        auto reply = co_await ask_one(request, until);
        if (!reply) co_return std::move(reply).error();
        if (reply->error != 0) co_return refused("list " + path + " in parts", *reply);
        auto part = part_in(reply->value);
        if (!part) co_return nonsense(request);
        // Parts of two moments put together would miss a name that was there all the time.
        if (!whole.empty() && part->generation != generation) {
            whole.clear();
            continue;
        }
        generation = part->generation;
        whole += part->names;
        // A name and its NUL are two bytes at least.
        if (whole.size() > limits::xenstore_tree_bytes_max)
            co_return Error(Errc::io, "could not look into xenstore: " + path +
                                          " has more nodes than one look takes in");
        if (part->last) break;
    }
    auto names = names_in(whole);
    if (!names) co_return nonsense(request::directory_part(path, 0, in));
    if (names->size() > limits::xenstore_nodes_max)
        co_return Error(Errc::io, "could not look into xenstore: " + path + " has " +
                                      std::to_string(names->size()) + " nodes, one look takes in " +
                                      std::to_string(limits::xenstore_nodes_max));
    co_return *std::move(names);
}

Task<Result<void>> Client::write(std::string path, std::string value, Transaction in,
                                 Deadline until)
{
    auto reply = co_await ask_one(request::write(path, std::move(value), in), until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0) co_return refused("write " + path, *reply);
    co_return Result<void>();
}

Task<Result<void>> Client::make(std::string path, Transaction in, Deadline until)
{
    auto reply = co_await ask_one(request::make(path, in), until);
    if (!reply) co_return std::move(reply).error();
    // Made by another client just now is made, too.
    if (reply->error != 0 && reply->error != EEXIST) co_return refused("make " + path, *reply);
    co_return Result<void>();
}

Task<Result<void>> Client::remove(std::string path, Transaction in, Deadline until)
{
    auto reply = co_await ask_one(request::remove(path, in), until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0 && reply->error != ENOENT) co_return refused("remove " + path, *reply);
    co_return Result<void>();
}

Task<Result<std::optional<Permissions>>> Client::permissions(std::string path, Transaction in,
                                                             Deadline until)
{
    const Request request = request::get_permissions(path, in);
    auto reply = co_await ask_one(request, until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error == ENOENT) co_return std::optional<Permissions>();
    if (reply->error != 0) co_return refused("read the permissions of " + path, *reply);
    auto permissions = permissions_in(reply->value);
    if (!permissions) co_return nonsense(request);
    co_return permissions;
}

Task<Result<void>> Client::set_permissions(std::string path, Permissions permissions,
                                           Transaction in, Deadline until)
{
    auto reply = co_await ask_one(request::set_permissions(path, permissions, in), until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0) co_return refused("set the permissions of " + path, *reply);
    co_return Result<void>();
}

Task<Result<Transaction>> Client::begin(Deadline until)
{
    const Request request = request::begin();
    auto reply = co_await ask_one(request, until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0) co_return refused("begin a transaction", *reply);
    const auto number = number_in(reply->value);
    if (!number || *number == 0) co_return nonsense(request);
    co_return *number;
}

Task<Result<bool>> Client::commit(Transaction transaction, Deadline until)
{
    auto reply = co_await ask_one(request::end(transaction, true), until);
    if (!reply) co_return std::move(reply).error();
    // Another client changed what this transaction has read: the caller begins anew.
    if (reply->error == EAGAIN) co_return false;
    if (reply->error != 0) co_return refused("commit a transaction", *reply);
    co_return true;
}

Task<Result<void>> Client::abort(Transaction transaction, Deadline until)
{
    auto reply = co_await ask_one(request::end(transaction, false), until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0) co_return refused("give a transaction up", *reply);
    co_return Result<void>();
}

Task<Result<bool>> Client::is_domain_introduced(std::uint32_t domid, Deadline until)
{
    const Request request = request::is_domain_introduced(domid);
    auto reply = co_await ask_one(request, until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0)
        co_return refused("say whether domain " + std::to_string(domid) + " is introduced", *reply);
    const auto introduced = truth_in(reply->value);
    if (!introduced) co_return nonsense(request);
    co_return *introduced;
}

Task<Result<std::string>> Client::domain_path(std::uint32_t domid, Deadline until)
{
    const Request request = request::get_domain_path(domid);
    auto reply = co_await ask_one(request, until);
    if (!reply) co_return std::move(reply).error();
    if (reply->error != 0)
        co_return refused("name the path of domain " + std::to_string(domid), *reply);
    std::string path = reply->value;
    if (path.ends_with('\0')) path.pop_back();
    if (!is_node_path(path)) co_return nonsense(request);
    co_return path;
}

}  // namespace xlstore::xenstore
