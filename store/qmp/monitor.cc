// SPDX-License-Identifier: MIT
// From a path to a connection that may be believed:
//
//   1. open: connect; while QEMU's accept queue is full, again every 20 ms until the deadline.
//   2. The socket file is the one of the registration (device and inode), the peer's credentials
//      are those of its listen(), and the registered process is alive, asked after connecting
//      (R11). If any of this fails, nothing has been sent.
//   3. greet: QEMU's greeting comes unasked. For a socket that the caller handed in, the kernel is
//      asked who holds the other end.
//   4. barrier: the reply to qmp_capabilities (R12). What a dead client left has run by then.
//
// Bytes become actions in Protocol. One command is in flight at a time, and the questions that went
// with the barrier's (`ahead`); a coroutine that is destroyed before its reply ends the connection,
// because that reply would be taken for the next command's.
#include "store/qmp/monitor.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

#include "store/base/fd.hpp"
#include "store/base/random.hpp"
#include "store/os/listener.hpp"
#include "store/os/socket_clients.hpp"
#include "store/testing/crash_point.hpp"
#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::qmp {

namespace {

// Two clients fit into QEMU's accept queue; the next one is told to try again.
constexpr auto kConnectRetry = std::chrono::milliseconds(20);
constexpr auto kDeathPoll = std::chrono::milliseconds(100);
constexpr std::size_t kUnplugsKept = 64;
constexpr std::size_t kUnplugBytes = 4096;

// How a guest's ACPI answers a request to eject (_OST, ACPI 6.5 section 6.3.5): QEMU hands it on
// for processors and memory, and calls no device that the guest keeps an error on x86.
constexpr std::string_view kAcpiStatus = "ACPI_DEVICE_OST";
constexpr std::int64_t kEjectRequests[] = {3, 0x103};
constexpr std::int64_t kRefusals[] = {1, 0x80, 0x81, 0x82, 0x83};  // 0x84 and 0x85: it is at it

template <std::size_t N>
bool is_one_of(std::optional<std::int64_t> value, const std::int64_t (&of)[N])
{
    return value && std::find(std::begin(of), std::end(of), *value) != std::end(of);
}

// What an event says of a request to let go of `device`; empty: nothing.
std::string_view unplug_news(std::string_view event, std::string_view data,
                             const std::string& device)
{
    if (event == kAcpiStatus) {
        const auto info = json_find(data, "info");
        const bool refused = info && json_get_string(*info, "device") == device &&
                             is_one_of(json_get_integer(*info, "source"), kEjectRequests) &&
                             is_one_of(json_get_integer(*info, "status"), kRefusals);
        return refused ? kUnplugRefused : std::string_view();
    }
    const bool meant = json_get_string(data, "device") == device ||
                       json_get_string(data, "path") == "/machine/peripheral/" + device;
    if (!meant) return {};
    return event == kDeviceDeleted ? kDeviceDeleted : kUnplugRefused;
}

constexpr std::string_view kMonitorAdvice =
    "nothing was sent; see whether QEMU is stopped or hung, or whether another program holds its "
    "monitor";
constexpr std::string_view kGoneAdvice =
    "nothing was sent, and its QEMU runs on; if the socket was moved, put it back: QEMU listens "
    "at that very file; 'xlstore destroy' needs no monitor";
// Who is connected is found out in pieces, so that an embedder's loop has its turn in between
// (R20), and in vain on a host with more descriptors than can be looked at in this time.
constexpr auto kSearchPiece = std::chrono::milliseconds(10);
constexpr auto kSearchWhole = std::chrono::seconds(1);
constexpr std::size_t kReadBytes = 16384;
// What is read at once of what QEMU says unasked; more of it counts as an event.
constexpr int kReadsAtOnce = 8;

Error silent(const std::string& subject, const std::string& what)
{
    return Error(Errc::protocol, subject + ": " + what, std::string(kMonitorAdvice));
}

/// Why QEMU does not answer, as far as can be seen, and what to do about it.
struct Silence {
    Silence(std::string why_, std::string advice_)
        : why(std::move(why_)), advice(std::move(advice_))
    {}
    std::string why;
    std::string advice;
};

Task<Silence> why_silent(Loop& loop, std::optional<ProcessId> qemu, std::string path, int own)
{
    if (qemu && is_stopped(*qemu)) {
        const std::string pid = std::to_string(qemu->pid);
        co_return Silence("its QEMU (pid " + pid + ") is stopped",
                          "let it run again ('kill -CONT " + pid +
                              "', or end the debugger that holds it), then run this again");
    }
    auto others = clients_of_socket(path, own);
    if (!others)
        co_return Silence(
            "its QEMU is not stopped; the kernel does not tell who else is connected to it",
            "see whether another program holds its monitor, or QEMU hangs");
    if (others->connections == 0)
        co_return Silence(
            "its QEMU is not stopped, and no other client of this monitor can be seen: it hangs, "
            "is very busy, or a process of another network namespace is connected",
            "look at QEMU itself; run this again once it answers");
    const auto end = Clock::now() + kSearchWhole;
    while (!others->processes.go_on(Clock::now() + kSearchPiece) && Clock::now() < end)
        (void)co_await loop.sleep(Clock::now());
    std::string who;
    for (const auto& process : others->processes.found()) {
        who += (who.empty() ? "" : ", ") + describe(process);
        const auto id = identify(process.pid);
        if (id && is_stopped(*id)) who += ", which is stopped,";
    }
    if (who.empty()) who = "a process that /proc does not show";
    co_return Silence(who + " is connected to it, and a monitor serves one client at a time",
                      "wait until that process hangs up, or end it, then run this again");
}

}  // namespace

