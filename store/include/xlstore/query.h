/* SPDX-License-Identifier: MIT
 *
 * Questions, which write nothing: domains, things, intents, history, locks, SQL; changes as they
 * are committed. Rules for threads, forks, errors, structs, text and time: xlstore.h, which
 * includes this.
 */
#ifndef XLSTORE_QUERY_H_
#define XLSTORE_QUERY_H_

#include "xlstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

typedef struct xlstore_domain_info {
    uint32_t struct_size;
    int32_t domid;
    int64_t id; /* of this incarnation, never used again */
    int64_t revision;
    int64_t qemu_pid; /* 0: none is registered */
    int64_t open_intents;
    char uuid[40];
    char state[16]; /* creating running destroying; destroyed: by xlstore_find_incarnation alone */
    char name[256]; /* cut if it is longer */
    /* What the kernel says of the registered QEMU; QEMU itself is not asked. The row is older: it
     * may say `running` while QEMU is dead. */
    int32_t qemu;      /* XLSTORE_QEMU_... */
    int32_t reserved;
    int64_t looked_us; /* when, microseconds since 1970 UTC */
    char seen[160];    /* "QEMU dead (looked at 12:03:04 UTC)" */
} xlstore_domain_info;
#define XLSTORE_QEMU_NONE 0   /* none is registered */
#define XLSTORE_QEMU_ALIVE 1
#define XLSTORE_QEMU_DEAD 2   /* proved: same boot, same pid namespace, and the process has ended */
#define XLSTORE_QEMU_UNSEEN 3 /* could not look; `seen` says why. It is not known to be dead. */
#define XLSTORE_DOMAIN_INFO_INIT \
    {sizeof(xlstore_domain_info), 0, 0, 0, 0, 0, {0}, {0}, {0}, 0, 0, 0, {0}}
void xlstore_domain_info_init(xlstore_domain_info* info, size_t size);
/* The domain that `domain` names, among those that are not destroyed. Set info_out->struct_size
 * first (XLSTORE_DOMAIN_INFO_INIT). Errors: not_found; invalid (a name or uuid that fits
 * several). */
int32_t xlstore_find(xlstore_store* store, const char* domain, xlstore_domain_info* info_out);
/* For questions about the past: the domain that xlstore_find() gives; where none fits, the newest
 * destroyed incarnation that does, by domid, then uuid, then name; where none fits either, the
 * domain that was last renamed or preserved from that name, living or not: an old name finds a
 * renamed domain here, and in no call that acts on one. "id:N": that incarnation, destroyed or not.
 * `others_json_out` (may be NULL): a JSON array of the ids of the further incarnations that the
 * word fits, the newest first. Errors: not_found, invalid. */
int32_t xlstore_find_incarnation(xlstore_store* store, const char* domain,
                                 xlstore_domain_info* info_out, char** others_json_out);
/* The domain with the lowest domid above `domid`; -1: the first. Errors: not_found (no further). */
int32_t xlstore_next(xlstore_store* store, int32_t domid, xlstore_domain_info* info_out);

/* What the QEMU of `domain` is doing now, or of all (NULL), side by side: the kernel is asked
 * whether it lives, and QEMU by its monitor in what state it is. call->timeout_ms is each domain's
 * (0: 2 s). Takes the slow lock of each, shared, without waiting, so that no operation begins in
 * that QEMU meanwhile; writes nothing, also of a store that is open read-only. Result: {"result",
 * "domains"}, a domain {"domid", "id", "name", "qemu", "answer", "run_state", "stopped", "doing",
 * "why", "looked_us"}. "qemu": none, alive, dead (proved), unseen; "answer": answered, with
 * "run_state" as QEMU calls it; silent; busy, another process is at work, and "why" names it;
 * unasked; none. "doing": the same in words. Errors: invalid, not_found. */
int32_t xlstore_look_at_qemus(xlstore_store* store, const char* domain, const xlstore_call* call,
                              xlstore_result** result_out);
int32_t xlstore_look_at_qemus_start(xlstore_store* store, const char* domain,
                                    const xlstore_call* call, xlstore_callback callback,
                                    void* userdata, xlstore_op** op_out);

/* Where the monitor of the registered QEMU is. Errors: not_found, no_qemu. */
int32_t xlstore_monitor_path(xlstore_store* store, const char* domain, char** path_out);
/* The entries of a domain, in the order of the document: a JSON array of {"class", "key", "state",
 * "primary", "products", "json", "intent"}. "state": adding, present, changing, removing, stale;
 * "primary": qemu, xenstore, none; "products": what it is in QEMU, as "kind:id kind:id", or null;
 * "json": the element of the document, or a string of its text where that is damaged; "intent":
 * the open one on it, or null. */
int32_t xlstore_things(xlstore_store* store, const char* domain, char** json_out);
/* The open intents of a domain, or of all (`domain` NULL), the oldest first: a JSON array of
 * {"intent", "domid", "id", "operation", "class", "key", "waits_for_guest", "age_s", "owner_pid",
 * "owner_program", "owner_lives", "note", "before", "after"}. "id": the incarnation; "owner_lives":
 * whether the process that opened it lives, by the kernel's word, null where this process may not
 * look; "before", "after": the element, as "json" above, or null. xlstore_intent_plan() has the
 * plan. */
