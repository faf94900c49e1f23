// SPDX-License-Identifier: MIT
// A domain is created as libvirtd does it. `creates DRIVER CONFIG` is a daemon that knows nothing of libxl and loads DRIVER,
// which is this file too (-DDRIVER, a shared object that needs libxenlight): it makes the domain of CONFIG, JSON of
// libxl's, by a thread of its own, which waits for libxl, with libxl as the owner of SIGCHLD and a callback for the
// console. Prints "created DOMID", and ends.
#include <stdio.h>

#ifdef DRIVER

#include <libxl.h>
#include <libxl_event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void console(libxl_ctx *ctx, libxl_event *event, void *unused)
{
    (void)unused;
    libxl_event_free(ctx, event);
}

static char *content(const char *path)
{
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void *create(void *path)
{
    static const libxl_childproc_hooks hooks = {.chldowner = libxl_sigchld_owner_libxl};
    libxl_asyncprogress_how how = {.callback = console};
    libxl_domain_config config;
    libxl_evgen_domain_death *death = NULL;
    libxl_ctx *ctx = NULL;
    uint32_t domid = 0;
    char *json = content(path);
    xentoollog_logger *log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);
    libxl_domain_config_init(&config);
    if (!json || libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log)) return NULL;
    libxl_childproc_setmode(ctx, &hooks, NULL);
    if (libxl_domain_config_from_json(ctx, &config, json)) return NULL;
    if (libxl_domain_create_new(ctx, &config, &domid, NULL, &how)) return NULL;
    if (libxl_evenable_domain_death(ctx, domid, 0, &death) || libxl_domain_unpause(ctx, domid, NULL)) return NULL;
    printf("created %u\n", domid);
    libxl_evdisable_domain_death(ctx, death);
    libxl_domain_config_dispose(&config);
    libxl_ctx_free(ctx);
    return path;
}

int driver_begin(const char *config)
{
    pthread_t thread;
    void *done = NULL;
    if (pthread_create(&thread, NULL, create, (void *)config) || pthread_join(thread, &done)) return 2;
    return done ? 0 : 1;
}

#else

#include <dlfcn.h>

int main(int argc, char **argv)
{
    if (argc != 3) return 2;
    void *driver = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!driver) return fprintf(stderr, "%s\n", dlerror()), 3;
    int (*begin)(const char *) = (int (*)(const char *))dlsym(driver, "driver_begin");
    return begin ? begin(argv[2]) : 3;
}

#endif
