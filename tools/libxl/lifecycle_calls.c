/* SPDX-License-Identifier: MIT
 *
 * A domain's life. Creation: the row and the document are in the store once the hypervisor has made
 * the domain and before libxl's first write to xenstore, by xc_domain_create, which libxenlight
 * calls across a library boundary; the device model is registered when libxl is done. Destruction:
 * marked, libxl's call, finished; it is never refused for want of a store. */
#define _GNU_SOURCE
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

/* The creation whose call of libxl's this thread is in; NULL: none that the journal knows. Set and
 * put back by CREATED alone, so that it never points to a frame that is gone. */
static __thread struct creation {
    libxl_ctx* ctx;
    const char* call;
    char* document;
} * creation;

/* libxl numbers what the caller left to it by place; it is done before, so that entries have a key.
 */
#define NUMBERED(config, array, count)                                                 \
    do {                                                                               \
        int next = 0;                                                                  \
        for (int i = 0; i < (config)->count; i++)                                      \
            if ((config)->array[i].devid >= next) next = (config)->array[i].devid + 1; \
        for (int i = 0; i < (config)->count; i++)                                      \
            if ((config)->array[i].devid < 0) (config)->array[i].devid = next++;       \
    } while (0)

/* False: the creation is refused. */
static bool creation_begin(struct creation* c, const char* call, libxl_ctx* ctx,
                           libxl_domain_config* config)
{
    bool refused = false;
    memset(c, 0, sizeof *c);
    c->ctx = ctx;
    c->call = call;
    xlstore_store* store = journal_store(call, &refused);
    if (refused) return false;
    if (!store) return true;
    xlstore_close(store); /* it is to be had: opened again when there is a domain */
    if (libxl_uuid_is_nil(&config->c_info.uuid)) libxl_uuid_generate(&config->c_info.uuid);
    NUMBERED(config, nics, num_nics);
    NUMBERED(config, vtpms, num_vtpms);
    NUMBERED(config, vdispls, num_vdispls);
    NUMBERED(config, vsnds, num_vsnds);
    c->document = libxl_domain_config_to_json(ctx, config);
    if (!c->document)
        return journal_without(call, "libxl has no JSON of the configuration") == WAY_PLAIN;
    return true;
}

int xc_domain_create(void* xch, uint32_t* domid, void* config);
WRAPPED int xc_domain_create(void* xch, uint32_t* domid, void* config)
{
    REAL(xc_domain_create);
    bool refused = false;
    const int rc = real(xch, domid, config);
    if (rc != 0 || !creation) return rc;
    xlstore_store* store = journal_store(creation->call, &refused);
    if (!store) return rc;
    const int32_t status =
        xlstore_adopt(store, (int32_t)*domid, creation->document, NULL, NULL, NULL);
    if (status != XLSTORE_OK) journal_failed(creation->call, "the domain has no row yet", status);
    xlstore_close(store);
    return rc;
}

static void forget_domain(const char* call, uint32_t domid)
{
    bool refused = false;
    char name[24];
    xlstore_store* store = journal_store(call, &refused);
    if (!store) return;
    snprintf(name, sizeof name, "domid:%u", domid);
    const int32_t status = xlstore_destroy(store, name, NULL, NULL);
    if (status != XLSTORE_OK && status != XLSTORE_E_NOT_FOUND)
        journal_failed(call, "its row is not at its end", status);
    xlstore_close(store);
}

static int creation_end(struct creation* c, uint32_t domid, int rc)
{
    struct journal j;
    if (!c->document) return rc;
    free(c->document);
    if (domid == 0 || domid == (uint32_t)INVALID_DOMID) return rc;
    if (rc != 0 && libxl_domain_info(c->ctx, NULL, domid) == ERROR_DOMAIN_NOTFOUND) {
        forget_domain(c->call, domid);
        return rc;
    }
    /* The document as libxl saved it, and the device model. */
    if (rc == 0 && journal_begin(&j, c->call, c->ctx, domid) == WAY_JOURNAL) journal_end(&j);
    return rc;
}

/* A creation that goes on after it returned: libxl makes the domain before that, and so the row. */
struct creating {
    struct creation c;
    uint32_t* domid;
};

