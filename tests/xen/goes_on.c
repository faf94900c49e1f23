// SPDX-License-Identifier: MIT
// goes_on add|remove|add-event DOMID SCRIPT COMMAND: a nic of libxl's, by a call that goes on after it returned
// (libxl_asyncop_how); COMMAND is run in between. Prints "returned RC", what COMMAND prints, and "over RC"
// where the end is told by a callback.
#include <libxl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

static bool over;

static void called_back(libxl_ctx *ctx, int rc, void *data)
{
    (void)ctx;
    (void)data;
    printf("over %d\n", rc);
    over = true;
}

static void until_over(libxl_ctx *ctx)
{
    while (!over) {
        struct pollfd fds[64];
        struct timeval now;
        int count = 64, wait = -1;
        gettimeofday(&now, NULL);
        if (libxl_osevent_beforepoll(ctx, &count, fds, &wait, now)) exit(3);
        poll(fds, (nfds_t)count, wait);
        gettimeofday(&now, NULL);
        libxl_osevent_afterpoll(ctx, count, fds, now);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) return 2;
    setbuf(stdout, NULL);
    const uint32_t domid = (uint32_t)atoi(argv[2]);
    xentoollog_logger *log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);
    libxl_ctx *ctx = NULL;
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log)) return 3;
    libxl_device_nic nic;
    libxl_device_nic_init(&nic);
    nic.devid = 0;
    nic.nictype = LIBXL_NIC_TYPE_VIF;
    nic.script = strdup(argv[3]);
    libxl_asyncop_how how = {.callback = called_back};
    if (strcmp(argv[1], "add-event") == 0) how.callback = NULL;
    const int rc = argv[1][0] == 'a' ? libxl_device_nic_add(ctx, domid, &nic, &how)
                                     : libxl_device_nic_remove(ctx, domid, &nic, &how);
    printf("returned %d\n", rc);
    if (system(argv[4])) printf("the command failed\n");
    if (!how.callback) return 0;  // it may go on still, and so the context stays
    if (rc == 0) until_over(ctx);
    libxl_device_nic_dispose(&nic);
    libxl_ctx_free(ctx);
    xtl_logger_destroy(log);
    return 0;
}
