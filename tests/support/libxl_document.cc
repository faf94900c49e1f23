// SPDX-License-Identifier: MIT
#include "tests/support/libxl_document.hpp"

#include <array>
#include <cstdio>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace xlstore::test {

namespace {

Tree token(std::string text)
{
    return Tree{Tree::Kind::token, std::move(text)};
}

Tree string_of(std::string text)
{
    return Tree{Tree::Kind::string, std::move(text)};
}

Tree array_of(std::vector<Tree> elements)
{
    Tree tree{Tree::Kind::array};
    tree.elements = std::move(elements);
    return tree;
}

std::string quoted(const std::string& content, bool json_c)
{
    std::string out = "\"";
    for (const char c : content) {
        const auto* const letters = "\"\"\\\\\bb\ff\nn\rr\tt//";
        const char* escape = letters;
        while (*escape != '\0' && *escape != c)
            escape += 2;
        std::array<char, 8> code{};
        if (*escape != '\0' && (c != '/' || json_c)) {
            out += '\\';
            out += escape[1];
        } else if (static_cast<unsigned char>(c) < 0x20) {
            std::snprintf(code.data(), code.size(), json_c ? "\\u%04x" : "\\u%04X",
                          static_cast<unsigned>(c));
            out += code.data();
        } else {
            out += c;
        }
    }
    return out + '"';
}

class Writer {
public:
    explicit Writer(Printer printer) : printer_(printer) {}
    void write(const Tree& tree)
    {
        if (tree.kind == Tree::Kind::token) out_ += tree.text;
        if (tree.kind == Tree::Kind::string) out_ += quoted(tree.text, json_c());
        if (tree.kind == Tree::Kind::object || tree.kind == Tree::Kind::array) write_inner(tree);
    }
    std::string take() { return out_ + (json_c() ? "" : "\n"); }

private:
    [[nodiscard]] bool json_c() const { return printer_ != Printer::yajl; }
    void line(std::size_t depth) { out_ += '\n' + std::string(depth * (json_c() ? 2 : 4), ' '); }
    void write_inner(const Tree& tree)
    {
        const bool object = tree.kind == Tree::Kind::object;
        out_ += object ? '{' : '[';
        ++depth_;
        for (std::size_t i = 0; i < tree.members.size() + tree.elements.size(); ++i) {
            if (i > 0) out_ += ',';
            line(depth_);
            if (object) {
                out_ += quoted(tree.members[i].first, json_c()) + (json_c() ? ":" : ": ");
                write(tree.members[i].second);
            } else {
                write(tree.elements[i]);
            }
        }
        --depth_;
        const bool empty = tree.members.empty() && tree.elements.empty();
        if (empty && printer_ == Printer::yajl) out_ += '\n';
        if (!empty || printer_ != Printer::json_c_18) line(depth_);
        out_ += object ? '}' : ']';
    }

    Printer printer_;
    std::string out_;
    std::size_t depth_ = 0;
};

LibxlMember member_from(std::istringstream& words)
{
    LibxlMember member;
    words >> member.name >> member.type;
    for (std::string word; words >> word;) {
        if (word == "case") member.is_case = true;
        if (word.starts_with("omitted=")) member.omitted = word.substr(8);
        if (word.starts_with("since=4.")) member.since = std::stoi(word.substr(8));
    }
    return member;
}

}  // namespace

Tree* Tree::find(const std::string& key)
{
    for (auto& [name, value] : members)
        if (name == key) return &value;
    return nullptr;
}

std::string Tree::print(Printer printer) const
{
    Writer writer(printer);
    writer.write(*this);
    return writer.take();
}

LibxlTypes::LibxlTypes()
{
    std::ifstream table(XLSTORE_SOURCE_DIR "/tests/support/libxl_types.txt");
    std::string structure;
    for (std::string line; std::getline(table, line);) {
        if (line.starts_with('#')) continue;
        std::istringstream words(line);
        std::string word;
        if (line.starts_with(' ')) {
            structures_[structure].push_back(member_from(words));
            continue;
        }
        words >> word;
        std::string name;
        words >> name;
        if (word == "struct") structures_[structure = name];
        if (word == "enum")
            while (words >> word)
                enumerations_[name].push_back(word);
    }
    if (!structures_.contains("domain_config"))
        throw std::runtime_error("the table of libxl's types cannot be read");
}

