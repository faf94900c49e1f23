/* SPDX-License-Identifier: MIT
 *
 * Results, operations under way, and how a call is to be done. Rules for threads, forks, errors,
 * structs, text and time: xlstore.h, which includes this.
 */
#ifndef XLSTORE_OPERATION_H_
#define XLSTORE_OPERATION_H_

#include "xlstore/store.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* What became of an operation: status, message, advice and intent of one call. A call that waits
 * sets result_out, if it is not NULL, with any status, bad arguments included, unless there is no
 * memory for it: begin with NULL, and free it always. */
typedef struct xlstore_result xlstore_result;
int32_t xlstore_result_status(const xlstore_result* result);
/* One line: what was done, or what happened instead and what to do next. Never NULL. */
const char* xlstore_result_message(const xlstore_result* result);
const char* xlstore_result_advice(const xlstore_result* result);
/* The intent that was closed, or of an outcome in doubt is open; 0: none. */
int64_t xlstore_result_intent(const xlstore_result* result);
/* One JSON value: what `xlstore --json` prints for the same. Never NULL. */
const char* xlstore_result_json(const xlstore_result* result);
/* Frees a result that a waiting call handed over; it outlives its store. NULL does nothing. */
void xlstore_result_free(xlstore_result* result);

/* Called once for each operation that was started and not forgotten, from within xlstore_dispatch()
 * alone, with no lock held. `result` is the library's and ends with the callback. Calling back in
 * is allowed, xlstore_close() included. It must not throw or jump. */
typedef void (*xlstore_callback)(xlstore_result* result, void* userdata);

/* An operation under way; ends with its callback, and must not be named after that. */
typedef struct xlstore_op xlstore_op;
/* Ends an operation now; its callback comes with the next xlstore_dispatch(). Before its first
 * commit: XLSTORE_E_CANCELLED, and nothing has changed but what earlier operations had left of that
 * thing, which the message says. After it: XLSTORE_E_IN_DOUBT with the
 * number of the intent, which stays open for the next operation on that thing, or for recovery; of
 * a thing of xenstore, which has no intent, XLSTORE_E_IN_DOUBT without a number (0), and its entry
 * stays for the same two; of a creation, a soft reset or a destruction XLSTORE_E_UNFINISHED; of a
 * batch whose requests stand each for itself the same, or XLSTORE_E_IN_DOUBT, and the message names
 * those that are done; of a recovery XLSTORE_E_CANCELLED, and what it repaired stays repaired. What
 * settles an intent, or waits for one, is XLSTORE_E_IN_DOUBT with its number at any time, and so is
 * what asks for the same as an intent that is open; so is each other one while it settles what an
 * earlier one has left open on that thing. One that has
 * ended by itself keeps its own result. Waits for nothing. NULL does nothing. */
void xlstore_op_cancel(xlstore_op* op);
/* The same, and its callback is not called any more: the caller never learns what became of it. For
 * a caller that goes away itself. `op` is not to be named after it. NULL does nothing. */
void xlstore_op_forget(xlstore_op* op);

/* How a call is to be done. NULL in its place: the standard. */
typedef struct xlstore_call {
    uint32_t struct_size;
    uint32_t timeout_ms;       /* how long it may take; 0: the standard time of that call */
    const char* document_name; /* what messages call a document that is given, such as its file;
                                  NULL: "document" */
    const char* things; /* what xlstore_outgoing_domain() gave with a document, for xlstore_create,
                           xlstore_import and xlstore_creation_begin; NULL: nothing. The text is
                           copied. Not in the struct of release 0.1, which ends before it: this
                           and what follows is read only if struct_size says so */
    uint32_t flags;            /* XLSTORE_FORCE, XLSTORE_WAIT_FOR_GUEST, XLSTORE_TRY, where a call
                                  has them */
    const char* places; /* of xlstore_settle() with XLSTORE_SEEN_AFTER of an add: where QEMU put its
                           devices, {"ID": {"bus": "pci.0", "addr": "06.0"}} in the arguments of
                           device_add; the entry keeps it, a PCI device's as vdevfn, too. NULL: not
                           known */
} xlstore_call;
#define XLSTORE_CALL_INIT {sizeof(xlstore_call), 0, NULL, NULL, 0, NULL}
void xlstore_call_init(xlstore_call* call, size_t size);
#define XLSTORE_FORCE 1u
#define XLSTORE_WAIT_FOR_GUEST 2u
/* Of the calls that acquire a lock: one try, no wait. The error is busy, and names the process that
 * claims to hold it (xlstore_locks() asks the kernel, which costs more). A try takes no place among
 * those that wait: of several processes that try again and again one may get the lock far more
 * often than another. To have a turn, wait with a time (timeout_ms). */
#define XLSTORE_TRY 4u

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_OPERATION_H_ */
