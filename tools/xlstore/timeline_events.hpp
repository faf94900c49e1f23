// SPDX-License-Identifier: MIT
// What became of a domain or an intent, in the order of time: the events that a timeline draws.
#ifndef XLSTORE_TOOLS_XLSTORE_TIMELINE_EVENTS_HPP_
#define XLSTORE_TOOLS_XLSTORE_TIMELINE_EVENTS_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/xlstore/found_domain.hpp"

namespace xlstore::tools {

struct TimelineEvent {
    std::int64_t line = 0;  ///< of history; 0: an intent that is open
    std::optional<std::int64_t> opened_us;  ///< when its intent was committed
    std::int64_t at_us = 0;                 ///< when it was closed; of an open one: now
    std::string lane;                       ///< "usbctrls/0", or "domain"
    std::string what;                       ///< "add usbctrls/0"
    std::string intent;                     ///< its number; "": none
    std::string outcome;                    ///< "done", "not done", "begun", "open"
    std::string by;                         ///< the process that closed it
    std::string asked_by;                   ///< the process that opened it
    std::vector<std::string> commands;      ///< of QMP, in order, without arguments
    std::string evidence;
    /// It was closed by another process than the one that opened it: that one had died, or left it.
    [[nodiscard]] bool taken_over() const { return !asked_by.empty() && asked_by != by; }
};

struct Timeline {
    std::string subject;  ///< "domain 7 (web01)", "intent 4 of domain 7 (web01)"
    std::int64_t made_us = 0;
    std::vector<TimelineEvent> events;  ///< in the order of at_us
};

/// Of the domain that the first word names, or of the intent `arguments.intent`; at most the last
/// 2000 events, or --limit. Errors: not_found.
Result<Timeline> timeline_of(const Arguments& arguments);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_TIMELINE_EVENTS_HPP_
