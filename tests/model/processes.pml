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
#define UNREACHABLE(i) (!PROVED(i) || row[i] == DESTROYING || row[i] == DESTROYED)
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

/* Engine::begin, make_way, operate. `wanted` is the image that the thing shall have. */
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
    ASK_QEMU(probe(p, i, t), out);
    if
    :: verb == ADD && seen[p] == HALF && entry[X(i, t)] != NO_ENTRY ->
        EXECUTE(TAKE_PART, ABSENT, out, out);
        ASK_QEMU(probe(p, i, t), out)
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
    :: has[X(i, t)] < EMPTY
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
       (!WAITS(X(i, t), seen[p]) || declined[X(i, t)]) ->
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

/* recovery/pass4_intents.cc, of one incarnation. */
proctype Recovery(byte p; byte i; bool last)
{
    byte t = 0;
    /* It does not wait for a lock: whoever has it is at work. */
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

proctype Qemu(byte i)
{
    byte t;
end:
    do
    :: qemu_begin(i)
    :: qemu_refuse(i)
    :: qemu_discard(i)
    :: guest_lets_go(i, 0)
    :: guest_declines(i, 0)
    :: break_off(i)
    :: slow_lose(i)
    od
}

/* Part of init: nobody has seen anything. */
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
hidden byte thing_without_entry, image_differs, intent_left_open, entry_left_over;

/* R1: what QEMU has, an entry has or an open intent holds. */
#define HELD(x) (has[x] == ABSENT || entry[x] != NO_ENTRY)
/* An entry that no intent speaks of says what QEMU has, unless a guest let go on its own. */
#define AGREES(x)                                                                      \
    (intent[x] != NO_INTENT || entry[x] != PRESENT || let_go[x] || has[x] == image[x])

active proctype Monitor()
{
    byte x;
end:
    do
    :: d_step { qemu[0] == LIVE && !HELD(0) -> assert(thing_without_entry) }
    :: d_step { qemu[0] == LIVE && !AGREES(0) -> assert(image_differs) }
    od
}