static int creation_over(void* data, int rc)
{
    struct creating* one = data;
    const int answer = creation_end(&one->c, *one->domid, rc);
    free(one);
    return answer;
}

/* For the form with a callback: false, there is no memory for it, and the creation is over. */
static bool creation_later(struct creation* c, uint32_t* domid, const libxl_asyncop_how* how,
                           libxl_asyncop_how* chained)
{
    struct creating* one = malloc(sizeof *one);
    if (one) *one = (struct creating){*c, domid};
    if (one && journal_later(how, creation_over, one, chained) == 0) return true;
    journal_say(c->call, "not begun: there is no memory for it");
    free(one);
    free(c->document);
    return false;
}

/* libxl's call has returned `rc`; `chained`: NULL, unless libxl calls back. One that is told by an
 * event is taken over by the next call on the domain. */
static int creation_returned(struct creation* c, uint32_t* domid, const libxl_asyncop_how* ao_how,
                             libxl_asyncop_how* chained, int rc)
{
    if (!ao_how) return creation_end(c, *domid, rc);
    if (chained) return journal_later_returned(chained, rc);
    free(c->document);
    return rc;
}

/* Around libxl's call, which is made with `ao_how`. Another creation may be under way in this
 * thread, where a callback of libxl's makes this one. */
#define CREATED(c, domid, CALL)                                                              \
    do {                                                                                     \
        libxl_asyncop_how chained_;                                                          \
        const bool later_ = ao_how && ao_how->callback;                                      \
        if (later_ && !creation_later(&(c), (domid), ao_how, &chained_)) return ERROR_NOMEM; \
        if (later_) ao_how = &chained_;                                                      \
        struct creation* const outer_ = creation;                                            \
        creation = (c).document ? &(c) : NULL;                                               \
        const int rc_ = (CALL);                                                              \
        creation = outer_;                                                                   \
        return creation_returned(&(c), (domid), ao_how, later_ ? &chained_ : NULL, rc_);     \
    } while (0)

WRAPPED int libxl_domain_create_new(libxl_ctx* ctx, libxl_domain_config* d_config, uint32_t* domid,
                                    const libxl_asyncop_how* ao_how,
                                    const libxl_asyncprogress_how* console)
{
    REAL(libxl_domain_create_new);
    struct creation c;
    if (!creation_begin(&c, __func__, ctx, d_config)) return ERROR_FAIL;
    CREATED(c, domid, real(ctx, d_config, domid, ao_how, console));
}

WRAPPED int libxl_domain_create_restore(libxl_ctx* ctx, libxl_domain_config* d_config,
                                        uint32_t* domid, int restore_fd, int send_back_fd,
                                        const libxl_domain_restore_params* params,
                                        const libxl_asyncop_how* ao_how,
                                        const libxl_asyncprogress_how* console)
{
    REAL(libxl_domain_create_restore);
    struct creation c;
    if (!creation_begin(&c, __func__, ctx, d_config)) return ERROR_FAIL;
    CREATED(c, domid,
            real(ctx, d_config, domid, restore_fd, send_back_fd, params, ao_how, console));
}

/* What is open is settled before the device model goes, and with it what could tell. */
static enum way settled_before(const char* call, libxl_ctx* ctx, uint32_t domid)
{
    struct journal j;
    const enum way way = journal_begin(&j, call, ctx, domid);
    if (way != WAY_JOURNAL) return way;
    xlstore_hold_release(j.hold); /* recovery leaves alone what a living process holds */
    j.hold = NULL;
    (void)journal_recover(&j);
    journal_end(&j);
    return WAY_JOURNAL;
}

WRAPPED int libxl_domain_suspend(libxl_ctx* ctx, uint32_t domid, int fd, int flags,
                                 const libxl_asyncop_how* ao_how)
{
    REAL(libxl_domain_suspend);
    if (settled_before(__func__, ctx, domid) == WAY_REFUSED) return ERROR_FAIL;
    return real(ctx, domid, fd, flags, ao_how);
}

WRAPPED int libxl_domain_suspend_only(libxl_ctx* ctx, uint32_t domid,
                                      const libxl_asyncop_how* ao_how)
{
    REAL(libxl_domain_suspend_only);
    if (settled_before(__func__, ctx, domid) == WAY_REFUSED) return ERROR_FAIL;
    return real(ctx, domid, ao_how);
}

