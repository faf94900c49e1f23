// SPDX-License-Identifier: MIT
// One row a problem, ascending by code: code, name, what is wrong, the question, what is said once
// it is fixed, whether an unattended run may fix it, and the exit bit if it stays. docs_test.py
// compares the rows with the manual, and a unit test wants the codes to ascend and the names to
// differ.
#include "recovery/base/problem.hpp"

#include <algorithm>
#include <array>

namespace xlstore::recovery {

namespace {

// clang-format off
constexpr std::array kProblems = {
    Problem{Code::database_damaged, "database_damaged", "the database is damaged", "Make a new one of what can be read", "SAVED", false, Exit::left},
    Problem{Code::database_breach, "database_breach", "the rows contradict each other", "", "", false, Exit::left},
    Problem{Code::log_race, "log_race", "this SQLite can lose rows when a checkpoint overlaps a commit; mitigated: ours run under the writer lock", "", "", false, Exit::clean},
    Problem{Code::log_large, "log_large", "the log is large", "Checkpoint it", "CHECKPOINTED", true, Exit::clean},
    Problem{Code::log_held, "log_held", "the log grows: a reader does not come to an end", "", "", false, Exit::outside},
    Problem{Code::database_behind, "database_behind", "a process began to work on the store while a copy of it was looked at", "", "", false, Exit::blind},
    Problem{Code::schema_changed, "schema_changed", "is not as the store makes it", "Put it right", "RESTORED", true, Exit::left},
    Problem{Code::index_damaged, "index_damaged", "an index disagrees with its table", "Make the indexes anew", "REINDEXED", false, Exit::left},
    Problem{Code::row_lost, "row_lost", "could not be saved", "", "", false, Exit::left},
    Problem{Code::row_rebuilt, "row_rebuilt", "could be saved in part", "", "", false, Exit::left},
    Problem{Code::row_set_aside, "row_set_aside", "could be read, has no place, and is quarantined", "", "", false, Exit::left},
    Problem{Code::database_missing, "database_missing", "there is no database", "Make an empty one", "MADE", false, Exit::left},
    Problem{Code::salvage_untold, "salvage_untold", "it was saved, and what could not be saved was perhaps not told", "Tell it once more", "TOLD", true, Exit::left},
    Problem{Code::database_unseen, "database_unseen", "the database could not be read; that proves nothing of it, and nothing was replaced", "", "", false, Exit::blind},
    Problem{Code::row_dangling, "row_dangling", "a row names one that is missing", "Quarantine it", "QUARANTINED", false, Exit::left},
    Problem{Code::pages_resized, "pages_resized", "its pages are of another size than a store's; 'xlfsck -y' writes it anew", "", "", false, Exit::left},
    Problem{Code::database_older, "database_older", "its database is an older state of it, or may be; no QEMU of it lives", "Make it this place's store", "SETTLED", true, Exit::left},
    Problem{Code::database_older_in_use, "database_older_in_use", "its database is an older state of it, or may be, and QEMUs live", "Make it this place's store, and ask the QEMUs", "SETTLED", false, Exit::left},
    Problem{Code::store_moved, "store_moved", "it came here from another directory; no QEMU of it lives", "Make it this place's store", "SETTLED", true, Exit::left},
    Problem{Code::store_moved_in_use, "store_moved_in_use", "it came here from another directory, and QEMUs live", "Make it this place's store, and ask the QEMUs", "SETTLED", false, Exit::left},
    Problem{Code::store_is_copy, "store_is_copy", "it is a copy, and the QEMUs belong to the store that it was copied from", "", "", false, Exit::left},
    Problem{Code::store_of_another_machine, "store_of_another_machine", "it came here from another machine, and its QEMUs may live there", "Make it this place's store, and mark destroyed what ran there", "SETTLED", false, Exit::left},
    Problem{Code::copy_without_log, "copy_without_log", "it came here from another directory without its log, which may have its last commits", "Make it this place's store as it is, without them", "SETTLED", false, Exit::left},
    Problem{Code::numbers_low, "numbers_low", "its numbers would be given again", "Go on above all that were given", "RAISED", true, Exit::left},
    Problem{Code::numbers_high, "numbers_high", "its numbers are far above all that were given", "Go on above all that were given", "LOWERED", true, Exit::left},
    Problem{Code::entry_unreadable, "entry_unreadable", "its text cannot be read", "Quarantine the text and keep what is known of it otherwise", "QUARANTINED", false, Exit::left},
    Problem{Code::entry_class_unknown, "entry_class_unknown", "is of no known class", "", "", false, Exit::left},
    Problem{Code::entry_key_differs, "entry_key_differs", "its text is that of another thing", "", "", false, Exit::left},
    Problem{Code::entry_primary_differs, "entry_primary_differs", "its row and its text name different primaries", "Believe the text", "CORRECTED", true, Exit::left},
    Problem{Code::member_unreadable, "member_unreadable", "its text cannot be read", "Quarantine the text and take it out of the document", "QUARANTINED", false, Exit::left},
    Problem{Code::member_key_differs, "member_key_differs", "is spelled as another key", "Spell it anew", "CORRECTED", true, Exit::left},
    Problem{Code::member_misplaced, "member_misplaced", "does not belong there", "Quarantine it", "QUARANTINED", false, Exit::left},
    Problem{Code::array_unlisted, "array_unlisted", "has entries, and no place in the document", "Give it one", "LISTED", true, Exit::left},
    Problem{Code::identity_differs, "identity_differs", "it is not that of its domain", "Write the domain's name and uuid into it", "CORRECTED", false, Exit::left},
    Problem{Code::document_differs, "document_differs", "SQL shows another document than the library", "", "", false, Exit::left},
    Problem{Code::member_missing, "member_missing", "the document has lost it", "", "", false, Exit::left},
    Problem{Code::entry_orphaned, "entry_orphaned", "is being changed, and no intent says how", "Call it present", "CALLED PRESENT", true, Exit::left},
    Problem{Code::session_dead, "session_dead", "the process of this session is gone", "Remove its row", "REMOVED", true, Exit::clean},
    Problem{Code::creation_owned, "creation_owned", "is being created by a living process", "", "", false, Exit::clean},
    Problem{Code::creation_abandoned, "creation_abandoned", "its creator died and its QEMU does not run", "Mark it destroyed", "MARKED DESTROYED", true, Exit::left},
    Problem{Code::creation_unfinished, "creation_unfinished", "its creator died and its QEMU runs", "Finish the creation", "FINISHED", true, Exit::left},
    Problem{Code::destruction_owned, "destruction_owned", "is being destroyed by a living process", "", "", false, Exit::clean},
    Problem{Code::destruction_unfinished, "destruction_unfinished", "its destruction was ordered and not finished", "Finish it", "FINISHED", true, Exit::left},
    Problem{Code::older_boot, "older_boot", "belongs to an older boot of this host, or to another host", "Mark it destroyed", "MARKED DESTROYED", true, Exit::left},
    Problem{Code::qemu_dead, "qemu_dead", "its QEMU is dead", "Unregister it and keep the document", "UNREGISTERED", true, Exit::left},
    Problem{Code::qemu_unseen, "qemu_unseen", "could not look whether its QEMU lives", "", "", false, Exit::blind},
    Problem{Code::document_closed, "document_closed", "its document is closed: changes are refused until it is opened", "", "", false, Exit::clean},
    Problem{Code::creation_older, "creation_older", "its creation was under way in an older state of the store, and its QEMU runs", "Register it as it is", "REGISTERED", true, Exit::left},
    Problem{Code::domain_unknown, "domain_unknown", "Xen has no such domain, and no QEMU stands for it", "Mark it destroyed", "MARKED DESTROYED", false, Exit::left},
    Problem{Code::creation_unmade, "creation_unmade", "its creator died, and Xen has no such domain", "Mark it destroyed", "MARKED DESTROYED", true, Exit::left},
    Problem{Code::creation_made, "creation_made", "its creator died, and Xen has the domain", "Finish the creation", "FINISHED", true, Exit::left},
    Problem{Code::destruction_of_libxl, "destruction_of_libxl", "its destruction by libxl was begun, and its QEMU lives: libxl may have kept the domain", "", "", false, Exit::outside},
    Problem{Code::intent_owned, "intent_owned", "a living process is at work on it", "", "", false, Exit::clean},
    Problem{Code::intent_done, "intent_done", "is as the intent wanted it", "Settle", "SETTLED", true, Exit::left},
    Problem{Code::intent_undone, "intent_undone", "is as it was before the intent", "Settle", "SETTLED", true, Exit::left},
    Problem{Code::intent_emptied, "intent_emptied", "the drive is empty", "Settle", "SETTLED", true, Exit::left},
    Problem{Code::intent_half_done, "intent_half_done", "stopped half-way", "Undo what it did", "UNDONE", true, Exit::left},
    Problem{Code::intent_waits, "intent_waits", "the guest was asked to let go and still has it", "", "", false, Exit::outside},
    Problem{Code::intent_in_doubt, "intent_in_doubt", "nothing is proved", "", "", false, Exit::blind},
    Problem{Code::intent_unreadable, "intent_unreadable", "the intent cannot be read back", "", "", false, Exit::left},
    Problem{Code::intents_left, "intents_left", "its time was over", "", "", false, Exit::left},
    Problem{Code::intent_overtaken, "intent_overtaken", "QEMU has gone on since, and has neither image of it", "Close it, and keep what is there", "CLOSED", true, Exit::left},
    Problem{Code::intent_ended, "intent_ended", "was under way when the boot of its host ended, and is in no QEMU and no xenstore any more", "", "", false, Exit::clean},
    Problem{Code::eviction_unfinished, "eviction_unfinished", "is to be taken out of QEMU, and the process that was at it is gone", "Take it out", "TAKEN OUT", false, Exit::left},
    Problem{Code::primary_owned, "primary_owned", "a living process is at work on it: it was not looked into", "", "", false, Exit::clean},
    Problem{Code::primary_unseen, "primary_unseen", "its QEMU could not be looked into", "", "", false, Exit::blind},
    Problem{Code::thing_unknown, "thing_unknown", "is in QEMU, and no entry says so", "Adopt it", "ADOPTED", true, Exit::left},
    Problem{Code::thing_unwanted, "thing_unwanted", "is in QEMU, and no entry says so", "Take it out", "TAKEN OUT", false, Exit::left},
    Problem{Code::thing_absent, "thing_absent", "its entry calls it present, and QEMU does not have it", "Call the entry stale", "STALE", true, Exit::left},
    Problem{Code::thing_partial, "thing_partial", "QEMU has only a part of it", "", "", false, Exit::left},
    Problem{Code::thing_back, "thing_back", "its entry is stale, and QEMU has it", "Call the entry present", "PRESENT", true, Exit::left},
    Problem{Code::medium_other, "medium_other", "the drive holds another medium than its entry names", "Put what it holds into the entry", "ADOPTED", true, Exit::left},
    Problem{Code::medium_unknown, "medium_unknown", "the drive holds a medium that no entry names, and none can be made for it", "", "", false, Exit::left},
    Problem{Code::medium_gone, "medium_gone", "the drive is empty, and its entry names a medium", "Call the entry stale", "STALE", true, Exit::left},
    Problem{Code::thing_perhaps_initial, "thing_perhaps_initial", "is in QEMU, and no entry says so; whether QEMU was started with it is not known", "Adopt it", "ADOPTED", false, Exit::left},
    Problem{Code::thing_unasked, "thing_unasked", "QEMU is not asked about it", "", "", false, Exit::clean},
    Problem{Code::usb_replugged, "usb_replugged", "was unplugged from the host since QEMU got it", "", "", false, Exit::clean},
    Problem{Code::xenstore_absent, "xenstore_absent", "xenstore is not there to be asked: its devices are taken at their entries' word", "", "", false, Exit::clean},
    Problem{Code::xenstore_unseen, "xenstore_unseen", "xenstore could not be looked into", "", "", false, Exit::blind},
    Problem{Code::device_unknown, "device_unknown", "is in xenstore, and no entry says so", "Adopt it", "ADOPTED", true, Exit::left},
    Problem{Code::device_absent, "device_absent", "its entry calls it present, and xenstore does not have it", "Call the entry stale", "STALE", true, Exit::left},
    Problem{Code::device_back, "device_back", "its entry is stale, and xenstore has it", "Call the entry present", "PRESENT", true, Exit::left},
    Problem{Code::device_partial, "device_partial", "xenstore has only a part of it", "Take out the rest", "TAKEN OUT", false, Exit::left},
    Problem{Code::device_leaving, "device_leaving", "its removal was begun and not finished", "Finish it", "FINISHED", false, Exit::left},
    Problem{Code::device_waits, "device_waits", "its removal was begun, and its back end has not let go", "", "", false, Exit::outside},
    Problem{Code::device_unconnected, "device_unconnected", "it is not connected", "Run its hotplug script", "CONNECTED", false, Exit::left},
    Problem{Code::copy_differs, "copy_differs", "xenstore says otherwise than QEMU has it", "Write it into xenstore as QEMU has it", "WRITTEN", true, Exit::left},
    Problem{Code::device_strange, "device_strange", "xenstore has it in a form that no toolstack writes", "", "", false, Exit::left},
    Problem{Code::pci_owner_left, "pci_owner_left", "is noted as given to the domain, which does not have it: no domain can be given it", "Take the note away", "TAKEN AWAY", true, Exit::left},
    Problem{Code::device_kept, "device_kept", "its entry calls it on its way out, and xenstore was not asked to take it out", "Call the entry present", "PRESENT", true, Exit::left},
    Problem{Code::socket_left, "socket_left", "no process listens, and its domain is gone", "Remove it", "REMOVED", true, Exit::clean},
    Problem{Code::socket_served, "socket_served", "a process listens, and its domain is gone", "", "", false, Exit::outside},
    Problem{Code::qemu_unknown, "qemu_unknown", "is a QEMU of this store, and no domain has it", "", "", false, Exit::outside},
    Problem{Code::log_left, "log_left", "the domain that it tells of is gone", "Remove it", "REMOVED", false, Exit::clean},
    Problem{Code::surroundings_unseen, "surroundings_unseen", "could not be looked into", "", "", false, Exit::blind},
    Problem{Code::qemu_homeless, "qemu_homeless", "runs, and no row knows it", "Register it", "REGISTERED", false, Exit::left},
    Problem{Code::kept_too_long, "kept_too_long", "is kept past its bound", "Prune it", "PRUNED", true, Exit::clean},
    Problem{Code::nodes_left, "nodes_left", "is left in xenstore of a domain that is over", "Remove it", "REMOVED", false, Exit::left},
    Problem{Code::domain_survives, "domain_survives", "is destroyed in the store, and Xen has it still", "", "", false, Exit::outside},
    Problem{Code::host_document_unfinished, "host_document_unfinished", "Xen has no configuration of it: its toolstack was killed before the file was put in its place", "Put it in its place", "WRITTEN", true, Exit::left},
    Problem{Code::host_document_missing, "host_document_missing", "Xen has no configuration of it: its toolstack was killed while it created the domain, or the file was lost", "Write one of what Xen and QEMU show", "WRITTEN", false, Exit::left},
    Problem{Code::host_document_damaged, "host_document_damaged", "Xen's configuration of it cannot be used", "Keep a copy, and write one of what Xen and QEMU show", "REPLACED", false, Exit::left},
    Problem{Code::host_document_open_ended, "host_document_open_ended", "Xen's configuration of it has no NUL at its end, and libxl reads on past that", "Write it anew", "WRITTEN", true, Exit::left},
    Problem{Code::host_document_unseen, "host_document_unseen", "Xen's configuration of it could not be looked at", "", "", false, Exit::blind},
    Problem{Code::host_document_left, "host_document_left", "is the configuration of a domain that is over; one with the same number and uuid would inherit it", "Keep a copy, and remove it", "REMOVED", false, Exit::clean},
    Problem{Code::host_thing_unlisted, "host_thing_unlisted", "the domain has it, and Xen's configuration does not list it", "Write it into the configuration", "WRITTEN", true, Exit::left},
    Problem{Code::host_thing_stale, "host_thing_stale", "Xen's configuration lists it, and the domain does not have it: xl leaves it so after a detach", "", "", false, Exit::clean},
    Problem{Code::host_medium_other, "host_medium_other", "the guest has another medium in the drive than Xen's configuration says: xl was killed between the two", "Write what the drive holds into the configuration", "WRITTEN", true, Exit::left},
    Problem{Code::host_medium_gone, "host_medium_gone", "the drive is empty, and Xen's configuration names a medium: xl was killed after the eject", "Write the empty drive into the configuration", "WRITTEN", true, Exit::left},
    Problem{Code::host_medium_unnamable, "host_medium_unnamable", "the guest has a medium in the drive that Xen's configuration cannot name", "", "", false, Exit::left},
    Problem{Code::host_vcpu_unlisted, "host_vcpu_unlisted", "the guest has this processor, and Xen's configuration does not: xl was killed in the middle of 'xl vcpu-set'", "Write it into the configuration", "WRITTEN", true, Exit::left},
    Problem{Code::host_vcpu_note, "host_vcpu_note", "was added by 'xl vcpu-set', which does not write it into the configuration", "", "", false, Exit::clean},
    Problem{Code::host_thing_partial, "host_thing_partial", "the guest has only a part of it", "", "", false, Exit::left},
    Problem{Code::host_thing_perhaps_initial, "host_thing_perhaps_initial", "the domain has it, Xen's configuration does not list it, and whether QEMU was started with it is not known", "Write it into the configuration", "WRITTEN", false, Exit::left},
    Problem{Code::host_model_gone, "host_model_gone", "its device model is gone: it died, or xl was killed while it destroyed the domain", "", "", false, Exit::outside},
    Problem{Code::host_domain_bare, "host_domain_bare", "Xen has the domain, and what libxl keeps of it is gone: xl was killed while it destroyed or created it", "", "", false, Exit::outside},
    Problem{Code::host_domain_unseen, "host_domain_unseen", "the domain could not be looked at", "", "", false, Exit::blind},
    Problem{Code::host_domain_begun, "host_domain_begun", "a toolstack may be creating it just now, and it has no configuration yet", "", "", false, Exit::clean},
    Problem{Code::hypervisor_unasked, "hypervisor_unasked", "the hypervisor was not asked which domains it has: those that xenstore and the files do not name were not seen", "", "", false, Exit::clean},
};
// clang-format on

constexpr bool strictly_ascending()
{
    return std::is_sorted(kProblems.begin(), kProblems.end(),
                          [](const Problem& a, const Problem& b) { return a.code <= b.code; });
}
static_assert(strictly_ascending(), "a code is repeated or out of order");

}  // namespace

bool is_always_said(Code code) noexcept
{
    return code == Code::document_closed || code == Code::intent_ended ||
           code == Code::intent_owned || code == Code::primary_owned ||
           code == Code::creation_owned || code == Code::destruction_owned ||
           code == Code::host_domain_begun;
}

std::span<const Problem> problems()
{
    return kProblems;
}

const Problem& problem(Code code)
{
    return *std::find_if(kProblems.begin(), kProblems.end(),
                         [&](const Problem& p) { return p.code == code; });
}

}  // namespace xlstore::recovery