const std::vector<LibxlMember>& LibxlTypes::members_of(const std::string& structure) const
{
    return structures_.at(structure);
}

std::string LibxlTypes::element_of(const std::string& array) const
{
    constexpr std::string_view prefix = "array:struct:";
    for (const auto& member : members_of("domain_config"))
        if (member.name == array) return member.type.substr(prefix.size());
    throw std::runtime_error("no array " + array);
}

const std::vector<std::string>& LibxlTypes::values_of(const std::string& enumeration) const
{
    return enumerations_.at(enumeration);
}

std::uint64_t LibxlDocuments::number(std::uint64_t most)
{
    return std::uniform_int_distribution<std::uint64_t>(0, most)(random_);
}

std::string LibxlDocuments::text()
{
    constexpr std::array<const char*, 12> pieces = {"a",  "/srv/x", " ",        "\"",           "\\", "\n",
                                                    "\t", "\x01",   "\xc3\xa9", "\xf0\x9f\x98\x80", "\x1f", "\x7f"};
    constexpr std::array<const char*, 4> raw = {"\xff", "\x80", "\xc3", "\xed\xa0\x80"};
    std::string text = "s";
    for (auto more = number(4); more > 0; --more)
        text += bytes_ && chance(20) ? raw.at(number(raw.size() - 1)) : pieces.at(number(11));
    return text;
}

std::optional<Tree> LibxlDocuments::list(const std::string& type)
{
    std::vector<Tree> elements;
    if (type == "bitmap") {
        std::uint64_t at = number(3);
        for (auto more = number(4); more > 0; --more, at += 1 + number(70))
            elements.push_back(token(std::to_string(at)));
    } else if (type == "strings") {
        for (auto more = number(3); more > 0; --more)
            elements.push_back(string_of(chance(10) ? "" : text()));
    } else {  // ms_vm_genid
        for (int i = 0; i < 16; ++i)
            elements.push_back(token(std::to_string(number(255))));
    }
    if (elements.empty()) return std::nullopt;
    return array_of(std::move(elements));
}

std::optional<Tree> LibxlDocuments::scalar(const std::string& type)
{
    const auto integer = [&](std::uint64_t most) {
        const std::array<std::uint64_t, 4> picks = {1, most, number(most), number(100)};
        return picks.at(number(3));
    };
    if (type == "bool") return token("true");
    if (type == "defbool") return string_of(chance(50) ? "True" : "False");
    if (type == "string") return string_of(chance(10) ? "" : text());
    if (type == "s32") {
        const auto size = static_cast<std::int64_t>(integer(std::numeric_limits<std::int32_t>::max()));
        return token(std::to_string(chance(20) ? -size - 1 : size));
    }
    if (type.starts_with('u') && type != "uuid")
        return token(std::to_string(integer(~std::uint64_t{0} >> (64 - std::stoi(type.substr(1))))));
    std::array<char, 40> printed{};
    const auto part = [&](std::uint64_t most) { return static_cast<unsigned>(number(most)); };
    if (type == "uuid")
        std::snprintf(printed.data(), printed.size(), "%08x-%04x-%04x-%04x-%04x%08x", part(~0U),
                      part(65535), part(65535), part(65535), part(65535), part(~0U) | 1U);
    else if (type == "mac")
        std::snprintf(printed.data(), printed.size(), "00:16:3e:%02x:%02x:%02x", part(255),
                      part(255), part(255));
    else
        throw std::runtime_error("no type " + type);
    return string_of(printed.data());
}