struct Monitor::Connection {
    Loop& loop;
    ForkClosedFd socket;
    std::string subject;
    std::string path;
    std::optional<ProcessId> qemu;  // who serves the monitor, if that is known by now
    Protocol protocol;
    Listing listing;
    // Made once, and not filled: each wait would else clear it.
    std::unique_ptr<std::array<char, kReadBytes>> buffer =
        std::make_unique_for_overwrite<std::array<char, kReadBytes>>();
    std::deque<Action> actions;  // read, not yet looked at
    std::deque<Event> unplugs;   // heard between commands, not yet waited for; the last few
    std::deque<Question> ahead;  // sent, and not yet asked for; the replies come in this order
    bool ahead_is_old = false;   // an event came behind a reply, which may not know of it
    bool over = false;
    // Whose death ends the wait, though the connection stays open: another process has the socket.
    std::optional<ProcessId> awaited;

    Connection(Loop& loop_, ForkClosedFd socket_, std::string subject_, std::string path_,
               std::optional<ProcessId> qemu_)
        : loop(loop_),
          socket(std::move(socket_)),
          subject(std::move(subject_)),
          path(std::move(path_)),
          qemu(std::move(qemu_)),
          // R12: a dead client's reply must not pass for ours. Short, since QEMU reads what it is
          // sent byte by byte, at some 4 us each.
          protocol(random_word())
    {}

    Error failed(const std::string& what)
    {
        hang_up();
        return Error(Errc::protocol, subject + ": its monitor " + path + " " + what,
                     "the connection was ended; nothing is believed that was not proved");
    }
    Task<Error> stayed_silent(std::string waiting_for)
    {
        const Silence silence = co_await why_silent(loop, qemu, path, socket.get());
        hang_up();
        co_return Error(Errc::timeout,
                        subject + ": its monitor " + path + " stayed silent: " + waiting_for +
                            " did not come in time; " + silence.why,
                        silence.advice);
    }
    void hang_up()
    {
        over = true;
        listing.heard();
        socket.reset();  // a monitor serves one client: we must not stand in our own way
    }

    // Of all events only these say what no query can: that the guest refused. Others are hints that
    // no operation waits for; state is polled.
    void hear(const Action& action)
    {
        const auto* event = std::get_if<Event>(&action);
        if (event) listing.heard();
        if (!event || (event->name != kDeviceDeleted && event->name != kUnplugRefused &&
                       event->name != kAcpiStatus))
            return;
        if (event->data.size() > kUnplugBytes) return;  // a device's name and path have room in it
        if (unplugs.size() == kUnplugsKept) unplugs.pop_front();
        unplugs.push_back(*event);
    }

