/* SPDX-License-Identifier: MIT
 *
 * libxl's own file of a domain, element by element. It is read and written as libxl does it: under
 * its lock on userdata (flock on a file that is unlinked while it is held), the new text beside it
 * and then renamed over it, with the NUL that libxl counts as part of it. libxl's own functions
 * parse and print, so that the file stays what this libxl would have written. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"

static const char directory[] = "/var/lib/xen";

static void path_of(const struct journal* j, char which, const char* name, char* path, size_t size)
{
    snprintf(path, size, "%s/userdata-%c.%u.%s.%s", directory, which, j->domid, j->uuid, name);
}

char* libxl_file_read(const struct journal* j)
{
    char path[160];
    struct stat status;
    char* text = NULL;
    path_of(j, 'd', "libxl-json", path, sizeof path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        status.st_size < 64 << 20) {
        text = calloc(1, (size_t)status.st_size + 1);
        if (text && read(fd, text, (size_t)status.st_size) != status.st_size) {
            free(text);
            text = NULL;
        }
    }
    close(fd);
    return text;
}

static int lock(const struct journal* j, char* path, size_t size)
{
    struct stat held, there;
    path_of(j, 'l', "domain-userdata-lock", path, size);
    for (;;) {
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return -1;
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
        }
        if (fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
            held.st_dev == there.st_dev)
            return fd;
        close(fd);
    }
}

static void unlock(int fd, const char* path)
{
    unlink(path);
    close(fd);
}

static bool write_file(const struct journal* j, const char* text)
{
    char path[160], new[160];
    const ssize_t size = (ssize_t)strlen(text) + 1;
    path_of(j, 'd', "libxl-json", path, sizeof path);
    path_of(j, 'n', "libxl-json", new, sizeof new);
    const int fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return false;
    const bool written = write(fd, text, (size_t)size) == size && fsync(fd) == 0;
    return close(fd) == 0 && written && rename(new, path) == 0;
}

/* An element's key as the store has it (store/model/device_class.cc). */
static void key_of_disk(const libxl_device_disk* e, char* key, size_t size)
{
    snprintf(key, size, "%s", e->vdev ? e->vdev : "");
}
static void key_of_usbctrl(const libxl_device_usbctrl* e, char* key, size_t size)
{
    snprintf(key, size, "%d", e->devid);
}
static void key_of_usbdev(const libxl_device_usbdev* e, char* key, size_t size)
{
    snprintf(key, size, "%d.%d", e->ctrl, e->port);
}
static void key_of_nic(const libxl_device_nic* e, char* key, size_t size)
{
    snprintf(key, size, "%d", e->devid);
}
static void key_of_vtpm(const libxl_device_vtpm* e, char* key, size_t size)
{
    snprintf(key, size, "%d", e->devid);
}
static void key_of_vdispl(const libxl_device_vdispl* e, char* key, size_t size)
{
    snprintf(key, size, "%d", e->devid);
}
static void key_of_vsnd(const libxl_device_vsnd* e, char* key, size_t size)
{
    snprintf(key, size, "%d", e->devid);
}
static void key_of_pci(const libxl_device_pci* e, char* key, size_t size)
{
    snprintf(key, size, "%04x:%02x:%02x.%x", e->domain, e->bus, e->dev, e->func);
}

/* What is done to an array of a configuration, of any type. */
#define FIND(config, array, count, type, key)                                   \
    do {                                                                        \
        for (int i = 0; i < (config)->count; i++) {                             \
            char own[80];                                                       \
            key_of_##type(&(config)->array[i], own, sizeof own);                \
            if (strcmp(own, (key)) == 0)                                        \
                return libxl_device_##type##_to_json(ctx, &(config)->array[i]); \
        }                                                                       \
        return NULL;                                                            \
    } while (0)

static char* element_of(libxl_ctx* ctx, libxl_domain_config* config, const char* device_class,
                        const char* key)
{
    if (strcmp(device_class, "disks") == 0) FIND(config, disks, num_disks, disk, key);
    if (strcmp(device_class, "usbctrls") == 0) FIND(config, usbctrls, num_usbctrls, usbctrl, key);
    if (strcmp(device_class, "usbdevs") == 0) FIND(config, usbdevs, num_usbdevs, usbdev, key);
    if (strcmp(device_class, "pcidevs") == 0) FIND(config, pcidevs, num_pcidevs, pci, key);
    if (strcmp(device_class, "nics") == 0) FIND(config, nics, num_nics, nic, key);
    if (strcmp(device_class, "vtpms") == 0) FIND(config, vtpms, num_vtpms, vtpm, key);
    if (strcmp(device_class, "vdispls") == 0) FIND(config, vdispls, num_vdispls, vdispl, key);
    if (strcmp(device_class, "vsnds") == 0) FIND(config, vsnds, num_vsnds, vsnd, key);
    return NULL;
}

