/* SPDX-License-Identifier: MIT
 *
 * xlstore: libxl-json in SQLite, recoverable after a crash. The C interface; C99 and C++.
 *
 * THREADS  A store, and everything made from it, belongs to one thread at a time; different stores
 *          may be used in different threads at once, and one process may open several, the same one
 *          included. The library starts no thread, installs no signal handler, prints nothing,
 *          never exits and waits for nothing but in the calls that say so.
 * FORKS    A child keeps nothing alive: locks and connections are closed in it before fork()
 *          returns, and each handle is refused there (XLSTORE_E_ORDER). It may free handles and go
 *          on to exec. Without exec every call is refused, xlstore_open and xlstore_init included,
 *          if any thread of the parent had a store open at the fork: close it before, and the child
 *          may open one. A child that never runs fork handlers (vfork, clone) must go on to exec.
 *          The library forks children itself, to start QEMU and to open images, and reaps them.
 * LOCKS    In the order (R7): slow lock, the caller's own context lock (xlstore_context_enter),
 *          fast lock, writer lock. What is asked for against that order is refused (order),
 *          never waited for. The rules R1 to R22 are in store/DESIGN.md.
 * ERRORS   Each call returns a status. What it means in words: xlstore_last_error(), or the result.
 *          Outputs (suffix _out) come last and are untouched on failure. A pointer that is NULL and
 *          must not be, or a struct_size that no release has: XLSTORE_E_INVALID, and nothing was
 *          done. An _out pointer may be NULL where the answer is not wanted, unless it hands over
 *          something to be freed. Besides the errors that a call names, each call may end with
 *          order, lost (the store was moved away or replaced), io and no_memory.
 * STRUCTS  One that the caller fills begins with struct_size: start from its _INIT, or, in another
 *          language, from the function of the same name (xlstore_call_init). One full of zeros but
 *          for its struct_size is safe, too. What a later release adds at its end is zero in older
 *          programs.
 * TEXT     UTF-8, NUL-terminated. A `const char *` returned belongs to the object asked; a `char *`
 *          through _out is the caller's, who frees it with xlstore_string_free().
 * TIME     Limits are milliseconds (_ms), times are microseconds since 1970 UTC (_us). A call that
 *          waits does so for 30 s unless its comment, or xlstore_call.timeout_ms, says otherwise;
 *          writing down what QEMU has already done may take up to 5 s more (R20).
 * DOMAINS  are named as on the command line: "domid:7", "uuid:...", "name:...", "id:N" (one
 *          incarnation, which no later domain of the same domid is), or a bare word tried as domid,
 *          uuid and name.
 * KEYS     A thing is named by its class, an array of the document, and its key: of disks the vdev
 *          in its plain form ("hdc", "xvda1"); of nics, vtpms, vdispls, vsnds and usbctrls the
 *          devid; of pcidevs the address on the host ("0000:03:00.0"); of usbdevs controller and
 *          port ("0.2"); of vcpus the index; of class qemu the member "key". All others, a nic
 *          without devid, and a PCI device given by name have a number that the store gives ("#7")
 *          and that no element of the domain had before: xlstore_things() tells it.
 *
 * An operation on a domain comes twice: a call that waits until it has ended, and one with the
 * suffix _start that returns at once and ends with a callback. Three outcomes, never two: done
 * (XLSTORE_OK); not done (any other status: store and QEMU are as they were unless the message says
 * otherwise); in doubt (XLSTORE_E_IN_DOUBT: the intent stays open under the number that the result
 * has; wait for it, ask again, or leave it to recovery). What fails after an operation's first
 * commit, lack of memory included, is in doubt unless it is proved otherwise; a destruction that is
 * committed is never "not done", but XLSTORE_E_UNFINISHED. Where there is no memory for the words
 * of a result, they are missing; status and intent never are.
 */
#ifndef XLSTORE_XLSTORE_H_
#define XLSTORE_XLSTORE_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define XLSTORE_VERSION_MAJOR 0
#define XLSTORE_VERSION_MINOR 1
/* The release of the library that is loaded, which may be newer than this header: "0.1.0". */
const char* xlstore_version(void);

/* ---- Status --------------------------------------------------------------------------------- */

#define XLSTORE_OK 0 /* done */
#define XLSTORE_E_INVALID (-1)   /* a bad argument or bad input; nothing was done */
#define XLSTORE_E_NOT_FOUND (-2) /* no such domain, thing or intent */
#define XLSTORE_E_GONE (-3)      /* the domain is destroyed or being destroyed (R8) */
#define XLSTORE_E_EXISTS (-4)    /* what was to be added is there already; nothing was changed
                                    (R16) */
#define XLSTORE_E_BUSY (-5)      /* a lock was not to be had in time; the message names its
                                    holder */
#define XLSTORE_E_REFUSED (-6)   /* QEMU, its guest or a rule said no; nothing changed unless
                                    the message says so */
#define XLSTORE_E_IN_DOUBT (-7)  /* QEMU may have acted; the number of the open intent is given
                                    where there is one */
#define XLSTORE_E_LOST (-8)      /* the hold was lost (R15), or the store was moved away or
                                    replaced (R17) */
#define XLSTORE_E_STORE (-9)     /* the store cannot be used: owner, mode, version, file system,
                                    damage */
#define XLSTORE_E_NO_QEMU (-10)  /* the domain has no QEMU, or it is proved dead */
#define XLSTORE_E_PROTOCOL (-11) /* the monitor broke the protocol, hung up or stayed silent;
                                    nothing was changed */
#define XLSTORE_E_CANCELLED (-12) /* the caller gave up before anything was changed; a
                                     recovery: what it repaired stays */
#define XLSTORE_E_ORDER (-13)    /* a lock was asked for against R7, or a handle was used in a
                                    forked child */
#define XLSTORE_E_IO (-14)       /* the system refused: disk full, descriptors, permissions */
#define XLSTORE_E_NO_MEMORY (-15) /* out of memory */
#define XLSTORE_E_CONFLICT (-16) /* the domain or its document is not as the caller expected;
                                    nothing was changed */
#define XLSTORE_E_UNFINISHED (-17) /* what has begun cannot be taken back and is not at its end (a
                                    committed destruction, a killed QEMU); the advice names what
                                    goes on with it */

/* The stable name of a status ("in_doubt"), as --json prints it; "unknown": none of the above. */
const char* xlstore_status_name(int32_t status);

/* What the last call on this thread that failed had to say. Each call that returns a status clears
 * it first, so it is never stale. Text that does not fit is cut. */
typedef struct xlstore_error {
    uint32_t struct_size;
    int32_t status;
    int64_t intent; /* an open intent's number; 0: none */
    char message[1024];
    char advice[512];
} xlstore_error;
#define XLSTORE_ERROR_INIT {sizeof(xlstore_error), 0, 0, {0}, {0}}
int32_t xlstore_last_error(xlstore_error* error_out);
void xlstore_error_init(xlstore_error* error, size_t size);

void xlstore_string_free(char* text);

/* ---- The store ------------------------------------------------------------------------------ */

typedef struct xlstore_store xlstore_store;

#define XLSTORE_LOG_DEBUG 0
#define XLSTORE_LOG_INFO 1
#define XLSTORE_LOG_WARNING 2
#define XLSTORE_LOG_ERROR 3
/* Receives a finished line, without newline. Called from within any call on that store, possibly
 * under its locks: it must not call back in, wait, throw or jump. */
typedef void (*xlstore_log)(int32_t level, const char* line, void* userdata);

