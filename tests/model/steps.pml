/* SPDX-License-Identifier: MIT */
/* The steps of the protocol: each is one atomic transition with a guard, which is what the rules
 * demand, and an effect. Nothing else changes what is declared here. README.md maps them to the
 * functions that take them. A rule that is dropped by -DDROP_… loses its part of a guard.
 *
 * p is a process, i an incarnation, t a thing. Incarnation i has at most one QEMU, QEMU i. A fast
 * section, with the transaction in it, is one step: nothing is seen of it before its commit.
 */

#ifndef NP
#define NP 6 /* processes */
#endif
#ifndef NI
#define NI 1 /* incarnations, all of one domid, and their QEMUs, all of one socket path */
#endif
#ifndef NT
#define NT 1 /* things of an incarnation */
#endif
#ifndef SET
#define SET byte /* of things: a bit each */
#endif
#define X(i, t) ((i)*NT + (t))
#define NX (NI * NT)
#define BIT(x) (1 << (x))
#define IN(set, x) ((set & BIT(x)) != 0)

/* How much may go wrong. */
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef BREAKS
#define BREAKS 0 /* connections that end though both sides live */
#endif
#ifndef LOSSES
#define LOSSES 0 /* slow locks that are lost while their owner lives */
#endif
#ifndef QEMU_DEATHS
#define QEMU_DEATHS 0
#endif
byte crashes, breaks, losses, qemu_deaths;

/* What QEMU has of a thing; two images of it. */
#define ABSENT 0
#define HALF 1  /* some products of a plan */
#define EMPTY 2 /* a drive without a medium */
#define RED 3
#define BLUE 4
#define UNSEEN 7 /* as evidence: nothing is proved */

/* With -DTWO_IDS each of the two has ids of its own in QEMU, which then can have both: a thing is its key,
 * not what it is made of. Where QEMU has image v of thing x: */
#ifdef TWO_IDS
#define SLOT(x, v) ((v) == BLUE -> NX + (x) : (x))
#define NH (2 * NX)
#else
#define SLOT(x, v) (x)
#define NH NX
#endif
/* The image that the open intent would make, or the entry's. */
#define SUBJECT(x) (intent[x] == ADD -> after[x] : image[x])
#define AT(x) SLOT(x, SUBJECT(x))

/* State of a row. */
#define NO_ROW 0
#define CREATING 1
#define RUNNING 2
#define DESTROYING 3
#define DESTROYED 4

/* State of an entry. */
#define NO_ENTRY 0
#define ADDING 1
#define PRESENT 2
#define CHANGING 3
#define REMOVING 4
#define STALE 5

/* Verb of an intent. */
#define NO_INTENT 0
#define ADD 1
#define REMOVE 2
#define CHANGE 3

/* Commands. */
#define NO_COMMAND 0
#define MAKE_PART 1  /* blockdev-add, chardev-add: what the thing depends on */
#define MAKE_WHOLE 2 /* device_add */
#define ASK_GUEST 3  /* device_del: the guest may let go later, and then a part is left */
#define TAKE_PART 4  /* blockdev-del, chardev-remove */
#define TAKE_OUT 5   /* blockdev-remove-medium */
#define PUT_IN 6     /* blockdev-insert-medium */

/* State of a QEMU. */
#define NO_QEMU 0
#define GATED 1
#define LIVE 2
#define DEAD 3

/* What a sender knows of its last command. */
#define NOTHING_SENT 0
#define WAITING 1
#define DONE 2
#define REFUSED 3

/* The store. */
byte row[NI];
bool registered[NI]; /* the pid is in the row */
bool met[NI];        /* and what its monitor's socket is */
byte entry[NX];
byte image[NX]; /* of the entry */
byte intent[NX];
byte before[NX];
byte after[NX];
byte replaced[NX]; /* the image of the entry that an add took the place of, or ABSENT */
byte was[NX];      /* and that entry's state */
bool asked[NX];    /* the intent says that the guest was asked */
bool tombstone;

