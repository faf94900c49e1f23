/* SPDX-License-Identifier: MIT */
/* A database that goes back: a copy is made at some moment and put in its place at a later one, below processes that
 * have the store open or open it then (store/database/displaced.cc, R17, R19). An add, a removal, the copy, and in the
 * end the recovery that makes the older database its place's.
 */
#define NP 3
#ifndef CRASHES
#define CRASHES 1
#endif
#define NO_ENTRY 0
#define ADDING 1
#define PRESENT 2
#define REMOVING 3
#define STALE 4
#define NO_INTENT 0
#define ADD 1
#define REMOVE 2
#define ABSENT 0
#define HALF 1
#define WHOLE 2

/* The database, its copy, and what the directory remembers beside it. */
typedef Database { byte entry; byte intent; bool older; byte given; byte commits };
Database db, copy;
byte file = 1;          /* which file is in the place */
byte remembered;        /* commits */
byte numbers;           /* the highest number that an intent was given */
byte opened[NP];        /* the file that a process has open; 0: none */
byte has;
byte slow, ended, crashes;
hidden byte sent_by_older, number_given_twice, thing_of_no_entry, entry_of_nothing;

#define HELD(p) (slow == (p) + 1)
#define CRASH(p) d_step { crashes < CRASHES -> crashes++; \
    if :: HELD(p) -> slow = 0 :: else fi } ; goto dead
#define TRY(step) if :: step :: CRASH(p) fi

#ifdef DROP_R17
#define SAME(p) true
#define YOUNGEST true
#else
#define SAME(p) (opened[p] == file)
#define YOUNGEST (db.commits >= remembered)
#endif
/* A commit, which finds the file replaced, or older than what was committed here; else its effect. */
#define COMMIT(effect)                                                              \
    if                                                                              \
    :: d_step { HELD(p) && SAME(p) && YOUNGEST ->                                   \
        effect;                                                                     \
        db.commits++;                                                               \
        remembered = (db.commits > remembered -> db.commits : remembered) }         \
    :: HELD(p) && !(SAME(p) && YOUNGEST) -> goto out                                \
    :: CRASH(p)                                                                     \
    fi
#define OPEN_INTENT(verb, state)                                                    \
    db.given++;                                                                     \
    db.intent = verb;                                                               \
    if                                                                              \
    :: db.given <= numbers -> assert(number_given_twice)                            \
    :: else -> numbers = db.given                                                   \
    fi;                                                                             \
    db.older = false;                                                               \
    db.entry = state

/* What goes to QEMU goes by an intent that was read of the database that was the youngest then. */
#define READ older = db.older || db.commits < remembered
#define SENT                                                                        \
    if                                                                              \
    :: older -> assert(sent_by_older)                                               \
    :: else                                                                         \
    fi

proctype Operation(byte p; byte verb)
{
    bool older;
    bool open;
    TRY(d_step { slow == 0 -> slow = p + 1; opened[p] = file; READ; open = (db.intent != NO_INTENT) });
#ifndef DROP_R17
    if
    :: older -> goto out
    :: else
    fi;
#endif
    if
    :: open -> goto settle
    :: else
    fi;
    if
    :: verb == ADD && db.entry == NO_ENTRY && has == ABSENT ->
        COMMIT(OPEN_INTENT(ADD, ADDING));
        TRY(has = HALF);
        TRY(has = WHOLE);
        COMMIT(db.entry = PRESENT; db.intent = NO_INTENT)
    :: verb == REMOVE && db.entry == PRESENT && has == WHOLE ->
        COMMIT(OPEN_INTENT(REMOVE, REMOVING));
        TRY(has = HALF);
        TRY(has = ABSENT);
        COMMIT(db.entry = NO_ENTRY; db.intent = NO_INTENT)
    :: else
    fi;
    goto out;
settle: /* another's: a part is taken out, then it is settled by what is there */
    if
    :: has == HALF -> SENT; TRY(has = ABSENT)
    :: else
    fi;
    COMMIT(db.entry = (has == WHOLE -> PRESENT : NO_ENTRY); db.intent = NO_INTENT);
out:
    if
    :: d_step { if :: HELD(p) -> slow = 0 :: else fi; opened[p] = 0 }
    fi;
dead:
    ended++
}

/* An administrator. */
proctype Copy()
{
    if
    :: d_step { copy.entry = db.entry; copy.intent = db.intent; copy.given = db.given;
                copy.commits = db.commits }
    :: goto done
    fi;
    if
    :: d_step { db.entry = copy.entry; db.intent = copy.intent; db.given = copy.given;
                db.commits = copy.commits; db.older = false; file++ }
    :: skip
    fi;
done:
    ended++
}

/* xlfsck: the database becomes its place's (go_on_above), and what it has open is closed by looking alone. */
proctype Recovery(byte p)
{
    bool older;
    slow == 0 -> slow = p + 1;
    if
    :: db.commits < remembered ->
        d_step {
            db.commits = remembered;
#ifndef DROP_R17_NUMBERS
            db.given = (numbers > db.given -> numbers : db.given);
#endif
            db.older = (db.intent != NO_INTENT)
        }
    :: else
    fi;
    READ;
    if
    :: db.intent != NO_INTENT && has == HALF &&
#ifdef DROP_R19
       true
#else
       !db.older
#endif
       -> SENT; has = ABSENT
    :: else
    fi;
    /* QEMU shows what is there: an entry for it, or none for nothing. */
    d_step {
        db.intent = NO_INTENT;
        db.entry = (has == ABSENT -> NO_ENTRY : PRESENT);
        db.older = false;
        db.commits++;
        remembered = db.commits;
        slow = 0
    };
    ended++
}

init
{
    atomic {
        if
        :: true
        :: db.entry = PRESENT; has = WHOLE
        fi;
        run Operation(0, ADD);
        run Operation(1, REMOVE);
        run Copy()
    }
    ended == 3;
    d_step { crashes = CRASHES };
    run Recovery(2);
    ended == 4;
    if
    :: has != ABSENT && db.entry == NO_ENTRY -> assert(thing_of_no_entry)
    :: has == ABSENT && db.entry == PRESENT -> assert(entry_of_nothing)
    :: else
    fi;
    /* A later operation has a number of its own. */
    d_step { OPEN_INTENT(ADD, ADDING) }
}
