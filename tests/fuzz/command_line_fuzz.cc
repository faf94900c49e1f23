// SPDX-License-Identifier: MIT
// For all that may stand in /proc/PID/cmdline of a QEMU, and in the files of its -readconfig: no
// crash, no product of a kind that there is not, and no word that takes back what another one
// made. The input is the words as /proc has them, each with a NUL behind it; what follows an empty
// word is the file of -readconfig.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "store/qmp/qemu_command_line.hpp"

namespace {

using namespace xlstore;

void require(bool holds)
{
    if (!holds) std::abort();
}

std::vector<std::string> words_of(std::string_view text)
{
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto end = std::min(text.find('\0'), text.size());
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return words;
}

std::size_t names_in_all(const QemuCommandLine& line)
{
    std::size_t all = 0;
    for (const auto& [kind, names] : line.names)
        all += names.size();
    return all;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const auto cut = input.find(std::string_view("\0\0", 2));
    const std::string config(cut == input.npos ? std::string_view() : input.substr(cut + 2));
    auto words = words_of(input.substr(0, cut));
    std::size_t files_read = 0;
    const ReadConfig read = [&](const std::string& path) -> std::optional<std::string> {
        ++files_read;
        if (path == "none") return {};
        return config;
    };
    const QemuCommandLine line = parse_qemu_command_line(words, read);
    require(files_read <= words.size());
    for (const auto& [kind, names] : line.names)
        for (const auto& name : names)
            require(line.makes(kind, name, ""));
    for (const auto& file : line.files)
        require(line.names_file(file));
    for (const auto& path : line.not_read)
        require(line.gap().has_value() && path.find('\0') == path.npos);
    // Nothing is made of nothing: a word, or a line of a file, makes a few things at most.
    require(names_in_all(line) + line.anonymous <= 64 + 16 * (size + files_read * config.size()));

    // What stands in front of it is made, and takes nothing away.
    words.insert(words.begin(), {"-device", "usb-tablet,id=fuzz-0", "-chardev", "null,id=fuzz-1"});
    const QemuCommandLine more = parse_qemu_command_line(words, read);
    require(more.makes("device", "fuzz-0", "usb-tablet") && more.makes("chardev", "fuzz-1", ""));
    for (const auto& [kind, names] : line.names)
        for (const auto& name : names)
            require(more.makes(kind, name, ""));
    require(more.files == line.files && more.sockets == line.sockets && more.domid == line.domid);
    return 0;
}