    [[nodiscard]] ssize_t receive()
    {
        return recv(socket.get(), buffer->data(), buffer->size(), MSG_DONTWAIT);
    }
    [[nodiscard]] std::vector<Action> fed(ssize_t bytes)
    {
        return protocol.feed({buffer->data(), static_cast<std::size_t>(bytes)});
    }
    void hear_what_came();
    [[nodiscard]] bool is_next_ahead(const Question& question) const
    {
        return !ahead.empty() && !ahead_is_old && ahead.front() == question;
    }
    Task<Result<Reply>> reply_to(std::string command, Deadline until);
    Task<Result<void>> forget_ahead(Deadline until);
    Task<Result<Action>> next(std::string waiting_for, Deadline until);
    Task<Result<void>> send(std::string bytes, int file_descriptor, Deadline until);
};

// What QEMU has sent unasked; does not wait. A hang-up or a breach is left to who asks next.
void Monitor::Connection::hear_what_came()
{
    for (int reads = 0; reads < kReadsAtOnce; ++reads) {
        for (const auto& action : actions)
            hear(action);
        const auto is_event = [](const Action& a) { return std::holds_alternative<Event>(a); };
        const auto reply = std::ranges::find_if(
            actions, [](const Action& a) { return std::holds_alternative<Reply>(a); });
        ahead_is_old |= std::any_of(reply, actions.end(), is_event);
        std::erase_if(actions, is_event);
        const auto n = receive();
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) break;
        for (auto& action : fed(n))
            actions.push_back(std::move(action));
    }
    listing.heard();
}

// What QEMU says until then is heard.
Task<Result<Reply>> Monitor::Connection::reply_to(std::string command, Deadline until)
{
    for (;;) {
        auto action = co_await next("the reply to " + command, until);
        if (!action) co_return std::move(action).error();
        if (auto* reply = std::get_if<Reply>(&*action)) co_return std::move(*reply);
        hear(*action);
    }
}

// What was asked ahead and is not wanted, or not any more.
Task<Result<void>> Monitor::Connection::forget_ahead(Deadline until)
{
    while (!ahead.empty()) {
        auto reply = co_await reply_to(ahead.front().execute, until);
        if (!reply) co_return std::move(reply).error();
        ahead.pop_front();
    }
    ahead_is_old = false;
    co_return Result<void>();
}

// The next thing that QEMU says; waits for it.
Task<Result<Action>> Monitor::Connection::next(std::string waiting_for, Deadline until)
{
    for (;;) {
        if (!actions.empty()) {
            Action action = std::move(actions.front());
            actions.pop_front();
            if (const auto* failure = std::get_if<Failure>(&action))
                co_return failed(failure->reason);
            co_return action;
        }
        const auto slice = awaited ? std::min(until, Clock::now() + kDeathPoll) : until;
        const bool readable = co_await loop.readable(socket.get(), slice);
        if (!readable && awaited) {
            if (life_of(*awaited) == Life::dead) {
                (void)failed("");
                co_return Error(Errc::no_qemu, subject + ": its QEMU (pid " +
                                                   std::to_string(awaited->pid) + ") is dead");
            }
            if (Clock::now() < until) continue;
        }
        // The clock too: the peer may go on sending pieces of a line for as long as it likes.
        if (!readable || Clock::now() >= until) co_return co_await stayed_silent(waiting_for);
        XLSTORE_CRASH_POINT("qmp.before_receive");
        const auto n = receive();
        XLSTORE_CRASH_POINT("qmp.after_receive");
        std::vector<Action> more;
        if (n > 0) {
            more = fed(n);
        } else if (n == 0) {
            more = protocol.end_of_stream();
        } else if (errno != EAGAIN && errno != EINTR) {
            co_return failed(std::string("could not be read: ") + std::strerror(errno));
        }
        for (auto& action : more)
            actions.push_back(std::move(action));
    }
}

