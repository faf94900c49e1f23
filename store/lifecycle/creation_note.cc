// SPDX-License-Identifier: MIT
// One variable: domid, uuid and name, the name last because it may have spaces. It is read from
// processes that the store did not start itself, so that each part is checked.
#include "store/lifecycle/creation_note.hpp"

#include <algorithm>
#include <charconv>

#include "store/model/document.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kNoteVariable = "XLSTORE_DOMAIN=";
constexpr std::size_t kUuidSize = 36;

std::optional<CreationNote> read_value(std::string_view value)
{
    CreationNote note;
    const auto [at, error] = std::from_chars(value.data(), value.data() + value.size(), note.domid);
    value.remove_prefix(static_cast<std::size_t>(at - value.data()));
    if (error != std::errc() || note.domid < 0 || value.size() < kUuidSize + 2 || value[0] != ' ' ||
        value[kUuidSize + 1] != ' ')
        return std::nullopt;
    auto uuid = normal_uuid(std::string(value.substr(1, kUuidSize)));
    note.name = std::string(value.substr(kUuidSize + 2));
    if (!uuid || !check_name(note.name)) return std::nullopt;
    note.uuid = *std::move(uuid);
    return note;
}

}  // namespace

std::string environment_with_note(const CreationNote& note)
{
    return std::string(kNoteVariable) + std::to_string(note.domid) + ' ' + note.uuid + ' ' +
           note.name;
}

std::optional<CreationNote> read_creation_note(std::string_view environment)
{
    std::optional<CreationNote> note;
    for (std::size_t from = 0; from < environment.size();) {
        const auto end = std::min(environment.find('\0', from), environment.size());
        const auto entry = environment.substr(from, end - from);
        if (entry.starts_with(kNoteVariable)) note = read_value(entry.substr(kNoteVariable.size()));
        from = end + 1;
    }
    return note;
}

std::optional<CreationNote> creation_note_of(pid_t pid)
{
    return read_creation_note(environment_of(pid));
}

}  // namespace xlstore
