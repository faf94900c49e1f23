/* SPDX-License-Identifier: MIT
 *
 * What is not allowed is told, and nothing is done: NULL for each pointer, structs of no known
 * size, bad JSON, bad numbers, domains that are not there. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define THING                                                                             \
    "{\"key\":\"k\",\"steps\":[{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"k\"," \
    "\"backend\":{\"type\":\"null\",\"data\":{}}}}]}"

/* One byte more than the struct, as an older library sees a newer program: zero is no news. */
#define LARGER(type, init, name) \
    struct {                     \
        type it;                 \
        unsigned char tail[8];   \
    } name = {init, {0}};        \
    name.it.struct_size = sizeof name

void check_without_store(void)
{
    static const char* const names[] = {"done",      "invalid",  "not_found", "gone",  "exists",
                                        "busy",      "refused",  "in_doubt",  "lost",  "store",
                                        "no_qemu",   "protocol", "cancelled", "order", "io",
                                        "no_memory", "conflict", "unfinished"};
    xlstore_error error = XLSTORE_ERROR_INIT;
    char kept[64];
    int i;
    for (i = 0; i < (int)(sizeof names / sizeof names[0]); ++i)
        CHECK(strcmp(xlstore_status_name(-i), names[i]) == 0);
    CHECK(strcmp(xlstore_status_name(-20), "unknown") == 0);
    CHECK(strcmp(xlstore_status_name(1), "unknown") == 0);

    CHECK(xlstore_last_error(NULL) == XLSTORE_E_INVALID);
    error.struct_size = sizeof error - 1;
    CHECK(xlstore_last_error(&error) == XLSTORE_E_INVALID);
    error.struct_size = 0;
    CHECK(xlstore_last_error(&error) == XLSTORE_E_INVALID);

    /* A later success clears it. */
    INVALID(xlstore_init(NULL, NULL));
    OK(xlstore_context_enter());
    error.struct_size = sizeof error;
    CHECK(xlstore_last_error(&error) == XLSTORE_OK && error.status == XLSTORE_OK);
    CHECK(error.message[0] == '\0' && error.advice[0] == '\0' && error.intent == 0);
    OK(xlstore_context_enter());
    OK(xlstore_context_leave());
    OK(xlstore_context_leave());
    STATUS(xlstore_context_leave(), XLSTORE_E_ORDER);

    setenv("XLSTORE_DIR", "/some/where", 1);
    CHECK(strcmp(xlstore_default_directory(), "/some/where") == 0);
    unsetenv("XLSTORE_DIR");
    CHECK(strcmp(xlstore_default_directory(), "/var/lib/xlstore") == 0);

    xlstore_string_free(NULL);
    xlstore_close(NULL);
    xlstore_hold_release(NULL);
    xlstore_fast_release(NULL);
    xlstore_result_free(NULL);
    xlstore_op_cancel(NULL);
    xlstore_op_forget(NULL);
    CHECK(xlstore_fd(NULL) == -1);
    INVALID(xlstore_dispatch(NULL));
    CHECK(xlstore_result_status(NULL) == XLSTORE_E_INVALID);
    CHECK(strcmp(xlstore_result_message(NULL), "") == 0);
    CHECK(strcmp(xlstore_result_advice(NULL), "") == 0);
    CHECK(strcmp(xlstore_result_json(NULL), "") == 0);
    CHECK(xlstore_result_intent(NULL) == 0);
    CHECK(xlstore_result_take_hold(NULL) == NULL);

    /* Text that does not fit is cut, and ended. */
    {
        char long_name[3000];
        xlstore_store* store = NULL;
        memset(long_name, 'x', sizeof long_name);
        long_name[0] = '/';
        long_name[sizeof long_name - 1] = '\0';
        CHECK(xlstore_open(long_name, NULL, &store) != XLSTORE_OK && !store);
        CHECK(xlstore_last_error(&error) == XLSTORE_OK);
        CHECK(strlen(error.message) < sizeof error.message);
    }
    snprintf(kept, sizeof kept, "/nonexistent-%d/s", 1);
    CHECK(xlstore_init(kept, NULL) != XLSTORE_OK);
}

