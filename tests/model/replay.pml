/* SPDX-License-Identifier: MIT */
/* A trace of real processes on one incarnation, held against the steps. replay.py writes what its
 * lines say as moves, one a row, into the file that $MOVES names. A move takes the step that it
 * names, with that step's guard; QEMU, its guest and what a trace cannot tell go their own way
 * between. If the last move can be made, the trace is one that the model allows, and the assertion is
 * violated; if it cannot, the furthest line that was reached is printed.
 *
 * QEMU is looser here than in the other models: a plan of many commands is many parts, any of them
 * may be what makes the thing whole, and any may be refused.
 */
#include "steps.pml"

c_decl {
    static struct Move { int what, p, t, argument, line; } *moves;
    static int n_moves, furthest;

    __attribute__((constructor)) static void read_moves(void)
    {
        struct Move m;
        FILE *file = fopen(getenv("MOVES"), "r");
        if (!file) abort();
        while (fscanf(file, "%d %d %d %d %d", &m.what, &m.p, &m.t, &m.argument, &m.line) == 5) {
            moves = (struct Move *)realloc(moves, (n_moves + 1) * sizeof *moves);
            moves[n_moves++] = m;
        }
        fclose(file);
    }

    __attribute__((destructor)) static void say_where(void)
    {
        if (furthest < n_moves) printf("furthest %d\n", moves[furthest].line);
    }
}

/* Moves; replay.py reads their numbers here. */
#define TAKE 1
#define GIVE 2
#define BREAK_LOCK 3
#define CONNECT 4
#define LOOK 5
#define OPEN 6
#define NOTE 7
#define SETTLE 8
#define OTHER_COMMIT 9
#define REFUSED_COMMIT 10
#define SEND 11
#define QUERY 12
#define REPLY_DONE 13
#define REPLY_REFUSED 14
#define NO_REPLY 15
#define ROW 16
#define SPAWN 17
#define REGISTER 18
#define GATE 19
#define BORN 20
#define STARTED 21
#define DESTROY_LOCK 22
#define MARK 23
#define KILL 24
#define SEEN_DEAD 25
#define UNLINK 26
#define END 27
#define UNREGISTER 28
#define DIES 29  /* its last line was before */
#define MAYBE 30 /* the next so many moves are those of a last line, which may not have had effect */
#define NEVER 31 /* of an intent that was never opened */
#define IMPORT 32
#define REGISTER_RUNNING 33
/* Of a domid and uuid: the rows that it had one after the other, of which row 0 is the one that there is. */
#define TOMBSTONE 34
#define FORESTALLED 35
#define LIFE_BEGINS 36
#define LIFE_ENDS 37

/* What was seen, beside what an image can be. */
#define ANY 10
#define WAS_BEFORE 11
#define WAS_AFTER 12
#define IN_DRIVE 13

int pos = 0;
byte what, me, it, with;
byte killer;           /* who is about to kill: a process + 1 */
SET looked[NP];        /* things that it looked at under this hold */
SET born;              /* initial devices of QEMU, as what is first done with them tells */
bool reconnected[NP];  /* not the first connection of this hold */

#define AT_END c_expr { now.pos == n_moves }
#define BEFORE_IMAGE(x) (intent[x] == ADD -> ABSENT : before[x])
#define AFTER_IMAGE(x) (intent[x] == REMOVE -> ABSENT : after[x])
#define IS(v, x)                                                                                  \
    (with == ANY || (with == IN_DRIVE && v >= EMPTY && v <= BLUE) ||                              \
     (with == WAS_BEFORE && v == BEFORE_IMAGE(x)) || (with == WAS_AFTER && v == AFTER_IMAGE(x)) || \
     (with <= UNSEEN && v == with))

inline next_move()
{
    d_step {
        c_code {
            if (now.pos > furthest) furthest = now.pos;
            now.what = moves[now.pos].what;
            now.me = moves[now.pos].p;
            now.it = moves[now.pos].t;
            now.with = moves[now.pos].argument;
        }
    }
}

/* Who takes over an open intent has read it: that has no line of its own. */
inline adopt_if_open()
{
    if
    :: intent[it] != NO_INTENT && !IN(mine[me], it) -> adopt(me, 0, it)
    :: else
    fi
}

/* What settles an intent is in QEMU now as well, which this process is still connected to. */
inline look_again()
{
    if
    :: probe(me, 0, it)
    :: probe_dead(me, 0, it); adopt_if_open()
    fi;
    IS(seen[me], it) -> skip
}

/* Initial devices of QEMU, as it begins; and their entries. */
inline born_devices()
{
    it = 0;
    do
    :: it < NT ->
        has[it] = (IN(born, it) -> RED : ABSENT);
        it++
    :: else -> break
    od
}

