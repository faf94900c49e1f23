// SPDX-License-Identifier: MIT
// cost DOMID ROUNDS: what the journal adds to a call of libxl's. In each round a medium is inserted and the domain
// renamed, once by libxl alone (XLSTORE_LIBXL=off) and once under the journal, after a call under the journal, in one
// process; the medians, in microseconds: "cdrom_insert PLAIN JOURNALLED", "rename PLAIN JOURNALLED".
#include <libxl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 1000 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void insert(libxl_ctx *ctx, uint32_t domid, const char *path)
{
    libxl_device_disk disk;
    libxl_device_disk_init(&disk);
    disk.pdev_path = strdup(path);
    disk.vdev = strdup("hdc");
    disk.format = LIBXL_DISK_FORMAT_RAW;
    disk.is_cdrom = disk.removable = 1;
    if (libxl_cdrom_insert(ctx, domid, &disk, NULL)) exit(4);
    libxl_device_disk_dispose(&disk);
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    static double inserts[2][MOST], renames[2][MOST];
    if (argc != 3) return 2;
    const uint32_t domid = (uint32_t)atoi(argv[1]);
    const int rounds = atoi(argv[2]);
    if (rounds < 1 || rounds > MOST) return 2;
    xentoollog_logger *log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);
    libxl_ctx *ctx = NULL;
    if (libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, log)) return 3;
    for (int i = -1; i < rounds; i++) {  // the first round warms caches, and counts for nothing
        for (int journalled = 0; journalled < 2; journalled++) {
            setenv("XLSTORE_LIBXL", journalled ? "required" : "off", 1);
            /* What the plain call did outside of the journal is brought in line by the next one, which costs more. */
            if (journalled) insert(ctx, domid, "/srv/a.iso");
            const double begun = now();
            insert(ctx, domid, journalled ? "/srv/b.iso" : "/srv/a.iso");
            const double between = now();
            if (libxl_domain_rename(ctx, domid, NULL, journalled ? "one" : "other")) return 4;
            if (i < 0) continue;
            inserts[journalled][i] = between - begun;
            renames[journalled][i] = now() - between;
        }
    }
    printf("cdrom_insert %.0f %.0f\n", median(inserts[0], rounds), median(inserts[1], rounds));
    printf("rename %.0f %.0f\n", median(renames[0], rounds), median(renames[1], rounds));
    libxl_ctx_free(ctx);
    xtl_logger_destroy(log);
    return 0;
}