static void check_structs(struct world* world)
{
    char path[96];
    xlstore_store* store = NULL;
    LARGER(xlstore_init_options, XLSTORE_INIT_OPTIONS_INIT, init);
    LARGER(xlstore_open_options, XLSTORE_OPEN_OPTIONS_INIT, open);
    LARGER(xlstore_call, XLSTORE_CALL_INIT, call);
    LARGER(xlstore_recover_options, XLSTORE_RECOVER_OPTIONS_INIT, recover);
    LARGER(xlstore_domain_info, XLSTORE_DOMAIN_INFO_INIT, info);
    LARGER(xlstore_error, XLSTORE_ERROR_INIT, error);

    snprintf(path, sizeof path, "%s/larger", world->directory);
    init.it.struct_size = 0;
    INVALID(xlstore_init(path, &init.it));
    init.it.struct_size = sizeof init.it - 1;
    INVALID(xlstore_init(path, &init.it));
    init.it.struct_size = UINT32_MAX;
    INVALID(xlstore_init(path, &init.it));
    init.it.struct_size = sizeof init;
    init.tail[7] = 1;
    INVALID(xlstore_init(path, &init.it));
    init.tail[7] = 0;
    init.it.power = 1;
    OK(xlstore_init(path, &init.it));
    STATUS(xlstore_init(path, NULL), XLSTORE_E_EXISTS);

    open.it.struct_size = 0;
    INVALID(xlstore_open(path, &open.it, &store));
    open.it.struct_size = sizeof open.it - 1;
    INVALID(xlstore_open(path, &open.it, &store));
    open.it.struct_size = sizeof open;
    open.tail[0] = 1;
    INVALID(xlstore_open(path, &open.it, &store));
    CHECK(!store);
    open.tail[0] = 0;
    open.it.timeout_ms = 10000;
    OK(xlstore_open(path, &open.it, &store));
    xlstore_close(store);
    store = NULL;

    call.it.timeout_ms = 30000;
    OK(xlstore_recover(world->store, NULL, NULL));
    OK(xlstore_put_thing(world->store, "domid:8", "nics", "{\"devid\":1}", 0, &call.it, NULL));
    OK(xlstore_remove_thing(world->store, "domid:8", "nics", "1", 0, &call.it, NULL));
    call.tail[3] = 1;
    INVALID(xlstore_put_thing(world->store, "domid:8", "nics", "{\"devid\":1}", 0, &call.it, NULL));

    recover.it.mode = XLSTORE_RECOVER_LOOK;
    OK(xlstore_recover(world->store, &recover.it, NULL));
    recover.tail[0] = 1;
    INVALID(xlstore_recover(world->store, &recover.it, NULL));
    recover.it.struct_size = 8;
    INVALID(xlstore_recover(world->store, &recover.it, NULL));

    /* Of a newer program's, what this library does not know stays as it was. */
    memset(info.tail, 7, sizeof info.tail);
    OK(xlstore_find(world->store, "domid:8", &info.it));
    CHECK(info.it.domid == 8 && info.tail[0] == 7 && info.it.struct_size == sizeof info);
    info.it.struct_size = sizeof info.it - 1;
    info.it.domid = -5;
    INVALID(xlstore_find(world->store, "domid:8", &info.it));
    INVALID(xlstore_next(world->store, -1, &info.it));
    CHECK(info.it.domid == -5);
    memset(error.tail, 7, sizeof error.tail);
    CHECK(xlstore_last_error(&error.it) == XLSTORE_OK && error.it.status == XLSTORE_E_INVALID);
    CHECK(error.tail[0] == 7);
}