std::optional<Tree> LibxlDocuments::value(const std::string& type, int version, unsigned density)
{
    if (type == "empty") return Tree{};
    if (type.starts_with("struct:")) return structure(type.substr(7), version, density);
    if (type.starts_with("enum:")) {
        const auto& values = types_.values_of(type.substr(5));
        return string_of(values.at(number(values.size() - 1)));
    }
    if (type.starts_with("array:")) {
        std::vector<Tree> elements;
        for (auto more = number(3); more > 0; --more)
            if (auto element = value(type.substr(6), version, density))
                elements.push_back(*std::move(element));
        if (elements.empty()) return std::nullopt;
        return array_of(std::move(elements));
    }
    if (type == "pairs") {
        Tree pairs;
        for (auto more = number(3); more > 0; --more)
            pairs.members.emplace_back("vm-data/" + std::to_string(more),
                                       chance(20) ? token("null") : string_of(text()));
        if (pairs.members.empty()) return std::nullopt;
        return pairs;
    }
    if (type == "cpuid") {
        Tree leaf;
        leaf.members.emplace_back("leaf", token(std::to_string(number(~0U))));
        if (chance(50)) leaf.members.emplace_back("subleaf", token("1"));
        leaf.members.emplace_back("edx", string_of("xxx0xxxxxxxxxxxxxxxxkxxxxxxxs1xx"));
        Tree policy;
        policy.members.emplace_back("cpuid", array_of({leaf}));
        policy.members.emplace_back("msr", array_of({}));
        return policy;
    }
    if (type == "bitmap" || type == "strings" || type == "ms_vm_genid") return list(type);
    return scalar(type);
}

Tree LibxlDocuments::structure(const std::string& name, int version, unsigned density)
{
    const auto& members = types_.members_of(name);
    std::size_t cases = 0;
    for (const auto& member : members)
        cases += member.is_case ? 1 : 0;
    const std::size_t taken = cases == 0 ? 0 : number(cases - 1);
    Tree made;
    std::size_t seen = 0;
    for (const auto& member : members) {
        if (member.is_case && seen++ != taken) continue;
        if (member.since > version) continue;
        const bool always = member.is_case || member.type.starts_with("struct:");
        if (!always && !chance(density)) continue;
        auto its = value(member.type, version, density);
        if (!its) continue;
        // Numbers and enumerations are omitted with one value, which is 0 where none is named.
        const bool plain = its->kind == Tree::Kind::token || member.type.starts_with("enum:");
        if (!always && plain && its->text == member.omitted.value_or("0")) continue;
        made.members.emplace_back(member.name, *std::move(its));
    }
    return made;
}

namespace {

// A member that the element has to have, at its place; nothing: it must not have it.
void put(Tree& element, const std::vector<LibxlMember>& order, const std::string& key,
         std::optional<Tree> value)
{
    std::vector<std::pair<std::string, Tree>> members;
    for (const auto& member : order) {
        if (member.name == key) {
            if (value) members.emplace_back(key, *value);
        } else if (auto* old = element.find(member.name)) {
            members.emplace_back(member.name, *old);
        }
    }
    element.members = std::move(members);
}

}  // namespace

Tree LibxlDocuments::element(const std::string& array, std::int64_t number, int version,
                             unsigned density)
{
    const std::string type = types_.element_of(array);
    const auto& order = types_.members_of(type);
    Tree made = structure(type, version, density);
    const auto set = [&](const char* key, std::int64_t value, bool omitted = false) {
        put(made, order, key,
            omitted ? std::nullopt : std::optional(token(std::to_string(value))));
    };
    if (array == "disks") {
        put(made, order, "vdev", string_of("xvd" + std::string(1, static_cast<char>('a' + number))));
        put(made, order, "is_cdrom", std::nullopt);
    } else if (array == "pcidevs") {
        set("func", number % 8, number % 8 == 0);
        set("dev", number / 8, number / 8 == 0);
        set("bus", 3);
        set("domain", 0, true);
    } else if (array == "usbdevs") {
        set("ctrl", 0);
        set("port", number + 1);
    } else if (made.find("devid") || array == "nics" || array == "vtpms" || array == "vdispls" ||
               array == "vsnds" || array == "usbctrls") {
        set("devid", number);
    }
    return made;
}

Tree LibxlDocuments::document(int version, unsigned density, bool bytes)
{
    bytes_ = bytes;
    Tree config = structure("domain_config", version, density);
    bytes_ = false;
    const auto& create = types_.members_of("domain_create_info");
    Tree& c_info = *config.find("c_info");
    put(c_info, create, "name", string_of(text()));
    put(c_info, create, "uuid", scalar("uuid"));
    bytes_ = bytes;
    for (const auto& member : types_.members_of("domain_config"))
        if (Tree* array = member.type.starts_with("array:") ? config.find(member.name) : nullptr)
            for (std::size_t i = 0; i < array->elements.size(); ++i)
                array->elements[i] =
                    element(member.name, static_cast<std::int64_t>(i), version, density);
    bytes_ = false;
    return config;
}

}  // namespace xlstore::test