Task<Result<void>> Monitor::Connection::send(std::string bytes, int file_descriptor, Deadline until)
{
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        iovec piece{bytes.data() + sent, bytes.size() - sent};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        if (file_descriptor >= 0 && sent == 0) {  // with the first byte, where QEMU looks for it
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(header), &file_descriptor, sizeof(int));
        }
        XLSTORE_CRASH_POINT("qmp.before_send");
        const auto n = sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        XLSTORE_CRASH_POINT("qmp.after_send");
        if (n >= 0) {
            sent += static_cast<std::size_t>(n);
        } else if (errno == EAGAIN) {
            if (!co_await loop.writable(socket.get(), until))
                co_return failed("takes no more commands");
        } else if (errno != EINTR) {
            co_return failed(std::string("could not be written to: ") + std::strerror(errno));
        }
    }
    co_return Result<void>();
}

Monitor::Monitor(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
Monitor::Monitor(Monitor&&) noexcept = default;
Monitor& Monitor::operator=(Monitor&&) noexcept = default;
Monitor::~Monitor() = default;

bool Monitor::usable() const noexcept
{
    return connection_ && !connection_->over;
}

Task<Result<std::unique_ptr<Monitor::Connection>>> Monitor::open(Loop& loop, std::string path,
                                                                 std::string subject,
                                                                 std::optional<ProcessId> qemu,
                                                                 Deadline until)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        co_return Error(Errc::invalid,
                        subject + ": the path of its monitor is " + std::to_string(path.size()) +
                            " bytes long, a socket's may have " +
                            std::to_string(sizeof address.sun_path - 1) + ": " + path,
                        "use a shorter directory");
    std::memcpy(address.sun_path, path.c_str(), path.size());
    for (;;) {
        ForkClosedFd socket;
        {
            const NoFork no_fork;
            socket = ForkClosedFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        }
        if (!socket) throw IoError(errno, "cannot create a socket");
        XLSTORE_CRASH_POINT("qmp.before_connect");
        const int rc =
            ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        XLSTORE_CRASH_POINT("qmp.after_connect");
        if (rc == 0)
            co_return std::make_unique<Connection>(loop, std::move(socket), std::move(subject),
                                                   std::move(path), std::move(qemu));
        if (const int why = errno; why != EAGAIN) {
            Error error = silent(
                subject, "its monitor " + path + " cannot be reached: " + std::strerror(why));
            if (why == ENOENT) error.advice = std::string(kGoneAdvice);
            co_return error;
        }
        // EAGAIN: the accept queue is full. Others are waiting too; we try again until the
        // deadline.
        if (Clock::now() >= until) {
            const Silence silence = co_await why_silent(loop, qemu, path, -1);
            co_return Error(
                Errc::timeout,
                subject + ": the queue of its monitor " + path + " stayed full; " + silence.why,
                silence.advice);
        }
        (void)co_await loop.sleep(std::min(until, Clock::now() + kConnectRetry));
    }
}

// The greeting comes unasked, so that nothing has been sent yet when this returns. Of a socket that
// was handed in the kernel is asked here who holds the other end: from now on some process has
// accepted.
Task<Result<void>> Monitor::greet(Connection& connection, const Expected* holder, Deadline until)
{
    if (holder && holder->handed_in) connection.awaited = holder->qemu;
    for (bool greeted = false; !greeted;) {
        auto action = co_await connection.next("its greeting", until);
        if (!action) co_return std::move(action).error();
        greeted = std::holds_alternative<Greeted>(*action);
    }
    if (!connection.awaited) co_return Result<void>();
    const ProcessId qemu = *std::exchange(connection.awaited, std::nullopt);
    const auto held = open_pidfd(qemu);
    const auto holds = held ? holds_other_end(connection.socket.get(), qemu.pid) : held.error();
    if (!holds)
        co_return Error(Errc::refused,
                        connection.subject + ": it is not proved that pid " +
                            std::to_string(qemu.pid) + " holds the monitor " + connection.path +
                            ": " + holds.error().message,
                        "nothing was sent; " + holds.error().advice);
    if (!*holds && !XLSTORE_MUTATION("holder of the socket"))
        co_return Error(Errc::refused,
                        connection.subject + ": pid " + std::to_string(qemu.pid) +
                            " does not hold the monitor " + connection.path +
                            ": another process answers there (R11)",
                        "nothing was sent; name the pid of the process that has that socket");
    co_return Result<void>();
}

