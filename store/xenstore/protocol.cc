// SPDX-License-Identifier: MIT
// A message is a header of four 32-bit words in the machine's own byte order (type, request id,
// transaction id, length) and as many bytes as the length says. Bytes gather until a message is
// whole; its id says which request it answers, and its type has to be that request's or ERROR. The
// transaction id of a reply says nothing that the request id does not, and is not looked at. A
// watch event cannot come: no request asks for one.
#include "store/xenstore/protocol.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "store/text/plain_text.hpp"

namespace xlstore::xenstore {

namespace {

constexpr std::uint32_t kErrorType = 16;
constexpr std::size_t kHeaderBytes = 16;
constexpr std::size_t kWordShownMax = 64;

struct Header {
    std::uint32_t type;
    std::uint32_t id;
    std::uint32_t transaction;
    std::uint32_t length;
};
static_assert(sizeof(Header) == kHeaderBytes);

struct NumberedWord {
    std::string_view word;
    int number;
};
// xsd_errors of xs_wire.h; and oxenstored's own word for a quota of its.
constexpr NumberedWord kErrors[] = {
    {"EINVAL", EINVAL},   {"EACCES", EACCES}, {"EEXIST", EEXIST},       {"EISDIR", EISDIR},
    {"ENOENT", ENOENT},   {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC},       {"EIO", EIO},
    {"ENOSYS", ENOSYS},   {"EROFS", EROFS},   {"ENOTEMPTY", ENOTEMPTY}, {"EBUSY", EBUSY},
    {"EISCONN", EISCONN}, {"EAGAIN", EAGAIN}, {"E2BIG", E2BIG},         {"EPERM", EPERM},
    {"EQUOTA", EDQUOT},
};

constexpr struct {
    Kind kind;
    std::string_view name;
} kKinds[] = {
    {Kind::directory, "DIRECTORY"},
    {Kind::read, "READ"},
    {Kind::get_permissions, "GET_PERMS"},
    {Kind::transaction_start, "TRANSACTION_START"},
    {Kind::transaction_end, "TRANSACTION_END"},
    {Kind::get_domain_path, "GET_DOMAIN_PATH"},
    {Kind::write, "WRITE"},
    {Kind::make, "MKDIR"},
    {Kind::remove, "RM"},
    {Kind::set_permissions, "SET_PERMS"},
    {Kind::is_domain_introduced, "IS_DOMAIN_INTRODUCED"},
    {Kind::directory_part, "DIRECTORY_PART"},
};

bool is_about_node(Kind kind) noexcept
{
    return kind != Kind::transaction_start && kind != Kind::transaction_end &&
           kind != Kind::get_domain_path && kind != Kind::is_domain_introduced;
}

bool is_node_character(char c) noexcept
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '@';
}

// Decimal digits and nothing else.
template <class Number>
std::optional<Number> whole_number(std::string_view digits)
{
    Number number{};
    const char* const end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, number);
    if (digits.empty() || digits[0] == '-' || read.ec != std::errc() || read.ptr != end) return {};
    return number;
}

// A payload that is one text with its NUL.
std::optional<std::string_view> one_text(std::string_view payload)
{
    if (payload.empty() || payload.find('\0') != payload.size() - 1) return {};
    return payload.substr(0, payload.size() - 1);
}

}  // namespace

std::string_view kind_name(Kind kind) noexcept
{
    for (const auto& row : kKinds)
        if (row.kind == kind) return row.name;
    return "?";
}

