/* SPDX-License-Identifier: MIT
 *
 * A toolstack with the hypervisor's part of PCI devices, for kills over the devices of a PV domain
 * (xenstore_kills.py). The hypervisor is a directory: a file DIR/ADDRESS is a device that is assigned.
 *
 *   pv_toolstack STORE SYSFS DIR attach DOMAIN CLASS JSON
 *   pv_toolstack STORE SYSFS DIR detach DOMAIN CLASS KEY
 *   pv_toolstack STORE SYSFS DIR recover
 *
 * Exit status: 0 done, 1 not done, 2 usage, 3 in doubt, 4 no such thing. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xlstore/recovery.h>
#include <xlstore/xlstore.h>

static int32_t assign(const xlstore_pci_task* task, char* why, size_t why_size, void* directory)
{
    char path[512];
    int fd;
    snprintf(path, sizeof path, "%s/%s", (const char*)directory, task->address);
    if (!task->assign) return unlink(path) == 0 || errno == ENOENT ? 0 : 1;
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(why, why_size, "%s", strerror(errno));
        return 1;
    }
    close(fd);
    return 0;
}

static int said(int32_t status)
{
    xlstore_error error = XLSTORE_ERROR_INIT;
    if (status == XLSTORE_OK) return 0;
    xlstore_last_error(&error);
    fprintf(stderr, "pv_toolstack: %s\npv_toolstack: %s\n", error.message, error.advice);
    return status == XLSTORE_E_IN_DOUBT ? 3 : status == XLSTORE_E_NOT_FOUND ? 4 : 1;
}

static int32_t carry_out(xlstore_store* store, int words, char** word)
{
    xlstore_recover_options all = XLSTORE_RECOVER_OPTIONS_INIT;
    all.mode = XLSTORE_RECOVER_YES;
    if (words == 1 && strcmp(word[0], "recover") == 0) return xlstore_recover(store, &all, NULL);
    if (words == 4 && strcmp(word[0], "attach") == 0)
        return xlstore_attach(store, word[1], word[2], word[3], NULL, NULL);
    if (words == 4 && strcmp(word[0], "detach") == 0)
        return xlstore_detach(store, word[1], word[2], word[3], NULL, NULL);
    return XLSTORE_E_INVALID;
}

int main(int argc, char** argv)
{
    xlstore_store* store = NULL;
    int code;
    if (argc < 5) {
        fprintf(stderr, "usage: pv_toolstack STORE SYSFS DIR attach|detach|recover …\n");
        return 2;
    }
    code = said(xlstore_open(argv[1], NULL, &store));
    if (code != 0) return code;
    code = said(xlstore_set_pci_hook(store, assign, argv[2], argv[3]));
    if (code == 0) code = said(carry_out(store, argc - 4, argv + 4));
    xlstore_close(store);
    return code;
}
