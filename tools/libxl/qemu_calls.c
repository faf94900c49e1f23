/* SPDX-License-Identifier: MIT
 *
 * What libxl does through QEMU's monitor: media, USB controllers and devices, PCI devices, vcpus.
 * An intent is open from before libxl's first command until a look has shown what became of it.
 * What libxl does without QEMU (a PV domain's, and what is on PV controllers) has no journal. */
#define _GNU_SOURCE
#include <libxl_utils.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

static char* text_of(const char* format, int a, int b)
{
    char* text = NULL;
    return asprintf(&text, format, a, b) < 0 ? NULL : text;
}

static const char pci_key[] = "%04x:%02x:%02x.%x";

/* A journalled call from before its intents on; it may outlive the function that was called. */
struct under_way {
    struct journal j;
    bool begun; /* its intents are in the store */
    bool waits; /* its caller waits for it, and not an event loop */
    size_t count;
    struct subject subjects[];
};

/* libxl lists the PCI device that is to go: the hypervisor's part of its removal was not done. */
static bool is_listed(const struct under_way* call)
{
    const struct subject* one = call->subjects;
    if (one->operation != XLSTORE_REMOVE || strcmp(one->device_class, "pcidevs") != 0) return false;
    int count = 0;
    bool found = false;
    char key[32];
    libxl_device_pci* list = libxl_device_pci_list(call->j.ctx, call->j.domid, &count);
    for (int i = 0; i < count; i++) {
        snprintf(key, sizeof key, pci_key, list[i].domain, list[i].bus, list[i].dev, list[i].func);
        found = found || strcmp(key, one->key) == 0;
    }
    libxl_device_pci_list_free(list, count);
    return found;
}

static int answer_of(const struct under_way* call, int rc, enum outcome outcome)
{
    if (rc == 0 || outcome != OUTCOME_DONE || !is_listed(call))
        return journal_answer(&call->j, rc, outcome);
    journal_say(call->j.call,
                "libxl answered %d; QEMU has let go of %s, and libxl has not taken it back: "
                "'xl pci-detach -f' ends that",
                rc, call->subjects[0].key);
    return rc;
}

/* The one way out: `rc` is what libxl answered, or why libxl was not called. */
static int settle(void* data, int rc)
{
    struct under_way* call = data;
    int answer = rc;
    if (call->begun)
        answer = answer_of(call, rc,
                           journal_settle(&call->j, call->subjects, call->count, rc, call->waits));
    journal_forget(call->subjects, call->count);
    journal_end(&call->j);
    free(call);
    return answer;
}

/* Takes over the journal and the subjects, with keys of their own: theirs may be the caller's. For
 * the form with a callback `chained` is made, too. NULL: no memory, and the journal is ended. */
static struct under_way* keep(struct journal* j, struct subject* subjects, size_t count,
                              const libxl_asyncop_how* ao_how, libxl_asyncop_how* chained)
{
    struct under_way* call = calloc(1, sizeof *call + count * sizeof *subjects);
    bool whole = call != NULL;
    for (size_t i = 0; i < count; i++) {
        if (!subjects[i].own_key && subjects[i].key) subjects[i].own_key = strdup(subjects[i].key);
        subjects[i].key = subjects[i].own_key;
        whole = whole && subjects[i].key;
    }
    if (whole && ao_how) whole = journal_later(ao_how, settle, call, chained) == 0;
    if (!whole) {
        journal_say(j->call, "not begun: there is no memory for it");
        journal_forget(subjects, count);
        journal_end(j);
        free(call);
        return NULL;
    }
    call->j = *j;
    call->count = count;
    call->waits = !ao_how;
    memcpy(call->subjects, subjects, count * sizeof *subjects);
    return call;
}

/* What came of opening the intents: 0, or the answer for the caller. */
static int begun(struct under_way* call, int32_t status)
{
    call->begun = status == XLSTORE_OK;
    if (call->begun) return 0;
    /* Neither QEMU nor the store has it: what libxl has of it still is libxl's to take away. */
    if (status == XLSTORE_E_NOT_FOUND && call->count == 1 &&
        call->subjects[0].operation == XLSTORE_REMOVE)
        return 0;
    journal_failed(call->j.call, "not begun", status);
    return status == XLSTORE_E_EXISTS ? ERROR_DEVICE_EXISTS : ERROR_FAIL;
}