namespace request {

Request read(std::string path, Transaction in)
{
    return Request(Kind::read, std::move(path), {}, in);
}

Request directory(std::string path, Transaction in)
{
    return Request(Kind::directory, std::move(path), {}, in);
}

Request directory_part(std::string path, std::size_t from, Transaction in)
{
    return Request(Kind::directory_part, std::move(path), std::to_string(from) + '\0', in);
}

Request write(std::string path, std::string value, Transaction in)
{
    return Request(Kind::write, std::move(path), std::move(value), in);
}

Request make(std::string path, Transaction in)
{
    return Request(Kind::make, std::move(path), {}, in);
}

Request remove(std::string path, Transaction in)
{
    return Request(Kind::remove, std::move(path), {}, in);
}

Request get_permissions(std::string path, Transaction in)
{
    return Request(Kind::get_permissions, std::move(path), {}, in);
}

Request set_permissions(std::string path, const Permissions& permissions, Transaction in)
{
    std::string list;
    for (const auto& permission : permissions)
        list += permission.access + std::to_string(permission.domid) + '\0';
    return Request(Kind::set_permissions, std::move(path), std::move(list), in);
}

Request begin()
{
    return Request(Kind::transaction_start, {}, std::string(1, '\0'));
}

Request end(Transaction transaction, bool commit)
{
    return Request(Kind::transaction_end, {}, std::string(commit ? "T" : "F") + '\0', transaction);
}

Request is_domain_introduced(std::uint32_t domid)
{
    return Request(Kind::is_domain_introduced, {}, std::to_string(domid) + '\0');
}

Request get_domain_path(std::uint32_t domid)
{
    return Request(Kind::get_domain_path, {}, std::to_string(domid) + '\0');
}

}  // namespace request

Result<std::string> Protocol::send(const Request& request)
{
    const bool about_node = is_about_node(request.kind);
    if (about_node && !is_node_path(request.path))
        return Error(Errc::invalid, "no node of xenstore can have the path " +
                                        plain_text(request.path, limits::qmp_text_bytes_max));
    std::string payload = request.path;
    if (about_node) payload += '\0';
    payload += request.rest;
    if (payload.size() > limits::xenstore_payload_bytes_max)
        return Error(Errc::invalid,
                     "what " + std::string(kind_name(request.kind)) + " " + request.path +
                         " is to carry has " + std::to_string(payload.size()) +
                         " bytes with its path, and a message of xenstore has room for " +
                         std::to_string(limits::xenstore_payload_bytes_max));
    // 0 is omitted, so that an empty reply to a request without an id cannot be meant.
    if (++last_id_ == 0) last_id_ = 1;
    outstanding_.emplace(last_id_, request.kind);
    const Header header{static_cast<std::uint32_t>(request.kind), last_id_, request.transaction,
                        static_cast<std::uint32_t>(payload.size())};
    std::string bytes(kHeaderBytes, '\0');
    std::memcpy(bytes.data(), &header, kHeaderBytes);
    return bytes + payload;
}

// The conversation has failed from here on.
Failure Protocol::fail(std::string reason)
{
    failed_ = true;
    outstanding_.clear();
    buffer_ = std::string();
    return Failure{std::move(reason)};
}

std::vector<Action> Protocol::feed(std::string_view bytes)
{
    std::vector<Action> actions;
    while (!bytes.empty() && !failed_) {
        const auto take = [&](std::size_t whole) {
            const std::size_t count = std::min(whole - buffer_.size(), bytes.size());
            buffer_ += bytes.substr(0, count);
            bytes.remove_prefix(count);
            return buffer_.size() == whole;
        };
        if (buffer_.size() < kHeaderBytes && !take(kHeaderBytes)) break;
        Header header{};
        std::memcpy(&header, buffer_.data(), kHeaderBytes);
        if (header.length > limits::xenstore_payload_bytes_max) {
            actions.emplace_back(fail("sent a message of " + std::to_string(header.length) +
                                      " bytes, the protocol allows " +
                                      std::to_string(limits::xenstore_payload_bytes_max)));
            break;
        }
        if (!take(kHeaderBytes + header.length)) break;
        std::string payload = std::exchange(buffer_, {}).substr(kHeaderBytes);
        actions.push_back(message(header.type, header.id, std::move(payload)));
    }
    return actions;
}

std::vector<Action> Protocol::end_of_stream()
{
    std::vector<Action> actions;
    if (failed_) return actions;
    std::string reason = buffer_.empty() ? "hung up" : "hung up in the middle of a message";
    if (!outstanding_.empty())
        reason += " before the reply to " + std::string(kind_name(outstanding_.begin()->second));
    actions.emplace_back(fail(std::move(reason)));
    return actions;
}

