// SPDX-License-Identifier: MIT
// Taking apart: the text is minified; c_info gives uuid and name; each member that is an array of a
// device class becomes things, with their key and place, and leaves a member without text where it
// stood; a class without an array gets such a member where libxl would write it. Members have ranks
// ten apart, so that one can be put between two. Putting together goes by rank and place. An
// element is checked and cut out, never rewritten.
#include "store/model/document.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "store/base/limits.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

/// The number of this key in libxl's order up to the last device array; -1 for all others. No
/// array has its place behind one of those.
std::ptrdiff_t libxl_order(std::string_view key)
{
    if (key == "c_info") return 0;
    if (key == "b_info") return 1;
    const DeviceClass* row = find_device_class(key);
    if (row == nullptr || !row->in_document) return -1;
    return 2 + (row - device_classes().data());
}

void insert_absent_classes(std::vector<DocumentMember>& members)
{
    for (const DeviceClass& row : device_classes()) {
        if (!row.in_document) continue;
        const std::ptrdiff_t order = libxl_order(row.name);
        // c_info is always there, and earlier classes were put in before this one.
        auto nearest = members.begin();
        std::ptrdiff_t nearest_order = -1;
        for (auto it = members.begin(); it != members.end(); ++it) {
            const std::ptrdiff_t here = libxl_order(it->key);
            if (here > order || here <= nearest_order) continue;
            nearest = it;
            nearest_order = here;
        }
        if (nearest_order == order) continue;
        members.insert(nearest + 1, {0, std::string(row.name), json_quote(row.name), std::nullopt});
    }
}

// Where the things are: the whole document says.
void place_things(std::string_view object, Document& document)
{
    DomainTraits traits{domain_type_in(json_find(object, "c_info").value_or(""),
                                       json_find(object, "b_info").value_or(""))};
    for (const DocumentThing& thing : document.things)
        if (thing.device_class == "usbctrls") traits.add_controller(thing.json);
    for (DocumentThing& thing : document.things)
        thing.primary = thing_primary(*find_device_class(thing.device_class), thing.json, traits);
}

bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

Error invalid(std::string_view what, std::string_view reason)
{
    return {Errc::invalid, std::string(what) + ": " + std::string(reason)};
}

/// libxl would cut it at the NUL, and xenstore and SQL then name the domain differently.
bool fits_as_name(std::string_view name)
{
    return !name.empty() && name.find('\0') == std::string_view::npos;
}

/// libxl reads null as not given.
bool is_given(std::string_view object, std::string_view key)
{
    const std::optional<std::string_view> value = json_find(object, key);
    return value && json_type(*value) != JsonType::null;
}

Result<void> read_identity(std::string_view object, std::string_view what, Document& document)
{
    const std::optional<std::string_view> c_info = json_find(object, "c_info");
    if (!c_info) return invalid(what, "c_info is missing");
    if (json_type(*c_info) != JsonType::object) return invalid(what, "c_info is not an object");

    document.uuid = kNilUuid;
    if (is_given(*c_info, "uuid")) {
        std::optional<std::string> uuid = json_get_string(*c_info, "uuid");
        if (!uuid) return invalid(what, "c_info.uuid is not a string");
        const std::string shown = json_shown(*uuid);
        uuid = normal_uuid(*std::move(uuid));
        if (!uuid) return invalid(what, "c_info.uuid is not a UUID: " + shown);
        document.uuid = *std::move(uuid);
    }
    if (is_given(*c_info, "name")) {
        std::optional<std::string> name = json_get_string(*c_info, "name");
        if (!name) return invalid(what, "c_info.name is not a string");
        if (!fits_as_name(*name)) return invalid(what, "c_info.name is empty or holds a NUL");
        if (!is_utf8(*name)) return invalid(what, "c_info.name is not UTF-8");
        document.name = *std::move(name);
    }
    return {};
}

Result<void> read_things(const DeviceClass& row, std::string_view array, std::string_view what,
                         Document& document)
{
    const std::string name(row.name);
    if (json_type(array) != JsonType::array) return invalid(what, name + " is not an array");
    std::map<std::string, std::size_t> seen;
    std::size_t position = 0;
    for (const std::string_view element : json_elements(array)) {
        const std::string where = name + "[" + std::to_string(position) + "]";
        if (element.size() > limits::thing_bytes_max) {
            return invalid(what, where + " is larger than " +
                                     std::to_string(limits::thing_bytes_max) + " bytes");
        }
        Result<std::string> key = thing_key(row, element, position);
        if (!key) return invalid(what, key.error().message);
        const bool has_identity = !key->empty();
        if (!has_identity) key = "#" + std::to_string(position);
        if (const auto [first, is_new] = seen.emplace(*key, position); !is_new) {
            return invalid(what, where + " is the same thing as " + name + "[" +
                                     std::to_string(first->second) + "]: " + json_shown(*key));
        }
        document.things.push_back({name, *std::move(key), static_cast<std::int64_t>(position),
                                   std::string(element), row.primary, has_identity});
        ++position;
    }
    return {};
}

}  // namespace

