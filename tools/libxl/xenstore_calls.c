/* SPDX-License-Identifier: MIT
 *
 * What libxl does through xenstore alone: the entry is written before libxl's call and taken away
 * after it (entry first, then the primary; removal the other way round). Where libxl's answer is a
 * failure the entry stays: what became of it is for the next look at xenstore to say. The domain's
 * slow lock is held from before the entry until libxl is done, also where that is after the call
 * returned: a look in between could take the entry away, and the device come without one (R1). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "journal.h"

struct found {
    char* key;
    size_t size;
    bool any;
};

static int32_t take_key(int32_t columns, const char* const* names, const char* const* values,
                        void* userdata)
{
    struct found* to = userdata;
    (void)columns;
    (void)names;
    snprintf(to->key, to->size, "%s", values[0]);
    to->any = true;
    return 0;
}

/* The key of the entry with this devid: one of a class to which libxl gives no identity has a key
 * of the store's own. */
static bool find_key(const struct journal* j, const char* device_class, const char* member,
                     const char* value, char* key, size_t size)
{
    struct found found = {key, size, false};
    const char* parameters[] = {j->uuid, device_class, member, value};
    xlstore_query(
        j->store,
        "SELECT key FROM thing WHERE class = ?2 AND CAST(json ->> ('$.' || ?3) AS TEXT) = ?4 AND "
        "domain IN (SELECT id FROM domain WHERE uuid = ?1 AND state IN ('creating', 'running'))",
        parameters, 4, NULL, take_key, &found);
    return found.any;
}

static int32_t put(const struct journal* j, const char* device_class, const char* json)
{
    const int32_t status = xlstore_put_thing(j->store, j->name, device_class, json, 0, NULL, NULL);
    if (status != XLSTORE_OK) journal_failed(j->call, "the entry cannot be written", status);
    return status;
}

static void take_away(const struct journal* j, const char* device_class, const char* member,
                      const char* value)
{
    char key[80];
    if (!find_key(j, device_class, member, value, key, sizeof key)) return;
    const int32_t status =
        xlstore_remove_thing(j->store, j->name, device_class, key, 0, NULL, NULL);
    if (status != XLSTORE_OK) journal_failed(j->call, "its entry stays", status);
}

/* After an add: the element as libxl saved it, where its file has one. libxl saves no vkb or vfb
 * that is added to a running domain, and gives neither an identity: one of the same devid in its
 * file would be another, and a second entry; the entry stays as it was put. */
static void keep_as_saved(const struct journal* j, const char* device_class, const char* key)
{
    char* document = libxl_file_read(j);
    const struct subject subject = {.device_class = device_class, .key = key};
    char* saved = document ? libxl_file_element(j, document, &subject) : NULL;
    if (saved) put(j, device_class, saved);
    free(saved);
    free(document);
}

/* A journalled call from before its entry on; it may outlive the function that was called. */
struct device_call {
    struct journal j;
    bool adds;
    const char* device_class;
    const char* member; /* by which an entry is found again, and its value */
    char value[80];
};

/* The one way out: `rc` is what libxl answered, or why libxl was not called. */
static int device_call_over(void* data, int rc)
{
    struct device_call* call = data;
    if (rc == 0 && call->adds)
        keep_as_saved(&call->j, call->device_class, call->value);
    else if (rc == 0)
        take_away(&call->j, call->device_class, call->member, call->value);
    journal_end(&call->j);
    free(call);
    return rc;
}

/* Takes over the journal. For the form with a callback `chained` is made, too. NULL: no memory, and
 * the journal is ended. */
static struct device_call* device_call_new(struct journal* j, const char* device_class,
                                           const char* member, const char* value,
                                           const libxl_asyncop_how* ao_how,
                                           libxl_asyncop_how* chained)
{
    struct device_call* call = calloc(1, sizeof *call);
    if (!call || (ao_how && journal_later(ao_how, device_call_over, call, chained) != 0)) {
        journal_say(j->call, "not begun: there is no memory for it");
        journal_end(j);
        free(call);
        return NULL;
    }
    call->j = *j;
    call->device_class = device_class;
    call->member = member;
    snprintf(call->value, sizeof call->value, "%s", value);
    return call;
}

/* libxl's call (`CALL`) after what comes before it (`BEFORE`, of `call_`): over now, or when libxl
 * calls back. */
#define CARRIED_OUT(j, device_class, member, value, BEFORE, CALL)                              \
    do {                                                                                       \
        libxl_asyncop_how chained_;                                                            \
        struct device_call* call_ =                                                            \
            device_call_new(&(j), device_class, member, value, ao_how, &chained_);             \
        if (!call_) return ERROR_NOMEM;                                                        \
        if (ao_how) ao_how = &chained_;                                                        \
        int rc_ = (BEFORE);                                                                    \
        if (rc_ == 0) rc_ = (CALL);                                                            \
        return ao_how ? journal_later_returned(&chained_, rc_) : device_call_over(call_, rc_); \
    } while (0)

static enum way begin(struct journal* j, const char* call, libxl_ctx* ctx, uint32_t domid,
                      const libxl_asyncop_how* ao_how)
{
    return journal_to_end(j, journal_begin(j, call, ctx, domid), ao_how);
}

