/* SPDX-License-Identifier: MIT
 *
 * What programs in other languages need: structs without macros, what the rows say without SQL, one
 * try for a lock, and to be told of changes. */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* Each is as its _INIT has it, and no byte behind `size` is touched. */
#define SAME_AS(type, init, function)                                         \
    do {                                                                      \
        static const type wanted = init; /* zero between its members */       \
        unsigned char bytes[sizeof(type) + 8];                                \
        memset(bytes, 0xa5, sizeof bytes);                                    \
        function((type*)bytes, sizeof(type));                                 \
        CHECK(memcmp(bytes, &wanted, sizeof wanted) == 0);                    \
        CHECK(bytes[sizeof(type)] == 0xa5);                                   \
        memset(bytes, 0xa5, sizeof bytes);                                    \
        function((type*)bytes, 8);                                            \
        CHECK(((type*)bytes)->struct_size == 8 && bytes[8] == 0xa5);          \
        function(NULL, sizeof(type));                                         \
    } while (0)

static void check_structs(void)
{
    SAME_AS(xlstore_error, XLSTORE_ERROR_INIT, xlstore_error_init);
    SAME_AS(xlstore_init_options, XLSTORE_INIT_OPTIONS_INIT, xlstore_init_options_init);
    SAME_AS(xlstore_open_options, XLSTORE_OPEN_OPTIONS_INIT, xlstore_open_options_init);
    SAME_AS(xlstore_call, XLSTORE_CALL_INIT, xlstore_call_init);
    SAME_AS(xlstore_intention, XLSTORE_INTENTION_INIT, xlstore_intention_init);
    SAME_AS(xlstore_carried_out, XLSTORE_CARRIED_OUT_INIT, xlstore_carried_out_init);
    SAME_AS(xlstore_domain_info, XLSTORE_DOMAIN_INFO_INIT, xlstore_domain_info_init);
    SAME_AS(xlstore_recover_options, XLSTORE_RECOVER_OPTIONS_INIT, xlstore_recover_options_init);
    SAME_AS(xlstore_restore_options, XLSTORE_RESTORE_OPTIONS_INIT, xlstore_restore_options_init);
    CHECK(strchr(xlstore_version(), '.') != NULL);
}

static void looked_at(xlstore_result* result, void* told)
{
    *(int*)told = xlstore_result_status(result) == XLSTORE_OK &&
                  strstr(xlstore_result_json(result), "\"domid\":7") != NULL;
}

static void check_looks(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_result* r = NULL;
    xlstore_op* op = NULL;
    struct pollfd ready = {xlstore_fd(s), POLLIN, 0};
    int told = 0;
    OK(xlstore_look_at_qemus(s, NULL, NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"answer\":\"answered\",\"run_state\":\"") != NULL);
    CHECK(strstr(xlstore_result_json(r), "\"domid\":8") != NULL);
    xlstore_result_free(r);
    r = NULL;
    OK(xlstore_look_at_qemus(s, "domid:8", NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"qemu\":\"none\",\"answer\":\"none\"") != NULL);
    CHECK(strstr(xlstore_result_json(r), "\"domid\":7") == NULL);
    xlstore_result_free(r);
    STATUS(xlstore_look_at_qemus(s, "domid:99", NULL, NULL), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_look_at_qemus(NULL, NULL, NULL, NULL));
    INVALID(xlstore_look_at_qemus_start(s, NULL, NULL, NULL, NULL, NULL));
    OK(xlstore_look_at_qemus_start(s, "domid:7", NULL, looked_at, &told, &op));
    while (!told && poll(&ready, 1, 60000) == 1)
        OK(xlstore_dispatch(s));
    CHECK(told);
}

