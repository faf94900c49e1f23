/* SPDX-License-Identifier: MIT
 *
 * Creation in steps, by an embedder that starts QEMU itself, soft resets, and other names. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* The small QEMU with one monitor, as `chardev` has it; static, until the next call. */
static const char* const* with_monitor(const char* chardev)
{
    static const char* words[32];
    const char* const* common = qemu_command();
    size_t n = 0;
    while (common[n]) {
        words[n] = common[n];
        ++n;
    }
    words[n++] = "-chardev";
    words[n++] = chardev;
    words[n++] = "-mon";
    words[n++] = "chardev=m,mode=control";
    words[n] = NULL;
    return words;
}

static const char* const* monitor_at(const char* path)
{
    static char chardev[160];
    snprintf(chardev, sizeof chardev, "socket,id=m,path=%s,server=on,wait=off", path);
    return with_monitor(chardev);
}

/* A child of the test's own that waits at a start barrier, as a toolstack would fork it (R13). */
static pid_t fork_waiting(const char* const* command, int* start_barrier_out)
{
    int start_barrier[2];
    pid_t child;
    if (pipe(start_barrier) != 0) give_up("pipe");
    child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
        char byte;
        close(start_barrier[1]);
        if (read(start_barrier[0], &byte, 1) != 1) _exit(127); /* its creator is gone */
        execvp(command[0], (char* const*)command);
        _exit(127);
    }
    close(start_barrier[0]);
    *start_barrier_out = start_barrier[1];
    return child;
}

/* A listening socket, made by the test for a QEMU that it is handed in to. */
static int listen_at(const char* path)
{
    struct sockaddr_un address;
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 1) != 0)
        give_up(path);
    return fd;
}

static void recover(xlstore_store* store, const char* domain)
{
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.domain = domain;
    OK(xlstore_recover(store, &options, NULL));
}

static void destroy(xlstore_store* store, int domid, pid_t qemu)
{
    char word[32];
    snprintf(word, sizeof word, "domid:%d", domid);
    OK(xlstore_destroy(store, word, NULL, NULL));
    if (qemu > 0) waitpid(qemu, NULL, 0);
}