/* The kernel. */
byte slow[NI];         /* who has the lock: a process + 1 */
byte destroy_byte[NI]; /* the same for the destroy lock */
byte at_path;          /* whose socket is at the path: a QEMU + 1 */

/* QEMU. */
byte qemu[NI];
byte parent[NI];  /* of the waiting child: a process + 1 */
byte client[NI];  /* whom its monitor serves: a process + 1 */
byte command[NI]; /* queued, not yet begun */
byte of_thing[NI];
byte with_image[NI];
byte sender[NI];
byte meant_for[NI]; /* ghost: the incarnation + 1 that the sender works on */
bool listened[NI];
byte has[NH];
bool asking[NH];  /* the guest has been asked, and may let go */
bool declined[NH]; /* it said no: an event, which the connected client hears */
#ifdef TWO_IDS
byte of_slot[NI];
#endif
bool spoiled;      /* ghost: an add failed and its entry is not what it was */
bool let_go[NX];   /* ghost: the guest let go when no intent said that it might */

/* A process. */
byte hold[NP];   /* the incarnation + 1 whose slow lock it believes that it holds */
bool moved[NP];  /* another has committed since its hold began (the epoch, without a number) */
byte conn[NP];   /* a QEMU + 1 */
byte toward[NP]; /* what its last command leads to */
byte answer[NP];
byte seen[NP]; /* evidence under this hold */
SET ahead[NP]; /* things of which it has opened, or taken over, an intent under this hold */
SET mine[NP];  /* those of them whose intent is still that one */
byte destroys[NP]; /* the incarnation + 1 whose destroy lock it holds */
bool sure[NP];     /* it has seen that incarnation's QEMU dead, or that there is none */
hidden byte r_, s_;

/* ---- rules, as guards ---- */

/* R8 and R15 */
#ifdef DROP_R15
#define UNMOVED(p, i) (row[i] == CREATING || row[i] == RUNNING)
#else
#define UNMOVED(p, i) (!moved[p] && (row[i] == CREATING || row[i] == RUNNING))
#endif
#define HOLDS(p, i) (hold[p] == (i) + 1)
#define PEER(p) (conn[p] - 1)
/* R4: what is sent is sent under the hold. */
#ifdef DROP_R4
#define MAY_SEND(p, i) true
#else
#define MAY_SEND(p, i) HOLDS(p, i)
#endif
#define WRITABLE(p, i) (HOLDS(p, i) && UNMOVED(p, i))
/* Who answers at the path is the registered QEMU: R11. */
#ifdef DROP_R11
#define PROVED(i) (at_path != 0 && qemu[at_path - 1] == LIVE)
#define CONNECTED(p, i) (conn[p] != 0)
#else
#define PROVED(i) (registered[i] && met[i] && at_path == (i) + 1 && qemu[i] == LIVE)
#define CONNECTED(p, i) (conn[p] == (i) + 1)
#endif
/* What a dead client left on the monitor has run or been thrown away: R12. */
#ifdef DROP_R12
#define BARRIER(q) true
#else
#define BARRIER(q) (command[q] == NO_COMMAND)
#endif
/* Its intent is committed (R10); before that only what an earlier plan of this very entry left is
 * undone (R16). */
#ifdef DROP_R10
#define AHEAD(p, x, what) true
#else
#define AHEAD(p, x, what)                                                                  \
    (IN(ahead[p], x) || (what == TAKE_PART && intent[x] == NO_INTENT && entry[x] != NO_ENTRY))
