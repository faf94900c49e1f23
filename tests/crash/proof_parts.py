# SPDX-License-Identifier: MIT
"""The parts of the proof, those first whose operations are new or changed. To add a part, add a row."""

import dataclasses

COMPUTES, WAITS, ALONE = 2, 1, 0
# What xlstore and xlfsck are made of, with the document that most tests use.
PRODUCT = ("CMakeLists.txt", "schema", "store", "recovery", "tools/CMakeLists.txt", "tools/common", "tools/xlfsck",
           "tools/xlstore", "tools/examples")


@dataclasses.dataclass(frozen=True)
class Part:
    """In its words: {i} of {n} shares, {i0} from 0; {bin}, {build}, {root}, {python}; {logs}, for what it leaves there;
    {sources}, of which that is.
    XLSTORE_TURN is {i0}, so that programs with a share that starts at the turn take all shares in turn."""
    name: str
    shares: int
    command: tuple
    # Of a share, about, on a machine that does this alone, of the preset proof; at its twelvefold, and half an hour at
    # least, it is given up.
    minutes: float = 3
    load: int = WAITS       # of two for each core; ALONE: nothing runs beside it
    targets: tuple = ("xlstore", "xlfsck")  # of the build: what it runs
    needs: str = ""         # a file without which it cannot be
    counts: tuple = ()      # patterns in its output: the numbers of their groups are summed
    environment: dict = dataclasses.field(default_factory=dict)
    whole_before: tuple = ()    # a commit on which all of it was run by hand, and what came of it; it waits behind the others
    runs: tuple = PRODUCT   # of the tree, besides the directory of its script and tests/support (git's pathspecs)

    @property
    def sources(self):
        """What its shares are a proof of: where one of these has changed, they are none of what is there now."""
        of_test = {"/".join(word.removeprefix("{root}/").split("/")[:2]) for word in self.command if word.startswith("{root}/")}
        return (*self.runs, *(sorted(of_test) or ["tests/crash"]), "tests/support", ":!*.md", ":!tests/crash/proof*")


def script(path, *words):
    return ("{python}", "{root}/tests/" + path, "--bin", "{bin}", *words)


TOTAL = (r"^total +\d+ +(?P<kills>\d+) ",)
TOTAL_TWO_DEEP = (r"^total +\d+ +(?P<kills>\d+) +\d+ +(?P<states>\d+) +(?P<kills_of_the_recovery>\d+) +(?P<strayed>\d+) ",)
COMMANDS = ("xlstore", "xlfsck")
XENSTORED = ("scratch_xenstored", "quiet_xen")
PLAIN = ("plain_xlstore", "plain_xlfsck")
KILLED = (*COMMANDS, "killer", "eventloop", "external_qmp", "xlstore_shared", "python_package")
KILLS_BY_NAME = (r": (?P<kills>\d+) kills, survived at",)
QUIET_XEN = "{build}/tests/libquiet_xen.so"
EMBEDDED = (*PRODUCT, "tools/bindings", "tests/embed", "tests/bindings")
HARNESS = ("crash/harness.py", "--jobs", "1", "--slice", "{i}/{n}")
FLEET = (*PRODUCT, "tools/fleet")
LEVELS = (r"^full_disk: (?P<levels>\d+) levels",)


def full_disk(name, shares, *words):
    return Part(name, shares, script("crash/full_disk.py", "--share", "{i}/{n}", *words), minutes=0.2, counts=LEVELS)