/* The entry of an add. Takes over `json`. */
static int entry_before(struct device_call* call, char* json)
{
    call->adds = true;
    const bool done = json && put(&call->j, call->device_class, json) == XLSTORE_OK;
    free(json);
    return done ? 0 : ERROR_FAIL;
}

/* An add and the ways out of one class. VALUE: writes down the member by which an entry is found
 * again (`member` of TAKE); NEXT: sets that one where the caller left it to libxl. */
#define ADD(type, device_class, member, VALUE, NEXT)                                 \
    WRAPPED int libxl_device_##type##_add(libxl_ctx* ctx, uint32_t domid,            \
                                          libxl_device_##type* device,               \
                                          const libxl_asyncop_how* ao_how)           \
    {                                                                                \
        REAL(libxl_device_##type##_add);                                             \
        struct journal j;                                                            \
        char value[80];                                                              \
        const enum way way = begin(&j, __func__, ctx, domid, ao_how);                \
        if (way == WAY_REFUSED) return ERROR_FAIL;                                   \
        if (way == WAY_PLAIN) return real(ctx, domid, device, ao_how);               \
        NEXT;                                                                        \
        VALUE;                                                                       \
        CARRIED_OUT(j, device_class, member, value,                                  \
                    entry_before(call_, libxl_device_##type##_to_json(ctx, device)), \
                    real(ctx, domid, device, ao_how));                               \
    }

#define TAKE(type, how, device_class, member, VALUE)                                      \
    WRAPPED int libxl_device_##type##_##how(libxl_ctx* ctx, uint32_t domid,               \
                                            libxl_device_##type* device,                  \
                                            const libxl_asyncop_how* ao_how)              \
    {                                                                                     \
        REAL(libxl_device_##type##_##how);                                                \
        struct journal j;                                                                 \
        char value[80];                                                                   \
        const enum way way = begin(&j, __func__, ctx, domid, ao_how);                     \
        if (way == WAY_REFUSED) return ERROR_FAIL;                                        \
        if (way == WAY_PLAIN) return real(ctx, domid, device, ao_how);                    \
        VALUE;                                                                            \
        CARRIED_OUT(j, device_class, member, value, 0, real(ctx, domid, device, ao_how)); \
    }

/* libxl lists no vfbs: the number behind the highest in its own tree, where libxl looks for it.
 * -1: it could not be read, which libxl will find, too. */
static int next_vfb(uint32_t domid)
{
    REAL(xs_open);
    static __typeof__(&xs_close) end;
    static __typeof__(&xs_directory) list;
    if (!end) end = (__typeof__(end))journal_next("xs_close");
    if (!list) list = (__typeof__(list))journal_next("xs_directory");
    struct xs_handle* xs = real(0);
    if (!xs) return -1;
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/libxl/%u/device/vfb", domid);
    char** names = list(xs, XBT_NULL, path, &count);
    int next = names || errno == ENOENT ? 0 : -1;
    for (unsigned i = 0; names && i < count; i++)
        if (atoi(names[i]) >= next) next = atoi(names[i]) + 1;
    free(names);
    end(xs);
    return next;
}

#define DEVID snprintf(value, sizeof value, "%d", device->devid)
#define VDEV snprintf(value, sizeof value, "%s", device->vdev ? device->vdev : "")
/* The number behind the highest that xenstore has, as libxl takes it. */
#define NEXT_OF_LIST(type)                                                          \
    do {                                                                            \
        int count = 0;                                                              \
        int next = 0;                                                               \
        if (device->devid != -1) break;                                             \
        libxl_device_##type* list = libxl_device_##type##_list(ctx, domid, &count); \
        for (int i = 0; i < count; i++)                                             \
            if (list[i].devid >= next) next = list[i].devid + 1;                    \
        libxl_device_##type##_list_free(list, count);                               \
        device->devid = next;                                                       \
    } while (0)
#define AS_GIVEN (void)0
#define NEXT_VFB \
    if (device->devid == -1) device->devid = next_vfb(domid)

#define WITH_DEVID(type, device_class, NEXT)         \
    ADD(type, device_class, "devid", DEVID, NEXT)    \
    TAKE(type, remove, device_class, "devid", DEVID) \
    TAKE(type, destroy, device_class, "devid", DEVID)

ADD(disk, "disks", "vdev", VDEV, AS_GIVEN)
TAKE(disk, remove, "disks", "vdev", VDEV)
TAKE(disk, destroy, "disks", "vdev", VDEV)
TAKE(disk, safe_remove, "disks", "vdev", VDEV)
WITH_DEVID(nic, "nics", NEXT_OF_LIST(nic))
WITH_DEVID(vtpm, "vtpms", NEXT_OF_LIST(vtpm))
WITH_DEVID(vdispl, "vdispls", NEXT_OF_LIST(vdispl))
WITH_DEVID(vsnd, "vsnds", NEXT_OF_LIST(vsnd))
WITH_DEVID(vkb, "vkbs", NEXT_OF_LIST(vkb))
WITH_DEVID(vfb, "vfbs", NEXT_VFB)
TAKE(p9, remove, "p9s", "devid", DEVID)
TAKE(p9, destroy, "p9s", "devid", DEVID)
TAKE(pvcallsif, remove, "pvcallsifs", "devid", DEVID)
TAKE(pvcallsif, destroy, "pvcallsifs", "devid", DEVID)