#endif
/* R5: what was seen counts for as long as the lock is held. */
#ifdef DROP_R5
#define FORGET_SEEN(p) skip
#else
#define FORGET_SEEN(p) seen[p] = UNSEEN
#endif
/* R13: the pid is in the row before the gate opens. */
#ifdef DROP_R13
#define IN_ROW(i) true
#else
#define IN_ROW(i) registered[i]
#endif
/* R14, each part of it. */
#ifdef DROP_R14_STATE
#define MAY_REGISTER(p, i) HOLDS(p, i)
#else
#define MAY_REGISTER(p, i) WRITABLE(p, i)
#endif
#ifdef DROP_R14_DOMID
#define OLDER_GONE(i) (i == 0 || row[i - 1] != NO_ROW)
#else
#define OLDER_GONE(i) (i == 0 || row[i - 1] == DESTROYED)
#endif
#ifdef DROP_R14_LAST
#define ANY_TIME true
#define DEAD_FIRST(p) true
#else
#define ANY_TIME false
#define DEAD_FIRST(p) sure[p]
#endif
#define OUR_SOCKET(i) (at_path == (i) + 1)
/* An image that settles the intent. */
#define CONCLUSIVE(x, v)                                                                 \
    ((intent[x] == ADD && (v == ABSENT || (v >= EMPTY && v <= BLUE))) ||                 \
     (intent[x] == REMOVE && (v == ABSENT || (v >= EMPTY && v <= BLUE))) ||              \
     (intent[x] == CHANGE && (v == EMPTY || v == before[x] || v == after[x])))
/* The guest was asked, by this intent, and has it still. */
#ifdef DROP_R18_WAITS
#define WAITS(x, v) false
#else
#define WAITS(x, v) (intent[x] == REMOVE && asked[x] && v >= EMPTY && v <= BLUE)
#endif
/* A claim of operations.pml. */
#ifndef CLOSES_A_REMOVAL_THAT_WAITS
#define CLOSES_A_REMOVAL_THAT_WAITS skip
#endif

/* ---- locks ---- */

inline slow_take(p, i)
{
    d_step {
        slow[i] == 0 && hold[p] == 0 ->
            slow[i] = p + 1;
            hold[p] = i + 1;
            moved[p] = false;
            FORGET_SEEN(p)
    }
}

inline slow_release(p, i)
{
    d_step {
        HOLDS(p, i) && conn[p] == 0 ->
            if
            :: slow[i] == p + 1 -> slow[i] = 0
            :: else
            fi;
            hold[p] = 0;
            moved[p] = false;
            ahead[p] = 0;
            mine[p] = 0;
            FORGET_SEEN(p)
    }
}

/* File removed, byte broken by `locks --break`: the owner is not told. */
inline slow_lose(i)
{
    d_step {
        slow[i] != 0 && losses < LOSSES ->
            losses++;
            slow[i] = 0
    }
}

/* The same by `locks --break`, which moves the epoch as well. */
inline slow_break(i)
{
    d_step {
        slow[i] != 0 ->
            slow[i] = 0;
            advance(NP, i)
    }
}

/* ---- connection ---- */

/* The hold is still good: asked before a second connect. */
inline still_held(p, i)
{
    d_step {
        WRITABLE(p, i) -> skip
    }
}

/* The peer is proved and the barrier passed: QEMU serves one client, and what a dead one left has
 * run or been thrown away. */
inline connect(p, i)
{
    d_step {
        HOLDS(p, i) && conn[p] == 0 && PROVED(i) &&
        client[at_path - 1] == 0 && BARRIER(at_path - 1) ->
            conn[p] = at_path;
            client[PEER(p)] = p + 1;
            answer[p] = NOTHING_SENT
    }
}

inline leave(p, i)
{
    d_step {
        CONNECTED(p, i) ->
            hang_up(p)
    }
}

/* Silence beyond a deadline, a full buffer: the client gives the connection up. */
inline break_off(i)
{
    d_step {
        client[i] != 0 && breaks < BREAKS ->
            breaks++;
            hang_up((client[i] - 1))
    }
}

/* Part of other steps. What it sent stays queued. */
inline hang_up(p)
{
    if
    :: conn[p] != 0 ->
        answer[p] = NOTHING_SENT;
        toward[p] = 0;
        r_ = PEER(p);
        conn[p] = 0;
        client[r_] = 0;
        r_ = 0
    :: else
    fi
}

