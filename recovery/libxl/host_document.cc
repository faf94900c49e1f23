// SPDX-License-Identifier: MIT
#include "recovery/libxl/host_document.hpp"

#include <optional>

#include "store/libxl/document_file.hpp"
#include "store/model/document.hpp"

namespace xlstore::recovery {

namespace {

using State = HostDocument::State;

// Why `text` is no document of the domain `uuid`; nothing: it is one.
std::optional<std::string> document_flaw(const std::string& text, const std::string& uuid)
{
    if (text.empty()) return "it is empty";
    const auto document = parse_document(text, "its text");
    if (!document) return document.error().message;
    if (document->uuid == uuid) return std::nullopt;
    return document->uuid == kNilUuid ? "it names no uuid"
                                      : "it is of the domain with uuid " + document->uuid;
}

}  // namespace

HostDocument look_at_document(const libxl::HostDirectories& where, const libxl::FileOwner& domain)
{
    HostDocument found;
    found.path = where.document(domain);
    auto file = libxl::read_document_file(found.path);
    if (!file) {
        found.state = State::unseen;
        found.evidence = file.error().message;
        return found;
    }
    if (*file) {
        auto flaw = document_flaw((*file)->text, domain.uuid);
        found.state = flaw ? State::damaged : State::sound;
        found.evidence = found.path + (flaw ? ": " + *flaw : "");
        found.lacks_nul = !(*file)->ends_with_nul;
        found.text = std::move((*file)->text);
        return found;
    }
    const std::string begun = where.document_being_written(domain);
    auto beside = libxl::read_document_file(begun);
    const bool whole = beside && *beside && (*beside)->ends_with_nul &&
                       !document_flaw((*beside)->text, domain.uuid);
    found.state = whole ? State::begun : State::missing;
    found.evidence = "there is no " + found.path;
    if (!whole) return found;
    found.text = std::move((*beside)->text);
    found.evidence += "; " + begun + " has all of it";
    return found;
}

}  // namespace xlstore::recovery
