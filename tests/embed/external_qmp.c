/* SPDX-License-Identifier: MIT
 *
 * Level two: a toolstack that talks to QEMU itself, as libxl does, and lets the store keep the
 * intents. It gives a domain a USB controller, or takes it away.
 *
 *   external_qmp STORE DOMAIN add|remove      e.g.  external_qmp /var/lib/xlstore domid:7 add
 *
 * The order is all there is to it:
 *   slow lock -> connect, barrier -> look -> intend -> send -> look -> settle -> hang up -> release
 *
 * A controller is a PCI device: device_del only asks the guest. One that does not let go leaves the
 * removal in doubt, and so does a QEMU that falls silent. Run it again later: it takes over the
 * intent that was left open. Or leave that to recovery.
 *
 * The QMP client is as small as it can be: what QEMU answers is searched as text. A real one parses
 * it. Exit status: 0 done, 1 not done, 2 usage, 3 in doubt.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <xlstore/xlstore.h>

#define THING "{\"type\": \"devicemodel\", \"devid\": 1, \"version\": 2, \"ports\": 6}"
#define KEY "1"
#define ADD \
    "{\"execute\": \"device_add\", \"arguments\": {\"driver\": \"usb-ehci\", \"id\": \"xenusb-1\"}}"
#define REMOVE "{\"execute\": \"device_del\", \"arguments\": {\"id\": \"xenusb-1\"}}"
#define LOOK "{\"execute\": \"qom-list\", \"arguments\": {\"path\": \"/machine/peripheral\"}}"
#define PLAN(command) "{\"steps\": [" command "]}"

enum { SILENCE_SECONDS = 5, GUEST_LOOKS = 30 };

/* ---- A QMP client ------------------------------------------------------------------------------
 */

struct qmp {
    int fd;
    FILE* in;
    unsigned commands;
    char line[1 << 16]; /* the last answer */
};

/* Sends one command and waits for its answer; events and what a dead client was owed are passed
 * over. 0: none came, or QEMU is gone. */
static int ask(struct qmp* qmp, const char* command)
{
    char id[64]; /* no other process may use it: a dead client's answer can reach the next */
    char text[512];
    int size;
    snprintf(id, sizeof id, "\"id\": \"own-%ld-%ld-%u\"", (long)getpid(), (long)time(NULL),
             ++qmp->commands);
    size = snprintf(text, sizeof text, "%.*s, %s}\n", (int)strlen(command) - 1, command, id);
    if (send(qmp->fd, text, (size_t)size, MSG_NOSIGNAL) != size) return 0;
    while (fgets(qmp->line, sizeof qmp->line, qmp->in))
        if (strstr(qmp->line, id)) return 1;
    return 0;
}

/* Connects; and the barrier: what a dead client left has run once this has been answered. */
static int connect_qmp(struct qmp* qmp, const char* path)
{
    const struct timeval patience = {SILENCE_SECONDS, 0};
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (qmp->fd < 0) return 0;
    setsockopt(qmp->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(qmp->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(qmp->fd, (struct sockaddr*)&address, sizeof address) != 0) return 0;
    qmp->in = fdopen(qmp->fd, "r");
    return qmp->in && ask(qmp, "{\"execute\": \"qmp_capabilities\"}");
}

static void hang_up(struct qmp* qmp)
{
    if (qmp->in)
        fclose(qmp->in);
    else if (qmp->fd >= 0)
        close(qmp->fd);
}

/* Which image of the thing QEMU has, for an operation that adds or removes it. */
static int32_t probe(struct qmp* qmp, int32_t operation)
{
    if (!ask(qmp, LOOK) || !strstr(qmp->line, "\"return\"")) return XLSTORE_SEEN_NOTHING;
    return (strstr(qmp->line, "\"xenusb-1\"") != NULL) == (operation == XLSTORE_ADD)
               ? XLSTORE_SEEN_AFTER
               : XLSTORE_SEEN_BEFORE;
}

/* ---- The operation -----------------------------------------------------------------------------
 */

static int32_t failed(int32_t status)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    fprintf(stderr, "external_qmp: %s\n", error.message);
    if (error.advice[0]) fprintf(stderr, "external_qmp: %s\n", error.advice);
    return status;
}

/* An intent is open on this thing: its client died, or was left in doubt. One of the same operation
 * is carried on with; another is settled by what is seen, to make room for ours. */
static int32_t take_over(xlstore_store* store, xlstore_hold* hold, struct qmp* qmp,
                         const xlstore_intention* ours, int64_t earlier, int64_t* intent)
{
    char* plan = NULL;
    int32_t operation;
    int32_t status = xlstore_intent_plan(store, earlier, &plan);
    if (status != XLSTORE_OK) return status;
    operation = strstr(plan, "\"operation\":\"add\"") ? XLSTORE_ADD : XLSTORE_REMOVE;
    xlstore_string_free(plan);
    fprintf(stderr, "external_qmp: intent %lld is taken over\n", (long long)earlier);
    if (operation == ours->operation) {
        *intent = earlier;
        return XLSTORE_OK;
    }
    status =
        xlstore_settle(hold, earlier, probe(qmp, operation), "qom-list, after the barrier", NULL);
    return status == XLSTORE_OK ? xlstore_intend(hold, ours, NULL, intent) : status;
}

