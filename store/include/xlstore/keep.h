/* SPDX-License-Identifier: MIT
 *
 * What is kept: documents of domains that are over, undo, pruning, backups; and libxl's own
 * documents. Rules for threads, forks, errors, structs, text and time: xlstore.h, which includes
 * this.
 */
#ifndef XLSTORE_KEEP_H_
#define XLSTORE_KEEP_H_

#include "xlstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* The document that a destroyed domain had at its end, as libxl would have written it: it is kept
 * for 90 days, and of the last 1000 such domains. `domain`: as for xlstore_find_incarnation, among
 * destroyed ones alone; the newest that is kept. `things_out` (may be NULL): what
 * xlstore_outgoing_domain() gives beside a document, or NULL where there is nothing. `id_out` (may
 * be NULL): the incarnation that it was. `others_json_out` (may be NULL): as above. The strings are
 * the caller's (xlstore_string_free). The view retired_documents lists what is kept. Errors:
 * not_found, invalid. */
int32_t xlstore_retired_document(xlstore_store* store, const char* domain, char** json_out,
                                 char** things_out, int64_t* id_out, char** others_json_out);

/* Puts back what a run of recovery rewrote in documents: the text of entries, and members. `run`:
 * as the view undo_runs lists them; `domain`: that domain's rows alone, or NULL. Each domain's rows
 * go back in one commit under its slow lock, or none. What QEMU or the store decides (an entry that
 * went, a registration, an intent, the medium in a drive), and what belongs to a domain that is
 * over, is kept to be read. A domain that changed since the run is refused by name; with
 * XLSTORE_FORCE each row is put back that is still as the run left it. One whose document is closed
 * is refused in any case. XLSTORE_DRY_RUN writes nothing, and needs no store that is open for
 * writing. Runs are kept for 90 days, the last 1000 of them. Errors: not_found, refused, busy,
 * lost; gone (all of its domains are over).
 * Result: {"result","run","put_back","rows"}, a row
 * {"line","subject","operation","put_back","why","before","after"}. */
#define XLSTORE_DRY_RUN 2u
int32_t xlstore_undo(xlstore_store* store, int64_t run, const char* domain, uint32_t flags,
                     const xlstore_call* call, xlstore_result** result_out);
/* Puts back the row of table set_aside with this number, which a salvage had no place for: an
 * entry, as stale until recovery has seen it in QEMU, or a member of a document. Other rows are for
 * reading. Errors: not_found, refused (with the rule that is against it), gone, busy, lost. Result:
 * {"result","set_aside","text"}. */
int32_t xlstore_put_back(xlstore_store* store, int64_t number, uint32_t flags,
                         const xlstore_call* call, xlstore_result** result_out);

/* Removes what is kept past its bound (R20), in short transactions: `kinds` (NULL: all), words
 * between commas: history, retired (documents of domains that are over), undo (runs of recovery,
 * quarantined rows), domains (rows of domains that are over and of which no document is kept),
 * damaged (files that a salvage put aside), locks (space in the lock files). `older_than_days`:
 * what is older goes, -1: the bound's own age; 0: all of it. Recovery does it without being asked,
 * at the end of a run over all domains. No operation does. With XLSTORE_DRY_RUN nothing is written.
 * Errors: invalid, busy, lost; what went before stays gone. Result: {"result","pruned"}, an object
 * {"kept","count","bytes","complete","text"} a kind; not complete: the time limit came first. */
int32_t xlstore_prune(xlstore_store* store, const char* kinds, int64_t older_than_days,
                      uint32_t flags, const xlstore_call* call, xlstore_result** result_out);
/* A host that uses libxl as well: libxl's documents (/var/lib/xen, below `root`; NULL: of this
 * host) and the store's. `what`:
 *   XLSTORE_BRIDGE_STATUS  says where they differ, element by element and member by member, and
 *                          asks the domain's QEMU and xenstore which is right; writes nothing
 *   XLSTORE_BRIDGE_SYNC    brings libxl's into the store: domains that it lacks are imported,
 *                          things of xenstore's and the document's other members become those of
 *                          the file, but for the domain's name; what is pending, and things of
 *                          QEMU's, stay as they are (xlstore_recover() asks QEMU), and so do
 *                          things that the file lacks
 *   XLSTORE_BRIDGE_WRITE   writes the document of `domain` into libxl's file, byte for byte as
 *                          libxl would, under libxl's own lock on it; where the two differ, what
 *                          the file had is kept in the table set_aside
 * `domain`: NULL, all that run; of STATUS and SYNC also one that libxl alone has. What could not be
 * brought of one of all is its "trouble"; of one domain it is the error. Errors: conflict (the file
 * has what the store lacks, and the advice says how it comes there; or it is another domain's),
 * busy (naming who holds libxl's lock; or it is being created), gone, io, lost, not_found, invalid
 * (a file that is no document, among others), store (an entry is damaged). Result:
 * {"result","domains"}, a domain {"domid","uuid","name","in_store","file","trouble","differences"},
 * a difference {"thing","store","file","state","pending","right","evidence"}, "thing" being
 * "CLASS/KEY" of an element or "member/KEY", "right" being store, file, neither, or unknown (the
 * primary does not tell; of a member, and of sync and write, always). */
#define XLSTORE_BRIDGE_STATUS 0u
#define XLSTORE_BRIDGE_SYNC 1u
#define XLSTORE_BRIDGE_WRITE 2u
int32_t xlstore_bridge(xlstore_store* store, uint32_t what, const char* domain, const char* root,
                       const xlstore_call* call, xlstore_result** result_out);

/* Writes one committed state of the store into `file`, which may not be there, mode 0600: a
 * database without a log, which xlstore_restore() (recovery.h) puts back. Beside writers, none of
 * which waits; it keeps its own thread for as long as the copy takes. The store may be open
 * read-only. Result: {"file","domains","commits","bytes"}. Errors: exists, io, store; nothing is
 * left of it then. */
int32_t xlstore_backup(xlstore_store* store, const char* file, xlstore_result** result_out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_KEEP_H_ */
