// SPDX-License-Identifier: MIT
// What a toolstack asks for: one operation on a thing, or a batch of them under one slow hold and
// one connection. How each is carried out: store/operation/engine.hpp.
#ifndef XLSTORE_STORE_OPERATION_OPERATION_HPP_
#define XLSTORE_STORE_OPERATION_OPERATION_HPP_

#include <string>
#include <vector>

#include "store/core/store.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/model/domain_row.hpp"
#include "store/operation/outcome.hpp"
#include "store/operation/request.hpp"

namespace xlstore {

enum class BatchMode {
    each,        ///< each request has its own outcome, independent of those before it
    all_or_none  ///< all are done or none, crashes included; attaches only: what a guest has let
                 ///< go of cannot be put back as it was
};

/// What became of one request of a batch.
struct RequestOutcome {
    std::string thing;  ///< that it is about, as far as it could be told
    Outcome done;
};

/// Carries requests out in their order; one deadline for all of them. The outcomes are in that
/// order too. Error, with nothing changed: invalid (an empty batch, a malformed request, a thing
/// named twice, something other than an attach in all_or_none), and those of Engine::begin(); of
/// these not where an older request for the same as one of them is open, which is in doubt then.
/// In all_or_none the outcomes are all done, all not done, or all in doubt. An attach of what is
/// there already, just as it is asked for, is done: a batch that was cut short can be given again.
Task<Result<std::vector<RequestOutcome>>> batch(Store& store, DomainRow domain,
                                                std::vector<Request> requests, BatchMode mode,
                                                Deadline until);

/// One request. Errors: invalid, not_found, exists, and those of Engine.
Task<Outcome> perform(Store& store, DomainRow domain, Request request, Deadline until);

/// Adds a thing of `device_class` (its JSON as text) to a running domain.
Task<Outcome> attach(Store& store, DomainRow domain, std::string device_class, std::string json,
                     Deadline until);
/// Takes it out. In doubt also means: asked, waiting for the guest; asked for once more, the guest
/// is asked again.
Task<Outcome> detach(Store& store, DomainRow domain, ThingName thing, Deadline until);
/// Puts the image `file` (absolute path, raw) into the CD drive `vdev`, in place of what was in it.
Task<Outcome> insert_medium(Store& store, DomainRow domain, std::string vdev, std::string file,
                            Deadline until);
Task<Outcome> eject_medium(Store& store, DomainRow domain, std::string vdev, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_OPERATION_HPP_
