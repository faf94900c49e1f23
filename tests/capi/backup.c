/* SPDX-License-Identifier: MIT
 *
 * A backup is taken, and put back. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

static void count_finding(const xlstore_finding* finding, void* userdata)
{
    CHECK(finding->subject && finding->evidence);
    ++*(int*)userdata;
}

/* A restore failed; what became of it is told. */
static void told_by(xlstore_result** r, int32_t status)
{
    CHECK(xlstore_result_status(*r) == status && xlstore_result_message(*r)[0] != '\0');
    xlstore_result_free(*r);
    *r = NULL;
}

/* QEMUs of another store live: they are not taken over, also when that is asked for. */
static void check_living(const struct world* world, const char* file)
{
    xlstore_restore_options options = XLSTORE_RESTORE_OPTIONS_INIT;
    xlstore_result* r = NULL;
    char path[96];
    snprintf(path, sizeof path, "%s/other", world->directory);
    STATUS(xlstore_restore(path, file, NULL, &r), XLSTORE_E_REFUSED);
    told_by(&r, XLSTORE_E_REFUSED);
    options.flags = XLSTORE_RESTORE_ADOPT;
    STATUS(xlstore_restore(path, file, &options, &r), XLSTORE_E_REFUSED);
    told_by(&r, XLSTORE_E_REFUSED);
    CHECK(access(path, F_OK) != 0);
    STATUS(xlstore_restore(world->store_path, file, NULL, &r), XLSTORE_E_REFUSED);
    told_by(&r, XLSTORE_E_REFUSED);
}

/* A store without a QEMU: back to what it was. */
static void check_restored(const struct world* world)
{
    xlstore_restore_options options = XLSTORE_RESTORE_OPTIONS_INIT;
    xlstore_store* store = NULL;
    xlstore_result* r = NULL;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_open_options open = XLSTORE_OPEN_OPTIONS_INIT;
    char path[96], file[96];
    int findings = 0;
    snprintf(path, sizeof path, "%s/small", world->directory);
    snprintf(file, sizeof file, "%s/small.db", world->directory);
    OK(xlstore_init(path, NULL));
    OK(xlstore_open(path, NULL, &store));
    if (!store) return;
    OK(xlstore_import(store, 9, document_of(9), NULL, NULL));
    OK(xlstore_backup(store, file, NULL));
    OK(xlstore_destroy(store, "domid:9", NULL, NULL));
    options.timeout_ms = 100;
    STATUS(xlstore_restore(path, file, &options, &r), XLSTORE_E_BUSY);
    told_by(&r, XLSTORE_E_BUSY);
    xlstore_close(store);
    store = NULL;

    options.timeout_ms = 10000;
    options.found = count_finding;
    options.userdata = &findings;
    OK(xlstore_restore(path, file, &options, &r));
    CHECK(r && strstr(xlstore_result_json(r), "\"domid\":9") != NULL);
    CHECK(r && strstr(xlstore_result_json(r), "store.db.replaced-") != NULL);
    xlstore_result_free(r);
    open.read_only = 1;
    OK(xlstore_open(path, &open, &store));
    if (store) OK(xlstore_find(store, "domid:9", &info));
    xlstore_close(store);
}

void check_backup(struct world* world)
{
    xlstore_result* r = NULL;
    struct {
        xlstore_restore_options it;
        char tail[8];
    } unknown = {XLSTORE_RESTORE_OPTIONS_INIT, {0}};
    char file[96];
    snprintf(file, sizeof file, "%s/backup.db", world->directory);
    INVALID(xlstore_backup(NULL, file, NULL));
    INVALID(xlstore_backup(world->store, NULL, &r));
    CHECK(xlstore_result_status(r) == XLSTORE_E_INVALID && xlstore_result_message(r)[0] != '\0');
    xlstore_result_free(r);
    r = NULL;
    OK(xlstore_backup(world->store, file, &r));
    CHECK(r && strstr(xlstore_result_json(r), "\"domains\":2") != NULL);
    xlstore_result_free(r);
    r = NULL;
    STATUS(xlstore_backup(world->store, file, NULL), XLSTORE_E_EXISTS);

    INVALID(xlstore_restore(NULL, file, NULL, &r));
    told_by(&r, XLSTORE_E_INVALID);
    INVALID(xlstore_restore(world->store_path, NULL, NULL, &r));
    told_by(&r, XLSTORE_E_INVALID);
    INVALID(xlstore_restore(world->store_path, world->image, NULL, &r)); /* no backup */
    told_by(&r, XLSTORE_E_INVALID);
    unknown.it.struct_size = sizeof unknown;
    unknown.tail[0] = 1;
    INVALID(xlstore_restore(world->store_path, file, &unknown.it, &r));
    told_by(&r, XLSTORE_E_INVALID);
    unknown.it.struct_size = sizeof unknown.it;
    unknown.it.flags = 1U << 31;
    INVALID(xlstore_restore(world->store_path, file, &unknown.it, &r));
    told_by(&r, XLSTORE_E_INVALID);
    check_living(world, file);
    check_restored(world);
    unlink(file);
}
