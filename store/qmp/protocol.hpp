// SPDX-License-Identifier: MIT
// QMP as a machine without I/O: bytes in, actions out. It knows nothing of sockets, time or SQLite;
// Monitor performs what it says. QEMU is not trusted: every length, depth and count is
// bounded, and a malformed, duplicate or unasked answer ends the conversation, for a peer that
// breaks the protocol once cannot be believed about anything after it. One thread.
#ifndef XLSTORE_STORE_QMP_PROTOCOL_HPP_
#define XLSTORE_STORE_QMP_PROTOCOL_HPP_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "store/base/limits.hpp"

namespace xlstore::qmp {

/// The greeting came.
struct Greeted {
    std::string version;  ///< "7.2.22"
};

/// The reply to our command.
struct Reply {
    bool ok = false;
    std::string value;  ///< ok: the text of "return", minified JSON, each token as QEMU spelled it
    std::string error_class;  ///< not ok; untrusted
    std::string error_desc;   ///< not ok; untrusted: print it through printable()
};

/// Only a hint: events get lost between two connections, so state is polled.
struct Event {
    std::string name;  ///< untrusted
    std::string data;  ///< minified JSON object; "{}" if there was none
};

/// The conversation is over. One sentence whose subject is the monitor ("sent a second greeting");
/// what it quotes of QEMU's went through printable().
struct Failure {
    std::string reason;
};

using Action = std::variant<Greeted, Reply, Event, Failure>;

/// One conversation, from the greeting to the end of the stream.
///
/// States, and what is true in each (assert_state() says the same):
///
///   greeting   the greeting has not come             outstanding_ is empty, next_id_ is 1
///   idle       greeted, no command is outstanding    outstanding_ is empty
///   awaiting   command() was called, and perhaps     outstanding_ is what was sent, in order
///              question_behind(); a reply is to come
///   failed     over, for good                        outstanding_ and line_ are empty
///
/// Transitions; the action that each makes:
///
///   the greeting                     greeting        -> idle       Greeted
///   command()                        idle            -> awaiting
///   question_behind()                awaiting        -> awaiting
///   the reply that is due            awaiting        -> the same   Reply; -> idle if none is left
///   an event                         idle, awaiting  -> the same   Event; bounded while awaiting
///   a reply with a foreign id        idle, awaiting  -> the same   none; counted and bounded
///   an event, any reply              greeting        -> the same   none; counted and bounded
///   a reply without an id, before    idle, awaiting  -> the same   none; counted and bounded
///     our first command's
///   end_of_stream()                  all but failed  -> failed     Failure
///   anything else                    all but failed  -> failed     Failure
///   anything at all                  failed          -> failed     none
///
/// QEMU gives what it still has for a dead client to the next one: queued events and the reply to
/// the last command come before the greeting or behind it, with the id that the dead client chose,
/// or without one (all of it measured on 7.2, once in some thousand connections). Before our first
/// command there can be no reply of ours, and nothing is believed before the reply to that command
/// (R12): such leftovers are skipped. An id that begins like ours and is not the one that is due is
/// a lie: no other process can make one. QEMU runs in-band commands one after the other, in the
/// order in which they came.
class Protocol {
public:
    /// Each id is `id_prefix` and a count. It has to be unique among the clients of this monitor
    /// (R12), of which a dead one's last reply may reach the next: 48 random bits, always as many
    /// characters, will do.
    explicit Protocol(std::string id_prefix);

    /// What the peer sent, in pieces of any size -> what it means, in order; a Failure is the last.
    /// Never throws on what comes from the peer, and never holds more than one line of it.
    [[nodiscard]] std::vector<Action> feed(std::string_view bytes);

    /// The peer hung up: always a Failure, which says whether a reply was outstanding. Nothing if
    /// the conversation had failed before.
    [[nodiscard]] std::vector<Action> end_of_stream();

    /// The line to send for a command, with its line feed. `arguments` is the text of a JSON
    /// object, or empty. REQUIRES idle.
    ///
    /// In a failed conversation there is nothing to send and the result is empty: a reply and the
    /// breach behind it may come in one piece, so the caller may not have seen the Failure yet. It
    /// is among the actions it was given.
    /// @throws std::logic_error when a command is outstanding, the greeting has not come, or
    ///         `arguments` is no JSON object; in every build, since a second command or one with
    ///         another in its tail would change QEMU unrecorded (R10). Nothing has changed then.
    [[nodiscard]] std::string command(std::string_view execute, std::string_view arguments);
    /// The same, for a question (a command that changes nothing) that is sent behind a command
    /// whose reply is still to come. REQUIRES awaiting, or failed. @throws as command()
    [[nodiscard]] std::string question_behind(std::string_view execute, std::string_view arguments);

    [[nodiscard]] bool awaiting_reply() const noexcept { return state_ == State::awaiting; }
    [[nodiscard]] bool failed() const noexcept { return state_ == State::failed; }
    /// Replies to a dead client's commands that were skipped because of their id.
    [[nodiscard]] std::uint64_t foreign_replies() const noexcept { return foreign_replies_; }
    /// Other messages for the client before us that were skipped.
    [[nodiscard]] std::size_t leftovers() const noexcept { return leftovers_; }
    /// Bytes of an unfinished line; never more than limits::qmp_line_bytes_max.
    [[nodiscard]] std::size_t buffered() const noexcept { return line_.size(); }

private:
    enum class State { greeting, idle, awaiting, failed };

    std::optional<Action> message(std::string line);
    Action greeting(std::string_view qmp);
    Action event(std::string_view object);
    std::optional<Action> reply(std::string_view object);
    std::optional<Action> leftover(std::size_t bytes);
    [[nodiscard]] bool is_ours(std::string_view object) const;
    [[nodiscard]] bool is_leftover(std::string_view object, bool is_event) const;
    Failure fail(std::string reason);
    std::string line_of(std::string_view execute, std::string_view arguments);
    void assert_state() const;

    struct Outstanding {
        std::string id;
        std::string execute;
    };

    std::string prefix_;  // of our ids
    State state_ = State::greeting;
    std::string line_;         // what came of a line that has not ended
    std::deque<Outstanding> outstanding_;  // whose replies are to come, in this order
    std::uint64_t next_id_ = 1;
    std::uint64_t foreign_replies_ = 0;
    bool past_barrier_ = false;  // a command of ours has been answered
    std::size_t leftovers_ = 0;  // of the client before us, and their bytes
    std::size_t leftover_bytes_ = 0;
    std::size_t events_ = 0;  // since the command, or the reply before the one that is due
};

/// QEMU's text made safe to print: in quotes, on one line, cut after `bytes_max` bytes of it (three
/// dots behind the quotes tell so). Kept is valid UTF-8; control and formatting characters and
/// bytes that are not UTF-8 become \xNN, a quote and a backslash get a backslash.
[[nodiscard]] std::string printable(std::string_view untrusted,
                                    std::size_t bytes_max = limits::qmp_text_bytes_max);

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_QMP_PROTOCOL_HPP_
