/* SPDX-License-Identifier: MIT */
/* What the code does with the steps: which follows which, and what follows when one does not go. */

byte ended;

/* A process may die before each step, and during each wait for one. */
#define TRY(step)              \
    if                         \
    :: step                    \
    :: crash(p); goto dead     \
    fi
/* A step over the connection, which may be over. */
#define ASK_QEMU(step, otherwise)      \
    if                                 \
    :: step                            \
    :: conn[p] == 0 -> goto otherwise  \
    :: crash(p); goto dead             \
    fi
/* A commit, which may find the domain moved on. */
#define COMMIT(step, otherwise)                \
    if                                         \
    :: step                                    \
    :: commit_refused(p, i) -> goto otherwise  \
    :: crash(p); goto dead                     \
    fi
/* Never waits for what will not come. */
#define UNREACHABLE(i) (!PROVED(i))
#define CONNECT(otherwise)                     \
    if                                         \
    :: connect(p, i)                           \
    :: UNREACHABLE(i) -> goto otherwise        \
    :: crash(p); goto dead                     \
    fi
/* A command and its reply. */
#define EXECUTE(what, leads_to, refused, otherwise)       \
    ASK_QEMU(send(p, i, t, what, leads_to), otherwise);   \
    if                                                    \
    :: reply(p, i)                                        \
    :: reply_refused(p, i) -> goto refused                \
    :: conn[p] == 0 -> goto otherwise                     \
    :: crash(p); goto dead                                \
    fi

#define LEAVE_AND_RELEASE      \
    do                         \
    :: conn[p] == 0 -> break   \
    :: leave(p, i)             \
    :: crash(p); goto dead     \
    od;                        \
    TRY(slow_release(p, i))

/* From the mark to the end, with a kill or (`false`) without; one that comes too late finds the row destroyed. */
#define DESTROY(how)                                                                   \
    TRY(destroy_lock(p, i));                                                           \
    if                                                                                 \
    :: destroy_mark(p, i);                                                             \
        do                                                                             \
        :: destroy_dead(p, i) -> break                                                 \
        :: ANY_TIME -> break                                                           \
        :: how                                                                         \
        :: crash(p); goto dead                                                         \
        od;                                                                            \
        if                                                                             \
        :: destroy_unlink(p, i)                                                        \
        :: !OUR_SOCKET(i)                                                              \
        :: crash(p); goto dead                                                         \
        fi;                                                                            \
        TRY(destroy_end(p, i))                                                         \
    :: row[i] == DESTROYED                                                             \
    :: crash(p); goto dead                                                             \
    fi;                                                                                \
    TRY(destroy_release(p, i))

/* From the monitor's first answer on; a step that does not go is left to recovery. */
#define FINISH_CREATION(otherwise)                                                     \
    if                                                                                 \
    :: met[i]                                                                          \
    :: create_answer(p, i)                                                             \
    :: commit_refused(p, i) -> goto otherwise                                          \
    :: qemu[i] == DEAD -> goto otherwise                                               \
    :: last_wait(i) -> goto otherwise                                                  \
    :: crash(p); goto dead                                                             \
    fi;                                                                                \
    CONNECT(otherwise);                                                                \
    if                                                                                 \
    :: adopt(p, i, t);                                                                 \
        ASK_QEMU(probe(p, i, t), otherwise);                                           \
        if                                                                             \
        :: seen[p] == HALF ->                                                          \
            EXECUTE(TAKE_PART, ABSENT, otherwise, otherwise);                          \
            ASK_QEMU(probe(p, i, t), otherwise)                                        \
        :: else                                                                        \
        fi;                                                                            \
        COMMIT(commit_settle(p, i, t), otherwise)                                      \
    :: intent[X(i, t)] == NO_INTENT                                                    \
    fi;                                                                                \
    if                                                                                 \
    :: create_born(p, i, t)                                                            \
    :: conn[p] == 0 -> goto otherwise                                                  \
    :: commit_refused(p, i) -> goto otherwise                                          \
    :: crash(p); goto dead                                                             \
    fi;                                                                                \
    if                                                                                 \
    :: entry[X(i, t)] == STALE ->                                                      \
        ASK_QEMU(probe(p, i, t), otherwise);                                           \
        if                                                                             \
        :: seen[p] == HALF ->                                                          \
            EXECUTE(TAKE_PART, ABSENT, otherwise, otherwise);                          \
            ASK_QEMU(probe(p, i, t), otherwise)                                        \
        :: else                                                                        \
        fi;                                                                            \
        COMMIT(commit_open(p, i, t, ADD, RED), otherwise);                             \
        EXECUTE(MAKE_PART, HALF, otherwise, otherwise);                                \
        ASK_QEMU(send(p, i, t, MAKE_WHOLE, RED), otherwise);                           \
        if                                                                             \
        :: reply(p, i)                                                                 \
        :: reply_refused(p, i);                                                        \
            EXECUTE(TAKE_PART, ABSENT, otherwise, otherwise)                           \
        :: conn[p] == 0 -> goto otherwise                                              \
        :: crash(p); goto dead                                                         \
        fi;                                                                            \
        COMMIT(commit_settle(p, i, t), otherwise)                                      \
    :: else                                                                            \
    fi;                                                                                \
    if                                                                                 \
    :: create_running(p, i)                                                            \
    :: conn[p] == 0 -> goto otherwise                                                  \
    :: commit_refused(p, i) -> goto otherwise                                          \
    :: crash(p); goto dead                                                             \
    fi

