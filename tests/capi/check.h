/* SPDX-License-Identifier: MIT
 *
 * What the C test checks with, and the world that it checks in. A check that fails is told, and the
 * program goes on: its exit status is 1 then. */
#ifndef XLSTORE_TESTS_CAPI_CHECK_H_
#define XLSTORE_TESTS_CAPI_CHECK_H_

#include <stdint.h>
#include <xlstore/recovery.h>
#include <xlstore/xlstore.h>

#define CHECK(condition) check((condition) ? 1 : 0, __FILE__, __LINE__, #condition)
/* The call returns that status, and xlstore_last_error() says the same, with words if it failed. */
#define STATUS(call, wanted) check_status((call), (wanted), __FILE__, __LINE__, #call)
#define OK(call) STATUS(call, XLSTORE_OK)
#define INVALID(call) STATUS(call, XLSTORE_E_INVALID)

void check(int condition, const char* file, int line, const char* text);
void check_status(int32_t status, int32_t wanted, const char* file, int line, const char* text);
/* Ends the program: without this nothing else makes sense. */
void give_up(const char* what);
int failures_so_far(void);

/* A scratch directory; a store in it with domain 7, that has a QEMU, and domain 8, that has none.
 */
struct world {
    const char* program; /* this one; under valgrind /proc/self/exe is another */
    char directory[64];
    char store_path[80];
    char image[80]; /* of a CD */
    xlstore_store* store;
};
void make_world(struct world* world);
void end_world(struct world* world);
xlstore_store* open_store(const struct world* world);
/* The document of a domain; static, until the next call. */
const char* document_of(int domid);
/* The command line of a small QEMU with a USB controller and the CD drive hdc. NULL-terminated. */
const char* const* qemu_command(void);

/* A callback's story. */
struct told {
    int calls;
    int32_t status;
    int64_t intent;
    char message[256];
    char json[1024];
    xlstore_hold* hold;
    xlstore_creation* creation;
};
#define TOLD_INIT                     \
    {                                 \
        0, 1, 0, {0}, {0}, NULL, NULL \
    }
/* The callback for which `userdata` is a struct told; takes the hold or creation if there is one.
 */
void tell(xlstore_result* result, void* userdata);
/* Dispatches until the callback came: at least once, at most 60 s. */
void run_until_told(xlstore_store* store, const struct told* told);
void run_for_a_while(xlstore_store* store);

void check_without_store(void);
void check_arguments(struct world* world);
void check_looking(struct world* world);
void check_backup(struct world* world);
void check_bindings(struct world* world);
void check_edits(struct world* world);
void check_operations(struct world* world);
void check_external_qmp(struct world* world);
void check_lifecycle(struct world* world);
void check_creation(struct world* world);
void check_recovery(struct world* world);
void check_callbacks(struct world* world);
void check_processes(struct world* world);

#endif
