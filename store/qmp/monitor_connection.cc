// SPDX-License-Identifier: MIT
#include "store/qmp/monitor_connection.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/qmp/silence.hpp"
#include "store/qmp/unplug_news.hpp"
#include "store/testing/crash_point.hpp"

namespace xlstore::qmp {

namespace {

constexpr auto kDeathPoll = std::chrono::milliseconds(100);
constexpr std::size_t kUnplugsKept = 64;
constexpr std::size_t kUnplugBytes = 4096;
// What is read at once of what QEMU says unasked; more of it counts as an event.
constexpr int kReadsAtOnce = 8;

}  // namespace

Error MonitorConnection::failed(const std::string& what)
{
    hang_up();
    return Error(Errc::protocol, subject + ": its monitor " + path + " " + what,
                 "the connection was ended; nothing is believed that was not proved");
}

Task<Error> MonitorConnection::stayed_silent(std::string waiting_for)
{
    const Silence silence = co_await why_silent(loop, qemu, path, socket.get());
    hang_up();
    co_return Error(Errc::timeout,
                    subject + ": its monitor " + path + " stayed silent: " + waiting_for +
                        " did not come in time; " + silence.why,
                    silence.advice);
}

void MonitorConnection::hang_up()
{
    over = true;
    listing.heard();
    socket.reset();  // a monitor serves one client: we must not stand in our own way
}

void MonitorConnection::hear(const Action& action)
{
    const auto* event = std::get_if<Event>(&action);
    if (event) listing.heard();
    if (!event || !may_tell_of_unplug(event->name)) return;
    if (event->data.size() > kUnplugBytes) return;  // a device's name and path have room in it
    if (unplugs.size() == kUnplugsKept) unplugs.pop_front();
    unplugs.push_back(*event);
}

void MonitorConnection::hear_what_came()
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

Task<Result<Reply>> MonitorConnection::reply_to(std::string command, Deadline until)
{
    for (;;) {
        auto action = co_await next("the reply to " + command, until);
        if (!action) co_return std::move(action).error();
        if (auto* reply = std::get_if<Reply>(&*action)) co_return std::move(*reply);
        hear(*action);
    }
}

Task<Result<void>> MonitorConnection::forget_ahead(Deadline until)
{
    while (!ahead.empty()) {
        auto reply = co_await reply_to(ahead.front().execute, until);
        if (!reply) co_return std::move(reply).error();
        ahead.pop_front();
    }
    ahead_is_old = false;
    co_return Result<void>();
}

Task<Result<Action>> MonitorConnection::next(std::string waiting_for, Deadline until)
{
    auto action = co_await next_by(until);
    if (!action) co_return std::move(action).error();
    if (!*action) co_return co_await stayed_silent(std::move(waiting_for));
    co_return **std::move(action);
}

Task<Result<std::optional<Action>>> MonitorConnection::next_by(Deadline until)
{
    for (;;) {
        if (!actions.empty()) {
            std::optional<Action> action = std::move(actions.front());
            actions.pop_front();
            if (const auto* failure = std::get_if<Failure>(&*action))
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
        if (!readable || Clock::now() >= until) co_return std::optional<Action>();
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

Task<Result<void>> MonitorConnection::send(std::string bytes, int file_descriptor, Deadline until)
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

}  // namespace xlstore::qmp