static void check_rows(struct world* world)
{
    xlstore_store* const s = world->store;
    char* text = NULL;
    OK(xlstore_monitor_path(s, "domid:7", &text));
    CHECK(text && text[0] == '/');
    xlstore_string_free(text);
    STATUS(xlstore_monitor_path(s, "domid:8", &text), XLSTORE_E_NO_QEMU);
    STATUS(xlstore_monitor_path(s, "domid:99", &text), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_monitor_path(s, "domid:7", NULL));

    OK(xlstore_things(s, "domid:8", &text));
    CHECK(strstr(text, "{\"class\":\"disks\",\"key\":\"hdc\",\"state\":") != NULL);
    CHECK(strstr(text, "\"json\":{\"pdev_path\":\"\",\"vdev\":\"hdc\"") != NULL);
    CHECK(strstr(text, "\"primary\":\"xenstore\"") != NULL);
    xlstore_string_free(text);
    STATUS(xlstore_things(s, "domid:99", &text), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_things(s, "domid:8", NULL));

    OK(xlstore_intents(s, NULL, &text));
    CHECK(strcmp(text, "[]") == 0);
    xlstore_string_free(text);
    INVALID(xlstore_intents(s, "domid:7", NULL));

    OK(xlstore_history(s, NULL, 0, 1, &text));
    CHECK(strncmp(text, "[{\"line\":1,", 11) == 0 && strstr(text, "},{") == NULL);
    xlstore_string_free(text);
    OK(xlstore_history(s, "domid:8", 0, 0, &text));
    CHECK(strstr(text, "\"operation\":\"import\"") != NULL);
    CHECK(strstr(text, "\"domid\":7") == NULL);
    xlstore_string_free(text);
    INVALID(xlstore_history(s, NULL, 0, 0, NULL));

    OK(xlstore_settled_since(s, "domid:8", 0, &text));
    CHECK(strncmp(text, "[{\"line\":", 9) == 0 && strstr(text, "\"pruned\":false") != NULL);
    xlstore_string_free(text);
    OK(xlstore_settled_since(s, "domid:8", INT64_C(1) << 40, &text));
    CHECK(strstr(text, "\"settled\":[]") != NULL);
    xlstore_string_free(text);
    STATUS(xlstore_settled_since(s, "domid:99", 0, &text), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_settled_since(s, "domid:8", -1, &text));
    INVALID(xlstore_settled_since(s, "domid:8", 0, NULL));
}

/* Messages are printable, for any words that are asked for; and what is cut is cut between characters. */
static void check_words(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_result* r = NULL;
    char before[sizeof info.name];
    char name[301] = "";
    char* text = NULL;
    int i;
    STATUS(xlstore_thing(s, "domid:7", "nics", "a\nb\033[31m\377", &text, NULL),
           XLSTORE_E_NOT_FOUND);
    CHECK(xlstore_last_error(&error) == XLSTORE_OK);
    CHECK(strstr(error.message, "a\\x0ab\\x1b[31m\\xff") != NULL);
    STATUS(xlstore_detach(s, "domid:7", "qemu", "a\nb\033[31m\377", NULL, &r),
           XLSTORE_E_NOT_FOUND);
    CHECK(strstr(xlstore_result_message(r), "a\\x0ab\\x1b[31m\\xff") != NULL);
    xlstore_result_free(r);
    for (i = 0; i < 150; ++i)
        strcat(name, "\303\244");
    OK(xlstore_find(s, "domid:8", &info));
    strcpy(before, info.name);
    OK(xlstore_rename(s, "domid:8", name, 0, NULL, NULL));
    OK(xlstore_find(s, "domid:8", &info));
    CHECK(strlen(info.name) == 254 && strncmp(info.name, name, 254) == 0);
    OK(xlstore_rename(s, "domid:8", before, 0, NULL, NULL));
    OK(xlstore_query_json(s, "SELECT 9e999 AS big", NULL, 0, NULL, &text));
    CHECK(strcmp(text, "[{\"big\":null}]") == 0);
    xlstore_string_free(text);
}