/* Part of another step. */
inline document(i, wanted)
{
    if
    :: wanted != ABSENT -> create_entry(i, 0, wanted)
    :: else
    fi
}

/* A child whose creator died never answers. */
#define last_wait(i) (qemu[i] == GATED && parent[i] == 0)

/* Engine::begin, resolve_pending, operate. `wanted` is the image that the thing shall have. */
proctype Operation(byte p; byte i; byte t; byte verb; byte wanted)
{
    bool acting = false; /* between commit 1 and commit 2 of its own plan */
    bool again = false;  /* the connection broke once, and is there anew */
    TRY(slow_take(p, i));
    if
    :: row[i] == CREATING -> goto out
    :: else
    fi;
    CONNECT(out);

    /* An open intent is resolved first. */
    if
    :: intent[X(i, t)] == NO_INTENT -> goto check
    :: adopt(p, i, t);
        if
        :: verb == REMOVE && intent[X(i, t)] == REMOVE && asked[X(i, t)] -> goto ask
        :: else -> goto settle
        fi
    :: crash(p); goto dead
    fi;

check:
    ASK_QEMU(probe_before(p, i, t, verb, wanted), out);
    if
    :: verb == ADD && seen[p] == HALF && entry[X(i, t)] != NO_ENTRY ->
        EXECUTE(TAKE_PART, ABSENT, out, out);
        ASK_QEMU(probe_before(p, i, t, verb, wanted), out)
    :: else
    fi;
    if
#ifndef DROP_R16
    :: verb == ADD && seen[p] != ABSENT -> goto out
#endif
    :: verb != ADD && entry[X(i, t)] == NO_ENTRY -> goto out
    :: verb == CHANGE && seen[p] < EMPTY -> goto out
    :: else
    fi;
#ifdef DROP_R10
    if
    :: verb == ADD -> EXECUTE(MAKE_PART, HALF, out, out)
    :: else
    fi;
#endif
#ifdef DROP_R5
    /* The lock is given away, and taken again without another look. */
    if
    :: verb == REMOVE && seen[p] == ABSENT ->
        d_step { hang_up(p) };
        slow_release(p, i);
        TRY(slow_take(p, i))
    :: else
    fi;
#endif
    if
    :: commit_open(p, i, t, verb, wanted)
    :: commit_unfit(p, i, t, verb) -> goto out
    :: commit_refused(p, i) -> goto out
    :: crash(p); goto dead
    fi;
    acting = true;
#ifdef DROP_R4
    /* Another may have the lock while this one sends. */
    d_step {
        slow[i] = 0;
        hang_up(p)
    };
    CONNECT(out);
#endif
    if
    :: verb == ADD ->
        EXECUTE(MAKE_PART, HALF, settle, broken);
        EXECUTE(MAKE_WHOLE, wanted, settle, broken);
        goto write
    :: verb == CHANGE ->
        EXECUTE(TAKE_OUT, EMPTY, settle, broken);
        if
        :: wanted == EMPTY
        :: wanted != EMPTY -> EXECUTE(PUT_IN, wanted, settle, broken)
        fi;
        goto write
    :: verb == REMOVE && seen[p] == ABSENT -> goto write
    :: verb == REMOVE && seen[p] == HALF -> goto part
    :: verb == REMOVE && seen[p] >= EMPTY
    fi;

ask:
    acting = true;
    EXECUTE(ASK_GUEST, UNSEEN, settle, broken);
    ASK_QEMU(probe(p, i, t), broken);
    if
    :: seen[p] < EMPTY -> goto part
    :: else
    fi;
    COMMIT(commit_note(p, i, t, true), out);
    /* For a while. */
    if
    :: has[AT(X(i, t))] < EMPTY
    :: true
    fi;
    ASK_QEMU(probe(p, i, t), broken);
    if
    :: seen[p] == HALF
    :: else -> goto write
    fi;

part:
    EXECUTE(TAKE_PART, ABSENT, settle, broken);
    goto write;

broken:
    if
    :: again -> goto write
    :: else -> again = true
    fi;
    if
    :: still_held(p, i)
    :: commit_refused(p, i) -> goto out
    :: crash(p); goto dead
    fi;
    CONNECT(write);

settle: /* what there is is looked at, a part taken out */
    ASK_QEMU(probe(p, i, t), unseen);
    if
    :: intent[X(i, t)] != CHANGE && seen[p] == HALF ->
        EXECUTE(TAKE_PART, ABSENT, unseen, unseen);
        ASK_QEMU(probe(p, i, t), unseen)
    :: else
    fi;

write:
    if
    :: CONCLUSIVE(X(i, t), seen[p]) &&
       (!WAITS(X(i, t), seen[p]) || declined[AT(X(i, t))]) ->
        COMMIT(commit_settle(p, i, t), out);
        if
        :: !acting -> goto check /* the way is free */
        :: else -> goto out
        fi
    :: else
    fi;
unseen:
    COMMIT(commit_note(p, i, t, false), out);

out:
    do
    :: conn[p] == 0 -> break
    :: leave(p, i)
    :: crash(p); goto dead
    od;
    TRY(slow_release(p, i));
dead:
    ended++
}

