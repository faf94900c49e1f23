// SPDX-License-Identifier: MIT
// Sends a request to the file for its way of being in xenstore. What was committed by then decides
// alone what a cancelled or broken one is told: nothing was changed, or in doubt.
#include "store/operation/in_xenstore.hpp"

#include <optional>
#include <utility>

#include "store/base/limits.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/core/on_cancel.hpp"
#include "store/operation/xenstore_attachment.hpp"
#include "store/operation/xenstore_medium.hpp"
#include "store/operation/xenstore_pci.hpp"
#include "store/operation/xenstore_port.hpp"
#include "store/operation/xenstore_removal.hpp"
#include "store/operation/xenstore_work.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kListed = "pcidevs";
constexpr std::string_view kAtPorts = "usbdevs";

// A line for each way to be in xenstore: with nodes of its own, in a list, at a port of another
// one.
Task<Result<Done>> carry_out(XenstoreWork& work)
{
    const auto kind = work.request.kind;
    const bool attaches = kind == Request::Kind::attach;
    if (!attaches && kind != Request::Kind::detach) return change_medium_in_xenstore(work);
    if (work.request.device_class == kListed)
        return attaches ? attach_pci_in_xenstore(work) : detach_pci_in_xenstore(work);
    if (work.request.device_class == kAtPorts)
        return attaches ? attach_to_port(work) : detach_from_port(work);
    return attaches ? attach_in_xenstore(work) : detach_in_xenstore(work);
}

// R18: where it was cancelled, or something was thrown, on a way that has no words of its own.
Error left_behind(const XenstoreWork& work, const std::string& why)
{
    if (work.committed.empty())
        return Error(Errc::cancelled, work.domain.subject() + ": " + why + "; nothing was changed");
    return work.in_doubt(
        work.committed + " is not settled in xenstore, and its entry stays: " + why,
        "give the command again, or run 'xlfsck -p', which looks there");
}

}  // namespace

bool is_in_xenstore(Db& db, const DomainRow& domain, const Request& request)
{
    const auto* of = find_device_class(request.device_class);
    if (!of) return false;
    if (xenstore_kind(of->name).empty() && of->name != kListed && of->name != kAtPorts)
        return false;
    const auto traits = read_traits(db, domain.id);
    if (request.kind == Request::Kind::attach) {
        const auto json = json_minify(request.text, "thing", limits::thing_bytes_max);
        return json && json_type(*json) == JsonType::object &&
               json_get_string(*json, "type") != "devicemodel" &&
               thing_primary(*of, *json, traits) == Primary::xenstore;
    }
    const ThingName name{request.device_class, request.key};
    if (const auto entry = read_thing(db, domain.id, name)) return entry->primary == "xenstore";
    // Without an entry the class tells, where all of its things are in one place.
    return !of->primary_of && thing_primary(*of, "{}", traits) == Primary::xenstore;
}

Task<Result<Done>> perform_in_xenstore(Store& store, DomainRow domain, Request request,
                                       Deadline until)
{
    const DomainId id = domain.id;
    XenstoreWork work(store, std::move(domain), std::move(request), until);
    const auto given_up = [&work] { return left_behind(work, "it was cancelled"); };
    auto carried = or_when_cancelled(store, Errc::in_doubt, given_up, carry_out(work));
    Result<Done> done = Error(Errc::no_memory, {});
    std::optional<Error> thrown;
    try {
        done = co_await std::move(carried);
    } catch (...) {
        thrown = caught();
    }
    if (thrown && !work.committed.empty()) co_return left_behind(work, thrown->message);
    if (thrown) done = *std::move(thrown);
    if (!done) co_return gone_if_destroyed(store, id, std::move(done).error());
    co_return done;
}

}  // namespace xlstore
