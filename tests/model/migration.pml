/* SPDX-License-Identifier: MIT */
/* A domain that moves from host A to host B, each with a store of its own, and a fleet's database that both tell what
 * they have (tools/fleet). Source: close the document, send it, migrate, end the source once the other has the guest
 * whole; or end the target for good, and reopen. Each process may die at each step, and another then brings the move to
 * its end. -DMISTAKE: a person starts the document on B while it runs on A, and the fleet has to see it.
 */
#ifndef CRASHES
#define CRASHES 1
#endif
#define A 0
#define B 1
/* Rows, as the stores have them. */
#define NONE 0
#define CREATING 1
#define RUNNING 2
#define DESTROYED 3
/* The stream from the QEMU of A to that of B. */
#define IDLE 0
#define FLOWS 1
#define ARRIVED 2
#define CANCELLED 3

byte row[2];
bool closed[2];
bool qemu[2];  /* lives */
bool guest[2]; /* its processors run */
byte stream;
bool sent;      /* the document, to the receiver */
bool tombstone; /* on B */
bool ran_on_b;
bool mover_ended;
byte crashes, ended;
/* What the fleet has, and the lock of each host's row there. */
byte seen_row[2];
bool seen_closed[2];
bool presence[2];
bool unsent[2]; /* a commit that no push has read yet */
hidden byte two_claims, two_guests, resumed_behind_the_other, domain_nowhere, row_left_over, fleet_differs, mistake_unseen;

#define CLAIMS(h) (row[h] == RUNNING && !closed[h])
#define CRASH d_step { crashes < CRASHES -> crashes++ }; goto dead
#define TRY(step) if :: step :: CRASH fi
#ifdef MISTAKE
#define CHECK skip
#else
#define CHECK d_step {                                             \
    if :: CLAIMS(A) && CLAIMS(B) -> assert(two_claims) :: else fi; \
    if :: guest[A] && guest[B] -> assert(two_guests) :: else fi }
#endif

/* destroy on B, or a tombstone where B has no row yet: a creation that comes later ends itself. */
#ifdef DROP_FORESTALL
#define FORESTALL skip
#else
#define FORESTALL tombstone = true
#endif
#define END_TARGET                                                                     \
    TRY(d_step { if                                                                    \
                 :: row[B] == NONE -> FORESTALL                                        \
                 :: row[B] == CREATING || row[B] == RUNNING -> row[B] = DESTROYED; unsent[B] = true \
                 :: else                                                               \
                 fi });                                                                \
    TRY(d_step { qemu[B] = false; guest[B] = false })

/* Who brings the move to its end. What B has is only believed once the stream can bring no more. */
#ifdef DROP_CANCEL
#define CANCEL skip
#else
#define CANCEL TRY(d_step { if :: stream == FLOWS || stream == IDLE -> stream = CANCELLED :: else fi })
#endif
#ifdef DROP_ASK
#define HAS_IT_WHOLE (row[B] == RUNNING)
#else
#define HAS_IT_WHOLE (stream == ARRIVED && qemu[B])
#endif
#define SETTLE_MOVE                                                                    \
    CANCEL;                                                                            \
    if                                                                                 \
    :: HAS_IT_WHOLE ->                                                                 \
        TRY(d_step { qemu[A] = false; guest[A] = false });                             \
        TRY(d_step { row[A] = DESTROYED; unsent[A] = true })                           \
    :: !HAS_IT_WHOLE && row[A] == RUNNING ->                                           \
        END_TARGET;                                                                    \
        TRY(d_step { closed[A] = false; unsent[A] = true });                           \
        CHECK;                                                                         \
        TRY(d_step { guest[A] = qemu[A] });                                            \
        d_step { if :: guest[A] && ran_on_b -> assert(resumed_behind_the_other) :: else fi } \
    :: else                                                                            \
    fi;                                                                                \
    CHECK

proctype Mover()
{
#ifndef DROP_CLOSE
    TRY(d_step { closed[A] = true; unsent[A] = true });
#endif
    TRY(d_step { sent = true });
    if
    :: row[B] == RUNNING && qemu[B] -> TRY(d_step { stream == IDLE -> stream = FLOWS })
    :: skip /* no answer */
    fi;
    SETTLE_MOVE;
dead:
    atomic { mover_ended = true; ended++ }
}

