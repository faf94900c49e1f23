/* SPDX-License-Identifier: MIT
 *
 * The life of a domain: created, registered, renamed, sent elsewhere, destroyed. Rules for
 * threads, forks, errors, structs, text and time: xlstore.h, which includes this.
 */
#ifndef XLSTORE_LIFECYCLE_H_
#define XLSTORE_LIFECYCLE_H_

#include "xlstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* Starts `command` (NULL-terminated; QEMU's own monitor is added) as domain `domid` with this
 * document, behind a start barrier (R13), and ends when it runs and has what the document has.
 * Errors: invalid, exists (`domid` is in use, or another living domain has its name or its uuid;
 * the uuid may be that of one it takes the place of within this host: one of the two is called
 * NAME--incoming or NAME--migratedaway), gone (a destruction came first), refused (QEMU died,
 * daemonized or is wrapped), timeout (it did not begin, or its monitor did not answer, in time):
 * nothing is left running and the row is marked destroyed. Result:
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
 * old QEMU cannot be looked at: nothing was changed), refused (there is no such program, the
 * document is closed, or the domain was created without a QEMU: nothing was changed; or the new
 * QEMU died, daemonized or is wrapped: the domain has no QEMU then, and keeps its document),
 * unfinished (the old one was killed, and the reset went no further, for instance because the time
 * ended: the domain keeps its document, and the same call goes on). Result and standard time: as
 * xlstore_create. */
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
/* The first step of a soft reset. Errors: as of xlstore_soft_reset, up to the old QEMU's end. Where
 * libxl owns that one, its locks are waited for, too. */
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
 * path is taken, or that process is another domain's), gone, lost, order (a QEMU was started for it
 * before, which is not known to be dead: the creation is to be finished, or the domain destroyed).
 */
int32_t xlstore_creation_child(xlstore_creation* creation, int64_t pid, const char* monitor_path,
                               const char* log_path, uint32_t flags, const xlstore_call* call);
/* Forks the child, registers it, and opens its start barrier. `command` as it is: no monitor is
 * added, and `monitor_path` says where it will be, as for xlstore_creation_child. The child and all
 * that it starts have XLSTORE_CREATION in their environment, by which they are found and ended if
 * the creation fails. `keep_fds`: descriptors that it is given at the same numbers, all others are
 * closed. `log_path`: where its output goes; NULL: nowhere. Errors besides: refused (no such
 * program, or it cannot be run), timeout (its process did not come to its start barrier), io: no
 * process is left, and it may be called again; in_doubt (no intent: the start barrier is open, and
 * the program has not begun in time; it may begin later): xlstore_creation_finish follows, which
 * waits for it, or xlstore_destroy. */
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
 * way, and only to be freed; but one that is cancelled (XLSTORE_E_CANCELLED) before it has begun is
 * as it was. */
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
 * uuid, and its domain is called Domain-N: so dom0 comes into a store, and its QEMU with it
 * (xlstore_register), to which things of class qemu can be attached. Errors: invalid; exists:
 * `domid` is in use (R14), or another living domain has its uuid or name. XLSTORE_FORCE in `call`:
 * also beside such another one, as while a domain moves within one host; never under a domid that
 * is in use. Result: {"result","domid"}. */
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
/* It is registered, and what it has is compared with nothing: each entry stays as it is, and
 * recovery tells of each that QEMU has otherwise (xlstore_recover). */
#define XLSTORE_REGISTER_ONLY 2u
int32_t xlstore_register(xlstore_store* store, const char* domain, const char* monitor_path,
                         int64_t pid, uint32_t flags, const xlstore_call* call,
                         xlstore_result** result_out);
int32_t xlstore_register_start(xlstore_store* store, const char* domain, const char* monitor_path,
                               int64_t pid, uint32_t flags, const xlstore_call* call,
                               xlstore_callback callback, void* userdata, xlstore_op** op_out);

/* Kills the domain's QEMU, sees it dead, takes the devices of its entries out of xenstore, and
 * forgets the document last (R14). Needs no slow lock. A back end is waited for, 10 s at most, and
 * then taken out, for no guest can keep a destruction from its end; its hotplug script is run as
 * for a detach. A toolstack that has set hotplug scripts off ends its devices itself: all in
 * xenstore is left to it. It looks before it marks the domain. Errors, with nothing changed:
 * timeout, store, io (also for a QEMU that cannot be looked at: its pid namespace is not this
 * process's nor one below it, or /proc hides it),
 * not_found (also where an adoption that failed took its row back meanwhile: that domain runs on).
 * Error unfinished: that the domain is to be destroyed is committed, and a later call, or recovery,
 * goes on from there. */
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
 * document's. A domain that is named by its name has to have it still. Errors: invalid (no name),
 * exists (another domain has it), conflict (revision or name is another by now), gone.
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
 * Errors: busy (an intent is open, or a thing is being removed from xenstore), no_qemu, gone,
 * invalid. */
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
 * this process. Destroying it, recovery, and another name pass. Waits for the slow lock, and for
 * libxl's locks where libxl owns its QEMU, so that no operation is under way. Asks QEMU for
 * addresses that are not known. It stays closed when its closer dies. `reason`: one line of UTF-8,
 * 1 to 200 bytes. Errors: invalid; busy (an intent is open: its number; or a thing is being removed
 * from xenstore); refused (closed already, or being created); gone; lost; nothing was changed.
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

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_LIFECYCLE_H_ */