static int intend(struct under_way* call)
{
    return begun(call, journal_intend(&call->j, call->subjects, call->count));
}

/* What can fail for want of memory, the intents (`INTEND`, of `call_`), libxl's call (`CALL`), and
 * the settle: now, or when libxl calls back. Store and lock are kept until then. */
#define CARRIED_OUT(j, list, number, INTEND, CALL)                                   \
    do {                                                                             \
        libxl_asyncop_how chained_;                                                  \
        struct under_way* call_ = keep(&(j), (list), (number), ao_how, &chained_);   \
        if (!call_) return ERROR_NOMEM;                                              \
        if (ao_how) ao_how = &chained_;                                              \
        int rc_ = (INTEND);                                                          \
        if (rc_ == 0) rc_ = (CALL);                                                  \
        return ao_how ? journal_later_returned(&chained_, rc_) : settle(call_, rc_); \
    } while (0)

#define JOURNALLED(j, list, number, CALL) CARRIED_OUT(j, list, number, intend(call_), CALL)

static const char no_model[] = "the domain has no device model";
static const char pv_controller[] = "the USB controller is not a device model's";

/* journal_begin, for a call that needs a device model. */
static enum way begin_with_model(struct journal* j, const char* call, libxl_ctx* ctx,
                                 uint32_t domid, const libxl_asyncop_how* ao_how)
{
    const enum way way = journal_to_end(j, journal_begin(j, call, ctx, domid), ao_how);
    return way == WAY_JOURNAL && !j->has_qemu ? journal_leave(j, no_model) : way;
}

WRAPPED int libxl_cdrom_insert(libxl_ctx* ctx, uint32_t domid, libxl_device_disk* disk,
                               const libxl_asyncop_how* ao_how)
{
    REAL(libxl_cdrom_insert);
    struct journal j;
    enum way way = begin_with_model(&j, __func__, ctx, domid, ao_how);
    if (way == WAY_JOURNAL && !disk->vdev) way = journal_leave(&j, "it names no drive");
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, disk, ao_how);
    /* As libxl saves it: what the caller gave, before libxl's defaults. */
    libxl_device_disk saved;
    libxl_device_disk_init(&saved);
    libxl_device_disk_copy(ctx, &saved, disk);
    saved.removable = saved.is_cdrom = 1;
    if (saved.format == LIBXL_DISK_FORMAT_EMPTY && !saved.pdev_path) saved.pdev_path = strdup("");
    struct subject one = {.operation = XLSTORE_CHANGE,
                          .device_class = "disks",
                          .key = disk->vdev,
                          .json = libxl_device_disk_to_json(ctx, &saved)};
    libxl_device_disk_dispose(&saved);
    JOURNALLED(j, &one, 1, real(ctx, domid, disk, ao_how));
}

/* The number that libxl would choose, chosen before the call: the intent needs it. */
static int next_controller(libxl_ctx* ctx, uint32_t domid)
{
    int count = 0, next = 0;
    libxl_device_usbctrl* list = libxl_device_usbctrl_list(ctx, domid, &count);
    for (int i = 0; i < count; i++)
        if (list[i].devid >= next) next = list[i].devid + 1;
    libxl_device_usbctrl_list_free(list, count);
    return next;
}

static bool is_of_model(libxl_usbctrl_type type)
{
    return type == LIBXL_USBCTRL_TYPE_AUTO || type == LIBXL_USBCTRL_TYPE_DEVICEMODEL;
}

/* One that xenstore has no note of counts as QEMU's: then a look at QEMU decides. */
static bool is_model_controller(libxl_ctx* ctx, uint32_t domid, int devid)
{
    int count = 0;
    bool ours = true;
    libxl_device_usbctrl* list = libxl_device_usbctrl_list(ctx, domid, &count);
    for (int i = 0; i < count; i++)
        if (list[i].devid == devid) ours = is_of_model(list[i].type);
    libxl_device_usbctrl_list_free(list, count);
    return ours;
}

/* intend(), with the next number where the number was chosen here and is taken: QEMU may have one
 * that xenstore has no note of, because its guest has not let go of it. */