Action Protocol::message(std::uint32_t type, std::uint32_t id, std::string payload)
{
    const auto asked = outstanding_.find(id);
    if (asked == outstanding_.end())
        return fail("sent a message of type " + std::to_string(type) + " that answers no request");
    const Kind kind = asked->second;
    if (type != static_cast<std::uint32_t>(kind) && type != kErrorType)
        return fail("answered " + std::string(kind_name(kind)) + " with a message of type " +
                    std::to_string(type));
    outstanding_.erase(asked);
    if (type != kErrorType) return Reply{id, 0, std::move(payload)};
    const auto word = one_text(payload);
    if (!word || word->empty())
        return fail("answered " + std::string(kind_name(kind)) + " with an error without a name");
    for (const auto& row : kErrors)
        if (row.word == *word) return Reply{id, row.number, std::string(row.word)};
    return Reply{id, EPROTO, plain_text(*word, kWordShownMax)};
}

bool is_node_name(std::string_view name) noexcept
{
    if (name.empty() || name.size() > limits::xenstore_path_bytes_max) return false;
    for (const char c : name)
        if (!is_node_character(c)) return false;
    return true;
}

bool is_node_path(std::string_view path) noexcept
{
    if (path == "/") return true;
    if (path.empty() || path[0] != '/' || path.size() > limits::xenstore_path_bytes_max)
        return false;
    while (!path.empty()) {
        path.remove_prefix(1);
        const auto part = path.substr(0, path.find('/'));
        if (!is_node_name(part)) return false;
        path.remove_prefix(part.size());
    }
    return true;
}

std::optional<std::vector<std::string>> names_in(std::string_view payload)
{
    std::vector<std::string> names;
    while (!payload.empty()) {
        const auto end = payload.find('\0');
        if (end == std::string_view::npos || !is_node_name(payload.substr(0, end))) return {};
        names.emplace_back(payload.substr(0, end));
        payload.remove_prefix(end + 1);
    }
    return names;
}

std::optional<Part> part_in(std::string_view payload)
{
    const auto end = payload.find('\0');
    if (end == std::string_view::npos || end == 0) return {};
    Part part;
    part.generation = payload.substr(0, end);
    payload.remove_prefix(end + 1);
    // The last part ends with an empty name.
    if (payload == std::string_view("\0", 1) || payload.ends_with(std::string_view("\0\0", 2))) {
        part.last = true;
        payload.remove_suffix(1);
    }
    if (!payload.empty() && payload.back() != '\0') return {};
    part.names = payload;
    if (part.names.empty() && !part.last) return {};  // one would ask for it for ever
    return part;
}

std::string shown(const Permissions& permissions)
{
    std::string text;
    for (const auto& one : permissions)
        text += (text.empty() ? "" : ",") + std::string(1, one.access) + std::to_string(one.domid);
    return text;
}

std::optional<Permissions> permissions_in(std::string_view payload)
{
    Permissions permissions;
    while (!payload.empty()) {
        const auto end = payload.find('\0');
        if (end == std::string_view::npos || end < 2) return {};
        const char access = payload[0];
        const auto domid = whole_number<std::uint32_t>(payload.substr(1, end - 1));
        if (!domid || std::string_view("nrwb").find(access) == std::string_view::npos) return {};
        permissions.push_back({access, *domid});
        payload.remove_prefix(end + 1);
    }
    if (permissions.empty()) return {};
    return permissions;
}

std::optional<std::uint32_t> number_in(std::string_view payload)
{
    const auto text = one_text(payload);
    return text ? whole_number<std::uint32_t>(*text) : std::nullopt;
}

std::optional<bool> truth_in(std::string_view payload)
{
    const auto text = one_text(payload);
    if (text == "T") return true;
    if (text == "F") return false;
    return {};
}

std::optional<std::string> text_of(std::string_view value)
{
    for (std::string_view rest = value; !rest.empty();) {
        const Character character = first_character(rest);
        if (!character.code || !is_printed(*character.code)) return {};
        rest.remove_prefix(character.size);
    }
    return std::string(value);
}

std::optional<std::int32_t> number_of(std::string_view value)
{
    return whole_number<std::int32_t>(value);
}

}  // namespace xlstore::xenstore