inline probe(p, i, t)
{
    d_step {
        CONNECTED(p, i) && answer[p] == NOTHING_SENT ->
            seen[p] = has[AT(X(PEER(p), t))]
    }
}

/* Before commit 1 (R16): an add looks for its own image and for what the entry that is there is made of.
 * What is there of the new image is no leftover of that entry. */
#if defined(TWO_IDS) && !defined(DROP_R16_ENTRY)
#define LOOKED_FOR(x, wanted)                                                             \
    (entry[x] == NO_ENTRY || SLOT(x, wanted) == SLOT(x, image[x]) -> has[SLOT(x, wanted)] : \
     (has[SLOT(x, wanted)] != ABSENT -> wanted : has[SLOT(x, image[x])]))
#else
#define LOOKED_FOR(x, wanted) has[SLOT(x, wanted)]
#endif
inline probe_before(p, i, t, verb, wanted)
{
    d_step {
        CONNECTED(p, i) && answer[p] == NOTHING_SENT ->
            seen[p] = (verb == ADD -> LOOKED_FOR(X(PEER(p), t), wanted) : has[AT(X(PEER(p), t))])
    }
}

/* A command of a plan (R10: its intent is open and this process's own), or what undoes a part. */
inline send(p, i, t, what, leads_to)
{
    d_step {
        CONNECTED(p, i) && command[PEER(p)] == NO_COMMAND && answer[p] == NOTHING_SENT &&
        MAY_SEND(p, i) && AHEAD(p, X(i, t), what) ->
            command[PEER(p)] = what;
            of_thing[PEER(p)] = t;
#ifdef TWO_IDS
            of_slot[PEER(p)] = AT(X(i, t));
#endif
            with_image[PEER(p)] = leads_to;
            sender[PEER(p)] = p + 1;
            meant_for[PEER(p)] = i + 1;
            toward[p] = leads_to;
            answer[p] = WAITING
    }
}

/* A reply is evidence as a look is. */
inline reply(p, i)
{
    d_step {
        CONNECTED(p, i) && answer[p] == DONE ->
            answer[p] = NOTHING_SENT;
            seen[p] = toward[p];
            toward[p] = 0
    }
}

inline reply_refused(p, i)
{
    d_step {
        CONNECTED(p, i) && answer[p] == REFUSED ->
            answer[p] = NOTHING_SENT;
            seen[p] = UNSEEN;
            toward[p] = 0
    }
}

/* ---- commits of a slow hold ---- */

/* Part of other steps: the epoch advances (R15). */
inline advance(p, i)
{
    r_ = 0;
    do
    :: r_ < NP ->
        if
        :: r_ != p && hold[r_] == i + 1 -> moved[r_] = true
        :: else
        fi;
        r_++
    :: else -> break
    od;
    r_ = 0
}

/* Part of other steps: an intent is closed, and has no owner any more. */
inline close_intent(x)
{
    intent[x] = NO_INTENT;
    before[x] = 0;
    after[x] = 0;
    replaced[x] = 0;
    was[x] = 0;
    asked[x] = false;
    r_ = 0;
    do
    :: r_ < NP ->
        if
        :: IN(mine[r_], x) -> mine[r_] = mine[r_] - BIT(x)
        :: else
        fi;
        r_++
    :: else -> break
    od;
    r_ = 0
}

/* What has to have been seen before an intent is opened: R16 and R5. */
#ifdef DROP_R16
#define SEEN_FOR(verb, v) true
#else
#define SEEN_FOR(verb, v) (verb != ADD || v == ABSENT)
#endif

