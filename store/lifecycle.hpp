// SPDX-License-Identifier: MIT
// The life of an incarnation (DESIGN 7).
//
//   creating --------------------> running <------ soft reset: creating, then running
//      |  the creator died, or        |
//      |  QEMU died while starting    |
//      v                              v
//   destroying  <---------------------+   marked first (R14), under the destroy lock
//      |  QEMU killed and seen dead, socket gone
//      v
//   destroyed     the document goes with this last commit
//
// Creation holds the slow lock from the row's first commit to its end, so that recovery can tell a
// creator at work from one that died. QEMU does not begin to run before its pid is in the row
// (R13).
#ifndef XLSTORE_STORE_LIFECYCLE_HPP_
#define XLSTORE_STORE_LIFECYCLE_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/domain.hpp"
#include "store/engine.hpp"
#include "store/store.hpp"

namespace xlstore {

struct Created {
    DomainRow domain;
    std::vector<std::string>
        notes;  ///< things of the document that QEMU has not and cannot be given
};

/// Starts `command` (QEMU; its own monitor is added) as domain `domid` with this document, and
/// returns when it runs. Errors: invalid (document, command, a path too long for a socket), exists
/// (the domid is taken), gone (a destruction came first), refused (QEMU died while starting,
/// daemonized, or is wrapped): nothing is left running and the row is retired. `things`: what came
/// with a document from another store (store/migration.hpp); "": nothing did.
Task<Result<Created>> create_domain(Store& store, std::int64_t domid, std::string document,
                                    std::string what, std::vector<std::string> command,
                                    Deadline until, std::string things = {});

/// Gives a running domain a new QEMU: the old one is killed and seen dead, its intents settled by
/// that; row and document stay, and what the document has is put into the new QEMU. Errors: busy,
/// gone, io (the old one's death could not be seen: nothing was changed); unfinished (the old one
/// is dead, and the row could not be brought to that: a soft reset goes on); refused (the new one
/// died, daemonized or is wrapped: the domain has no QEMU then, and keeps its document).
Task<Result<Created>> soft_reset(Store& store, DomainRow domain, std::vector<std::string> command,
                                 Deadline until);

/// A document for a domain that runs elsewhere: running, no QEMU known. `things`: as above.
Task<Result<DomainRow>> import_domain(Store& store, std::int64_t domid, std::string document,
                                      std::string what, Deadline until, std::string things = {});

/// From the monitor's first answer on: initial devices, each qmp thing probed or attached, running.
/// Recovery finishes a dead creator's work with it. REQUIRES a registered QEMU in the row.
Task<Result<Created>> finish_creation(Store& store, DomainRow domain, SlowHold hold,
                                      Deadline until);

/// Destroys: marks, kills QEMU and sees it dead, removes its socket, the document last (R14).
/// Needs no slow lock (R9). Errors, with nothing changed: busy, store, io (also for a QEMU that
/// cannot be looked at: it looks before it marks). Error unfinished (R18):
/// the mark is committed, and a later destroy or recovery goes on; QEMU's death could not be seen,
/// the store could not be written, or its state cannot be read.
Task<Result<void>> destroy_domain(Store& store, DomainRow domain, Deadline until,
                                  std::string why = "QEMU is dead; the document went last");

/// The same, of a QEMU that cannot be looked at (Life::unknown: its pid namespace is not seen from
/// here, /proc hides it) on the caller's word that it is dead. One that is seen alive is killed, as
/// ever; one at whose monitor a process listens is not assumed dead. History tells that it was
/// assumed. Errors besides: refused (a process listens there: nothing was changed).
Task<Result<void>> destroy_assumed_dead(Store& store, DomainRow domain, Deadline until);

/// The same for a domain that may have no row yet: then a tombstone is left, which defeats the
/// creation of that domid and uuid for 60 s. True: there was a row, and it is destroyed.
Task<Result<bool>> destroy_or_forestall(Store& store, std::int64_t domid, std::string uuid,
                                        Deadline until);

/// Strikes a dead QEMU off a domain that is not over: open intents are settled (nothing of them is
/// in a dead QEMU), its things become stale, the document stays. Looks itself whether it is dead.
/// Errors: refused (it lives), lost, gone.
Task<Result<void>> strike_off_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until);

/// The same for one that may live: kills it first, and sees it dead.
/// Errors: io (its death could not be seen: nothing was changed), lost, gone.
Task<Result<void>> end_qemu(Store& store, DomainRow domain, SlowHold& hold, Deadline until);

/// Ends an incarnation whose QEMU is proved dead, or never ran, without killing anything.
/// REQUIRES that proof, and the slow lock if the row could change meanwhile. `why` goes into
/// history.
Task<Result<void>> retire_domain(Store& store, DomainRow domain, std::string why, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_LIFECYCLE_HPP_
