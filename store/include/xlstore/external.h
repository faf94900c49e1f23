/* SPDX-License-Identifier: MIT
 *
 * Level two: the embedder talks to QEMU itself, or has another toolstack do so. Rules for
 * threads, forks, errors, structs, text and time: xlstore.h, which includes this.
 */
#ifndef XLSTORE_EXTERNAL_H_
#define XLSTORE_EXTERNAL_H_

#include "xlstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* ---- External QMP client: the embedder talks to QEMU itself --------------------------------- *
 *
 *   xlstore_slow_lock -> connect, and probe -> xlstore_intend -> send -> xlstore_settle -> hang up
 *                                                                    -> xlstore_hold_release
 *
 * What the embedder promises, and the store cannot see:
 *  - it is connected to the monitor that the row names from before it probes until its settle has
 *    returned, so that no other client is (a monitor serves one client: R12);
 *  - after it connected, or after the last command of another program on a connection that lasts,
 *    it waited for the reply to an in-band command (qmp_capabilities will do) before it probed;
 *  - the ids of its commands are used by no other process;
 *  - it sends nothing that changes QEMU before xlstore_intend has returned XLSTORE_OK (R10), and
 *    only what the plan has;
 *  - what it says it saw, it saw under this hold.
 * What is checked: the hold and its epoch (R15), the domain's state (R8), that the monitor's path
 * is the registered one and leads to the registered QEMU, which lives (R11), and, when it is given,
 * that the descriptor is connected to it, at intend and again at settle (R12).
 */

/* The slow lock of a domain, held. */
typedef struct xlstore_hold xlstore_hold;
/* Acquires the slow lock of a domain (R3). `operation`: a few words on what it is for, shown to the
 * processes that wait for it and by `xlstore locks`. Operations of one process that wait for one
 * domain take turns in the order in which they were started. XLSTORE_TRY in call->flags. Errors:
 * busy, gone. */
int32_t xlstore_slow_lock(xlstore_store* store, const char* domain, const char* operation,
                          const xlstore_call* call, xlstore_hold** hold_out);
/* The hold is in the result: xlstore_result_take_hold(). Not taken, it is given back. NULL: there
 * is none in it, or no memory for the handle; then it can be taken later. */
int32_t xlstore_slow_lock_start(xlstore_store* store, const char* domain, const char* operation,
                                const xlstore_call* call, xlstore_callback callback, void* userdata,
                                xlstore_op** op_out);
xlstore_hold* xlstore_result_take_hold(xlstore_result* result);
/* Gives it back and frees it. An intent that is open stays open. NULL does nothing. */
void xlstore_hold_release(xlstore_hold* hold);
/* Is the hold still current, also while operations under it are under way? Errors: lost (R15),
 * gone (R8). */
int32_t xlstore_hold_check(const xlstore_hold* hold);

#define XLSTORE_ADD 1
#define XLSTORE_REMOVE 2
#define XLSTORE_CHANGE 3

/* Which image of a thing was seen in QEMU. Of an add: before = nothing of it. That says nothing of
 * a present entry of the same key that is made of other things: intend refuses it (exists). */
#define XLSTORE_SEEN_NOTHING 0 /* no answer, or one that proves nothing */
#define XLSTORE_SEEN_BEFORE 1
#define XLSTORE_SEEN_AFTER 2
#define XLSTORE_SEEN_NEITHER 3 /* an emptied drive */

typedef struct xlstore_intention {
    uint32_t struct_size;
    int32_t operation;        /* XLSTORE_ADD, XLSTORE_REMOVE, XLSTORE_CHANGE */
    const char* device_class;
    const char* key;          /* of an add: NULL, its JSON says it */
    const char* json;         /* add: the thing. change: the thing as it will be. remove: NULL */
    const char* plan;         /* NULL: the class makes it. Else {"steps","undo","probe"}, as for
                                 class qemu */
    const char* monitor_path; /* that the commands will go through */
    int32_t monitor_fd;       /* connected to it, to be checked; 0 or less: not given */
    int32_t seen;             /* XLSTORE_SEEN_... under this hold, just before */
} xlstore_intention;
#define XLSTORE_INTENTION_INIT {sizeof(xlstore_intention), 0, NULL, NULL, NULL, NULL, NULL, -1, 0}
void xlstore_intention_init(xlstore_intention* intention, size_t size);
/* Commit 1. An earlier intent on the same thing has to be settled first: exists, with its number.
 * Errors besides: exists (the thing is in QEMU, or an id is taken: R16), in_doubt (nothing was
 * proved by what was seen; nothing was changed), invalid, gone, lost, refused (not the registered
 * monitor), no_qemu, busy. Result: {"result","intent"}. */
