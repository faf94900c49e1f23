/* SPDX-License-Identifier: MIT
 *
 * What a call ends with: its status, and what it had to say. Version, and text that is handed
 * over. Rules for threads, forks, errors, structs, text and time: xlstore.h, which includes
 * this.
 */
#ifndef XLSTORE_STATUS_H_
#define XLSTORE_STATUS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define XLSTORE_VERSION_MAJOR 0
#define XLSTORE_VERSION_MINOR 2
/* The release of the library that is loaded, which may be newer than this header: "0.2.0". */
const char* xlstore_version(void);

#define XLSTORE_OK 0 /* done */
#define XLSTORE_E_INVALID (-1)   /* a bad argument or bad input; nothing was done */
#define XLSTORE_E_NOT_FOUND (-2) /* no such domain, thing or intent */
#define XLSTORE_E_GONE (-3)      /* the domain is destroyed or being destroyed (R8) */
#define XLSTORE_E_EXISTS (-4)    /* what was to be added is there already; nothing was changed
                                    (R16) */
#define XLSTORE_E_BUSY (-5)      /* another process has it, and it was not waited for: the message
                                    names it */
#define XLSTORE_E_REFUSED (-6)   /* QEMU, its guest or a rule said no; nothing changed unless
                                    the message says so */
#define XLSTORE_E_IN_DOUBT (-7)  /* QEMU may have acted; the number of the open intent is given
                                    where there is one */
#define XLSTORE_E_LOST (-8)      /* the hold was lost (R15), or the store was moved away or
                                    replaced (R17) */
#define XLSTORE_E_STORE (-9)     /* the store cannot be used: owner, mode, version, file system,
                                    damage */
#define XLSTORE_E_NO_QEMU (-10)  /* the domain has no QEMU, or it is proved dead */
#define XLSTORE_E_PROTOCOL (-11) /* the monitor broke the protocol or hung up; nothing was
                                    changed */
#define XLSTORE_E_CANCELLED (-12) /* the caller gave up before anything was changed; a
                                     recovery: what it repaired stays */
#define XLSTORE_E_ORDER (-13)    /* a lock was asked for against R7, or a handle was used in a
                                    forked child */
#define XLSTORE_E_IO (-14)       /* the system refused: disk full, descriptors, permissions */
#define XLSTORE_E_NO_MEMORY (-15) /* out of memory */
#define XLSTORE_E_CONFLICT (-16) /* the domain or its document is not as the caller expected;
                                    nothing was changed */
#define XLSTORE_E_UNFINISHED (-17) /* what has begun cannot be taken back and is not at its end (a
                                    committed destruction, a killed QEMU); the advice names what
                                    goes on with it */
#define XLSTORE_E_TIMEOUT (-18)  /* the time ended while it was waited: for a lock, whose holder is
                                    named, for a monitor that stayed silent, for a query; nothing
                                    was changed */
#define XLSTORE_E_READONLY (-19) /* handle, file system or permissions allow no writing; nothing
                                    was changed */

/* The stable name of a status ("in_doubt"), as --json prints it; "unknown": none of the above. */
const char* xlstore_status_name(int32_t status);

/* What the last call on this thread that failed had to say. Each call that returns a status clears
 * it first, so it is never stale. Text that does not fit is cut. */
typedef struct xlstore_error {
    uint32_t struct_size;
    int32_t status;
    int64_t intent; /* an open intent's number; 0: none */
    char message[1024];
    char advice[512];
} xlstore_error;
#define XLSTORE_ERROR_INIT {sizeof(xlstore_error), 0, 0, {0}, {0}}
int32_t xlstore_last_error(xlstore_error* error_out);
void xlstore_error_init(xlstore_error* error, size_t size);

void xlstore_string_free(char* text);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_STATUS_H_ */
