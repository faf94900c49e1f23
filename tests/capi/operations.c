/* SPDX-License-Identifier: MIT
 *
 * Good use: looking, edits, level one, lifecycle, recovery; each call that waits, and each with
 * _start. */
#define _POSIX_C_SOURCE 200809L
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int32_t count_row(int32_t columns, const char* const* names, const char* const* values,
                         void* userdata)
{
    int* rows = userdata;
    CHECK(columns == 3 && strcmp(names[0], "domid") == 0);
    CHECK(strcmp(values[1], "given") == 0 && values[2] == NULL);
    ++*rows;
    return XLSTORE_OK;
}

static int32_t stop_at_once(int32_t columns, const char* const* names, const char* const* values,
                            void* userdata)
{
    (void)columns;
    (void)names;
    (void)values;
    ++*(int*)userdata;
    return 42;
}

void check_looking(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    const char* const given[] = {"given", NULL};
    xlstore_call soon = XLSTORE_CALL_INIT;
    char by_id[32];
    char* text = NULL;
    char* again = NULL;
    int64_t revision = 0;
    int rows = 0;

    soon.timeout_ms = 50;
    OK(xlstore_find(s, "domid:7", &info));
    CHECK(info.domid == 7 && info.qemu_pid > 0 && strcmp(info.state, "running") == 0);
    CHECK(strcmp(info.name, "c7") == 0 && strlen(info.uuid) == 36 && info.open_intents == 0);
    snprintf(by_id, sizeof by_id, "id:%lld", (long long)info.id);
    OK(xlstore_find(s, by_id, &info));
    CHECK(info.domid == 7);
    OK(xlstore_find(s, "name:c8", &info));
    CHECK(info.domid == 8 && info.qemu_pid == 0);
    OK(xlstore_find(s, "8", &info));
    OK(xlstore_next(s, -1, &info));
    CHECK(info.domid == 7);
    OK(xlstore_next(s, 7, &info));
    CHECK(info.domid == 8);
    STATUS(xlstore_next(s, 8, &info), XLSTORE_E_NOT_FOUND);

    OK(xlstore_find(s, "domid:7", &info));
    CHECK(info.qemu == XLSTORE_QEMU_ALIVE && info.looked_us > 0);
    CHECK(strncmp(info.seen, "QEMU alive (looked at ", 22) == 0);
    OK(xlstore_find(s, "domid:8", &info));
    CHECK(info.qemu == XLSTORE_QEMU_NONE && strcmp(info.seen, "no QEMU") == 0);
    /* A program of release 0.1 knows a shorter struct, and gets no more than that. */
    info.struct_size = offsetof(xlstore_domain_info, qemu);
    info.qemu = 77;
    OK(xlstore_find(s, "domid:7", &info));
    CHECK(info.domid == 7 && info.qemu == 77);
    info.struct_size -= 1;
    INVALID(xlstore_find(s, "domid:7", &info));
    info.struct_size = sizeof info;
    OK(xlstore_find_incarnation(s, "c8", &info, &text));
    CHECK(info.domid == 8 && strcmp(text, "[]") == 0);
    xlstore_string_free(text);
    text = NULL;
    OK(xlstore_find_incarnation(s, by_id, &info, NULL));
    STATUS(xlstore_find_incarnation(s, "name:never", &info, &text), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_find_incarnation(s, NULL, &info, NULL));
    OK(xlstore_find_incarnation(s, "c8", NULL, &text));
    CHECK(strcmp(text, "[]") == 0);
    xlstore_string_free(text);
    text = NULL;

    STATUS(xlstore_retired_document(s, "c8", &text, NULL, NULL, NULL), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_retired_document(s, NULL, &text, NULL, NULL, NULL));
    INVALID(xlstore_retired_document(s, "c8", NULL, NULL, NULL, NULL));
    STATUS(xlstore_undo(s, 77, NULL, XLSTORE_DRY_RUN, NULL, NULL), XLSTORE_E_NOT_FOUND);
    STATUS(xlstore_undo(s, 77, NULL, 0, NULL, NULL), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_undo(s, 77, NULL, 4, NULL, NULL));
    STATUS(xlstore_put_back(s, 77, XLSTORE_DRY_RUN, NULL, NULL), XLSTORE_E_NOT_FOUND);
    STATUS(xlstore_put_back(s, 77, 0, NULL, NULL), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_put_back(s, 77, XLSTORE_FORCE, NULL, NULL));
    OK(xlstore_prune(s, "history,locks", 1, XLSTORE_DRY_RUN, NULL, NULL));
    OK(xlstore_prune(s, NULL, -1, 0, NULL, NULL));
    INVALID(xlstore_prune(s, "history,", -2, 0, NULL, NULL));
    INVALID(xlstore_prune(s, "everything", -1, 0, NULL, NULL));
    INVALID(xlstore_prune(s, NULL, -1, XLSTORE_FORCE, NULL, NULL));
    CHECK(!text);

    OK(xlstore_query(s, "SELECT domid, ?1, ?2 FROM domains", given, 2, NULL, count_row, &rows));
    CHECK(rows == 2);
    rows = 0;
    CHECK(xlstore_query(s, "SELECT domid FROM domains", NULL, 0, NULL, stop_at_once, &rows) == 42);
    CHECK(rows == 1);
    OK(xlstore_query_json(s, "SELECT domid, ?1 AS g FROM domains", given, 1, NULL, &text));
    CHECK(strcmp(text, "[{\"domid\":7,\"g\":\"given\"},{\"domid\":8,\"g\":\"given\"}]") == 0);
    xlstore_string_free(text);
    text = NULL;
    CHECK(xlstore_query_json(s,
                             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                             "SELECT count(*) FROM n",
                             NULL, 0, &soon, &text) != XLSTORE_OK);
    CHECK(!text);
    OK(xlstore_locks(s, &text));
    CHECK(text[0] == '[');
    xlstore_string_free(text);

    OK(xlstore_document(s, "domid:8", &text, &revision));
    CHECK(strstr(text, "00:16:3e:00:00:08") != NULL && revision > 0);
    OK(xlstore_document(s, "domid:8", &again, NULL));
    CHECK(strcmp(text, again) == 0);
    xlstore_string_free(text);
    xlstore_string_free(again);
    OK(xlstore_thing(s, "domid:8", "nics", "0", &text, NULL));
    CHECK(strstr(text, "00:16:3e:00:00:08") != NULL);
    xlstore_string_free(text);
}

