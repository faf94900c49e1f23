// SPDX-License-Identifier: MIT
// ask SOCKET COMMAND...: the reply to each QMP command, a line each.
// Events are omitted. Ends with 1 where QEMU does not answer within 20 s.
#include <poll.h>
#include <stdio.h>
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

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
    strcpy(address.sun_path, argv[1]);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) return perror(argv[1]), 1;
    char *said = line(fd);
    for (int i = 1; said; i++) {
        if (i > 2) puts(said);
        if (i >= argc) return 0;
        const char *command = i == 1 ? "{\"execute\": \"qmp_capabilities\"}" : argv[i];
        dprintf(fd, "%s\n", command);
        said = reply(fd);
    }
    fprintf(stderr, "%s: no answer\n", argv[1]);
    return 1;
}
