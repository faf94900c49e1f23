/* SPDX-License-Identifier: MIT
 *
 * A store: making one, opening it, its descriptor, the order of its locks. Rules for threads,
 * forks, errors, structs, text and time: xlstore.h, which includes this.
 */
#ifndef XLSTORE_STORE_H_
#define XLSTORE_STORE_H_

#include "xlstore/status.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

typedef struct xlstore_store xlstore_store;

#define XLSTORE_LOG_DEBUG 0
#define XLSTORE_LOG_INFO 1
#define XLSTORE_LOG_WARNING 2
#define XLSTORE_LOG_ERROR 3
/* Receives a finished line, without newline. Called from within any call on that store, possibly
 * under its locks: it must not call back in, wait, throw or jump. */
typedef void (*xlstore_log)(int32_t level, const char* line, void* userdata);

typedef struct xlstore_init_options {
    uint32_t struct_size;
    uint32_t has_reading_group; /* 1: members of reading_group may read it (0750/0640) */
    uint32_t reading_group;
    uint32_t power; /* 1: an acknowledged change survives a power cut (synchronous=FULL) */
    xlstore_error* error; /* as that of xlstore_open_options, of this xlstore_init. Not in the
                             struct of release 0.1 */
} xlstore_init_options;
#define XLSTORE_INIT_OPTIONS_INIT {sizeof(xlstore_init_options), 0, 0, 0, NULL}
void xlstore_init_options_init(xlstore_init_options* options, size_t size);
/* Where a store is expected: $XLSTORE_DIR, else /var/lib/xlstore. Belongs to the environment. */
const char* xlstore_default_directory(void);

/* Makes a new store in `directory`. A directory that does not exist is made; one that does has to
 * be empty, this user's, and closed to all other writers. `options` may be NULL. Errors: exists,
 * store, io. */
int32_t xlstore_init(const char* directory, const xlstore_init_options* options);

typedef struct xlstore_open_options {
    uint32_t struct_size;
    uint32_t read_only;      /* 1: for looking; no session, nothing is ever written */
    const char* program;     /* who this is, for claims and history; NULL: "libxlstore" */
    uint32_t timeout_ms;     /* for the writer lock, while another process has it; 0: 10 s */
    int32_t log_least;       /* XLSTORE_LOG_...; lines of a lower level are not made */
    xlstore_log log;         /* NULL: silent */
    void* log_userdata;
    xlstore_error* error;    /* gets what xlstore_last_error() says of this xlstore_open; its
                                struct_size is set. NULL: not wanted. Not in the struct of release
                                0.1 */
} xlstore_open_options;
#define XLSTORE_OPEN_OPTIONS_INIT \
    {sizeof(xlstore_open_options), 0, NULL, 0, XLSTORE_LOG_INFO, NULL, NULL, NULL}
void xlstore_open_options_init(xlstore_open_options* options, size_t size);
/* Opens an existing store. `options` may be NULL. Waits for the writer lock. A store of an older
 * release is upgraded in one transaction, for which no other process may have it open for writing:
 * busy names those that have. With read_only it is refused. Errors: store (with what is wrong and
 * what to do; a newer schema, too), busy, readonly (open it with read_only to look), timeout,
 * io. */
int32_t xlstore_open(const char* directory, const xlstore_open_options* options,
                     xlstore_store** store_out);
/* Ends it. Operations under way are given up, as by xlstore_op_forget; holds made from it are
 * given back, and every later use of them fails with XLSTORE_E_ORDER until they are freed. From
 * within a callback it takes effect when the call that delivers callbacks returns; the handle is
 * not to be named after xlstore_close() there either. NULL does nothing. */
void xlstore_close(xlstore_store* store);

/* One descriptor, readable whenever xlstore_dispatch() has something to do, timers included. It is
 * always waited for as readable, never changes, and is the store's own: do not read or close it. */
int xlstore_fd(const xlstore_store* store);
/* Goes on with what is ready, and delivers callbacks. Waits neither for QEMU nor for a lock.
 * Errors: order (in a forked child, or under a fast lock of this thread), io. */
int32_t xlstore_dispatch(xlstore_store* store);

/* What the last call on this store that failed had to say, on any thread: of a call
 * with it, or with a hold, fast lock or creation made from it. Each such call clears it first. Set
 * error_out->struct_size first (XLSTORE_ERROR_INIT). */
int32_t xlstore_store_error(const xlstore_store* store, xlstore_error* error_out);

/* R7: this thread has taken, or is about to give back, the caller's own lock, which stands between
 * slow and fast lock. Recursive. Errors: order.
 *
 * Meanwhile a call that may wait for a slow lock, for libxl's locks or for QEMU is refused (order);
 * its form with _start is not. These wait for nothing of the kind and may be made: edits and
 * xlstore_fast_lock, xlstore_intend, xlstore_settle and xlstore_asked under a hold, xlstore_rename,
 * xlstore_preserve, xlstore_import, xlstore_reopen_document, xlstore_mark_destroying,
 * xlstore_destroy and its kin, xlstore_creation_begin, xlstore_creation_child,
 * xlstore_creation_without_qemu, xlstore_break_lock, xlstore_prune, xlstore_backup. */
int32_t xlstore_context_enter(void);
int32_t xlstore_context_leave(void);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_STORE_H_ */