inline born_entries()
{
    it = 0;
    do
    :: it < NT ->
        if
        :: c_expr { moves[now.pos].argument & (1 << now.it) } -> born = born | BIT(it)
        :: else
        fi;
        if
        :: IN(born, it) -> create_entry(0, it, RED); entry[it] = PRESENT
        :: else
        fi;
        it++
    :: else -> break
    od
}

proctype Trace()
{
    do
    :: AT_END -> break
    :: else ->
        next_move();
        if
        :: what == TAKE -> slow_take(me, 0); looked[me] = 0; reconnected[me] = false
        :: what == GIVE ->
            d_step { hang_up(me) };
            slow_release(me, 0)
        :: what == BREAK_LOCK -> slow_break(0)
        :: what == CONNECT ->
            /* The connected client has left, or its connection is over; if it has not, it stumbles later. */
            d_step { hang_up(me) };
            if
            :: client[0] != 0 -> d_step { hang_up((client[0] - 1)) }
            :: client[0] == 0
            fi;
            if
            :: !reconnected[me] -> reconnected[me] = true
            :: reconnected[me] -> still_held(me, 0)
            :: reconnected[me] && row[0] >= DESTROYING /* marked since it was asked */
            fi;
            connect(me, 0)
        :: what == LOOK ->
            adopt_if_open();
            probe(me, 0, it);
            IS(seen[me], it) -> looked[me] = looked[me] | BIT(it)
        :: what == OPEN ->
            IN(looked[me], it) -> probe(me, 0, it);
            if
            :: with == ADD -> commit_open(me, 0, it, ADD, RED)
            :: with == REMOVE -> commit_open(me, 0, it, REMOVE, ABSENT)
            :: with == CHANGE -> commit_open(me, 0, it, CHANGE, (image[it] == RED -> BLUE : RED))
            fi
        :: what == NOTE -> adopt_if_open(); commit_note(me, 0, it, (with == 1))
        :: what == SETTLE -> look_again(); commit_settle(me, 0, it)
        :: what == OTHER_COMMIT -> commit_other(me, 0)
        :: what == REFUSED_COMMIT -> commit_refused(me, 0)
        :: what == QUERY -> CONNECTED(me, 0) && HOLDS(me, 0) -> skip
        :: what == SEND -> /* of which thing it is a line does not tell */
            select(it : 0 .. (NT - 1));
            if
            :: ahead[me] == 0 -> adopt_if_open()
            :: else
            fi;
            if
            :: with == MAKE_WHOLE -> send(me, 0, it, MAKE_PART, HALF)
            :: with == PUT_IN -> send(me, 0, it, PUT_IN, after[it])
            :: with == TAKE_OUT -> send(me, 0, it, TAKE_OUT, EMPTY)
            :: with == TAKE_OUT -> send(me, 0, it, PUT_IN, after[it]) /* empty is what is wanted */
            :: with == MAKE_WHOLE -> send(me, 0, it, MAKE_WHOLE, after[it])
            :: with == ASK_GUEST -> send(me, 0, it, ASK_GUEST, UNSEEN)
            :: with == TAKE_PART -> send(me, 0, it, TAKE_PART, ABSENT)
            fi
        :: what == REPLY_DONE -> reply(me, 0)
        :: what == REPLY_REFUSED -> reply_refused(me, 0)
        :: what == NO_REPLY -> d_step { hang_up(me) }
        :: what == ROW ->
            create_row(me, 0);
            it = 0;
            do
            :: it < NT ->
                if
                :: c_expr { moves[now.pos].argument & (1 << now.it) } ->
                    create_entry(0, it, RED);
                    born = born | BIT(it)
                :: else
                fi;
                it++
            :: else -> break
            od
        :: what == IMPORT ->
            d_step { row[0] == NO_ROW -> row[0] = RUNNING };
            born_entries()
        :: what == REGISTER_RUNNING -> /* R11, R19: one that runs elsewhere; it was only asked */
            d_step {
                WRITABLE(me, 0) && (qemu[0] == NO_QEMU || qemu[0] == DEAD) ->
                    registered[0] = true;
                    met[0] = true;
                    row[0] = RUNNING;
                    qemu[0] = LIVE;
                    listened[0] = true;
                    at_path = 1;
                    advance(me, 0)
            };
            born_entries();
            born_devices()
        :: what == SPAWN ->
            if
            :: create_spawn(me, 0)
            :: d_step { /* a soft reset: the one before is dead, and in no row */
                HOLDS(me, 0) && qemu[0] == DEAD && !registered[0] ->
                    qemu[0] = GATED;
                    parent[0] = me + 1;
                    listened[0] = false
               }
            fi
        :: what == REGISTER ->
            if
            :: create_register(me, 0);
               if
               :: row[0] == RUNNING -> row[0] = CREATING
               :: else
               fi
            :: create_answer(me, 0)
            fi
        :: what == GATE ->
            create_gate(me, 0);
            born_devices()
        :: what == BORN ->
            it = 0;
            do
            :: it < NT ->
                if
                :: create_born(me, 0, it)
                :: intent[it] != NO_INTENT
                fi;
                it++
            :: else -> break
            od
        :: what == STARTED -> create_running(me, 0)
        :: what == DESTROY_LOCK ->
            /* That it was given back has no line: its holder has nothing to do under it any more. */
            if
            :: destroy_byte[0] != 0 -> destroy_release((destroy_byte[0] - 1), 0)
            :: destroy_byte[0] == 0
            fi;
            destroy_lock(me, 0)
        :: what == MARK -> destroy_mark(me, 0)
        :: what == KILL -> /* at once, or by and by */
            if
            :: destroy_kill(me, 0)
            :: d_step { HOLDS(me, 0) && registered[0] && qemu[0] == LIVE -> stop(0) } /* a soft reset */
            :: killer = me + 1
            fi
        :: what == SEEN_DEAD -> destroy_dead(me, 0); killer = 0
        :: what == UNLINK ->
            if
            :: destroy_unlink(me, 0)
            :: unregister_unlink(me, 0)
            fi
        :: what == END -> destroy_end(me, 0)
        :: what == UNREGISTER -> unregister(me, 0)
        :: what == TOMBSTONE -> leave_tombstone(0)
        :: what == FORESTALLED -> create_forestalled(me)
        :: what == LIFE_BEGINS -> /* an import is no creation that a tombstone would be meant for */
            d_step { row[0] == NO_ROW && (!tombstone || with == 1) -> row[0] = CREATING }
        :: what == LIFE_ENDS -> d_step { row[0] != NO_ROW -> row[0] = NO_ROW }
        :: what == DIES -> d_step { die(me) }
        :: what == NEVER -> false
        :: what == MAYBE -> /* as it is; or not */
            if
            :: true
            :: c_code { now.pos += moves[now.pos].argument; }
            fi
        fi;
        atomic { pos++; what = 0; me = 0; it = 0; with = 0 }
    od;
    assert(!AT_END) /* accepted */
}