/* Commit 1: the entry and the intent. */
inline commit_open(p, i, t, verb, wanted)
{
    d_step {
        WRITABLE(p, i) && intent[X(i, t)] == NO_INTENT && SEEN_FOR(verb, seen[p]) &&
        (verb == ADD || entry[X(i, t)] != NO_ENTRY) ->
            intent[X(i, t)] = verb;
            before[X(i, t)] = (verb == ADD -> ABSENT : image[X(i, t)]);
            after[X(i, t)] = wanted;
            replaced[X(i, t)] = (verb == ADD -> image[X(i, t)] : ABSENT);
            was[X(i, t)] = (verb == ADD -> entry[X(i, t)] : NO_ENTRY);
            entry[X(i, t)] = (verb == ADD -> ADDING : (verb == REMOVE -> REMOVING : CHANGING));
            image[X(i, t)] = (verb == REMOVE -> image[X(i, t)] : wanted);
            let_go[X(i, t)] = false;
            ahead[p] = ahead[p] | BIT(X(i, t));
            mine[p] = mine[p] | BIT(X(i, t));
            advance(p, i)
    }
}

/* A later hold takes an open intent over, by reading it. */
inline adopt(p, i, t)
{
    d_step {
        HOLDS(p, i) && intent[X(i, t)] != NO_INTENT ->
            ahead[p] = ahead[p] | BIT(X(i, t));
            mine[p] = mine[p] | BIT(X(i, t))
    }
}

inline commit_note(p, i, t, was_asked)
{
    d_step {
        WRITABLE(p, i) && IN(ahead[p], X(i, t)) ->
            if
            :: was_asked && IN(mine[p], X(i, t)) -> asked[X(i, t)] = true
            :: else
            fi;
            advance(p, i)
    }
}

/* R16: an add that fails leaves the entry as it was. */
#ifdef DROP_R16_KEPT
#define PUT_BACK(x) STALE
#else
#define PUT_BACK(x) was[x]
#endif

/* Commit 2, by what was seen under this hold. */
inline commit_settle(p, i, t)
{
    d_step {
        WRITABLE(p, i) && IN(mine[p], X(i, t)) && CONCLUSIVE(X(i, t), seen[p]) &&
        (!WAITS(X(i, t), seen[p]) || declined[AT(X(i, t))]) ->
            if
            :: intent[X(i, t)] == REMOVE && asked[X(i, t)] && seen[p] >= EMPTY &&
               asking[AT(X(i, t))] -> CLOSES_A_REMOVAL_THAT_WAITS
            :: else
            fi;
            if
            :: seen[p] == ABSENT && replaced[X(i, t)] != ABSENT ->
                entry[X(i, t)] = PUT_BACK(X(i, t));
                image[X(i, t)] = replaced[X(i, t)];
                spoiled = (entry[X(i, t)] != was[X(i, t)]);
                let_go[X(i, t)] = (entry[X(i, t)] == PRESENT) /* though it was seen absent */
            :: seen[p] == ABSENT && replaced[X(i, t)] == ABSENT ->
                entry[X(i, t)] = NO_ENTRY;
                image[X(i, t)] = ABSENT
            :: seen[p] != ABSENT ->
                entry[X(i, t)] = PRESENT;
                if
                :: intent[X(i, t)] == CHANGE -> image[X(i, t)] = seen[p]
                :: intent[X(i, t)] == ADD -> image[X(i, t)] = after[X(i, t)]
                :: intent[X(i, t)] == REMOVE -> image[X(i, t)] = before[X(i, t)]
                fi
            fi;
            close_intent(X(i, t));
            ahead[p] = ahead[p] - BIT(X(i, t));
            advance(p, i)
    }
}

/* Of what is not modelled: initial devices, an adoption, a registration. */
inline commit_other(p, i)
{
    d_step {
        WRITABLE(p, i) -> advance(p, i)
    }
}

/* A commit that finds the domain not as the hold left it, or its intent closed by another. */
inline commit_refused(p, i)
{
    d_step {
        HOLDS(p, i) && (!UNMOVED(p, i) || ahead[p] != mine[p]) -> skip
    }
}

/* Commit 1 finds an open intent, or no entry to remove or change. */
inline commit_unfit(p, i, t, verb)
{
    d_step {
        WRITABLE(p, i) &&
        (intent[X(i, t)] != NO_INTENT || (verb != ADD && entry[X(i, t)] == NO_ENTRY)) -> skip
    }
}

/* ---- death of a process ---- */

