// SPDX-License-Identifier: MIT
// Preloaded into Debian's xenstored, or into its oxenstored: a hypervisor in which every domain lives and none ever speaks,
// so that the daemon runs where there is no Xen, without root, and serves its Unix socket. Its
// store, transactions, permissions, watches and introductions are its own; a guest's ring is a page
// that stays empty.
//
// What is declared here is what the daemon calls of libxenctrl, libxenevtchn and libxengnttab 4.17;
// a handle is an address that the daemon only hands back. Unlike a start with -D, domain 0 is
// introduced, without which the first request of a client that asks for permissions ends the
// daemon.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static char anything;

// ---- libxenctrl ----

// The head of xc_dominfo_t, as far as the daemon reads it.
struct domain_info {
    uint32_t domid;
    uint32_t ssidref;
    unsigned int dying : 1, crashed : 1, shutdown : 1, paused : 1, blocked : 1, running : 1;
    unsigned int shutdown_reason;
};

void* xc_interface_open(void* log, void* dombuild_log, unsigned flags)
{
    (void)log, (void)dombuild_log, (void)flags;
    return &anything;
}

int xc_interface_close(void* handle)
{
    (void)handle;
    return 0;
}

int xc_domain_getinfo(void* handle, uint32_t first, unsigned count, struct domain_info* info)
{
    (void)handle;
    if (count == 0) return 0;
    memset(info, 0, sizeof *info);
    info->domid = first;
    info->running = 1;
    return 1;
}

// As oxenstored asks: a longer record, whose first number is the domain's, too.
int xc_domain_getinfolist(void* handle, uint32_t first, unsigned count, void* info)
{
    (void)handle;
    if (count == 0) return 0;
    memcpy(info, &first, sizeof first);
    return 1;
}

// A guest's ring, which stays empty.
void* xc_map_foreign_range(void* handle, uint32_t domid, int size, int protection,
                           unsigned long frame)
{
    (void)handle, (void)domid, (void)protection, (void)frame;
    void* page = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

// ---- libxenevtchn: a descriptor that never becomes readable ----

static int events = -1;
static int last_port = 0;

void* xenevtchn_open(void* log, unsigned flags)
{
    (void)log, (void)flags;
    if (events < 0) events = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return events < 0 ? NULL : &anything;
}

void* xenevtchn_fdopen(void* log, int fd, unsigned flags)
{
    (void)log, (void)flags;
    events = fd;
    return &anything;
}

int xenevtchn_fd(void* handle)
{
    (void)handle;
    return events;
}

int xenevtchn_bind_interdomain(void* handle, uint32_t domid, uint32_t remote)
{
    (void)handle, (void)domid, (void)remote;
    return ++last_port;
}

int xenevtchn_bind_virq(void* handle, unsigned virq)
{
    (void)handle, (void)virq;
    return ++last_port;
}

int xenevtchn_pending(void* handle)
{
    (void)handle;
    errno = EAGAIN;
    return -1;
}

int xenevtchn_notify(void* handle, uint32_t port)
{
    (void)handle, (void)port;
    return 0;
}

int xenevtchn_unbind(void* handle, uint32_t port)
{
    (void)handle, (void)port;
    return 0;
}

int xenevtchn_unmask(void* handle, uint32_t port)
{
    (void)handle, (void)port;
    return 0;
}

// ---- libxengnttab: each granted page is an empty one of the daemon's own ----

void* xengnttab_open(void* log, unsigned flags)
{
    (void)log, (void)flags;
    return &anything;
}

int xengnttab_close(void* handle)
{
    (void)handle;
    return 0;
}

int xengnttab_set_max_grants(void* handle, uint32_t count)
{
    (void)handle, (void)count;
    return 0;
}

void* xengnttab_map_grant_ref(void* handle, uint32_t domid, uint32_t reference, int protection)
{
    (void)handle, (void)domid, (void)reference;
    void* page = mmap(NULL, (size_t)getpagesize(), protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(void* handle, void* start, uint32_t count)
{
    (void)handle;
    return munmap(start, (size_t)count * (size_t)getpagesize());
}

// ---- /proc/xen: the event channel and the page of domain 0's own ring ----

static int memory(const char* name, const char* text, off_t size)
{
    const int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) return -1;
    const size_t length = strlen(text);
    if (pwrite(fd, text, length, 0) == (ssize_t)length && (size == 0 || ftruncate(fd, size) == 0))
        return fd;
    close(fd);
    return -1;
}

// "/var/run/xenstored/socket", or without "/var", is in the directory of the test.
static const char* in_its_directory(const char* path)
{
    static char other[4096];
    const char* directory = getenv("XENSTORED_RUNDIR");
    const char* rest = path;
    if (strncmp(rest, "/var", 4) == 0) rest += 4;
    if (!directory || strncmp(rest, "/run/xenstored", 14) != 0) return path;
    snprintf(other, sizeof other, "%s%s", directory, rest + 14);
    return other;
}

int open(const char* path, int flags, ...)
{
    if (strcmp(path, "/proc/xen/xsd_port") == 0) return memory("xsd_port", "1", 0);
    if (strcmp(path, "/proc/xen/xsd_kva") == 0) return memory("xsd_kva", "", getpagesize());
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return (int)syscall(SYS_openat, AT_FDCWD, in_its_directory(path), flags, mode);
}

// What oxenstored calls beside these: open() by its other name, and its directory, which nothing but
// its build sets, is the one of the test.
int open64(const char* path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | __O_TMPFILE)) {
        va_list rest;
        va_start(rest, flags);
        mode = va_arg(rest, mode_t);
        va_end(rest);
    }
    return open(path, flags, mode);
}

int bind(int fd, const struct sockaddr* address, socklen_t length)
{
    struct sockaddr_un other;
    if (address->sa_family == AF_UNIX) {
        const char* path = in_its_directory(((const struct sockaddr_un*)address)->sun_path);
        if (strlen(path) >= sizeof other.sun_path) return errno = ENAMETOOLONG, -1;
        memset(&other, 0, sizeof other);
        other.sun_family = AF_UNIX;
        strcpy(other.sun_path, path);
        address = (const struct sockaddr*)&other;
        length = sizeof other;
    }
    return (int)syscall(SYS_bind, fd, address, length);
}

int unlink(const char* path)
{
    return (int)syscall(SYS_unlinkat, AT_FDCWD, in_its_directory(path), 0);
}

int mkdir(const char* path, mode_t mode)
{
    return (int)syscall(SYS_mkdirat, AT_FDCWD, in_its_directory(path), mode);
}

int chmod(const char* path, mode_t mode)
{
    return (int)syscall(SYS_fchmodat, AT_FDCWD, in_its_directory(path), mode);
}

// It asks for more descriptors than a user may have.
int setrlimit(__rlimit_resource_t resource, const struct rlimit* limit)
{
    (void)resource, (void)limit;
    return 0;
}
int setrlimit64(__rlimit_resource_t resource, const struct rlimit64* limit)
{
    (void)resource, (void)limit;
    return 0;
}
