/* SPDX-License-Identifier: MIT
 *
 * A toolstack with a poll() loop of its own. At start-up it settles what a predecessor that was
 * killed left behind; then it gives each domain a USB mouse, all at the same time, and waits for
 * none of them in particular. A line on standard input gives up what is under way.
 *
 *   eventloop STORE DOMAIN...     e.g.  eventloop /var/lib/xlstore domid:7 name:web01
 *
 * Exit status, the worst of all domains: 0 done, 1 not done or given up, 2 usage, 3 in doubt.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xlstore/recovery.h>
#include <xlstore/xlstore.h>

struct app;

/* What is to be done to one domain. `op` is NULL unless it is under way: after its callback an
 * operation must not be named any more. */
struct task {
    struct app* app;
    const char* domain;
    xlstore_op* op;
};

struct app {
    xlstore_store* store;
    struct task* tasks;
    int tasks_count;
    int under_way; /* callbacks that are still to come */
    int exit_status;
};

static void worse(struct app* app, int exit_status)
{
    if (exit_status > app->exit_status) app->exit_status = exit_status;
}

/* A call that could not even begin. */
static void complain(struct app* app, const char* what)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    fprintf(stderr, "eventloop: %s: %s\n", what, error.message);
    worse(app, 1);
}

static void plugged_in(xlstore_result* result, void* userdata)
{
    struct task* task = userdata;
    const int32_t status = xlstore_result_status(result);
    task->op = NULL;
    --task->app->under_way;
    if (status == XLSTORE_OK) {
        puts(xlstore_result_message(result));
        fflush(stdout);
        return;
    }
    fprintf(stderr, "eventloop: %s: %s\n", task->domain, xlstore_result_message(result));
    if (status == XLSTORE_E_EXISTS) return; /* a predecessor's: it is there, which was wanted */
    worse(task->app, status == XLSTORE_E_IN_DOUBT ? 3 : 1);
}

static void plug_in_all(struct app* app)
{
    static const char mouse[] =
        "{\"ctrl\": 0, \"port\": 2, \"type.emulated\": {\"driver\": \"usb-mouse\"}}";
    int i;
    for (i = 0; i < app->tasks_count; ++i) {
        struct task* task = &app->tasks[i];
        if (xlstore_attach_start(app->store, task->domain, "usbdevs", mouse, NULL, plugged_in, task,
                                 &task->op) == XLSTORE_OK)
            ++app->under_way;
        else
            complain(app, task->domain);
    }
}

static void found(const xlstore_finding* finding, void* userdata)
{
    (void)userdata;
    fprintf(stderr, "eventloop: %s: %s%s\n", finding->subject, finding->message,
            finding->action == XLSTORE_ACTION_FIXED ? "  FIXED." : "");
}

/* What recovery could not settle stays as it is, and hinders no other thing. */
static void recovered(xlstore_result* result, void* userdata)
{
    struct app* app = userdata;
    --app->under_way;
    fprintf(stderr, "eventloop: recovery: %s\n", xlstore_result_message(result));
    plug_in_all(app); /* calling back in is allowed */
}

static void give_up(struct app* app)
{
    int i;
    for (i = 0; i < app->tasks_count; ++i) {
        struct task* task = &app->tasks[i];
        if (!task->op) continue;
        xlstore_op_cancel(task->op); /* its callback comes, and says what became of it */
    }
}

static void run(struct app* app)
{
    struct pollfd fds[2];
    fds[0].fd = xlstore_fd(app->store); /* one descriptor for everything, timers included */
    fds[0].events = POLLIN;
    fds[1].fd = STDIN_FILENO; /* what else a toolstack waits for */
    fds[1].events = POLLIN;
    while (app->under_way > 0) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR) continue;
            perror("eventloop: poll");
            worse(app, 1);
            return;
        }
        if (fds[0].revents && xlstore_dispatch(app->store) != XLSTORE_OK) {
            complain(app, "dispatch");
            return;
        }
        if (fds[1].revents) {
            char line[64];
            if (read(STDIN_FILENO, line, sizeof line) > 0)
                give_up(app);
            else
                fds[1].fd = -1; /* its end: no line will come */
        }
    }
}

int main(int argc, char** argv)
{
    struct app app = {NULL, NULL, 0, 0, 0};
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_recover_options recovery = XLSTORE_RECOVER_OPTIONS_INIT;
    int i;

    if (argc < 3) {
        fprintf(stderr, "usage: eventloop STORE DOMAIN...\n");
        return 2;
    }
    app.tasks_count = argc - 2;
    app.tasks = calloc((size_t)app.tasks_count, sizeof *app.tasks);
    if (!app.tasks) {
        perror("eventloop");
        return 1;
    }
    for (i = 0; i < app.tasks_count; ++i) {
        app.tasks[i].app = &app;
        app.tasks[i].domain = argv[2 + i];
    }
    options.program = "eventloop";
    recovery.found = found;
    if (xlstore_open(argv[1], &options, &app.store) != XLSTORE_OK) {
        complain(&app, argv[1]);
    } else if (xlstore_recover_start(app.store, &recovery, recovered, &app, NULL) != XLSTORE_OK) {
        complain(&app, "recovery");
    } else {
        app.under_way = 1;
        run(&app);
    }
    xlstore_close(app.store); /* gives up what is still under way */
    free(app.tasks);
    return app.exit_status;
}