/* An open intent, as its row has it. */
static void check_open_intent(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_intention i;
    xlstore_hold* hold = NULL;
    char* monitor = NULL;
    char* text = NULL;
    int64_t intent = 0;
    OK(xlstore_slow_lock(s, "domid:7", "test", NULL, &hold));
    OK(xlstore_monitor_path(s, "domid:7", &monitor));
    memset(&i, 0, sizeof i); /* its monitor_fd is 0, and none */
    i.struct_size = sizeof i;
    i.operation = XLSTORE_ADD;
    i.device_class = "usbctrls";
    i.json = "{\"type\":\"devicemodel\",\"devid\":5,\"version\":2}";
    i.monitor_path = monitor;
    i.seen = XLSTORE_SEEN_BEFORE;
    OK(xlstore_intend(hold, &i, NULL, &intent));
    OK(xlstore_intents(s, "domid:7", &text));
    CHECK(strstr(text, "\"operation\":\"add\",\"class\":\"usbctrls\",\"key\":\"5\"") != NULL);
    CHECK(strstr(text, "\"waits_for_guest\":false") != NULL);
    CHECK(strstr(text, "\"owner_lives\":true") != NULL);
    CHECK(strstr(text, "\"before\":null,\"after\":{") != NULL);
    xlstore_string_free(text);
    OK(xlstore_things(s, "domid:7", &text));
    CHECK(strstr(text, "\"state\":\"adding\"") != NULL);
    xlstore_string_free(text);
    OK(xlstore_settle(hold, intent, XLSTORE_SEEN_BEFORE, "not sent", NULL));
    xlstore_hold_release(hold);
    xlstore_string_free(monitor);
}

struct goroutine {
    xlstore_store* store;
    xlstore_error error;
};

/* On another thread: nothing has failed here. */
static void* ask_for_error(void* argument)
{
    struct goroutine* it = argument;
    xlstore_error own = XLSTORE_ERROR_INIT;
    CHECK(xlstore_last_error(&own) == XLSTORE_OK && own.status == XLSTORE_OK);
    CHECK(xlstore_store_error(it->store, &it->error) == XLSTORE_OK);
    return NULL;
}

/* Of calls that make a store: by an object of the caller's, where the struct has room for one. */
static void check_errors_before_a_store(void)
{
    xlstore_init_options init = XLSTORE_INIT_OPTIONS_INIT;
    xlstore_restore_options restore = XLSTORE_RESTORE_OPTIONS_INIT;
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_result* r = NULL;
    init.error = &error;
    CHECK(xlstore_init("/proc/1/none", &init) != XLSTORE_OK);
    CHECK(error.status != XLSTORE_OK && strstr(error.message, "/proc/1/none") != NULL);
    init.struct_size = (uint32_t)offsetof(xlstore_init_options, error);
    error.status = 77;
    CHECK(xlstore_init("/proc/1/none", &init) != XLSTORE_OK);
    CHECK(error.status == 77);
    restore.error = &error;
    CHECK(xlstore_restore("/proc/1/none", "/nowhere/at/all", &restore, &r) != XLSTORE_OK);
    CHECK(error.status != 77 && strstr(error.message, "/nowhere/at/all") != NULL);
    CHECK(strstr(xlstore_result_message(r), "/nowhere/at/all") != NULL);
    xlstore_result_free(r);
    restore.struct_size = (uint32_t)offsetof(xlstore_restore_options, error);
    error.status = 77;
    CHECK(xlstore_restore("/proc/1/none", "/nowhere/at/all", &restore, NULL) != XLSTORE_OK);
    CHECK(error.status == 77);
}