inline crash(p)
{
    d_step {
        crashes < CRASHES ->
            crashes++;
            die(p)
    }
}

/* R3: a lock does not outlive its holder. */
#ifdef DROP_R3
#define LOCK_OF_THE_DEAD(i) skip
#else
#define LOCK_OF_THE_DEAD(i) slow[i] = 0
#endif
/* Part of other steps: the kernel takes back what a process had. */
inline die(p)
{
    hang_up(p);
    r_ = 0;
    do
    :: r_ < NI ->
        if
        :: slow[r_] == p + 1 -> LOCK_OF_THE_DEAD(r_)
        :: else
        fi;
        if
        :: destroy_byte[r_] == p + 1 -> destroy_byte[r_] = 0
        :: else
        fi;
        if
        :: parent[r_] == p + 1 -> parent[r_] = 0
        :: else
        fi;
        r_++
    :: else -> break
    od;
    r_ = 0;
    hold[p] = 0;
    moved[p] = false;
    seen[p] = UNSEEN;
    ahead[p] = 0;
    mine[p] = 0;
    destroys[p] = 0;
    sure[p] = false
}

/* ---- QEMU's own steps ---- */

#ifdef TWO_IDS
#define AFFECTED of_slot[i]
#else
#define AFFECTED X(i, of_thing[i])
#endif
#define OBEYABLE(i)                                                                           \
    ((command[i] == MAKE_PART && has[AFFECTED] == ABSENT) ||                                  \
     (command[i] == MAKE_WHOLE && has[AFFECTED] == HALF) ||                                   \
     (command[i] == ASK_GUEST && has[AFFECTED] >= EMPTY && !asking[AFFECTED]) ||              \
     (command[i] == TAKE_PART && has[AFFECTED] == HALF) ||                                    \
     (command[i] == TAKE_OUT && has[AFFECTED] >= EMPTY) ||                                    \
     (command[i] == PUT_IN && has[AFFECTED] == EMPTY))

/* Part of other steps: the reply reaches who sent the command, if it is still connected. */
inline give_answer(i, what)
{
    if
    :: client[i] != 0 && client[i] == sender[i] && answer[client[i] - 1] == WAITING ->
        answer[client[i] - 1] = what
    :: else
    fi;
    command[i] = NO_COMMAND;
    of_thing[i] = 0;
#ifdef TWO_IDS
    of_slot[i] = 0;
#endif
    with_image[i] = 0;
    sender[i] = 0;
    meant_for[i] = 0
}

inline qemu_begin(i)
{
    d_step {
        qemu[i] == LIVE && OBEYABLE(i) ->
            if
            :: command[i] == ASK_GUEST ->
                asking[AFFECTED] = true;
                declined[AFFECTED] = false
            :: command[i] == TAKE_PART -> has[AFFECTED] = ABSENT
            :: command[i] == MAKE_PART -> has[AFFECTED] = HALF
            :: command[i] == TAKE_OUT -> has[AFFECTED] = EMPTY
            :: command[i] == MAKE_WHOLE || command[i] == PUT_IN ->
                has[AFFECTED] = with_image[i];
            fi;
            give_answer(i, DONE)
    }
}

/* What makes something may fail in QEMU for reasons of its own. */
inline qemu_refuse(i)
{
    d_step {
        qemu[i] == LIVE && command[i] != NO_COMMAND &&
        (!OBEYABLE(i) || command[i] == MAKE_WHOLE || command[i] == PUT_IN) ->
            give_answer(i, REFUSED)
    }
}

/* What a client that hung up left is run, or thrown away. */
inline qemu_discard(i)
{
    d_step {
        qemu[i] == LIVE && command[i] != NO_COMMAND && client[i] != sender[i] ->
            give_answer(i, REFUSED)
    }
}

