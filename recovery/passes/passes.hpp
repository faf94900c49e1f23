// SPDX-License-Identifier: MIT
// The passes, declared in the order in which a run takes them; each relies on what those before it
// have established. Pass 2 runs after 3 to 5, because the intents that these settle may name dead
// sessions; its number is that of its problems. Each file opens with what it checks, relies on and
// leaves.
#ifndef XLSTORE_RECOVERY_PASSES_PASSES_HPP_
#define XLSTORE_RECOVERY_PASSES_PASSES_HPP_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"
#include "recovery/base/undo_recorder.hpp"
#include "recovery/passes/reach.hpp"
#include "recovery/salvage/integrity.hpp"
#include "store/core/store.hpp"
#include "store/model/domain_row.hpp"

namespace xlstore::recovery {

/// The outcome of a commit; Error io where the disk has no room for it: nothing was done, which is
/// said of this one, and keeps no other from its turn (R21, R22). @throws what else `commit` throws
Task<Result<void>> unless_full(Task<Result<void>> commit);

struct DatabaseState {
    bool sound = true;   ///< false: nothing for the other passes to do
    std::string damage;  ///< why it has to be replaced
};
/// Pass 0, of what SQLite says. `look`: integrity_of(), wherever it was done.
Task<DatabaseState> pass0_integrity(Check& check, Store& store, std::function<Integrity()> look);
/// And of what the rows say. `undo` keeps what is replaced of the schema; nullptr: nothing is
/// written.
Task<DatabaseState> pass0_rows(Check& check, Store& store, UndoRecorder* undo);
Task<void> pass1_documents(Check& check, Store& store);
/// What a glance at domains that only looks has seen.
struct LivesSeen {
    std::vector<DomainRow> living;        ///< their QEMUs live, or they have none
    std::vector<DomainRow> without_qemu;  ///< they run, and their QEMUs are dead: it was told
    std::vector<DomainRow> others;        ///< nothing was told: pass3_lifecycle() looks at them
};
/// Pass 3 of what it can tell of many at once. REQUIRES check.looking_only().
[[nodiscard]] LivesSeen glance_at_lives(Check& check, Store& store, std::vector<DomainRow> domains);
/// 3009, where a document is closed: what refuses each change is named, with the way out: its
/// closer may be dead.
[[nodiscard]] std::optional<Subject> closed_note(Db& db, const DomainRow& domain);
/// "QEMU 7", of a domain that has one.
[[nodiscard]] std::string qemu_words(const DomainRow& domain);
/// By its row as it is now: a list of them may be old. True: it runs; its QEMU, if it has one, may
/// be dead.
Task<bool> pass3_lifecycle(Check& check, Store& store, DomainId id);
/// These two under one slow lock, over one connection: what is in QEMU without an entry can only be
/// told once no intent is open.
Task<void> pass4_intents(Check& check, Store& store, DomainRow domain, Reached& reached);
/// What came of a repair, of which the guest may keep a part waiting.
void tell_outcome(Check& check, Code code, Subject about, const Result<void>& done);
/// Pass 4 of a domain whose boot is over: each open intent is named, and QEMU is not asked.
void tell_ended_intents(Check& check, Store& store, const DomainRow& domain);
/// True: its QEMU was looked into, and its entries are as it showed.
Task<bool> pass5_primaries(Check& check, Store& store, DomainRow domain, Reached& reached);
/// What xenstore has of a running domain, with a QEMU or without. Where no xenstored listens
/// nothing is looked for, and nothing is said but by note_xenstore_absent(), once a run. `undo`:
/// nullptr when nothing is written. `reached`: the domain's QEMU, for as long as this lasts;
/// nullptr where there is none.
Task<void> pass5_xenstore(Check& check, Store& store, DomainRow domain, UndoRecorder* undo,
                          Reached* reached, bool qemu_was_seen);
void note_xenstore_absent(Check& check, Store& store);
/// Rows of sessions whose processes are gone. Of the whole store, as all that follow.
Task<void> pass2_sessions(Check& check, Store& store);
/// Sockets, logs and QEMUs that no domain has; removes nothing that a living process uses.
void pass6_surroundings(Check& check, Store& store);
/// What a host says of its domains, where the store has no rows of them.
struct KnownDomains {
    std::set<std::int64_t> living;
    /// Xenstore had them, with these uuids ("": none), and then the hypervisor had not.
    std::map<std::int64_t, std::string> over;
    std::set<std::string> uuids;  ///< of the living
};
/// What xenstore has of domains that are over: by the rows of the store, and by `known` where it is
/// given.
Task<void> pass6_xenstore(Check& check, Store& store, UndoRecorder* undo,
                          const KnownDomains* known = nullptr);
/// Takes away what is kept past its bound.
Task<void> pass6_keeping(Check& check, Store& store);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_PASSES_HPP_