typedef struct xlstore_init_options {
    uint32_t struct_size;
    uint32_t has_reading_group; /* 1: members of reading_group may read it (0750/0640) */
    uint32_t reading_group;
    uint32_t power; /* 1: an acknowledged change survives a power cut (synchronous=FULL) */
} xlstore_init_options;
#define XLSTORE_INIT_OPTIONS_INIT {sizeof(xlstore_init_options), 0, 0, 0}
void xlstore_init_options_init(xlstore_init_options* options, size_t size);
/* Where a store is expected: $XLSTORE_DIR, else /var/lib/xlstore. Belongs to the environment. */
const char* xlstore_default_directory(void);

/* Makes a new store in `directory`. A directory that does not exist is made; one that does has to
 * be empty, this user's, and closed to all other writers. `options` may be NULL. Errors: exists,
 * store, io. */
int32_t xlstore_init(const char* directory, const xlstore_init_options* options);

typedef struct xlstore_open_options {
    uint32_t struct_size;
    uint32_t read_only;      /* 1: for looking; no session, nothing is ever written */
    const char* program;     /* who this is, for claims and history; NULL: "libxlstore" */
    uint32_t timeout_ms;     /* for the writer lock, while another process has it; 0: 10 s */
    int32_t log_least;       /* XLSTORE_LOG_...; lines of a lower level are not made */
    xlstore_log log;         /* NULL: silent */
    void* log_userdata;
} xlstore_open_options;
#define XLSTORE_OPEN_OPTIONS_INIT \
    {sizeof(xlstore_open_options), 0, NULL, 0, XLSTORE_LOG_INFO, NULL, NULL}
void xlstore_open_options_init(xlstore_open_options* options, size_t size);
/* Opens an existing store. `options` may be NULL. Waits for the writer lock. A store of an older
 * release is upgraded in one transaction, for which no other process may have it open for writing:
 * busy names those that have. With read_only it is refused. Errors: store (with what is wrong and
 * what to do; a newer schema, too), busy, io. */
int32_t xlstore_open(const char* directory, const xlstore_open_options* options,
                     xlstore_store** store_out);
/* Ends it. Operations under way are given up, as by xlstore_op_forget; holds made from it are
 * given back, and every later use of them fails with XLSTORE_E_ORDER until they are freed. From
 * within a callback it takes effect when the call that delivers callbacks returns; the handle is
 * not to be named after xlstore_close() there either. NULL does nothing. */
void xlstore_close(xlstore_store* store);

/* One descriptor, readable whenever xlstore_dispatch() has something to do, timers included. It is
 * always waited for as readable, never changes, and is the store's own: do not read or close it. */
int xlstore_fd(const xlstore_store* store);
/* Goes on with what is ready, and delivers callbacks. Waits neither for QEMU nor for a lock.
 * Errors: order (in a forked child, or under a fast lock of this thread), io. */
int32_t xlstore_dispatch(xlstore_store* store);

/* R7: this thread has taken, or is about to give back, the caller's own lock, which stands between
 * slow and fast lock. Recursive. Errors: order. */
int32_t xlstore_context_enter(void);
int32_t xlstore_context_leave(void);

/* ---- Results and operations under way ------------------------------------------------------- */

/* What became of an operation. A call that waits sets result_out, if it is not NULL, whenever the
 * operation ran, with any status: begin with NULL, and free it always. */
typedef struct xlstore_result xlstore_result;
int32_t xlstore_result_status(const xlstore_result* result);
/* One line: what was done, or what happened instead and what to do next. Never NULL. */
const char* xlstore_result_message(const xlstore_result* result);
const char* xlstore_result_advice(const xlstore_result* result);
/* The intent that was closed, or of an outcome in doubt is open; 0: none. */
int64_t xlstore_result_intent(const xlstore_result* result);
/* One JSON value: what `xlstore --json` prints for the same. Never NULL. */
const char* xlstore_result_json(const xlstore_result* result);
/* Frees a result that a waiting call handed over; it outlives its store. NULL does nothing. */
void xlstore_result_free(xlstore_result* result);

/* Called once for each operation that was started and not forgotten, from within xlstore_dispatch()
 * alone, with no lock held. `result` is the library's and ends with the callback. Calling back in
 * is allowed, xlstore_close() included. It must not throw or jump. */
typedef void (*xlstore_callback)(xlstore_result* result, void* userdata);

/* An operation under way; ends with its callback, and must not be named after that. */
typedef struct xlstore_op xlstore_op;
/* Ends an operation now; its callback comes with the next xlstore_dispatch(). Before its first
 * commit: XLSTORE_E_CANCELLED, and nothing has changed. After it: XLSTORE_E_IN_DOUBT with the
 * number of the intent, which stays open for the next operation on that thing, or for recovery; of
 * a thing of xenstore, which has no intent, XLSTORE_E_IN_DOUBT without a number (0), and its entry
 * stays for the same two; of a creation, a soft reset or a destruction XLSTORE_E_UNFINISHED; of a
 * batch whose requests stand each for itself the same, or XLSTORE_E_IN_DOUBT, and the message names
 * those that are done; of a recovery XLSTORE_E_CANCELLED, and what it repaired stays repaired. One
 * that has ended by itself keeps its own result. Waits for nothing. NULL does nothing. */
void xlstore_op_cancel(xlstore_op* op);
/* The same, and its callback is not called any more: the caller never learns what became of it. For
 * a caller that goes away itself. `op` is not to be named after it. NULL does nothing. */
void xlstore_op_forget(xlstore_op* op);

/* How a call is to be done. NULL in its place: the standard. */
typedef struct xlstore_call {
    uint32_t struct_size;
    uint32_t timeout_ms;       /* how long it may take; 0: the standard time of that call */
    const char* document_name; /* what messages call a document that is given, such as its file;
                                  NULL: "document" */
    const char* things; /* what xlstore_outgoing_domain() gave with a document, for xlstore_create,
                           xlstore_import and xlstore_creation_begin; NULL: nothing. The text is
                           copied. Not in the struct of release 0.1, which ends before it: this
                           and what follows is read only if struct_size says so */
    uint32_t flags;            /* XLSTORE_FORCE, XLSTORE_WAIT_FOR_GUEST, XLSTORE_TRY, where a call
                                  has them */
    const char* places; /* of xlstore_settle() with XLSTORE_SEEN_AFTER of an add: where QEMU put its
                           devices, {"ID": {"bus": "pci.0", "addr": "06.0"}} in the arguments of
                           device_add; the entry keeps it, a PCI device's as vdevfn, too. NULL: not
                           known */
} xlstore_call;
#define XLSTORE_CALL_INIT {sizeof(xlstore_call), 0, NULL, NULL, 0, NULL}
void xlstore_call_init(xlstore_call* call, size_t size);
#define XLSTORE_FORCE 1u
#define XLSTORE_WAIT_FOR_GUEST 2u
/* Of the calls that acquire a lock: one try, no wait. The error is busy, and names the holder. */
#define XLSTORE_TRY 4u

/* ---- Level one: the store talks to QEMU ----------------------------------------------------- */

/* Adds the thing `json`, of `device_class` (an array of the document, or "qemu", "vcpus"), to a
 * running domain. Result: {"result","intent","evidence"}. A thing of xenstore has no intent: there
 * is no "intent" in its result, and no number where it is in doubt. Errors: all but conflict,
 * cancelled only of the call with _start; io: xenstored could not be asked. */
