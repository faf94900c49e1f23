# SPDX-License-Identifier: MIT
"""The same request once more, at once after the kill: what a toolstack does that saw its command die.

No recovery comes before it, and no look either, so that QEMU may still be at work on what the dead client
sent. Nothing disturbs the second request: the judge says whether its answer is the truth (R18), then all
has to be settled, and recovery finds nothing to do that it may not find. Run it with `harness.py --retry`."""

import json

import commands
import harness
import one_kill
import operations
import worlds
import judge


def wish(kind, thing, *facts, guest_holds=False):
    state = {"add": ("present",), "remove": ("absent",)}.get(kind, ())
    return {"kind": kind, "thing": thing, "guest_holds": guest_holds,
            "promises": [fact for fact, _ in facts] + [f"entry:{thing}={s}" for s in state]}


def reach(name, *facts):
    """The domain is to be as the operation promises, and as these facts say."""
    return {"kind": "reach", "thing": "domain", "guest_holds": False, "promises": [*operations.OPERATIONS[name].promises, *facts]}


DRIVE = "disks/hdc"
USBCTRL_GONE = operations.need("device:xenusb-1=absent")

# What each operation asks for; to try another operation's answers, add a row.
WISHES = {
    "insert": (wish("change", DRIVE, operations.HOLDS_B),),
    "eject": (wish("change", DRIVE, operations.EMPTY),),
    "swap": (wish("change", DRIVE, operations.HOLDS_B),),
    "attach_usb": (wish("add", "qemu/tablet", operations.TABLET),),
    "detach_usb": (wish("remove", "qemu/tablet", operations.NO_TABLET),),
    "attach_chardev": (wish("add", "qemu/c1", operations.CHARDEV),),
    "detach_chardev": (wish("remove", "qemu/c1", operations.NO_CHARDEV),),
    "attach_disk": (wish("add", "qemu/disk", operations.DISK),),
    "detach_disk": (wish("remove", "qemu/disk", operations.NO_DISK),),
    "attach_usbdev": (wish("add", "usbdevs/0.3", operations.USBDEV),),
    "detach_usbdev": (wish("remove", "usbdevs/0.3", operations.NO_USBDEV),),
    "attach_two": (wish("add", "qemu/two", operations.TWO),),
    "detach_two": (wish("remove", "qemu/two", operations.NO_TWO),),
    "detach_stale": (wish("remove", "qemu/tablet", operations.NO_TABLET),),
    "attach_usbctrl": (wish("add", "usbctrls/1", operations.USBCTRL),),
    "ask_guest": (wish("remove", "usbctrls/1", USBCTRL_GONE, guest_holds=True),),
    "attach_vcpu": (wish("add", "vcpus/1", operations.VCPU),),
    "batch_all": (wish("add", "qemu/c1", operations.CHARDEV), wish("add", "qemu/tablet", operations.TABLET)),
    "batch_each": (wish("remove", "qemu/tablet", operations.NO_TABLET), wish("change", DRIVE, operations.HOLDS_B)),
    "ask_guest_two": (wish("remove", "qemu/pci", operations.need("device:pci-b=absent"), guest_holds=True),),
    "forget": (wish("remove", "qemu/tablet"),),
    "destroy": (wish("destroy", "domain", operations.GONE),),
    **{name: (reach(name),) for name in ("create", "create_inserting", "soft_reset", "rename", "preserve", "close", "reopen",
                                         "adopt_one", "import")},
    **{name: (reach(name, "registered:7=yes"),) for name in ("register", "register_anew")},
}
WORDS = {judge.DONE: "done", judge.NOT_DONE: "not done", judge.IN_DOUBT: "in doubt", judge.NO_SUCH: "no such thing"}


def told(status, error):
    """The answer to one wish, of a batch or alone."""
    if status == judge.NOT_DONE and error.get("code") == "not_found":
        status = judge.NO_SUCH
    return {"status": status, "intent": error.get("intent")}


def answers_to(count, ended):
    """The answer to each of so many wishes, from what the command printed and ended with."""
    try:
        said = json.loads(ended.out)
    except ValueError as error:
        raise worlds.Violation(f"answer: what it prints is no JSON ({error}):\n{ended}") from error
    if "outcomes" not in said:
        return [told(ended.status, said.get("error", {}))] * count
    of_outcome = {"done": judge.DONE, "not done": judge.NOT_DONE, "in doubt": judge.IN_DOUBT}
    answers = [told(of_outcome[o["outcome"]], {**o, **o.get("error", {})}) for o in said["outcomes"]]
    statuses = {min(a["status"], judge.IN_DOUBT) if a["status"] != judge.NO_SUCH else judge.NOT_DONE for a in answers}
    worst = next((s for s in (judge.IN_DOUBT, judge.NOT_DONE) if s in statuses), judge.DONE)
    if len(answers) != count or ended.status != worst:
        raise worlds.Violation(f"answer: {len(answers)} outcomes to {count} wishes, the worst of status {worst}:\n{ended}")
    return answers


class Retry(harness.Harness):
    again_with = " --retry"

    def __init__(self, options):
        super().__init__(options)
        options.operations = [name for name in options.operations if name in WISHES]
        self.answers = {}       # words -> how often

    def kill(self, world, operation, number, result):
        kill = one_kill.Kill(world, operation)
        kill.at(number, not self.options.every_stop)
        answered = ""
        if kill.outcome.survived:
            kill.look()
        else:
            result.kills += 1
            result.places.add(kill.outcome.where)
            answered, half_done = self.ask_again(kill)
            if half_done:   # and the answer's advice is true
                kill.recover()
                answered += "; recovered: " + self.ask_again(kill)[0]
        kill.recover()
        self.note(operation.name, number, kill.outcome.where or "survived", answered)
        return kill.outcome

    def ask_again(self, kill):
        """Asks once more, and has the judge look; what was answered, in words, and whether recovery has to come first."""
        world, operation = kill.world, kill.operation
        tables = judge.read_tables(world.store)
        wishes = [{**w, "promises": [world.promise(p) for p in w["promises"]]} for w in WISHES[operation.name]]
        before = [judge.before_request(tables, w) for w in wishes]
        ended = world.note(commands.run(world.argv("xlstore", ("--json", *operation.command))))
        answers = [{**w, "before": b, **a}
                   for w, b, a in zip(wishes, before, answers_to(len(wishes), ended), strict=True)]
        words = ", ".join(WORDS.get(a["status"], str(a["status"])) for a in answers)
        with self.lock:
            self.answers[words] = self.answers.get(words, 0) + 1
        try:
            half_done = any(b.get("half_done") and not b["as_wished"] for b in before) and ended.status == judge.NOT_DONE
            kill.seen = world.judge("after the same request was made again",
                                    kill.qemu if operation.qemu == "lives" else "any",
                                    settled=not operation.guest_holds and not half_done, answers=answers,
                                    tolerated=operation.tolerated)
        except worlds.Violation as violation:
            raise worlds.Violation(f"{violation}it was answered:\n{ended}") from violation
        return words, half_done

    def all(self):
        results = super().all()
        self.say("\nanswers: " + "; ".join(f"{count} {words}" for words, count in sorted(self.answers.items())))
        return results