static void check_fast(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_call soon = XLSTORE_CALL_INIT;
    xlstore_fast* fast = NULL;
    xlstore_fast* second = NULL;
    char* text = NULL;
    OK(xlstore_fast_lock(s, "domid:8", "test", NULL, &fast));
    if (!fast) return;
    OK(xlstore_fast_document(fast, &text));
    OK(xlstore_fast_write_document(fast, text));
    xlstore_string_free(text);
    OK(xlstore_fast_put_thing(fast, "nics", "{\"devid\":5}"));
    INVALID(xlstore_fast_document(fast, NULL));
    INVALID(xlstore_fast_write_document(fast, NULL));
    INVALID(xlstore_fast_write_document(fast, "nonsense"));
    INVALID(xlstore_fast_put_thing(fast, NULL, "{\"devid\":5}"));
    INVALID(xlstore_fast_put_thing(fast, "nics", NULL));
    INVALID(xlstore_fast_put_thing(fast, "nics", "{"));
    STATUS(xlstore_fast_put_thing(fast, "vcpus", "{\"index\":1}"), XLSTORE_E_REFUSED);
    INVALID(xlstore_fast_remove_thing(fast, NULL, "5"));
    INVALID(xlstore_fast_remove_thing(fast, "nics", NULL));
    STATUS(xlstore_fast_remove_thing(fast, "nics", "77"), XLSTORE_E_NOT_FOUND);

    /* R7: as long as this thread has it, nothing that waits or dispatches. */
    STATUS(xlstore_dispatch(s), XLSTORE_E_ORDER);
    STATUS(xlstore_attach(s, "domid:7", "qemu", "{}", NULL, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_slow_lock(s, "domid:7", "test", NULL, (xlstore_hold**)&second), XLSTORE_E_ORDER);
    STATUS(xlstore_fast_lock(s, "domid:7", "test", NULL, &second), XLSTORE_E_ORDER);
    STATUS(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":6}", 0, NULL, NULL),
           XLSTORE_E_ORDER);
    STATUS(xlstore_context_enter(), XLSTORE_E_ORDER);
    CHECK(!second);

    /* Another client's edit of that domain waits, and is told who holds it. */
    {
        xlstore_open_options look = XLSTORE_OPEN_OPTIONS_INIT;
        xlstore_store* other = NULL;
        look.read_only = 1;
        OK(xlstore_open(world->store_path, &look, &other));
        OK(xlstore_thing(other, "domid:8", "nics", "5", &text,
                         NULL)); /* what is committed is seen */
        xlstore_string_free(text);
        xlstore_close(other);
    }
    OK(xlstore_fast_remove_thing(fast, "nics", "5"));
    xlstore_fast_release(fast);
    soon.timeout_ms = 5000;
    OK(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":6}", 0, &soon, NULL));
    OK(xlstore_remove_thing(s, "domid:8", "nics", "6", 0, &soon, NULL));

    /* Below the embedder's own lock it may be taken; what waits for the slow lock may not. */
    OK(xlstore_context_enter());
    OK(xlstore_fast_lock(s, "domid:8", "test", NULL, &fast));
    xlstore_fast_release(fast);
    OK(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":0}", 0, NULL, NULL));
    STATUS(xlstore_eject(s, "domid:7", "hdc", NULL, NULL), XLSTORE_E_ORDER);
    OK(xlstore_context_leave());
}