int32_t xlstore_intents(xlstore_store* store, const char* domain, char** json_out);
/* Lines of history above the number `after`, the oldest first, at most `most` of them (0: 1000): of
 * `domain`'s incarnation, which may be one that is destroyed (as for xlstore_find_incarnation), or
 * of all (NULL). A JSON array of {"line", "at_us", "domid", "id", "operation", "class", "key",
 * "intent", "outcome", "image", "program", "pid", "evidence"}; absent values are null. */
int32_t xlstore_history(xlstore_store* store, const char* domain, int64_t after, uint32_t most,
                        char** json_out);
/* What of a domain's things was settled above the line `since` of history (0: all that it has),
 * by any process, recovery included: for a client that keeps a copy of its own of the domain, as
 * libxl does. Of each thing the last that was settled, and as it is now, all of one moment: a JSON
 * array of one {"line", "revision", "id", "pruned", "settled": [{"line", "intent", "operation",
 * "class", "key", "outcome", "image", "at_us", "program", "pid", "state", "json"}]}. The outer
 * "line" is the newest of history: what to ask with the next time, for a copy that is as "revision"
 * has it. "pruned": lines above `since` are gone, so that the copy is to be made anew. "state" and
 * "json" are those of xlstore_things, null where the thing has no entry. Errors: not_found,
 * invalid. */
int32_t xlstore_settled_since(xlstore_store* store, const char* domain, int64_t since,
                              char** json_out);

/* ---- Changes -------------------------------------------------------------------------------- */

/* One committed change, by this process or another: a line of history. Texts end with the callback
 * and may be NULL. */
typedef struct xlstore_change {
    uint32_t struct_size;
    int32_t domid;      /* -1: the store itself */
    int64_t line;       /* of history; they only grow */
    int64_t id;         /* the incarnation; 0: the store itself */
    int64_t intent;     /* 0: none */
    int64_t missed;     /* lines before this one that were pruned before they could be told */
    const char* operation;    /* "add", "remove", "change" (QEMU), "attach", "detach" (xenstore)
                                 ... as history has it */
    const char* device_class;
    const char* key;
    const char* outcome;      /* "done", "not done", "begun" */
} xlstore_change;
typedef void (*xlstore_changed)(const xlstore_change* change, void* userdata);
typedef struct xlstore_watch xlstore_watch;
/* Calls `changed` for each change above the line `after` (-1: from now on), in their order, from
 * within xlstore_dispatch() alone and with no lock held: a domain that was created, renamed or has
 * ended, an intent closed, a document edited. An intent that is opened is no line of history yet:
 * xlstore_intents() shows those that are open. Calling back in is allowed, xlstore_watch_end()
 * included. A store that is open read-only has it, too. Keeps one descriptor.
 * Errors: invalid, io. */
int32_t xlstore_watch_start(xlstore_store* store, int64_t after, xlstore_changed changed,
                            void* userdata, xlstore_watch** watch_out);
/* Ends it and frees it; no callback comes any more. To be called before the store is closed, or
 * after it. NULL does nothing. */
void xlstore_watch_end(xlstore_watch* watch);

/* ---- Queries in SQL ------------------------------------------------------------------------- */

/* Receives one row: `values[i]` is NULL for SQL's NULL, and a NUL within a value is written as
 * \x00 there (xlstore_query_json() has it as it is). A return value other than 0 ends the query
 * and is what xlstore_query() returns. It must not call back in, throw or jump. */
typedef int32_t (*xlstore_row)(int32_t columns, const char* const* names, const char* const* values,
                               void* userdata);
/* Runs SQL that reads; schema/README.md says what can be asked. `parameters` (text, or NULL for
 * SQL's NULL) are bound to ?1, ?2, ... of each statement. All of it sees one moment. A query ends
 * with its time limit, also within LIKE, GLOB, instr, replace and trim; json_patch is refused. A
 * value has at most 32 MiB, a statement 64 KiB and 500 columns, a query 256 MiB of SQLite's memory.
 * Errors: invalid, timeout, refused (one of these bounds), store, io, no_memory. */
int32_t xlstore_query(xlstore_store* store, const char* sql, const char* const* parameters,
                      size_t parameters_count, const xlstore_call* call, xlstore_row row,
                      void* userdata);

/* The same as a JSON array of one object a row, numbers as numbers (null for infinity, which JSON
 * has no number for); at most 256 MiB (refused). Columns of one statement need names of their own
 * (invalid). */
int32_t xlstore_query_json(xlstore_store* store, const char* sql, const char* const* parameters,
                           size_t parameters_count, const xlstore_call* call, char** json_out);

/* The locks as the kernel has them, beside what their holders claim: a JSON array, as
 * `xlstore --json locks` prints it. */
int32_t xlstore_locks(xlstore_store* store, char** json_out);

/* Frees the slow lock of a domain that no living process uses, though a copy of its descriptor may
 * keep it. XLSTORE_FORCE: even if its claimant lives; that one fails at its next commit (R15).
 * Result: {"result","broken","text"}. */
int32_t xlstore_break_lock(xlstore_store* store, const char* domain, uint32_t flags,
                           const xlstore_call* call, xlstore_result** result_out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_QUERY_H_ */
