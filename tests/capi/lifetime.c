/* SPDX-License-Identifier: MIT
 *
 * Callbacks that call back in, operations that are given up at each state, stores that are closed
 * under what is at work on them, forked children, and several stores at once. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define PUT(devid) "{\"devid\":" #devid "}"

/* ---- Callbacks ---- */

struct chain {
    xlstore_store* store;
    xlstore_op* other; /* to be given up from within a callback */
    int calls;
    struct told next;
};

static void call_back_in(xlstore_result* result, void* userdata)
{
    struct chain* chain = userdata;
    char* text = NULL;
    ++chain->calls;
    CHECK(xlstore_result_status(result) == XLSTORE_OK);
    /* Everything is allowed: what looks, what waits, what starts, dispatch itself. */
    OK(xlstore_document(chain->store, "domid:8", &text, NULL));
    xlstore_string_free(text);
    OK(xlstore_put_thing(chain->store, "domid:8", "nics", PUT(21), 0, NULL, NULL));
    OK(xlstore_eject(chain->store, "domid:7", "hdc", NULL, NULL));
    OK(xlstore_dispatch(chain->store));
    OK(xlstore_remove_thing_start(chain->store, "domid:8", "nics", "21", 0, NULL, tell,
                                  &chain->next, NULL));
}

static void give_up_other(xlstore_result* result, void* userdata)
{
    struct chain* chain = userdata;
    (void)result;
    ++chain->calls;
    if (chain->other) xlstore_op_forget(chain->other);
    chain->other = NULL;
}

static void close_store(xlstore_result* result, void* userdata)
{
    struct chain* chain = userdata;
    ++chain->calls;
    xlstore_close(chain->store);
    chain->store = NULL;
    CHECK(xlstore_result_status(result) ==
          XLSTORE_OK); /* the result lasts as long as the callback */
}

static void check_calling_back_in(struct world* world)
{
    struct chain chain = {NULL, NULL, 0, TOLD_INIT};
    chain.store = world->store;
    OK(xlstore_put_thing_start(world->store, "domid:8", "nics", PUT(20), 0, NULL, call_back_in,
                               &chain, NULL));
    run_until_told(world->store, &chain.next);
    CHECK(chain.calls == 1 && chain.next.status == XLSTORE_OK);
    OK(xlstore_remove_thing(world->store, "domid:8", "nics", "20", 0, NULL, NULL));

    /* A call that waits lets others end meanwhile; their callbacks are left to dispatch. */
    {
        struct told t = TOLD_INIT;
        OK(xlstore_put_thing_start(world->store, "domid:8", "nics", PUT(20), 0, NULL, tell, &t,
                                   NULL));
        OK(xlstore_eject(world->store, "domid:7", "hdc", NULL, NULL));
        CHECK(t.calls == 0);
        run_until_told(world->store, &t);
        OK(xlstore_remove_thing(world->store, "domid:8", "nics", "20", 0, NULL, NULL));
    }
}

static int32_t take_number(int32_t columns, const char* const* names, const char* const* values,
                           void* userdata)
{
    (void)columns;
    (void)names;
    *(int64_t*)userdata = strtoll(values[0], NULL, 10);
    return XLSTORE_OK;
}