static void check_opening(struct world* world)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    char path[96];
    INVALID(xlstore_open(NULL, NULL, &store));
    INVALID(xlstore_open(world->store_path, NULL, NULL));
    snprintf(path, sizeof path, "%s/none", world->directory);
    STATUS(xlstore_open(path, NULL, &store), XLSTORE_E_STORE);
    CHECK(!store);

    /* Read-only: looking is all that is possible. */
    options.read_only = 1;
    OK(xlstore_open(world->store_path, &options, &store));
    if (!store) return;
    {
        xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
        xlstore_recover_options look = XLSTORE_RECOVER_OPTIONS_INIT;
        xlstore_hold* hold = NULL;
        xlstore_fast* fast = NULL;
        OK(xlstore_find(store, "domid:7", &info));
        STATUS(xlstore_attach(store, "domid:7", "qemu", THING, NULL, NULL), XLSTORE_E_READONLY);
        STATUS(xlstore_put_thing(store, "domid:8", "nics", "{\"devid\":0}", 0, NULL, NULL), XLSTORE_E_READONLY);
        STATUS(xlstore_import(store, 9, document_of(9), NULL, NULL), XLSTORE_E_READONLY);
        STATUS(xlstore_destroy(store, "domid:8", NULL, NULL), XLSTORE_E_READONLY);
        STATUS(xlstore_slow_lock(store, "domid:7", "test", NULL, &hold), XLSTORE_E_READONLY);
        STATUS(xlstore_fast_lock(store, "domid:7", "test", NULL, &fast), XLSTORE_E_READONLY);
        STATUS(xlstore_break_lock(store, "domid:7", 0, NULL, NULL), XLSTORE_E_READONLY);
        STATUS(xlstore_recover(store, NULL, NULL), XLSTORE_E_READONLY);
        look.mode = XLSTORE_RECOVER_LOOK;
        OK(xlstore_recover(store, &look, NULL));
    }
    xlstore_close(store);
}

