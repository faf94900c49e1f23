// SPDX-License-Identifier: MIT
#include "recovery/rebuild/userdata.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

#include "store/base/limits.hpp"
#include "store/model/document.hpp"
#include "store/os/regular_file.hpp"

namespace xlstore::recovery {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".libxl-json";

/// The uuid in "userdata-WHICH.DOMID.UUID.libxl-json"; nothing: it is called otherwise.
std::optional<std::string> uuid_in(const std::string& name, char which, std::int64_t domid)
{
    const std::string prefix =
        std::string("userdata-") + which + "." + std::to_string(domid) + ".";
    if (!name.starts_with(prefix) || !name.ends_with(kSuffix) ||
        name.size() < prefix.size() + kSuffix.size())
        return std::nullopt;
    return normal_uuid(name.substr(prefix.size(), name.size() - prefix.size() - kSuffix.size()));
}

Error unseen(const std::string& path, const std::string& why)
{
    return Error(Errc::io, path + ": " + why);
}

Result<UserdataDocument> read_document(const fs::path& path, const std::string& uuid)
{
    auto text = read_regular_file(path, limits::document_bytes_max + 1);
    if (!text) return text.error();
    UserdataDocument found{path, uuid, {}, *std::move(text)};
    const auto document = parse_document(found.text, "its text");
    if (!document) return unseen(path, document.error().message);
    if (document->uuid != uuid && document->uuid != kNilUuid)
        return unseen(path, "its document is of the uuid " + document->uuid);
    found.name = document->name;
    return found;
}

using Paths = std::map<std::string, fs::path>;  // by uuid

void add(Userdata& into, const Paths& paths, const Paths* instead_of)
{
    for (const auto& [uuid, path] : paths) {
        if (instead_of && instead_of->contains(uuid)) continue;
        auto document = read_document(path, uuid);
        if (document)
            into.documents.push_back(*std::move(document));
        else if (!instead_of)  // one that was being written, and is not whole, is nothing
            into.unseen.push_back(std::move(document).error());
    }
}

}  // namespace

Userdata read_userdata(const std::string& directory, std::int64_t domid)
{
    Userdata found;
    Paths whole;
    Paths begun;
    std::error_code error;
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const auto name = at->path().filename().string();
        if (auto uuid = uuid_in(name, 'd', domid)) whole[*std::move(uuid)] = at->path();
        if (auto uuid = uuid_in(name, 'n', domid)) begun[*std::move(uuid)] = at->path();
    }
    if (error) found.unseen.push_back(unseen(directory, error.message()));
    add(found, whole, nullptr);
    add(found, begun, &whole);
    std::ranges::sort(found.documents, {}, &UserdataDocument::uuid);
    return found;
}

}  // namespace xlstore::recovery