static int intend_controller(struct under_way* call, libxl_device_usbctrl* usbctrl, bool chosen)
{
    struct subject* one = call->subjects;
    int32_t status = journal_intend(&call->j, one, 1);
    for (int tries = 1; status == XLSTORE_E_EXISTS && chosen && tries < 16; tries++) {
        usbctrl->devid++;
        journal_forget(one, 1);
        one->own_key = text_of("%d", usbctrl->devid, 0);
        one->key = one->own_key;
        one->json = libxl_device_usbctrl_to_json(call->j.ctx, usbctrl);
        if (!one->key || !one->json) return ERROR_NOMEM;
        status = journal_intend(&call->j, one, 1);
    }
    return begun(call, status);
}

WRAPPED int libxl_device_usbctrl_add(libxl_ctx* ctx, uint32_t domid, libxl_device_usbctrl* usbctrl,
                                     const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_usbctrl_add);
    struct journal j;
    enum way way = begin_with_model(&j, __func__, ctx, domid, ao_how);
    if (way == WAY_JOURNAL && !is_of_model(usbctrl->type)) way = journal_leave(&j, pv_controller);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, usbctrl, ao_how);
    const bool chosen = usbctrl->devid == -1;
    if (chosen) usbctrl->devid = next_controller(ctx, domid);
    usbctrl->type = LIBXL_USBCTRL_TYPE_DEVICEMODEL;
    if (!usbctrl->version) usbctrl->version = 2;
    struct subject one = {.operation = XLSTORE_ADD,
                          .device_class = "usbctrls",
                          .own_key = text_of("%d", usbctrl->devid, 0),
                          .json = libxl_device_usbctrl_to_json(ctx, usbctrl)};
    one.key = one.own_key;
    CARRIED_OUT(j, &one, 1, intend_controller(call_, usbctrl, chosen),
                real(ctx, domid, usbctrl, ao_how));
}

/* The USB devices on a controller, which libxl takes out before it; then the controller. */
static size_t subjects_of_controller(struct journal* j, int devid, struct subject* subjects,
                                     size_t most)
{
    libxl_domain_config config;
    char* document = NULL;
    size_t count = 0;
    (void)journal_follow(j); /* what fails here fails the intents as well */
    libxl_domain_config_init(&config);
    if (xlstore_document(j->store, j->name, &document, NULL) == XLSTORE_OK &&
        libxl_domain_config_from_json(j->ctx, &config, document) == 0)
        for (int i = 0; i < config.num_usbdevs && count + 1 < most; i++)
            if (config.usbdevs[i].ctrl == devid)
                subjects[count++] =
                    (struct subject){.operation = XLSTORE_REMOVE,
                                     .device_class = "usbdevs",
                                     .own_key = text_of("%d.%d", devid, config.usbdevs[i].port)};
    xlstore_string_free(document);
    libxl_domain_config_dispose(&config);
    subjects[count++] = (struct subject){.operation = XLSTORE_REMOVE,
                                         .device_class = "usbctrls",
                                         .own_key = text_of("%d", devid, 0)};
    for (size_t i = 0; i < count; i++)
        subjects[i].key = subjects[i].own_key;
    return count;
}

typedef int remove_controller(libxl_ctx*, uint32_t, libxl_device_usbctrl*,
                              const libxl_asyncop_how*);

static int take_controller(remove_controller* real, const char* call, libxl_ctx* ctx,
                           uint32_t domid, libxl_device_usbctrl* usbctrl,
                           const libxl_asyncop_how* ao_how)
{
    struct journal j;
    struct subject subjects[32];
    enum way way = begin_with_model(&j, call, ctx, domid, ao_how);
    if (way == WAY_JOURNAL && !is_model_controller(ctx, domid, usbctrl->devid))
        way = journal_leave(&j, pv_controller);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, usbctrl, ao_how);
    const size_t count = subjects_of_controller(&j, usbctrl->devid, subjects, 32);
    JOURNALLED(j, subjects, count, real(ctx, domid, usbctrl, ao_how));
}

WRAPPED int libxl_device_usbctrl_remove(libxl_ctx* ctx, uint32_t domid,
                                        libxl_device_usbctrl* usbctrl,
                                        const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_usbctrl_remove);
    return take_controller(real, __func__, ctx, domid, usbctrl, ao_how);
}

