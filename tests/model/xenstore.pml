/* SPDX-License-Identifier: MIT */
/* A device of a domain without QEMU: its primary is xenstore (store/operation/xenstore_*.cc, recovery/passes/
 * pass5_xenstore.cc). An attach, a removal, recovery beside them and once more when all have ended. The fast lock is
 * what excludes; a transaction that a dead client sent may take effect later, unless a node that it touches was written
 * since.
 */
#define NP 4
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef BREAKS
#define BREAKS 0 /* connections that end over a commit */
#endif

#define NO_ENTRY 0
#define PRESENT 1
#define REMOVING 2
#define STALE 3

#define NOTHING 0
#define ADDS 1
#define REMOVES 2

#define UNSURE 0
#define WRITTEN 1
#define CONFLICT 2

byte entry, was[NP];
byte made;             /* which entry of this name it is */
bool nodes;            /* libxl's node, front end and back end */
bool closed = true;    /* the back end lets the guest have it no more */
bool closing;
byte fast;             /* who has the lock: a process + 1 */
byte sent[NP];         /* what xenstored has of it, not carried out yet */
bool current[NP];      /* nothing that it touches was written since it began */
byte answer[NP];
byte seen[NP];         /* 0 not looked, 1 absent, 2 there */
byte crashes, breaks, ended;
hidden byte r_;
hidden byte nodes_without_entry, entry_without_nodes, taken_from_guest, entry_left_over;

/* Part of other steps: nodes were written, transactions that began before fail. */
inline written()
{
    r_ = 0;
    do
    :: r_ < NP -> current[r_] = false; r_++
    :: else -> break
    od;
    r_ = 0
}

#ifdef DROP_R2
#define HELD(p) true
#define LOCK(p) skip
#else
#define HELD(p) (fast == (p) + 1)
#define LOCK(p) d_step { fast == 0 -> fast = p + 1 }
#endif
#define UNLOCK(p) if :: d_step { if :: fast == (p) + 1 -> fast = 0 :: else fi; seen[p] = 0 } fi
#define CRASH(p) d_step { crashes < CRASHES -> crashes++; \
    if :: fast == (p) + 1 -> fast = 0 :: else fi } ; goto dead
#define TRY(step) if :: step :: CRASH(p) fi
#define BEGIN(p) d_step { HELD(p) -> seen[p] = 1 + nodes; current[p] = true }
#define SEND(p, what) d_step { HELD(p) -> sent[p] = what; answer[p] = UNSURE }
/* An empty node is written and removed: what a dead client's transaction would do fails then. */
#ifdef DROP_R5_SURE
#define MAKE_SURE(p) d_step { HELD(p) -> skip }
#elif defined(DROP_R5_LATE)
#define MAKE_SURE(p) d_step { HELD(p) -> written() }
#else
#define MAKE_SURE(p) d_step { HELD(p) && !nodes -> written() }
#endif

active proctype Daemon()
{
    byte p;
end:
    do
    :: d_step { sent[0] != NOTHING -> p = 0 } -> goto one
    :: d_step { sent[1] != NOTHING -> p = 1 } -> goto one
    :: d_step { sent[2] != NOTHING -> p = 2 } -> goto one
    :: d_step { sent[3] != NOTHING -> p = 3 } -> goto one
    /* The guest closes its end; another toolstack's transaction is in the way of all others. */
    :: d_step { closing && nodes -> closed = true; closing = false }
    od;
one:
    if
    :: d_step {
        if
        :: !current[p] -> answer[p] = CONFLICT
        :: current[p] && sent[p] == ADDS -> nodes = true; closed = false; closing = false; answer[p] = WRITTEN; written()
        :: current[p] && sent[p] == REMOVES -> nodes = false; answer[p] = WRITTEN; written()
        fi;
        sent[p] = NOTHING }
    fi;
    if
    :: nodes && entry == NO_ENTRY -> assert(nodes_without_entry)
    :: else
    fi;
    goto end
}

/* The answer to a commit, or the connection ends over it: then it is looked again, and absence is made sure. */
#define COMMITTED(otherwise)                                                          \
    if                                                                                \
    :: answer[p] == WRITTEN                                                           \
    :: answer[p] == CONFLICT -> goto otherwise                                        \
    :: d_step { answer[p] == UNSURE && breaks < BREAKS -> breaks++ } -> goto unsure   \
    :: CRASH(p)                                                                       \
    fi

