/* SPDX-License-Identifier: MIT
 *
 * Level two, and breaking a lock. Nothing is sent to QEMU here: what was "seen" is said as each
 * case wants it (tests/embed/external_qmp.c is the real thing). */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

#define THING(key)                                                                              \
    "{\"key\":\"" key "\",\"steps\":[{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"" key \
    "\","                                                                                       \
    "\"backend\":{\"type\":\"null\",\"data\":{}}}}]}"

static char monitor[128];

static int32_t take_monitor(int32_t columns, const char* const* names, const char* const* values,
                            void* userdata)
{
    (void)columns;
    (void)names;
    (void)userdata;
    snprintf(monitor, sizeof monitor, "%s", values[0]);
    return XLSTORE_OK;
}

static int connect_monitor(void)
{
    struct sockaddr_un address;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, monitor, strlen(monitor) + 1);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr*)&address, sizeof address) == 0);
    return fd;
}

static xlstore_intention intention_to_add(const char* thing)
{
    xlstore_intention intention = XLSTORE_INTENTION_INIT;
    intention.operation = XLSTORE_ADD;
    intention.device_class = "qemu";
    intention.json = thing;
    intention.monitor_path = monitor;
    intention.seen = XLSTORE_SEEN_BEFORE;
    return intention;
}

static void check_bad_intentions(xlstore_hold* hold)
{
    xlstore_intention i = intention_to_add(THING("x"));
    struct told t = TOLD_INIT;
    int64_t number = -5;
    int pair[2];
    INVALID(xlstore_intend(hold, NULL, NULL, &number));
    INVALID(xlstore_intend_start(hold, NULL, NULL, tell, &t, NULL));
    INVALID(xlstore_intend_start(hold, &i, NULL, NULL, &t, NULL));
    i.struct_size = 4;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add(THING("x"));
    i.operation = 0;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i.operation = 4;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add(THING("x"));
    i.seen = 4;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i.seen = -1;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i.seen = XLSTORE_SEEN_NOTHING;
    STATUS(xlstore_intend(hold, &i, NULL, &number), XLSTORE_E_IN_DOUBT);
    i.seen = XLSTORE_SEEN_AFTER;
    STATUS(xlstore_intend(hold, &i, NULL, &number), XLSTORE_E_EXISTS);
    i = intention_to_add(THING("x"));
    i.device_class = NULL;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i.device_class = "nosuch";
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add(NULL);
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add("{");
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add(THING("x"));
    i.key = "x";
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add(THING("x"));
    i.plan = "{\"steps\":3}";
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i = intention_to_add(THING("x"));
    i.monitor_path = NULL;
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    i.monitor_path = "/dev/null";
    STATUS(xlstore_intend(hold, &i, NULL, &number), XLSTORE_E_REFUSED);
    i = intention_to_add(THING("x"));
    i.monitor_fd = 1000000; /* none */
    STATUS(xlstore_intend(hold, &i, NULL, &number), XLSTORE_E_REFUSED);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    i.monitor_fd = pair[0]; /* leads to ourselves */
    STATUS(xlstore_intend(hold, &i, NULL, &number), XLSTORE_E_REFUSED);
    close(pair[0]);
    close(pair[1]);
    i = intention_to_add(NULL);
    i.operation = XLSTORE_REMOVE;
    INVALID(xlstore_intend(hold, &i, NULL, &number)); /* no key */
    i.key = "nosuch";
    STATUS(xlstore_intend(hold, &i, NULL, &number), XLSTORE_E_NOT_FOUND);
    i.json = "{}";
    INVALID(xlstore_intend(hold, &i, NULL, &number));
    CHECK(number == -5);
}

/* Of "own2" the last that was settled is told, with its entry's state (NULL: it has none); above the
 * line that is told with it there is nothing. */
static void check_settled_since(xlstore_store* s, int64_t intent, const char* state)
{
    char *text = NULL, *later = NULL, member[80];
    const char* own;
    OK(xlstore_settled_since(s, "domid:7", 0, &text));
    own = strstr(text, "\"class\":\"qemu\",\"key\":\"own2\"");
    CHECK(own && !strstr(own + 1, "\"class\":\"qemu\",\"key\":\"own2\""));
    snprintf(member, sizeof member, "\"intent\":%lld,", (long long)intent);
    CHECK(strstr(text, member) != NULL);
    snprintf(member, sizeof member, state ? "\"state\":\"%s\"" : "\"state\":%s",
             state ? state : "null");
    CHECK(own && strstr(own, member) != NULL);
    OK(xlstore_settled_since(s, "domid:7", atoll(text + strlen("[{\"line\":")), &later));
    CHECK(strstr(later, "\"settled\":[]") != NULL);
    xlstore_string_free(text);
    xlstore_string_free(later);
}