/* recovery/passes/pass4_intents.cc, of one incarnation. */
proctype Recovery(byte p; byte i; bool last)
{
    byte t = 0;
    /* It does not wait for a lock: its holder is at work. */
    if
    :: slow_take(p, i)
    :: slow[i] != 0 && !last -> goto dead
    fi;
    if
    :: row[i] != RUNNING || !registered[i] -> goto out
    :: else
    fi;
    CONNECT(out);
    do
    :: t < NT ->
        if
        :: intent[X(i, t)] == NO_INTENT -> goto next
        :: adopt(p, i, t)
        :: crash(p); goto dead
        fi;
        ASK_QEMU(probe(p, i, t), out);
        if
        :: intent[X(i, t)] != CHANGE && seen[p] == HALF ->
            EXECUTE(TAKE_PART, ABSENT, note, out);
            ASK_QEMU(probe(p, i, t), out)
        :: else
        fi;
        if
        :: CONCLUSIVE(X(i, t), seen[p]) && !WAITS(X(i, t), seen[p]) ->
            COMMIT(commit_settle(p, i, t), out);
            goto next
        :: else
        fi;
note:
        COMMIT(commit_note(p, i, t, false), out);
next:
        t++
    :: else -> break
    od;

out:
    do
    :: conn[p] == 0 -> break
    :: leave(p, i)
    :: crash(p); goto dead
    od;
    TRY(slow_release(p, i));
dead:
    ended++
}

/* create_domain. Its document has one thing, `wanted`, or none. */
proctype Creator(byte p; byte wanted)
{
    byte i = 0;
    byte t = 0;
    if
    :: atomic { create_row(p, 0); document(0, wanted) }
    :: NI > 1 && row[0] != NO_ROW -> i = NI - 1;
        if
        :: atomic { create_row(p, NI - 1); document(NI - 1, wanted) }
        :: !OLDER_GONE(i) || row[i] != NO_ROW -> goto dead /* the domid is taken */
        :: create_forestalled(p) -> goto dead
        :: crash(p); goto dead
        fi
    :: NI == 1 && row[0] != NO_ROW -> goto dead
    :: create_forestalled(p) -> goto dead
    :: crash(p); goto dead
    fi;
    TRY(create_spawn(p, i));
#ifdef DROP_R13
    TRY(create_gate(p, i));
    parent[i] = p + 1;
#endif
    COMMIT(create_register(p, i), failed);
#ifndef DROP_R13
    if
    :: create_gate(p, i)
    :: qemu[i] == DEAD -> goto failed
    :: crash(p); goto dead
    fi;
#endif
    FINISH_CREATION(failed);
    LEAVE_AND_RELEASE;
    goto dead;

failed:
    if
    :: create_give_up(p, i)
    :: parent[i] != p + 1
    fi;
    LEAVE_AND_RELEASE;
    DESTROY(destroy_kill(p, i));
dead:
    ended++
}

/* destroy_or_forestall. */
proctype Destroyer(byte p)
{
    byte i = 0;
    if
    :: row[0] != NO_ROW && row[0] != DESTROYED
    :: NI > 1 && row[NI - 1] != NO_ROW && row[NI - 1] != DESTROYED -> i = NI - 1
    :: leave_tombstone(0) -> goto dead
    :: leave_tombstone((NI - 1)) -> goto dead
    :: row[NI - 1] == DESTROYED -> goto dead /* no incarnation is left to model */
    :: crash(p); goto dead
    fi;
    DESTROY(destroy_kill(p, i));
dead:
    ended++
}