/* The intent is open. Nothing was sent before; what is sent now, recovery knows of. */
static int32_t carry_out(xlstore_hold* hold, struct qmp* qmp, int64_t intent, int32_t operation,
                         int32_t seen)
{
    const struct timespec pause = {0, 100 * 1000 * 1000};
    char evidence[256] = "qom-list, before anything was sent";
    int looks;
    if (seen == XLSTORE_SEEN_BEFORE) {
        const int answered = ask(qmp, operation == XLSTORE_ADD ? ADD : REMOVE);
        const int refused = answered && strstr(qmp->line, "\"error\"");
        snprintf(evidence, sizeof evidence, "%s%.200s", answered ? "QEMU: " : "QEMU is silent",
                 answered ? qmp->line : "");
        evidence[strcspn(evidence, "\r\n")] = '\0';
        seen = answered ? probe(qmp, operation) : XLSTORE_SEEN_NOTHING;
        if (operation == XLSTORE_REMOVE && seen == XLSTORE_SEEN_BEFORE && !refused) {
            /* Only asked. It is written down, so that everybody knows what is waited for. */
            const int32_t status = xlstore_asked(hold, intent, "device_del was accepted", NULL);
            if (status != XLSTORE_OK) return status;
            for (looks = 0; looks < GUEST_LOOKS && seen == XLSTORE_SEEN_BEFORE; ++looks) {
                nanosleep(&pause, NULL);
                seen = probe(qmp, operation);
            }
            if (seen == XLSTORE_SEEN_BEFORE) { /* the guest may let go at any time from now on */
                snprintf(evidence, sizeof evidence, "asked, and the guest still has it");
                seen = XLSTORE_SEEN_NOTHING;
            }
        }
    }
    /* Three outcomes: done, not done, and in doubt, which leaves the intent open. */
    {
        const int32_t status = xlstore_settle(hold, intent, seen, evidence, NULL);
        if (status != XLSTORE_OK || seen == XLSTORE_SEEN_AFTER) return status;
    }
    fprintf(stderr, "external_qmp: not done: %s\n", evidence);
    return XLSTORE_E_REFUSED;
}

/* Under the slow lock, connected. */
static int32_t intend_and_do(xlstore_store* store, xlstore_hold* hold, struct qmp* qmp,
                             const char* monitor, int32_t operation)
{
    xlstore_intention ours = XLSTORE_INTENTION_INIT;
    xlstore_error error = XLSTORE_ERROR_INIT;
    int64_t intent = 0;
    int32_t status;
    ours.operation = operation;
    ours.device_class = "usbctrls";
    ours.key = operation == XLSTORE_ADD ? NULL : KEY;
    ours.json = operation == XLSTORE_ADD ? THING : NULL;
    ours.plan = operation == XLSTORE_ADD ? PLAN(ADD) : PLAN(REMOVE);
    ours.monitor_path = monitor;
    ours.monitor_fd = qmp->fd;
    ours.seen = probe(qmp, operation);
    status = xlstore_intend(hold, &ours, NULL, &intent);
    if (status == XLSTORE_E_EXISTS && xlstore_last_error(&error) == XLSTORE_OK && error.intent)
        status = take_over(store, hold, qmp, &ours, error.intent, &intent);
    if (status != XLSTORE_OK) return failed(status);
    status = carry_out(hold, qmp, intent, operation, ours.seen);
    if (status != XLSTORE_OK && status != XLSTORE_E_REFUSED) failed(status);
    return status;
}

static int32_t copy_path(int32_t columns, const char* const* names, const char* const* values,
                         void* userdata)
{
    (void)columns;
    (void)names;
    if (values[0]) snprintf(userdata, sizeof((struct sockaddr_un*)0)->sun_path, "%s", values[0]);
    return XLSTORE_OK;
}

static int32_t change_domain(xlstore_store* store, const char* domain, int32_t operation)
{
    static struct qmp qmp = {-1, NULL, 0, ""};
    char monitor[sizeof((struct sockaddr_un*)0)->sun_path] = "";
    char incarnation[24];
    const char* parameters[1];
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_hold* hold = NULL;
    int32_t status;

    status = xlstore_slow_lock(store, domain, "external_qmp", NULL, &hold);
    if (status == XLSTORE_OK) status = xlstore_find(store, domain, &info);
    if (status == XLSTORE_OK) {
        snprintf(incarnation, sizeof incarnation, "%lld", (long long)info.id);
        parameters[0] = incarnation;
        status = xlstore_query(store, "SELECT monitor_path FROM domains WHERE incarnation = ?1",
                               parameters, 1, NULL, copy_path, monitor);
    }
    if (status != XLSTORE_OK) {
        failed(status);
    } else if (!connect_qmp(&qmp, monitor)) {
        fprintf(stderr, "external_qmp: no QEMU answers at %s; nothing was changed\n", monitor);
        status = XLSTORE_E_PROTOCOL;
    } else {
        status = intend_and_do(store, hold, &qmp, monitor, operation);
    }
    hang_up(&qmp); /* not before the settle has returned: no other client was to look in between */
    xlstore_hold_release(hold);
    return status;
}

int main(int argc, char** argv)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    int32_t status;

    if (argc != 4 || (strcmp(argv[3], "add") != 0 && strcmp(argv[3], "remove") != 0)) {
        fprintf(stderr, "usage: external_qmp STORE DOMAIN add|remove\n");
        return 2;
    }
    options.program = "external_qmp";
    status = xlstore_open(argv[1], &options, &store);
    if (status != XLSTORE_OK)
        failed(status);
    else
        status = change_domain(store, argv[2], argv[3][0] == 'a' ? XLSTORE_ADD : XLSTORE_REMOVE);
    xlstore_close(store);
    if (status == XLSTORE_OK) puts("done");
    return status == XLSTORE_OK ? 0 : status == XLSTORE_E_IN_DOUBT ? 3 : 1;
}
