/* SPDX-License-Identifier: MIT
 *
 * A small toolstack, complete: it recovers what a predecessor left, is told of every change of the
 * store, attaches a thing, changes its mind about another one, and takes the first out again. All of
 * it in one loop, that waits for one descriptor.
 *
 *   toolstack STORE DOMAIN
 *
 * Status: 0 all was done; 1 not done; 3 in doubt. */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <xlstore/recovery.h>
#include <xlstore/xlstore.h>

#define MOUSE "{\"ctrl\":0,\"port\":5,\"type.emulated\":{\"driver\":\"usb-mouse\"}}"

/* What is to be done next; each step begins when the one before has ended. */
enum step { RECOVER, ATTACH, CHANGE_MIND, DETACH, WATCH, END };

struct toolstack {
    xlstore_store* store;
    const char* domain;
    int64_t incarnation; /* a domid is used again, this number never */
    enum step step;
    xlstore_op* op;      /* the operation under way; NULL: none */
    int outcome;         /* the exit status, so far */
    int attached;        /* changes that the store told of */
    int detached;
};

/* A thing of class qemu says itself what QEMU is to be told; what takes it out follows from that. */
static const char device[] =
    "{\"key\":\"clock\",\"steps\":[{\"execute\":\"object-add\",\"arguments\":"
    "{\"qom-type\":\"rng-builtin\",\"id\":\"clock\"}}]}";

/* Nothing is changed by a call that failed before it started. */
static int refused(struct toolstack* it, const char* what)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_store_error(it->store, &error);
    fprintf(stderr, "toolstack: %s: %s: %s\ntoolstack: %s\n", what,
            xlstore_status_name(error.status), error.message, error.advice);
    it->outcome = 1;
    it->step = END;
    return 0;
}

/* One committed change, of this process or of another. */
static void changed(const xlstore_change* change, void* userdata)
{
    struct toolstack* it = userdata;
    printf("change %lld: domain %d: %s %s/%s: %s\n", (long long)change->line, (int)change->domid,
           change->operation, change->device_class ? change->device_class : "-",
           change->key ? change->key : "-", change->outcome);
    if (change->id != it->incarnation || !change->key || strcmp(change->key, "clock") != 0) return;
    if (strcmp(change->outcome, "done") != 0) return;
    if (strcmp(change->operation, "add") == 0) ++it->attached;
    if (strcmp(change->operation, "remove") == 0) ++it->detached;
}

/* What recovery has found, and what it did about it. */
static void found(const xlstore_finding* finding, void* userdata)
{
    (void)userdata;
    printf("recovery: %s: %s\n", finding->subject, finding->message);
}

/* The end of an operation: done, not done, or in doubt. Never two. */
static void ended(xlstore_result* result, void* userdata)
{
    struct toolstack* it = userdata;
    const int32_t status = xlstore_result_status(result);
    it->op = NULL; /* it ends with its callback */
    printf("%s: %s\n", xlstore_status_name(status), xlstore_result_message(result));
    if (it->step == CHANGE_MIND && status == XLSTORE_E_CANCELLED) {
        it->step = DETACH; /* before anything was changed, as it was meant */
    } else if (status == XLSTORE_OK) {
        it->step = (enum step)(it->step + 1);
    } else if (it->step == RECOVER) {
        it->step = ATTACH; /* what could not be settled hinders no other thing */
    } else {
        const int doubt = status == XLSTORE_E_IN_DOUBT || status == XLSTORE_E_UNFINISHED;
        fprintf(stderr, "toolstack: %s\n", xlstore_result_advice(result));
        if (doubt) fprintf(stderr, "toolstack: intent %lld\n", (long long)xlstore_result_intent(result));
        it->outcome = doubt ? 3 : 1;
        it->step = END;
    }
}

static int begin(struct toolstack* it)
{
    xlstore_recover_options recovery = XLSTORE_RECOVER_OPTIONS_INIT;
    switch (it->step) {
    case RECOVER:
        recovery.found = found;
        if (xlstore_recover_start(it->store, &recovery, ended, it, &it->op) != XLSTORE_OK)
            return refused(it, "recover");
        return 1;
    case ATTACH:
        if (xlstore_attach_start(it->store, it->domain, "qemu", device, NULL, ended, it, &it->op) !=
            XLSTORE_OK)
            return refused(it, "attach");
        return 1;
    case CHANGE_MIND:
        if (xlstore_attach_start(it->store, it->domain, "usbdevs", MOUSE, NULL, ended, it, &it->op) != XLSTORE_OK)
            return refused(it, "attach");
        xlstore_op_cancel(it->op); /* its callback comes with the next dispatch */
        return 1;
    case DETACH:
        if (xlstore_detach_start(it->store, it->domain, "qemu", "clock", NULL, ended, it, &it->op) !=
            XLSTORE_OK)
            return refused(it, "detach");
        return 1;
    case WATCH: /* until the store has told of both */
        if (it->attached && it->detached) it->step = END;
        return 1;
    case END:
        break;
    }
    return 0;
}

static void run(struct toolstack* it)
{
    while (it->step != END) {
        struct pollfd wait;
        if (!it->op && !begin(it)) break;
        if (it->step == END) break;
        wait.fd = xlstore_fd(it->store);
        wait.events = POLLIN;
        if (poll(&wait, 1, 30000) == 0) {
            fprintf(stderr, "toolstack: nothing happens\n");
            it->outcome = 1;
            return;
        }
        if (xlstore_dispatch(it->store) != XLSTORE_OK) {
            refused(it, "dispatch");
            return;
        }
    }
}

int main(int argc, char** argv)
{
    struct toolstack it = {NULL, NULL, 0, RECOVER, NULL, 0, 0, 0};
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_watch* watch = NULL;
    if (argc != 3) return 2;
    it.domain = argv[2];
    options.program = "toolstack";
    options.error = &error;
    if (xlstore_open(argv[1], &options, &it.store) != XLSTORE_OK) {
        fprintf(stderr, "toolstack: %s\ntoolstack: %s\n", error.message, error.advice);
        return 1;
    }
    if (xlstore_find(it.store, it.domain, &info) != XLSTORE_OK ||
        xlstore_watch_start(it.store, -1, changed, &it, &watch) != XLSTORE_OK) {
        refused(&it, "look");
    } else {
        it.incarnation = info.id;
        printf("%s (%s)\n", info.name, info.seen);
        run(&it);
    }
    xlstore_watch_end(watch);
    xlstore_close(it.store);
    return it.outcome;
}