std::optional<std::string> normal_uuid(std::string uuid)
{
    constexpr std::string_view shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    if (uuid.size() != shape.size()) return std::nullopt;
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (uuid[i] >= 'A' && uuid[i] <= 'F') uuid[i] = static_cast<char>(uuid[i] + ('a' - 'A'));
        if (shape[i] == '-' ? uuid[i] != '-' : !is_hex(uuid[i])) return std::nullopt;
    }
    return uuid;
}

std::string name_without_one(std::int64_t domid)
{
    return "Domain-" + std::to_string(domid);
}

Result<void> check_identified(const Document& document, std::string_view what)
{
    const bool has_uuid = document.uuid != kNilUuid;
    if (has_uuid && !document.name.empty()) return {};
    return Error(Errc::invalid,
                 std::string(what) + ": c_info." + (has_uuid ? "name" : "uuid") + " is missing",
                 "give it one; only 'xlstore import' takes a document without, as Xen writes it "
                 "for domain 0");
}

Result<void> check_name(std::string_view name)
{
    if (!fits_as_name(name)) return invalid("name", "it is empty or holds a NUL");
    if (!is_utf8(name)) return invalid("name", "it is not UTF-8");
    return {};
}

Result<Document> parse_document(std::string_view text, std::string_view what)
{
    const Result<std::string> minified = json_minify(text, what);
    if (!minified) return minified.error();
    if (json_type(*minified) != JsonType::object) return invalid(what, "it is not an object");

    Document document{json_detect_layout(text), {}, {}, {}, {}};
    if (const Result<void> identity = read_identity(*minified, what, document); !identity)
        return identity.error();

    for (JsonMember& member : json_members(*minified)) {
        std::optional<std::string> value(member.value);
        const DeviceClass* row = find_device_class(member.key);
        if (row != nullptr && row->in_document) {
            if (const Result<void> read = read_things(*row, member.value, what, document); !read)
                return read.error();
            value.reset();
        }
        document.members.push_back(
            {0, std::move(member.key), std::string(member.key_text), std::move(value)});
    }
    place_things(*minified, document);
    insert_absent_classes(document.members);
    std::int64_t rank = 0;
    for (DocumentMember& member : document.members)
        member.rank = rank += 10;
    return document;
}

namespace {

// As nearly each key is: its characters between quotes, none of which has an escape.
bool is_plainly_spelled(const DocumentMember& member)
{
    const auto is_plain = [](unsigned char c) {
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    };
    return member.key_text.size() == member.key.size() + 2 && member.key_text.front() == '"' &&
           member.key_text.back() == '"' &&
           member.key_text.compare(1, member.key.size(), member.key) == 0 &&
           std::ranges::all_of(member.key, is_plain);
}

}  // namespace

bool has_own_spelling(const DocumentMember& member)
{
    if (is_plainly_spelled(member) || member.key_text == json_quote(member.key)) return true;
    const auto spelled = json_minify(member.key_text, "its key");
    return spelled && json_type(*spelled) == JsonType::string &&
           json_decode_string(*spelled) == member.key;
}

std::string document_text(const std::vector<DocumentMember>& members,
                          const std::vector<DocumentThing>& things)
{
    std::map<std::string_view, std::map<std::int64_t, std::vector<std::string_view>>> arrays;
    for (const DocumentThing& thing : things)
        arrays[thing.device_class][thing.position].push_back(thing.json);

    std::vector<const DocumentMember*> ordered;
    ordered.reserve(members.size());
    for (const DocumentMember& member : members)
        ordered.push_back(&member);
    std::stable_sort(
        ordered.begin(), ordered.end(),
        [](const DocumentMember* a, const DocumentMember* b) { return a->rank < b->rank; });

    std::string out = "{";
    const auto begin_member = [&out](std::string_view key_text) {
        if (out.size() > 1) out += ',';
        out += key_text;
        out += ':';
    };
    const auto add_array = [&](std::string_view device_class, std::string_view key_text) {
        const auto node = arrays.extract(device_class);
        if (node.empty()) return;
        begin_member(key_text);
        char separator = '[';
        for (const auto& [position, elements] : node.mapped()) {
            for (const std::string_view element : elements) {
                out += separator;
                out += element;
                separator = ',';
            }
        }
        out += ']';
    };
    for (const DocumentMember* member : ordered) {
        if (member->text) {
            begin_member(member->key_text);
            out += *member->text;
        } else {
            add_array(member->key, member->key_text);
        }
    }
    for (const DeviceClass& row : device_classes())
        if (row.in_document) add_array(row.name, json_quote(row.name));
    return out + '}';
}

}  // namespace xlstore
