/* SPDX-License-Identifier: MIT */
/* The document below its locks: an operation on a thing of QEMU's (slow lock, and the fast lock twice), two edits of
 * another part of it (fast lock alone), one of which holds a lock of its embedder's, and a destruction, which waits for
 * no slow lock and keeps a copy before the document goes. The operation may be stopped for ever where it has its slow
 * lock, as by ^Z.  R2, R3, R6, R7, R8, R9, R22.
 */
#define NP 5
#ifndef CRASHES
#define CRASHES 1
#endif
#define NONE 0
#define ADDING 1
#define PRESENT 2
#define RUNNING 0
#define DESTROYING 1
#define DESTROYED 2

byte slow, context, fast;   /* whose: p + 1 */
byte row = RUNNING;
byte thing, part;           /* of the document: an entry, and what is edited */
bool gone, kept;            /* the document; a copy of it, dated */
bool qemu = true;
bool has;
byte edits;                 /* that were acknowledged */
byte crashes, ended;
bool stopped;
hidden byte edit_lost, entry_of_a_domain_that_goes, document_before_qemu, document_not_kept, thing_without_entry;

#define FREE(p) if :: d_step { if :: slow == (p) + 1 -> slow = 0 :: else fi;   \
    if :: context == (p) + 1 -> context = 0 :: else fi;                         \
    if :: fast == (p) + 1 -> fast = 0 :: else fi } fi
#define CRASH(p) d_step { crashes < CRASHES -> crashes++ }; goto dead
#define TRY(step) if :: step :: CRASH(p) fi
#ifdef DROP_R2
#define TAKE_FAST(p) skip
#else
#define TAKE_FAST(p) d_step { fast == 0 -> fast = (p) + 1 }
#endif
#define TAKE_SLOW(p) d_step { slow == 0 -> slow = (p) + 1 }

/* R8, R1: what is committed while the domain goes has no process that brings it to its end. */
#ifdef DROP_R8
#define REFUSED false
#else
#define REFUSED (row != RUNNING)
#endif

proctype Operation(byte p)
{
    byte other = 0; /* the rest of the document, as it was read */
    TRY(TAKE_SLOW(p));
    TRY(TAKE_FAST(p));
    if
    :: REFUSED || gone -> goto out
    :: else
    fi;
    other = part;
    if
    :: d_step { !REFUSED ->
        thing = ADDING;
        if :: row != RUNNING -> assert(entry_of_a_domain_that_goes) :: else fi }
    :: REFUSED -> goto out
    :: CRASH(p)
    fi;
    d_step { if :: fast == (p) + 1 -> fast = 0 :: else fi };
    if
    :: skip
    :: d_step { !stopped -> stopped = true };
end_stopped:
        false /* for ever, with its slow lock */
    fi;
    if
    :: qemu -> TRY(d_step { if :: qemu -> has = true :: else fi })
    :: else
    fi;
    TRY(TAKE_FAST(p));
    if
    :: row != RUNNING || gone -> goto out
    :: else
    fi;
#ifdef DROP_R6
    /* The whole document as it was read for commit 1. */
    TRY(d_step { thing = PRESENT; part = other });
#else
    TRY(d_step { thing = PRESENT });
#endif
out:
    FREE(p);
    ended++;
    goto end;
dead:
    FREE(p);
    ended++;
end: skip
}

/* Read, change, write: one section. */
proctype Edit(byte p; bool embedded)
{
    byte seen;
#ifdef DROP_R7
    /* The embedder's own lock below the fast lock, where its other thread has it the right way round. */
    if
    :: embedded -> TRY(TAKE_FAST(p)); TRY(d_step { context == 0 -> context = p + 1 })
    :: else -> TRY(d_step { context == 0 -> context = p + 1 }); TRY(TAKE_FAST(p))
    fi;
#else
    if
    :: embedded -> TRY(d_step { context == 0 -> context = p + 1 })
    :: else
    fi;
    TRY(TAKE_FAST(p));
#endif
    if
    :: row != RUNNING -> goto out
    :: else
    fi;
    TRY(seen = part);
    if
    :: d_step { row == RUNNING -> part = seen + 1; edits++ }
    :: row != RUNNING
    :: CRASH(p)
    fi;
out:
    FREE(p);
    ended++;
    goto end;
dead:
    FREE(p);
    ended++;
end: skip
}

/* Its steps may be taken by a second one, which finds what the first has done. */
inline destroy(p)
{
#ifdef DROP_R9
    TRY(TAKE_SLOW(p));
#endif
    TRY(d_step { if :: row == RUNNING -> row = DESTROYING :: else fi });
#ifdef DROP_R9_DEAD
    if
    :: d_step { qemu -> skip }
    :: !qemu
    fi;
#else
    TRY(d_step { qemu = false; has = false });
#endif
    if
    :: gone
    :: else ->
#ifdef DROP_R22
        TRY(gone = true);
        TRY(kept = true);
#else
        TRY(kept = true);
        TRY(gone = true);
#endif
        d_step {
            if :: gone && qemu -> assert(document_before_qemu) :: else fi
        }
    fi;
    TRY(row = DESTROYED);
}

proctype Destroyer(byte p)
{
    destroy(p);
    FREE(p);
    ended++;
    goto end;
dead:
    FREE(p);
    ended++;
end: skip
}

init
{
    byte p = 4;
    atomic { run Operation(0); run Edit(1, true); run Edit(2, false); run Destroyer(3) }
    /* A process that is stopped never ends; all others do. */
    ended == 4 || (stopped && ended == 3);
    d_step { crashes = CRASHES };
    if
    :: row == RUNNING -> d_step {
        if :: part != edits -> assert(edit_lost) :: else fi;
        if :: has && thing == NONE -> assert(thing_without_entry) :: else fi }
    :: row != RUNNING -> d_step {
        if :: part < edits -> assert(edit_lost) :: else fi }
    fi;
    /* The one that a person asks for once more. */
    destroy(p);
dead:
    if
    :: gone && !kept -> assert(document_not_kept)
    :: else
    fi
}
