// SPDX-License-Identifier: MIT
// libxl keeps a domain's document as userdata-d.DOMID.UUID.libxl-json, and while it writes a new
// one as userdata-n.…. A finished one counts; one that was begun counts only where there is no
// finished one of that uuid, and only if it is whole. Names and contents are another program's: the
// uuid of the name and that of the document have to agree.
#include "recovery/rebuild/userdata.hpp"

#include <algorithm>
#include <map>

#include "store/libxl/document_file.hpp"
#include "store/model/document.hpp"

namespace xlstore::recovery {

namespace {

Error unseen(const std::string& path, const std::string& why)
{
    return Error(Errc::io, path + ": " + why);
}

// Nothing: it is gone by now.
Result<std::optional<UserdataDocument>> read_document(const std::string& path,
                                                      const std::string& uuid)
{
    auto file = libxl::read_document_file(path);
    if (!file) return std::move(file).error();
    if (!*file) return std::optional<UserdataDocument>();
    UserdataDocument found{path, uuid, {}, std::move((*file)->text)};
    const auto document = parse_document(found.text, "its text");
    if (!document) return unseen(path, document.error().message);
    if (document->uuid != uuid && document->uuid != kNilUuid)
        return unseen(path, "its document is of the uuid " + document->uuid);
    found.name = document->name;
    return std::optional(std::move(found));
}

using Paths = std::map<std::string, std::string>;  // by uuid

void add(Userdata& into, const Paths& paths, const Paths* instead_of)
{
    for (const auto& [uuid, path] : paths) {
        if (instead_of && instead_of->contains(uuid)) continue;
        auto document = read_document(path, uuid);
        if (document && *document)
            into.documents.push_back(**std::move(document));
        // One that was being written, and is not whole, is nothing.
        else if (!document && !instead_of)
            into.unseen.push_back(std::move(document).error());
    }
}

}  // namespace

Userdata read_userdata(const std::string& directory, std::int64_t domid)
{
    Userdata found;
    const auto names = libxl::list_userdata(directory);
    if (!names) {
        found.unseen.push_back(names.error());
        return found;
    }
    Paths whole;
    Paths begun;
    for (const auto& name : *names) {
        if (name.domain.domid != domid || name.userid != libxl::kDocumentUserid) continue;
        const std::string path = directory + "/" + libxl::userdata_name(name);
        if (name.which == 'd') whole[name.domain.uuid] = path;
        if (name.which == 'n') begun[name.domain.uuid] = path;
    }
    add(found, whole, nullptr);
    add(found, begun, &whole);
    std::ranges::sort(found.documents, {}, &UserdataDocument::uuid);
    return found;
}

}  // namespace xlstore::recovery
