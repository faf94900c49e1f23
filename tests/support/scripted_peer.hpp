// SPDX-License-Identifier: MIT
// A QMP peer that plays a script: for what a real QEMU will not do on request (lie, stay silent,
// break off in the middle of a line, die between two bytes). It is a forked process that listens on
// a Unix socket, so that to a client it is what QEMU is: SO_PEERCRED names it, pid() can be
// registered, and it can be killed or stopped. It has no descriptor of its parent's but the
// standard ones (no lock or connection of the test lives on in it), and dies with its parent.
//
//   ScriptedPeer peer(path, script({handshake(), {step::line(), step::reply("[]"),
//   step::close()}}));
//
// Steps run in order. A client that hangs up while a step wants to hear from it or to tell it
// something skips the script to the next accept(). After the last step the peer lives on, connected
// and silent. Make one while the test has a single thread: the child does not exec.
#ifndef XLSTORE_TESTS_SUPPORT_SCRIPTED_PEER_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRIPTED_PEER_HPP_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "store/base/fd.hpp"

namespace xlstore::test {

/// What serve() answers to a command: `body` is what stands in the reply beside the id.
struct Answer {
    std::string command;
    std::string body;
    std::string about = {};             ///< only to a line that holds this
    std::chrono::milliseconds late{0};  ///< waited before it is given
};
/// `{"return": json, "id": …}`
[[nodiscard]] Answer returns(const std::string& command, const std::string& json);
/// `{"error": {"class": …, "desc": …}, "id": …}`; both are put between quotes as they are.
[[nodiscard]] Answer refuses(const std::string& command, const std::string& error_class,
                             const std::string& desc);

/// One step of a script; made by the functions of namespace step.
struct Step {
    enum class Kind {
        accept,
        send,
        send_bytewise,
        line,
        reply,
        serve,
        sleep,
        close,
        fill,
        drain,
        die
    };
    Kind kind;
    std::string text;             // send: the bytes; reply: the body; serve: the command to stop at
    std::vector<Answer> answers;  // serve
    std::chrono::milliseconds time{0};
    std::size_t times = 1;  // send
};
using Script = std::vector<Step>;

namespace step {
/// Closes the connection there is and waits for the next client.
[[nodiscard]] Step accept();
/// Sends bytes as they are; every `$id` in them becomes the last line's id, with its quotes.
[[nodiscard]] Step send(const std::string& bytes);
/// The same so many times over; a long line need not be in memory for it.
[[nodiscard]] Step send_repeatedly(const std::string& bytes, std::size_t times);
/// The same, each byte in a write of its own.
[[nodiscard]] Step send_bytewise(const std::string& bytes);
/// Waits for a line, which is recorded.
[[nodiscard]] Step line();
/// Replies to the last line: its id, and this text of "return".
[[nodiscard]] Step reply(const std::string& json);
[[nodiscard]] Step refuse(const std::string& error_class, const std::string& desc);
/// Answers line after line, `{}` to a command that `answers` does not name. Several answers to one
/// command are given in turn, and the last of them from then on. Ends at the command `until`, which
/// the next steps answer; if that is empty, or does not come, when the client hangs up.
[[nodiscard]] Step serve(std::vector<Answer> answers, const std::string& until = {});
[[nodiscard]] Step sleep(std::chrono::milliseconds time);
/// Hangs up. The script goes on: with accept(), or with steps that need no client.
[[nodiscard]] Step close();
/// Fills the accept queue: from then on a non-blocking connect() gets EAGAIN, until drain() or
/// accept() makes room. Give it before a client can have connected.
[[nodiscard]] Step fill_queue();
/// Takes out of the queue what fill_queue() put there.
[[nodiscard]] Step drain_queue();
/// Is killed, as QEMU might be: SIGKILL, which leaves the socket's path behind.
[[nodiscard]] Step die();
}  // namespace step

/// QEMU 7.2's greeting, with its \r\n.
[[nodiscard]] std::string greeting();
/// accept, greeting, and a reply to the command that opens the conversation: behind it a client is
/// connected and past its barrier.
[[nodiscard]] Script handshake();
/// The parts, one after the other.
[[nodiscard]] Script script(const std::vector<Script>& parts);

class ScriptedPeer {
public:
    /// Returns once `path` can be connected to (and the queue is full if that is the first step).
    /// @throws std::runtime_error when it cannot listen there.
    ScriptedPeer(const std::string& path, Script script);
    ScriptedPeer(const ScriptedPeer&) = delete;
    ScriptedPeer& operator=(const ScriptedPeer&) = delete;
    ~ScriptedPeer();  ///< kills it and takes the path away

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    struct Received {
        std::string line;     ///< without \r\n
        int descriptors = 0;  ///< that came with it (SCM_RIGHTS); the peer has closed them
    };
    /// What it has heard so far, over all connections.
    [[nodiscard]] std::vector<Received> received() const;
    /// The names of the commands in it.
    [[nodiscard]] std::vector<std::string> commands() const;
    /// Whether it had heard that many lines before the time was over.
    [[nodiscard]] bool wait_for_lines(
        std::size_t count, std::chrono::milliseconds limit = std::chrono::seconds(10)) const;
    /// Whether the script came to its end before the time was over; not so when it was killed.
    [[nodiscard]] bool wait_until_done(
        std::chrono::milliseconds limit = std::chrono::seconds(10)) const;

    /// SIGKILL, and reaps it. The path stays.
    void kill();

private:
    struct Record;
    [[nodiscard]] std::vector<Record> records() const;

    std::string path_;
    pid_t pid_ = -1;
    Fd journal_;  // the child appends what it hears, the parent reads
    bool reaped_ = false;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRIPTED_PEER_HPP_
