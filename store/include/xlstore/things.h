/* SPDX-License-Identifier: MIT
 *
 * Level one, the store talks to QEMU: things attached, detached, waited for. Rules for threads,
 * forks, errors, structs, text and time: xlstore.h, which includes this.
 */
#ifndef XLSTORE_THINGS_H_
#define XLSTORE_THINGS_H_

#include "xlstore/operation.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

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
 * asked for the same, what becomes of it is this one's outcome: done, or in doubt with its number;
 * in doubt also where this one ends before it has looked, as beside a QEMU that answers nothing.
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
 * on without one that always fails; else they are, as at first. xlstore_destroy leaves what is in
 * xenstore alone then. `directory`: where scripts are that
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
 * refused when it was closed as not done; gone when its domain ended; in doubt when it is open
 * still, and at once when its domain is of an older boot or another host (recovery closes it); each
 * with its number; not found. A probe that fails does not end the wait.
 * Standard time: 1 h. */
int32_t xlstore_wait(xlstore_store* store, int64_t intent, const xlstore_call* call,
                     xlstore_result** result_out);
int32_t xlstore_wait_start(xlstore_store* store, int64_t intent, const xlstore_call* call,
                           xlstore_callback callback, void* userdata, xlstore_op** op_out);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif /* XLSTORE_THINGS_H_ */
