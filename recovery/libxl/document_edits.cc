// SPDX-License-Identifier: MIT
// An edit says what element it is about and what it expects there: what another program changed
// meanwhile is a conflict, and never overwritten. The document is parsed, edited by element, and
// written in the layout that it had. Where there is none, a bare one is made of what xenstore says.
#include "recovery/libxl/document_edits.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

#include "store/model/document.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::string_view kBuild = "b_info";
constexpr std::string_view kAvailable = "avail_vcpus";

Error changed_meanwhile(const ThingName& name)
{
    return Error(Errc::conflict, name.text() + " was changed by another program meanwhile",
                 "run xlfsck again");
}

// libxl reads the length of the bitmap off the last element: ascending.
std::string with_processor(std::string_view build, std::int64_t processor)
{
    std::set<std::int64_t> all{processor};
    const auto listed = json_find(build, kAvailable);
    if (listed)
        for (const auto one : json_elements(*listed))
            if (const auto number = json_integer(one)) all.insert(*number);
    std::string text;
    for (const auto one : all)
        text += (text.empty() ? "[" : ",") + std::to_string(one);
    return json_with_member(build, kAvailable, text + "]");
}

class Editor {
public:
    explicit Editor(Document document) : document_(std::move(document)) {}

    Result<void> make(const ElementEdit& edit)
    {
        if (edit.what == ElementEdit::What::add_vcpu) return add_processor(edit.name);
        const auto there = std::ranges::find_if(document_.things, [&](const DocumentThing& one) {
            return one.has_identity && one.device_class == edit.name.device_class &&
                   one.key == edit.name.key;
        });
        const bool adds = edit.what == ElementEdit::What::add;
        if (adds != (there == document_.things.end())) return changed_meanwhile(edit.name);
        if (adds) {
            add(edit);
        } else if (edit.what == ElementEdit::What::replace) {
            there->json = edit.json;
        } else {
            there->json = json_with_member(json_with_member(there->json, "pdev_path", R"("")"),
                                           "format", R"("empty")");
        }
        return {};
    }

    [[nodiscard]] std::string text() const
    {
        return json_pretty(document_text(document_.members, document_.things), document_.layout);
    }

private:
    void add(const ElementEdit& edit)
    {
        std::int64_t position = 0;
        for (const auto& one : document_.things)
            if (one.device_class == edit.name.device_class)
                position = std::max(position, one.position + 1);
        DocumentThing thing{};
        thing.device_class = edit.name.device_class;
        thing.key = edit.name.key;
        thing.position = position;
        thing.json = edit.json;
        document_.things.push_back(std::move(thing));
    }

    Result<void> add_processor(const ThingName& name)
    {
        std::int64_t processor = -1;
        std::from_chars(name.key.data(), name.key.data() + name.key.size(), processor);
        const auto build = std::ranges::find(document_.members, kBuild, &DocumentMember::key);
        if (processor < 0 || build == document_.members.end() || !build->text)
            return changed_meanwhile(name);
        build->text = with_processor(*build->text, processor);
        return {};
    }

    Document document_;
};

std::optional<std::int64_t> number_at(const xenstore::Tree& tree, const std::string& path)
{
    const auto value = tree.value(path);
    if (!value) return std::nullopt;
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error != std::errc() || end != value->data() + value->size()) return std::nullopt;
    return number;
}

}  // namespace

Result<std::string> with_edits(std::string_view text, const std::vector<ElementEdit>& edits)
{
    auto document = parse_document(text, "libxl's document");
    if (!document) return std::move(document).error();
    Editor editor(*std::move(document));
    for (const auto& edit : edits)
        if (auto made = editor.make(edit); !made) return std::move(made).error();
    return editor.text();
}

std::string bare_document(const xenstore::Tree& tree, std::int64_t domid, const std::string& uuid)
{
    const std::string home = "/local/domain/" + std::to_string(domid);
    const std::string type(tree.value("/libxl/" + std::to_string(domid) + "/type").value_or("hvm"));
    const bool known = type == "pv" || type == "pvh";
    const std::string name(tree.value(home + "/name").value_or(name_without_one(domid)));
    std::string available;
    const auto processors = tree.children(home + "/cpu");
    for (std::int64_t i = 0; i < static_cast<std::int64_t>(processors.size()); ++i)
        if (tree.value(home + "/cpu/" + std::to_string(i) + "/availability") == "online")
            available += (available.empty() ? "[" : ",") + std::to_string(i);
    std::vector<std::pair<std::string, std::string>> build;
    if (!processors.empty()) build.emplace_back("max_vcpus", std::to_string(processors.size()));
    if (!available.empty()) build.emplace_back("avail_vcpus", available + "]");
    for (const auto& [member, node] : {std::pair("max_memkb", "/memory/static-max"),
                                       std::pair("target_memkb", "/memory/target")})
        if (const auto kib = number_at(tree, home + node))
            build.emplace_back(member, std::to_string(*kib));
    build.emplace_back("type." + (known ? type : std::string("hvm")), "{}");
    const auto created = json_object({{"type", json_quote(known ? type : "hvm")},
                                      {"name", json_quote(name)},
                                      {"uuid", json_quote(uuid)}});
    return json_pretty(
        json_object({{"c_info", created}, {std::string(kBuild), json_object(build)}}),
        JsonLayout::yajl);
}

}  // namespace xlstore::recovery