/* Of image v of thing t. */
inline guest_lets_go(i, t, v)
{
    d_step {
        qemu[i] == LIVE && asking[SLOT(X(i, t), v)] ->
            asking[SLOT(X(i, t), v)] = false;
            has[SLOT(X(i, t), v)] = HALF;
            if
            :: SLOT(X(i, t), v) == SLOT(X(i, t), image[X(i, t)]) ->
                let_go[X(i, t)] = !(intent[X(i, t)] == REMOVE && asked[X(i, t)])
            :: else
            fi
    }
}

inline guest_declines(i, t, v)
{
    d_step {
        qemu[i] == LIVE && asking[SLOT(X(i, t), v)] ->
            asking[SLOT(X(i, t), v)] = false;
            declined[SLOT(X(i, t), v)] = true
    }
}

/* Its socket takes the path. */
inline qemu_listen(i)
{
    d_step {
        qemu[i] == LIVE && !listened[i] ->
            listened[i] = true;
            at_path = i + 1
    }
}

inline qemu_die(i)
{
    d_step {
        qemu[i] == LIVE && qemu_deaths < QEMU_DEATHS ->
            qemu_deaths++;
            stop(i)
    }
}

/* A child at its gate whose creator died or gave it up. */
inline child_exit(i)
{
    d_step {
        qemu[i] == GATED && parent[i] == 0 ->
            qemu[i] = DEAD
    }
}

/* Part of other steps: all that was in QEMU i is gone. */
inline stop(i)
{
    qemu[i] = DEAD;
    if
    :: client[i] != 0 -> hang_up((client[i] - 1))
    :: else
    fi;
    command[i] = NO_COMMAND;
    of_thing[i] = 0;
#ifdef TWO_IDS
    of_slot[i] = 0;
#endif
    with_image[i] = 0;
    sender[i] = 0;
    meant_for[i] = 0;
    parent[i] = 0;
    r_ = 0;
    do
    :: r_ < NT ->
        has[X(i, r_)] = ABSENT;
        asking[X(i, r_)] = false;
        declined[X(i, r_)] = false;
#ifdef TWO_IDS
        has[NX + X(i, r_)] = ABSENT;
        asking[NX + X(i, r_)] = false;
        declined[NX + X(i, r_)] = false;
#endif
        r_++
    :: else -> break
    od;
    r_ = 0
}

/* ---- creation ---- */

/* The row with its document, and the slow lock of the new incarnation with it. */
inline create_row(p, i)
{
    d_step {
        !tombstone && row[i] == NO_ROW && OLDER_GONE(i) && hold[p] == 0 ->
            row[i] = CREATING;
            slow[i] = p + 1;
            hold[p] = i + 1;
            moved[p] = false;
            FORGET_SEEN(p)
    }
}

inline create_entry(i, t, wanted)
{
    entry[X(i, t)] = ADDING;
    image[X(i, t)] = wanted
}

inline create_forestalled(p)
{
    d_step {
        tombstone -> tombstone = false
    }
}

inline create_spawn(p, i)
{
    d_step {
        HOLDS(p, i) && qemu[i] == NO_QEMU ->
            qemu[i] = GATED;
            parent[i] = p + 1
    }
}

inline create_register(p, i)
{
    d_step {
        MAY_REGISTER(p, i) && parent[i] == p + 1 ->
            registered[i] = true;
            advance(p, i)
    }
}

inline create_gate(p, i)
{
    d_step {
        IN_ROW(i) && qemu[i] == GATED && parent[i] == p + 1 ->
            qemu[i] = LIVE;
            parent[i] = 0
    }
}

/* The creator closes the gate: its child exits. */
inline create_give_up(p, i)
{
    d_step {
        parent[i] == p + 1 -> parent[i] = 0
    }
}

/* The monitor's first answer: its socket is in the row from now on. */
inline create_answer(p, i)
{
    d_step {
        WRITABLE(p, i) && registered[i] && !met[i] && qemu[i] == LIVE && at_path == i + 1 &&
        client[i] == 0 ->
            met[i] = true;
            advance(p, i)
    }
}

