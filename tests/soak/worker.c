/* SPDX-License-Identifier: MIT
 *
 * A toolstack that lives for long: a store, a domain with a QEMU and one without, and operations of
 * each kind, again and again. soak.py starts it, and asks for a line of figures by a line on its
 * standard input; the end of its input ends it.
 *
 *   worker STORE IMAGE [result|descriptor|history]      the last: what it leaks, for the self-test
 */
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xlstore/recovery.h>
#include <xlstore/xlstore.h>

#define WARM_UP 50

static const char* leak = "";
static long changes_told;

static void must(int32_t status, const char* what)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    if (status == XLSTORE_OK) return;
    xlstore_last_error(&error);
    fprintf(stderr, "worker: %s: %s: %s\n", what, xlstore_status_name(status), error.message);
    exit(1);
}

static void end_result(xlstore_result* result)
{
    if (strcmp(leak, "result") != 0) xlstore_result_free(result);
}

static void end_text(char* text)
{
    if (strcmp(leak, "result") != 0) xlstore_string_free(text);
}

static void count_change(const xlstore_change* change, void* userdata)
{
    (void)change;
    (void)userdata;
    ++changes_told;
}

static void count_end(xlstore_result* result, void* userdata)
{
    (void)result;
    ++*(int*)userdata;
}

static void make_domains(xlstore_store* store)
{
    static const char* const qemu[] = {
        "qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "pc,accel=tcg", "-m", "32",
        "-drive", "if=none,id=ide-5632,readonly=on", "-device",
        "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0", NULL};
    static const char document[] =
        "{\"c_info\":{\"type\":\"hvm\",\"name\":\"s%d\",\"uuid\":\"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c%02d\"},"
        "\"b_info\":{\"type.hvm\":{}},\"disks\":[{\"pdev_path\":\"\",\"vdev\":\"hdc\",\"format\":\"empty\","
        "\"removable\":1,\"is_cdrom\":1}]}";
    char text[1024];
    snprintf(text, sizeof text, document, 7, 7);
    must(xlstore_create(store, 7, text, qemu, NULL, NULL), "create");
    snprintf(text, sizeof text, document, 8, 8);
    must(xlstore_import(store, 8, text, NULL, NULL), "import");
}

static void in_qemu(xlstore_store* store, const char* image)
{
    xlstore_result* result = NULL;
    must(xlstore_insert(store, "domid:7", "hdc", image, NULL, &result), "insert");
    end_result(result);
    result = NULL;
    must(xlstore_eject(store, "domid:7", "hdc", NULL, &result), "eject");
    end_result(result);
}

static void in_the_document(xlstore_store* store)
{
    char* text = NULL;
    xlstore_fast* fast = NULL;
    must(xlstore_put_thing(store, "domid:8", "nics", "{\"devid\":1,\"mac\":\"00:16:3e:00:00:01\"}", 0, NULL, NULL), "put");
    must(xlstore_fast_lock(store, "domid:8", "soak", NULL, &fast), "fast lock");
    must(xlstore_fast_document(fast, &text), "fast document");
    must(xlstore_fast_write_document(fast, text), "write");
    xlstore_string_free(text);
    xlstore_fast_release(fast);
    must(xlstore_remove_thing(store, "domid:8", "nics", "1", 0, NULL, NULL), "remove");
}

/* Cancelled before it has begun, and what fails. */
static void in_vain(xlstore_store* store, const char* image)
{
    xlstore_op* op = NULL;
    xlstore_call once = XLSTORE_CALL_INIT;
    xlstore_hold* hold = NULL;
    xlstore_hold* second = NULL;
    xlstore_result* result = NULL;
    int ended = 0;
    must(xlstore_insert_start(store, "domid:7", "hdc", image, NULL, count_end, &ended, &op), "start");
    xlstore_op_cancel(op);
    while (!ended) {
        struct pollfd wait;
        wait.fd = xlstore_fd(store);
        wait.events = POLLIN;
        poll(&wait, 1, 1000);
        must(xlstore_dispatch(store), "dispatch");
    }
    if (xlstore_attach(store, "domid:99", "qemu", "{}", NULL, &result) != XLSTORE_E_NOT_FOUND) exit(1);
    end_result(result);
    once.flags = XLSTORE_TRY;
    must(xlstore_slow_lock(store, "domid:7", "soak", NULL, &hold), "slow lock");
    if (xlstore_slow_lock(store, "domid:7", "soak", &once, &second) != XLSTORE_E_BUSY) exit(1);
    xlstore_hold_release(hold);
}

static void look(xlstore_store* store)
{
    char* text = NULL;
    must(xlstore_things(store, "domid:7", &text), "things");
    end_text(text);
    must(xlstore_query_json(store, "SELECT * FROM domains", NULL, 0, NULL, &text), "query");
    end_text(text);
    must(xlstore_document(store, "domid:7", &text, NULL), "document");
    end_text(text);
}

/* What is done seldom: another handle, a recovery, a backup, and the end of old lines. */
static void housekeeping(xlstore_store* store, const char* path)
{
    char file[256];
    xlstore_store* other = NULL;
    xlstore_result* result = NULL;
    must(xlstore_open(path, NULL, &other), "open");
    must(xlstore_recover(other, NULL, &result), "recover");
    end_result(result);
    xlstore_close(other);
    snprintf(file, sizeof file, "%s.backup", path);
    unlink(file);
    must(xlstore_backup(store, file, NULL), "backup");
    if (strcmp(leak, "history") == 0) return;
    result = NULL;
    must(xlstore_prune(store, NULL, 0, 0, NULL, &result), "prune");
    end_result(result);
}

static int figures_wanted(void)
{
    char line[64];
    struct pollfd in;
    in.fd = STDIN_FILENO;
    in.events = POLLIN;
    if (poll(&in, 1, 0) <= 0) return 0;
    if (!fgets(line, sizeof line, stdin)) return -1;
    return 1;
}

int main(int argc, char** argv)
{
    xlstore_store* store = NULL;
    xlstore_watch* watch = NULL;
    long rounds = 0;
    int wanted = 0;
    if (argc < 3) return 2;
    if (argc > 3) leak = argv[3];
    setvbuf(stdin, NULL, _IONBF, 0);
    must(xlstore_init(argv[1], NULL), "init");
    must(xlstore_open(argv[1], NULL, &store), "open");
    make_domains(store);
    must(xlstore_watch_start(store, -1, count_change, NULL, &watch), "watch");
    /* At first caches fill, and that is no leak. */
    while ((wanted = rounds < WARM_UP ? 0 : figures_wanted()) >= 0) {
        if (wanted) {
            /* What is in use, and not what malloc keeps for later. */
            printf("%ld %zu %ld\n", rounds, mallinfo2().uordblks, changes_told);
            fflush(stdout);
        }
        if (rounds % 4 == 0) in_qemu(store, argv[2]);
        for (int edits = strcmp(leak, "history") == 0 ? 10 : 1; edits > 0; --edits)
            in_the_document(store);
        in_vain(store, argv[2]);
        for (int looks = strcmp(leak, "result") == 0 ? 10 : 1; looks > 0; --looks)
            look(store);
        must(xlstore_dispatch(store), "dispatch");
        if (++rounds % 20 == 0) housekeeping(store, argv[1]);
        if (strcmp(leak, "descriptor") == 0 && rounds > WARM_UP) (void)!open("/dev/null", O_RDONLY);
    }
    xlstore_watch_end(watch);
    must(xlstore_destroy(store, "domid:7", NULL, NULL), "destroy");
    xlstore_close(store);
    return 0;
}