/* QEMU takes a command up: it may have many parts, and be done in one. */
inline obey()
{
    d_step {
        qemu[0] == LIVE && command[0] != NO_COMMAND ->
            if
            :: command[0] == ASK_GUEST ->
                asking[of_thing[0]] = true;
                declined[of_thing[0]] = false
            :: command[0] == TAKE_PART -> has[of_thing[0]] = ABSENT
            :: command[0] == TAKE_OUT -> has[of_thing[0]] = EMPTY
            :: command[0] == MAKE_PART ->
                has[of_thing[0]] = (has[of_thing[0]] == ABSENT -> HALF : has[of_thing[0]])
            :: command[0] == MAKE_WHOLE || command[0] == PUT_IN -> has[of_thing[0]] = with_image[0]
            fi;
            give_answer(0, DONE)
    }
}

inline obey_in_part()
{
    d_step {
        qemu[0] == LIVE && (command[0] == TAKE_PART || command[0] == MAKE_PART) ->
            has[of_thing[0]] = (command[0] == TAKE_PART && has[of_thing[0]] >= HALF -> HALF
                                                                                   : has[of_thing[0]]);
            give_answer(0, DONE)
    }
}

inline disobey()
{
    d_step {
        qemu[0] == LIVE && command[0] != NO_COMMAND -> give_answer(0, REFUSED)
    }
}

proctype Others()
{
    byte t;
end:
    do
    :: qemu_listen(0)
    :: obey()
    :: obey_in_part()
    :: disobey()
    :: child_exit(0)
    :: qemu_die(0)
    :: killer != 0 -> destroy_kill((killer - 1), 0)
    :: qemu[0] == LIVE ->
        select(t : 0 .. (NT - 1));
        if
        :: guest_lets_go(0, t, RED)
        :: d_step { qemu[0] == LIVE && asking[t] -> asking[t] = false; has[t] = ABSENT } /* it was in one piece */
        :: guest_declines(0, t, RED)
        :: else -> skip
        fi;
        t = 0
    od
}

init
{
    atomic {
        do
        :: r_ < NP -> seen[r_] = UNSEEN; r_++
        :: else -> break
        od;
        r_ = 0;
        run Trace();
        run Others()
    }
}
