/* SPDX-License-Identifier: MIT
 *
 * What each wrapped call of libxl's goes through: the store is opened, the domain found or taken
 * over, its slow lock acquired and its document brought in line; intents are opened and settled by
 * looks of the store's; all of it is closed again before the wrapped call returns, so that nothing
 * crosses a fork of the caller's. One of these belongs to one call, and to the thread that makes
 * it. */
#ifndef XLSTORE_TOOLS_LIBXL_JOURNAL_H_
#define XLSTORE_TOOLS_LIBXL_JOURNAL_H_

#include <libxl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xlstore/recovery.h>
#include <xlstore/xlstore.h>

/* The functions below are seen by no other program: the library has no version script, for what it
 * wraps has to satisfy libxl's versioned names. */
#define HIDDEN __attribute__((visibility("hidden")))
#define WRAPPED __attribute__((visibility("default")))

/* libxl's own function of that name. */
#define REAL(name)                 \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(real))journal_next(#name)
HIDDEN void* journal_next(const char* name);

struct journal {
    libxl_ctx* ctx;
    uint32_t domid;
    bool has_qemu;    /* it is an HVM domain: its devices are a device model's */
    char uuid[40];    /* the hypervisor's */
    char name[24];    /* "domid:7" */
    char* document;   /* libxl's file, as it was when the slow lock was acquired */
    bool is_settled;  /* its row has no open intent */
    bool followed;    /* the document was brought in line by a look at all that QEMU has */
    const char* call; /* the function that is wrapped */
    xlstore_store* store;
    xlstore_hold* hold;
};

enum way {
    WAY_JOURNAL, /* go on, and end it */
    WAY_PLAIN, /* there is no journal for this call: libxl's alone (XLSTORE_LIBXL=off, or no store)
                */
    WAY_REFUSED, /* the call is not made */
};
/* Where it returns WAY_JOURNAL, and only there, journal_end has to follow. */
HIDDEN enum way journal_begin(struct journal* j, const char* call, libxl_ctx* ctx, uint32_t domid);
HIDDEN void journal_end(struct journal* j);
/* Which way a call goes that cannot be journalled: refused under XLSTORE_LIBXL=required, plain
 * otherwise, with a line on the standard error that names the reason (nothing is said under off).
 */
HIDDEN enum way journal_without(const char* call, const char* reason);
/* The same for a call whose journal has begun: it is ended here. */
HIDDEN enum way journal_leave(struct journal* j, const char* reason);
/* `way`, for a call whose journal has to last until libxl has ended it. One whose end is told by an
 * event has none: the journal does not see that end, and a look before it would take what has not
 * come yet for what did not come. libxl has no public function by which the journal could send the
 * event itself after a synchronous call. */
HIDDEN enum way journal_to_end(struct journal* j, enum way way, const libxl_asyncop_how* ao_how);

/* For calls that begin before there is a domain, or end with it. NULL: no store to be used;
 * `refused` says whether the call may go on without one. */
HIDDEN xlstore_store* journal_store(const char* call, bool* refused);

/* One thing that a call is about. */
struct subject {
    int32_t operation; /* XLSTORE_ADD ... */
    const char* device_class;
    const char* key;
    char* own_key; /* what `key` points to, where it was made for this subject; else NULL */
    char* json;
    char* plan;
    int64_t intent;
    int32_t seen; /* after journal_settle */
};
/* What a look after libxl's call has shown of all subjects. */
enum outcome {
    OUTCOME_DONE,      /* each is there, or gone, as it was asked for */
    OUTCOME_NOT_DONE,  /* at least one is not */
    OUTCOME_NOT_YET,   /* the guest was asked to let go; it is not seen to have done so */
    OUTCOME_NOT_KNOWN, /* QEMU could not be looked at, or did not tell */
};
/* Brings the document in line, if journal_begin found that it need not be: for a call that is about
 * things which it learns from the entries alone. Status of the store's. */
HIDDEN int32_t journal_follow(struct journal* j);
/* Opens the intents of all. Status of the store's; it is told on the standard error. */
HIDDEN int32_t journal_intend(struct journal* j, struct subject* subjects, size_t count);
/* After libxl's call: looks, and settles. `rc`: what libxl answered; `waits`: a guest that was
 * asked to let go is given some seconds to do so, which a callback may not take. What is in libxl's
 * file and differs from what was seen is brought to that; of what was not seen the file stays as it
 * is. */
HIDDEN enum outcome journal_settle(struct journal* j, struct subject* subjects, size_t count,
                                   int rc, bool waits);
/* What the caller gets: libxl's answer, unless the look disagrees with it. */
HIDDEN int journal_answer(const struct journal* j, int rc, enum outcome outcome);
/* Frees what the subjects own. */
HIDDEN void journal_forget(struct subject* subjects, size_t count);

/* What is done when a call that goes on after it returned is over: the answer for its caller. */
typedef int journal_over(void* data, int rc);
/* For a `how` with a callback: the one for libxl, by which `over` is called with `data` when libxl
 * is done, and then the caller's with its answer. Not 0: there is no memory for it. */
HIDDEN int journal_later(const libxl_asyncop_how* how, journal_over* over, void* data,
                         libxl_asyncop_how* chained);
/* libxl's call with it has returned `rc`: the answer for the caller. Where libxl refused the call,
 * and calls nothing back, `over` is called here. */
HIDDEN int journal_later_returned(libxl_asyncop_how* chained, int rc);

/* What is open of a domain is settled, as recovery does it. False: something stays open. */
HIDDEN bool journal_recover(struct journal* j);

/* Takes over the domain that libxl made; with or without a device model. */
HIDDEN int32_t journal_adopt(struct journal* j);

/* One line on the standard error: "xlj: WHAT: ...". */
HIDDEN void journal_say(const char* call, const char* format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, with what the store had to say last. */
HIDDEN void journal_failed(const char* call, const char* what, int32_t status);

/* libxl's file of the domain, text without the NUL; NULL: there is none, or it cannot be read. */
HIDDEN char* libxl_file_read(const struct journal* j);
/* One element of it, as libxl saved it, for the subject; NULL: it has none. The caller's. */
HIDDEN char* libxl_file_element(const struct journal* j, const char* document,
                                const struct subject* subject);
/* Has the file, as it was read, the elements of `document`, by class, key and order, and the media
 * that its disks have? What libxl keeps of each besides is not compared. */
HIDDEN bool libxl_file_lists_the_same(const struct journal* j, const char* document);
/* Under libxl's lock on it: that element as the store has it now (`json`), or away (NULL). Nothing
 * is written where it is so already. False: it could not be done; said on the standard error. */
HIDDEN bool libxl_file_follow(const struct journal* j, const struct subject* subject,
                              const char* json);

#endif