PARTS = (
    Part("xenstore_kills", 60, script("crash/xenstore_kills.py", "--quiet-xen", QUIET_XEN, "--share", "{i}/{n}"),
         minutes=0.2, targets=(*COMMANDS, *XENSTORED, "killer", "pv_toolstack"), counts=KILLS_BY_NAME),
    # -p, -y, --evict, salvage, the log alone, --rebuild, restore, undo, prune, backup, the bridge
    Part("xlfsck_kills", 120, script("fsck/kills.py", "--slice", "{i}/{n}"), minutes=0.2, load=COMPUTES,
         targets=(*COMMANDS, "killer"), counts=(r"^all +(?P<kills>\d+) ",)),
    Part("libxl_kills", 31, script("fsck/host_kills.py", "--slice", "{i}/{n}"),
         minutes=5, targets=(*COMMANDS, *XENSTORED, "killer"),
         counts=(r" modes, (?P<stops>\d+) stops, (?P<kills>\d+) kills, ",)),
    Part("salvage", 20, script("fsck/salvage_test.py", "--random", "1000", "--share", "{i}/{n}"), minutes=0.1, load=COMPUTES,
         counts=(r"^(?P<damaged_stores>\d+) damaged stores",)),
    Part("damage", 30, script("fsck/damage.py", "--count", "1500", "--share", "{i}/{n}"), minutes=0.1, load=COMPUTES,
         counts=(r"^all +(?P<damaged_stores>\d+)",)),
    Part("libxl_host", 1, script("fsck/host_test.py"), minutes=1,
         targets=(*COMMANDS, *XENSTORED)),
    Part("upgrade", 12, script("upgrade/upgrade_test.py", "--share", "{i}/{n}", "Upgrade"),
         minutes=0.4, targets=(*COMMANDS, "killer"), counts=(r"^killed at (?P<kills>\d+) stops",)),
    Part("upgrade_full_disk", 1, script("upgrade/upgrade_test.py", "FullDisk"), minutes=0.1),
    Part("fleet", 1, script("fleet/run.py", "push_test", "views_test"), minutes=5, targets=(*COMMANDS, "xlstore-fleet"), runs=FLEET,
         needs="{bin}/xlstore-fleet", counts=(r"^Ran (?P<tests>\d+) tests",)),
    Part("fleet_kills", 30, script("fleet/run.py", "--share", "{i}/{n}", "kill_test"),
         minutes=0.6, targets=(*COMMANDS, "xlstore-fleet", "killer"), runs=FLEET, needs="{bin}/xlstore-fleet"),
    Part("killed", 100, script(*HARNESS), minutes=1.2, targets=KILLED, runs=EMBEDDED, counts=TOTAL),
    Part("retry", 100, script(*HARNESS, "--retry"), minutes=1.2, targets=KILLED, runs=EMBEDDED, counts=TOTAL),
    # An operation a share, so that its states are known.
    Part("two_deep", 50, script(*HARNESS, "--two-deep", "--second-states", "--start", "{i}", "--states", "{logs}/states.{sources}"),
         minutes=10,
         targets=KILLED, runs=EMBEDDED, counts=TOTAL_TWO_DEEP),
    Part("mutants", 8, ("{python}", "{root}/tests/crash/mutants.py", "--control", "--build", "{build}", "--share", "{i}/{n}"),
         minutes=6, load=COMPUTES, counts=(r"^(?P<mutants>\d+) guards disabled",),
         targets=(*COMMANDS, *PLAIN, "killer", "integration_tests", "unit_tests_with_mutations", "barrier_test_with_mutations",
                  "power_cut_with_mutations")),
    Part("model", 7, ("{python}", "{root}/tests/model/check.py", "--whole", "--share", "{i}/{n}"), minutes=5, load=COMPUTES,
         targets=(), runs=(), counts=(r": (?P<states>\d+) states, depth",)),
    Part("model_mutants", 1, ("{python}", "{root}/tests/model/check.py", "--mutants"), minutes=1, load=COMPUTES,
         targets=(), runs=(), counts=(r"^(?P<mutants>\d+) mutants",)),
    Part("replay", 36, script("model/record.py", "--share", "1/{n}", "--start", "{i0}"), runs=(*PRODUCT, "tests/crash"),
         minutes=1, counts=(r"^(?P<traces>\d+) traces, (?P<steps>\d+) steps, (?P<kills>\d+) kills",)),
    Part("power_cut", 60, ("{bin}/power_cut", "--share", "1/{n}"), minutes=0.05, load=COMPUTES, targets=("power_cut",),
         counts=(r" seeds: (?P<cuts>\d+) cuts",)),
    Part("failing_calls", 60, ("{bin}/failing_calls", "--share", "1/{n}", "--every"), minutes=4, load=COMPUTES,
         targets=(*COMMANDS, "failing_calls"), counts=(r": (?P<runs>\d+) runs, (?P<errors>\d+) errors",)),
    Part("unseen", 20, script("fsck/unseen_test.py", "--share", "{i}/{n}"), minutes=0.1, load=COMPUTES,
         counts=(r"^(?P<runs>\d+) runs with a call that fails",)),
    Part("no_memory", 75, ("{bin}/no_memory", "--share", "1/{n}"), minutes=0.15, load=COMPUTES,
         targets=(*COMMANDS, "no_memory"), counts=(r"^(?P<runs>\d+) runs, ",)),
    full_disk("full_disk", 8),
    full_disk("full_disk_shell", 8, "--shell"),
    full_disk("full_disk_repair", 8, "--repair"),
    full_disk("full_disk_salvage", 8, "--salvage"),
    full_disk("full_disk_restore", 8, "--restore"),
    Part("race", 40, script("crash/race.py", "--share", "1/{n}", "--start", "{i0}"), minutes=0.3, counts=(r"^(?P<orders>\d+) orders, ",)),
    Part("stress", 6, script("crash/stress.py", "--quiet-xen", QUIET_XEN, "--seconds", "600", "--seed", "{i}"), minutes=15,
         load=ALONE, targets=(*COMMANDS, *XENSTORED),
         counts=(r"^looks +(?P<looks>\d+)", r"^xenstored killed +(?P<xenstored_killed>\d+)")),
    Part("soak", 1, ("{python}", "{root}/tests/soak/soak.py", "--bin", "{build}/plain/bin", "--hours", "1"), minutes=65,
         targets=PLAIN),
    # Each of the fuzzers runs for so many seconds; with this, an hour each.
    Part("fuzz", 6, ("sh", "{root}/tests/fuzz/run.sh", "600", "command_line", "document", "protocol", "userdata", "xenstore"),
         minutes=14, load=2 * COMPUTES,
         targets=(), runs=("store", "recovery"), counts=(r"^fuzz: \w+: (?P<inputs>\d+) executions",)),
    Part("fuzz_store", 6, ("sh", "{root}/tests/fuzz/run.sh", "600", "store"), minutes=14, load=COMPUTES,
         targets=(), runs=("store", "recovery", "schema"), counts=(r"^fuzz: \w+: (?P<inputs>\d+) executions",)),
    # It keeps its own place: each share goes on where the one before ended, and those behind the last kill end at once.
    Part("xen_sweep", 96, ("{python}", "{root}/tests/xen/sweep.py", "--bin", "{build}/plain/bin", "--image", "{build}/xen",
                           "--place", "{logs}/xen_sweep", "--seconds", "900"), minutes=3.2, load=ALONE,
         targets=("plain",), runs=(*PRODUCT, "tools/libxl"),
         whole_before=("9768542", "673 kills, 0 violations under the journal, and the two faults that it found mended and "
                                  "tried again ([kills.jsonl](xen/kills.jsonl))")),
    # Are the judges blind?
    Part("blind_killer", 1, script("crash/harness.py", "--self-test"), minutes=0.5, targets=KILLED, runs=EMBEDDED),
    Part("blind_observer", 1, script("crash/stress.py", "--quiet-xen", QUIET_XEN, "--self-test"), minutes=0.2, load=ALONE,
         targets=(*COMMANDS, *XENSTORED)),
    Part("blind_power_cut", 1, ("{bin}/power_cut", "--self-test"), minutes=0.3, load=COMPUTES, targets=("power_cut",)),
)
