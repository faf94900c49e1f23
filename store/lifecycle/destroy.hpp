// SPDX-License-Identifier: MIT
// The end of an incarnation, and of a QEMU (R14). An incarnation's life:
//
//   creating --------------------> running <------ soft reset: creating, then running
//      |  the creator died, or        |
//      |  QEMU died while starting    |
//      v                              v
//   destroying  <---------------------+   marked first (R14), under the destroy lock
//      |  QEMU killed and seen dead, socket gone, its devices out of xenstore
//      v
//   destroyed     the document goes with this last commit
//
// Once the mark is committed, a later destroy or recovery goes on with it.
#ifndef XLSTORE_STORE_LIFECYCLE_DESTROY_HPP_
#define XLSTORE_STORE_LIFECYCLE_DESTROY_HPP_

#include <optional>
#include <string>

#include "store/core/store.hpp"
#include "store/lifecycle/creation_mark.hpp"
#include "store/model/domain_row.hpp"

namespace xlstore {

/// Destroys: marks, kills QEMU and sees it dead, removes its socket, takes its devices out of
/// xenstore (device_ending.hpp), the document last (R14).
/// Needs no slow lock (R9). Errors, with nothing changed: timeout, store, io (also for a QEMU that
/// cannot be looked at: it looks before it marks), not_found (an adoption that failed has taken its
/// import, this row, back: the domain runs on). Error unfinished (R18):
/// the mark is committed, and a later destroy or recovery goes on; QEMU's death could not be seen,
/// xenstored does not answer, the store could not be written, or its state cannot be read.
/// `why` goes into history; "": what is proved, that its QEMU is dead, that it had none, or that
/// its boot is over.
Task<Result<void>> destroy_domain(Store& store, DomainRow domain, Deadline until,
                                  std::string why = {});

/// Evidence of an end without a look at QEMU: the row is of another boot than this process is.
inline constexpr const char* kBootIsOver = "the host was booted since, or is another one";

/// The first step alone: from now on what attaches, edits or creates is refused (R8), and only a
/// destruction is left: a later destroy, or recovery, goes on with it. For a toolstack that ends
/// QEMU itself. Errors, with nothing changed: timeout, store, io, not_found, as above.
Task<Result<void>> mark_destroying(Store& store, DomainRow domain, Deadline until);

/// The same, of a QEMU that cannot be looked at (Life::unknown: its pid namespace is not seen from
/// here, /proc hides it) on the caller's word that it is dead. One that is seen alive is killed, as
/// ever; one at whose monitor a process listens is not assumed dead. History tells that it was
/// assumed. Errors besides: refused (a process listens there: nothing was changed).
Task<Result<void>> destroy_assumed_dead(Store& store, DomainRow domain, Deadline until);

/// Unregisters the dead QEMU of a domain that is not over: open intents are settled (nothing of
/// them is in a dead QEMU), its things become stale, the document stays. Looks itself whether it is
/// dead. Errors: refused (it lives), lost, gone.
Task<Result<void>> unregister_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until);

/// The same for one that may live: kills it first, and sees it dead. Errors: io (it cannot be
/// looked at or signalled: nothing was changed), unfinished (it was killed, and is not seen dead
/// yet), lost, gone.
Task<Result<void>> end_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until);

/// A process that the creation of `domain` started and that no row has, as a QEMU that daemonized:
/// it bears the creation's mark. Nothing: none that can be seen, or QEMU's monitor has answered.
/// @throws IoError  as find_marked()
Task<std::optional<MarkedProcess>> find_left(Store& store, DomainRow domain, Deadline until);

/// Ends an incarnation whose QEMU is proved dead, or never ran, without killing anything.
/// REQUIRES that proof, and the slow lock if the row could change meanwhile. `why` goes into
/// history.
Task<Result<void>> archive_domain(Store& store, DomainRow domain, std::string why, Deadline until);

/// The same, and takes its devices out of xenstore before (R1): of a creation of this library's
/// that no process will finish. Errors besides: unfinished, xenstored does not answer.
Task<Result<void>> abandon_domain(Store& store, DomainRow domain, std::string why, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_DESTROY_HPP_
