// SPDX-License-Identifier: MIT
#include "recovery/libxl/host_words.hpp"

namespace xlstore::recovery {

Code host_code(Code found, const std::optional<ThingName>& thing, bool monitor_lock_left)
{
    const bool of_processor = thing && thing->device_class == "vcpus";
    switch (found) {
    case Code::thing_unknown:
        if (!of_processor) return Code::host_thing_unlisted;
        return monitor_lock_left ? Code::host_vcpu_unlisted : Code::host_vcpu_note;
    case Code::device_unknown:
        return Code::host_thing_unlisted;
    case Code::thing_absent:
    case Code::device_absent:
        return Code::host_thing_stale;
    case Code::thing_perhaps_initial:
        return Code::host_thing_perhaps_initial;
    case Code::thing_partial:
        return Code::host_thing_partial;
    case Code::medium_other:
        return Code::host_medium_other;
    case Code::medium_unknown:
        return Code::host_medium_unnamable;
    case Code::medium_gone:
        return Code::host_medium_gone;
    default:
        return found;
    }
}

}  // namespace xlstore::recovery