/* The element of that key is `json`, or away. True: something was changed. */
#define PUT(config, array, count, type, key, json)                                             \
    do {                                                                                       \
        int at = 0;                                                                            \
        for (; at < (config)->count; at++) {                                                   \
            char own[80];                                                                      \
            key_of_##type(&(config)->array[at], own, sizeof own);                              \
            if (strcmp(own, (key)) == 0) break;                                                \
        }                                                                                      \
        if (at == (config)->count) {                                                           \
            if (!(json)) return false;                                                         \
            void* more = realloc((config)->array, sizeof *(config)->array * ((size_t)at + 1)); \
            if (!more) return false;                                                           \
            (config)->array = more;                                                            \
            (config)->count++;                                                                 \
            libxl_device_##type##_init(&(config)->array[at]);                                  \
        } else if (json) {                                                                     \
            char* now = libxl_device_##type##_to_json(ctx, &(config)->array[at]);              \
            libxl_device_##type wanted;                                                        \
            libxl_device_##type##_init(&wanted);                                               \
            char* then = libxl_device_##type##_from_json(ctx, &wanted, (json)) == 0            \
                             ? libxl_device_##type##_to_json(ctx, &wanted)                     \
                             : NULL;                                                           \
            libxl_device_##type##_dispose(&wanted);                                            \
            const bool same = now && then && strcmp(now, then) == 0;                           \
            free(now);                                                                         \
            free(then);                                                                        \
            if (same) return false;                                                            \
            libxl_device_##type##_dispose(&(config)->array[at]);                               \
            libxl_device_##type##_init(&(config)->array[at]);                                  \
        } else {                                                                               \
            libxl_device_##type##_dispose(&(config)->array[at]);                               \
            memmove(&(config)->array[at], &(config)->array[at] + 1,                            \
                    sizeof *(config)->array * (size_t)((config)->count - at - 1));             \
            (config)->count--;                                                                 \
            return true;                                                                       \
        }                                                                                      \
        return libxl_device_##type##_from_json(ctx, &(config)->array[at], (json)) == 0;        \
    } while (0)

static bool put_element(libxl_ctx* ctx, libxl_domain_config* config, const char* device_class,
                        const char* key, const char* json)
{
    if (strcmp(device_class, "disks") == 0) PUT(config, disks, num_disks, disk, key, json);
    if (strcmp(device_class, "usbctrls") == 0)
        PUT(config, usbctrls, num_usbctrls, usbctrl, key, json);
    if (strcmp(device_class, "usbdevs") == 0) PUT(config, usbdevs, num_usbdevs, usbdev, key, json);
    if (strcmp(device_class, "pcidevs") == 0) PUT(config, pcidevs, num_pcidevs, pci, key, json);
    if (strcmp(device_class, "nics") == 0) PUT(config, nics, num_nics, nic, key, json);
    return false;
}

/* The same elements in the same order, of any type. */
#define SAME(one, other, array, count, type)                        \
    do {                                                            \
        if ((one)->count != (other)->count) return false;           \
        for (int i = 0; i < (one)->count; i++) {                    \
            char left[80], right[80];                               \
            key_of_##type(&(one)->array[i], left, sizeof left);     \
            key_of_##type(&(other)->array[i], right, sizeof right); \
            if (strcmp(left, right) != 0) return false;             \
        }                                                           \
    } while (0)

static bool same_elements(const libxl_domain_config* one, const libxl_domain_config* other)
{
    SAME(one, other, disks, num_disks, disk);
    SAME(one, other, usbctrls, num_usbctrls, usbctrl);
    SAME(one, other, usbdevs, num_usbdevs, usbdev);
    SAME(one, other, pcidevs, num_pcidevs, pci);
    SAME(one, other, nics, num_nics, nic);
    SAME(one, other, vtpms, num_vtpms, vtpm);
    SAME(one, other, vdispls, num_vdispls, vdispl);
    SAME(one, other, vsnds, num_vsnds, vsnd);
    for (int i = 0; i < one->num_disks; i++) {
        const char* left = one->disks[i].pdev_path;
        const char* right = other->disks[i].pdev_path;
        if (strcmp(left ? left : "", right ? right : "") != 0) return false;
    }
    /* libxl gives these no identity. */
    return one->num_vfbs == other->num_vfbs && one->num_vkbs == other->num_vkbs &&
           one->num_p9s == other->num_p9s;
}

bool libxl_file_lists_the_same(const struct journal* j, const char* document)
{
    libxl_domain_config one, other;
    libxl_domain_config_init(&one);
    libxl_domain_config_init(&other);
    const bool same = libxl_domain_config_from_json(j->ctx, &one, j->document) == 0 &&
                      libxl_domain_config_from_json(j->ctx, &other, document) == 0 &&
                      same_elements(&one, &other);
    libxl_domain_config_dispose(&one);
    libxl_domain_config_dispose(&other);
    return same;
}

char* libxl_file_element(const struct journal* j, const char* document,
                         const struct subject* subject)
{
    libxl_domain_config config;
    char* found = NULL;
    libxl_domain_config_init(&config);
    if (libxl_domain_config_from_json(j->ctx, &config, document) == 0)
        found = element_of(j->ctx, &config, subject->device_class, subject->key);
    libxl_domain_config_dispose(&config);
    return found;
}

bool libxl_file_follow(const struct journal* j, const struct subject* subject, const char* json)
{
    char path[160];
    libxl_domain_config config;
    bool done = true;
    const int fd = lock(j, path, sizeof path);
    if (fd < 0) {
        journal_say(j->call, "%s cannot be locked: %s", path, strerror(errno));
        return false;
    }
    libxl_domain_config_init(&config);
    char* text = libxl_file_read(j);
    if (!text || libxl_domain_config_from_json(j->ctx, &config, text) != 0) {
        journal_say(j->call, "libxl's file of domain %u cannot be read; 'xlfsck' says more",
                    j->domid);
        done = false;
    } else if (put_element(j->ctx, &config, subject->device_class, subject->key, json)) {
        char* new = libxl_domain_config_to_json(j->ctx, &config);
        done = new&& write_file(j, new);
        journal_say(j->call, "libxl's file: %s/%s %s", subject->device_class, subject->key,
                    !done  ? "could not be brought to what QEMU has"
                    : json ? "was brought to what QEMU has"
                           : "was taken out: QEMU has it not");
        free(new);
    }
    free(text);
    libxl_domain_config_dispose(&config);
    unlock(fd, path);
    return done;
}