static void check_giving_up(struct world* world)
{
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    xlstore_op* op = NULL;
    xlstore_hold* hold = NULL;
    char* text = NULL;

    /* Before it began. Once more does nothing. */
    OK(xlstore_put_thing_start(s, "domid:8", "nics", PUT(30), 0, NULL, tell, &t, &op));
    xlstore_op_cancel(op);
    xlstore_op_cancel(op);
    CHECK(t.calls == 0);
    run_until_told(s, &t);
    CHECK(t.calls == 1 && t.status == XLSTORE_E_CANCELLED && t.intent == 0);
    STATUS(xlstore_thing(s, "domid:8", "nics", "30", &text, NULL), XLSTORE_E_NOT_FOUND);

    /* Forgotten: no word of it. */
    memset(&t, 0, sizeof t);
    OK(xlstore_put_thing_start(s, "domid:8", "nics", PUT(30), 0, NULL, tell, &t, &op));
    xlstore_op_forget(op);
    run_for_a_while(s);
    CHECK(t.calls == 0);
    STATUS(xlstore_thing(s, "domid:8", "nics", "30", &text, NULL), XLSTORE_E_NOT_FOUND);

    /* While it waits for the slow lock; nothing is left that would take it. */
    OK(xlstore_slow_lock(s, "domid:7", "test", NULL, &hold));
    OK(xlstore_eject_start(s, "domid:7", "hdc", NULL, tell, &t, &op));
    run_for_a_while(s);
    xlstore_op_cancel(op);
    xlstore_hold_release(hold);
    run_until_told(s, &t);
    CHECK(t.calls == 1 && t.status == XLSTORE_E_CANCELLED && t.intent == 0);
    OK(xlstore_slow_lock(s, "domid:7", "test", NULL, &hold));
    xlstore_hold_release(hold);

    /* In the middle, while its guest has no answer: the intent stays open. */
    OK(xlstore_attach(s, "domid:7", "usbctrls",
                      "{\"type\":\"devicemodel\",\"devid\":3,\"version\":2}", NULL, NULL));
    memset(&t, 0, sizeof t);
    OK(xlstore_detach_start(s, "domid:7", "usbctrls", "3", NULL, tell, &t, &op));
    {
        int64_t intent = 0;
        char* plan = NULL;
        while (intent == 0 && t.calls == 0) {
            struct pollfd wait;
            wait.fd = xlstore_fd(s);
            wait.events = POLLIN;
            poll(&wait, 1, 1000);
            OK(xlstore_dispatch(s));
            OK(xlstore_query(
                s, "SELECT intent FROM pending_intents WHERE class = 'usbctrls' AND key = '3'",
                NULL, 0, NULL, take_number, &intent));
        }
        CHECK(intent != 0 && t.calls == 0);
        if (t.calls == 0) xlstore_op_cancel(op);
        run_until_told(s, &t);
        CHECK(t.calls == 1 && t.status == XLSTORE_E_IN_DOUBT && t.intent == intent);
        CHECK(strstr(t.message, "cancelled") != NULL);
        OK(xlstore_intent_plan(s, intent, &plan)); /* of an open one */
        xlstore_string_free(plan);
    }

    /* Ended, and its callback still to come: its result stays what it is. */
    memset(&t, 0, sizeof t);
    OK(xlstore_put_thing_start(s, "domid:8", "nics", PUT(30), 0, NULL, tell, &t, &op));
    OK(xlstore_eject(s, "domid:7", "hdc", NULL, NULL)); /* a call that waits lets it end */
    xlstore_op_cancel(op);
    run_until_told(s, &t);
    CHECK(t.calls == 1 && t.status == XLSTORE_OK);
    OK(xlstore_remove_thing(s, "domid:8", "nics", "30", 0, NULL, NULL));

    /* The same, given up from another's callback. */
    {
        struct chain first = {NULL, NULL, 0, TOLD_INIT};
        struct chain second = {NULL, NULL, 0, TOLD_INIT};
        OK(xlstore_put_thing_start(s, "domid:8", "nics", PUT(31), 0, NULL, give_up_other, &first,
                                   &second.other));
        OK(xlstore_put_thing_start(s, "domid:8", "nics", PUT(32), 0, NULL, give_up_other, &second,
                                   &first.other));
        /* A call that waits lets both end. */
        OK(xlstore_eject(s, "domid:7", "hdc", NULL, NULL));
        run_for_a_while(s);
        CHECK(first.calls + second.calls == 1);
        OK(xlstore_remove_thing(s, "domid:8", "nics", "31", 0, NULL, NULL));
        OK(xlstore_remove_thing(s, "domid:8", "nics", "32", 0, NULL, NULL));
    }
}

/* What fails because a destruction came first says so, no matter which step failed: QEMU was killed
 * by this very process. */