/* store/operation/xenstore_attachment.cc */
proctype Attach(byte p)
{
    TRY(LOCK(p));
    TRY(BEGIN(p));
    if
    :: seen[p] == 2 || entry == PRESENT || entry == REMOVING -> goto out
    :: else
    fi;
#ifndef DROP_R10
    TRY(d_step { HELD(p) -> was[p] = entry; entry = PRESENT; made++ });
#endif
again:
    TRY(SEND(p, ADDS));
    COMMITTED(conflict);
#ifdef DROP_R10
    TRY(d_step { HELD(p) -> was[p] = entry; entry = PRESENT; made++ });
#endif
    goto out;
conflict:
    TRY(BEGIN(p));
    if
    :: seen[p] == 1 -> goto again
    :: else -> goto back
    fi;
unsure:
    if
    :: nodes -> goto out
    :: MAKE_SURE(p)
    :: CRASH(p)
    fi;
back:
    TRY(d_step { HELD(p) && !nodes -> entry = was[p] });
out:
    UNLOCK(p);
dead:
    ended++
}

/* store/operation/xenstore_removal.cc */
proctype Remove(byte p)
{
    bool there;
    byte which;
    TRY(LOCK(p));
    if
    :: entry == NO_ENTRY -> goto out
    :: else
    fi;
    TRY(d_step { HELD(p) -> there = nodes; which = made });
    TRY(d_step { HELD(p) -> entry = REMOVING });
    TRY(d_step { if :: nodes && !closed -> closing = true :: else fi });
    UNLOCK(p);
    if
    :: !there || closed || !nodes
#ifdef DROP_WAIT
    :: true
#endif
    :: goto dead /* it is in doubt, and the entry stays */
    :: CRASH(p)
    fi;
    TRY(LOCK(p));
    if
    :: entry == NO_ENTRY || made != which -> goto out /* another process has removed it */
    :: else
    fi;
#ifdef DROP_R5
    TRY(d_step { HELD(p) -> entry = NO_ENTRY });
#endif
    TRY(BEGIN(p));
    if
    :: !there ->
        if
        :: MAKE_SURE(p)
        :: nodes -> goto out /* what a dead client had sent came meanwhile */
        :: CRASH(p)
        fi
    :: else ->
        if
        :: nodes && !closed -> assert(taken_from_guest)
        :: else
        fi;
        TRY(SEND(p, REMOVES));
        COMMITTED(out)
    fi;
    goto gone;
unsure:
    if
    :: nodes -> goto out
    :: MAKE_SURE(p)
    :: CRASH(p)
    fi;
gone:
    TRY(d_step { HELD(p) -> entry = NO_ENTRY });
    if
    :: nodes && entry == NO_ENTRY -> assert(nodes_without_entry)
    :: else
    fi;
out:
    UNLOCK(p);
dead:
    ended++
}

/* recovery/passes/pass5_xenstore.cc: what an entry calls there and xenstore has not is stale. */
proctype Recovery(byte p)
{
    TRY(LOCK(p));
    TRY(BEGIN(p));
    if
    :: (entry == PRESENT || entry == REMOVING) && seen[p] == 1 ->
        TRY(d_step { HELD(p) -> entry = STALE })
    :: entry == STALE && seen[p] == 2 -> TRY(d_step { HELD(p) -> entry = PRESENT })
    :: else
    fi;
out:
    UNLOCK(p);
dead:
    ended++
}

init
{
    atomic {
        if
        :: true
        :: entry = STALE
        :: entry = PRESENT; nodes = true; closed = false
        fi;
        run Attach(0);
        run Remove(1);
        run Recovery(2)
    }
    ended == 3;
    /* What is on its way has come, and nothing goes wrong any more. */
    sent[0] == NOTHING && sent[1] == NOTHING;
    d_step { crashes = CRASHES; breaks = BREAKS };
    run Recovery(3);
    ended == 4;
    if
    :: entry == PRESENT && !nodes -> assert(entry_without_nodes)
    :: entry == REMOVING && !nodes -> assert(entry_left_over)
    :: nodes && entry == NO_ENTRY -> assert(nodes_without_entry)
    :: else
    fi
}
