/* SPDX-License-Identifier: MIT
 *
 * Every function of xlstore.h and recovery.h, from C99: good use and bad. No test framework, so
 * that it shows what a C program sees. Needs qemu-system-x86_64.
 *
 *   capi_test [GROUP]...        all of them without an argument; to find a failure, one
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static int failures;

int failures_so_far(void)
{
    return failures;
}

void check(int condition, const char* file, int line, const char* text)
{
    if (condition) return;
    ++failures;
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
}

void check_status(int32_t status, int32_t wanted, const char* file, int line, const char* text)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    const int32_t asked = xlstore_last_error(&error);
    if (status == wanted && asked == XLSTORE_OK && error.status == status &&
        (status == XLSTORE_OK) == (error.message[0] == '\0'))
        return;
    ++failures;
    fprintf(stderr, "%s:%d: %s, not %s (last error %s: \"%s\"): %s\n", file, line,
            xlstore_status_name(status), xlstore_status_name(wanted),
            xlstore_status_name(error.status), error.message, text);
}

void give_up(const char* what)
{
    fprintf(stderr, "cannot go on: %s\n", what);
    exit(1);
}

const char* document_of(int domid)
{
    static char text[1024];
    snprintf(text, sizeof text,
             "{\"c_info\":{\"type\":\"hvm\",\"name\":\"c%d\","
             "\"uuid\":\"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c%02d\"},\"b_info\":{\"type.hvm\":{}},"
             "\"disks\":[{\"pdev_path\":\"\",\"vdev\":\"hdc\",\"format\":\"empty\",\"removable\":1,"
             "\"is_cdrom\":1}],\"nics\":[{\"devid\":0,\"mac\":\"00:16:3e:00:00:%02d\"}]}",
             domid, domid, domid);
    return text;
}

const char* const* qemu_command(void)
{
    static const char* const words[] = {"qemu-system-x86_64",
                                        "-nodefaults",
                                        "-display",
                                        "none",
                                        "-machine",
                                        "pc,accel=tcg",
                                        "-m",
                                        "32",
                                        "-drive",
                                        "if=none,id=ide-5632,readonly=on",
                                        "-device",
                                        "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
                                        "-device",
                                        "usb-ehci,id=xenusb-0",
                                        NULL};
    return words;
}

xlstore_store* open_store(const struct world* world)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    xlstore_store* store = NULL;
    options.program = "capi_test";
    OK(xlstore_open(world->store_path, &options, &store));
    if (!store) give_up("the store cannot be opened");
    return store;
}

void make_world(struct world* world)
{
    char block[4096] = {0};
    int file;
    int i;
    snprintf(world->image, sizeof world->image, "%s/cd.iso", world->directory);
    file = open(world->image, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    for (i = 0; i < 16; ++i)
        if (write(file, block, sizeof block) != (ssize_t)sizeof block) give_up(world->image);
    close(file);
    OK(xlstore_init(world->store_path, NULL));
    world->store = open_store(world);
    OK(xlstore_create(world->store, 7, document_of(7), qemu_command(), NULL, NULL));
    OK(xlstore_import(world->store, 8, document_of(8), NULL, NULL));
}

void end_world(struct world* world)
{
    xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
    char command[128];
    while (xlstore_next(world->store, -1, &info) == XLSTORE_OK) {
        char name[32];
        snprintf(name, sizeof name, "id:%lld", (long long)info.id);
        OK(xlstore_destroy(world->store, name, NULL, NULL));
        if (failures > 100) break;
    }
    xlstore_close(world->store);
    snprintf(command, sizeof command, "rm -r %s", world->directory);
    CHECK(system(command) == 0);
}

void tell(xlstore_result* result, void* userdata)
{
    struct told* told = userdata;
    ++told->calls;
    told->status = xlstore_result_status(result);
    told->intent = xlstore_result_intent(result);
    snprintf(told->message, sizeof told->message, "%s", xlstore_result_message(result));
    snprintf(told->json, sizeof told->json, "%s", xlstore_result_json(result));
    told->hold = xlstore_result_take_hold(result);
    CHECK(xlstore_result_take_hold(result) == NULL);
    told->creation = xlstore_result_take_creation(result);
}

static void dispatch_once(xlstore_store* store, int wait_ms)
{
    struct pollfd wait;
    wait.fd = xlstore_fd(store);
    wait.events = POLLIN;
    if (wait.fd < 0) give_up("xlstore_fd");
    poll(&wait, 1, wait_ms);
    OK(xlstore_dispatch(store));
}

void run_until_told(xlstore_store* store, const struct told* told)
{
    const time_t until = time(NULL) + 60;
    while (told->calls == 0 && time(NULL) < until)
        dispatch_once(store, 1000);
    CHECK(told->calls == 1);
}

void run_for_a_while(xlstore_store* store)
{
    int i;
    for (i = 0; i < 20; ++i)
        dispatch_once(store, 10);
}

static void without_store(struct world* world)
{
    (void)world;
    check_without_store();
}

static int run_groups(struct world* world, int argc, char** argv)
{
    static const struct {
        const char* name;
        void (*check)(struct world* world);
    } groups[] = {
        {"without_store", without_store}, {"arguments", check_arguments},
        {"looking", check_looking},       {"edits", check_edits},
        {"backup", check_backup},         {"bindings", check_bindings},
        {"operations", check_operations}, {"external_qmp", check_external_qmp},
        {"lifecycle", check_lifecycle},   {"creation", check_creation},
        {"recovery", check_recovery},     {"callbacks", check_callbacks},
        {"processes", check_processes},
    };
    size_t i;
    make_world(world);
    for (i = 0; i < sizeof groups / sizeof groups[0]; ++i) {
        int asked = argc == 1;
        int j;
        for (j = 1; j < argc; ++j)
            asked |= strcmp(argv[j], groups[i].name) == 0;
        if (!asked) continue;
        printf("%s\n", groups[i].name);
        fflush(stdout);
        groups[i].check(world);
    }
    end_world(world);
    printf("%d checks failed\n", failures);
    return failures ? 1 : 0;
}

/* Another process, for check_bindings(). */
static int remove_60(const char* store_path)
{
    xlstore_store* store = NULL;
    OK(xlstore_open(store_path, NULL, &store));
    OK(xlstore_remove_thing(store, "domid:8", "nics", "60", 0, NULL, NULL));
    xlstore_close(store);
    return failures;
}

/* The checks run in a child: if it does not come to its end, its domains are ended here. */
int main(int argc, char** argv)
{
    struct world world;
    int status = 0;
    pid_t child;
    if (argc == 3 && strcmp(argv[1], "--remove-60") == 0) return remove_60(argv[2]);
    world.program = argv[0];
    strcpy(world.directory, "/tmp/xc-XXXXXX"); /* short: sockets lie in it */
    if (!mkdtemp(world.directory)) give_up("mkdtemp");
    snprintf(world.store_path, sizeof world.store_path, "%s/s", world.directory);
    child = fork();
    if (child == 0) return run_groups(&world, argc, argv);
    if (waitpid(child, &status, 0) != child) give_up("waitpid");
    if (access(world.store_path, F_OK) == 0) {
        fprintf(stderr, "it did not come to its end\n");
        world.store = open_store(&world);
        end_world(&world);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
