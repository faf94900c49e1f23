// SPDX-License-Identifier: MIT
// The order of the questions matters. What the guest was asked for comes first: until it has let
// go, or said no, what is seen besides may change by itself. Then what is half done, which is
// undone before anything is concluded from it. An image is proof only after both.
#include "store/operation/resolution.hpp"

#include <algorithm>

#include "store/operation/asked.hpp"
#include "store/qmp/probe.hpp"

namespace xlstore {

namespace {

// QEMU has gone on since that state: what is there may be any later operation's.
Evidence as_of_older_state(const std::vector<Intent>& intents, Evidence found)
{
    const bool older = std::ranges::any_of(intents, &Intent::older_state);
    if (!older) return found;
    found.overtaken = found.overtaken || (found.half && !found.image);
    found.half = false;
    found.leftover_fdsets.clear();
    return found;
}

}  // namespace

Probe probe_of(const std::vector<Intent>& intents)
{
    Probe whole = intents.front().draft.plan.probe;
    for (auto it = intents.begin() + 1; it != intents.end(); ++it)
        whole.products.insert(whole.products.end(), it->draft.plan.probe.products.begin(),
                              it->draft.plan.probe.products.end());
    return whole;
}

Task<Evidence> probe_intents(qmp::Monitor& monitor, const std::vector<Intent>& intents,
                             Deadline until)
{
    const Verb verb = intents.front().draft.verb;
    const Probe probe = probe_of(intents);
    auto found = co_await run_probe(monitor, verb, probe, until);
    found = as_of_older_state(intents, std::move(found));
    found.asked = still_there(asked_of(intents), found);
    co_return found;
}

bool is_half_done(const std::vector<Intent>& intents, const Evidence& found)
{
    return (found.half && found.asked.empty()) || has_more_to_ask(intents, found);
}

Resolution resolution_of(const Evidence& found)
{
    if (!found.asked.empty()) return Resolution::waits;
    if (found.half) return Resolution::stuck;
    if (found.overtaken) return Resolution::overtaken;
    if (!found.image) return Resolution::in_doubt;
    switch (*found.image) {
    case Image::after:
        return Resolution::done;
    case Image::before:
        return Resolution::undone;
    case Image::neither:
        break;
    }
    return Resolution::emptied;
}

}  // namespace xlstore