void check_edits(struct world* world)
{
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    char* text = NULL;
    int64_t revision = 0;
    int64_t next = 0;

    OK(xlstore_document(s, "domid:8", &text, &revision));
    OK(xlstore_write_document(s, "domid:8", text, revision, NULL, &next));
    CHECK(next > revision);
    STATUS(xlstore_write_document(s, "domid:8", text, revision, NULL, &next), XLSTORE_E_CONFLICT);
    OK(xlstore_write_document_start(s, "domid:8", text, next, NULL, tell, &t, NULL));
    CHECK(t.calls == 0); /* its callback comes from dispatch alone */
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK && strstr(t.json, "\"revision\":") != NULL);
    memset(&t, 0, sizeof t);
    OK(xlstore_write_document_start(s, "domid:8", text, next, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_E_CONFLICT);
    xlstore_string_free(text);
    INVALID(xlstore_write_document(s, "domid:8", document_of(9), 0, NULL, NULL)); /* another uuid */

    OK(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":3,\"model\":\"a\"}", 0, NULL,
                         &revision));
    OK(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":3,\"model\":\"b\"}", revision, NULL,
                         &next));
    STATUS(xlstore_put_thing(s, "domid:8", "nics", "{\"devid\":3}", revision, NULL, &next),
           XLSTORE_E_CONFLICT);
    OK(xlstore_thing(s, "domid:8", "nics", "3", &text, NULL));
    CHECK(strcmp(text, "{\"devid\":3,\"model\":\"b\"}") == 0);
    xlstore_string_free(text);
    STATUS(xlstore_put_thing(s, "domid:7", "vcpus", "{\"index\":1}", 0, NULL, NULL),
           XLSTORE_E_REFUSED);
    STATUS(xlstore_remove_thing(s, "domid:7", "disks", "hdc", 0, NULL, NULL), XLSTORE_E_REFUSED);
    OK(xlstore_remove_thing(s, "domid:8", "nics", "3", next, NULL, NULL));
    STATUS(xlstore_remove_thing(s, "domid:8", "nics", "3", 0, NULL, NULL), XLSTORE_E_NOT_FOUND);

    memset(&t, 0, sizeof t);
    OK(xlstore_put_thing_start(s, "domid:8", "nics", "{\"devid\":4}", 0, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    memset(&t, 0, sizeof t);
    OK(xlstore_remove_thing_start(s, "domid:8", "nics", "4", 0, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    check_fast(world);
}

static const char* chardev(const char* key)
{
    static char text[256];
    snprintf(text, sizeof text,
             "{\"key\":\"%s\",\"steps\":[{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"%s\","
             "\"backend\":{\"type\":\"null\",\"data\":{}}}}]}",
             key, key);
    return text;
}

void check_operations(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_call soon = XLSTORE_CALL_INIT;
    xlstore_result* r = NULL;
    xlstore_op* op = NULL;
    struct told t = TOLD_INIT;
    int64_t asked;

    OK(xlstore_attach(s, "domid:7", "qemu", chardev("a"), NULL, &r));
    CHECK(xlstore_result_status(r) == XLSTORE_OK && xlstore_result_intent(r) > 0);
    CHECK(strstr(xlstore_result_message(r), "attached") != NULL);
    CHECK(strcmp(xlstore_result_advice(r), "") == 0);
    CHECK(strstr(xlstore_result_json(r), "\"result\":\"done\"") != NULL);
    OK(xlstore_wait(s, xlstore_result_intent(r), NULL, NULL));
    xlstore_result_free(r);
    r = NULL;
    STATUS(xlstore_attach(s, "domid:7", "qemu", chardev("a"), NULL, &r), XLSTORE_E_EXISTS);
    CHECK(r && xlstore_result_status(r) == XLSTORE_E_EXISTS && xlstore_result_advice(r)[0]);
    CHECK(strstr(xlstore_result_json(r), "\"error\"") != NULL);
    xlstore_result_free(r);
    r = NULL;
    /* Flags where they are taken, and a program of the first release, whose struct had none. */
    soon.flags = XLSTORE_FORCE | XLSTORE_WAIT_FOR_GUEST;
    OK(xlstore_insert(s, "domid:7", "hdc", world->image, &soon, NULL));
    INVALID(xlstore_attach(s, "domid:7", "qemu", chardev("b"), &soon, NULL));
    INVALID(xlstore_wait(s, 1, &soon, NULL));
    soon.flags = 4;
    INVALID(xlstore_eject(s, "domid:7", "hdc", &soon, NULL));
    soon.struct_size = offsetof(xlstore_call, things); /* as in release 0.1 */
    OK(xlstore_eject(s, "domid:7", "hdc", &soon, NULL));
    soon.struct_size = offsetof(xlstore_call, things) - 1;
    INVALID(xlstore_eject(s, "domid:7", "hdc", &soon, NULL));
    soon.struct_size = sizeof soon;
    soon.flags = 0;
    STATUS(xlstore_attach(s, "domid:8", "qemu", chardev("a"), NULL, NULL), XLSTORE_E_NO_QEMU);
    INVALID(xlstore_attach(s, "domid:7", "nosuch", "{}", NULL, NULL));
    INVALID(xlstore_attach(s, "domid:7", "qemu", "{\"key\":", NULL, NULL));
    INVALID(xlstore_attach(s, "domid:7", "qemu", "{\"key\":\"x\"}", NULL, NULL));
    STATUS(xlstore_attach(s, "domid:7", "usbdevs",
                          "{\"ctrl\":0,\"port\":1,\"type.emulated\":{\"driver\":\"nonsense\"}}",
                          NULL, NULL),
           XLSTORE_E_REFUSED);
    OK(xlstore_detach(s, "domid:7", "qemu", "a", NULL, NULL));
    STATUS(xlstore_detach(s, "domid:7", "qemu", "a", NULL, NULL), XLSTORE_E_NOT_FOUND);

    OK(xlstore_attach_start(s, "domid:7", "qemu", chardev("b"), NULL, tell, &t, &op));
    CHECK(op != NULL && t.calls == 0);
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK && t.intent > 0);
    memset(&t, 0, sizeof t);
    OK(xlstore_detach_start(s, "domid:7", "qemu", "b", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);

    OK(xlstore_insert(s, "domid:7", "hdc", world->image, NULL, NULL));
    OK(xlstore_eject(s, "domid:7", "hdc", NULL, NULL));
    STATUS(xlstore_insert(s, "domid:7", "hdz", world->image, NULL, NULL), XLSTORE_E_NOT_FOUND);
    CHECK(xlstore_insert(s, "domid:7", "hdc", "relative", NULL, NULL) != XLSTORE_OK);
    memset(&t, 0, sizeof t);
    OK(xlstore_insert_start(s, "domid:7", "hdc", world->image, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    memset(&t, 0, sizeof t);
    OK(xlstore_eject_start(s, "domid:7", "hdc", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);

    {
        char text[700];
        snprintf(text, sizeof text, "[{\"attach\":\"qemu\",\"thing\":%s},{\"eject\":\"hdz\"}]",
                 chardev("c"));
        STATUS(xlstore_batch(s, "domid:7", text, 0, NULL, &r), XLSTORE_E_NOT_FOUND);
        CHECK(r && strstr(xlstore_result_json(r), "\"outcomes\":[") != NULL);
        xlstore_result_free(r);
        r = NULL;
        OK(xlstore_detach(s, "domid:7", "qemu", "c", NULL, NULL));
        snprintf(text, sizeof text, "[{\"attach\":\"qemu\",\"thing\":%s}]", chardev("c"));
        memset(&t, 0, sizeof t);
        OK(xlstore_batch_start(s, "domid:7", text, XLSTORE_ALL_OR_NONE, NULL, tell, &t, NULL));
        run_until_told(s, &t);
        CHECK(t.status == XLSTORE_OK);
        /* The message is about the thing that is to blame, not about the first request. */
        snprintf(text, sizeof text, "[{\"attach\":\"qemu\",\"thing\":%s},", chardev("d"));
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "{\"attach\":\"qemu\",\"thing\":{\"key\":\"e\",%s}]",
                 strchr(chardev("c"), ',') + 1);
        STATUS(xlstore_batch(s, "domid:7", text, XLSTORE_ALL_OR_NONE, NULL, &r), XLSTORE_E_EXISTS);
        CHECK(strstr(xlstore_result_message(r), "qemu/e") != NULL);
        CHECK(strstr(xlstore_result_message(r), "request 1") == NULL);
        xlstore_result_free(r);
        r = NULL;
        OK(xlstore_detach(s, "domid:7", "qemu", "c", NULL, NULL));
    }

    /* A guest without an operating system lets go of no PCI device: in doubt, and the intent stays.
     */
    OK(xlstore_attach(s, "domid:7", "usbctrls",
                      "{\"type\":\"devicemodel\",\"devid\":2,\"version\":2}", NULL, NULL));
    soon.timeout_ms = 3000; /* QEMU has to have answered by then, also on a busy machine */
    STATUS(xlstore_detach(s, "domid:7", "usbctrls", "2", &soon, &r), XLSTORE_E_IN_DOUBT);
    soon.timeout_ms = 500;
    asked = xlstore_result_intent(r);
    CHECK(asked > 0);
    {
        xlstore_error error = XLSTORE_ERROR_INIT;
        CHECK(xlstore_last_error(&error) == XLSTORE_OK && error.intent == asked);
    }
    xlstore_result_free(r);
    STATUS(xlstore_wait(s, asked, &soon, NULL), XLSTORE_E_IN_DOUBT);
    memset(&t, 0, sizeof t);
    OK(xlstore_wait_start(s, asked, &soon, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_E_IN_DOUBT && t.intent == asked);
    STATUS(xlstore_wait(s, 999, NULL, NULL), XLSTORE_E_NOT_FOUND);
    STATUS(xlstore_wait(s, -1, NULL, NULL), XLSTORE_E_NOT_FOUND);
}

static pid_t start_qemu(const char* monitor)
{
    const struct timespec moment = {0, 10 * 1000 * 1000};
    struct sockaddr_un address;
    char argument[128];
    pid_t child;
    snprintf(argument, sizeof argument, "unix:%s,server=on,wait=off", monitor);
    child = fork();
    if (child == 0) {
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-display", "none",
               "-machine", "pc,accel=tcg", "-m", "32", "-qmp", argument, (char*)NULL);
        _exit(127);
    }
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, monitor, strlen(monitor) + 1);
    for (;;) { /* bound is not yet listening */
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int listens = connect(fd, (struct sockaddr*)&address, sizeof address) == 0;
        close(fd);
        if (listens) return child;
        if (waitpid(child, NULL, WNOHANG) != 0) give_up("a QEMU of our own ended");
        nanosleep(&moment, NULL);
    }
}

void check_lifecycle(struct world* world)
{
    static const char* const no_program[] = {"/nonexistent/qemu", NULL};
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_result* r = NULL;
    struct told t = TOLD_INIT;
    char monitor[96];
    pid_t qemu;

    STATUS(xlstore_create(s, 9, document_of(9), no_program, NULL, &r), XLSTORE_E_REFUSED);
    xlstore_result_free(r);
    r = NULL;
    STATUS(xlstore_find(s, "domid:9", &info), XLSTORE_E_NOT_FOUND); /* retired */
    INVALID(xlstore_create(s, 9, "{", qemu_command(), NULL, NULL));
    CHECK(xlstore_create(s, -3, document_of(9), qemu_command(), NULL, NULL) != XLSTORE_OK);
    STATUS(xlstore_create(s, 7, document_of(9), qemu_command(), NULL, NULL), XLSTORE_E_EXISTS);
    OK(xlstore_create_start(s, 9, document_of(9), qemu_command(), NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK && strstr(t.json, "\"qemu_pid\":") != NULL);
    memset(&t, 0, sizeof t);
    OK(xlstore_destroy_start(s, "domid:9", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    STATUS(xlstore_destroy(s, "domid:9", NULL, NULL), XLSTORE_E_NOT_FOUND);

    INVALID(xlstore_import(s, 9, "{", NULL, NULL));
    STATUS(xlstore_import(s, 8, document_of(8), NULL, NULL), XLSTORE_E_EXISTS);
    OK(xlstore_import_start(s, 10, document_of(10), NULL, tell, memset(&t, 0, sizeof t), NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    snprintf(monitor, sizeof monitor, "%s/m", world->directory);
    CHECK(xlstore_register(s, "domid:10", monitor, 0, 0, NULL, NULL) !=
          XLSTORE_OK); /* no such domain */
    qemu = start_qemu(monitor);
    CHECK(xlstore_register(s, "domid:10", monitor, getpid(), 0, NULL, NULL) != XLSTORE_OK);
    memset(&t, 0, sizeof t);
    OK(xlstore_register_start(s, "domid:10", monitor, qemu, 0, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    OK(xlstore_find(s, "domid:10", &info));
    CHECK(info.qemu_pid == qemu);
    STATUS(xlstore_register(s, "domid:10", monitor, qemu, 0, NULL, NULL), XLSTORE_E_EXISTS);
    OK(xlstore_destroy(s, "domid:10", NULL, NULL));
    CHECK(waitpid(qemu, NULL, 0) == qemu); /* dead, by the store's hand */

    /* No row: its creation is refused from now on. */
    {
        const char* const uuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c11";
        OK(xlstore_destroy_domid(s, 11, uuid, NULL, &r));
        CHECK(strstr(xlstore_result_json(r), "\"row\":false") != NULL);
        xlstore_result_free(r);
        STATUS(xlstore_create(s, 11, document_of(11), qemu_command(), NULL, NULL), XLSTORE_E_GONE);
        INVALID(xlstore_destroy_domid(s, 11, "no uuid", NULL, NULL));
        OK(xlstore_import(s, 12, document_of(12), NULL, NULL));
        memset(&t, 0, sizeof t);
        OK(xlstore_destroy_domid_start(s, 12, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c12", NULL, tell,
                                       &t, NULL));
        run_until_told(s, &t);
        CHECK(t.status == XLSTORE_OK && strstr(t.json, "\"row\":true") != NULL);
    }
}

struct findings {
    int found;
    int asked;
    int steps;
    int32_t answer;
};

static void found(const xlstore_finding* finding, void* userdata)
{
    ++((struct findings*)userdata)->found;
    CHECK(finding->struct_size == sizeof *finding && finding->code > 0);
    CHECK(finding->problem[0] && finding->subject && finding->message[0] && finding->question);
    CHECK(finding->evidence && finding->error);
}

static int32_t answer(const xlstore_finding* finding, void* userdata)
{
    struct findings* all = userdata;
    ++all->asked;
    CHECK(finding->question[0] != '\0');
    return all->answer;
}

static void progress(int32_t pass, int32_t done, int32_t of, void* userdata)
{
    ++((struct findings*)userdata)->steps;
    CHECK(pass >= 0 && done >= 0 && done <= of);
}

static void leave_an_open_intent(struct world* world)
{
    xlstore_store* const other = open_store(world);
    xlstore_hold* hold = NULL;
    xlstore_intention intention = XLSTORE_INTENTION_INIT;
    char* text = NULL;
    OK(xlstore_query_json(other, "SELECT monitor_path FROM domains WHERE domid = 7", NULL, 0, NULL,
                          &text));
    text[strlen(text) - 3] = '\0'; /* [{"monitor_path":"..."}] */
    intention.operation = XLSTORE_ADD;
    intention.device_class = "qemu";
    intention.json = chardev("left");
    intention.monitor_path = strchr(text, '/');
    intention.seen = XLSTORE_SEEN_BEFORE;
    OK(xlstore_slow_lock(other, "domid:7", "test", NULL, &hold));
    OK(xlstore_intend(hold, &intention, NULL, NULL));
    xlstore_hold_release(hold);
    xlstore_string_free(text);
    xlstore_close(other);
}

void check_recovery(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    struct findings all = {0, 0, 0, 0};
    struct told t = TOLD_INIT;
    xlstore_result* r = NULL;
    char* text = NULL;
    int32_t status;

    leave_an_open_intent(world);
    options.found = found;
    options.answer = answer;
    options.progress = progress;
    options.userdata = &all;
    options.domain = "domid:7";
    options.timeout_ms = 20000;
    options.mode = XLSTORE_RECOVER_LOOK;
    status = xlstore_recover(s, &options, &r);
    CHECK(status == XLSTORE_E_REFUSED || status == XLSTORE_E_IN_DOUBT);
    CHECK(all.found > 0 && all.asked == 0 && all.steps > 0);
    CHECK(strstr(xlstore_result_json(r), "\"fsck_status\":") != NULL);
    xlstore_result_free(r);
    options.mode = XLSTORE_RECOVER_ASK; /* the answer is no */
    CHECK(xlstore_recover(s, &options, NULL) != XLSTORE_OK);
    CHECK(all.asked > 0);
    all.answer = 1;
    OK(xlstore_recover_start(s, &options, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(strstr(t.json, "\"corrected\":0") == NULL);
    OK(xlstore_query_json(s, "SELECT key FROM pending_intents WHERE key = 'left'", NULL, 0, NULL,
                          &text));
    CHECK(strcmp(text, "[]") == 0);
    xlstore_string_free(text);
    options.domain = NULL;
    options.mode = XLSTORE_RECOVER_YES;
    options.flags = XLSTORE_RECOVER_EVICT | XLSTORE_RECOVER_WHOLE | XLSTORE_RECOVER_PAGES;
    status = xlstore_recover(s, &options, NULL);
    CHECK(status == XLSTORE_OK || status == XLSTORE_E_IN_DOUBT);
}
