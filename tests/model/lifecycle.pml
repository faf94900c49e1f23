/* SPDX-License-Identifier: MIT */
/* Two incarnations of one domid and one socket path: creators, destroyers, recovery.
 * With -DLATE the first runs already, and an operation on it may go on after its end;
 * with -DFEW one destroyer is omitted, and recovery until all others are done. */
#define NI 2
#ifdef LATE
#define NP 5
#define OTHERS 3
#elif defined(FEW)
#define NP 5
#define OTHERS 3
#else
#define NP 7
#define OTHERS 5
#endif
#include "steps.pml"
#include "processes.pml"

init
{
    atomic {
        forget_all();
        run Qemu(0);
        run Qemu(1);
#ifdef LATE
        row[0] = RUNNING;
        registered[0] = true;
        met[0] = true;
        at_path = 1;
        listened[0] = true;
        qemu[0] = LIVE;
        run Operation(0, 0, 0, ADD, RED);
        run Destroyer(1);
        run Creator(2, RED)
#else
        run Creator(0, ABSENT);
        run Creator(1, ABSENT);
        run Destroyer(2);
#ifndef FEW
        run Destroyer(3);
        run Lifecycle(4, 0, false)
#endif
#endif
    }
    recovered(OTHERS);
    run Lifecycle(OTHERS, 0, true);
    ended == OTHERS + 1;
    run Lifecycle(OTHERS + 1, 1, true);
    ended == OTHERS + 2;
    if
    :: row[0] == CREATING || row[0] == DESTROYING || row[1] == CREATING || row[1] == DESTROYING ->
        assert(row_left_over)
    :: else
    fi
}
