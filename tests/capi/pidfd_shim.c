/* SPDX-License-Identifier: MIT
 *
 * Preloaded under valgrind, which has no pidfd_open and pidfd_send_signal before 3.21: a process
 * outside of it (pidfd_server.py, at $PIDFD_SERVER) opens the descriptor and hands it over. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static long open_elsewhere(int pid)
{
    struct sockaddr_un address = {AF_UNIX, ""};
    const int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = EIO;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec answer = {&error, sizeof error};
    struct msghdr message;
    int fd = -1;
    memset(&message, 0, sizeof message);
    memset(&control, 0, sizeof control);
    message.msg_iov = &answer;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    strncpy(address.sun_path, getenv("PIDFD_SERVER"), sizeof address.sun_path - 1);
    if (connect(server, (struct sockaddr*)&address, sizeof address) == 0 &&
        send(server, &pid, sizeof pid, MSG_NOSIGNAL) == (ssize_t)sizeof pid &&
        recvmsg(server, &message, MSG_CMSG_CLOEXEC) == (ssize_t)sizeof error && error == 0)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    close(server);
    errno = error;
    return fd;
}

static long send_by_pid(int pidfd, int signal)
{
    char path[64];
    char line[128];
    int pid = -1;
    FILE* info;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    info = fopen(path, "re");
    while (info && fgets(line, sizeof line, info))
        sscanf(line, "Pid: %d", &pid);
    if (info) fclose(info);
    if (pid > 0) return kill(pid, signal);
    errno = ESRCH;
    return -1;
}

long syscall(long number, ...)
{
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long a[6];
    int i;
    va_list arguments;
    va_start(arguments, number);
    for (i = 0; i < 6; ++i)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_pidfd_open) return open_elsewhere((int)a[0]);
    if (number == SYS_pidfd_send_signal) return send_by_pid((int)a[0], (int)a[1]);
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
