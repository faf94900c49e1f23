// SPDX-License-Identifier: MIT
// Words are taken in order, as QEMU takes them. Each option adds what it makes, under the name that
// it gives or that QEMU makes of a number: count() numbers what QEMU numbers while it reads,
// name_by_number() makes the names at the end. Files of -readconfig are read as QEMU saw them,
// below its own root and working directory. One that could not be read is a gap: then it is not
// known what QEMU was started with, and the caller is told so instead of a shorter list.
#include "store/qmp/qemu_command_line.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "store/base/fd.hpp"
#include "store/model/plan.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kCommandLineBytes = 4u << 20;

using Members = std::vector<std::pair<std::string, std::string>>;

// QEMU's own: "a=b,c=d,flag"; a comma in a value is doubled. `implied` is the key of a first word
// without one.
Members option_members(std::string_view text, std::string_view implied)
{
    Members members;
    std::size_t at = 0;
    while (at < text.size()) {
        std::string item;
        for (; at < text.size(); ++at) {
            if (text[at] == ',') {
                if (at + 1 >= text.size() || text[at + 1] != ',') break;
                ++at;
            }
            item += text[at];
        }
        ++at;
        const auto equals = item.find('=');
        if (equals != std::string::npos)
            members.emplace_back(item.substr(0, equals), item.substr(equals + 1));
        else if (members.empty() && !implied.empty())
            members.emplace_back(implied, item);
        else
            members.emplace_back(item, "on");
    }
    return members;
}

// The strings of an object, with dotted keys for what is nested: "file.node-name".
void json_strings(std::string_view object, const std::string& prefix, Members& members)
{
    for (const auto& member : json_members(object)) {
        const auto key = prefix + member.key;
        if (json_type(member.value) == JsonType::string)
            members.emplace_back(key, json_decode_string(member.value));
        else
            json_strings(member.value, key + ".", members);
    }
}

Members members_of(const std::string& text, std::string_view implied)
{
    if (!text.starts_with('{')) return option_members(text, implied);
    Members members;
    if (const auto json = json_minify(text, "option")) json_strings(*json, "", members);
    return members;
}

std::optional<std::string> value_of(const Members& members, std::string_view key)
{
    for (const auto& [name, value] : members)
        if (name == key) return value;
    return std::nullopt;
}

bool is_or_ends(std::string_view key, std::string_view name)
{
    return key == name || (key.size() > name.size() && key.ends_with(name) &&
                           key[key.size() - name.size() - 1] == '.');
}

// The machine's memory where -machine names none, by the kinds of machine of x86 and Arm.
constexpr std::array<std::string_view, 4> kMachineMemory = {"pc.ram", "microvm.ram", "xen.ram",
                                                            "mach-virt.ram"};

bool is_machine_memory(std::string_view name, std::string_view type)
{
    return std::find(kMachineMemory.begin(), kMachineMemory.end(), name) != kMachineMemory.end() &&
           (type.empty() || type.starts_with("memory-backend-"));
}

bool is_nth_of(std::string_view name, std::size_t count)
{
    constexpr std::string_view before = "device[";
    if (!name.starts_with(before) || !name.ends_with(']')) return false;
    const auto number = json_integer(name.substr(before.size(), name.size() - before.size() - 1));
    return number && *number >= 0 && static_cast<std::size_t>(*number) < count;
}

// A section of a configuration file: [device "id"], then lines of key = "value".
struct ConfigSection {
    std::string kind;
    Members members;
};

std::vector<ConfigSection> sections_of(std::string_view text)
{
    std::vector<ConfigSection> sections(1);  // the first is for lines before any head
    std::size_t at = 0;
    while (at < text.size()) {
        const auto end = std::min(text.find('\n', at), text.size());
        const auto line = text.substr(at, end - at);
        at = end + 1;
        const auto begin = line.find_first_not_of(" \t\r");
        if (begin == std::string_view::npos || line[begin] == '#') continue;
        const auto quote = line.find('"');
        const auto unquote = line.rfind('"');
        const bool quoted = quote != std::string_view::npos && unquote > quote;
        const auto value =
            quoted ? std::string(line.substr(quote + 1, unquote - quote - 1)) : std::string();
        if (line[begin] == '[') {
            const auto stop = std::min(line.find_first_of(" \t]", begin + 1), line.size());
            sections.push_back({std::string(line.substr(begin + 1, stop - begin - 1)), {}});
            if (quoted) sections.back().members.emplace_back("id", value);
        } else if (quoted) {
            const auto stop = line.find_first_of(" \t=", begin);
            sections.back().members.emplace_back(line.substr(begin, stop - begin), value);
        }
    }
    std::erase_if(sections, [](const ConfigSection& section) { return section.kind.empty(); });
    return sections;
}

