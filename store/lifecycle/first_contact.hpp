// SPDX-License-Identifier: MIT
// The first meeting with a QEMU: the first answer of its monitor, and the proof of who gave it
// (R11). From then on every connection is held against what was seen here (qmp::Registration).
//
// What is proved: the process that was started or named is alive, and either it called listen() on
// that socket (SO_PEERCRED) or, handed in, it holds the other end of the connection that was made.
// In both cases the pid is a number in this process's pid namespace: a QEMU in a namespace below it
// (a deprivileged one) has such a number, one elsewhere has none and cannot be registered from
// here. Of a stub domain's QEMU, which runs in another domain, what is proved is the process that
// serves the socket on this host: its death is what "dead" means in that row.
//
// A peer that is not proved is sent nothing and is not signalled.
#ifndef XLSTORE_STORE_LIFECYCLE_FIRST_CONTACT_HPP_
#define XLSTORE_STORE_LIFECYCLE_FIRST_CONTACT_HPP_

#include <optional>
#include <string>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/qmp/monitor.hpp"

namespace xlstore {

/// Waits until the monitor of the QEMU that `domain` registered, and that is starting, answers; the
/// registration with what was seen. Errors: refused (it died: with its last words; or another
/// process is at its monitor: it daemonized, or is wrapped), timeout, protocol.
Task<Result<qmp::Registration>> meet(Store& store, DomainRow domain, Deadline until);

/// "QEMU died while starting", with its last words.
[[nodiscard]] Task<Error> died_while_starting(Loop& loop, DomainRow domain);

/// A QEMU that another program started, met over its monitor. The connection stays.
struct FirstContact {
    qmp::Monitor monitor;
    qmp::Registration registration;
};
/// `qemu`: the process that has to be there; it is waited for until it listens, as long as it
/// lives. Nothing: the process that listens at `path` now. `handed_in` needs `qemu`.
/// Errors: invalid, refused, no_qemu, protocol, timeout.
Task<Result<FirstContact>> contact_running(Store& store, std::string subject, std::string path,
                                           std::optional<ProcessId> qemu, bool handed_in,
                                           Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_FIRST_CONTACT_HPP_
