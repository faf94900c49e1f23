// SPDX-License-Identifier: MIT
// opens DIRECTORY ROUNDS: how long it takes here to open a store, look for a domain in it and close it, in microseconds: the
// median by the clock, and the least of the processor's time, which other work of the machine is not in. They tell how much
// slower the machine is that Xen runs in.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <xlstore/xlstore.h>

enum { MOST = 1000 };

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

int main(int argc, char **argv)
{
    static double took[MOST], least = 1e12;
    const int rounds = argc == 3 ? atoi(argv[2]) : 0;
    if (rounds < 1 || rounds > MOST) return 2;
    for (int i = -1; i < rounds; i++) {  // the first one warms caches
        const double begun = now(CLOCK_MONOTONIC), processor = now(CLOCK_PROCESS_CPUTIME_ID);
        xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
        xlstore_domain_info info = XLSTORE_DOMAIN_INFO_INIT;
        xlstore_store *store = NULL;
        if (xlstore_open(argv[1], &options, &store) != XLSTORE_OK) return 3;
        (void)xlstore_find(store, "no-such-domain", &info);
        xlstore_close(store);
        const double used = now(CLOCK_PROCESS_CPUTIME_ID) - processor;
        if (i >= 0) took[i] = now(CLOCK_MONOTONIC) - begun;
        if (i >= 0 && used < least) least = used;
    }
    qsort(took, (size_t)rounds, sizeof *took, compare);
    printf("%.0f %.0f\n", took[rounds / 2], least);
    return 0;
}
