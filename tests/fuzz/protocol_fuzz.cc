// SPDX-License-Identifier: MIT
// For all that a QEMU may send, in any pieces: no crash, bounded memory, and the states of Protocol
// are those that its header promises. The input is a conversation:
//
//   byte 0   size of a piece: 0 is everything at once, n is n bytes at a time
//   byte 1   bit i: send the next command as soon as it may be sent after piece i (mod 8)
//   rest     what the peer sends; 0x01 stands for the id that is outstanding, with its quotes, so
//            that the fuzzer need not find out what it is
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/qmp/protocol.hpp"

namespace {

using namespace xlstore::qmp;

void require(bool holds)
{
    if (!holds) std::abort();
}

void require_printable(std::string_view text)
{
    for (const char c : text)
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
}

class Conversation {
public:
    void hear(std::string_view bytes)
    {
        const bool failed_before = protocol_.failed();
        judge(protocol_.feed(bytes), failed_before);
        require(protocol_.buffered() <= xlstore::limits::qmp_line_bytes_max);
    }
    void ask()
    {
        if (!greeted_ || protocol_.awaiting_reply()) return;
        const std::string line = protocol_.command("query-status", R"({"a":"b"})");
        require(line.empty() == protocol_.failed());
        if (line.empty()) return;
        require(line.ends_with("}\n") && line.find('\n') == line.size() - 1);
        require(protocol_.awaiting_reply());
        id_ = "\"f-" + std::to_string(++commands_) + "\"";
    }
    void end()
    {
        const bool failed_before = protocol_.failed();
        judge(protocol_.end_of_stream(), failed_before);
        require(protocol_.failed() && protocol_.buffered() == 0);
    }
    [[nodiscard]] const std::string& id() const { return id_; }

private:
    void judge(const std::vector<Action>& actions, bool failed_before)
    {
        require(!failed_before || actions.empty());
        for (const auto& action : actions) {
            if (std::holds_alternative<Greeted>(action)) {
                require(!greeted_);
                greeted_ = true;
                continue;
            }
            if (const auto* failure = std::get_if<Failure>(&action)) {
                require(&action == &actions.back() && protocol_.failed());
                require(!failure->reason.empty() && failure->reason.size() < 4096);
                require_printable(failure->reason);
                continue;
            }
            require(greeted_);
            if (const auto* reply = std::get_if<Reply>(&action)) {
                require(++replies_ <= commands_);
                require(reply->ok == !reply->value.empty());
                require_printable(printable(reply->error_desc));
            }
        }
        if (!actions.empty() && !std::holds_alternative<Failure>(actions.back()))
            require(!protocol_.failed());
    }

    Protocol protocol_{"f-"};
    bool greeted_ = false;
    std::uint64_t commands_ = 0;
    std::uint64_t replies_ = 0;
    std::string id_ = "\"f-1\"";
};

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 2) return 0;
    const std::size_t piece_size = data[0] == 0 ? size : data[0];
    const unsigned asks = data[1];
    const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);

    Conversation conversation;
    for (std::size_t at = 0, piece = 0; at < input.size(); at += piece_size, ++piece) {
        std::string bytes;
        for (const char c : input.substr(at, piece_size)) {
            if (c == 0x01)
                bytes += conversation.id();
            else
                bytes += c;
        }
        conversation.hear(bytes);
        if ((asks >> (piece % 8) & 1U) != 0) conversation.ask();
    }
    conversation.end();
    require_printable(printable(input));
    return 0;
}
