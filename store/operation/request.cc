// SPDX-License-Identifier: MIT
// A table says how each kind is written; an element is read by its row. What is not in the row is
// an error: a misspelt "force" would otherwise be ignored.
#include "store/operation/request.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "store/base/limits.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

/// How a request is written as an element of a batch.
struct Spelling {
    std::string_view name;
    Request::Kind kind;
    std::string_view detail;  // the member beside it; empty: none
    bool tray = false;        // may have kForce and kWait
};
constexpr std::string_view kForce = "force";
constexpr std::string_view kWait = "wait";
constexpr std::array kSpellings = {
    Spelling{"attach", Request::Kind::attach, "thing"},
    Spelling{"detach", Request::Kind::detach, "key"},
    Spelling{"insert", Request::Kind::insert, "file", true},
    Spelling{"eject", Request::Kind::eject, "", true},
};

// A member that is true or false, or absent: false. Nothing: it is neither.
std::optional<bool> flag(std::string_view element, std::string_view name)
{
    const auto value = json_find(element, name);
    if (value && json_type(*value) != JsonType::boolean) return std::nullopt;
    return value == "true";
}

Result<Request> request_from_json(std::string_view element, const std::string& where)
{
    const auto bad = [&](const std::string& what) { return Error(Errc::invalid, where + what); };
    if (json_type(element) != JsonType::object) return bad("it is not an object");
    const auto* spelling =
        std::find_if(kSpellings.begin(), kSpellings.end(),
                     [&](const Spelling& s) { return json_find(element, s.name).has_value(); });
    if (spelling == kSpellings.end())
        return bad("it asks for none of attach, detach, insert and eject");
    for (const auto& member : json_members(element))
        if (member.key != spelling->name && member.key != spelling->detail &&
            !(spelling->tray && (member.key == kForce || member.key == kWait)))
            return bad("unknown member " + json_shown(member.key));
    const auto object = json_get_string(element, spelling->name);
    if (!object) return bad("\"" + std::string(spelling->name) + "\" is not a string");
    Request request{spelling->kind, *object, {}, {}};
    if (spelling->kind == Request::Kind::attach) {
        const auto thing = json_find(element, spelling->detail);
        if (!thing) return bad("\"thing\" is missing");
        request.text = *thing;
        return request;
    }
    if (!spelling->detail.empty()) {
        const auto detail = json_get_string(element, spelling->detail);
        if (!detail)
            return bad("\"" + std::string(spelling->detail) + "\" is missing or not a string");
        (spelling->kind == Request::Kind::insert ? request.text : request.key) = *detail;
    }
    const auto force = flag(element, kForce);
    const auto waits = flag(element, kWait);
    if (!force || !waits) return bad("\"force\" and \"wait\" are true or false");
    request.force = *force;
    request.waits = *waits;
    if (spelling->kind != Request::Kind::detach) {  // a drive is named by its vdev alone
        request.device_class = "disks";
        request.key = *object;
    }
    return request;
}

}  // namespace

std::string_view kind_name(Request::Kind kind) noexcept
{
    const auto* spelling = std::find_if(kSpellings.begin(), kSpellings.end(),
                                        [&](const Spelling& s) { return s.kind == kind; });
    return spelling->name;
}

Result<std::vector<Request>> requests_from_json(std::string_view text)
{
    auto minified = json_minify(text, "batch", limits::document_bytes_max);
    if (!minified) return std::move(minified).error();
    if (json_type(*minified) != JsonType::array)
        return Error(Errc::invalid, "batch: it is not an array of requests");
    std::vector<Request> requests;
    for (const auto element : json_elements(*minified)) {
        auto request = request_from_json(
            element, "batch: request " + std::to_string(requests.size() + 1) + ": ");
        if (!request) return std::move(request).error();
        requests.push_back(*std::move(request));
    }
    return requests;
}

}  // namespace xlstore
