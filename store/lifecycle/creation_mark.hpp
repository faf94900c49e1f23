// SPDX-License-Identifier: MIT
// The mark of a creation: a random word that its child is given in its environment
// (XLSTORE_CREATION) and that stands in the row until QEMU's monitor has answered. A command that
// daemonizes, or wraps QEMU, starts processes other than the one that was registered; they inherit
// the mark, and by it alone are they known as this creation's, to be ended with it (R11).
//
// Why the environment. A command line or a path can be that of any process, the embedder's own
// included, which names the path of the socket that it hands in. The mark is 128 random bits that
// stand nowhere else: a process has it because it, or an ancestor, was started by this creation, or
// because an equally privileged process copied it on purpose. It goes through fork, exec, setsid
// and daemon(), outlives the creator, can be looked for in any later process of the store's user,
// and needs no right that the store has not got. A cgroup would take QEMU out of the one that the
// toolstack put it in, and needs a delegated hierarchy. An inherited descriptor is closed by
// wrappers that close what they do not know, and what has to stay open across QEMU's exec is
// inherited by every program that QEMU starts, for good.
//
// What it cannot see: a process whose wrapper clears the environment (env -i, sudo), or whose
// environment this user may not read. Such a one is never signalled: the creation is refused and
// names the pid at the monitor, xlfsck reports it.
#ifndef XLSTORE_STORE_LIFECYCLE_CREATION_MARK_HPP_
#define XLSTORE_STORE_LIFECYCLE_CREATION_MARK_HPP_

#include <sys/types.h>

#include <optional>
#include <string>

#include "store/event/loop.hpp"
#include "store/event/task.hpp"
#include "store/os/process.hpp"

namespace xlstore {

/// "XLSTORE_CREATION=…", for the environment of the child.
[[nodiscard]] std::string environment_with_mark(const std::string& mark);

struct MarkedProcess {
    pid_t pid = 0;
    PidFd process;  ///< of that very process: held before its environment was read
};
/// A living process other than this one that bears `mark`; nothing: none that can be seen. Looks
/// at a few processes at a time, so that the loop goes on (R20).
/// @throws IoError  it could not look: /proc, a process that cannot be held, or until `until`, and
/// for a second at least, there were always processes that it had not looked at
Task<std::optional<MarkedProcess>> find_marked(Loop& loop, std::string mark, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_CREATION_MARK_HPP_
