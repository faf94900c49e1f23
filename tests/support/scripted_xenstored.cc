// SPDX-License-Identifier: MIT
#include "tests/support/scripted_xenstored.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace xlstore::test {

namespace {

using HeaderWords = std::array<std::uint32_t, 4>;  // type, request, transaction, length

}  // namespace

std::string xenstore_message(std::uint32_t type, std::uint32_t id, std::string_view payload)
{
    const HeaderWords header{type, id, 0, static_cast<std::uint32_t>(payload.size())};
    std::string bytes(sizeof header, '\0');
    std::memcpy(bytes.data(), header.data(), sizeof header);
    return bytes.append(payload);
}

std::string xenstore_reply(xenstore::Kind kind, std::uint32_t id, std::string_view payload)
{
    return xenstore_message(static_cast<std::uint32_t>(kind), id, payload);
}

std::string xenstore_refusal(std::uint32_t id, std::string_view word)
{
    constexpr std::uint32_t kError = 16;
    return xenstore_message(kError, id, std::string(word) + '\0');
}

ScriptedXenstored::ScriptedXenstored(const std::string& path)
    : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error("path too long: " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size());
    if (bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener_.get(), 1) != 0)
        throw std::runtime_error("cannot listen at " + path);
}

void ScriptedXenstored::accept()
{
    connection_.reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection_) throw std::runtime_error("accept failed");
}

void ScriptedXenstored::say(std::string_view bytes)
{
    if (send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) !=
        static_cast<ssize_t>(bytes.size()))
        throw std::runtime_error("the client does not take what it is told");
}

void ScriptedXenstored::reply(xenstore::Kind kind, std::uint32_t id, std::string_view payload)
{
    say(xenstore_reply(kind, id, payload));
}

void ScriptedXenstored::refuse(std::uint32_t id, std::string_view word)
{
    say(xenstore_refusal(id, word));
}

void ScriptedXenstored::hang_up()
{
    connection_.reset();
}

std::vector<ScriptedXenstored::Heard> ScriptedXenstored::heard()
{
    (void)take_in();
    std::vector<Heard> requests;
    std::string_view rest = bytes_;
    while (rest.size() >= sizeof(HeaderWords)) {
        HeaderWords header{};
        std::memcpy(header.data(), rest.data(), sizeof header);
        rest.remove_prefix(sizeof header);
        requests.push_back({static_cast<xenstore::Kind>(header[0]), header[1], header[2],
                            std::string(rest.substr(0, header[3]))});
        rest.remove_prefix(std::min<std::size_t>(header[3], rest.size()));
    }
    bytes_.clear();
    return requests;
}

std::size_t ScriptedXenstored::take_in()
{
    std::array<char, 65536> buffer{};
    ssize_t n = 0;
    while ((n = recv(connection_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0)
        bytes_.append(buffer.data(), static_cast<std::size_t>(n));
    return bytes_.size();
}

}  // namespace xlstore::test
