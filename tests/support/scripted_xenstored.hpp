// SPDX-License-Identifier: MIT
// A peer on a Unix socket that says what the test tells it to, for what a real xenstored will not
// do on request (lie, refuse, stay silent, break off). It lives in the test's own process and never
// runs beside it: what it is to say is put into the connection before the client asks. A client
// numbers its requests from 1, so the replies can be known before.
//
//   ScriptedXenstored peer(path);
//   auto client = loop.wait_for(Client::connect(loop, path, until));
//   peer.accept();
//   peer.reply(Kind::read, 1, "value");
//
// A client refuses what comes before it was asked for: where it asks more than once, serve().
#ifndef XLSTORE_TESTS_SUPPORT_SCRIPTED_XENSTORED_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRIPTED_XENSTORED_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/fd.hpp"
#include "store/event/loop.hpp"
#include "store/xenstore/protocol.hpp"

namespace xlstore::test {

/// One message of the protocol as bytes.
[[nodiscard]] std::string xenstore_message(std::uint32_t type, std::uint32_t id,
                                           std::string_view payload);
[[nodiscard]] std::string xenstore_reply(xenstore::Kind kind, std::uint32_t id,
                                         std::string_view payload);
[[nodiscard]] std::string xenstore_refusal(std::uint32_t id, std::string_view word);

class ScriptedXenstored {
public:
    /// Listens at `path`. @throws std::runtime_error when it cannot.
    explicit ScriptedXenstored(const std::string& path);

    /// Takes the client that has connected.
    void accept();
    void say(std::string_view bytes);
    void reply(xenstore::Kind kind, std::uint32_t id, std::string_view payload);
    /// The daemon's word for an error, "ENOENT".
    void refuse(std::uint32_t id, std::string_view word);
    void hang_up();
    /// Runs `task` to its end; says the next of `words` whenever the client has asked anew.
    template <class T>
    T serve(Loop& loop, Task<T> task, const std::vector<std::string>& words)
    {
        task.start();
        for (const auto& word : words) {
            if (task.done()) break;
            say(word);
            const std::size_t before = take_in();
            while (!task.done() && take_in() == before)
                loop.wait_and_dispatch();
        }
        while (!task.done())
            loop.wait_and_dispatch();
        return task.take();
    }

    struct Heard {
        xenstore::Kind kind;
        std::uint32_t id;
        std::uint32_t transaction;
        std::string payload;
    };
    /// What has come since the last call.
    [[nodiscard]] std::vector<Heard> heard();

private:
    // How many bytes have come by now.
    std::size_t take_in();

    Fd listener_;
    Fd connection_;
    std::string bytes_;  // that have come and heard() has not told
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRIPTED_XENSTORED_HPP_