static void check_destroyed_meanwhile(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_call soon = XLSTORE_CALL_INIT;
    struct told attach = TOLD_INIT;
    struct told closing = TOLD_INIT;
    struct told lock = TOLD_INIT;
    struct told end = TOLD_INIT;
    struct told registered = TOLD_INIT;
    soon.timeout_ms = 300;
    OK(xlstore_create(s, 12, document_of(12), qemu_command(), NULL, NULL));
    OK(xlstore_find(s, "domid:12", &info));
    CHECK(info.qemu_pid > 0); /* else it would stop this process and all beside it */
    if (info.qemu_pid <= 0) return;
    CHECK(kill((pid_t)info.qemu_pid, SIGSTOP) == 0); /* so that the first waits for an answer */
    OK(xlstore_eject_start(s, "domid:12", "hdc", NULL, tell, &attach, NULL));
    run_for_a_while(s);
    OK(xlstore_close_document_start(s, "domid:12", "test", NULL, tell, &closing, NULL));
    OK(xlstore_slow_lock_start(s, "domid:12", "test", NULL, tell, &lock, NULL));
    OK(xlstore_destroy_start(s, "domid:12", NULL, tell, &end, NULL));
    run_until_told(s, &end);
    CHECK(end.status == XLSTORE_OK);
    run_until_told(s, &attach);
    CHECK(attach.status == XLSTORE_E_GONE);
    run_until_told(s, &closing);
    CHECK(closing.status == XLSTORE_E_GONE);
    run_until_told(s, &lock);
    CHECK(lock.status == XLSTORE_E_GONE && !lock.hold);
    /* No process listens there, and it would be waited for. */
    OK(xlstore_import(s, 13, document_of(13), NULL, NULL));
    OK(xlstore_register_start(s, "domid:13", "/tmp/no-monitor-is-here", getpid(), 0, &soon, tell,
                              &registered, NULL));
    OK(xlstore_destroy(s, "domid:13", NULL, NULL));
    run_until_told(s, &registered);
    CHECK(registered.status == XLSTORE_E_GONE);
}

