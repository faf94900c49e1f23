/* SPDX-License-Identifier: MIT */
/* Operations on one thing of a domain that runs: crashes, guests, connections, lost locks.
 * With -DDRIVE the thing is a drive whose medium is changed, else a device that comes and goes;
 * with -DTWO_IDS the device is another one in each of its two images, so that QEMU can have both;
 * with -DTWO_RECOVERIES a second recovery runs in the place of the remover; with -DENDS every process comes to its end,
 * if each that can go on at every moment goes on at last (weak fairness). */
#define NP 5
hidden byte waiting_removal_closed;
#define CLOSES_A_REMOVAL_THAT_WAITS assert(waiting_removal_closed)
#include "steps.pml"
#include "processes.pml"

init
{
    atomic {
        forget_all();
        row[0] = RUNNING;
        registered[0] = true;
        met[0] = true;
        at_path = 1;
        listened[0] = true;
        qemu[0] = LIVE;
        run Qemu(0);
#ifdef DRIVE
        entry[0] = PRESENT;
        image[0] = RED;
        has[0] = RED;
        run Operation(0, 0, 0, CHANGE, BLUE);
        run Operation(1, 0, 0, CHANGE, EMPTY);
        run Operation(2, 0, 0, CHANGE, RED);
#else
        /* What there is at first: nothing, a stale entry, a thing. */
        if
        :: true
        :: entry[0] = STALE; image[0] = RED
        :: entry[0] = PRESENT; image[0] = RED; has[0] = RED
#ifdef TWO_IDS
        /* Its guest gave it back, and no process has looked since. */
        :: entry[0] = PRESENT; image[0] = RED; let_go[0] = true
#endif
        fi;
        run Operation(0, 0, 0, ADD, RED);
        run Operation(1, 0, 0, ADD, BLUE);
#ifdef TWO_RECOVERIES
        run Recovery(2, 0, false);
#else
        run Operation(2, 0, 0, REMOVE, ABSENT);
#endif
#endif
        run Recovery(3, 0, false)
    }
    recovered(4);
    run Recovery(4, 0, true);
    ended == 5;
    if
    :: intent[0] != NO_INTENT && !asked[0] -> assert(intent_left_open)
    :: else
    fi
}

#ifdef ENDS
ltl every_operation_ends { <> (ended == 5) }
#endif
