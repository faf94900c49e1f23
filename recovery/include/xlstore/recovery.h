/* SPDX-License-Identifier: MIT
 *
 * Recovery for a toolstack that starts: what operations, creations and destructions that died left
 * behind is settled by what QEMU shows. It may run while others work (what a living process is at
 * is left alone), may be killed anywhere, and run again. It stops no domain but one whose
 * destruction was ordered. Rules for threads, forks, errors: xlstore.h. The codes: xlfsck(8).
 */
#ifndef XLSTORE_RECOVERY_H_
#define XLSTORE_RECOVERY_H_

#include "xlstore/xlstore.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define XLSTORE_RECOVER_LOOK 1  /* no to everything, nothing is written; also if read-only */
#define XLSTORE_RECOVER_PREEN 2 /* what is safe without a human */
#define XLSTORE_RECOVER_YES 3   /* yes to everything */
#define XLSTORE_RECOVER_ASK 4   /* xlstore_answer decides */

/* Flags, as xlfsck(8) has --evict and -f. */
/* What no entry knows is taken out of QEMU, not adopted; not when preening. */
#define XLSTORE_RECOVER_EVICT 1U
/* What follows from what was checked is checked, too. */
#define XLSTORE_RECOVER_WHOLE 2U
/* Every page of the database is read first, at one go: the loop is kept for 0.5 s for each 100 000
 * lines of history. Without it damage is told where it is met, and xlfsck(8) looks for it. */
#define XLSTORE_RECOVER_PAGES 4U

/* Bits of "fsck_status", as in fsck(8). */
#define XLSTORE_FSCK_CORRECTED 1 /* something was corrected */
#define XLSTORE_FSCK_OUTSIDE 2   /* a guest or another process must act first */
#define XLSTORE_FSCK_LEFT 4      /* something was left uncorrected */
#define XLSTORE_FSCK_BLIND 8     /* something could not be looked at */

#define XLSTORE_ACTION_NONE 0   /* there is nothing to do about it */
#define XLSTORE_ACTION_FIXED 1
#define XLSTORE_ACTION_LEFT 2   /* the answer was no */
#define XLSTORE_ACTION_FAILED 3 /* `error` says why */

/* One thing found. Texts end with the callback; none is NULL, and each is one line: control
 * characters, and bytes that are not UTF-8, are \xNN. */
typedef struct xlstore_finding {
    uint32_t struct_size;
    int32_t code;         /* permanent; xlfsck(8) lists them */
    int32_t action;       /* XLSTORE_ACTION_...; not yet decided in xlstore_answer */
    int32_t domid;        /* -1: none */
    int64_t intent;       /* 0: none */
    const char* problem;  /* the code as a stable word */
    const char* subject;  /* "domain 7 (web): disks/hdc: intent 12 (add)" */
    const char* message;
    const char* question; /* "": nothing can be done about it */
    const char* evidence;
    const char* error;
    const char* fixed;    /* what a repair did, in words */
    int32_t if_left;      /* bits of XLSTORE_FSCK_ when it is left; 0: there is nothing wrong */
    int32_t reserved;
} xlstore_finding;

/* xlstore_found: called as each finding is complete. xlstore_answer: called before each repair in
 * XLSTORE_RECOVER_ASK; a return value other than 0 means yes. Both are called from
 * within the call that waits or xlstore_dispatch(), possibly under a slow lock: they must not call
 * back in, throw or jump. */
typedef void (*xlstore_found)(const xlstore_finding* finding, void* userdata);
typedef int32_t (*xlstore_answer)(const xlstore_finding* finding, void* userdata);
typedef void (*xlstore_progress)(int32_t pass, int32_t done, int32_t of, void* userdata);

typedef struct xlstore_recover_options {
    uint32_t struct_size;
    int32_t mode;          /* XLSTORE_RECOVER_...; 0: preen */
    const char* domain;    /* NULL: all, sessions and database included */
    uint32_t timeout_ms;   /* for each domain; 0: 10 s */
    uint32_t flags;        /* XLSTORE_RECOVER_EVICT, _WHOLE, _PAGES */
    xlstore_found found;   /* each of the three may be NULL, but answer in XLSTORE_RECOVER_ASK */
    xlstore_answer answer;
    xlstore_progress progress;
    void* userdata;        /* of all three */
} xlstore_recover_options;
#define XLSTORE_RECOVER_OPTIONS_INIT \
    {sizeof(xlstore_recover_options), 0, NULL, 0, 0, NULL, NULL, NULL, NULL}
void xlstore_recover_options_init(xlstore_recover_options* options, size_t size);

/* Runs the passes of xlfsck(8) over an open store; each repair is one commit, and it may be killed
 * anywhere and run again. `options` may be NULL: preen. Result: {"found","corrected","notes",
 * "fsck_status"}. Status: done when nothing is left; in doubt when a guest or another process must
 * act first or something could not be looked at; refused when something was left uncorrected; lost,
 * order, store, not_found, busy (one is under way on this handle) when it did not run, and nothing
 * was changed. A damaged database is only reported: xlfsck(8) replaces it, with the store closed.
 * What other operations change through the same handle meanwhile is theirs, and not this run's to
 * undo (xlstore_undo, R22). */
int32_t xlstore_recover(xlstore_store* store, const xlstore_recover_options* options,
                        xlstore_result** result_out);
int32_t xlstore_recover_start(xlstore_store* store, const xlstore_recover_options* options,
                              xlstore_callback callback, void* userdata, xlstore_op** op_out);

/* Also while QEMUs of the store live: they are asked what they have, and registered (R19). */
#define XLSTORE_RESTORE_ADOPT 1U

typedef struct xlstore_restore_options {
    uint32_t struct_size;
    uint32_t flags;                 /* XLSTORE_RESTORE_ADOPT */
    const char* program;            /* who this is, for history; NULL: "libxlstore" */
    const char* userdata_directory; /* where libxl keeps its documents; NULL: /var/lib/xen */
    uint32_t timeout_ms;            /* for processes that have it open, and a domain; 0: 10 s */
    uint32_t reserved;
    xlstore_found found;            /* NULL: not wanted */
    void* userdata;
    xlstore_error* error;           /* as that of xlstore_open_options */
} xlstore_restore_options;
#define XLSTORE_RESTORE_OPTIONS_INIT \
    {sizeof(xlstore_restore_options), 0, NULL, NULL, 0, 0, NULL, NULL, NULL}
void xlstore_restore_options_init(xlstore_restore_options* options, size_t size);

/* Makes the state in `file`, as xlstore_backup() wrote it, that of the store in `directory`, which
 * no process may have open, this one included; a store is made where there is none. Ids and epochs
 * go on above all that the directory has seen; what was there before is kept beside it. QEMUs are
 * asked and nothing else. It replaces one file by one rename: killed anywhere, the store is the old
 * one or the new one, and xlfsck goes on with what follows. A blocking call. `options` may be NULL.
 * Result:
 * {"commits","kept","domains":[{"domid","subject","qemu"}],"found","corrected","fsck_status"}.
 * Errors, with nothing changed: invalid (no backup, or a database copied without its log), refused
 * (QEMUs live; the message names them), busy (who has it open), store, io, exists. unfinished: the
 * backup is the store now, and what follows could not be done. */
int32_t xlstore_restore(const char* directory, const char* file,
                        const xlstore_restore_options* options, xlstore_result** result_out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_RECOVERY_H_ */
