// SPDX-License-Identifier: MIT
// The socket of a Monitor, what was read from it, and what was asked ahead. One command is in
// flight at a time, and the questions that went with the barrier's (`ahead`). Bytes become actions
// in Protocol.
#ifndef XLSTORE_STORE_QMP_MONITOR_CONNECTION_HPP_
#define XLSTORE_STORE_QMP_MONITOR_CONNECTION_HPP_

#include <sys/socket.h>

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/base/fd.hpp"
#include "store/base/random.hpp"
#include "store/event/loop.hpp"
#include "store/os/process.hpp"
#include "store/qmp/listing.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore::qmp {

struct MonitorConnection {
    static constexpr std::size_t kReadBytes = 16384;

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

    MonitorConnection(Loop& loop_, ForkClosedFd socket_, std::string subject_, std::string path_,
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

    /// It is ended, because the peer broke the protocol in that way.
    Error failed(const std::string& what);
    /// It is ended, because `waiting_for` did not come in time.
    Task<Error> stayed_silent(std::string waiting_for);
    void hang_up();
    /// Of all events only those about an unplug say what no query can: that the guest refused.
    /// Others are hints that no operation waits for; state is polled.
    void hear(const Action& action);

    /// What QEMU has sent unasked; does not wait. A hang-up or a breach is left to who asks next.
    void hear_what_came();
    [[nodiscard]] bool is_next_ahead(const Question& question) const
    {
        return !ahead.empty() && !ahead_is_old && ahead.front() == question;
    }
    /// What QEMU says until then is heard.
    Task<Result<Reply>> reply_to(std::string command, Deadline until);
    /// What was asked ahead and is not wanted, or not any more.
    Task<Result<void>> forget_ahead(Deadline until);
    /// The next thing that QEMU says; waits for it. Silence ends the connection.
    Task<Result<Action>> next(std::string waiting_for, Deadline until);
    /// The same, where QEMU owes nothing: nothing, if by then no message has come whole.
    Task<Result<std::optional<Action>>> next_by(Deadline until);
    /// `file_descriptor`: goes along; -1: none.
    Task<Result<void>> send(std::string bytes, int file_descriptor, Deadline until);

private:
    [[nodiscard]] ssize_t receive()
    {
        return recv(socket.get(), buffer->data(), buffer->size(), MSG_DONTWAIT);
    }
    [[nodiscard]] std::vector<Action> fed(ssize_t bytes)
    {
        return protocol.feed({buffer->data(), static_cast<std::size_t>(bytes)});
    }
};

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_QMP_MONITOR_CONNECTION_HPP_