/* The domain stays, with another device model, which is registered when libxl is done; where that
 * is not before this returns, by the next call. */
WRAPPED int libxl_domain_soft_reset(libxl_ctx* ctx, libxl_domain_config* d_config, uint32_t domid,
                                    const libxl_asyncop_how* ao_how,
                                    const libxl_asyncprogress_how* console)
{
    REAL(libxl_domain_soft_reset);
    struct journal j;
    const enum way way = settled_before(__func__, ctx, domid);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    const int rc = real(ctx, d_config, domid, ao_how, console);
    if (way == WAY_JOURNAL && rc == 0 && !ao_how &&
        journal_begin(&j, __func__, ctx, domid) == WAY_JOURNAL)
        journal_end(&j);
    return rc;
}

struct destruction {
    const char* call;
    uint32_t domid;
    bool marked; /* the store has confirmed the mark */
};

/* Once marked a row goes only forward. libxl may have given up and kept the domain: recovery leaves
 * a device model of libxl's alone. */
static void destroyed(const struct destruction* one, int rc)
{
    if (rc == 0)
        forget_domain(one->call, one->domid);
    else if (!one->marked)
        journal_say(one->call,
                    "libxl answered %d: domain %u stays in the store, where its destruction could "
                    "not be marked; 'xlfsck' says what the store has",
                    rc, one->domid);
    else
        journal_say(one->call,
                    "libxl answered %d: the store takes no more changes of domain %u, and its row "
                    "ends with the next destruction that is carried out",
                    rc, one->domid);
}

static int destruction_over(void* data, int rc)
{
    destroyed(data, rc);
    free(data);
    return rc;
}

WRAPPED int libxl_domain_destroy(libxl_ctx* ctx, uint32_t domid, const libxl_asyncop_how* ao_how)
{
    REAL(libxl_domain_destroy);
    bool refused = false, ours = false, marked = false;
    char name[24], uuid[40] = "";
    libxl_dominfo info;
    libxl_dominfo_init(&info);
    if (libxl_domain_info(ctx, &info, domid) == 0)
        snprintf(uuid, sizeof uuid, LIBXL_UUID_FMT, LIBXL_UUID_BYTES(info.uuid));
    libxl_dominfo_dispose(&info);
    snprintf(name, sizeof name, "domid:%u", domid);
    xlstore_store* store = uuid[0] ? journal_store(__func__, &refused) : NULL;
    if (store) {
        xlstore_domain_info row = XLSTORE_DOMAIN_INFO_INIT;
        ours = xlstore_find(store, name, &row) == XLSTORE_OK && strcmp(row.uuid, uuid) == 0;
        const int32_t status = ours ? xlstore_mark_destroying(store, name, NULL, NULL) : XLSTORE_OK;
        marked = ours && status == XLSTORE_OK;
        if (status != XLSTORE_OK) journal_failed(__func__, "its row is not marked", status);
        xlstore_close(store);
    }
    struct destruction over = {__func__, domid, marked};
    libxl_asyncop_how chained;
    if (ours && ao_how && ao_how->callback) {
        struct destruction* later = malloc(sizeof *later);
        if (later) *later = over;
        /* Without memory for it recovery finishes the row. */
        if (later && journal_later(ao_how, destruction_over, later, &chained) == 0) {
            const int begun = real(ctx, domid, &chained);
            return journal_later_returned(&chained, begun);
        }
        free(later);
    }
    const int rc = real(ctx, domid, ao_how);
    if (ours && !ao_how) destroyed(&over, rc);
    return rc;
}

WRAPPED int libxl_domain_rename(libxl_ctx* ctx, uint32_t domid, const char* old_name,
                                const char* new_name)
{
    REAL(libxl_domain_rename);
    struct journal j;
    const enum way way = journal_begin(&j, __func__, ctx, domid);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    const int rc = real(ctx, domid, old_name, new_name);
    if (way != WAY_JOURNAL) return rc;
    const int32_t status =
        rc == 0 ? xlstore_rename(j.store, j.name, new_name, 0, NULL, NULL) : XLSTORE_OK;
    if (status != XLSTORE_OK) journal_failed(j.call, "the store has the old name still", status);
    journal_end(&j);
    return rc;
}