class Reader {
public:
    explicit Reader(const ReadConfig& read) : read_(read) {}

    QemuCommandLine run(const std::vector<std::string>& words)
    {
        for (std::size_t i = 0; i < words.size(); ++i) {
            std::string_view word = words[i];
            if (!word.starts_with('-')) continue;
            word.remove_prefix(word.starts_with("--") ? 2 : 1);
            if (word == "nodefaults") defaults_ = false;
            if (word == "s") numbered_["gdb"] = 1;
            const bool last = i + 1 == words.size();
            if (takes_value(word) && !last) option(word, words[++i]);
        }
        name_by_number();
        return std::move(line_);
    }

private:
    static constexpr std::array<std::string_view, 10> kImages = {
        "hda", "hdb", "hdc", "hdd", "cdrom", "fda", "fdb", "sd", "mtdblock", "pflash"};
    static constexpr std::array<std::string_view, 5> kMonitors = {"qmp", "qmp-pretty", "mon",
                                                                  "monitor", "readconfig"};
    static constexpr std::array<std::string_view, 19> kOthers = {
        "device",   "object",    "netdev",   "chardev", "blockdev", "drive",   "nic",
        "virtfs",   "serial",    "watchdog", "gdb",     "debugcon", "display", "usbdevice",
        "parallel", "xen-domid", "net",      "machine", "M"};

    template <class List>
    static bool has(const List& list, std::string_view word)
    {
        return std::find(list.begin(), list.end(), word) != list.end();
    }
    static bool takes_value(std::string_view word)
    {
        return has(kImages, word) || has(kMonitors, word) || has(kOthers, word);
    }

    void option(std::string_view word, const std::string& value)
    {
        line_.has_monitor |= has(kMonitors, word);
        if (word == "device") group(word, members_of(value, "driver"));
        if (word == "object") group(word, members_of(value, "qom-type"));
        // -nic and -net name their back end by the id.
        if (word == "netdev" || word == "nic" || word == "net")
            group("netdev", members_of(value, "type"));
        if (word == "chardev") group(word, members_of(value, "backend"));
        if (word == "blockdev") group(word, members_of(value, "driver"));
        if (word == "drive") group(word, members_of(value, ""));
        if (word == "virtfs" || word == "watchdog") ++line_.anonymous;
        if (word == "debugcon") line_.names["device"].insert("debugcon");
        if (word == "display" && value.starts_with("dbus"))
            line_.names["object"].insert("dbus-display");
        if (word == "machine" || word == "M")
            line_.own_memory &= !value_of(members_of(value, "type"), "memory-backend");
        if (word == "usbdevice" && value.starts_with("braille")) numbered_["braille"] = 1;
        count(word, value);
        if (has(kImages, word)) line_.files.insert(value);
        if (word == "xen-domid") line_.domid = json_integer(value);
        if (word == "readconfig") config(value);
        if (value.starts_with("unix:")) {
            const auto path = option_members(value.substr(5), "path");
            if (!path.empty()) line_.sockets.push_back(path.front().second);
        }
    }

    // What QEMU numbers as it reads its options, the ones that say "none" too.
    void count(std::string_view word, const std::string& value)
    {
        if (word == "monitor" || word == "qmp" || word == "qmp-pretty")
            ++numbered_["compat_monitor"];
        if (word == "serial" || word == "parallel" || word == "debugcon" || word == "gdb")
            ++numbered_[std::string(word)];
        if (word == "nic") ++nics_;
        if (word == "net") ++nets_[value.substr(0, value.find(','))];
    }

    // The names that QEMU makes of those numbers, and of what it has without an option:
    // "serial0" ("-base" is what several share), "hub0port1", "user.0".
    void name_by_number()
    {
        if (defaults_)
            for (const char* stem : {"serial", "parallel", "compat_monitor"})
                numbered_[stem] = std::max<std::size_t>(numbered_[stem], 1);
        for (const auto& [stem, amount] : numbered_) {
            auto& chardevs = line_.names["chardev"];
            const bool only_one = stem == "gdb" || stem == "debugcon" || stem == "braille";
            for (std::size_t i = 0; i < amount; ++i) {
                const auto name = only_one ? stem : stem + std::to_string(i);
                chardevs.insert(name);
                chardevs.insert(name + "-base");
            }
        }
        auto& netdevs = line_.names["netdev"];
        for (std::size_t i = 0; i < nics_; ++i)
            netdevs.insert("__org.qemu.nic" + std::to_string(i));
        std::size_t ports = defaults_ ? 2 : 0;
        for (const auto& [type, amount] : nets_) {
            ports += amount;
            for (std::size_t i = 0; i < amount; ++i)
                netdevs.insert(type + "." + std::to_string(i));
        }
        for (std::size_t i = 0; i < ports; ++i)
            netdevs.insert("hub0port" + std::to_string(i));
    }

