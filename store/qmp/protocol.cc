// SPDX-License-Identifier: MIT
// States: greeting -> idle -> awaiting -> idle, and failed from each. A function's comment names
// the states that it leads from and to. Bytes gather to a line (at most 8 MiB), the line is checked
// as JSON, and its members say what it is: greeting, reply by id, event. Ids are the connection's
// random prefix and a count: a reply to another id was asked for by a client before this one, and
// is skipped up to a bound.
#include "store/qmp/protocol.hpp"

#include <cassert>
#include <stdexcept>
#include <utility>

#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore::qmp {

namespace {

static_assert(limits::qmp_depth_max == limits::json_depth_max,
              "json_minify bounds the depth of a message, and knows only its own bound");

}  // namespace

std::string printable(std::string_view untrusted, std::size_t bytes_max)
{
    std::string text = "\"";
    std::size_t at = 0;
    while (at < untrusted.size()) {
        const Character character = first_character(untrusted.substr(at));
        if (at + character.size > bytes_max) break;
        const std::string_view bytes = untrusted.substr(at, character.size);
        at += character.size;
        if (!character.code || !is_printed(*character.code)) {
            append_escaped(text, bytes);
            continue;
        }
        if (bytes == "\"" || bytes == "\\") text += '\\';
        text += bytes;
    }
    text += '"';
    if (at < untrusted.size()) text += "...";
    return text;
}

Protocol::Protocol(std::string id_prefix) : prefix_(std::move(id_prefix)) {}

void Protocol::assert_state() const
{
    assert(outstanding_.empty() == (state_ != State::awaiting));
    assert(state_ != State::greeting || next_id_ == 1);
    assert(state_ != State::failed || line_.empty());
    assert(line_.size() <= limits::qmp_line_bytes_max);
    assert(state_ == State::failed || (events_ <= limits::qmp_events_max &&
                                       foreign_replies_ <= limits::qmp_foreign_replies_max &&
                                       leftovers_ <= limits::qmp_leftovers_max));
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
    std::string line = line_of(execute, arguments);
    events_ = 0;
    state_ = State::awaiting;
    return line;
}

// awaiting -> awaiting; failed -> failed.
std::string Protocol::question_behind(std::string_view execute, std::string_view arguments)
{
    assert_state();
    if (state_ == State::failed) return {};
    if (state_ != State::awaiting)
        throw std::logic_error("a QMP question behind a command, and no command is outstanding");
    return line_of(execute, arguments);
}

// Outstanding from now on.
std::string Protocol::line_of(std::string_view execute, std::string_view arguments)
{
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
    std::string id = prefix_ + std::to_string(next_id_++);
    line += ",\"id\":" + json_quote(id) + "}\n";
    outstanding_.push_back(Outstanding{std::move(id), std::string(execute)});
    return line;
}

std::vector<Action> Protocol::feed(std::string_view bytes)
{
    std::vector<Action> actions;
    while (!bytes.empty() && state_ != State::failed) {
        assert_state();
        const std::size_t end = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, end);
        if (piece.size() > limits::qmp_line_bytes_max - line_.size() &&
            !XLSTORE_MUTATION("bound of a line")) {
            actions.emplace_back(fail("sent a line longer than " +
                                      std::to_string(limits::qmp_line_bytes_max) + " bytes"));
            break;
        }
        line_ += piece;
        if (end == std::string_view::npos) break;
        bytes.remove_prefix(end + 1);
        if (auto action = message(std::exchange(line_, {})))
            actions.push_back(*std::move(action));
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
        reason += " before the reply to " + outstanding_.front().execute;
        break;
    case State::failed:
        return actions;
    }
    actions.emplace_back(fail(std::move(reason)));
    return actions;
}

// One line, without its line feed; a \r before it is white space to JSON. No action: there is
// nothing to tell.
std::optional<Action> Protocol::message(std::string line)
{
    // json_minify forgives one at the end, which libxl's files have; QEMU has no business with it.
    if (line.find('\0') != std::string::npos) return fail("sent a NUL byte");
    const auto text = json_minify(line, "a line that", limits::qmp_line_bytes_max);
    const std::size_t bytes = line.size();
    line = std::string();  // it may be long, and its copy is what is read from here on
    if (!text) return fail("sent " + text.error().message);
    if (holds_raw_bytes(*text)) return fail("sent a line that is not UTF-8");
    if (json_type(*text) != JsonType::object) return fail("sent a line that is no JSON object");

    const auto qmp = json_find(*text, "QMP");
    const bool is_event = json_find(*text, "event").has_value();
    const bool is_return = json_find(*text, "return").has_value();
    const bool is_error = json_find(*text, "error").has_value();
    if (int{qmp.has_value()} + int{is_event} + int{is_return} + int{is_error} != 1)
        return fail("sent a message that is not exactly one of greeting, event, return and error");
    if (qmp) return greeting(*qmp);
    if (is_leftover(*text, is_event)) return leftover(bytes);
    if (is_event) return event(*text);
    return reply(*text);
}

// Whether it is for the client before us: before the greeting all is that does not claim an id of
// ours, behind it a reply without an id. Once QEMU has answered us it answers nothing of a dead
// client's any more (R12).
bool Protocol::is_leftover(std::string_view object, bool is_event) const
{
    if (state_ == State::greeting) return is_event || !is_ours(object);
    return !past_barrier_ && !is_event && !json_find(object, "id");
}

// What QEMU had for the client before us: a queued event, or the reply to its last command. It is
// not looked into; nothing changes until there is too much of it.
std::optional<Action> Protocol::leftover(std::size_t bytes)
{
    leftover_bytes_ += bytes;
    if (++leftovers_ > limits::qmp_leftovers_max || leftover_bytes_ > limits::qmp_line_bytes_max)
        return fail("sent more than " + std::to_string(limits::qmp_leftovers_max) +
                    " messages, or " + std::to_string(limits::qmp_line_bytes_max) +
                    " bytes, that were meant for the client before us");
    return std::nullopt;
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
                    " events before the reply to " + outstanding_.front().execute);
    return Event{*std::move(name), std::string(data)};
}

// Whether its id is one that only we can have sent.
bool Protocol::is_ours(std::string_view object) const
{
    const auto id = json_get_string(object, "id");
    return id && id->starts_with(prefix_);
}

// awaiting -> awaiting or idle for our reply that is due; a foreign one changes nothing until there
// are too many; any other -> failed.
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
    if (!is_ours(object)) {
        if (++foreign_replies_ > limits::qmp_foreign_replies_max)
            return fail("sent more than " + std::to_string(limits::qmp_foreign_replies_max) +
                        " replies to commands of others");
        return std::nullopt;
    }
    const std::string id = json_get_string(object, "id").value_or("");
    if (state_ != State::awaiting || id != outstanding_.front().id)
        return fail("sent a reply that no command asked for: " + printable(id));
    outstanding_.pop_front();
    if (outstanding_.empty()) state_ = State::idle;
    events_ = 0;
    past_barrier_ = true;
    return reply;
}

}  // namespace xlstore::qmp