int32_t xlstore_intend(xlstore_hold* hold, const xlstore_intention* intention,
                       const xlstore_call* call, int64_t* intent_out);
/* The plan and probe of an open intent: {"operation","class","key","steps":[...],"probe":{...}}.
 * For the client that carries it out, and for the one that finds it open. Errors: not_found. */
int32_t xlstore_intent_plan(xlstore_store* store, int64_t intent, char** json_out);
/* Commit 2. `seen` closes the intent with that image; XLSTORE_SEEN_NOTHING leaves it open, with
 * `evidence` noted, and returns XLSTORE_E_IN_DOUBT; so does any failure to write it (a
 * lock that cannot be acquired in time, a lost hold, a full disk). `evidence`, one line, goes into
 * history. Errors besides: gone, not_found, invalid (that image cannot be; places), refused (the
 * descriptor given to intend is no longer connected to QEMU; then the intent stays open), order. */
int32_t xlstore_settle(xlstore_hold* hold, int64_t intent, int32_t seen, const char* evidence,
                       const xlstore_call* call);
/* The guest has been asked to let go: written down before it is waited for. */
int32_t xlstore_asked(xlstore_hold* hold, int64_t intent, const char* evidence,
                      const xlstore_call* call);
/* The same three without waiting for the fast lock. The hold must outlive them. The intent's number
 * is in the result. A settle or an asked that is cancelled, at any time, is in doubt with that
 * number: its intent was opened before. Any number of these may be under way under one hold. */
int32_t xlstore_intend_start(xlstore_hold* hold, const xlstore_intention* intention,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out);
int32_t xlstore_settle_start(xlstore_hold* hold, int64_t intent, int32_t seen, const char* evidence,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out);
int32_t xlstore_asked_start(xlstore_hold* hold, int64_t intent, const char* evidence,
                            const xlstore_call* call, xlstore_callback callback, void* userdata,
                            xlstore_op** op_out);

/* ---- External client: the store looks ------------------------------------------------------- *
 *
 *   xlstore_slow_lock -> xlstore_follow -> xlstore_look_and_intend -> the client's calls
 *                     -> xlstore_look_and_settle -> xlstore_hold_release
 *
 * For a client that has another toolstack's functions do the work (libxl's), and has no connection
 * of its own. Each of these connects to the registered monitor, proves the peer (R11), waits for
 * the barrier (R12), looks, writes, and hangs up before it returns: between them the monitor is
 * free, and the client's calls use it. Where the monitor is libxl's (/run/xen/qmp-libxl-N), they
 * hold libxl's locks on its device changes and its monitor as long. Of the forms with _start the
 * hold, and what is written to (`intents_out`, `carried`), must outlive the operation. Such a look
 * has the hold alone: beside another operation under it, it is busy, and so is another one beside
 * it (in doubt, if that one settles). An array's structs are each as large as the first one's
 * struct_size says.
 */

/* Brings the domain in line with its QEMU, as xlstore_register does (its Result is that one's), and
 * before that with `document`, which the other toolstack keeps of it (NULL: with QEMU alone): what
 * it has and the store lacks gets an entry, stale until QEMU shows it. No entry goes; what has an
 * open intent is left alone. Errors: invalid (another domain's document), refused (the document is
 * closed, or R11), no_qemu, protocol, gone, lost, busy. What got an entry before an error keeps it,
 * and the message says so; cancelled then: XLSTORE_E_UNFINISHED. */
int32_t xlstore_follow(xlstore_hold* hold, const char* document, const xlstore_call* call,
                       xlstore_result** result_out);
int32_t xlstore_follow_start(xlstore_hold* hold, const char* document, const xlstore_call* call,
                             xlstore_callback callback, void* userdata, xlstore_op** op_out);
/* Commit 1 of `count` intentions at once, each with an end of its own, after a look of the store's
 * (monitor_path, monitor_fd and seen are not read). An earlier intent on such a thing is settled by
 * that look first; a removal that waits for its guest is gone on with, and its number is the one
 * given. `intents_out` has room for `count`, and is never NULL: without its number no intent can be
 * settled. Each thing is named once. Errors as of xlstore_intend, but: refused or in_doubt with the
 * number of an earlier intent that stays open; in_doubt with it, too, when the call is cancelled
 * while that one is being settled. No intention is opened then. Result: {"result","intents":[...]},
 * with the number of the first. */
