// SPDX-License-Identifier: MIT
// The steps of the protocol, written down as they are taken, so that real runs can be held against
// the model (tests/model). Compiled in only with XLSTORE_CRASH_POINTS; otherwise a step is no code
// at all, but its name is checked all the same.
//
//   XLSTORE_TRACE=FILE   one line a step is appended: PID STEP INCARNATION DETAIL...
//
// A line is written before the step's effect can be seen by others: a commit's within its
// transaction, a lock's after it was taken and before it is given back. So the order of the lines
// of several processes is an order in which it can have happened. A process that was killed may
// have died between its last line and that line's effect. Any thread may write one.
#ifndef XLSTORE_STORE_TESTING_TRACE_HPP_
#define XLSTORE_STORE_TESTING_TRACE_HPP_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace xlstore {

struct TraceStep {
    std::string_view name;
    std::string_view meaning;
};

// In the header, since the compiler looks names up in it.
inline constexpr TraceStep kTraceSteps[] = {
    {"slow.taken", "the slow lock is held; its epoch"},
    {"slow.given", "the slow lock is about to be released"},
    {"slow.broken", "it is about to be taken from its holder"},
    {"connected", "the peer is proved and the barrier passed"},
    {"probed", "the holder looked; at which thing or intent, and what is there"},
    {"intent", "commit 1: an intent is opened; its number, verb and thing"},
    {"noted", "an intent stays open; its number, whether the guest was asked"},
    {"settled", "commit 2: an intent is closed; its number and the image that was seen"},
    {"commit", "the commit of a slow hold that has these lines before it; what for, the new epoch"},
    {"refused", "a commit of a slow hold was refused: the domain is not as the hold left it"},
    {"sending", "a command of a plan is about to be sent"},
    {"replied", "QEMU answered it, or did not"},
    {"row", "a row is about to be there; its state, domid and uuid"},
    {"forestalled", "a tombstone of that domid and uuid is used up instead"},
    {"tombstone", "a destruction found no row of that domid and uuid"},
    {"spawned", "the waiting child exists; its pid"},
    {"start_barrier", "its start barrier is about to open"},
    {"destroy.locked", "the destroy lock is held"},
    {"destroy.mark", "the row is about to be marked"},
    {"destroy.kill", "QEMU is about to be killed; its pid"},
    {"destroy.dead", "QEMU is seen dead, or there is none"},
    {"destroy.unlink", "the socket is about to go"},
    {"destroy.end", "the document is about to go"},
};

/// The row of `name`. A name without a row is no constant expression: the compiler stops here.
consteval std::size_t trace_row(std::string_view name)
{
    for (std::size_t row = 0; row < std::size(kTraceSteps); ++row)
        if (kTraceSteps[row].name == name) return row;
    throw "no such row in kTraceSteps";
}

/// Appends a line if the environment names a file. `incarnation` is 0 where there is none yet.
/// What cannot be written ends in abort(): a test would otherwise pass on half a trace.
void trace(std::size_t row, std::int64_t incarnation, const std::string& detail = {}) noexcept;

}  // namespace xlstore

#ifdef XLSTORE_CRASH_POINTS
#define XLSTORE_TRACE(name, ...) ::xlstore::trace(::xlstore::trace_row(name), __VA_ARGS__)
#else
#define XLSTORE_TRACE(name, ...) \
    (false ? ::xlstore::trace(::xlstore::trace_row(name), __VA_ARGS__) : void())
#endif

#endif  // XLSTORE_STORE_TESTING_TRACE_HPP_