WRAPPED int libxl_device_usbctrl_destroy(libxl_ctx* ctx, uint32_t domid,
                                         libxl_device_usbctrl* usbctrl,
                                         const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_usbctrl_destroy);
    return take_controller(real, __func__, ctx, domid, usbctrl, ao_how);
}

/* A port that nothing is plugged into, as libxl would choose one. */
static bool choose_port(libxl_ctx* ctx, uint32_t domid, libxl_device_usbdev* usbdev)
{
    int controllers = 0, devices = 0;
    bool found = false;
    libxl_device_usbctrl* list = libxl_device_usbctrl_list(ctx, domid, &controllers);
    libxl_device_usbdev* used = libxl_device_usbdev_list(ctx, domid, &devices);
    for (int i = 0; i < controllers && !found; i++) {
        if (usbdev->ctrl != -1 && usbdev->ctrl != list[i].devid) continue;
        for (int port = 1; port <= list[i].ports && !found; port++) {
            found = true;
            for (int k = 0; k < devices; k++)
                if (used[k].ctrl == list[i].devid && used[k].port == port) found = false;
            if (!found) continue;
            usbdev->ctrl = list[i].devid;
            usbdev->port = port;
        }
    }
    libxl_device_usbctrl_list_free(list, controllers);
    libxl_device_usbdev_list_free(used, devices);
    return found;
}

WRAPPED int libxl_device_usbdev_add(libxl_ctx* ctx, uint32_t domid, libxl_device_usbdev* usbdev,
                                    const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_usbdev_add);
    struct journal j;
    if (!usbdev->type)
        usbdev->type = LIBXL_USBDEV_TYPE_HOSTDEV; /* libxl's default, and in the JSON */
    const bool chosen = usbdev->ctrl != -1 && usbdev->port != 0;
    enum way way = begin_with_model(&j, __func__, ctx, domid, ao_how);
    if (way == WAY_JOURNAL && !chosen && !choose_port(ctx, domid, usbdev) && usbdev->ctrl == -1) {
        /* The controller that libxl makes by itself then is never sent to QEMU: an add of its own.
         */
        libxl_device_usbctrl controller;
        journal_end(&j);
        libxl_device_usbctrl_init(&controller);
        const int rc = libxl_device_usbctrl_add(ctx, domid, &controller, NULL);
        libxl_device_usbctrl_dispose(&controller);
        if (rc) return rc;
        way = journal_begin(&j, __func__, ctx, domid);
        if (way == WAY_JOURNAL) choose_port(ctx, domid, usbdev);
    }
    if (way == WAY_JOURNAL && (usbdev->ctrl == -1 || usbdev->port == 0))
        way = journal_leave(&j, "no port is free");
    else if (way == WAY_JOURNAL && !is_model_controller(ctx, domid, usbdev->ctrl))
        way = journal_leave(&j, pv_controller);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, usbdev, ao_how);
    char key[32];
    snprintf(key, sizeof key, "%d.%d", usbdev->ctrl, usbdev->port);
    struct subject one = {.operation = XLSTORE_ADD,
                          .device_class = "usbdevs",
                          .key = key,
                          .json = libxl_device_usbdev_to_json(ctx, usbdev)};
    JOURNALLED(j, &one, 1, real(ctx, domid, usbdev, ao_how));
}

WRAPPED int libxl_device_usbdev_remove(libxl_ctx* ctx, uint32_t domid, libxl_device_usbdev* usbdev,
                                       const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_usbdev_remove);
    struct journal j;
    char key[32];
    enum way way = begin_with_model(&j, __func__, ctx, domid, ao_how);
    if (way == WAY_JOURNAL && !is_model_controller(ctx, domid, usbdev->ctrl))
        way = journal_leave(&j, pv_controller);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, usbdev, ao_how);
    snprintf(key, sizeof key, "%d.%d", usbdev->ctrl, usbdev->port);
    struct subject one = {.operation = XLSTORE_REMOVE, .device_class = "usbdevs", .key = key};
    JOURNALLED(j, &one, 1, real(ctx, domid, usbdev, ao_how));
}

typedef int call_with_pci(libxl_ctx*, uint32_t, libxl_device_pci*, const libxl_asyncop_how*);