int32_t xlstore_attach(xlstore_store* store, const char* domain, const char* device_class,
                       const char* json, const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_attach_start(xlstore_store* store, const char* domain, const char* device_class,
                             const char* json, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out);

/* Takes a thing out. In doubt also means: asked, waiting for the guest; asked once more, the guest
 * is asked again.
 *
 * An operation that finds an earlier intent open on its thing settles it first. If the earlier one
 * asked for the same, what becomes of it is this one's outcome: done, or in doubt with its number.
 * If another one stays open: refused, with that intent named in the message; nothing was
 * changed. */
int32_t xlstore_detach(xlstore_store* store, const char* domain, const char* device_class,
                       const char* key, const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_detach_start(xlstore_store* store, const char* domain, const char* device_class,
                             const char* key, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out);

/* Puts the raw image `file` into the CD drive `vdev`, in place of what was in it. A relative path
 * is taken from the current directory at once; the document has the absolute one.
 *
 * A guest that keeps the tray shut is asked by QEMU to open it, and may do so at any time; the
 * medium stays: refused. With XLSTORE_WAIT_FOR_GUEST in call->flags the guest is given 5 s, then
 * the outcome is in doubt, and xlstore_wait() goes on with it once the guest has opened the tray;
 * the same call asks again, another operation on the drive takes its place. With XLSTORE_FORCE the
 * tray is opened without asking. Both flags hold for xlstore_eject() as well. */
int32_t xlstore_insert(xlstore_store* store, const char* domain, const char* vdev, const char* file,
                       const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_insert_start(xlstore_store* store, const char* domain, const char* vdev,
                             const char* file, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out);

/* Takes the medium out of the CD drive `vdev`, which stays, empty. Tray and flags: as above. */
int32_t xlstore_eject(xlstore_store* store, const char* domain, const char* vdev,
                      const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_eject_start(xlstore_store* store, const char* domain, const char* vdev,
                            const xlstore_call* call, xlstore_callback callback, void* userdata,
                            xlstore_op** op_out);

/* PCI devices. QEMU's part of one is the store's, and its owner's node and libxl's list in
 * xenstore; the hypervisor's (permissions, interrupts, assignment, reset) is the embedder's, by
 * this hook.
 * Without it, attaching and detaching things of class pcidevs is refused, and so is their part of a
 * creation, which is a note then.
 *
 * The hook is called after QEMU has added the device and before the commit that says so; when QEMU
 * has it no longer, before the commit that takes its entry away; and to undo. In a PV or PVH domain
 * it is called before the device is put into the list, and after it was taken out, under the fast
 * lock as well. It is called from
 * within the calls that go on with operations (those that wait, and xlstore_dispatch), holds no
 * lock but the domain's slow lock, may be called again for what it has done already (which is
 * success), must not call into the store, wait, throw or jump. It returns 0 when it is done. Any
 * other value: it is not done, and `why` (why_size bytes, empty at first) may have got the reason;
 * an add is undone then, a removal stays in doubt until a later try succeeds.
 *
 * `hook` NULL: none any more. `sysfs`: where the kernel shows the host's devices; NULL: "/sys". A
 * device is attached only while the driver pciback has it there. */
typedef struct xlstore_pci_task {
    uint32_t struct_size;
    int32_t domid;
    int32_t assign;      /* 1: assign it to the domain; 0: take it back */
    const char* address; /* "0000:03:00.0" */
    const char* json;    /* the thing, as the document has it */
} xlstore_pci_task;
typedef int32_t (*xlstore_pci_hook)(const xlstore_pci_task* task, char* why, size_t why_size,
                                    void* userdata);
int32_t xlstore_set_pci_hook(xlstore_store* store, xlstore_pci_hook hook, const char* sysfs,
                             void* userdata);

/* Hotplug scripts of nics, and of disks with a block back end, whose back end is in domain 0. They
 * are run as libxl runs them: when the back end is ready (state 2), and again when it is closed;
 * 40 s at most, and no longer than the call may take. The domain's slow lock is held meanwhile. An
 * attach whose script fails is taken out again, and refused; a detach whose script fails is in
 * doubt, and goes on when it is asked for again. None is run for a domain whose document has
 * c_info.run_hotplug_scripts "False".
 *
 * `run` 0: none is run through this handle, because another program of the host does it, or to go
 * on without one that always fails; else they are, as at first. `directory`: where scripts are that
 * are named without one, an absolute path; NULL: "/etc/xen/scripts". */
int32_t xlstore_set_hotplug_scripts(xlstore_store* store, int32_t run, const char* directory);

/* Several of these under one slow lock and one connection; `requests` is a JSON array as xlstore(1)
 * has it. Without XLSTORE_ALL_OR_NONE each has its own outcome; with it (attaches only) all are
 * done or none. Status: the worst of the outcomes. Result: {"result","outcomes":[...]}. An attach
 * of what is there already, with the very same element, is done, with intent 0: a batch that was
 * cut short can be given again. */
#define XLSTORE_ALL_OR_NONE 1u
int32_t xlstore_batch(xlstore_store* store, const char* domain, const char* requests,
                      uint32_t flags, const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_batch_start(xlstore_store* store, const char* domain, const char* requests,
                            uint32_t flags, const xlstore_call* call, xlstore_callback callback,
                            void* userdata, xlstore_op** op_out);

/* Waits until the intent is closed; now and then it takes the slow lock and probes. Status: done;
 * refused when it was closed as not done; in doubt when it is open still; not found. Standard time:
 * 1 h. */
int32_t xlstore_wait(xlstore_store* store, int64_t intent, const xlstore_call* call,
                     xlstore_result** result_out);
int32_t xlstore_wait_start(xlstore_store* store, int64_t intent, const xlstore_call* call,
                           xlstore_callback callback, void* userdata, xlstore_op** op_out);

/* ---- External QMP client: the embedder talks to QEMU itself --------------------------------- *
 *
 *   xlstore_slow_lock -> connect, and probe -> xlstore_intend -> send -> xlstore_settle -> hang up
 *                                                                    -> xlstore_hold_release
 *
 * What the embedder promises, and the store cannot see:
 *  - it is connected to the monitor that the row names from before it probes until its settle has
 *    returned, so that no other client is (a monitor serves one client: R12);
 *  - after it connected, or after the last command of another program on a connection that lasts,
 *    it waited for the reply to an in-band command (qmp_capabilities will do) before it probed;
 *  - the ids of its commands are used by no other process;
 *  - it sends nothing that changes QEMU before xlstore_intend has returned XLSTORE_OK (R10), and
 *    only what the plan has;
 *  - what it says it saw, it saw under this hold.
 * What is checked: the hold and its epoch (R15), the domain's state (R8), that the monitor's path
 * is the registered one and leads to the registered QEMU, which lives (R11), and, when it is given,
 * that the descriptor is connected to it, at intend and again at settle (R12).
 */

/* The slow lock of a domain, held. */
typedef struct xlstore_hold xlstore_hold;
/* Acquires the slow lock of a domain (R3). `operation`: a few words on what it is for, shown to the
 * processes that wait for it and by `xlstore locks`. Operations of one process that wait for one
 * domain take turns in the order in which they were started. XLSTORE_TRY in call->flags. Errors:
 * busy, gone. */
int32_t xlstore_slow_lock(xlstore_store* store, const char* domain, const char* operation,
                          const xlstore_call* call, xlstore_hold** hold_out);
/* The hold is in the result: xlstore_result_take_hold(). Not taken, it is given back. NULL: there
 * is none in it, or no memory for the handle; then it can be taken later. */
int32_t xlstore_slow_lock_start(xlstore_store* store, const char* domain, const char* operation,
                                const xlstore_call* call, xlstore_callback callback, void* userdata,
                                xlstore_op** op_out);
xlstore_hold* xlstore_result_take_hold(xlstore_result* result);
/* Gives it back and frees it. An intent that is open stays open. NULL does nothing. */
void xlstore_hold_release(xlstore_hold* hold);
/* Is the hold still current? Errors: lost (R15), gone (R8). */
int32_t xlstore_hold_check(const xlstore_hold* hold);

#define XLSTORE_ADD 1
#define XLSTORE_REMOVE 2
#define XLSTORE_CHANGE 3

/* Which image of a thing was seen in QEMU. Of an add: before = nothing of it. That says nothing of
 * a present entry of the same key that is made of other things: intend refuses it (exists). */
#define XLSTORE_SEEN_NOTHING 0 /* no answer, or one that proves nothing */
#define XLSTORE_SEEN_BEFORE 1
#define XLSTORE_SEEN_AFTER 2
#define XLSTORE_SEEN_NEITHER 3 /* an emptied drive */

typedef struct xlstore_intention {
    uint32_t struct_size;
    int32_t operation;        /* XLSTORE_ADD, XLSTORE_REMOVE, XLSTORE_CHANGE */
    const char* device_class;
    const char* key;          /* of an add: NULL, its JSON says it */
    const char* json;         /* add: the thing. change: the thing as it will be. remove: NULL */
    const char* plan;         /* NULL: the class makes it. Else {"steps","undo","probe"}, as for
                                 class qemu */
    const char* monitor_path; /* that the commands will go through */
    int32_t monitor_fd;       /* connected to it, to be checked; 0 or less: not given */
    int32_t seen;             /* XLSTORE_SEEN_... under this hold, just before */
} xlstore_intention;
#define XLSTORE_INTENTION_INIT {sizeof(xlstore_intention), 0, NULL, NULL, NULL, NULL, NULL, -1, 0}
void xlstore_intention_init(xlstore_intention* intention, size_t size);
/* Commit 1. An earlier intent on the same thing has to be settled first: exists, with its number.
 * Errors besides: exists (the thing is in QEMU, or an id is taken: R16), in_doubt (nothing was
 * proved by what was seen; nothing was changed), invalid, gone, lost, refused (not the registered
 * monitor), no_qemu, busy. Result: {"result","intent"}. */
int32_t xlstore_intend(xlstore_hold* hold, const xlstore_intention* intention,
                       const xlstore_call* call, int64_t* intent_out);
/* The plan and probe of an open intent: {"operation","class","key","steps":[...],"probe":{...}}.
 * For the client that carries it out, and for the one that finds it open. Errors: not_found. */
int32_t xlstore_intent_plan(xlstore_store* store, int64_t intent, char** json_out);
/* Commit 2. `seen` closes the intent with that image; XLSTORE_SEEN_NOTHING leaves it open, with
 * `evidence` noted, and returns XLSTORE_E_IN_DOUBT; so does any failure to write it (a
 * lock that cannot be acquired in time, a lost hold, a full disk). `evidence`, one line, goes into
 * history. Errors besides: gone, not_found, invalid (that image cannot be; places), refused (the
 * descriptor given to intend is no longer connected to QEMU; then the intent stays open), order. */
int32_t xlstore_settle(xlstore_hold* hold, int64_t intent, int32_t seen, const char* evidence,
                       const xlstore_call* call);
/* The guest has been asked to let go: written down before it is waited for. */
int32_t xlstore_asked(xlstore_hold* hold, int64_t intent, const char* evidence,
                      const xlstore_call* call);
/* The same three without waiting for the fast lock. The hold must outlive them. The intent's number
 * is in the result. */
int32_t xlstore_intend_start(xlstore_hold* hold, const xlstore_intention* intention,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out);
int32_t xlstore_settle_start(xlstore_hold* hold, int64_t intent, int32_t seen, const char* evidence,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out);
int32_t xlstore_asked_start(xlstore_hold* hold, int64_t intent, const char* evidence,
                            const xlstore_call* call, xlstore_callback callback, void* userdata,
                            xlstore_op** op_out);

/* ---- External client: the store looks ------------------------------------------------------- *
 *
 *   xlstore_slow_lock -> xlstore_follow -> xlstore_look_and_intend -> the client's calls
 *                     -> xlstore_look_and_settle -> xlstore_hold_release
 *
 * For a client that has another toolstack's functions do the work (libxl's), and has no connection
 * of its own. Each of these connects to the registered monitor, proves the peer (R11), waits for
 * the barrier (R12), looks, writes, and hangs up before it returns: between them the monitor is
 * free, and the client's calls use it. Where the monitor is libxl's (/run/xen/qmp-libxl-N), they
 * hold libxl's locks on its device changes and its monitor as long. They wait, and have no form
 * with _start.
 */

/* Brings the domain in line with its QEMU, as xlstore_register does (its Result is that one's), and
 * before that with `document`, which the other toolstack keeps of it (NULL: with QEMU alone): what
 * it has and the store lacks gets an entry, stale until QEMU shows it. No entry goes; what has an
 * open intent is left alone. Errors: invalid (another domain's document), refused (the document is
 * closed, or R11), no_qemu, protocol, gone, lost, busy. */
int32_t xlstore_follow(xlstore_hold* hold, const char* document, const xlstore_call* call,
                       xlstore_result** result_out);
/* Commit 1 of `count` intentions at once, each with an end of its own, after a look of the store's
 * (monitor_path, monitor_fd and seen are not read). An earlier intent on such a thing is settled by
 * that look first; a removal that waits for its guest is gone on with, and its number is the one
 * given. `intents_out` has room for `count`. Errors as of xlstore_intend, but: refused or in_doubt
 * with the number of an earlier intent that stays open. No intention is opened then. */
int32_t xlstore_look_and_intend(xlstore_hold* hold, const xlstore_intention* intentions,
                                size_t count, const xlstore_call* call, int64_t* intents_out);
typedef struct xlstore_carried_out {
    uint32_t struct_size;
    int32_t seen;         /* set by the call: XLSTORE_SEEN_...; XLSTORE_SEEN_NOTHING: it is open */
    int64_t intent;
    const char* evidence; /* one line: what the client was told; never NULL */
    const char* json;     /* the thing as the other toolstack saved it; NULL: as intended */
    uint32_t asked;       /* 1: of a removal, the guest was asked to let go; while QEMU has the
                             thing, the intent stays open and says so */
    uint32_t reserved;
} xlstore_carried_out;
#define XLSTORE_CARRIED_OUT_INIT {sizeof(xlstore_carried_out), 0, 0, NULL, NULL, 0, 0}
void xlstore_carried_out_init(xlstore_carried_out* carried, size_t size);
/* Commit 2 of each, after a look of the store's: with the image that QEMU shows; what it shows to
 * be half done is undone as far as QEMU lets it. Errors: in_doubt (at least one stays open: `seen`
 * says which; the number is the first one's), not_found, invalid, and as of xlstore_settle. */
int32_t xlstore_look_and_settle(xlstore_hold* hold, xlstore_carried_out* carried, size_t count,
                                const xlstore_call* call);
/* Takes over a running domain of another toolstack's: imports its document, if no living row has
 * domid and uuid, and registers its QEMU, if none is that lives; sends nothing that changes QEMU
 * (R19). A row of that domid with another uuid, whose QEMU is dead, is an earlier life: it is
 * archived. `monitor_path` NULL: it has no QEMU. What fails leaves no new row. Result: as of
 * xlstore_register. Errors: as of xlstore_import and xlstore_register. */
int32_t xlstore_adopt(xlstore_store* store, int32_t domid, const char* document,
                      const char* monitor_path, const xlstore_call* call,
                      xlstore_result** result_out);
/* The first step of a destruction alone, for a toolstack that ends QEMU itself: from now on what
 * attaches or edits is refused (gone). xlstore_destroy, or recovery, goes on with it: it kills a
 * QEMU that lives still. Errors as of xlstore_destroy. Result: {"result","domid"}. */
int32_t xlstore_mark_destroying(xlstore_store* store, const char* domain, const xlstore_call* call,
                                xlstore_result** result_out);

/* ---- The document, and things under the fast lock ------------------------------------------- */

/* The document as libxl itself would write it, byte for byte, and its revision: read at one moment,
 * without a lock (R2). */
int32_t xlstore_document(xlstore_store* store, const char* domain, char** json_out,
                         int64_t* revision_out);
/* One thing's JSON, as the document has it. */
int32_t xlstore_thing(xlstore_store* store, const char* domain, const char* device_class,
                      const char* key, char** json_out, int64_t* revision_out);

/* Edits. Each waits for the fast lock of that domain and the writer lock only. Result of the forms
 * with _start: {"result","revision"}.
 *
 * Writes a whole document back: its skeleton, and the things whose thing lock is the fast lock
 * (R3); one that it lacks goes, as R5 allows for things of the fast lock. Things of QEMU in it are
 * not looked at: a pending one can be neither lost nor forged. uuid and domid cannot change. The
 * arrays get the order that they have in it; writing it twice changes nothing the second time. With
 * `revision` not 0: only if that is the document's revision, else conflict. */
int32_t xlstore_write_document(xlstore_store* store, const char* domain, const char* json,
                               int64_t revision, const xlstore_call* call, int64_t* revision_out);
int32_t xlstore_write_document_start(xlstore_store* store, const char* domain, const char* json,
                                     int64_t revision, const xlstore_call* call,
                                     xlstore_callback callback, void* userdata,
                                     xlstore_op** op_out);
/* Adds or replaces one such thing, or removes it. It is put before the thing is in its primary, and
 * removed after the thing is gone from there (R1). One that libxl gives no identity (vkbs, vfbs,
 * p9s, channels, a nic without devid ...) is another thing each time it is put, with a key of its
 * own ("#7", in view `things`) that no element of this domain had before: to replace it, remove it
 * by that key. Errors besides: refused, a thing of QEMU. */
int32_t xlstore_put_thing(xlstore_store* store, const char* domain, const char* device_class,
                          const char* json, int64_t revision, const xlstore_call* call,
                          int64_t* revision_out);
int32_t xlstore_remove_thing(xlstore_store* store, const char* domain, const char* device_class,
                             const char* key, int64_t revision, const xlstore_call* call,
                             int64_t* revision_out);
int32_t xlstore_put_thing_start(xlstore_store* store, const char* domain, const char* device_class,
                                const char* json, int64_t revision, const xlstore_call* call,
                                xlstore_callback callback, void* userdata, xlstore_op** op_out);
int32_t xlstore_remove_thing_start(xlstore_store* store, const char* domain,
                                   const char* device_class, const char* key, int64_t revision,
                                   const xlstore_call* call, xlstore_callback callback,
                                   void* userdata, xlstore_op** op_out);

/* The fast lock, held over several of these: a whole read-modify-write (R2) with work of the
 * caller's in between, such as a transaction of xenstore (entry first, then the primary; removal
 * the other way round). Synchronous: as long as this thread has one, xlstore_dispatch() and every
 * call that waits are refused (XLSTORE_E_ORDER), and so is a second one. Others wait: release it
 * soon. Each of the writing calls below is one commit, and changes nothing when it fails.
 * XLSTORE_TRY in call->flags. Errors of xlstore_fast_lock: busy, gone, not_found; of the others: as
 * of the same call without "fast". A fast lock is always to be released, in this thread or another;
 * NULL does nothing. */
typedef struct xlstore_fast xlstore_fast;
int32_t xlstore_fast_lock(xlstore_store* store, const char* domain, const char* operation,
                          const xlstore_call* call, xlstore_fast** fast_out);
void xlstore_fast_release(xlstore_fast* fast);
int32_t xlstore_fast_document(xlstore_fast* fast, char** json_out);
int32_t xlstore_fast_write_document(xlstore_fast* fast, const char* json);
int32_t xlstore_fast_put_thing(xlstore_fast* fast, const char* device_class, const char* json);
int32_t xlstore_fast_remove_thing(xlstore_fast* fast, const char* device_class, const char* key);

/* ---- Lifecycle ------------------------------------------------------------------------------ */

/* Starts `command` (NULL-terminated; QEMU's own monitor is added) as domain `domid` with this
 * document, behind a start barrier (R13), and ends when it runs and has what the document has.
 * Errors: invalid, exists, gone (a destruction came first), refused (QEMU died, daemonized or is
 * wrapped): nothing is left running and the row is marked destroyed. Result:
 * {"result","domid","incarnation","qemu_pid","monitor","log", "notes":[...]}; notes: things of the
 * document that QEMU has not and cannot be given. Standard time: 60 s. Without a QEMU
 * (xlstore_creation_without_qemu) there is no "qemu_pid", "monitor" and "log". */
int32_t xlstore_create(xlstore_store* store, int32_t domid, const char* document,
                       const char* const* command, const xlstore_call* call,
                       xlstore_result** result_out);
int32_t xlstore_create_start(xlstore_store* store, int32_t domid, const char* document,
                             const char* const* command, const xlstore_call* call,
                             xlstore_callback callback, void* userdata, xlstore_op** op_out);

/* Gives a running domain a new QEMU: the old one is killed and seen dead, its intents settled by
 * that; the document stays, and what it has is put into the new one. Errors: busy, gone, io (the
 * old QEMU's death could not be seen: nothing was changed), unfinished (it is dead, and the reset
 * went no further: the same call goes on), refused (the new one died, daemonized or is wrapped: the
 * domain has no QEMU then, and keeps its document). Result and standard time: as xlstore_create. */
int32_t xlstore_soft_reset(xlstore_store* store, const char* domain, const char* const* command,
                           const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_soft_reset_start(xlstore_store* store, const char* domain,
                                 const char* const* command, const xlstore_call* call,
                                 xlstore_callback callback, void* userdata, xlstore_op** op_out);

/* Both in steps, for an embedder that starts QEMU itself:
 *
 *   xlstore_creation_begin -> fork a child that waits -> xlstore_creation_child -> let it run
 *                          -> xlstore_creation_finish
 *
 * The row is committed by the first step and the slow lock held from then on. QEMU must not begin
 * to run before xlstore_creation_child has returned XLSTORE_OK, and must never run if its creator
 * dies before (R13): the child has to wait on a pipe of which it keeps no writing end, and to exit
 * when that ends. xlstore_creation_spawn does all of that. A caller that gives up calls
 * xlstore_destroy with the number of xlstore_creation_id ("id:N"), which needs no lock, and frees
 * the creation. */
typedef struct xlstore_creation xlstore_creation;
int32_t xlstore_creation_begin(xlstore_store* store, int32_t domid, const char* document,
                               const xlstore_call* call, xlstore_creation** creation_out);
int32_t xlstore_creation_begin_start(xlstore_store* store, int32_t domid, const char* document,
                                     const xlstore_call* call, xlstore_callback callback,
                                     void* userdata, xlstore_op** op_out);
/* The first step of a soft reset. */
int32_t xlstore_creation_begin_again(xlstore_store* store, const char* domain,
                                     const xlstore_call* call, xlstore_creation** creation_out);
int32_t xlstore_creation_begin_again_start(xlstore_store* store, const char* domain,
                                           const xlstore_call* call, xlstore_callback callback,
                                           void* userdata, xlstore_op** op_out);
/* The creation in a result of the forms with _start, or NULL. It is the caller's, once. */
xlstore_creation* xlstore_result_take_creation(xlstore_result* result);
/* The incarnation; 0 for NULL. */
int64_t xlstore_creation_id(const xlstore_creation* creation);
/* Where the library would put QEMU's monitor and log: names that nothing has had before. Destroying
 * the domain removes that socket. */
int32_t xlstore_creation_paths(const xlstore_creation* creation, char** monitor_out,
                               char** log_out);
/* Registers a child of this process that waits at a start barrier (R13), and where its monitor will
 * be. `log_path` may be NULL. `flags`: XLSTORE_HANDED_IN, as xlstore_register has it; without it
 * nothing may stand at `monitor_path`. The child has to be QEMU itself: what a command that
 * daemonizes or wraps it has started is not known as this creation's, and is left alone if it
 * fails. Errors: invalid (not a child of this process, a path too long for a socket), exists (the
 * path is taken, or that process is another domain's), gone, lost, order. */
int32_t xlstore_creation_child(xlstore_creation* creation, int64_t pid, const char* monitor_path,
                               const char* log_path, uint32_t flags, const xlstore_call* call);
/* Forks the child, registers it, and opens its start barrier. `command` as it is: no monitor is
 * added, and `monitor_path` says where it will be, as for xlstore_creation_child. The child and all
 * that it starts have XLSTORE_CREATION in their environment, by which they are found and ended if
 * the creation fails. `keep_fds`: descriptors that it is given at the same numbers, all others are
 * closed. `log_path`: where its output goes; NULL: nowhere. Errors besides: refused (no such
 * program, or it cannot be run: it may be called again), io. */
int32_t xlstore_creation_spawn(xlstore_creation* creation, const char* const* command,
                               const char* monitor_path, const char* log_path, const int* keep_fds,
                               size_t keep_fds_count, uint32_t flags, const xlstore_call* call,
                               int64_t* pid_out);
/* No QEMU stands for this domain (PV or PVH): instead of the two calls above, and before Xen is
 * asked to make it, so that a recovery after this process died asks xenstored whether Xen has the
 * domain. The embedder makes it, writes its things into xenstore, and calls
 * xlstore_creation_finish. Errors: refused (the document is of another type, or it is a soft
 * reset), order (a QEMU is registered), gone, lost. */
int32_t xlstore_creation_without_qemu(xlstore_creation* creation, const xlstore_call* call);
/* From the monitor's first answer to the running domain, as xlstore_create and xlstore_soft_reset.
 * On failure QEMU is killed, and a domain that never ran is destroyed. The creation is over either
 * way, and only to be freed. */
int32_t xlstore_creation_finish(xlstore_creation* creation, const xlstore_call* call,
                                xlstore_result** result_out);
int32_t xlstore_creation_finish_start(xlstore_creation* creation, const xlstore_call* call,
                                      xlstore_callback callback, void* userdata,
                                      xlstore_op** op_out);
/* Frees it. Not finished: the slow lock is given back and the row is left to recovery, as if the
 * creator had died: a QEMU that runs is taken over, never killed. NULL does nothing. */
void xlstore_creation_free(xlstore_creation* creation);

/* Makes a domain of a document, without a QEMU: it runs elsewhere, or is registered later. Nothing
 * is started. A document without uuid or name, as Xen writes it for domain 0, is that of the nil
 * uuid, and its domain is called Domain-N. Errors: invalid; exists: `domid` is in use, or another
 * living domain has its uuid or name. XLSTORE_FORCE in `call`: also then, as while a domain moves
 * within one host. Result: {"result","domid"}. */
int32_t xlstore_import(xlstore_store* store, int32_t domid, const char* document,
                       const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_import_start(xlstore_store* store, int32_t domid, const char* document,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out);

/* Registers a QEMU that another program started, by its monitor (R19): it is asked, and nothing in
 * it is changed. `pid`: the process that has to be at the other end; as long as it lives, the call
 * waits until it listens. 0: the process that is there. XLSTORE_HANDED_IN: the caller made the
 * socket for QEMU, whose pid is given and need not be the peer's; it is believed if the kernel
 * shows that this process holds the socket (sock_diag and /proc/PID/fd). A process that is not
 * proved is sent nothing (R11). Result: as xlstore_create, and what became of each thing, as arrays
 * of {"class", "key", "evidence"}: "adopted" (QEMU has it, and it has an entry now), "returned"
 * (its entry was stale), "stale" (QEMU does not have it), "differs" (of a medium: the entry
 * follows), "left" (nothing was written; class and key are absent where there is no entry); the
 * same as lines in "notes". "initial_devices_known": whether it could be told what QEMU was started
 * with; if not, what no entry has is left. Errors: exists (a QEMU is registered that is not proved
 * dead, or this one is another domain's), busy, conflict (the domain is being created), gone (R8),
 * refused (another process is the peer, or it is not proved which; or the document is closed),
 * invalid (no such pid), protocol, no_qemu, lost. Nothing has changed then. */
#define XLSTORE_HANDED_IN 1u
int32_t xlstore_register(xlstore_store* store, const char* domain, const char* monitor_path,
                         int64_t pid, uint32_t flags, const xlstore_call* call,
                         xlstore_result** result_out);
int32_t xlstore_register_start(xlstore_store* store, const char* domain, const char* monitor_path,
                               int64_t pid, uint32_t flags, const xlstore_call* call,
                               xlstore_callback callback, void* userdata, xlstore_op** op_out);

/* Kills the domain's QEMU, sees it dead, and forgets the document last (R14). Needs no slow lock.
 * It looks before it marks the domain. Errors, with nothing changed: busy, store, io (also for a
 * QEMU that cannot be looked at: its pid namespace is not this process's nor one below it, or /proc
 * hides it). Error unfinished: that the domain is to be destroyed is committed, and a later call,
 * or recovery, goes on from there. */
int32_t xlstore_destroy(xlstore_store* store, const char* domain, const xlstore_call* call,
                        xlstore_result** result_out);
int32_t xlstore_destroy_start(xlstore_store* store, const char* domain, const xlstore_call* call,
                              xlstore_callback callback, void* userdata, xlstore_op** op_out);
/* The same with `flags`: XLSTORE_ASSUME_DEAD takes the caller's word that a QEMU that cannot be
 * looked at is dead, which history records. A QEMU that is seen alive is killed all the same; if a
 * process listens at its monitor it is not assumed dead: XLSTORE_E_REFUSED, with nothing
 * changed. */
#define XLSTORE_ASSUME_DEAD 1u
int32_t xlstore_destroy_with(xlstore_store* store, const char* domain, uint32_t flags,
                             const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_destroy_with_start(xlstore_store* store, const char* domain, uint32_t flags,
                                   const xlstore_call* call, xlstore_callback callback,
                                   void* userdata, xlstore_op** op_out);
/* The same for a domain that may have no row yet: then its creation is refused for the next 60 s.
 * Result: {"result","row":true|false}. */
int32_t xlstore_destroy_domid(xlstore_store* store, int32_t domid, const char* uuid,
                              const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_destroy_domid_start(xlstore_store* store, int32_t domid, const char* uuid,
                                    const xlstore_call* call, xlstore_callback callback,
                                    void* userdata, xlstore_op** op_out);

/* Another name, in row and document by one commit. With `revision` not 0: only if that is the
 * document's. Errors: invalid (no name), exists (another domain has it), conflict, gone.
 * Result: {"result","domid","name"}. */
int32_t xlstore_rename(xlstore_store* store, const char* domain, const char* name, int64_t revision,
                       const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_rename_start(xlstore_store* store, const char* domain, const char* name,
                             int64_t revision, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out);
/* Another name, and another uuid to be found by, so that the domain can be created anew beside it
 * under another domid; row, QEMU and entries stay, and so does the uuid that a destruction knows it
 * by. `uuid`: NULL for a random one. Errors: as xlstore_rename. Result: {"result","domid","name",
 * "vm_uuid"}. */
int32_t xlstore_preserve(xlstore_store* store, const char* domain, const char* name,
                         const char* uuid, const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_preserve_start(xlstore_store* store, const char* domain, const char* name,
                               const char* uuid, const xlstore_call* call,
                               xlstore_callback callback, void* userdata, xlstore_op** op_out);
/* The document of what a running domain has, to be taken to another store (migration): without
 * stale entries, under `name` if it is not NULL. `notes_out`: a JSON array of what no document
 * holds and has to be given to the QEMU there, too. xlstore(1), Migration, has what is called when.
 * Errors: busy (an intent is open), no_qemu, gone, invalid. */
int32_t xlstore_outgoing_document(xlstore_store* store, const char* domain, const char* name,
                                  char** json_out, char** notes_out);
/* The same, and by the same look what no document holds: `things_out` gets QEMU's things in the
 * order in which they were made, each with the address that QEMU chose for it, and those of class
 * qemu and vcpus whole. Given to the creation there (xlstore_call.things), the QEMU there gets the
 * same devices at the same addresses, so that it can take the state over. `notes_out`: what is in
 * neither of the two. Both strings are the caller's (xlstore_string_free). */
int32_t xlstore_outgoing_domain(xlstore_store* store, const char* domain, const char* name,
                                char** json_out, char** things_out, char** notes_out);

/* Closes a running domain's document for a time, as a rule that of a migration: what attaches,
 * detaches, inserts, ejects, edits, or replaces its QEMU is refused at commit 1 (XLSTORE_E_REFUSED,
 * naming who closed it, when, why, and how it is opened), also with an external QMP client, also in
 * this process. Destroying it, recovery, and another name pass. Waits for the slow lock, so that no
 * operation is under way. Asks QEMU for addresses that are not known. It stays closed when its
 * closer dies. `reason`: one line of UTF-8, 1 to 200 bytes. Errors: invalid; busy (an intent is
 * open: its number); refused (closed already, or being created); gone; lost; nothing was changed.
 * Result: {"result","domid","notes":[...]}; notes: things of which QEMU did not say where they
 * are. */
int32_t xlstore_close_document(xlstore_store* store, const char* domain, const char* reason,
                               const xlstore_call* call, xlstore_result** result_out);
int32_t xlstore_close_document_start(xlstore_store* store, const char* domain, const char* reason,
                                     const xlstore_call* call, xlstore_callback callback,
                                     void* userdata, xlstore_op** op_out);
/* Opens it again, also one that another process closed. Takes the fast lock only. Errors: refused
 * (it is open), gone, busy. Result: {"result","domid"}. */
int32_t xlstore_reopen_document(xlstore_store* store, const char* domain, const xlstore_call* call,
                                xlstore_result** result_out);
int32_t xlstore_reopen_document_start(xlstore_store* store, const char* domain,
                                      const xlstore_call* call, xlstore_callback callback,
                                      void* userdata, xlstore_op** op_out);

/* ---- Queries: they write nothing ------------------------------------------------------------ */

typedef struct xlstore_domain_info {
    uint32_t struct_size;
    int32_t domid;
    int64_t id; /* of this incarnation, never used again */
    int64_t revision;
    int64_t qemu_pid; /* 0: none is registered */
    int64_t open_intents;
    char uuid[40];
    char state[16]; /* creating running destroying; destroyed: by xlstore_find_incarnation alone */
    char name[256]; /* cut if it is longer */
    /* What the kernel says of the registered QEMU; QEMU itself is not asked. The row is older: it
     * may say `running` while QEMU is dead. */
    int32_t qemu;      /* XLSTORE_QEMU_... */
    int32_t reserved;
    int64_t looked_us; /* when, microseconds since 1970 UTC */
    char seen[160];    /* "QEMU dead (looked at 12:03:04 UTC)" */
} xlstore_domain_info;
#define XLSTORE_QEMU_NONE 0   /* none is registered */
#define XLSTORE_QEMU_ALIVE 1
#define XLSTORE_QEMU_DEAD 2   /* proved: same boot, same pid namespace, and the process has ended */
#define XLSTORE_QEMU_UNSEEN 3 /* could not look; `seen` says why. It is not known to be dead. */
#define XLSTORE_DOMAIN_INFO_INIT \
    {sizeof(xlstore_domain_info), 0, 0, 0, 0, 0, {0}, {0}, {0}, 0, 0, 0, {0}}
void xlstore_domain_info_init(xlstore_domain_info* info, size_t size);
/* The domain that `domain` names, among those that are not destroyed. Set info_out->struct_size
 * first (XLSTORE_DOMAIN_INFO_INIT). Errors: not_found; invalid (a name or uuid that fits
 * several). */
int32_t xlstore_find(xlstore_store* store, const char* domain, xlstore_domain_info* info_out);
/* For questions about the past: the domain that xlstore_find() gives; where none fits, the newest
 * destroyed incarnation that does, by domid, then uuid, then name; where none fits either, the
 * domain that was last renamed or preserved from that name, living or not: an old name finds a
 * renamed domain here, and in no call that acts on one. "id:N": that incarnation, destroyed or not.
 * `others_json_out` (may be NULL): a JSON array of the ids of the further incarnations that the
 * word fits, the newest first. Errors: not_found, invalid. */
int32_t xlstore_find_incarnation(xlstore_store* store, const char* domain,
                                 xlstore_domain_info* info_out, char** others_json_out);
/* The document that a destroyed domain had at its end, as libxl would have written it: it is kept
 * for 90 days, and of the last 1000 such domains. `domain`: as for xlstore_find_incarnation, among
 * destroyed ones alone; the newest that is kept. `things_out` (may be NULL): what
 * xlstore_outgoing_domain() gives beside a document, or NULL where there is nothing. `id_out` (may
 * be NULL): the incarnation that it was. `others_json_out` (may be NULL): as above. The strings are
 * the caller's (xlstore_string_free). The view retired_documents lists what is kept. Errors:
 * not_found, invalid. */
int32_t xlstore_retired_document(xlstore_store* store, const char* domain, char** json_out,
                                 char** things_out, int64_t* id_out, char** others_json_out);

/* Puts back what a run of recovery rewrote in documents: the text of entries, and members. `run`:
 * as the view undo_runs lists them; `domain`: that domain's rows alone, or NULL. Each domain's rows
 * go back in one commit under its slow lock, or none. What QEMU or the store decides (an entry that
 * went, a registration, an intent, the medium in a drive) is kept to be read. A domain that changed
 * since the run is refused by name; with XLSTORE_FORCE each row is put back that is still as the
 * run left it. XLSTORE_DRY_RUN writes nothing, and needs no store that is open for writing. Runs
 * are kept for 90 days, the last 1000 of them. Errors: not_found, refused, busy, lost, gone.
 * Result: {"result","run","put_back","rows"}, a row
 * {"line","subject","operation","put_back","why","before","after"}. */
#define XLSTORE_DRY_RUN 2u
int32_t xlstore_undo(xlstore_store* store, int64_t run, const char* domain, uint32_t flags,
                     const xlstore_call* call, xlstore_result** result_out);
/* Puts back the row of table set_aside with this number, which a salvage had no place for: an
 * entry, as stale until recovery has seen it in QEMU, or a member of a document. Other rows are for
 * reading. Errors: not_found, refused (with the rule that is against it), gone, busy, lost. Result:
 * {"result","set_aside","text"}. */
int32_t xlstore_put_back(xlstore_store* store, int64_t number, uint32_t flags,
                         const xlstore_call* call, xlstore_result** result_out);

/* Removes what is kept past its bound (R20), in short transactions: `kinds` (NULL: all), words
 * between commas: history, retired (documents of domains that are over), undo (runs of recovery,
 * quarantined rows), domains (rows of domains that are over and of which no document is kept),
 * damaged (files that a salvage put aside), locks (space in the lock files). `older_than_days`:
 * what is older goes, -1: the bound's own age; 0: all of it. Recovery does it without being asked,
 * at the end of a run over all domains. No operation does. With XLSTORE_DRY_RUN nothing is written.
 * Errors: invalid, busy, lost; what went before stays gone. Result: {"result","pruned"}, an object
 * {"kept","count","bytes","complete","text"} a kind; not complete: the time limit came first. */
int32_t xlstore_prune(xlstore_store* store, const char* kinds, int64_t older_than_days,
                      uint32_t flags, const xlstore_call* call, xlstore_result** result_out);
/* A host that uses libxl as well: libxl's documents (/var/lib/xen, below `root`; NULL: of this
 * host) and the store's. `what`:
 *   XLSTORE_BRIDGE_STATUS  says where they differ, element by element; writes nothing
 *   XLSTORE_BRIDGE_SYNC    brings libxl's into the store: domains that it lacks are imported,
 *                          things of xenstore's become those of the file; what is pending, and
 *                          things of QEMU's, stay as they are (xlstore_recover() asks QEMU), and
 *                          so does what the file lacks
 *   XLSTORE_BRIDGE_WRITE   writes the document of `domain` into libxl's file, byte for byte as
 *                          libxl would, under libxl's own lock on it
 * `domain`: NULL, all. Errors: conflict (the file has what the store lacks: sync first; or it is
 * another domain's), busy (naming who holds libxl's lock), gone, io, lost, invalid. Result:
 * {"result","domains"}, a domain {"domid","uuid","name","in_store","file","trouble","differences"},
 * a difference {"thing","store","file","state","pending"}. */
#define XLSTORE_BRIDGE_STATUS 0u
#define XLSTORE_BRIDGE_SYNC 1u
#define XLSTORE_BRIDGE_WRITE 2u
int32_t xlstore_bridge(xlstore_store* store, uint32_t what, const char* domain, const char* root,
                       const xlstore_call* call, xlstore_result** result_out);
/* The domain with the lowest domid above `domid`; -1: the first. Errors: not_found (no further). */
int32_t xlstore_next(xlstore_store* store, int32_t domid, xlstore_domain_info* info_out);

/* What the QEMU of `domain` is doing now, or of all (NULL), side by side: the kernel is asked
 * whether it lives, and QEMU by its monitor in what state it is. call->timeout_ms is each domain's
 * (0: 2 s). Takes the slow lock of each, shared, without waiting, so that no operation begins in
 * that QEMU meanwhile; writes nothing, also of a store that is open read-only. Result: {"result",
 * "domains"}, a domain {"domid", "id", "name", "qemu", "answer", "run_state", "stopped", "doing",
 * "why", "looked_us"}. "qemu": none, alive, dead (proved), unseen; "answer": answered, with
 * "run_state" as QEMU calls it; silent; busy, another process is at work, and "why" names it;
 * unasked; none. "doing": the same in words. Errors: invalid, not_found. */
int32_t xlstore_look_at_qemus(xlstore_store* store, const char* domain, const xlstore_call* call,
                              xlstore_result** result_out);
int32_t xlstore_look_at_qemus_start(xlstore_store* store, const char* domain,
                                    const xlstore_call* call, xlstore_callback callback,
                                    void* userdata, xlstore_op** op_out);

/* Where the monitor of the registered QEMU is. Errors: not_found, no_qemu. */
int32_t xlstore_monitor_path(xlstore_store* store, const char* domain, char** path_out);
/* The entries of a domain, in the order of the document: a JSON array of {"class", "key", "state",
 * "primary", "products", "json", "intent"}. "state": adding, present, changing, removing, stale;
 * "primary": qemu, xenstore, none; "products": what it is in QEMU, as "kind:id kind:id", or null;
 * "json": the element of the document; "intent": the open one on it, or null. */
int32_t xlstore_things(xlstore_store* store, const char* domain, char** json_out);
/* The open intents of a domain, or of all (`domain` NULL), the oldest first: a JSON array of
 * {"intent", "domid", "id", "operation", "class", "key", "waits_for_guest", "age_s", "owner_pid",
 * "owner_program", "owner_lives", "note", "before", "after"}. "id": the incarnation; "owner_lives":
 * whether the process that opened it lives, by the kernel's word, null where this process may not
 * look; "before", "after": the element, or null. xlstore_intent_plan() has the plan. */
int32_t xlstore_intents(xlstore_store* store, const char* domain, char** json_out);
/* Lines of history above the number `after`, the oldest first, at most `most` of them (0: 1000): of
 * `domain`'s incarnation, which may be one that is destroyed (as for xlstore_find_incarnation), or
 * of all (NULL). A JSON array of {"line", "at_us", "domid", "id", "operation", "class", "key",
 * "intent", "outcome", "image", "program", "pid", "evidence"}; absent values are null. */
int32_t xlstore_history(xlstore_store* store, const char* domain, int64_t after, uint32_t most,
                        char** json_out);

/* ---- Changes -------------------------------------------------------------------------------- */

/* One committed change, by this process or another: a line of history. Texts end with the callback
 * and may be NULL. */
typedef struct xlstore_change {
    uint32_t struct_size;
    int32_t domid;      /* -1: the store itself */
    int64_t line;       /* of history; they only grow */
    int64_t id;         /* the incarnation; 0: the store itself */
    int64_t intent;     /* 0: none */
    int64_t missed;     /* lines before this one that were pruned before they could be told */
    const char* operation;    /* "attach" ... as history has it */
    const char* device_class;
    const char* key;
    const char* outcome;      /* "done", "not done", "begun" */
} xlstore_change;
typedef void (*xlstore_changed)(const xlstore_change* change, void* userdata);
typedef struct xlstore_watch xlstore_watch;
/* Calls `changed` for each change above the line `after` (-1: from now on), in their order, from
 * within xlstore_dispatch() alone and with no lock held: a domain that was created, renamed or has
 * ended, an intent opened or closed, a document edited. Calling back in is allowed,
 * xlstore_watch_end() included. A store that is open read-only has it, too. Keeps one descriptor.
 * Errors: invalid, io. */
int32_t xlstore_watch_start(xlstore_store* store, int64_t after, xlstore_changed changed,
                            void* userdata, xlstore_watch** watch_out);
/* Ends it and frees it; no callback comes any more. To be called before the store is closed, or
 * after it. NULL does nothing. */
void xlstore_watch_end(xlstore_watch* watch);

/* ---- Queries in SQL ------------------------------------------------------------------------- */

/* Receives one row: `values[i]` is NULL for SQL's NULL. A return value other than 0 ends the query
 * and is what xlstore_query() returns. It must not call back in, throw or jump. */
typedef int32_t (*xlstore_row)(int32_t columns, const char* const* names, const char* const* values,
                               void* userdata);
/* Runs SQL that reads; schema/README.md says what can be asked. `parameters` (text, or NULL for
 * SQL's NULL) are bound to ?1, ?2, ... of each statement. All of it sees one moment. An endless
 * query ends with the time limit. Errors: invalid. */
int32_t xlstore_query(xlstore_store* store, const char* sql, const char* const* parameters,
                      size_t parameters_count, const xlstore_call* call, xlstore_row row,
                      void* userdata);

/* The same as a JSON array of one object a row, numbers as numbers. */
int32_t xlstore_query_json(xlstore_store* store, const char* sql, const char* const* parameters,
                           size_t parameters_count, const xlstore_call* call, char** json_out);

/* The locks as the kernel has them, beside what their holders claim: a JSON array, as
 * `xlstore --json locks` prints it. */
int32_t xlstore_locks(xlstore_store* store, char** json_out);

/* Writes one committed state of the store into `file`, which may not be there, mode 0600: a
 * database without a log, which xlstore_restore() (recovery.h) puts back. Beside writers, none of
 * which waits; it keeps its own thread for as long as the copy takes. The store may be open
 * read-only. Result: {"file","domains","commits","bytes"}. Errors: exists, io, store; nothing is
 * left of it then. */
int32_t xlstore_backup(xlstore_store* store, const char* file, xlstore_result** result_out);
/* Frees the slow lock of a domain that no living process uses, though a copy of its descriptor may
 * keep it. XLSTORE_FORCE: even if its claimant lives; that one fails at its next commit (R15).
 * Result: {"result","broken","text"}. */
int32_t xlstore_break_lock(xlstore_store* store, const char* domain, uint32_t flags,
                           const xlstore_call* call, xlstore_result** result_out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_XLSTORE_H_ */