int32_t xlstore_look_and_intend(xlstore_hold* hold, const xlstore_intention* intentions,
                                size_t count, const xlstore_call* call, int64_t* intents_out);
int32_t xlstore_look_and_intend_start(xlstore_hold* hold, const xlstore_intention* intentions,
                                      size_t count, const xlstore_call* call, int64_t* intents_out,
                                      xlstore_callback callback, void* userdata,
                                      xlstore_op** op_out);
typedef struct xlstore_carried_out {
    uint32_t struct_size;
    int32_t seen;         /* set by the call: XLSTORE_SEEN_...; XLSTORE_SEEN_NOTHING: it is open */
    int64_t intent;
    const char* evidence; /* one line: what the client was told; never NULL */
    const char* json;     /* the thing as the other toolstack saved it; NULL: as intended */
    uint32_t asked;       /* 1: of a removal, the guest was asked to let go; while QEMU has the
                             thing, the intent stays open and says so */
    uint32_t reserved;
} xlstore_carried_out;
#define XLSTORE_CARRIED_OUT_INIT {sizeof(xlstore_carried_out), 0, 0, NULL, NULL, 0, 0}
void xlstore_carried_out_init(xlstore_carried_out* carried, size_t size);
/* Commit 2 of each, after a look of the store's: with the image that QEMU shows; what it shows to
 * be half done is undone as far as QEMU lets it. Errors: in_doubt (at least one stays open, since
 * nothing was proved of it, or the look failed: no answer, no QEMU, a lost hold, a monitor that is
 * not the registered one; or the call was cancelled; `seen` says which; the number is the first
 * one's); not_found, invalid, gone, order. Those before it are settled then, as `seen` says.
 * Result: {"result","intents":[{"intent","seen"},...]}, with the number of the first. */
int32_t xlstore_look_and_settle(xlstore_hold* hold, xlstore_carried_out* carried, size_t count,
                                const xlstore_call* call);
int32_t xlstore_look_and_settle_start(xlstore_hold* hold, xlstore_carried_out* carried,
                                      size_t count, const xlstore_call* call,
                                      xlstore_callback callback, void* userdata,
                                      xlstore_op** op_out);
/* Takes over a running domain of another toolstack's: imports its document, if no living row has
 * domid and uuid, and registers its QEMU, if none is that lives; sends nothing that changes QEMU
 * (R19). A row of that domid with another uuid is an earlier life, and is archived, if it is proved
 * over: its QEMU is dead, or it has none and xenstored does not name it for that domid. So is one
 * of another domid with its name that xenstored does not know. One of an older boot is over, also
 * with the same uuid. Before that the monitor has to answer. `monitor_path` NULL: it has no QEMU.
 * What fails leaves no new row, and its message names what was archived. Result: as of
 * xlstore_register. Errors: as of xlstore_import and xlstore_register; exists besides: the earlier
 * life is not known to be over, or its QEMU is registered with another monitor; conflict, gone: the
 * row of that very domain is being created, or destroyed. XLSTORE_E_UNFINISHED: cancelled after it
 * had changed something, which the message names; or the import could not be taken back, or what is
 * over not be archived to its end; the same call goes on. */
int32_t xlstore_adopt(xlstore_store* store, int32_t domid, const char* document,
                      const char* monitor_path, const xlstore_call* call,
                      xlstore_result** result_out);
int32_t xlstore_adopt_start(xlstore_store* store, int32_t domid, const char* document,
                            const char* monitor_path, const xlstore_call* call,
                            xlstore_callback callback, void* userdata, xlstore_op** op_out);
/* The first step of a destruction alone, for a toolstack that ends QEMU itself: from now on what
 * attaches or edits is refused (gone). xlstore_destroy, or recovery, goes on with it: it kills a
 * QEMU that lives still, but recovery none whose monitor is libxl's. Errors as of xlstore_destroy.
 * Result: {"result","domid"}. */
int32_t xlstore_mark_destroying(xlstore_store* store, const char* domain, const xlstore_call* call,
                                xlstore_result** result_out);
int32_t xlstore_mark_destroying_start(xlstore_store* store, const char* domain,
                                      const xlstore_call* call, xlstore_callback callback,
                                      void* userdata, xlstore_op** op_out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_EXTERNAL_H_ */