/* The entries are told by QEMU's initial devices. */
inline create_born(p, i, t)
{
    d_step {
        WRITABLE(p, i) && CONNECTED(p, i) && intent[X(i, t)] == NO_INTENT ->
            if
            :: entry[X(i, t)] != NO_ENTRY && has[X(i, t)] >= EMPTY -> entry[X(i, t)] = PRESENT
            :: entry[X(i, t)] != NO_ENTRY && has[X(i, t)] < EMPTY -> entry[X(i, t)] = STALE
            :: else
            fi;
            advance(p, i)
    }
}

inline create_running(p, i)
{
    d_step {
        WRITABLE(p, i) && CONNECTED(p, i) && row[i] == CREATING ->
            row[i] = RUNNING;
            advance(p, i)
    }
}

/* ---- destruction ---- */

inline destroy_lock(p, i)
{
    d_step {
        destroy_byte[i] == 0 && destroys[p] == 0 ->
            destroy_byte[i] = p + 1;
            destroys[p] = i + 1
    }
}

inline destroy_mark(p, i)
{
    d_step {
        destroys[p] == i + 1 && row[i] != NO_ROW && row[i] != DESTROYED ->
            row[i] = DESTROYING
    }
}

inline destroy_kill(p, i)
{
    d_step {
        destroys[p] == i + 1 && row[i] == DESTROYING && registered[i] &&
        (qemu[i] == GATED || qemu[i] == LIVE) ->
            stop(i)
    }
}

inline destroy_dead(p, i)
{
    d_step {
        destroys[p] == i + 1 && row[i] == DESTROYING && (!registered[i] || qemu[i] == DEAD) ->
            sure[p] = true
    }
}

inline destroy_unlink(p, i)
{
    d_step {
        destroys[p] == i + 1 && DEAD_FIRST(p) && OUR_SOCKET(i) ->
            at_path = 0
    }
}

/* The document goes last. */
inline destroy_end(p, i)
{
    d_step {
        destroys[p] == i + 1 && DEAD_FIRST(p) && row[i] == DESTROYING ->
            row[i] = DESTROYED;
            registered[i] = false;
            met[i] = false;
            drop_document(i)
    }
}

/* Part of another step. */
inline drop_document(i)
{
    s_ = 0;
    do
    :: s_ < NT ->
        entry[X(i, s_)] = NO_ENTRY;
        image[X(i, s_)] = ABSENT;
        let_go[X(i, s_)] = false;
        close_intent(X(i, s_));
        s_++
    :: else -> break
    od;
    s_ = 0
}

inline destroy_release(p, i)
{
    d_step {
        destroys[p] == i + 1 ->
            destroy_byte[i] = 0;
            destroys[p] = 0;
            sure[p] = false
    }
}

/* A destruction that found no row. */
inline leave_tombstone(i)
{
    d_step {
        row[i] == NO_ROW && (i == 0 || row[i - 1] == DESTROYED) -> tombstone = true
    }
}

/* ---- a QEMU that died by itself ---- */

/* What is in a dead QEMU: nothing, and so an intent's image from before it. */
inline probe_dead(p, i, t)
{
    d_step {
        HOLDS(p, i) && registered[i] && qemu[i] == DEAD ->
            seen[p] = (intent[X(i, t)] == CHANGE -> before[X(i, t)] : ABSENT)
    }
}

inline unregister_unlink(p, i)
{
    d_step {
        HOLDS(p, i) && registered[i] && qemu[i] == DEAD && OUR_SOCKET(i) -> at_path = 0
    }
}

/* Its row stays, without a QEMU, its entries stale. */
inline unregister(p, i)
{
    d_step {
        WRITABLE(p, i) && registered[i] && qemu[i] == DEAD ->
            registered[i] = false;
            met[i] = false;
            s_ = 0;
            do
            :: s_ < NT ->
                if
                :: entry[X(i, s_)] != NO_ENTRY -> entry[X(i, s_)] = STALE
                :: else
                fi;
                s_++
            :: else -> break
            od;
            s_ = 0;
            advance(p, i)
    }
}