/* What failed is told by the object, too, on each thread that asks. */
static void check_errors(struct world* world)
{
    xlstore_store* const s = world->store;
    struct goroutine it = {NULL, XLSTORE_ERROR_INIT};
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_store* other = open_store(world);
    xlstore_store* none = NULL;
    xlstore_result* r = NULL;
    xlstore_hold* hold = NULL;
    pthread_t thread;
    it.store = s;
    STATUS(xlstore_attach(s, "domid:99", "qemu", "{}", NULL, &r), XLSTORE_E_NOT_FOUND);
    CHECK(xlstore_result_status(r) == XLSTORE_E_NOT_FOUND);
    CHECK(strstr(xlstore_result_message(r), "99") != NULL);
    CHECK(strstr(xlstore_result_json(r), "\"not_found\"") != NULL);
    xlstore_result_free(r);
    OK(xlstore_dispatch(other)); /* of another store: it changes nothing there */
    CHECK(pthread_create(&thread, NULL, ask_for_error, &it) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(it.error.status == XLSTORE_E_NOT_FOUND && strstr(it.error.message, "99") != NULL);
    CHECK(xlstore_store_error(other, &error) == XLSTORE_OK && error.status == XLSTORE_OK);
    /* Of what was made from it, and cleared by the next call. */
    OK(xlstore_slow_lock(s, "domid:7", "test", NULL, &hold));
    CHECK(xlstore_store_error(s, &error) == XLSTORE_OK && error.status == XLSTORE_OK);
    STATUS(xlstore_settle(hold, 999, XLSTORE_SEEN_BEFORE, "x", NULL), XLSTORE_E_NOT_FOUND);
    CHECK(xlstore_store_error(s, &error) == XLSTORE_OK && error.status == XLSTORE_E_NOT_FOUND);
    xlstore_hold_release(hold);
    xlstore_close(other);
    CHECK(xlstore_store_error(NULL, &error) == XLSTORE_E_INVALID);
    error.struct_size = 4;
    CHECK(xlstore_store_error(s, &error) == XLSTORE_E_INVALID);
    /* Of a store that there is none of. */
    xlstore_error_init(&error, sizeof error);
    options.error = &error;
    STATUS(xlstore_open("/nowhere/at/all", &options, &none), XLSTORE_E_STORE);
    CHECK(error.status == XLSTORE_E_STORE && strstr(error.message, "/nowhere/at/all") != NULL);
    /* The struct of release 0.1 ends before it. */
    options.struct_size = (uint32_t)offsetof(xlstore_open_options, error);
    error.status = 77;
    STATUS(xlstore_open("/nowhere/at/all", &options, &none), XLSTORE_E_STORE);
    CHECK(error.status == 77);
    check_errors_before_a_store();
}

static int file_descriptors(void)
{
    int count = 0;
    int fd;
    for (fd = 0; fd < 1024; ++fd)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* A store that cannot be written to says so. */
static void check_read_only(struct world* world)
{
    xlstore_open_options look = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    xlstore_error error = XLSTORE_ERROR_INIT;
    const int before = file_descriptors();
    look.read_only = 1;
    OK(xlstore_open(world->store_path, &look, &store));
    STATUS(xlstore_rename(store, "domid:8", "other", 0, NULL, NULL), XLSTORE_E_READONLY);
    CHECK(xlstore_store_error(store, &error) == XLSTORE_OK && error.advice[0] != '\0');
    xlstore_close(store);
    CHECK(file_descriptors() == before);
    CHECK(strcmp(xlstore_status_name(XLSTORE_E_TIMEOUT), "timeout") == 0);
    CHECK(strcmp(xlstore_status_name(XLSTORE_E_READONLY), "readonly") == 0);
    CHECK(strcmp(xlstore_status_name(XLSTORE_E_READONLY - 1), "unknown") == 0);
}

/* A query ends with its time, also where SQLite itself would look at no clock for hours. */
static void check_query_limits(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_call soon = XLSTORE_CALL_INIT;
    char* text = NULL;
    soon.timeout_ms = 50;
    STATUS(xlstore_query_json(s,
                              "SELECT hex(zeroblob(8000000)) GLOB '*' || hex(zeroblob(20000)) || "
                              "'1'",
                              NULL, 0, &soon, &text),
           XLSTORE_E_TIMEOUT);
    STATUS(xlstore_query_json(s, "SELECT length(hex(zeroblob(99000000)))", NULL, 0, NULL, &text),
           XLSTORE_E_REFUSED);
    OK(xlstore_query_json(s, "SELECT 'aXb' LIKE 'a_B' AS yes", NULL, 0, NULL, &text));
    CHECK(strcmp(text, "[{\"yes\":1}]") == 0);
    xlstore_string_free(text);
}

static void* release(void* fast)
{
    xlstore_fast_release(fast);
    return NULL;
}

static void check_try(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_call try_it = XLSTORE_CALL_INIT;
    xlstore_hold* hold = NULL;
    xlstore_hold* second = NULL;
    xlstore_fast* fast = NULL;
    pthread_t thread;
    try_it.flags = XLSTORE_TRY;
    OK(xlstore_slow_lock(s, "domid:7", "test", &try_it, &hold));
    STATUS(xlstore_slow_lock(s, "domid:7", "test", &try_it, &second), XLSTORE_E_BUSY);
    xlstore_hold_release(hold);
    OK(xlstore_fast_lock(s, "domid:8", "test", &try_it, &fast));
    /* Given back by another thread, it leaves this one free. */
    CHECK(pthread_create(&thread, NULL, release, fast) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(xlstore_dispatch(s));
    OK(xlstore_fast_lock(s, "domid:8", "test", &try_it, &fast));
    xlstore_fast_release(fast);
}

/* Domain 0, as Xen writes it, and its QEMU, which is registered and compared with nothing. */
static void check_dom0(struct world* world)
{
    xlstore_store* const s = world->store;
    static const char stub[] =
        "{\"c_info\":{\"type\":\"pv\"},\"b_info\":{\"claim_mode\":\"False\",\"type.pv\":{}}}";
    static const char object[] =
        "{\"key\":\"rng\",\"steps\":[{\"execute\":\"object-add\",\"arguments\":"
        "{\"qom-type\":\"rng-builtin\",\"id\":\"rng\"}}]}";
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    char monitor[96];
    char option[160];
    char* text = NULL;
    pid_t qemu;
    snprintf(monitor, sizeof monitor, "%s/dom0", world->directory);
    snprintf(option, sizeof option, "socket,id=m,path=%s,server=on,wait=off", monitor);
    qemu = fork();
    if (qemu == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-display", "none",
               "-machine", "pc,accel=tcg", "-m", "32", "-device", "usb-ehci,id=xenusb-3",
               "-chardev", option, "-mon", "chardev=m,mode=control", (char*)NULL);
        _exit(127);
    }
    OK(xlstore_import(s, 0, stub, NULL, NULL));
    OK(xlstore_register(s, "domid:0", monitor, qemu, XLSTORE_REGISTER_ONLY, NULL, NULL));
    OK(xlstore_find(s, "domid:0", &info));
    CHECK(info.qemu_pid == qemu && strcmp(info.name, "Domain-0") == 0);
    OK(xlstore_things(s, "domid:0", &text));
    CHECK(text && strcmp(text, "[]") == 0);
    xlstore_string_free(text);
    OK(xlstore_attach(s, "domid:0", "qemu", object, NULL, NULL));
    OK(xlstore_detach(s, "domid:0", "qemu", "rng", NULL, NULL));
    OK(xlstore_destroy(s, "domid:0", NULL, NULL));
    kill(qemu, SIGKILL);
    CHECK(waitpid(qemu, NULL, 0) == qemu);
}

struct seen {
    int calls;
    int64_t last;
    int64_t missed;
    int32_t domid;
    char story[1024]; /* "operation class/key;" */
    xlstore_watch* to_end;
};

static void changed(const xlstore_change* change, void* userdata)
{
    struct seen* seen = userdata;
    const size_t at = strlen(seen->story);
    CHECK(change->line > seen->last);
    ++seen->calls;
    seen->last = change->line;
    seen->missed += change->missed;
    seen->domid = change->domid;
    snprintf(seen->story + at, sizeof seen->story - at, "%s %s/%s;", change->operation,
             change->device_class ? change->device_class : "", change->key ? change->key : "");
    if (seen->to_end) xlstore_watch_end(seen->to_end);
    seen->to_end = NULL;
}

static void check_changes(struct world* world)
{
    static const char nic[] = "{\"devid\":60,\"mac\":\"00:16:3e:00:00:60\"}";
    xlstore_store* const s = world->store;
    struct seen seen;
    struct seen again;
    xlstore_watch* watch = NULL;
    xlstore_watch* second = NULL;
    int64_t first = 0;
    pid_t child;
    memset(&seen, 0, sizeof seen);
    memset(&again, 0, sizeof again);
    INVALID(xlstore_watch_start(s, -1, NULL, NULL, &watch));
    INVALID(xlstore_watch_start(s, -1, changed, NULL, NULL));
    INVALID(xlstore_watch_start(s, -2, changed, NULL, &watch));
    OK(xlstore_watch_start(s, -1, changed, &seen, &watch));
    run_for_a_while(s);
    CHECK(seen.calls == 0);
    /* By this process, */
    OK(xlstore_put_thing(s, "domid:8", "nics", nic, 0, NULL, NULL));
    run_for_a_while(s);
    CHECK(seen.calls >= 1 && seen.domid == 8 && strstr(seen.story, "nics/60") != NULL);
    first = seen.last;
    /* and by another. */
    seen.story[0] = '\0';
    child = fork();
    if (child == 0) {
        execl(world->program, world->program, "--remove-60", world->store_path, (char*)NULL);
        _exit(127);
    }
    CHECK(waitpid(child, NULL, 0) == child);
    run_for_a_while(s);
    CHECK(seen.last > first && strstr(seen.story, "nics/60") != NULL);
    /* From a line on, and ended from within. */
    OK(xlstore_watch_start(s, first - 1, changed, &again, &second));
    again.to_end = second;
    run_for_a_while(s);
    CHECK(again.calls == 1 && again.last == first && again.missed == 0);
    xlstore_watch_end(watch);
    xlstore_watch_end(NULL);
    seen.calls = 0;
    OK(xlstore_put_thing(s, "domid:8", "nics", nic, 0, NULL, NULL));
    OK(xlstore_remove_thing(s, "domid:8", "nics", "60", 0, NULL, NULL));
    run_for_a_while(s);
    CHECK(seen.calls == 0);
    /* A store that ends before its watch. */
    {
        xlstore_store* other = open_store(world);
        OK(xlstore_watch_start(other, 0, changed, &again, &second));
        xlstore_close(other);
        xlstore_watch_end(second);
    }
}

/* libxl's files, below a root that has none yet. */
static void check_bridge(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_result* r = NULL;
    char path[256];
    char* text = NULL;
    char written[8192];
    size_t length;
    FILE* file;
    char command[160];
    snprintf(command, sizeof command, "mkdir -p %s/var/lib/xen", world->directory);
    CHECK(system(command) == 0);
    INVALID(xlstore_bridge(s, 7, NULL, world->directory, NULL, NULL));
    OK(xlstore_bridge(s, XLSTORE_BRIDGE_WRITE, "domid:8", world->directory, NULL, NULL));
    OK(xlstore_find(s, "domid:8", &info));
    snprintf(path, sizeof path, "%s/var/lib/xen/userdata-d.8.%s.libxl-json", world->directory,
             info.uuid);
    file = fopen(path, "r");
    CHECK(file != NULL);
    if (!file) return;
    length = fread(written, 1, sizeof written, file);
    fclose(file);
    OK(xlstore_document(s, "domid:8", &text, NULL));
    /* libxl's ends in a NUL, which the file has, too. */
    CHECK(length == strlen(text) + 1 && memcmp(written, text, length) == 0);
    xlstore_string_free(text);
    OK(xlstore_bridge(s, XLSTORE_BRIDGE_STATUS, "domid:8", world->directory, NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"differences\":[]") != NULL);
    xlstore_result_free(r);
    OK(xlstore_bridge(s, XLSTORE_BRIDGE_SYNC, "domid:8", world->directory, NULL, NULL));
}

void check_bindings(struct world* world)
{
    check_bridge(world);
    check_structs();
    check_looks(world);
    check_rows(world);
    check_words(world);
    check_open_intent(world);
    check_try(world);
    check_errors(world);
    check_read_only(world);
    check_query_limits(world);
    check_dom0(world);
    check_changes(world);
}