// R12: the reply to an in-band command on this very connection. By then what a dead client left on
// this monitor has run or been thrown away; the greeting alone comes too early. What is asked ahead
// stands behind it in the same queue of QEMU's.
Task<Result<void>> Monitor::barrier(Connection& connection, std::vector<Question> ahead,
                                    Deadline until)
{
    std::string lines = connection.protocol.command("qmp_capabilities", "");
    for (auto& question : ahead) {
        if (!only_asks(question.execute, question.arguments))
            throw std::logic_error("a QMP command ahead that does not only ask");
        lines += connection.protocol.question_behind(question.execute, question.arguments);
        connection.ahead.push_back(std::move(question));
    }
    auto sent = co_await connection.send(std::move(lines), -1, until);
    if (!sent) co_return sent;
    for (;;) {
        auto action = co_await connection.next("the reply to qmp_capabilities", until);
        if (!action) co_return std::move(action).error();
        if (const auto* reply = std::get_if<Reply>(&*action)) {
            if (reply->ok) co_return Result<void>();
            co_return connection.failed("refused qmp_capabilities: " +
                                        printable(reply->error_desc));
        }
    }
}

Task<Result<Monitor>> Monitor::connect(Loop& loop, Registration registration, std::string subject,
                                       Deadline until)
{
    HeldProcesses qemus;
    std::vector<Question> nothing;
    co_return co_await connect_asking(loop, qemus, std::move(registration), std::move(subject),
                                      std::move(nothing), until);
}

