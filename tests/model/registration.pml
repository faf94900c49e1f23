/* SPDX-License-Identifier: MIT */
/* A QEMU that another program started, its document imported, and registered as it is; beside it the QEMU may die and
 * another one take its monitor's path; then a soft reset gives the row a QEMU of its own. And a destruction of a number
 * that no row has, before the creation that it is meant for (a tombstone).  R11, R14, R19.
 */
#define NQ 3            /* QEMUs: 1 and 2 are others', 3 is begun by the soft reset */
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define NP 4

bool lives[NQ + 1];
byte at_path = 1;       /* which QEMU listens at the monitor's path */
bool born[NQ + 1];      /* it has the device that it was started with (2 and 3 have) */
byte registered;        /* in the row */
byte initial_of;        /* whose initial devices the row has */
byte slow, crashes, deaths, ended;
bool imported, reset_done;
bool tombstone, began, created, told_destroyed;
hidden byte other_qemu_registered, initial_called_stranger, two_qemus, lives_after_destruction, other_qemu_commanded;

#define HELD(p) (slow == (p) + 1)
#define FREE(p) if :: d_step { if :: HELD(p) -> slow = 0 :: else fi } fi
#define CRASH(p) d_step { crashes < CRASHES -> crashes++ }; goto dead
#define TRY(step) if :: step :: CRASH(p) fi
#define TAKE(p) d_step { slow == 0 -> slow = p + 1 }

/* The other toolstack: its QEMU dies, and it begins another one for the same domain, at the same path. */
proctype Elsewhere()
{
    if
    :: d_step { deaths < DEATHS && lives[1] -> deaths++; lives[1] = false;
                if :: at_path == 1 -> at_path = 0 :: else fi };
       if
       :: d_step { lives[2] = true; born[2] = true; at_path = 2 }
       :: skip
       fi
    :: skip
    fi;
    ended++
}

/* The document first, then the QEMU: by its socket, with a proof of who listens behind it (R11). */
proctype Register(byte p)
{
    byte peer = 0;
    byte proved = 0;
    TRY(d_step { imported = true });
    TRY(TAKE(p));
#ifdef DROP_R11
    /* The process at the path is looked up, and the connection made afterwards. */
    TRY(proved = at_path);
    TRY(peer = at_path);
#else
    TRY(peer = at_path);
    proved = peer;
#endif
    if
    :: peer == 0 || proved == 0 -> goto out
    :: else
    fi;
    /* R19: it is only asked, for its initial devices too. A connection does not outlive its QEMU. */
    if
    :: !lives[peer] -> goto out
    :: lives[peer]
    :: CRASH(p)
    fi;
#ifdef DROP_R19
    TRY(d_step { HELD(p) -> registered = proved; initial_of = 0 });
    TRY(d_step { HELD(p) -> initial_of = peer });
#else
    TRY(d_step { HELD(p) -> registered = proved; initial_of = peer });
#endif
    d_step { if :: registered != 0 && peer != registered -> assert(other_qemu_registered) :: else fi };
out:
    FREE(p);
    ended++;
    goto end;
dead:
    FREE(p);
    ended++;
end: skip
}

/* Looks at the QEMU of the row; what neither an entry nor its command line knows it takes for a stranger. */
inline check(p)
{
    if
    :: registered != 0 && lives[registered] ->
        d_step {
            if
            :: lives[registered] && born[registered] && initial_of != registered -> assert(initial_called_stranger)
            :: else
            fi
        }
    :: registered != 0 && !lives[registered] -> TRY(d_step { HELD(p) -> registered = 0; initial_of = 0 })
    :: registered == 0
    fi
}

proctype Recovery(byte p)
{
    TRY(TAKE(p));
    check(p);
    FREE(p);
    ended++;
    goto end;
dead:
    FREE(p);
    ended++;
end: skip
}

/* The old one is killed and seen dead before the new one is begun, and the row has none between. */
proctype SoftReset(byte p)
{
    byte old = 0;
    TRY(TAKE(p));
    old = registered;
    if
    :: old == 0 || old == 3 -> goto out
    :: else
    fi;
#ifdef DROP_R14_RESET
    TRY(d_step { lives[3] = true; born[3] = true });
    d_step { if :: lives[old] && lives[3] -> assert(two_qemus) :: else fi };
    TRY(d_step { lives[old] = false });
#else
    TRY(d_step { lives[old] = false; if :: at_path == old -> at_path = 0 :: else fi });
    TRY(d_step { HELD(p) -> registered = 0; initial_of = 0 });
    TRY(d_step { lives[3] = true; born[3] = true });
    d_step { if :: lives[old] && lives[3] -> assert(two_qemus) :: else fi };
#endif
    /* R13: it waits at its start barrier until it is in the row, and ends there with its creator. */
    if
    :: d_step { HELD(p) -> registered = 3; initial_of = 3; reset_done = true }
    :: d_step { crashes < CRASHES -> crashes++; lives[3] = false; born[3] = false }; goto dead
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

/* Of another number: a creation that began, and a destruction that found no row. */
proctype Creator()
{
    began = true;
    if
    :: d_step { !tombstone -> created = true;
                if :: told_destroyed -> assert(lives_after_destruction) :: else fi }
    :: tombstone /* refused: a destruction came first */
    fi;
    ended++
}

proctype Destroyer()
{
    if
    :: d_step { created -> created = false; told_destroyed = true }
#ifdef DROP_TOMBSTONE
    :: d_step { !created && began -> told_destroyed = true }
#else
    :: d_step { !created && began -> tombstone = true; told_destroyed = true }
#endif
    :: skip
    fi;
    ended++
}

init
{
    byte p = 3;
    atomic {
        lives[1] = true;
        born[1] = true;
        run Elsewhere();
        run Register(0);
        run Recovery(1);
        run SoftReset(2);
        run Creator();
        run Destroyer()
    }
    ended == 6;
    d_step { crashes = CRASHES };
    TAKE(p);
    check(p);
    FREE(p);
dead:
    skip
}
