/* SPDX-License-Identifier: MIT
 *
 * The document of a domain, and things under the fast lock. Rules for threads, forks, errors,
 * structs, text and time: xlstore.h, which includes this.
 */
#ifndef XLSTORE_DOCUMENT_H_
#define XLSTORE_DOCUMENT_H_

#include "xlstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* The document as libxl itself would write it, byte for byte, and its revision: read at one moment,
 * without a lock (R2). Error store, naming it: the text of an entry or of a member, or how a
 * member's key is spelled, is damaged. */
int32_t xlstore_document(xlstore_store* store, const char* domain, char** json_out,
                         int64_t* revision_out);
/* One thing's JSON, as the document has it. Error store: it is damaged. */
int32_t xlstore_thing(xlstore_store* store, const char* domain, const char* device_class,
                      const char* key, char** json_out, int64_t* revision_out);

/* Edits. Each waits for the fast lock of that domain and the writer lock only. Result of the forms
 * with _start: {"result","revision"}.
 *
 * Writes a whole document back: its skeleton, and the things whose thing lock is the fast lock
 * (R3); one that it lacks goes, as R5 allows for things of the fast lock. Things of QEMU in it are
 * not looked at: a pending one can be neither lost nor forged. uuid and domid cannot change. The
 * arrays get the order that they have in it; writing it twice changes no value the second time, but
 * counts one revision more. With `revision` not 0: only if that is the document's revision, else
 * conflict. Errors besides: exists, another domain has the name that it gives this one; refused,
 * another type of the domain or of a USB controller would make xenstore's what is in QEMU, or
 * QEMU's what is in xenstore. */
int32_t xlstore_write_document(xlstore_store* store, const char* domain, const char* json,
                               int64_t revision, const xlstore_call* call, int64_t* revision_out);
int32_t xlstore_write_document_start(xlstore_store* store, const char* domain, const char* json,
                                     int64_t revision, const xlstore_call* call,
                                     xlstore_callback callback, void* userdata,
                                     xlstore_op** op_out);
/* Adds or replaces one such thing, or removes it. It is put before the thing is in its primary, and
 * removed after the thing is gone from there (R1). One that libxl gives no identity (vkbs, vfbs,
 * p9s, channels, a nic without devid ...) is another thing each time it is put, with a key of its
 * own ("#7", in view `things`) that no element of this domain had before: to replace it, remove it
 * by that key. Errors besides: refused, a thing of QEMU, or a USB controller that would make
 * xenstore's what is in QEMU. */
int32_t xlstore_put_thing(xlstore_store* store, const char* domain, const char* device_class,
                          const char* json, int64_t revision, const xlstore_call* call,
                          int64_t* revision_out);
int32_t xlstore_remove_thing(xlstore_store* store, const char* domain, const char* device_class,
                             const char* key, int64_t revision, const xlstore_call* call,
                             int64_t* revision_out);
int32_t xlstore_put_thing_start(xlstore_store* store, const char* domain, const char* device_class,
                                const char* json, int64_t revision, const xlstore_call* call,
                                xlstore_callback callback, void* userdata, xlstore_op** op_out);
int32_t xlstore_remove_thing_start(xlstore_store* store, const char* domain,
                                   const char* device_class, const char* key, int64_t revision,
                                   const xlstore_call* call, xlstore_callback callback,
                                   void* userdata, xlstore_op** op_out);

/* The fast lock, held over several of these: a whole read-modify-write (R2) with work of the
 * caller's in between, such as a transaction of xenstore (entry first, then the primary; removal
 * the other way round). Synchronous: as long as this thread has one, xlstore_dispatch() and every
 * call that waits are refused (XLSTORE_E_ORDER), and so is a second one. Others wait: release it
 * soon. Each of the writing calls below is one commit, and changes nothing when it fails.
 * XLSTORE_TRY in call->flags. Errors of xlstore_fast_lock: busy, gone, not_found; of the others: as
 * of the same call without "fast". A fast lock is always to be released, in this thread or another;
 * NULL does nothing. */
typedef struct xlstore_fast xlstore_fast;
int32_t xlstore_fast_lock(xlstore_store* store, const char* domain, const char* operation,
                          const xlstore_call* call, xlstore_fast** fast_out);
void xlstore_fast_release(xlstore_fast* fast);
int32_t xlstore_fast_document(xlstore_fast* fast, char** json_out);
int32_t xlstore_fast_write_document(xlstore_fast* fast, const char* json);
int32_t xlstore_fast_put_thing(xlstore_fast* fast, const char* device_class, const char* json);
int32_t xlstore_fast_remove_thing(xlstore_fast* fast, const char* device_class, const char* key);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_DOCUMENT_H_ */