Task<Result<Monitor>> Monitor::connect_asking(Loop& loop, HeldProcesses& qemus,
                                              Registration registration, std::string subject,
                                              std::vector<Question> ahead, Deadline until)
{
    const auto dead = [&] {
        return Error(
            Errc::no_qemu,
            subject + ": its QEMU (pid " + std::to_string(registration.qemu.pid) + ") is dead",
            "run 'xlstore recover' to settle what it left open, or 'xlstore destroy'");
    };
    // Asked first only for the better message: what counts is asked again below, connected.
    if (qemus.life_of(registration.qemu) == Life::dead) co_return dead();
    // Its pid, and that of its peer, are numbers in another namespace: nothing could be compared.
    if (registration.qemu.pid_namespace != current_pid_namespace())
        co_return Error(Errc::refused,
                        subject + ": its QEMU (pid " + std::to_string(registration.qemu.pid) +
                            ") belongs to another pid namespace",
                        "nothing was sent; run it in that pid namespace");
    auto connection = co_await open(loop, registration.path, subject, registration.qemu, until);
    if (!connection) co_return std::move(connection).error();

    // R11: a path alone proves nothing.
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt((*connection)->socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        throw IoError(errno, "cannot ask for the peer of a socket");
    const Peer peer{credentials.pid, credentials.uid, credentials.gid};
    const auto unrelated_peer = [&](const std::string& what) {
        return Error(Errc::refused,
                     subject + ": monitor " + registration.path + " is not its QEMU's: " + what,
                     "nothing was sent; register the QEMU that belongs to this domain");
    };
    const bool unproved = XLSTORE_MUTATION("peer proof");
    if (file_identity(registration.path) != registration.socket && !unproved)
        co_return unrelated_peer("the socket was replaced since registration");
    if (peer != registration.peer && !unproved)
        co_return unrelated_peer("the peer is pid " + std::to_string(peer.pid) + " of uid " +
                                 std::to_string(peer.uid) + ", registered was pid " +
                                 std::to_string(registration.peer.pid) + " of uid " +
                                 std::to_string(registration.peer.uid));
    if (!registration.handed_in && peer.pid != registration.qemu.pid && !unproved)
        co_return unrelated_peer("the peer is pid " + std::to_string(peer.pid) + ", QEMU is pid " +
                                 std::to_string(registration.qemu.pid));
    switch (qemus.life_of(registration.qemu)) {
    case Life::alive:
        break;
    case Life::dead:
        co_return dead();
    case Life::unknown:
        co_return silent(subject, "could not look whether its QEMU (pid " +
                                      std::to_string(registration.qemu.pid) + ") is alive");
    }
    const Expected holder{registration.qemu, registration.handed_in};
    if (auto greeted = co_await greet(**connection, unproved ? nullptr : &holder, until); !greeted)
        co_return std::move(greeted).error();
    if (auto passed = co_await barrier(**connection, std::move(ahead), until); !passed)
        co_return std::move(passed).error();
    co_return Monitor(*std::move(connection));
}

Task<Result<Monitor::Introduced>> Monitor::introduce(Loop& loop, std::string path,
                                                     std::string subject,
                                                     std::optional<Expected> expected,
                                                     Deadline until)
{
    auto connection = co_await open(loop, path, subject, std::nullopt, until);
    if (!connection) co_return std::move(connection).error();
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (getsockopt((*connection)->socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        throw IoError(errno, "cannot ask for the peer of a socket");
    if (auto there = identify(credentials.pid)) (*connection)->qemu = *std::move(there);
    const Peer peer{credentials.pid, credentials.uid, credentials.gid};
    if (expected && !expected->handed_in && peer.pid != expected->qemu.pid)
        co_return Error(Errc::refused,
                        subject + ": the process behind its monitor " + path + " is pid " +
                            std::to_string(peer.pid) + ", not pid " +
                            std::to_string(expected->qemu.pid) + " (R11)",
                        "nothing was sent to it");
    const auto identity = file_identity(path);
    if (!identity) co_return silent(subject, "its monitor " + path + " went away");
    const Expected* holder = expected ? &*expected : nullptr;
    if (auto greeted = co_await greet(**connection, holder, until); !greeted)
        co_return std::move(greeted).error();
    std::vector<Question> nothing;
    if (auto passed = co_await barrier(**connection, std::move(nothing), until); !passed)
        co_return std::move(passed).error();
    Introduced introduced{Monitor(*std::move(connection)), peer, *identity};
    co_return std::move(introduced);
}

Task<Result<Reply>> Monitor::execute(std::string command, std::string arguments, Deadline until,
                                     int file_descriptor)
{
    if (!usable())
        co_return Error(Errc::protocol, "the connection to the monitor is over",
                        std::string(kMonitorAdvice));
    Connection& connection = *connection_;
    // Cancelled on the way, the reply is still to come and would be taken for the next command's.
    struct Cancelled {
        Connection& connection;
        bool finished = false;
        ~Cancelled() { connection.over |= !finished; }
    } cancelled{connection};
    const Question wanted{command, arguments};
    if (connection.is_next_ahead(wanted)) {
        connection.ahead.pop_front();
    } else {
        if (auto forgotten = co_await connection.forget_ahead(until); !forgotten)
            co_return std::move(forgotten).error();
        connection.listing.sent(command, arguments);
        auto sent = co_await connection.send(connection.protocol.command(command, arguments),
                                             file_descriptor, until);
        if (!sent) co_return std::move(sent).error();
    }
    auto reply = co_await connection.reply_to(std::move(command), until);
    cancelled.finished = reply.has_value();
    co_return reply;
}

void Monitor::forget_unplugs() noexcept
{
    if (connection_) connection_->unplugs.clear();
}

Listing& Monitor::listing_of(Connection& connection) noexcept
{
    return connection.listing;
}

void Monitor::catch_up()
{
    if (usable()) connection_->hear_what_came();
}

Task<Result<std::string>> Monitor::wait_for_unplug(std::string device, Deadline until)
{
    if (!usable())
        co_return Error(Errc::protocol, "the connection to the monitor is over",
                        std::string(kMonitorAdvice));
    Connection& connection = *connection_;
    if (auto forgotten = co_await connection.forget_ahead(until); !forgotten)
        co_return std::move(forgotten).error();
    for (;;) {
        for (auto event = connection.unplugs.begin(); event != connection.unplugs.end(); ++event) {
            const auto data = json_minify(event->data, "event data");
            const auto about = data ? unplug_news(event->name, *data, device) : std::string_view();
            if (about.empty()) continue;
            connection.unplugs.erase(event);
            co_return std::string(about);
        }
        if (Clock::now() >= until) co_return std::string();  // even while events keep coming
        if (connection.actions.empty() &&
            !co_await connection.loop.readable(connection.socket.get(), until))
            co_return std::string();
        auto action = co_await connection.next("an event", until);
        if (!action) co_return std::move(action).error();
        connection.hear(*action);
    }
}

}  // namespace xlstore::qmp
