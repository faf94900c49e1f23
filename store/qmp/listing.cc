// SPDX-License-Identifier: MIT
// kNarrow has the commands of which it is known that they change one list, and one name there: that
// name is struck out. Any other command but a query drops all lists. So a command that is missing
// in the table costs one more question, and never gives a wrong answer.
#include "store/qmp/listing.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "store/text/json_text.hpp"

namespace xlstore::qmp {

namespace {

constexpr std::string_view kFdsetPath = "/dev/fdset/";
constexpr std::string_view kInfo = "info ";

// Commands of which it is known that they change one list, and there only the name that they give.
struct Narrow {
    std::string_view execute;
    std::string_view kind;
};
constexpr std::array kNarrow = {
    Narrow{"device_add", "device"}, Narrow{"chardev-add", "chardev"},
    Narrow{"object-add", "object"}, Narrow{"netdev_add", "netdev"},
    Narrow{"object-del", "object"}, Narrow{"chardev-remove", "chardev"},
    Narrow{"netdev_del", "netdev"},
};

// Every node name in the arguments of blockdev-add, also of children that it makes on the way.
void node_names(std::string_view value, std::set<std::string>& names)
{
    for (const auto& member : json_members(value)) {
        if (member.key == "node-name" && json_type(member.value) == JsonType::string)
            names.insert(json_decode_string(member.value));
        node_names(member.value, names);
    }
    for (const auto element : json_elements(value))
        node_names(element, names);
}

}  // namespace

bool only_asks(std::string_view execute, std::string_view arguments)
{
    if (execute.starts_with("query-") || execute == "qom-list" || execute == "qom-get" ||
        execute == "qmp_capabilities")
        return true;
    if (execute != "human-monitor-command") return false;
    const auto line = json_get_string(arguments, "command-line");
    return line && line->starts_with(kInfo);
}

std::vector<std::int64_t> DescriptorSets::unused(const std::string& opaque) const
{
    std::vector<std::int64_t> ids;
    for (const auto& [id, text] : opaque_of)
        if (text == opaque && !files_in_use.contains(std::string(kFdsetPath) + std::to_string(id)))
            ids.push_back(id);
    return ids;
}

const Listing::Names* Listing::names(std::string_view kind, const std::string& name) const
{
    const auto it = lists_.find(kind);
    if (it == lists_.end() || it->second.struck_out.contains(name)) return nullptr;
    return &it->second.names;
}

void Listing::keep(const std::string& kind, Names names)
{
    lists_[kind] = List{std::move(names), {}};
}

void Listing::sent(std::string_view execute, std::string_view arguments)
{
    if (only_asks(execute, arguments)) return;
    if (execute == "add-fd" || execute == "remove-fd") {
        sets_.reset();
        return;
    }
    std::set<std::string> named;
    std::string_view kind;
    if (execute == "blockdev-add") {
        sets_.reset();
        kind = "node";
        node_names(arguments, named);
    } else {
        const auto* narrow = std::find_if(kNarrow.begin(), kNarrow.end(),
                                          [&](const Narrow& n) { return n.execute == execute; });
        auto id = narrow == kNarrow.end() || arguments.empty() ? std::nullopt
                                                               : json_get_string(arguments, "id");
        if (!id) {
            heard();  // what it changes is not known: everything may have
            return;
        }
        kind = narrow->kind;
        named.insert(*std::move(id));
    }
    if (const auto it = lists_.find(kind); it != lists_.end()) it->second.struck_out.merge(named);
}

void Listing::heard() noexcept
{
    lists_.clear();
    sets_.reset();
}

}  // namespace xlstore::qmp