/* recovery/passes/pass3_lifecycle.cc, of one incarnation. */
proctype Lifecycle(byte p; byte i; bool last)
{
    byte t = 0;
    if
    :: row[i] == NO_ROW || row[i] == DESTROYED -> goto dead
    :: row[i] == DESTROYING -> goto destruction
    :: row[i] == CREATING || row[i] == RUNNING
    fi;
    if
    :: slow_take(p, i)
    :: slow[i] != 0 && !last -> goto dead
    :: crash(p); goto dead
    fi;
    if
    :: row[i] == RUNNING && registered[i] && qemu[i] == DEAD -> goto dead_qemu
    :: row[i] == CREATING && registered[i] && qemu[i] != DEAD
    :: row[i] == CREATING && (!registered[i] || qemu[i] == DEAD) -> goto retire
    :: else -> goto out
    fi;
    FINISH_CREATION(unfinished);
    goto out;

dead_qemu:
    TRY(probe_dead(p, i, t));
    if
    :: adopt(p, i, t);
        COMMIT(commit_settle(p, i, t), out)
    :: intent[X(i, t)] == NO_INTENT
    fi;
    COMMIT(unregister(p, i), out);
    goto out;

unfinished:
    /* A child at its gate ends with its creator. */
    qemu[i] != GATED;
    if
    :: row[i] == CREATING && qemu[i] == DEAD && conn[p] == 0
    :: else -> goto out
    fi;
retire:
    DESTROY(false);

out:
    if
    :: hold[p] != 0 -> LEAVE_AND_RELEASE
    :: else
    fi;
    goto dead;
destruction:
    if
    :: destroy_byte[i] != 0 && !last -> goto dead
    :: destroy_byte[i] == 0 || last
    fi;
    DESTROY(destroy_kill(p, i));
dead:
    ended++
}

proctype Qemu(byte i)
{
end:
    do
    :: qemu_begin(i)
    :: qemu_refuse(i)
    :: qemu_discard(i)
    :: guest_lets_go(i, 0, RED)
    :: guest_declines(i, 0, RED)
#ifdef TWO_IDS
    :: guest_lets_go(i, 0, BLUE)
    :: guest_declines(i, 0, BLUE)
#endif
    :: qemu_listen(i)
    :: qemu_die(i)
    :: child_exit(i)
    :: break_off(i)
    :: slow_lose(i)
    od
}

/* Part of init: nothing has been seen. */
inline forget_all()
{
    r_ = 0;
    do
    :: r_ < NP -> seen[r_] = UNSEEN; r_++
    :: else -> break
    od;
    r_ = 0
}

/* Part of init: `n` processes have ended, and from now on nothing goes wrong. */
inline recovered(n)
{
    d_step {
        ended == n ->
            crashes = CRASHES;
            breaks = BREAKS;
            losses = LOSSES;
            qemu_deaths = QEMU_DEATHS
    }
}

/* ---- claims ---- */

/* Their names, which spin prints when one is broken; each is and stays false. */
hidden byte qemu_without_row, other_qemu_commanded, thing_without_entry, image_differs,
    intent_left_open, row_left_over, qemu_unreachable, entry_not_as_before;

/* R1: what QEMU has, an entry has or an open intent holds. */
#ifdef TWO_IDS
#define OF_INTENT(x, v)                                                                \
    (intent[x] != NO_INTENT && (before[x] == v || after[x] == v || replaced[x] == v))
#define HELD_AS(x, v)                                                                  \
    (has[SLOT(x, v)] == ABSENT || (entry[x] != NO_ENTRY && (image[x] == v || OF_INTENT(x, v))))
#define HELD(x) (HELD_AS(x, RED) && HELD_AS(x, BLUE))
#else
#define HELD(x) (has[x] == ABSENT || entry[x] != NO_ENTRY)
#endif
/* An entry that no intent speaks of says what QEMU has, unless a guest let go on its own. */
#define AGREES(x)                                                                      \
    (intent[x] != NO_INTENT || entry[x] != PRESENT || let_go[x] ||                     \
     has[SLOT(x, image[x])] == image[x])

#define WATCHED(i)                                                                          \
    :: d_step {                                                                             \
        qemu[i] == LIVE && (!registered[i] || row[i] == NO_ROW || row[i] == DESTROYED) ->   \
            assert(qemu_without_row) }                                                      \
    :: d_step {                                                                             \
        command[i] != NO_COMMAND && meant_for[i] != i + 1 -> assert(other_qemu_commanded) }   \
    :: d_step { qemu[i] == LIVE && !HELD(X(i, 0)) -> assert(thing_without_entry) }          \
    :: d_step { qemu[i] == LIVE && !AGREES(X(i, 0)) -> assert(image_differs) }              \
    :: d_step {                                                                             \
        row[i] == RUNNING && qemu[i] == LIVE && at_path != i + 1 -> assert(qemu_unreachable) }

active proctype Monitor()
{
end:
    do
    WATCHED(0)
    :: d_step { spoiled -> assert(entry_not_as_before) }
#if NI > 1
    WATCHED(1)
#endif
    od
}
