// SPDX-License-Identifier: MIT
#include "store/operation/in_xenstore.hpp"

#include <utility>

#include "store/base/limits.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/xenstore_attachment.hpp"
#include "store/operation/xenstore_removal.hpp"
#include "store/operation/xenstore_work.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

bool is_in_xenstore(Db& db, const DomainRow& domain, const Request& request)
{
    const auto* of = find_device_class(request.device_class);
    if (!of || xenstore_kind(of->name).empty()) return false;
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
    Result<Done> done = Error(Errc::no_memory, {});
    try {
        if (work.request.kind == Request::Kind::attach)
            done = co_await attach_in_xenstore(work);
        else if (work.request.kind == Request::Kind::detach)
            done = co_await detach_in_xenstore(work);
        else
            done =
                Error(Errc::refused,
                      work.domain.subject() + ": " + work.request.device_class + "/" +
                          work.request.key + " is xenstore's, since the domain is " +
                          std::string(domain_type_name(read_traits(store.db(), id).type)) +
                          ": no device model changes its medium",
                      "nothing was changed; detach the drive and attach it with the other image");
    } catch (...) {
        done = caught();  // nothing is committed yet: what comes later has its own answer
    }
    if (!done) co_return gone_if_destroyed(store, id, std::move(done).error());
    co_return done;
}

}  // namespace xlstore