static void check_bad_arguments(struct world* world, xlstore_creation* creation)
{
    xlstore_store* const s = world->store;
    static const char* const none[] = {NULL};
    const char* const too_long =
        "/tmp/123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
        "567890123456789012345678901234567890";
    const int closed_fd[] = {999};
    xlstore_creation* other = NULL;
    xlstore_call bad = XLSTORE_CALL_INIT;
    bad.struct_size = 3;

    INVALID(xlstore_creation_begin(NULL, 20, document_of(20), NULL, &other));
    INVALID(xlstore_creation_begin(s, 20, NULL, NULL, &other));
    INVALID(xlstore_creation_begin(s, 20, document_of(20), NULL, NULL));
    INVALID(xlstore_creation_begin(s, 20, document_of(20), &bad, &other));
    INVALID(xlstore_creation_begin(s, 20, "[", NULL, &other));
    INVALID(xlstore_creation_begin(s, -1, document_of(20), NULL, &other));
    STATUS(xlstore_creation_begin(s, 7, document_of(7), NULL, &other), XLSTORE_E_EXISTS);
    INVALID(xlstore_creation_begin_start(s, 20, document_of(20), NULL, NULL, NULL, NULL));
    INVALID(xlstore_creation_begin_start(s, 20, NULL, NULL, tell, NULL, NULL));
    INVALID(xlstore_creation_begin_again(NULL, "7", NULL, &other));
    INVALID(xlstore_creation_begin_again(s, NULL, NULL, &other));
    INVALID(xlstore_creation_begin_again(s, "7", NULL, NULL));
    STATUS(xlstore_creation_begin_again(s, "domid:99", NULL, &other), XLSTORE_E_NOT_FOUND);
    INVALID(xlstore_creation_begin_again_start(s, "7", NULL, NULL, NULL, NULL));
    CHECK(other == NULL);

    INVALID(xlstore_creation_paths(NULL, NULL, NULL));
    OK(xlstore_creation_paths(creation, NULL, NULL));
    CHECK(xlstore_creation_id(NULL) == 0);
    CHECK(xlstore_result_take_creation(NULL) == NULL);
    INVALID(xlstore_creation_child(NULL, getpid(), "/m", NULL, 0, NULL));
    INVALID(xlstore_creation_child(creation, getpid(), NULL, NULL, 0, NULL));
    INVALID(xlstore_creation_child(creation, getpid(), "", NULL, 0, NULL));
    INVALID(xlstore_creation_child(creation, 0, "/m", NULL, 0, NULL));
    INVALID(xlstore_creation_child(creation, 1, "/m", NULL, 0, NULL)); /* not a child of ours */
    INVALID(xlstore_creation_child(creation, ((int64_t)1 << 32) + getpid(), "/m", NULL, 0, NULL));
    INVALID(xlstore_creation_child(creation, getpid(), "/m", NULL, 64, NULL));
    INVALID(xlstore_creation_child(creation, getpid(), too_long, NULL, 0, NULL));
    INVALID(xlstore_creation_child(creation, getpid(), "/m", NULL, 0, &bad));
    INVALID(xlstore_creation_spawn(NULL, qemu_command(), "/m", NULL, NULL, 0, 0, NULL, NULL));
    INVALID(xlstore_creation_spawn(creation, NULL, "/m", NULL, NULL, 0, 0, NULL, NULL));
    INVALID(xlstore_creation_spawn(creation, none, "/m", NULL, NULL, 0, 0, NULL, NULL));
    INVALID(xlstore_creation_spawn(creation, qemu_command(), NULL, NULL, NULL, 0, 0, NULL, NULL));
    INVALID(xlstore_creation_spawn(creation, qemu_command(), "", NULL, NULL, 0, 0, NULL, NULL));
    INVALID(xlstore_creation_spawn(creation, qemu_command(), "/m", NULL, NULL, 1, 0, NULL, NULL));
    INVALID(
        xlstore_creation_spawn(creation, qemu_command(), "/m", NULL, closed_fd, 1, 0, NULL, NULL));
    INVALID(xlstore_creation_finish(NULL, NULL, NULL));
    INVALID(xlstore_creation_finish(creation, &bad, NULL));
    INVALID(xlstore_creation_finish_start(NULL, NULL, tell, NULL, NULL));
    INVALID(xlstore_creation_finish_start(creation, NULL, NULL, NULL, NULL));
    xlstore_creation_free(NULL);

    INVALID(xlstore_soft_reset(NULL, "7", qemu_command(), NULL, NULL));
    INVALID(xlstore_soft_reset(s, NULL, qemu_command(), NULL, NULL));
    INVALID(xlstore_soft_reset(s, "7", none, NULL, NULL));
    INVALID(xlstore_soft_reset_start(s, "7", qemu_command(), NULL, NULL, NULL, NULL));
}

