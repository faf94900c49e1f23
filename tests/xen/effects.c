// SPDX-License-Identifier: MIT
// Preloaded into xl: gives each of its effects a number and a line in $EFFECTS, and ends xl, by SIGKILL, just
// before the effect $EFFECTS_KILL, or before the one that follows the first in whose line $EFFECTS_KILL_AFTER is.
// An effect is what others can see or what makes others wait: a lock, a file that
// is renamed or removed, a write to xenstore and the end of a transaction, a connection, a line or a descriptor
// sent to QEMU, a hypercall of libxenctrl that changes a domain, a signal to another process.
// xl's children (the one that ends a domain, for instance) count on in the same row, and end with it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

// Shared with children; NULL: this program is not watched.
static struct shared {
    int count;
    pid_t xl;
} *shared;
static int log_file = -1;
static int kill_at;
static const char *kill_after;

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(real))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("EFFECTS");
    const char *at = getenv("EFFECTS_KILL");
    if (!path || strcmp(program_invocation_short_name, "xl") != 0) return;
    const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    log_file = fcntl(file, F_DUPFD_CLOEXEC, 300);  // out of the way of what xl counts on
    close(file);
    kill_at = at ? atoi(at) : 0;
    kill_after = getenv("EFFECTS_KILL_AFTER");
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) abort();
    shared->xl = getpid();
}

__attribute__((format(printf, 1, 2))) static void effect(const char *format, ...)
{
    if (!shared) return;
    const int saved = errno;
    const int number = __atomic_add_fetch(&shared->count, 1, __ATOMIC_SEQ_CST);
    char text[500] = "";
    int size = snprintf(text, 40, "%d ", number);
    va_list arguments;
    va_start(arguments, format);
    size += vsnprintf(text + size, sizeof text - 2 - (size_t)size, format, arguments);
    va_end(arguments);
    if (size > (int)sizeof text - 3) size = (int)sizeof text - 3;
    for (int i = 0; i < size; i++)
        if (text[i] == '\n' || text[i] == '\r') text[i] = ' ';
    text[size++] = '\n';
    if (syscall(1 /* write */, log_file, text, (size_t)size) < 0) abort();
    if (number == kill_at) {
        kill(shared->xl, SIGKILL);
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (kill_after && !kill_at && strstr(text, kill_after)) kill_at = number + 1;
    errno = saved;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_socket(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    effect("rename %s -> %s", name_of(from), name_of(to));
    return real(from, to);
}

int unlink(const char *path)
{
    REAL(unlink);
    effect("unlink %s", name_of(path));
    return real(path);
}

int flock(int fd, int operation)
{
    REAL(flock);
    char link[40], path[300] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0) path[0] = '\0';
    if (shared && getpid() == shared->xl) effect("flock %s %s", operation & LOCK_UN ? "un" : "ex", name_of(path));
    return real(fd, operation);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(connect);
    if (address->sa_family == AF_UNIX) effect("connect %s", name_of(address->sa_data));
    return real(fd, address, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    if (shared && size > 8 && memmem(data, size, "execute\"", 8) && is_socket(fd)) effect("qmp %.*s", (int)size, (const char *)data);
    return real(fd, data, size);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    REAL(send);
    if (shared && size > 8 && memmem(data, size, "execute\"", 8)) effect("qmp %.*s", (int)size, (const char *)data);
    return real(fd, data, size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    if (shared && message->msg_iovlen > 0) {
        const struct iovec *first = message->msg_iov;
        if (message->msg_controllen) effect("descriptor sent");
        else if (memmem(first->iov_base, first->iov_len, "execute\"", 8)) effect("qmp %.*s", (int)first->iov_len, (const char *)first->iov_base);
    }
    return real(fd, message, flags);
}

int kill(pid_t pid, int number)
{
    REAL(kill);
    if (shared && pid != getpid() && pid != shared->xl) effect("signal %d", number);
    return real(pid, number);
}

bool xs_transaction_end(void *xs, uint32_t transaction, bool abandon);
bool xs_transaction_end(void *xs, uint32_t transaction, bool abandon)
{
    REAL(xs_transaction_end);
    effect("xenstore %s", abandon ? "gives up" : "commits");
    return real(xs, transaction, abandon);
}

// Within a transaction nothing is seen before it ends.
bool xs_write(void *xs, uint32_t transaction, const char *path, const void *data, unsigned size);
bool xs_write(void *xs, uint32_t transaction, const char *path, const void *data, unsigned size)
{
    REAL(xs_write);
    if (!transaction) effect("xenstore writes %s = %.*s", path, (int)size, (const char *)data);
    return real(xs, transaction, path, data, size);
}

bool xs_mkdir(void *xs, uint32_t transaction, const char *path);
bool xs_mkdir(void *xs, uint32_t transaction, const char *path)
{
    REAL(xs_mkdir);
    if (!transaction) effect("xenstore makes %s", path);
    return real(xs, transaction, path);
}

bool xs_rm(void *xs, uint32_t transaction, const char *path);
bool xs_rm(void *xs, uint32_t transaction, const char *path)
{
    REAL(xs_rm);
    if (!transaction) effect("xenstore removes %s", path);
    return real(xs, transaction, path);
}

int xc_domain_create(void *xc, uint32_t *domid, void *config);
int xc_domain_create(void *xc, uint32_t *domid, void *config)
{
    REAL(xc_domain_create);
    effect("hypercall domain_create");
    return real(xc, domid, config);
}

#define HYPERCALL(name) \
    int xc_domain_##name(void *xc, uint32_t domid); \
    int xc_domain_##name(void *xc, uint32_t domid) \
    { \
        REAL(xc_domain_##name); \
        effect("hypercall domain_" #name); \
        return real(xc, domid); \
    }
HYPERCALL(destroy)
HYPERCALL(pause)
HYPERCALL(unpause)

int xc_assign_device(void *xc, uint32_t domid, uint32_t address, uint32_t flags);
int xc_assign_device(void *xc, uint32_t domid, uint32_t address, uint32_t flags)
{
    REAL(xc_assign_device);
    effect("hypercall assign_device");
    return real(xc, domid, address, flags);
}

int xc_deassign_device(void *xc, uint32_t domid, uint32_t address);
int xc_deassign_device(void *xc, uint32_t domid, uint32_t address)
{
    REAL(xc_deassign_device);
    effect("hypercall deassign_device");
    return real(xc, domid, address);
}
