// SPDX-License-Identifier: MIT
// What a person hands in by a file or by standard input.
#include <unistd.h>

#include "store/base/limits.hpp"
#include "store/os/regular_file.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

// libxl ends its files with a NUL, and reads no further than to the first.
Result<std::string> up_to_the_nul(std::string text, const std::string& name)
{
    const auto nul = text.find('\0');
    if (nul == std::string::npos) return text;
    if (const auto behind = text.size() - nul - 1; behind > 0)
        return Error(Errc::invalid,
                     name + " has a NUL at byte " + std::to_string(nul + 1) + ", and " +
                         std::to_string(behind) + " more behind it",
                     "nothing was changed; libxl reads no further than to the NUL: if what stands "
                     "before it is the document, cut the file there ('head -c " +
                         std::to_string(nul) + "')");
    text.pop_back();
    return text;
}

}  // namespace

Result<std::string> read_file(const std::string& path)
{
    constexpr auto bytes_max = limits::document_bytes_max + 1;  // and the NUL
    const bool standard_input = path == "-";
    const std::string name = standard_input ? "standard input" : path;
    auto text = standard_input ? read_to_end(STDIN_FILENO, name, bytes_max)
                               : read_regular_file(path, bytes_max);
    if (!text) return text;
    return up_to_the_nul(*std::move(text), name);
}

Result<std::string> read_text(const std::string& word)
{
    if (word == "-") return read_file(word);
    if (word.starts_with('@')) return read_file(word.substr(1));
    return word;
}

}  // namespace xlstore::tools