void check_arguments(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_call bad = XLSTORE_CALL_INIT;
    const char* const empty[] = {NULL};
    const char* const none = "domid:99";
    xlstore_result* const untouched = (xlstore_result*)world;
    xlstore_result* r = untouched;
    xlstore_op* const no_op = (xlstore_op*)world;
    xlstore_op* op = no_op;
    struct told t = TOLD_INIT;
    char* text = NULL;
    int64_t number = -5;

    bad.struct_size = 0;
    check_structs(world);
    check_opening(world);

    /* Level one. */
    INVALID(xlstore_attach(NULL, "domid:7", "qemu", THING, NULL, &r));
    INVALID(xlstore_attach(s, NULL, "qemu", THING, NULL, &r));
    INVALID(xlstore_attach(s, "domid:7", NULL, THING, NULL, &r));
    INVALID(xlstore_attach(s, "domid:7", "qemu", NULL, NULL, &r));
    INVALID(xlstore_attach(s, "domid:7", "qemu", THING, &bad, &r));
    STATUS(xlstore_attach(s, none, "qemu", THING, NULL, &r), XLSTORE_E_NOT_FOUND);
    CHECK(r == untouched); /* it did not run */
    INVALID(xlstore_attach_start(NULL, "domid:7", "qemu", THING, NULL, tell, &t, &op));
    INVALID(xlstore_attach_start(s, NULL, "qemu", THING, NULL, tell, &t, &op));
    INVALID(xlstore_attach_start(s, "domid:7", NULL, THING, NULL, tell, &t, &op));
    INVALID(xlstore_attach_start(s, "domid:7", "qemu", NULL, NULL, tell, &t, &op));
    INVALID(xlstore_attach_start(s, "domid:7", "qemu", THING, &bad, tell, &t, &op));
    INVALID(xlstore_attach_start(s, "domid:7", "qemu", THING, NULL, NULL, &t, &op));
    STATUS(xlstore_attach_start(s, none, "qemu", THING, NULL, tell, &t, &op), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_detach(NULL, "domid:7", "qemu", "k", NULL, &r));
    INVALID(xlstore_detach(s, NULL, "qemu", "k", NULL, &r));
    INVALID(xlstore_detach(s, "domid:7", NULL, "k", NULL, &r));
    INVALID(xlstore_detach(s, "domid:7", "qemu", NULL, NULL, &r));
    INVALID(xlstore_detach(s, "domid:7", "qemu", "k", &bad, &r));
    STATUS(xlstore_detach(s, none, "qemu", "k", NULL, &r), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_detach_start(NULL, "domid:7", "qemu", "k", NULL, tell, &t, &op));
    INVALID(xlstore_detach_start(s, NULL, "qemu", "k", NULL, tell, &t, &op));
    INVALID(xlstore_detach_start(s, "domid:7", NULL, "k", NULL, tell, &t, &op));
    INVALID(xlstore_detach_start(s, "domid:7", "qemu", NULL, NULL, tell, &t, &op));
    INVALID(xlstore_detach_start(s, "domid:7", "qemu", "k", NULL, NULL, &t, &op));
    INVALID(xlstore_insert(NULL, "domid:7", "hdc", world->image, NULL, &r));
    INVALID(xlstore_insert(s, NULL, "hdc", world->image, NULL, &r));
    INVALID(xlstore_insert(s, "domid:7", NULL, world->image, NULL, &r));
    INVALID(xlstore_insert(s, "domid:7", "hdc", NULL, NULL, &r));
    INVALID(xlstore_insert(s, "domid:7", "hdc", world->image, &bad, &r));
    INVALID(xlstore_insert_start(NULL, "domid:7", "hdc", world->image, NULL, tell, &t, &op));
    INVALID(xlstore_insert_start(s, NULL, "hdc", world->image, NULL, tell, &t, &op));
    INVALID(xlstore_insert_start(s, "domid:7", NULL, world->image, NULL, tell, &t, &op));
    INVALID(xlstore_insert_start(s, "domid:7", "hdc", NULL, NULL, tell, &t, &op));
    INVALID(xlstore_insert_start(s, "domid:7", "hdc", world->image, NULL, NULL, &t, &op));
    INVALID(xlstore_eject(NULL, "domid:7", "hdc", NULL, &r));
    INVALID(xlstore_eject(s, NULL, "hdc", NULL, &r));
    INVALID(xlstore_eject(s, "domid:7", NULL, NULL, &r));
    INVALID(xlstore_eject(s, "domid:7", "hdc", &bad, &r));
    INVALID(xlstore_eject_start(NULL, "domid:7", "hdc", NULL, tell, &t, &op));
    INVALID(xlstore_eject_start(s, NULL, "hdc", NULL, tell, &t, &op));
    INVALID(xlstore_eject_start(s, "domid:7", NULL, NULL, tell, &t, &op));
    INVALID(xlstore_eject_start(s, "domid:7", "hdc", NULL, NULL, &t, &op));
    INVALID(xlstore_batch(NULL, "domid:7", "[]", 0, NULL, &r));
    INVALID(xlstore_batch(s, NULL, "[{\"eject\":\"hdc\"}]", 0, NULL, &r));
    INVALID(xlstore_batch(s, "domid:7", NULL, 0, NULL, &r));
    INVALID(xlstore_batch(s, "domid:7", "{", 0, NULL, &r));
    INVALID(xlstore_batch(s, "domid:7", "[{\"eject\":\"hdc\"}]", 2, NULL, &r));
    INVALID(xlstore_batch(s, "domid:7", "[{\"eject\":\"hdc\"}]", 0, &bad, &r));
    INVALID(xlstore_batch_start(NULL, "domid:7", "[{\"eject\":\"hdc\"}]", 0, NULL, tell, &t, &op));
    INVALID(xlstore_batch_start(s, NULL, "[{\"eject\":\"hdc\"}]", 0, NULL, tell, &t, &op));
    INVALID(xlstore_batch_start(s, "domid:7", NULL, 0, NULL, tell, &t, &op));
    INVALID(xlstore_batch_start(s, "domid:7", "[{\"eject\":\"hdc\"}]", 0, NULL, NULL, &t, &op));
    INVALID(xlstore_set_pci_hook(NULL, NULL, NULL, NULL));
    OK(xlstore_set_pci_hook(s, NULL, "/sys", NULL));
    INVALID(xlstore_set_hotplug_scripts(NULL, 1, NULL));
    INVALID(xlstore_set_hotplug_scripts(s, 1, "scripts"));
    OK(xlstore_set_hotplug_scripts(s, 0, NULL));
    OK(xlstore_set_hotplug_scripts(s, 1, "/etc/xen/scripts"));
    INVALID(xlstore_wait(NULL, 1, NULL, &r));
    INVALID(xlstore_wait(s, 1, &bad, &r));
    INVALID(xlstore_wait_start(NULL, 1, NULL, tell, &t, &op));
    INVALID(xlstore_wait_start(s, 1, NULL, NULL, &t, &op));

    /* External QMP client, but for what needs a hold (external_qmp.c). */
    {
        xlstore_hold* const no_hold = (xlstore_hold*)world;
        xlstore_hold* hold = no_hold;
        xlstore_intention intention = XLSTORE_INTENTION_INIT;
        INVALID(xlstore_slow_lock(NULL, "domid:7", "test", NULL, &hold));
        INVALID(xlstore_slow_lock(s, NULL, "test", NULL, &hold));
        INVALID(xlstore_slow_lock(s, "domid:7", NULL, NULL, &hold));
        INVALID(xlstore_slow_lock(s, "domid:7", "test", &bad, &hold));
        INVALID(xlstore_slow_lock(s, "domid:7", "test", NULL, NULL));
        STATUS(xlstore_slow_lock(s, none, "test", NULL, &hold), XLSTORE_E_NOT_FOUND);
        CHECK(hold == no_hold);
        INVALID(xlstore_slow_lock_start(NULL, "domid:7", "test", NULL, tell, &t, &op));
        INVALID(xlstore_slow_lock_start(s, NULL, "test", NULL, tell, &t, &op));
        INVALID(xlstore_slow_lock_start(s, "domid:7", NULL, NULL, tell, &t, &op));
        INVALID(xlstore_slow_lock_start(s, "domid:7", "test", NULL, NULL, &t, &op));
        INVALID(xlstore_hold_check(NULL));
        INVALID(xlstore_intend(NULL, &intention, NULL, &number));
        INVALID(xlstore_intend_start(NULL, &intention, NULL, tell, &t, &op));
        INVALID(xlstore_settle(NULL, 1, XLSTORE_SEEN_AFTER, "x", NULL));
        INVALID(xlstore_settle_start(NULL, 1, XLSTORE_SEEN_AFTER, "x", NULL, tell, &t, &op));
        INVALID(xlstore_asked(NULL, 1, "x", NULL));
        INVALID(xlstore_asked_start(NULL, 1, "x", NULL, tell, &t, &op));
        INVALID(xlstore_intent_plan(NULL, 1, &text));
        INVALID(xlstore_intent_plan(s, 1, NULL));
        STATUS(xlstore_intent_plan(s, 999, &text), XLSTORE_E_NOT_FOUND);
    }

    /* The document. */
    INVALID(xlstore_document(NULL, "domid:7", &text, &number));
    INVALID(xlstore_document(s, NULL, &text, &number));
    INVALID(xlstore_document(s, "domid:7", NULL, &number));
    STATUS(xlstore_document(s, none, &text, &number), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_thing(NULL, "domid:7", "nics", "0", &text, &number));
    INVALID(xlstore_thing(s, NULL, "nics", "0", &text, &number));
    INVALID(xlstore_thing(s, "domid:7", NULL, "0", &text, &number));
    INVALID(xlstore_thing(s, "domid:7", "nics", NULL, &text, &number));
    INVALID(xlstore_thing(s, "domid:7", "nics", "0", NULL, &number));
    STATUS(xlstore_thing(s, "domid:7", "nics", "9", &text, &number), XLSTORE_E_NOT_FOUND);
    STATUS(xlstore_thing(s, "domid:7", "nosuch", "9", &text, &number), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_write_document(NULL, "domid:8", document_of(8), 0, NULL, &number));
    INVALID(xlstore_write_document(s, NULL, document_of(8), 0, NULL, &number));
    INVALID(xlstore_write_document(s, "domid:8", NULL, 0, NULL, &number));
    INVALID(xlstore_write_document(s, "domid:8", "{\"c_info\":", 0, NULL, &number));
    INVALID(xlstore_write_document(s, "domid:8", "[]", 0, NULL, &number));
    INVALID(xlstore_write_document(s, "domid:8", document_of(8), -1, NULL, &number));
    INVALID(xlstore_write_document(s, "domid:8", document_of(8), 0, &bad, &number));
    STATUS(xlstore_write_document(s, none, document_of(8), 0, NULL, &number), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_write_document_start(NULL, "domid:8", document_of(8), 0, NULL, tell, &t, &op));
    INVALID(xlstore_write_document_start(s, NULL, document_of(8), 0, NULL, tell, &t, &op));
    INVALID(xlstore_write_document_start(s, "domid:8", NULL, 0, NULL, tell, &t, &op));
    INVALID(xlstore_write_document_start(s, "domid:8", document_of(8), 0, NULL, NULL, &t, &op));
    INVALID(xlstore_put_thing(NULL, "domid:8", "nics", "{\"devid\":0}", 0, NULL, &number));
    INVALID(xlstore_put_thing(s, NULL, "nics", "{\"devid\":0}", 0, NULL, &number));
    INVALID(xlstore_put_thing(s, "domid:8", NULL, "{\"devid\":0}", 0, NULL, &number));
    INVALID(xlstore_put_thing(s, "domid:8", "nics", NULL, 0, NULL, &number));
    INVALID(xlstore_put_thing(s, "domid:8", "nics", "{", 0, NULL, &number));
    INVALID(xlstore_put_thing(s, "domid:8", "nosuch", "{\"devid\":0}", 0, NULL, &number));
    INVALID(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":0}", -1, NULL, &number));
    INVALID(
        xlstore_put_thing_start(NULL, "domid:8", "nics", "{\"devid\":0}", 0, NULL, tell, &t, &op));
    INVALID(xlstore_put_thing_start(s, NULL, "nics", "{\"devid\":0}", 0, NULL, tell, &t, &op));
    INVALID(xlstore_put_thing_start(s, "domid:8", NULL, "{\"devid\":0}", 0, NULL, tell, &t, &op));
    INVALID(xlstore_put_thing_start(s, "domid:8", "nics", NULL, 0, NULL, tell, &t, &op));
    INVALID(xlstore_put_thing_start(s, "domid:8", "nics", "{\"devid\":0}", 0, NULL, NULL, &t, &op));
    INVALID(xlstore_remove_thing(NULL, "domid:8", "nics", "0", 0, NULL, &number));
    INVALID(xlstore_remove_thing(s, NULL, "nics", "0", 0, NULL, &number));
    INVALID(xlstore_remove_thing(s, "domid:8", NULL, "0", 0, NULL, &number));
    INVALID(xlstore_remove_thing(s, "domid:8", "nics", NULL, 0, NULL, &number));
    INVALID(xlstore_remove_thing_start(NULL, "domid:8", "nics", "0", 0, NULL, tell, &t, &op));
    INVALID(xlstore_remove_thing_start(s, NULL, "nics", "0", 0, NULL, tell, &t, &op));
    INVALID(xlstore_remove_thing_start(s, "domid:8", NULL, "0", 0, NULL, tell, &t, &op));
    INVALID(xlstore_remove_thing_start(s, "domid:8", "nics", NULL, 0, NULL, tell, &t, &op));
    INVALID(xlstore_remove_thing_start(s, "domid:8", "nics", "0", 0, NULL, NULL, &t, &op));
    CHECK(number == -5 && !text);
    {
        xlstore_fast* const no_fast = (xlstore_fast*)world;
        xlstore_fast* fast = no_fast;
        INVALID(xlstore_fast_lock(NULL, "domid:8", "test", NULL, &fast));
        INVALID(xlstore_fast_lock(s, NULL, "test", NULL, &fast));
        INVALID(xlstore_fast_lock(s, "domid:8", NULL, NULL, &fast));
        INVALID(xlstore_fast_lock(s, "domid:8", "test", &bad, &fast));
        INVALID(xlstore_fast_lock(s, "domid:8", "test", NULL, NULL));
        STATUS(xlstore_fast_lock(s, none, "test", NULL, &fast), XLSTORE_E_NOT_FOUND);
        CHECK(fast == no_fast);
        INVALID(xlstore_fast_document(NULL, &text));
        INVALID(xlstore_fast_write_document(NULL, document_of(8)));
        INVALID(xlstore_fast_put_thing(NULL, "nics", "{\"devid\":0}"));
        INVALID(xlstore_fast_remove_thing(NULL, "nics", "0"));
    }

    /* Lifecycle. */
    INVALID(xlstore_create(NULL, 9, document_of(9), qemu_command(), NULL, &r));
    INVALID(xlstore_create(s, 9, NULL, qemu_command(), NULL, &r));
    INVALID(xlstore_create(s, 9, document_of(9), NULL, NULL, &r));
    INVALID(xlstore_create(s, 9, document_of(9), empty, NULL, &r));
    INVALID(xlstore_create(s, 9, document_of(9), qemu_command(), &bad, &r));
    INVALID(xlstore_create_start(NULL, 9, document_of(9), qemu_command(), NULL, tell, &t, &op));
    INVALID(xlstore_create_start(s, 9, NULL, qemu_command(), NULL, tell, &t, &op));
    INVALID(xlstore_create_start(s, 9, document_of(9), NULL, NULL, tell, &t, &op));
    INVALID(xlstore_create_start(s, 9, document_of(9), qemu_command(), NULL, NULL, &t, &op));
    INVALID(xlstore_import(NULL, 9, document_of(9), NULL, &r));
    INVALID(xlstore_import(s, 9, NULL, NULL, &r));
    INVALID(xlstore_import_start(NULL, 9, document_of(9), NULL, tell, &t, &op));
    INVALID(xlstore_import_start(s, 9, NULL, NULL, tell, &t, &op));
    INVALID(xlstore_import_start(s, 9, document_of(9), NULL, NULL, &t, &op));
    INVALID(xlstore_register(NULL, "domid:8", "/m", 0, 0, NULL, &r));
    INVALID(xlstore_register(s, NULL, "/m", 0, 0, NULL, &r));
    INVALID(xlstore_register(s, "domid:8", NULL, 0, 0, NULL, &r));
    INVALID(xlstore_register(s, "domid:8", "/m", -1, 0, NULL, &r));
    INVALID(xlstore_register(s, "domid:8", "/m", 0, 4, NULL, &r));
    STATUS(xlstore_register(s, none, "/m", 0, 0, NULL, &r), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_register_start(NULL, "domid:8", "/m", 0, 0, NULL, tell, &t, &op));
    INVALID(xlstore_register_start(s, NULL, "/m", 0, 0, NULL, tell, &t, &op));
    INVALID(xlstore_register_start(s, "domid:8", NULL, 0, 0, NULL, tell, &t, &op));
    INVALID(xlstore_register_start(s, "domid:8", "/m", 0, 0, NULL, NULL, &t, &op));
    INVALID(xlstore_destroy(NULL, "domid:8", NULL, &r));
    INVALID(xlstore_destroy(s, NULL, NULL, &r));
    STATUS(xlstore_destroy(s, none, NULL, &r), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_destroy_start(NULL, "domid:8", NULL, tell, &t, &op));
    INVALID(xlstore_destroy_start(s, NULL, NULL, tell, &t, &op));
    INVALID(xlstore_destroy_start(s, "domid:8", NULL, NULL, &t, &op));
    INVALID(xlstore_destroy_with(NULL, "domid:8", XLSTORE_ASSUME_DEAD, NULL, &r));
    INVALID(xlstore_destroy_with(s, NULL, XLSTORE_ASSUME_DEAD, NULL, &r));
    INVALID(xlstore_destroy_with(s, "domid:8", ~0u, NULL, &r));
    STATUS(xlstore_destroy_with(s, none, XLSTORE_ASSUME_DEAD, NULL, &r), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_destroy_with_start(NULL, "domid:8", 0, NULL, tell, &t, &op));
    INVALID(xlstore_destroy_with_start(s, "domid:8", ~0u, NULL, tell, &t, &op));
    INVALID(xlstore_destroy_with_start(s, "domid:8", 0, NULL, NULL, &t, &op));
    INVALID(xlstore_destroy_domid(NULL, 8, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c08", NULL, &r));
    INVALID(xlstore_destroy_domid(s, 8, NULL, NULL, &r));
    INVALID(xlstore_destroy_domid_start(NULL, 8, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c08", NULL, tell,
                                        &t, &op));
    INVALID(xlstore_destroy_domid_start(s, 8, NULL, NULL, tell, &t, &op));
    INVALID(xlstore_destroy_domid_start(s, 8, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c08", NULL, NULL,
                                        &t, &op));

    /* Looking. */
    {
        xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
        INVALID(xlstore_find(NULL, "domid:7", &info));
        INVALID(xlstore_find(s, NULL, &info));
        OK(xlstore_find(s, "domid:7", NULL));
        STATUS(xlstore_find(s, none, NULL), XLSTORE_E_NOT_FOUND);
        OK(xlstore_find_incarnation(s, "domid:7", NULL, NULL));
        STATUS(xlstore_find(s, none, &info), XLSTORE_E_NOT_FOUND);
        INVALID(xlstore_next(NULL, -1, &info));
        OK(xlstore_next(s, -1, NULL));
        STATUS(xlstore_next(s, INT32_MAX, &info), XLSTORE_E_NOT_FOUND);
        STATUS(xlstore_next(s, INT32_MAX, NULL), XLSTORE_E_NOT_FOUND);
        INVALID(xlstore_query(NULL, "SELECT 1", NULL, 0, NULL, NULL, NULL));
        INVALID(xlstore_query(s, "SELECT 1", NULL, 0, NULL, NULL, NULL));
        INVALID(xlstore_query_json(NULL, "SELECT 1", NULL, 0, NULL, &text));
        INVALID(xlstore_query_json(s, NULL, NULL, 0, NULL, &text));
        INVALID(xlstore_query_json(s, "SELECT ?1", NULL, 1, NULL, &text));
        INVALID(xlstore_query_json(s, "SELECT 1", NULL, 0, &bad, &text));
        INVALID(xlstore_query_json(s, "SELECT 1", NULL, 0, NULL, NULL));
        INVALID(xlstore_query_json(s, "SELECT", NULL, 0, NULL, &text));
        INVALID(xlstore_query_json(s, "DELETE FROM thing", NULL, 0, NULL, &text));
        INVALID(xlstore_locks(NULL, &text));
        INVALID(xlstore_locks(s, NULL));
        CHECK(!text);
        INVALID(xlstore_break_lock(NULL, "domid:7", 0, NULL, &r));
        INVALID(xlstore_break_lock(s, NULL, 0, NULL, &r));
        INVALID(xlstore_break_lock(s, "domid:7", 2, NULL, &r));
        INVALID(xlstore_break_lock(s, "domid:7", 0, &bad, &r));
        STATUS(xlstore_break_lock(s, none, 0, NULL, &r), XLSTORE_E_NOT_FOUND);
    }

    /* Recovery. */
    {
        xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
        INVALID(xlstore_recover(NULL, NULL, &r));
        INVALID(xlstore_recover_start(NULL, NULL, tell, &t, &op));
        INVALID(xlstore_recover_start(s, NULL, NULL, &t, &op));
        options.mode = 9;
        INVALID(xlstore_recover(s, &options, &r));
        options.mode = XLSTORE_RECOVER_ASK; /* and no person to ask */
        INVALID(xlstore_recover(s, &options, &r));
        options.mode = XLSTORE_RECOVER_LOOK;
        options.domain = none;
        STATUS(xlstore_recover(s, &options, &r), XLSTORE_E_NOT_FOUND);
        options.domain = NULL;
        options.flags = 8;
        INVALID(xlstore_recover(s, &options, &r));
        options.mode = XLSTORE_RECOVER_PREEN; /* and no person who says yes */
        options.flags = XLSTORE_RECOVER_EVICT;
        INVALID(xlstore_recover(s, &options, &r));
    }
    CHECK(r == untouched && op == no_op);
    run_for_a_while(s);
    CHECK(t.calls == 0);
}