    // One option, or one section of a configuration file.
    void group(std::string_view kind, const Members& members)
    {
        const auto id = value_of(members, "id");
        if (kind == "device" && !id) ++line_.anonymous;
        if (kind == "drive" && value_of(members, "if") == "virtio") ++line_.anonymous;
        if (id && kind != "drive" && kind != "blockdev") line_.names[std::string(kind)].insert(*id);
        if (kind == "chardev") {
            if (id) line_.names["chardev"].insert(*id + "-base");
            if (const auto path = value_of(members, "path")) line_.sockets.push_back(*path);
        }
        if (kind != "blockdev" && kind != "drive") return;
        for (const auto& [key, value] : members) {
            if (is_or_ends(key, "node-name")) line_.names["node"].insert(value);
            if (is_or_ends(key, "filename") || key == "file") line_.files.insert(value);
        }
    }

    // A file that cannot be read may name anything: the caller is told.
    void config(const std::string& path)
    {
        const auto text = read_(path);
        if (!text) {
            line_.not_read.push_back(path);
            return;
        }
        for (const auto& section : sections_of(*text))
            group(section.kind, section.members);
    }

    const ReadConfig& read_;
    QemuCommandLine line_;
    bool defaults_ = true;                         // no -nodefaults
    std::map<std::string, std::size_t> numbered_;  // character devices, by the stem of their names
    std::map<std::string, std::size_t> nets_;      // -net, by type
    std::size_t nics_ = 0;
};

// As QEMU saw it: below its own root, a relative one below its working directory. A file, no pipe.
std::optional<std::string> config_of(pid_t pid, const std::string& path)
{
    const std::string place =
        "/proc/" + std::to_string(pid) + (path.starts_with('/') ? "/root" : "/cwd/") + path;
    // What it is comes first: to open a pipe or a device may do something.
    const Fd found(::open(place.c_str(), O_PATH | O_CLOEXEC));
    struct stat status {};
    if (!found || fstat(found.get(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
    const std::string same = "/proc/self/fd/" + std::to_string(found.get());
    const Fd file(::open(same.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file) return std::nullopt;
    std::string text(kCommandLineBytes + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const auto n = ::read(file.get(), text.data() + size, text.size() - size);
        if (n < 0) return std::nullopt;
        if (n == 0) break;
        size += static_cast<std::size_t>(n);
    }
    if (size > kCommandLineBytes) return std::nullopt;
    text.resize(size);
    return text;
}

}  // namespace

bool QemuCommandLine::makes(std::string_view kind, const std::string& name,
                            std::string_view type) const
{
    if (name.starts_with('#')) return true;  // QEMU named it, and does so for its own only
    if (kind == kAnonymousKind) return is_nth_of(name, anonymous);
    if (kind == "object" && own_memory && is_machine_memory(name, type)) return true;
    const auto of_kind = names.find(kind);
    return of_kind != names.end() && of_kind->second.contains(name);
}

std::optional<std::string> QemuCommandLine::gap() const
{
    if (!has_monitor) return "it asks for no monitor: it is not the command line of this QEMU";
    if (!not_read.empty()) return "its file " + json_shown(not_read.front()) + " cannot be read";
    return std::nullopt;
}

QemuCommandLine parse_qemu_command_line(const std::vector<std::string>& words,
                                        const ReadConfig& read)
{
    return Reader(read).run(words);
}

Result<std::vector<std::string>> command_line_words(pid_t pid)
{
    const std::string text = command_line(pid);
    if (text.empty())
        return Error(Errc::io,
                     "the command line of pid " + std::to_string(pid) + " cannot be read");
    if (text.size() > kCommandLineBytes)
        return Error(Errc::io, "the command line of pid " + std::to_string(pid) +
                                   " is larger than " + std::to_string(kCommandLineBytes) +
                                   " bytes");
    std::vector<std::string> words;
    for (std::size_t at = text.find('\0'); at != std::string::npos && at + 1 < text.size();) {
        const auto end = std::min(text.find('\0', at + 1), text.size());
        words.push_back(text.substr(at + 1, end - at - 1));
        at = end;
    }
    return words;
}

Result<QemuCommandLine> read_qemu_command_line(pid_t pid)
{
    auto words = command_line_words(pid);
    if (!words) return std::move(words).error();
    return parse_qemu_command_line(*words,
                                   [pid](const std::string& path) { return config_of(pid, path); });
}

}  // namespace xlstore
