/* SPDX-License-Identifier: MIT
 *
 * xlstore: libxl-json in SQLite, recoverable after a crash. The C interface; C99 and C++.
 *
 * THREADS  A store, and everything made from it, belongs to one thread at a time; different stores
 *          may be used in different threads at once, and one process may open several, the same one
 *          included. The library starts no thread, installs no signal handler, prints nothing,
 *          never exits and waits for nothing but in the calls that say so.
 * FORKS    A child keeps nothing alive: locks and connections are closed in it before fork()
 *          returns, and each handle is refused there (XLSTORE_E_ORDER). It may free handles and go
 *          on to exec. Without exec every call is refused, xlstore_open and xlstore_init included,
 *          if any thread of the parent had a store open at the fork: close it before, and the child
 *          may open one. A child that never runs fork handlers (vfork, clone) must go on to exec.
 *          The library forks children itself, to start QEMU and to open images, and reaps them.
 * LOCKS    In the order (R7): slow lock, the caller's own context lock (xlstore_context_enter),
 *          fast lock, writer lock. What is asked for against that order is refused (order),
 *          never waited for. A call that waits lets the other operations of its handle get on;
 *          their callbacks come from xlstore_dispatch() alone. The rules R1 to R22 are in
 *          store/DESIGN.md.
 * ERRORS   Each call returns a status. What it means in words: xlstore_last_error(), or the result.
 *          Outputs (suffix _out) come last and are untouched on failure. A pointer that is NULL and
 *          must not be, or a struct_size that no release has: XLSTORE_E_INVALID, and nothing was
 *          done. An _out pointer may be NULL where the answer is not wanted, unless it hands over
 *          something to be freed, or its comment says otherwise. Besides the errors that a call
 *          names, each call may end with order, lost (the store was moved away or replaced), io and
 *          no_memory; one that writes with readonly; one that waits, for a lock or for QEMU, with
 *          timeout.
 *          xlstore_last_error() is the calling thread's. Where the threads of a language are not
 *          the system's (goroutines), ask for the error of the object: a result, a store
 *          (xlstore_store_error), xlstore_open_options.error.
 * STRUCTS  One that the caller fills begins with struct_size: start from its _INIT, or, in another
 *          language, from the function of the same name (xlstore_call_init). One full of zeros but
 *          for its struct_size is safe, too. What a later release adds at its end is zero in older
 *          programs.
 * TEXT     UTF-8, NUL-terminated. In the message and the advice of a result or an error, control
 *          characters and bytes that are not UTF-8, as a name or a path may have them, are written
 *          as \xNN; in JSON such a byte is the escape of a lone surrogate (0xff is \udcff). A
 *          `const char *` returned belongs to the object asked; a `char *` through _out is the
 *          caller's, who frees it with xlstore_string_free().
 * TIME     Limits are milliseconds (_ms), times are microseconds since 1970 UTC (_us). A call that
 *          waits does so for 30 s unless its comment, or xlstore_call.timeout_ms, says otherwise;
 *          writing down what QEMU has already done may take up to 5 s more (R20).
 * DOMAINS  are named as on the command line: "domid:7", "uuid:...", "name:...", "id:N" (one
 *          incarnation, which no later domain of the same domid is), or a bare word tried as domid,
 *          uuid and name.
 * KEYS     A thing is named by its class, an array of the document, and its key: of disks the vdev
 *          in its plain form ("hdc", "xvda1"); of nics, vtpms, vdispls, vsnds and usbctrls the
 *          devid; of pcidevs the address on the host ("0000:03:00.0"); of usbdevs controller and
 *          port ("0.2"); of vcpus the index; of class qemu the member "key". All others, a nic
 *          without devid, and a PCI device given by name have a number that the store gives ("#7")
 *          and that no element of the domain had before: xlstore_things() tells it.
 *
 * An operation on a domain comes twice: a call that waits until it has ended, and one with the
 * suffix _start that returns at once and ends with a callback. Three outcomes, never two: done
 * (XLSTORE_OK); not done (any other status: store and QEMU are as they were unless the message says
 * otherwise); in doubt (XLSTORE_E_IN_DOUBT: the intent stays open under the number that the result
 * has; wait for it, ask again, or leave it to recovery). What fails after an operation's first
 * commit, lack of memory included, is in doubt unless it is proved otherwise; a destruction that is
 * committed is never "not done", but XLSTORE_E_UNFINISHED. Where there is no memory for the words
 * of a result, they are missing; status and intent never are.
 */
#ifndef XLSTORE_XLSTORE_H_
#define XLSTORE_XLSTORE_H_

#include "xlstore/document.h"
#include "xlstore/external.h"
#include "xlstore/keep.h"
#include "xlstore/lifecycle.h"
#include "xlstore/operation.h"
#include "xlstore/query.h"
#include "xlstore/status.h"
#include "xlstore/store.h"
#include "xlstore/things.h"

#endif /* XLSTORE_XLSTORE_H_ */