/* A child of the embedder's, its own monitor, its own start barrier. */
static void check_own_child(struct world* world)
{
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_creation* creation = NULL;
    xlstore_result* result = NULL;
    char path[96];
    int start_barrier;
    pid_t qemu;
    snprintf(path, sizeof path, "%s/own", world->directory);
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    if (!creation) give_up("no creation");
    OK(xlstore_find(s, "domid:20", &info));
    CHECK(strcmp(info.state, "creating") == 0 && info.id == xlstore_creation_id(creation));
    CHECK(info.qemu_pid == 0);
    check_bad_arguments(world, creation);

    qemu = fork_waiting(monitor_at(path), &start_barrier);
    OK(xlstore_creation_child(creation, qemu, path, NULL, 0, NULL));
    OK(xlstore_find(s, "domid:20", &info));
    CHECK(info.qemu_pid == qemu); /* before it begins to run */
    CHECK(write(start_barrier, "", 1) == 1);
    close(start_barrier);
    OK(xlstore_creation_finish(creation, NULL, &result));
    CHECK(strstr(xlstore_result_json(result), path) != NULL);
    xlstore_result_free(result);
    STATUS(xlstore_creation_finish(creation, NULL, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_creation_paths(creation, NULL, NULL), XLSTORE_E_ORDER);
    xlstore_creation_free(creation);
    OK(xlstore_find(s, "domid:20", &info));
    CHECK(strcmp(info.state, "running") == 0);
    OK(xlstore_insert(s, "domid:20", "hdc", world->image, NULL, NULL));
    destroy(s, 20, qemu);
    CHECK(access(path, F_OK) == 0); /* a socket of the embedder's is the embedder's */
    unlink(path);
}

/* The library's own start barrier, and a socket that is handed in. */
static void check_spawn(struct world* world)
{
    static const char* const no_program[] = {"/nonexistent/qemu", NULL};
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    char path[96];
    char chardev[64];
    char* monitor = NULL;
    char* log = NULL;
    int64_t pid = 0;
    int fd;
    OK(xlstore_creation_begin_start(s, 20, document_of(20), NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK && t.creation != NULL);
    if (!t.creation) give_up("no creation");
    OK(xlstore_creation_paths(t.creation, &monitor, &log));
    CHECK(strncmp(monitor, world->store_path, strlen(world->store_path)) == 0);
    STATUS(xlstore_creation_spawn(t.creation, no_program, monitor, log, NULL, 0, 0, NULL, &pid),
           XLSTORE_E_REFUSED);
    CHECK(pid == 0);

    snprintf(path, sizeof path, "%s/handed", world->directory);
    fd = listen_at(path);
    snprintf(chardev, sizeof chardev, "socket,id=m,fd=%d,server=on,wait=off", fd);
    OK(xlstore_creation_spawn(t.creation, with_monitor(chardev), path, log, &fd, 1,
                              XLSTORE_HANDED_IN, NULL, &pid));
    close(fd);
    CHECK(pid > 0 && access(log, F_OK) == 0);
    xlstore_string_free(monitor);
    xlstore_string_free(log);
    t.calls = 0;
    {
        xlstore_creation* const creation = t.creation;
        OK(xlstore_creation_finish_start(creation, NULL, tell, &t, NULL));
        xlstore_creation_free(creation); /* what is under way goes on */
    }
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    OK(xlstore_eject(s, "domid:20", "hdc", NULL, NULL));
    destroy(s, 20, (pid_t)pid);
    unlink(path);
}

/* Creations that come to no good end. */
static void check_failures(struct world* world)
{
    static const char* const ends_at_once[] = {"false", NULL};
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_creation* creation = NULL;
    xlstore_store* other;
    char* monitor = NULL;
    int start_barrier;
    pid_t child;

    /* Nothing was started: nothing is left. */
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    STATUS(xlstore_creation_finish(creation, NULL, NULL), XLSTORE_E_NO_QEMU);
    xlstore_creation_free(creation);
    STATUS(xlstore_find(s, "domid:20", &info), XLSTORE_E_NOT_FOUND);

    /* QEMU dies while it starts. */
    creation = NULL;
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    OK(xlstore_creation_paths(creation, &monitor, NULL));
    OK(xlstore_creation_spawn(creation, ends_at_once, monitor, NULL, NULL, 0, 0, NULL, NULL));
    xlstore_string_free(monitor);
    STATUS(xlstore_creation_finish(creation, NULL, NULL), XLSTORE_E_REFUSED);
    xlstore_creation_free(creation);
    STATUS(xlstore_find(s, "domid:20", &info), XLSTORE_E_NOT_FOUND);

    /* It is destroyed meanwhile: the child is never to be let run. */
    creation = NULL;
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    OK(xlstore_destroy(s, "domid:20", NULL, NULL));
    child = fork_waiting(ends_at_once, &start_barrier);
    STATUS(xlstore_creation_child(creation, child, "/tmp/m", NULL, 0, NULL), XLSTORE_E_GONE);
    close(start_barrier);
    waitpid(child, NULL, 0);
    STATUS(xlstore_creation_finish(creation, NULL, NULL), XLSTORE_E_GONE);
    xlstore_creation_free(creation);

    /* Freed before its end, it is recovery's. */
    creation = NULL;
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    recover(s, "domid:20"); /* its creator is at work */
    OK(xlstore_find(s, "domid:20", &info));
    xlstore_creation_free(creation);
    recover(s, "domid:20");
    STATUS(xlstore_find(s, "domid:20", &info), XLSTORE_E_NOT_FOUND);

    /* Its store is closed. */
    creation = NULL;
    other = open_store(world);
    OK(xlstore_creation_begin(other, 20, document_of(20), NULL, &creation));
    xlstore_close(other);
    STATUS(xlstore_creation_child(creation, getpid(), "/tmp/m", NULL, 0, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_creation_spawn(creation, ends_at_once, "/tmp/m", NULL, NULL, 0, 0, NULL, NULL),
           XLSTORE_E_ORDER);
    STATUS(xlstore_creation_finish(creation, NULL, NULL), XLSTORE_E_ORDER);
    STATUS(xlstore_creation_finish_start(creation, NULL, tell, NULL, NULL), XLSTORE_E_ORDER);
    CHECK(xlstore_creation_id(creation) > 0);
    xlstore_creation_free(creation);
    recover(s, "domid:20");
}

/* R9, R13: a second registration would leave the first QEMU running, and known to no row. */
static void no_second_qemu(xlstore_creation* creation, const char* path)
{
    static const char* const sleeper[] = {"sleep", "600", NULL};
    int64_t pid = 0;
    int start_barrier;
    const pid_t child = fork_waiting(sleeper, &start_barrier);
    STATUS(xlstore_creation_spawn(creation, sleeper, path, NULL, NULL, 0, 0, NULL, &pid),
           XLSTORE_E_ORDER);
    STATUS(xlstore_creation_child(creation, child, path, NULL, 0, NULL), XLSTORE_E_ORDER);
    CHECK(pid == 0);
    close(start_barrier);
    waitpid(child, NULL, 0);
}

static void check_one_qemu(struct world* world)
{
    static const char* const sleeper[] = {"sleep", "600", NULL};
    static const char* const daemonizes[] = {"sh", "-c", "sleep 600 & exit 0", NULL};
    const char* const ended_by_hand[] = {world->image, NULL};
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_creation* creation = NULL;
    char path[96];
    int64_t pid = 0;
    int start_barrier;
    pid_t child;
    snprintf(path, sizeof path, "%s/one", world->directory);

    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    /* One that is dead has made room. */
    child = fork_waiting(sleeper, &start_barrier);
    OK(xlstore_creation_child(creation, child, path, NULL, 0, NULL));
    close(start_barrier);
    waitpid(child, NULL, 0);
    CHECK(chmod(world->image, 0700) == 0); /* no program: exec fails behind the start barrier */
    STATUS(xlstore_creation_spawn(creation, ended_by_hand, path, NULL, NULL, 0, 0, NULL, &pid),
           XLSTORE_E_REFUSED);
    CHECK(chmod(world->image, 0600) == 0 && pid == 0);
    OK(xlstore_creation_spawn(creation, sleeper, path, NULL, NULL, 0, 0, NULL, &pid));
    no_second_qemu(creation, path);
    OK(xlstore_find(s, "domid:20", &info));
    CHECK(info.qemu_pid == pid && kill((pid_t)pid, 0) == 0);
    destroy(s, 20, 0);
    xlstore_creation_free(creation);

    /* What a command that daemonizes leaves behind lives on. */
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    OK(xlstore_creation_spawn(creation, daemonizes, path, NULL, NULL, 0, 0, NULL, &pid));
    do {
        OK(xlstore_find(s, "domid:20", &info));
    } while (info.qemu == XLSTORE_QEMU_ALIVE);
    no_second_qemu(creation, path);
    destroy(s, 20, 0);
    xlstore_creation_free(creation);

    /* A soft reset in steps. */
    OK(xlstore_create(s, 20, document_of(20), qemu_command(), NULL, NULL));
    OK(xlstore_creation_begin_again(s, "domid:20", NULL, &creation));
    OK(xlstore_creation_spawn(creation, sleeper, path, NULL, NULL, 0, 0, NULL, &pid));
    no_second_qemu(creation, path);
    destroy(s, 20, 0);
    xlstore_creation_free(creation);
}

/* Cancelled before it has begun, a finish leaves the creation as it was. */
static void check_cancelled_finish(struct world* world)
{
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    xlstore_creation* creation = NULL;
    xlstore_op* op = NULL;
    char path[96];
    int64_t pid = 0;
    snprintf(path, sizeof path, "%s/own", world->directory);
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    OK(xlstore_creation_spawn(creation, monitor_at(path), path, NULL, NULL, 0, 0, NULL, &pid));
    OK(xlstore_creation_finish_start(creation, NULL, tell, &t, &op));
    STATUS(xlstore_creation_finish(creation, NULL, NULL), XLSTORE_E_ORDER); /* it is under way */
    xlstore_op_cancel(op);
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_E_CANCELLED);
    OK(xlstore_creation_paths(creation, NULL, NULL));
    OK(xlstore_creation_finish(creation, NULL, NULL));
    xlstore_creation_free(creation);

    /* And where the handle is gone by then, as one that was freed. */
    destroy(s, 20, 0);
    unlink(path);
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    t.calls = 0;
    OK(xlstore_creation_finish_start(creation, NULL, tell, &t, &op));
    xlstore_creation_free(creation);
    xlstore_op_cancel(op);
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_E_CANCELLED);
    recover(s, "domid:20");
}

/* A PV domain: no QEMU stands for it. */
static void check_without_qemu(struct world* world)
{
    static const char* const document =
        "{\"c_info\":{\"type\":\"pv\",\"name\":\"p\",\"uuid\":\"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9caa\"},"
        "\"b_info\":{\"type.pv\":{}},\"nics\":[{\"devid\":0}]}";
    static const char* const command[] = {"true", NULL};
    xlstore_store* const s = world->store;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_creation* creation = NULL;
    xlstore_result* result = NULL;

    INVALID(xlstore_creation_without_qemu(NULL, NULL));
    OK(xlstore_creation_begin(s, 20, document_of(20), NULL, &creation));
    STATUS(xlstore_creation_without_qemu(creation, NULL), XLSTORE_E_REFUSED); /* it is an HVM one */
    xlstore_creation_free(creation);
    recover(s, "domid:20");

    OK(xlstore_creation_begin(s, 20, document, NULL, &creation));
    OK(xlstore_creation_without_qemu(creation, NULL));
    STATUS(xlstore_creation_spawn(creation, command, "/tmp/m", NULL, NULL, 0, 0, NULL, NULL),
           XLSTORE_E_ORDER);
    OK(xlstore_creation_finish(creation, NULL, &result));
    CHECK(strstr(xlstore_result_json(result), "qemu_pid") == NULL);
    CHECK(strstr(xlstore_result_message(result), "without a QEMU") != NULL);
    xlstore_result_free(result);
    xlstore_creation_free(creation);
    OK(xlstore_find(s, "domid:20", &info));
    CHECK(strcmp(info.state, "running") == 0 && info.qemu_pid == 0);
    STATUS(xlstore_soft_reset(s, "domid:20", command, NULL, NULL), XLSTORE_E_REFUSED);
    STATUS(xlstore_creation_begin_again(s, "domid:20", NULL, &creation), XLSTORE_E_REFUSED);
    destroy(s, 20, 0);
}

static void check_soft_reset(struct world* world)
{
    static const char* const no_program[] = {"/nonexistent/qemu", NULL};
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    xlstore_domain_info before = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_domain_info after = XLSTORE_DOMAIN_INFO_INIT;
    xlstore_creation* creation = NULL;
    char* document = NULL;
    char* again = NULL;
    char* monitor = NULL;
    OK(xlstore_insert(s, "domid:7", "hdc", world->image, NULL, NULL));
    OK(xlstore_find(s, "domid:7", &before));

    OK(xlstore_soft_reset(s, "domid:7", qemu_command(), NULL, NULL));
    /* What others left open is settled by the old QEMU's death. */
    OK(xlstore_document(s, "domid:7", &document, NULL));
    OK(xlstore_find(s, "domid:7", &after));
    CHECK(after.id == before.id && after.qemu_pid != before.qemu_pid && after.qemu_pid > 0);

    /* It is found out before the old one is killed. */
    STATUS(xlstore_soft_reset(s, "domid:7", no_program, NULL, NULL), XLSTORE_E_REFUSED);
    OK(xlstore_find(s, "domid:7", &before));
    CHECK(before.qemu_pid == after.qemu_pid && strcmp(before.state, "running") == 0);
    OK(xlstore_soft_reset_start(s, "domid:7", qemu_command(), NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);

    /* In steps. */
    OK(xlstore_creation_begin_again(s, "domid:7", NULL, &creation));
    OK(xlstore_find(s, "domid:7", &after));
    CHECK(after.qemu_pid == 0);
    xlstore_creation_free(creation);
    t.calls = 0;
    OK(xlstore_creation_begin_again_start(s, "domid:7", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    if (!t.creation) give_up("no creation");
    OK(xlstore_creation_paths(t.creation, &monitor, NULL));
    OK(xlstore_creation_spawn(t.creation, monitor_at(monitor), monitor, NULL, NULL, 0, 0, NULL,
                              NULL));
    OK(xlstore_creation_finish(t.creation, NULL, NULL));
    xlstore_creation_free(t.creation);
    xlstore_string_free(monitor);

    OK(xlstore_document(s, "domid:7", &again, NULL));
    CHECK(strcmp(document, again) == 0);
    OK(xlstore_eject(s, "domid:7", "hdc", NULL, NULL));
    xlstore_string_free(document);
    xlstore_string_free(again);
}

/* A document with what goes beside it, into the same store under another domid. */
static void check_carried(xlstore_store* s)
{
    static const char* const thing =
        "{\"key\":\"c\",\"steps\":[{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"c\","
        "\"backend\":{\"type\":\"null\",\"data\":{}}}}]}";
    xlstore_call call = XLSTORE_CALL_INIT;
    char* document = NULL;
    char* things = NULL;
    char* notes = NULL;
    char* json = NULL;

    OK(xlstore_attach(s, "domid:7", "qemu", thing, NULL, NULL));
    INVALID(xlstore_outgoing_domain(s, "7", NULL, NULL, &things, &notes));
    CHECK(things == NULL && notes == NULL);
    OK(xlstore_outgoing_domain(s, "domid:7", "c7--incoming", &document, &things, &notes));
    CHECK(strstr(things, "\"chardev-add\"") != NULL);
    CHECK(strstr(document, "chardev-add") == NULL);

    call.things = "{";
    call.flags = XLSTORE_FORCE; /* as for a migration within the host: the uuid is there already */
    INVALID(xlstore_import(s, 22, document, &call, NULL));
    call.struct_size = offsetof(xlstore_call, things); /* of release 0.1: `things` is not there */
    OK(xlstore_import(s, 22, document_of(22), &call, NULL));
    STATUS(xlstore_thing(s, "domid:22", "qemu", "c", &json, NULL), XLSTORE_E_NOT_FOUND);
    OK(xlstore_destroy(s, "domid:22", NULL, NULL));
    call.struct_size = sizeof call;
    call.things = things;
    OK(xlstore_import(s, 22, document, &call, NULL));
    OK(xlstore_thing(s, "domid:22", "qemu", "c", &json, NULL));
    OK(xlstore_destroy(s, "domid:22", NULL, NULL));
    OK(xlstore_detach(s, "domid:7", "qemu", "c", NULL, NULL));
    xlstore_string_free(document);
    xlstore_string_free(things);
    xlstore_string_free(notes);
    xlstore_string_free(json);
}

static void check_closing(struct world* world)
{
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    xlstore_result* r = NULL;

    INVALID(xlstore_close_document(NULL, "7", "why", NULL, NULL));
    INVALID(xlstore_close_document(s, "7", NULL, NULL, NULL));
    INVALID(xlstore_close_document(s, "7", "", NULL, NULL));
    INVALID(xlstore_close_document_start(s, "7", "why", NULL, NULL, NULL, NULL));
    INVALID(xlstore_reopen_document(s, NULL, NULL, NULL));
    INVALID(xlstore_reopen_document_start(s, "7", NULL, NULL, NULL, NULL));
    STATUS(xlstore_reopen_document(s, "domid:7", NULL, NULL), XLSTORE_E_REFUSED);
    OK(xlstore_close_document(s, "domid:7", "moves to b", NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"notes\":[]") != NULL);
    xlstore_result_free(r);

    STATUS(xlstore_eject(s, "domid:7", "hdc", NULL, NULL), XLSTORE_E_REFUSED);
    STATUS(xlstore_put_thing(s, "domid:7", "nics", "{\"devid\":5}", 0, NULL, NULL),
           XLSTORE_E_REFUSED);
    STATUS(xlstore_remove_thing(s, "domid:7", "nics", "5", 0, NULL, NULL), XLSTORE_E_REFUSED);
    STATUS(xlstore_close_document(s, "domid:7", "again", NULL, NULL), XLSTORE_E_REFUSED);

    OK(xlstore_reopen_document(s, "domid:7", NULL, NULL));
    OK(xlstore_close_document_start(s, "domid:7", "moves to c", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    STATUS(xlstore_eject(s, "domid:7", "hdc", NULL, NULL), XLSTORE_E_REFUSED);
    t.calls = 0;
    OK(xlstore_reopen_document_start(s, "domid:7", NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    OK(xlstore_eject(s, "domid:7", "hdc", NULL, NULL));
}

static void check_names(struct world* world)
{
    static const char* const uuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9cff";
    xlstore_store* const s = world->store;
    struct told t = TOLD_INIT;
    xlstore_result* r = NULL;
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    char* document = NULL;
    char* notes = NULL;

    INVALID(xlstore_rename(NULL, "7", "n", 0, NULL, NULL));
    INVALID(xlstore_rename(s, "7", NULL, 0, NULL, NULL));
    INVALID(xlstore_rename(s, "7", "", 0, NULL, NULL));
    INVALID(xlstore_rename(s, "7", "n", -1, NULL, NULL));
    INVALID(xlstore_rename_start(s, "7", "n", 0, NULL, NULL, NULL, NULL));
    STATUS(xlstore_rename(s, "domid:99", "n", 0, NULL, NULL), XLSTORE_E_NOT_FOUND);
    STATUS(xlstore_rename(s, "domid:7", "c8", 0, NULL, NULL), XLSTORE_E_EXISTS);
    OK(xlstore_find(s, "domid:7", &info));
    STATUS(xlstore_rename(s, "domid:7", "n", info.revision + 1, NULL, NULL), XLSTORE_E_CONFLICT);
    OK(xlstore_rename(s, "domid:7", "n", info.revision, NULL, &r));
    CHECK(strstr(xlstore_result_json(r), "\"name\":\"n\"") != NULL);
    xlstore_result_free(r);
    OK(xlstore_find(s, "name:n", &info));
    CHECK(info.domid == 7);
    /* Another one comes between: it is called as it may be, unless it was named by its name. */
    OK(xlstore_rename_start(s, "domid:7", "c7", 0, NULL, tell, &t, NULL));
    OK(xlstore_rename(s, "domid:7", "between", 0, NULL, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    t.calls = 0;
    OK(xlstore_rename_start(s, "c7", "late", 0, NULL, tell, &t, NULL));
    OK(xlstore_rename(s, "domid:7", "between", 0, NULL, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_E_CONFLICT && strstr(t.message, "\"between\"") != NULL);
    OK(xlstore_rename(s, "name:between", "c7", 0, NULL, NULL));

    INVALID(xlstore_outgoing_document(NULL, "7", NULL, &document, NULL));
    INVALID(xlstore_outgoing_document(s, NULL, NULL, &document, NULL));
    INVALID(xlstore_outgoing_document(s, "7", NULL, NULL, NULL));
    INVALID(xlstore_outgoing_document(s, "7", "", &document, NULL));
    STATUS(xlstore_outgoing_document(s, "domid:8", NULL, &document, NULL), XLSTORE_E_NO_QEMU);
    CHECK(document == NULL);
    OK(xlstore_outgoing_document(s, "domid:7", "c7--incoming", &document, &notes));
    CHECK(strstr(document, "\"name\": \"c7--incoming\"") != NULL);
    CHECK(notes[0] == '[');
    xlstore_string_free(document);
    xlstore_string_free(notes);

    check_carried(s);

    INVALID(xlstore_preserve(NULL, "7", "n", NULL, NULL, NULL));
    INVALID(xlstore_preserve(s, "7", NULL, NULL, NULL, NULL));
    INVALID(xlstore_preserve(s, "7", "n", "no uuid", NULL, NULL));
    INVALID(xlstore_preserve_start(s, "7", "n", NULL, NULL, NULL, NULL, NULL));
    OK(xlstore_import(s, 21, document_of(21), NULL, NULL));
    OK(xlstore_preserve(s, "domid:21", "kept", uuid, NULL, &r));
    CHECK(strstr(xlstore_result_json(r), uuid) != NULL);
    xlstore_result_free(r);
    OK(xlstore_find(s, "uuid:8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9cff", &info));
    CHECK(info.domid == 21 && strcmp(info.name, "kept") == 0);
    t.calls = 0;
    OK(xlstore_preserve_start(s, "domid:21", "kept-2", NULL, NULL, tell, &t, NULL));
    run_until_told(s, &t);
    CHECK(t.status == XLSTORE_OK);
    OK(xlstore_destroy_domid(s, 21, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c21", NULL, NULL));
}

void check_creation(struct world* world)
{
    check_own_child(world);
    check_spawn(world);
    check_failures(world);
    check_one_qemu(world);
    check_cancelled_finish(world);
    check_without_qemu(world);
    check_soft_reset(world);
    check_closing(world);
    check_names(world); /* an intent that others left open is settled now */
}