static int pci_call(call_with_pci* real, const char* call, int32_t operation, libxl_ctx* ctx,
                    uint32_t domid, libxl_device_pci* pci, const libxl_asyncop_how* ao_how)
{
    struct journal j;
    char key[32];
    const enum way way = begin_with_model(&j, call, ctx, domid, ao_how);
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, pci, ao_how);
    snprintf(key, sizeof key, pci_key, pci->domain, pci->bus, pci->dev, pci->func);
    struct subject one = {
        .operation = operation,
        .device_class = "pcidevs",
        .key = key,
        .json = operation == XLSTORE_ADD ? libxl_device_pci_to_json(ctx, pci) : NULL};
    JOURNALLED(j, &one, 1, real(ctx, domid, pci, ao_how));
}

WRAPPED int libxl_device_pci_add(libxl_ctx* ctx, uint32_t domid, libxl_device_pci* pci,
                                 const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_pci_add);
    return pci_call(real, __func__, XLSTORE_ADD, ctx, domid, pci, ao_how);
}

WRAPPED int libxl_device_pci_remove(libxl_ctx* ctx, uint32_t domid, libxl_device_pci* pci,
                                    const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_pci_remove);
    return pci_call(real, __func__, XLSTORE_REMOVE, ctx, domid, pci, ao_how);
}

WRAPPED int libxl_device_pci_destroy(libxl_ctx* ctx, uint32_t domid, libxl_device_pci* pci,
                                     const libxl_asyncop_how* ao_how)
{
    REAL(libxl_device_pci_destroy);
    return pci_call(real, __func__, XLSTORE_REMOVE, ctx, domid, pci, ao_how);
}

/* The vcpus that the map has and QEMU lacks. QEMU was started with those of the file, which libxl
 * does not change when it adds one; what was added since has an entry. */
static size_t missing_vcpus(struct journal* j, const libxl_bitmap* map, struct subject* subjects,
                            size_t most)
{
    libxl_domain_config config;
    size_t count = 0;
    (void)journal_follow(j); /* what fails here fails the intents as well */
    libxl_domain_config_init(&config);
    if (libxl_domain_config_from_json(j->ctx, &config, j->document) == 0)
        for (int n = 0; n < (int)map->size * 8 && count < most; n++) {
            char key[16], *json = NULL;
            snprintf(key, sizeof key, "%d", n);
            const bool at_start = config.b_info.avail_vcpus.size
                                      ? libxl_bitmap_test(&config.b_info.avail_vcpus, n)
                                      : n == 0;
            if (!libxl_bitmap_test(map, n) || at_start) continue;
            if (xlstore_thing(j->store, j->name, "vcpus", key, &json, NULL) == XLSTORE_OK) {
                xlstore_string_free(json);
                continue;
            }
            subjects[count++] = (struct subject){
                .operation = XLSTORE_ADD,
                .device_class = "vcpus",
                .own_key = text_of("%d", n, 0),
                .json = text_of("{\"index\": %d}", n, 0),
                .plan = text_of("{\"steps\": [{\"execute\": \"device_add\", \"arguments\": "
                                "{\"id\": \"cpu-%d\", \"driver\": \"qemu32-i386-cpu\", "
                                "\"socket-id\": %d, \"core-id\": 0, \"thread-id\": 0}}]}",
                                n, n)};
            subjects[count - 1].key = subjects[count - 1].own_key;
        }
    libxl_domain_config_dispose(&config);
    return count;
}

WRAPPED int libxl_set_vcpuonline(libxl_ctx* ctx, uint32_t domid, libxl_bitmap* cpumap,
                                 const libxl_asyncop_how* ao_how)
{
    REAL(libxl_set_vcpuonline);
    struct journal j;
    struct subject subjects[128];
    enum way way = journal_begin(&j, __func__, ctx, domid);
    const size_t count =
        way == WAY_JOURNAL && j.has_qemu ? missing_vcpus(&j, cpumap, subjects, 128) : 0;
    if (way == WAY_JOURNAL && count == 0) {
        journal_end(&j);
        way = WAY_PLAIN;
    } else if (way == WAY_JOURNAL) {
        way = journal_to_end(&j, way, ao_how);
        if (way != WAY_JOURNAL) journal_forget(subjects, count);
    }
    if (way == WAY_REFUSED) return ERROR_FAIL;
    if (way == WAY_PLAIN) return real(ctx, domid, cpumap, ao_how);
    JOURNALLED(j, subjects, count, real(ctx, domid, cpumap, ao_how));
}