static void check_settling(struct world* world, xlstore_hold* hold)
{
    xlstore_store* const s = world->store;
    xlstore_intention i = intention_to_add(THING("own"));
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_call where = XLSTORE_CALL_INIT;
    struct told t = TOLD_INIT;
    int64_t number = 0;
    int64_t other = 0;
    char* text = NULL;

    i.monitor_fd = connect_monitor();
    OK(xlstore_intend(hold, &i, NULL, &number));
    CHECK(number > 0);
    STATUS(xlstore_intend(hold, &i, NULL, &other), XLSTORE_E_EXISTS);
    CHECK(xlstore_last_error(&error) == XLSTORE_OK && error.intent == number && other == 0);
    OK(xlstore_intent_plan(s, number, &text));
    CHECK(strstr(text, "\"operation\":\"add\"") != NULL && strstr(text, "chardev-add") != NULL);
    xlstore_string_free(text);

    INVALID(xlstore_settle(hold, number, 4, "x", NULL));
    INVALID(xlstore_settle(hold, number, -1, "x", NULL));
    INVALID(xlstore_settle(hold, number, XLSTORE_SEEN_BEFORE, NULL, NULL));
    INVALID(
        xlstore_settle(hold, number, XLSTORE_SEEN_NEITHER, "x", NULL)); /* of an add: cannot be */
    INVALID(xlstore_settle_start(hold, number, XLSTORE_SEEN_BEFORE, "x", NULL, NULL, &t, NULL));
    INVALID(xlstore_asked(hold, number, NULL, NULL));
    STATUS(xlstore_settle(hold, 999, XLSTORE_SEEN_BEFORE, "x", NULL), XLSTORE_E_NOT_FOUND);
    STATUS(xlstore_settle(hold, number, XLSTORE_SEEN_NOTHING, "no answer", NULL),
           XLSTORE_E_IN_DOUBT);
    CHECK(xlstore_last_error(&error) == XLSTORE_OK && error.intent == number);
    OK(xlstore_asked(hold, number, "asked", NULL));
    OK(xlstore_asked_start(hold, number, "asked", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK && t.intent == number);

    /* R12: what was seen over a connection that is gone does not count. */
    close(i.monitor_fd);
    STATUS(xlstore_settle(hold, number, XLSTORE_SEEN_BEFORE, "gone", NULL), XLSTORE_E_REFUSED);
    {
        const int fd = connect_monitor();
        if (fd == i.monitor_fd) /* the same number, another connection */
            STATUS(xlstore_settle(hold, number, XLSTORE_SEEN_BEFORE, "other", NULL),
                   XLSTORE_E_REFUSED);
        close(fd);
    }
    OK(xlstore_hold_check(hold));
    OK(xlstore_intent_plan(s, number, &text)); /* it is open still */
    xlstore_string_free(text);

    memset(&t, 0, sizeof t);
    i = intention_to_add(THING("own2"));
    OK(xlstore_intend_start(hold, &i, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK && t.intent > number);
    number = t.intent;
    memset(&t, 0, sizeof t);
    where.places = "[]";
    INVALID(xlstore_settle(hold, number, XLSTORE_SEEN_AFTER, "seen", &where));
    where.places = "{\"own2\":{\"filename\":\"/x\"}}";
    INVALID(xlstore_settle(hold, number, XLSTORE_SEEN_AFTER, "seen", &where));
    where.places = "{\"own2\": {\"port\": \"1\"}}";
    OK(xlstore_settle_start(hold, number, XLSTORE_SEEN_AFTER, "seen", &where, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    OK(xlstore_query_json(s, "SELECT address FROM thing WHERE key = 'own2'", NULL, 0, NULL, &text));
    CHECK(strstr(text, "{\\\"own2\\\":{\\\"port\\\":\\\"1\\\"}}") != NULL);
    xlstore_string_free(text);
    STATUS(xlstore_settle(hold, number, XLSTORE_SEEN_AFTER, "seen", NULL), XLSTORE_E_NOT_FOUND);
    check_settled_since(s, number, "present");

    /* A stale entry does no harm: seen absent, it may go without a step. */
    i = intention_to_add(NULL);
    i.operation = XLSTORE_REMOVE;
    i.key = "own2";
    i.seen = XLSTORE_SEEN_AFTER;
    OK(xlstore_intend(hold, &i, NULL, &number));
    OK(xlstore_settle(hold, number, XLSTORE_SEEN_AFTER, "never was", NULL));
    check_settled_since(s, number, NULL);
}

static void check_changing(xlstore_hold* hold, const char* image)
{
    xlstore_intention i = XLSTORE_INTENTION_INIT;
    int64_t number = 0;
    char json[256];
    snprintf(
        json, sizeof json,
        "{\"pdev_path\":\"%s\",\"vdev\":\"hdc\",\"format\":\"raw\",\"removable\":1,\"is_cdrom\":1}",
        image);
    i.operation = XLSTORE_CHANGE;
    i.device_class = "disks";
    i.key = "hdc";
    i.json = json;
    i.monitor_path = monitor;
    i.seen = XLSTORE_SEEN_BEFORE;
    OK(xlstore_intend(hold, &i, NULL, &number));
    OK(xlstore_settle(hold, number, XLSTORE_SEEN_BEFORE, "nothing was sent", NULL));
    OK(xlstore_intend(hold, &i, NULL, &number));
    OK(xlstore_settle(hold, number, XLSTORE_SEEN_NEITHER, "the drive is empty", NULL));
}

/* The store looks. The other toolstack does nothing here (tests/integration/external_looks_test.cc). */
static void check_looks(struct world* world, xlstore_hold* hold)
{
    xlstore_store* const s = world->store;
    xlstore_intention i = intention_to_add(THING("seen"));
    xlstore_carried_out done = XLSTORE_CARRIED_OUT_INIT;
    xlstore_result* r = NULL;
    int64_t number = 0;
    INVALID(xlstore_look_and_intend(NULL, &i, 1, NULL, &number));
    INVALID(xlstore_look_and_intend(hold, NULL, 1, NULL, &number));
    INVALID(xlstore_look_and_intend(hold, &i, 0, NULL, &number));
    INVALID(xlstore_look_and_intend(hold, &i, 1, NULL, NULL));
    i.operation = 7;
    INVALID(xlstore_look_and_intend(hold, &i, 1, NULL, &number));
    i = intention_to_add(NULL);
    INVALID(xlstore_look_and_intend(hold, &i, 1, NULL, &number));
    i = intention_to_add(THING("seen"));
    OK(xlstore_look_and_intend(hold, &i, 1, NULL, &number));
    INVALID(xlstore_look_and_settle(hold, NULL, 1, NULL));
    INVALID(xlstore_look_and_settle(hold, &done, 0, NULL));
    INVALID(xlstore_look_and_settle(hold, &done, 1, NULL)); /* no evidence */
    done.evidence = "nothing was sent";
    STATUS(xlstore_look_and_settle(hold, &done, 1, NULL), XLSTORE_E_NOT_FOUND);
    done.intent = number;
    INVALID(xlstore_look_and_settle(NULL, &done, 1, NULL));
    OK(xlstore_look_and_settle(hold, &done, 1, NULL));
    CHECK(done.seen == XLSTORE_SEEN_BEFORE);
    INVALID(xlstore_follow(NULL, NULL, NULL, NULL));
    INVALID(xlstore_follow(hold, "{", NULL, NULL));
    INVALID(xlstore_follow(hold, document_of(8), NULL, NULL)); /* another domain's */
    OK(xlstore_follow(hold, NULL, NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"adopted\"") != NULL);
    xlstore_result_free(r);
    OK(xlstore_hold_check(hold)); /* it came back each time */

    INVALID(xlstore_adopt(NULL, 9, document_of(9), NULL, NULL, NULL));
    INVALID(xlstore_adopt(s, 9, NULL, NULL, NULL, NULL));
    INVALID(xlstore_adopt(s, 9, "[]", NULL, NULL, NULL));
    INVALID(xlstore_adopt(s, 9, document_of(9), "", NULL, NULL));
    OK(xlstore_adopt(s, 9, document_of(9), NULL, NULL, NULL));
    OK(xlstore_adopt(s, 9, document_of(9), NULL, NULL, NULL));
    INVALID(xlstore_mark_destroying(NULL, "domid:9", NULL, NULL));
    STATUS(xlstore_mark_destroying(s, "domid:99", NULL, NULL), XLSTORE_E_NOT_FOUND);
    OK(xlstore_mark_destroying(s, "domid:9", NULL, NULL));
    OK(xlstore_destroy(s, "domid:9", NULL, NULL));
}

static void ends(xlstore_store* store, struct told* told, int32_t status)
{
    run_until_told(store, told);
    CHECK(told->status == status);
    memset(told, 0, sizeof *told);
}

/* The same, in the forms that return at once. */
static void check_looks_started(struct world* world, xlstore_hold* hold)
{
    xlstore_store* const s = world->store;
    xlstore_intention i = intention_to_add(THING("later"));
    xlstore_carried_out done = XLSTORE_CARRIED_OUT_INIT;
    struct told t = TOLD_INIT;
    int64_t number = 0;
    INVALID(xlstore_follow_start(hold, NULL, NULL, NULL, &t, NULL));
    INVALID(xlstore_follow_start(NULL, NULL, NULL, tell, &t, NULL));
    OK(xlstore_follow_start(hold, NULL, NULL, tell, &t, NULL));
    ends(s, &t, XLSTORE_OK);
    INVALID(xlstore_look_and_intend_start(hold, NULL, 1, NULL, &number, tell, &t, NULL));
    OK(xlstore_look_and_intend_start(hold, &i, 1, NULL, &number, tell, &t, NULL));
    ends(s, &t, XLSTORE_OK);
    CHECK(number > 0);
    done.intent = number;
    INVALID(xlstore_look_and_settle_start(hold, &done, 1, NULL, tell, &t, NULL)); /* no evidence */
    done.evidence = "nothing was sent";
    OK(xlstore_look_and_settle_start(hold, &done, 1, NULL, tell, &t, NULL));
    ends(s, &t, XLSTORE_OK);
    CHECK(done.seen == XLSTORE_SEEN_BEFORE);
    OK(xlstore_hold_check(hold)); /* it came back each time */

    INVALID(xlstore_adopt_start(s, 10, NULL, NULL, NULL, tell, &t, NULL));
    OK(xlstore_adopt_start(s, 10, document_of(10), NULL, NULL, tell, &t, NULL));
    ends(s, &t, XLSTORE_OK);
    STATUS(xlstore_mark_destroying_start(s, "domid:99", NULL, tell, &t, NULL), XLSTORE_E_NOT_FOUND);
    OK(xlstore_mark_destroying_start(s, "domid:10", NULL, tell, &t, NULL));
    ends(s, &t, XLSTORE_OK);
    OK(xlstore_destroy(s, "domid:10", NULL, NULL));
}

static void check_locking(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_store* const other = open_store(world);
    xlstore_call soon = XLSTORE_CALL_INIT;
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_result* r = NULL;
    xlstore_hold* hold = NULL;
    xlstore_hold* second = NULL;
    xlstore_intention i = intention_to_add(THING("lost"));
    struct told t = TOLD_INIT;

    soon.timeout_ms = 200;
    OK(xlstore_slow_lock(s, "domid:7", "first", NULL, &hold));
    STATUS(xlstore_slow_lock(s, "domid:7", "second", &soon, &second), XLSTORE_E_TIMEOUT);
    STATUS(xlstore_slow_lock(other, "domid:7", "second", &soon, &second), XLSTORE_E_TIMEOUT);
    CHECK(xlstore_last_error(&error) == XLSTORE_OK && strstr(error.message, "first") != NULL);
    OK(xlstore_slow_lock_start(other, "domid:7", "third", NULL, tell, &t, NULL));
    run_for_a_while(other);
    CHECK(t.calls == 0);
    xlstore_hold_release(hold);
    run_until_told(other, &t);
    CHECK(t.status == XLSTORE_OK && t.hold != NULL);

    /* Broken by force: its holder finds out at its next commit (R15). */
    CHECK(xlstore_break_lock(s, "domid:7", 0, &soon, NULL) != XLSTORE_OK); /* its claimant lives */
    OK(xlstore_hold_check(t.hold));
    OK(xlstore_break_lock(s, "domid:7", XLSTORE_FORCE, NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"broken\":true") != NULL);
    xlstore_result_free(r);
    STATUS(xlstore_hold_check(t.hold), XLSTORE_E_LOST);
    STATUS(xlstore_intend(t.hold, &i, NULL, NULL), XLSTORE_E_LOST);
    xlstore_hold_release(t.hold);
    OK(xlstore_break_lock(s, "domid:7", 0, NULL, NULL)); /* nothing to break */

    /* The context lock is below it, and the blocking form would wait above. */
    OK(xlstore_context_enter());
    STATUS(xlstore_slow_lock(s, "domid:7", "test", NULL, &second), XLSTORE_E_ORDER);
    OK(xlstore_context_leave());
    CHECK(!second);
    xlstore_close(other);
}

void check_external_qmp(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_hold* hold = NULL;
    OK(xlstore_query(s, "SELECT monitor_path FROM domains WHERE domid = 7", NULL, 0, NULL,
                     take_monitor, NULL));
    OK(xlstore_slow_lock(s, "domid:7", "test", NULL, &hold));
    if (!hold) give_up("the slow lock");
    OK(xlstore_hold_check(hold));
    check_bad_intentions(hold);
    check_settling(world, hold);
    check_changing(hold, world->image);
    check_looks(world, hold);
    check_looks_started(world, hold);
    xlstore_hold_release(hold);
    check_locking(world);

    /* A domain without QEMU has no monitor. */
    {
        xlstore_intention i = intention_to_add(THING("x"));
        OK(xlstore_slow_lock(s, "domid:8", "test", NULL, &hold));
        STATUS(xlstore_intend(hold, &i, NULL, NULL), XLSTORE_E_NO_QEMU);
        xlstore_hold_release(hold);
    }
}