/* Takes the document up, and begins a QEMU that waits for the stream. */
proctype Receiver()
{
    if
    :: sent
    :: mover_ended && !sent -> goto dead
    fi;
    TRY(d_step { if :: tombstone -> tombstone = false; row[B] = DESTROYED
                 :: else -> row[B] = CREATING fi; unsent[B] = true });
    if :: row[B] == DESTROYED -> goto dead :: else fi;
    TRY(d_step { if :: row[B] == CREATING -> qemu[B] = true :: else fi });
    TRY(d_step { if :: row[B] == CREATING && qemu[B] -> row[B] = RUNNING; unsent[B] = true
                 :: else fi });
    CHECK;
dead:
    ended++
}

/* The two QEMUs by themselves: the source stops, the whole is there, the target goes on. */
proctype Stream()
{
end_stream:
    do
    :: d_step { stream == FLOWS && qemu[A] && qemu[B] -> guest[A] = false; stream = ARRIVED }
    :: d_step { stream == ARRIVED && qemu[B] && !guest[B] -> guest[B] = true; ran_on_b = true }; CHECK
    od
}

/* By the host's row in the fleet's database, which stays locked from before the store is read (fleet.begin_push). */
proctype Push(byte h)
{
    byte r;
    bool c;
#ifndef DROP_PUSH_LOCK
    TRY(d_step { !presence[h] -> presence[h] = true });
#endif
    d_step { r = row[h]; c = closed[h]; unsent[h] = false };
    if
    :: d_step { seen_row[h] = r; seen_closed[h] = c; presence[h] = false; r = 0; c = 0 }
    :: d_step { crashes < CRASHES -> crashes++; unsent[h] = true; presence[h] = false; r = 0; c = 0 } /* rolled back */
    fi;
dead:
    ended++
}

/* A creation whose creator died, by recovery on B. */
#define RECOVER_B d_step {                                                    \
    if                                                                        \
    :: row[B] == CREATING && qemu[B] -> row[B] = RUNNING; unsent[B] = true    \
    :: row[B] == CREATING && !qemu[B] -> row[B] = DESTROYED; unsent[B] = true \
    :: else                                                                   \
    fi }

/* Another process of the toolstack, once the mover is gone. */
proctype Resolver()
{
    mover_ended;
    if
    :: closed[A] && row[A] == RUNNING -> SETTLE_MOVE
    :: else
    fi;
dead:
    ended++
}

#define SEEN_CLAIMS(h) (seen_row[h] == RUNNING && !seen_closed[h])
/* What was sent behind its last commit is as the store has it, also where two pushes of a host ran at once. */
#define FLEET_CHECK(h) d_step {                                               \
    if                                                                        \
    :: !unsent[h] && (seen_row[h] != row[h] || seen_closed[h] != closed[h]) -> assert(fleet_differs) \
    :: else                                                                   \
    fi }

proctype Person()
{
    TRY(d_step { row[B] = CREATING; qemu[B] = true; unsent[B] = true });
    TRY(d_step { row[B] = RUNNING; guest[B] = true; unsent[B] = true });
dead:
    ended++
}

init
{
    d_step { row[A] = RUNNING; qemu[A] = true; guest[A] = true; seen_row[A] = RUNNING };
#ifdef MISTAKE
    atomic { run Person(); run Push(A); run Push(B); run Push(B) }
    ended == 4;
    d_step { crashes = CRASHES };
    if
    :: unsent[B] -> run Push(B); ended == 5
    :: else
    fi;
    d_step { if :: CLAIMS(A) && CLAIMS(B) && !(SEEN_CLAIMS(A) && SEEN_CLAIMS(B)) -> assert(mistake_unseen) :: else fi }
#else
    atomic { run Stream(); run Mover(); run Receiver(); run Resolver(); run Push(A); run Push(A); run Push(B) }
    ended == 6;
    d_step { crashes = CRASHES };
    RECOVER_B;
    CHECK;
    run Resolver(); /* one that is not killed */
    ended == 7;
    CHECK;
    d_step {
        if :: row[B] == CREATING -> assert(row_left_over) :: else fi;
        if :: !(row[A] == RUNNING && guest[A]) && !(row[B] == RUNNING && qemu[B] && stream == ARRIVED) -> assert(domain_nowhere) :: else fi
    };
    FLEET_CHECK(A);
    FLEET_CHECK(B)
#endif
}
