/* SPDX-License-Identifier: MIT */
/* A medium that two primaries have, QEMU and xenstore, under one intent (store/operation/cd_nodes.cc): two changes, a
 * recovery beside them, and one more at the end. Xenstored may not answer.
 */
#define NP 4
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef SILENCES
#define SILENCES 1 /* questions to xenstored that have no answer */
#endif
#define EMPTY 0
#define RED 1
#define BLUE 2
#define UNSEEN 9

byte entry = RED, in_qemu = RED, in_xenstore = RED;
bool intent;
byte wanted;
byte slow;
byte seen[NP];
bool told[NP];
byte crashes, silences, ended;
hidden byte primaries_differ, entry_differs, medium_intent_left;

#define HELD(p) (slow == (p) + 1)
#define LOCK(p) d_step { slow == 0 -> slow = p + 1; told[p] = false; seen[p] = UNSEEN }
#define UNLOCK(p) if :: d_step { if :: HELD(p) -> slow = 0 :: else fi } fi
#define CRASH(p) d_step { crashes < CRASHES -> crashes++; \
    if :: HELD(p) -> slow = 0 :: else fi } ; goto dead
#define TRY(step) if :: step :: CRASH(p) fi

#define CHECK                                                                 \
    if                                                                        \
    :: !intent && in_qemu != entry -> assert(entry_differs)                   \
    :: !intent && in_qemu == entry && in_xenstore != in_qemu -> assert(primaries_differ) \
    :: else                                                                   \
    fi

/* What QEMU has is told to xenstore, and only then the intent is closed by it. */
#define SETTLE                                                                \
    TRY(d_step { HELD(p) -> seen[p] = in_qemu });                             \
    if                                                                        \
    :: d_step { HELD(p) -> in_xenstore = seen[p]; told[p] = true }            \
    :: d_step { silences < SILENCES -> silences++ }                           \
    :: CRASH(p)                                                               \
    fi;                                                                       \
    if                                                                        \
    :: TOLD(p) -> TRY(d_step { HELD(p) -> entry = seen[p]; intent = false }); CHECK \
    :: else                                                                   \
    fi

#ifdef DROP_R10_BOTH
#define TOLD(p) true
#else
#define TOLD(p) told[p]
#endif

proctype Change(byte p; byte medium)
{
    TRY(LOCK(p));
    if
    :: intent -> SETTLE
    :: else
    fi;
    if
    :: intent -> goto out /* it is in doubt still */
    :: else
    fi;
#ifndef DROP_R10
    TRY(d_step { HELD(p) -> intent = true; wanted = medium });
#endif
    TRY(d_step { HELD(p) -> in_qemu = EMPTY });
    CHECK;
    if
    :: d_step { HELD(p) -> in_qemu = medium }
    :: skip /* QEMU refuses the file: the drive stays empty */
    :: CRASH(p)
    fi;
    told[p] = false;
    SETTLE;
out:
    UNLOCK(p);
dead:
    ended++
}

proctype Recovery(byte p)
{
    TRY(LOCK(p));
    if
    :: intent -> SETTLE
    :: else
    fi;
    UNLOCK(p);
dead:
    ended++
}

init
{
    atomic { run Change(0, BLUE); run Change(1, EMPTY); run Recovery(2) }
    ended == 3;
    d_step { crashes = CRASHES; silences = SILENCES };
    run Recovery(3);
    ended == 4;
    if
    :: intent -> assert(medium_intent_left)
    :: else
    fi;
    CHECK
}