static void check_closing(struct world* world)
{
    struct told t = TOLD_INIT;
    struct chain chain = {NULL, NULL, 0, TOLD_INIT};
    xlstore_store* store = open_store(world);
    xlstore_hold* hold = NULL;
    xlstore_fast* fast = NULL;
    xlstore_result* result = NULL;
    xlstore_intention intention = XLSTORE_INTENTION_INIT;

    /* With everything under way: nothing comes any more, locks are given back, handles are told so.
     */
    OK(xlstore_slow_lock(store, "domid:7", "test", NULL, &hold));
    OK(xlstore_eject_start(store, "domid:7", "hdc", NULL, tell, &t, NULL));
    OK(xlstore_put_thing_start(store, "domid:8", "nics", PUT(40), 0, NULL, tell, &t, NULL));
    OK(xlstore_put_thing(store, "domid:8", "nics", PUT(41), 0, NULL, NULL));
    STATUS(xlstore_eject(store, "domid:8", "nosuch", NULL, &result), XLSTORE_E_NO_QEMU);
    OK(xlstore_fast_lock(store, "domid:8", "test", NULL, &fast));
    xlstore_close(store);
    CHECK(t.calls == 0);
    STATUS(xlstore_hold_check(hold), XLSTORE_E_ORDER);
    STATUS(xlstore_intend(hold, &intention, NULL, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_settle(hold, 1, XLSTORE_SEEN_AFTER, "x", NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_asked_start(hold, 1, "x", NULL, tell, &t, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_fast_put_thing(fast, "nics", PUT(42)), XLSTORE_E_ORDER);
    {
        char* text = NULL;
        STATUS(xlstore_fast_document(fast, &text), XLSTORE_E_ORDER);
        CHECK(!text);
    }
    OK(xlstore_dispatch(world->store)); /* this thread has no fast lock any more */
    OK(xlstore_remove_thing(world->store, "domid:8", "nics", "41", 0, NULL, NULL));
    CHECK(xlstore_result_status(result) == XLSTORE_E_NO_QEMU); /* it outlives the store */
    xlstore_result_free(result);
    xlstore_fast_release(fast);
    xlstore_hold_release(hold);
    OK(xlstore_slow_lock(world->store, "domid:7", "test", NULL, &hold));
    xlstore_hold_release(hold);

    /* From within a callback; the one beside it is not called any more. */
    chain.store = open_store(world);
    OK(xlstore_put_thing_start(chain.store, "domid:8", "nics", PUT(43), 0, NULL, close_store,
                               &chain, NULL));
    OK(xlstore_slow_lock_start(chain.store, "domid:7", "test", NULL, tell, &t, NULL));
    while (chain.store) {
        struct pollfd wait;
        wait.fd = xlstore_fd(chain.store);
        wait.events = POLLIN;
        poll(&wait, 1, 1000);
        OK(xlstore_dispatch(chain.store));
        if (t.calls) break;
    }
    if (t.hold) xlstore_hold_release(t.hold);
    if (chain.store) xlstore_close(chain.store);
    OK(xlstore_slow_lock(world->store, "domid:7", "test", NULL, &hold));
    xlstore_hold_release(hold);
    OK(xlstore_put_thing(world->store, "domid:8", "nics", PUT(43), 0, NULL, NULL));
    OK(xlstore_remove_thing(world->store, "domid:8", "nics", "43", 0, NULL, NULL));
}

static int lines;
static void* lines_userdata;
static void log_line(int32_t level, const char* line, void* userdata)
{
    CHECK(level >= XLSTORE_LOG_DEBUG && level <= XLSTORE_LOG_ERROR);
    CHECK(line[0] != '\0' && strchr(line, '\n') == NULL);
    lines_userdata = userdata;
    ++lines;
}

static void check_logging(struct world* world)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    options.log = log_line;
    options.log_userdata = world;
    options.log_least = 4;
    INVALID(xlstore_open(world->store_path, &options, &store));
    options.log_least = -1;
    INVALID(xlstore_open(world->store_path, &options, &store));
    options.log_least = XLSTORE_LOG_DEBUG;
    OK(xlstore_open(world->store_path, &options, &store));
    OK(xlstore_eject(store, "domid:7", "hdc", NULL, NULL));
    CHECK(lines > 0 && lines_userdata == world);
    xlstore_close(store);
}

void check_callbacks(struct world* world)
{
    check_calling_back_in(world);
    check_giving_up(world);
    check_destroyed_meanwhile(world);
    check_closing(world);
    check_logging(world);
}

/* ---- Processes and threads ---- */

/* What a child may do with what it was born with: nothing but free it. Nor may it begin anew: what
 * SQLite keeps of open files was copied, its locks were not. */
static int be_a_child(struct world* world, xlstore_hold* hold, xlstore_fast* fast)
{
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_intention intention = XLSTORE_INTENTION_INIT;
    xlstore_open_options looking = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* anew = NULL;
    char fresh[96];
    struct told t = TOLD_INIT;
    const int before = failures_so_far();
    STATUS(xlstore_dispatch(world->store), XLSTORE_E_ORDER);
    CHECK(xlstore_fd(world->store) == -1);
    STATUS(xlstore_find(world->store, "domid:7", &info), XLSTORE_E_ORDER);
    STATUS(xlstore_eject(world->store, "domid:7", "hdc", NULL, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_eject_start(world->store, "domid:7", "hdc", NULL, tell, &t, NULL),
           XLSTORE_E_ORDER);
    STATUS(xlstore_hold_check(hold), XLSTORE_E_ORDER);
    STATUS(xlstore_intend(hold, &intention, NULL, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_fast_put_thing(fast, "nics", PUT(50)), XLSTORE_E_ORDER);
    xlstore_fast_release(fast);
    xlstore_hold_release(hold);
    xlstore_close(world->store);
    STATUS(xlstore_open(world->store_path, NULL, &anew), XLSTORE_E_ORDER);
    looking.read_only = 1;
    STATUS(xlstore_open(world->store_path, &looking, &anew), XLSTORE_E_ORDER);
    snprintf(fresh, sizeof fresh, "%s/of-a-child", world->directory);
    STATUS(xlstore_init(fresh, NULL), XLSTORE_E_ORDER);
    CHECK(access(fresh, F_OK) != 0 && anew == NULL);
    return failures_so_far() - before;
}

static void check_fork(struct world* world)
{
    xlstore_hold* hold = NULL;
    xlstore_fast* fast = NULL;
    xlstore_call soon = XLSTORE_CALL_INIT;
    int status = -1;
    pid_t child;
    OK(xlstore_slow_lock(world->store, "domid:7", "parent", NULL, &hold));
    OK(xlstore_fast_lock(world->store, "domid:8", "parent", NULL, &fast));
    fflush(stdout);
    child = fork();
    if (child == 0) _exit(be_a_child(world, hold, fast) ? 1 : 0);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    /* The parent's are what they were. */
    OK(xlstore_fast_put_thing(fast, "nics", PUT(50)));
    OK(xlstore_fast_remove_thing(fast, "nics", "50"));
    xlstore_fast_release(fast);
    OK(xlstore_hold_check(hold));

    /* A child that outlives the handle keeps nothing alive. */
    {
        int start_barrier[2];
        char byte;
        CHECK(pipe(start_barrier) == 0);
        child = fork();
        if (child == 0) {
            close(start_barrier[1]);
            _exit(read(start_barrier[0], &byte, 1) == 0 ? 0 : 1);
        }
        close(start_barrier[0]);
        xlstore_hold_release(hold);
        soon.timeout_ms = 10000;
        OK(xlstore_slow_lock(world->store, "domid:7", "parent", &soon, &hold));
        xlstore_hold_release(hold);
        close(start_barrier[1]);
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
}

struct thread {
    pthread_t id;
    struct world* world;
    int number;
    int failed;
};

static void* work(void* given)
{
    struct thread* thread = given;
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    int i;
    thread->failed = xlstore_open(thread->world->store_path, &options, &store) != XLSTORE_OK;
    for (i = 0; i < 20 && !thread->failed; ++i) {
        char thing[64];
        char key[16];
        xlstore_error error = XLSTORE_ERROR_INIT;
        snprintf(key, sizeof key, "%d", 100 + thread->number);
        snprintf(thing, sizeof thing, "{\"devid\":%s,\"model\":\"m%d\"}", key, i);
        thread->failed |=
            xlstore_put_thing(store, "domid:8", "nics", thing, 0, NULL, NULL) != XLSTORE_OK;
        /* The last error is this thread's own. */
        thread->failed |=
            xlstore_find(store, thread->number ? "domid:90" : "domid:91", NULL) == XLSTORE_OK;
        xlstore_last_error(&error);
        thread->failed |= strstr(error.message, thread->number ? "domid:90" : "domid:91") == NULL;
        thread->failed |=
            xlstore_remove_thing(store, "domid:8", "nics", key, 0, NULL, NULL) != XLSTORE_OK;
        if (i == 10)
            thread->failed |= xlstore_eject(store, "domid:7", "hdc", NULL, NULL) != XLSTORE_OK;
    }
    xlstore_close(store);
    return NULL;
}

static void check_threads(struct world* world)
{
    struct thread threads[2];
    int i;
    for (i = 0; i < 2; ++i) {
        threads[i].world = world;
        threads[i].number = i;
        CHECK(pthread_create(&threads[i].id, NULL, work, &threads[i]) == 0);
    }
    for (i = 0; i < 2; ++i) {
        pthread_join(threads[i].id, NULL);
        CHECK(!threads[i].failed);
    }
}

void check_processes(struct world* world)
{
    struct told t = TOLD_INIT;
    xlstore_store* const first = open_store(world);
    xlstore_store* const second = open_store(world);
    /* Two handles of one store: each has its own callbacks, and they exclude each other. */
    CHECK(xlstore_fd(first) != xlstore_fd(second));
    OK(xlstore_put_thing_start(first, "domid:8", "nics", PUT(60), 0, NULL, tell, &t, NULL));
    run_for_a_while(second);
    CHECK(t.calls == 0);
    run_until_told(first, &t);
    OK(xlstore_remove_thing(second, "domid:8", "nics", "60", 0, NULL, NULL));
    xlstore_close(first);
    xlstore_close(second);
    check_threads(world);
    check_fork(world);
}
