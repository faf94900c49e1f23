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
// A coroutine that is destroyed before its reply ends the connection, because that reply would be
// taken for the next command's.
#include "store/qmp/monitor.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include "store/base/fd.hpp"
#include "store/os/listener.hpp"
#include "store/qmp/monitor_connection.hpp"
#include "store/qmp/silence.hpp"
#include "store/qmp/unplug_news.hpp"
#include "store/testing/crash_point.hpp"
#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::qmp {

namespace {

// Two clients fit into QEMU's accept queue; the next one is told to try again.
constexpr auto kConnectRetry = std::chrono::milliseconds(20);

constexpr std::string_view kMonitorAdvice =
    "nothing was sent; see whether QEMU is stopped or hung, or whether another program holds its "
    "monitor";
constexpr std::string_view kGoneAdvice =
    "nothing was sent, and its QEMU runs on; if the socket was moved, put it back: QEMU listens "
    "at that very file; 'xlstore destroy' needs no monitor";

Error silent(const std::string& subject, const std::string& what)
{
    return Error(Errc::protocol, subject + ": " + what, std::string(kMonitorAdvice));
}

}  // namespace

Monitor::Monitor(std::unique_ptr<MonitorConnection> connection) : connection_(std::move(connection))
{}
Monitor::Monitor(Monitor&&) noexcept = default;
Monitor& Monitor::operator=(Monitor&&) noexcept = default;
Monitor::~Monitor() = default;

bool Monitor::usable() const noexcept
{
    return connection_ && !connection_->over;
}

Task<Result<std::unique_ptr<MonitorConnection>>> Monitor::open(Loop& loop, std::string path,
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
            co_return std::make_unique<MonitorConnection>(
                loop, std::move(socket), std::move(subject), std::move(path), std::move(qemu));
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
Task<Result<void>> Monitor::greet(MonitorConnection& connection, const Expected* holder,
                                  Deadline until)
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
Task<Result<void>> Monitor::barrier(MonitorConnection& connection, std::vector<Question> ahead,
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
    MonitorConnection& connection = *connection_;
    // Cancelled on the way, the reply is still to come and would be taken for the next command's.
    struct Cancelled {
        MonitorConnection& connection;
        bool finished = false;
        ~Cancelled()
        {
            if (!finished) connection.hang_up();
        }
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

Listing& Monitor::listing_of(MonitorConnection& connection) noexcept
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
    MonitorConnection& connection = *connection_;
    connection.ahead_is_old = true;  // what was asked ahead is answered as it was before the wait
    for (;;) {
        for (auto event = connection.unplugs.begin(); event != connection.unplugs.end(); ++event) {
            const auto data = json_minify(event->data, "event data");
            const auto about = data ? unplug_news(event->name, *data, device) : std::string_view();
            if (about.empty()) continue;
            connection.unplugs.erase(event);
            co_return std::string(about);
        }
        if (Clock::now() >= until) co_return std::string();  // even while events keep coming
        // What comes meanwhile may be no event, or not whole at the deadline: that is no silence.
        auto action = co_await connection.next_by(until);
        if (!action) co_return std::move(action).error();
        if (!*action) co_return std::string();
        if (std::holds_alternative<Reply>(**action)) connection.ahead.pop_front();
        connection.hear(**action);
    }
}

}  // namespace xlstore::qmp
