// SPDX-License-Identifier: MIT
#include "store/qmp/protocol.hpp"

#include <array>
#include <cassert>
#include <stdexcept>
#include <utility>

#include "store/hole.hpp"
#include "store/json_text.hpp"

namespace xlstore::qmp {

namespace {

static_assert(limits::qmp_depth_max == limits::json_depth_max,
              "json_minify bounds the depth of a message, and knows only its own bound");

struct CodePoints {
    char32_t first;
    char32_t last;
};

// What moves the cursor, hides text or turns its direction round, and so lets text from outside
// pass for ours.
constexpr std::array kNotPrinted = {
    CodePoints{0x00, 0x1F},     CodePoints{0x7F, 0x9F},       CodePoints{0xAD, 0xAD},
    CodePoints{0x61C, 0x61C},   CodePoints{0x180E, 0x180E},   CodePoints{0x200B, 0x200F},
    CodePoints{0x2028, 0x202E}, CodePoints{0x2060, 0x206F},   CodePoints{0xFEFF, 0xFEFF},
    CodePoints{0xFFF9, 0xFFFB}, CodePoints{0xE0000, 0xE0FFF},
};

bool is_printed(char32_t code)
{
    for (const auto& range : kNotPrinted)
        if (code >= range.first && code <= range.last) return false;
    return true;
}

struct Character {
    std::size_t size;  // in bytes; 1 if they are not UTF-8
    std::optional<char32_t> code;
};

// The first character of a text that is not empty.
Character first_character(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return {1, lead};
    const std::size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC0 || lead > 0xF4 || text.size() < size) return {1, std::nullopt};
    char32_t code = lead & (0x7FU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return {1, std::nullopt};
        code = code << 6U | (byte(i) & 0x3FU);
    }
    constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < kSmallest[size] || code > 0x10FFFF || surrogate) return {1, std::nullopt};
    return {size, code};
}

}  // namespace

std::string printable(std::string_view untrusted, std::size_t bytes_max)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "\"";
    std::size_t at = 0;
    while (at < untrusted.size()) {
        const Character character = first_character(untrusted.substr(at));
        if (at + character.size > bytes_max) break;
        const std::string_view bytes = untrusted.substr(at, character.size);
        at += character.size;
        if (character.code && is_printed(*character.code)) {
            if (bytes == "\"" || bytes == "\\") text += '\\';
            text += bytes;
            continue;
        }
        for (const char c : bytes) {
            text += "\\x";
            text += digits[static_cast<unsigned char>(c) >> 4U];
            text += digits[static_cast<unsigned char>(c) & 15U];
        }
    }
    text += '"';
    if (at < untrusted.size()) text += "...";
    return text;
}

Protocol::Protocol(std::string id_prefix) : prefix_(std::move(id_prefix) + "-") {}

void Protocol::assert_state() const
{
    assert(outstanding_.empty() == (state_ != State::awaiting));
    assert(state_ != State::greeting || next_id_ == 1);
    assert(state_ != State::failed || line_.empty());
    assert(line_.size() <= limits::qmp_line_bytes_max);
    assert(state_ == State::failed || (events_ <= limits::qmp_events_max &&
                                       foreign_replies_ <= limits::qmp_foreign_replies_max));
}

// Any -> failed. The line may be long: its memory is given back, not only its content.
Failure Protocol::fail(std::string reason)
{
    state_ = State::failed;
    outstanding_.clear();
    line_ = std::string();
    return Failure{std::move(reason)};
}

// idle -> awaiting; failed -> failed.
std::string Protocol::command(std::string_view execute, std::string_view arguments)
{
    assert_state();
    if (state_ == State::failed) return {};
    if (state_ != State::idle)
        throw std::logic_error(state_ == State::awaiting
                                   ? "a QMP command while the reply to another is outstanding"
                                   : "a QMP command before the greeting");
    std::string line = "{\"execute\":" + json_quote(execute);
    if (!arguments.empty()) {
        // Checked again, although it is our own text: a line feed or a bracket too many in it
        // would make two commands of one.
        const auto checked = json_minify(arguments, "the arguments of a QMP command");
        if (!checked) throw std::logic_error(checked.error().message);
        if (json_type(*checked) != JsonType::object)
            throw std::logic_error("the arguments of a QMP command are no JSON object");
        line += ",\"arguments\":" + *checked;
    }
    outstanding_ = prefix_ + std::to_string(next_id_++);
    execute_ = execute;
    events_ = 0;
    state_ = State::awaiting;
    return line + ",\"id\":" + json_quote(outstanding_) + "}\r\n";
}

std::vector<Action> Protocol::feed(std::string_view bytes)
{
    std::vector<Action> actions;
    while (!bytes.empty() && state_ != State::failed) {
        assert_state();
        const std::size_t end = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, end);
        if (piece.size() > limits::qmp_line_bytes_max - line_.size() &&
            !XLSTORE_LEFT_OUT("bound of a line")) {
            actions.emplace_back(fail("sent a line longer than " +
                                      std::to_string(limits::qmp_line_bytes_max) + " bytes"));
            break;
        }
        line_ += piece;
        if (end == std::string_view::npos) break;
        bytes.remove_prefix(end + 1);
        const std::string line = std::exchange(line_, {});
        if (auto action = message(line)) actions.push_back(*std::move(action));
    }
    assert_state();
    return actions;
}

