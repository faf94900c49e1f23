// SPDX-License-Identifier: MIT
// What QEMU and xenstored say, by neither libxl nor the store.
//
//   ask SOCKET COMMAND...   QEMU's reply to each QMP command, a line each
//   ask DOMID               all that sight.py reads of a domain, by one program: each that starts costs the rig dearly
//
// Events are omitted. Ends with 1 where QEMU does not answer within 20 s (SOCKET).
#include <dirent.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char text[1 << 20];
static size_t have;

// One line, without its end. The last line that was read is taken out of the buffer first.
static char *line(int fd)
{
    static size_t taken;
    memmove(text, text + taken, have -= taken);
    for (taken = 0;;) {
        char *end = have ? memchr(text, '\n', have) : NULL;
        if (end) {
            *end = '\0';
            taken = (size_t)(end - text) + 1;
            return text;
        }
        struct pollfd ready = {fd, POLLIN, 0};
        if (have == sizeof text || poll(&ready, 1, 20000) <= 0) return NULL;
        const ssize_t got = read(fd, text + have, sizeof text - have);
        if (got <= 0) return NULL;
        have += (size_t)got;
    }
}

static char *reply(int fd)
{
    char *one = line(fd);
    while (one && strstr(one, "\"event\":") && !strstr(one, "\"return\":")) one = line(fd);
    return one;
}

// -1: it is not there, or no process listens.
static int connected(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof address.sun_path) return -1;
    strcpy(address.sun_path, path);
    return connect(fd, (struct sockaddr *)&address, sizeof address) ? -1 : fd;
}

// Prints the replies; the first command is the handshake's.
static int ask(const char *path, int count, const char *const *commands)
{
    const int fd = connected(path);
    if (fd < 0) return perror(path), 1;
    char *said = line(fd);
    for (int i = -1; said; i++) {
        if (i > 0) puts(said);
        if (i == count) return 0;
        dprintf(fd, "%s\n", i < 0 ? "{\"execute\": \"qmp_capabilities\"}" : commands[i]);
        said = reply(fd);
    }
    fprintf(stderr, "%s: no answer\n", path);
    return 1;
}

// A request of xenstored's (1: the names below a node, 2: its value), whose payload is the path. What it answers, with
// a NUL behind it; NULL: an error, no node above all.
static char *xenstored(int fd, uint32_t request, const char *path, uint32_t *size)
{
    struct {
        uint32_t type, id, transaction, size;
    } head = {request, 0, 0, (uint32_t)strlen(path) + 1};
    if (write(fd, &head, sizeof head) != sizeof head || write(fd, path, head.size) != (ssize_t)head.size) abort();
    if (recv(fd, &head, sizeof head, MSG_WAITALL) != sizeof head) abort();
    char *payload = calloc(1, head.size + 1);
    if (head.size && recv(fd, payload, head.size, MSG_WAITALL) != (ssize_t)head.size) abort();
    *size = head.size;
    if (head.type == request) return payload;
    free(payload);
    return NULL;
}

// As `xenstore-ls -f` prints it, all below a node.
static void tree(int fd, const char *path)
{
    uint32_t size, ignored;
    char *names = xenstored(fd, 1, path, &size);
    for (char *name = names; name && name < names + size; name += strlen(name) + 1) {
        char below[600];
        snprintf(below, sizeof below, "%s/%s", path, name);
        char *value = xenstored(fd, 2, below, &ignored);
        if (value) printf("%s = \"%s\"\n", below, value);
        free(value);
        tree(fd, below);
    }
    free(names);
}

static void document(const char *domid)
{
    static char read_text[1 << 20];
    char begin[40], path[600];
    snprintf(begin, sizeof begin, "userdata-d.%s.", domid);
    DIR *directory = opendir("/var/lib/xen");
    for (struct dirent *one; directory && (one = readdir(directory));) {
        const char *end = strrchr(one->d_name, '.');
        if (strncmp(one->d_name, begin, strlen(begin)) || strcmp(end, ".libxl-json")) continue;
        snprintf(path, sizeof path, "/var/lib/xen/%s", one->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        read_text[fread(read_text, 1, sizeof read_text - 1, file)] = '\0';
        fputs(read_text, stdout);
        fclose(file);
    }
}

static int see(const char *domid)
{
    const char *const commands[] = {"{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine/peripheral\"}}",
                                    "{\"execute\":\"query-block\"}", "{\"execute\":\"query-fdsets\"}",
                                    "{\"execute\":\"query-cpus-fast\"}"};
    char path[100];
    snprintf(path, sizeof path, "/run/xen/qmp-libxenstat-%s", domid);
    puts("<qmp>");
    ask(path, 4, commands);
    puts("<xenstore>");
    const int fd = connected("/run/xenstored/socket");
    const char *const roots[] = {"/libxl/%s", "/local/domain/0/backend", "/local/domain/%s/cpu", "/libxl/pci"};
    for (size_t i = 0; fd >= 0 && i < sizeof roots / sizeof *roots; i++) {
        snprintf(path, sizeof path, roots[i], domid);
        tree(fd, path);
    }
    puts("<document>");
    document(domid);
    puts("<end>");
    return fd < 0;
}

int main(int argc, char **argv)
{
    if (argc == 2) return see(argv[1]);
    return argc < 2 ? 2 : ask(argv[1], argc - 2, (const char *const *)argv + 2);
}
