// SPDX-License-Identifier: MIT
// Preloaded into a command: every file system seems to be of the type that FAKE_STATFS_TYPE says
// (hexadecimal). For a network file system, which no test machine has at hand.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static int pretend(long result, struct statfs* info)
{
    const char* type = getenv("FAKE_STATFS_TYPE");
    if (result == 0 && type) info->f_type = strtol(type, NULL, 16);
    return (int)result;
}

int statfs(const char* path, struct statfs* info)
{
    return pretend(syscall(SYS_statfs, path, info), info);
}

int fstatfs(int fd, struct statfs* info)
{
    return pretend(syscall(SYS_fstatfs, fd, info), info);
}

int statfs64(const char* path, struct statfs64* info)
{
    return statfs(path, (struct statfs*)info);
}

int fstatfs64(int fd, struct statfs64* info)
{
    return fstatfs(fd, (struct statfs*)info);
}
