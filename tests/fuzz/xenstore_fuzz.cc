// SPDX-License-Identifier: MIT
// For all that a xenstored may send, in any pieces: no crash, bounded memory, no reply that was not
// asked for, and no path, list or number that the readers should not have taken. The input:
//
//   byte 0   size of a piece: 0 is everything at once, n is n bytes at a time
//   byte 1   how many requests are outstanding (mod 8), of each kind in turn
//   rest     what the peer sends; all readers see it, too
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/xenstore/protocol.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::xenstore;

void require(bool holds)
{
    if (!holds) std::abort();
}

void read_payload(std::string_view payload)
{
    if (const auto names = names_in(payload))
        for (const auto& name : *names)
            require(is_node_name(name) && is_node_path("/" + name) && name.find('/') == name.npos);
    if (const auto part = part_in(payload)) require(part->last || !part->names.empty());
    if (const auto permissions = permissions_in(payload)) require(!permissions->empty());
    if (const auto text = text_of(payload)) require(*text == payload);
    if (const auto number = number_of(payload)) require(*number >= 0);
    (void)number_in(payload);
    (void)truth_in(payload);
    if (is_node_path(payload)) {
        require(payload.find("..") == payload.npos && payload.find('\0') == payload.npos);
        Protocol protocol;
        require(protocol.send(request::read(std::string(payload))).has_value());
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 2) return 0;
    const std::size_t piece_size = data[0] == 0 ? size : data[0];
    const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
    read_payload(input);

    Protocol protocol;
    for (unsigned i = 0; i < data[1] % 8U; ++i)
        (void)protocol.send(i % 2 == 0 ? request::read("/a") : request::directory("/a"));
    std::size_t asked = protocol.outstanding();
    const auto judge = [&](const std::vector<Action>& actions, bool failed_before) {
        require(!failed_before || actions.empty());
        for (const auto& action : actions) {
            if (const auto* reply = std::get_if<Reply>(&action)) {
                require(asked-- > 0);
                require(reply->value.size() <= limits::xenstore_payload_bytes_max);
            } else {
                require(&action == &actions.back() && protocol.failed());
            }
        }
        require(protocol.buffered() <= limits::xenstore_payload_bytes_max + 16);
    };
    for (std::size_t at = 0; at < input.size(); at += piece_size) {
        const bool failed_before = protocol.failed();
        judge(protocol.feed(input.substr(at, piece_size)), failed_before);
    }
    const bool failed_before = protocol.failed();
    judge(protocol.end_of_stream(), failed_before);
    require(protocol.failed());
    return 0;
}
