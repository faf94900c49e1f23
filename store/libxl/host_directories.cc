// SPDX-License-Identifier: MIT
#include "store/libxl/host_directories.hpp"

#include <charconv>

#include "store/model/document.hpp"

namespace xlstore::libxl {

namespace {

constexpr std::string_view kPrefix = "userdata-";

// The digits before the next dot, which goes with them.
std::optional<std::int64_t> take_domid(std::string_view& text)
{
    std::int64_t domid = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), domid);
    const auto length = static_cast<std::size_t>(end - text.data());
    // One spelling: a path is made of the number again ("-0" is a number, too).
    const bool plain = length > 0 && text.front() != '-' && (length == 1 || text.front() != '0');
    if (error != std::errc() || !plain || text.substr(length, 1) != ".") return std::nullopt;
    text.remove_prefix(length + 1);
    return domid;
}

}  // namespace

std::optional<UserdataName> parse_userdata_name(std::string_view name)
{
    if (!name.starts_with(kPrefix)) return std::nullopt;
    name.remove_prefix(kPrefix.size());
    if (name.size() < 2 || name[1] != '.') return std::nullopt;
    UserdataName parsed;
    parsed.which = name[0];
    if (parsed.which != 'd' && parsed.which != 'n' && parsed.which != 'l') return std::nullopt;
    name.remove_prefix(2);
    const auto domid = take_domid(name);
    const auto dot = name.find('.');
    if (!domid || dot == std::string_view::npos || dot + 1 == name.size()) return std::nullopt;
    // libxl writes it in lower case, and looks for nothing else.
    const std::string spelled(name.substr(0, dot));
    auto uuid = normal_uuid(spelled);
    if (!uuid || *uuid != spelled) return std::nullopt;
    parsed.domain = FileOwner{*domid, *std::move(uuid)};
    parsed.userid = name.substr(dot + 1);
    return parsed;
}

std::string userdata_name(const UserdataName& name)
{
    return std::string(kPrefix) + name.which + "." + std::to_string(name.domain.domid) + "." +
           name.domain.uuid + "." + name.userid;
}

HostDirectories::HostDirectories(const std::string& root)
    : lib_(root + "/var/lib/xen"), run_(root + "/run/xen")
{}

std::optional<HostDirectories> HostDirectories::of_monitor(std::string_view path,
                                                           std::int64_t domid)
{
    const std::string name = "/qmp-libxl-" + std::to_string(domid);
    if (!path.ends_with(name)) return std::nullopt;
    path.remove_suffix(name.size());
    const std::string run(path);
    for (const std::string_view place : {"/var/run/xen", "/run/xen"}) {
        if (!path.ends_with(place)) continue;
        path.remove_suffix(place.size());
        HostDirectories found{std::string(path)};
        found.run_ = run;
        return found;
    }
    return std::nullopt;
}

std::string HostDirectories::document(const FileOwner& domain) const
{
    return lib_ + "/" + userdata_name({'d', domain, std::string(kDocumentUserid)});
}

std::string HostDirectories::document_being_written(const FileOwner& domain) const
{
    return lib_ + "/" + userdata_name({'n', domain, std::string(kDocumentUserid)});
}

std::string HostDirectories::document_beside(const FileOwner& domain) const
{
    return lib_ + "/" + userdata_name({'n', domain, "xlstore"});
}

std::string HostDirectories::monitor(std::int64_t domid) const
{
    return run_ + "/qmp-libxl-" + std::to_string(domid);
}

}  // namespace xlstore::libxl