std::vector<Action> Protocol::end_of_stream()
{
    assert_state();
    std::vector<Action> actions;
    std::string reason = line_.empty() ? "hung up" : "hung up in the middle of a line";
    switch (state_) {
    case State::greeting:
        reason += " before its greeting";
        break;
    case State::idle:
        reason += ", no reply was outstanding";
        break;
    case State::awaiting:
        reason += " before the reply to " + execute_;
        break;
    case State::failed:
        return actions;
    }
    actions.emplace_back(fail(std::move(reason)));
    return actions;
}

// One line, without its line feed; a \r before it is white space to JSON. No action: there is
// nothing to tell.
std::optional<Action> Protocol::message(std::string_view line)
{
    // json_minify forgives one at the end, which libxl's files have; QEMU has no business with it.
    if (line.find('\0') != std::string_view::npos) return fail("sent a NUL byte");
    const auto text = json_minify(line, "a line that", limits::qmp_line_bytes_max);
    if (!text) return fail("sent " + text.error().message);
    if (json_type(*text) != JsonType::object) return fail("sent a line that is no JSON object");

    const auto qmp = json_find(*text, "QMP");
    const bool is_event = json_find(*text, "event").has_value();
    const bool is_return = json_find(*text, "return").has_value();
    const bool is_error = json_find(*text, "error").has_value();
    if (int{qmp.has_value()} + int{is_event} + int{is_return} + int{is_error} != 1)
        return fail("sent a message that is not exactly one of greeting, event, return and error");
    if (qmp) return greeting(*qmp);
    // A dead client's command may end between our connecting and the greeting.
    if (state_ == State::greeting && (is_event || !is_foreign_reply(*text)))
        return fail("sent a message before its greeting");
    if (is_event) return event(*text);
    return reply(*text);
}

// greeting -> idle; in every other state -> failed.
Action Protocol::greeting(std::string_view qmp)
{
    if (state_ != State::greeting) return fail("sent a second greeting");
    const auto version = json_find(qmp, "version");
    const auto qemu = version ? json_find(*version, "qemu") : std::nullopt;
    std::string text;
    for (const std::string_view part : {"major", "minor", "micro"}) {
        const auto number = qemu ? json_get_integer(*qemu, part) : std::nullopt;
        if (!number || *number < 0) return fail("sent a greeting without a version");
        if (!text.empty()) text += '.';
        text += std::to_string(*number);
    }
    state_ = State::idle;
    return Greeted{std::move(text)};
}

// Stays as it is; -> failed when there are too many while a reply is outstanding. An idle caller
// asked for what comes, may wait for hours, and has a deadline of its own.
Action Protocol::event(std::string_view object)
{
    auto name = json_get_string(object, "event");
    if (!name) return fail("sent an event whose name is no string");
    const std::string_view data = json_find(object, "data").value_or("{}");
    if (json_type(data) != JsonType::object) return fail("sent an event whose data is no object");
    if (state_ == State::awaiting && ++events_ > limits::qmp_events_max)
        return fail("sent more than " + std::to_string(limits::qmp_events_max) +
                    " events before the reply to " + execute_);
    return Event{*std::move(name), std::string(data)};
}

// Whether its id is one that we cannot have sent.
bool Protocol::is_foreign_reply(std::string_view object) const
{
    if (!json_find(object, "id")) return false;
    const auto id = json_get_string(object, "id");
    return !id || !id->starts_with(prefix_);
}

// awaiting -> idle for our reply; a foreign one changes nothing until there are too many; any other
// -> failed.
std::optional<Action> Protocol::reply(std::string_view object)
{
    Reply reply;
    if (const auto error = json_find(object, "error")) {
        auto error_class = json_get_string(*error, "class");
        auto error_desc = json_get_string(*error, "desc");
        if (!error_class || !error_desc)
            return fail("sent an error without a class or a description");
        reply.error_class = *std::move(error_class);
        reply.error_desc = *std::move(error_desc);
    } else {
        reply.ok = true;
        reply.value = json_find(object, "return").value_or("");
    }
    if (!json_find(object, "id")) {
        // So QEMU answers what it could not parse: whose command that was cannot be known.
        return fail(reply.ok ? std::string("sent a reply without an id")
                             : "sent an error without an id: " + printable(reply.error_desc));
    }
    if (is_foreign_reply(object)) {
        if (++foreign_replies_ > limits::qmp_foreign_replies_max)
            return fail("sent more than " + std::to_string(limits::qmp_foreign_replies_max) +
                        " replies to commands of others");
        return std::nullopt;
    }
    const std::string id = json_get_string(object, "id").value_or("");
    if (state_ != State::awaiting || id != outstanding_)
        return fail("sent a reply that nobody asked for: " + printable(id));
    outstanding_.clear();
    state_ = State::idle;
    return reply;
}

}  // namespace xlstore::qmp
