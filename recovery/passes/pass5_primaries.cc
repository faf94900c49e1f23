// SPDX-License-Identifier: MIT
// Pass 5: what is in QEMU.
//
// Checks     that QEMU can be looked into                                    (5001-5002);
//            that all it has it was started with, or an entry or open intent has
//                                                                   (5003-5004, 5011);
//            that it has what entries call present, and only that       (5005-5007, 5012);
//            that a USB device by its port is the one that QEMU got               (5013);
//            that each CD drive holds what its entry names                    (5008-5010).
// Relies on  pass 4: intents that can be settled are; the slow lock has been held since before
//            that.
// Leaves     nothing in QEMU without an entry, but for what was answered no, and for 5009.
//
// What is there, and what of it is no finding, the survey says (store/operation/survey.hpp); this
// pass asks and acts.
#include <algorithm>

#include "recovery/base/quarantine.hpp"
#include "recovery/passes/passes.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/product.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/survey.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

using Shown = SurveyedEntry::Shown;
using Holds = SurveyedDrive::Holds;

// One domain, looked into.
class PrimaryCheck {
public:
    PrimaryCheck(Check& check, Store& store, const DomainRow& domain, Reached& reached)
        : check_(check), store_(store), domain_(domain), reached_(reached)
    {}

    Task<Result<void>> run()
    {
        auto there = co_await take_inventory(reached_.monitor(), reached_.deadline());
        if (!there) co_return std::move(there).error();
        initial_ = initial_devices(*there);
        if (check_.options().evict) named_ = named_devices(*there);
        if (auto forgotten = co_await forget_absent(*there); !forgotten)
            co_return std::move(forgotten).error();
        auto survey = co_await take_survey(store_.db(), domain_.id, initial_, *there,
                                           reached_.monitor(), reached_.deadline());
        if (!survey) co_return std::move(survey).error();
        // A name in QEMU passes from an entry that has lost it to the one that it gets.
        const auto has_lost_it = [](const SurveyedEntry& entry) -> bool {
            return entry.shown == Shown::none && !entry.of_others.empty();
        };
        for (const auto& entry : survey->entries)
            if (has_lost_it(entry)) co_await judge(entry);
        for (auto& unknown : survey->unknown) {
            const auto named = named_by(unknown, survey->entries);
            co_await take_in(std::move(unknown), named);
        }
        for (const auto& entry : survey->entries)
            if (!has_lost_it(entry)) co_await judge(entry);
        for (auto& drive : survey->drives)
            co_await judge(std::move(drive));
        co_return Result<void>();
    }

private:
    [[nodiscard]] Subject subject(const std::string& what, std::string evidence,
                                  std::optional<ThingName> thing = {}) const
    {
        return Subject{domain_.subject() + ": " + what, std::move(evidence), domain_.domid, {},
                       std::move(thing)};
    }

    // A list that is not known to be right is not used where the command line tells it: release 0.1
    // put all on it that a registered QEMU had, and a salvage may have lost it.
    [[nodiscard]] InitialDevices initial_devices(const Inventory& there) const
    {
        using From = InitialDevices::From;
        auto initial = read_initial_devices(store_.db(), domain_.id);
        if (initial.from != From::listed && initial.from != From::unknown) return initial;
        auto named = named_devices(there);
        return named.known() ? std::move(named) : std::move(initial);
    }

    // Of what is there, what the command line of its QEMU names: `unknown` where that has a gap,
    // and empty, too, where it cannot be read.
    [[nodiscard]] InitialDevices named_devices(const Inventory& there) const
    {
        const ProcessId& qemu = domain_.registration->qemu;
        const auto line = read_qemu_command_line(static_cast<pid_t>(qemu.pid));
        if (!line) return {};
        auto named = initial_of_command_line(*line, there);
        // What was read is of this very process.
        return life_of(qemu) == Life::alive ? std::move(named) : InitialDevices();
    }

    // R19: an initial device that is gone is not what gets its name later. Nothing is lost by it:
    // the list says what was there at the start, and QEMU shows that it is not there now.
    Task<Result<void>> forget_absent(const Inventory& there)
    {
        const auto absent =
            absent_initial_devices(read_initial_devices(store_.db(), domain_.id), there);
        if (absent.empty() || check_.looking_only()) co_return Result<void>();
        co_return co_await reached_.engine()->journal().commit(
            reached_.engine()->hold(), "forget initial devices", reached_.deadline(),
            [&](const FastHold& fast) -> Result<void> {
                for (const auto& [kind, name] : absent)
                    forget_initial_device(store_.db(), fast.domain(), kind, name);
                return {};
            });
    }

    // A second witness of what is to be taken out: a row that names it may be damaged, in the list
    // of initial devices as among the products of an entry, or quarantined.
    enum class Named { nowhere, command_line, row };
    [[nodiscard]] Named named_by(const Proposal& proposal,
                                 const std::vector<SurveyedEntry>& entries) const
    {
        const auto any = [&](const auto& has) {
            return std::ranges::any_of(proposal.products, has);
        };
        if (any([&](const Product& p) { return named_.has(p.kind, p.name); }))
            return Named::command_line;
        for (const auto& entry : entries)
            if (const auto made = products_of(entry.row);
                any([&](const Product& p) { return has_product(made, p); }))
                return Named::row;
        return any([&](const Product& p) { return is_quarantined(p.name); }) ? Named::row
                                                                             : Named::nowhere;
    }

    [[nodiscard]] Named named_by(const SurveyedDrive& drive) const
    {
        if (named_.media.contains(drive.id)) return Named::command_line;
        const auto medium = json_get_string(drive.seen->json, "pdev_path");
        return medium && is_quarantined(*medium) ? Named::row : Named::nowhere;
    }

    [[nodiscard]] bool is_quarantined(std::string_view name) const
    {
        return check_.options().evict && is_named_in_quarantine(store_.db(), name);
    }

    // Something that no entry has: an entry for it, or out with it. Of what may be initial only the
    // former, and not unattended: nothing is taken out of a guest by mistake (R19). What the text
    // of an entry names, or a quarantined one, is not taken out either.
    Task<void> take_in(Proposal proposal, Named named)
    {
        const Subject about = subject(
            proposal.seen, "the entry would be " + proposal.name.text() + " " + proposal.json,
            proposal.name);
        const bool perhaps_initial = !initial_.known() || named == Named::command_line;
        // From a closed document nothing is taken out; what no entry has is adopted all the same
        // (R1).
        const bool evict = check_.options().evict && !perhaps_initial && named == Named::nowhere &&
                           !closed_by(store_.db(), domain_.id);
        const Code code = perhaps_initial ? Code::thing_perhaps_initial
                          : evict         ? Code::thing_unwanted
                                          : Code::thing_unknown;
        if (!check_.ask(code, about)) co_return;
        Result<void> taken;
        if (evict) taken = co_await take_out(proposal);
        // What could not be taken out has an entry all the same (R1).
        if (!evict || (!taken && !read_thing(store_.db(), domain_.id, proposal.name))) {
            auto adopted = co_await reached_.engine()->journal().adopt(
                reached_.engine()->hold(), proposal.name, proposal.json, proposal.products,
                "QEMU has " + proposal.seen, reached_.deadline());
            if (taken) taken = std::move(adopted);
        }
        tell_outcome(check_, code, about, taken);
    }

    // Its entry and the intent that takes it out are one commit: killed at any moment, this run
    // leaves what no entry has, or an intent that the next one takes up (pass 4).
    Task<Result<void>> take_out(const Proposal& proposal)
    {
        const ThingRow entry{0, proposal.name, "present", "qemu", proposal.json, {}};
        auto draft = drive_of(entry) ? draft_eject(entry)
                                     : draft_detach(entry, MadeOf{proposal.products, {}, true});
        if (!draft) co_return std::move(draft).error();
        draft->taken_in = TakenIn{proposal.products, "QEMU has " + proposal.seen};
        auto done = co_await reached_.engine()->operate(*std::move(draft), reached_.deadline());
        if (!done) co_return std::move(done).error();
        co_return Result<void>();
    }

    Task<void> make_stale(Code code, ThingName name, Subject about)
    {
        if (!check_.ask(code, about)) co_return;
        const auto done = co_await reached_.engine()->journal().make_stale(
            reached_.engine()->hold(), name, about.evidence, reached_.deadline());
        tell_outcome(check_, code, about, done);
    }

    Task<void> make_present(Code code, ThingName name, std::string json,
                            std::vector<Product> products, Subject about)
    {
        if (!check_.ask(code, about)) co_return;
        const auto done = co_await reached_.engine()->journal().adopt(
            reached_.engine()->hold(), name, json, std::move(products), about.evidence,
            reached_.deadline());
        tell_outcome(check_, code, about, done);
    }

    // QEMU keeps a USB device of the host's by the address that it had; plugged in anew it has
    // another.
    void report_replug(const ThingRow& entry)
    {
        const auto anew =
            plugged_in_anew(store_.host().sysfs, entry.name.device_class, entry.json);
        if (anew)
            check_.report(Code::usb_replugged,
                          subject(entry.name.text(), *anew + "; detach it and attach it again"));
    }

    Task<void> judge(const SurveyedEntry& entry)
    {
        if (entry.open) co_return;
        const auto& name = entry.row.name;
        if (entry.row.state == "present" && entry.shown == Shown::all) report_replug(entry.row);
        if (entry.shown == Shown::unknown) {
            if (!entry.evidence.empty())
                check_.report(Code::thing_unasked, subject(name.text(), entry.evidence));
        } else if (entry.shown == Shown::part) {
            check_.report(
                Code::thing_partial,
                subject(name.text(), entry.evidence + "; detaching it takes out the rest", name));
        } else if (entry.row.state == "present" && entry.shown == Shown::none) {
            co_await make_stale(Code::thing_absent, name,
                                subject(name.text(), entry.evidence, name));
        } else if (entry.row.state == "stale" && entry.shown == Shown::all) {
            co_await make_present(Code::thing_back, name, entry.row.json, entry.products,
                                  subject(name.text(), entry.evidence));
        }
    }

    Task<void> judge(SurveyedDrive drive)
    {
        if (drive.open) co_return;
        const auto of = drive.entry ? std::optional(drive.entry->name) : std::nullopt;
        const Subject about = subject(drive.what, drive.evidence, of);
        const bool present = drive.entry && drive.entry->state == "present";
        switch (drive.holds) {
        case Holds::initial:
            break;
        case Holds::as_said:
            if (drive.entry->state == "stale" && medium_of(drive.entry->json))
                co_await make_present(Code::thing_back, drive.entry->name, drive.entry->json, {},
                                      about);
            break;
        case Holds::no_drive:
            if (present) co_await make_stale(Code::thing_absent, drive.entry->name, about);
            break;
        case Holds::nothing:
            if (present) co_await make_stale(Code::medium_gone, drive.entry->name, about);
            break;
        case Holds::unnamable:
            check_.report(Code::medium_unknown, about);
            break;
        case Holds::other:
            co_await other_medium(std::move(drive), about);
            break;
        }
    }

    Task<void> other_medium(SurveyedDrive drive, Subject about)
    {
        // One that has its key alone names no medium that could be another one.
        const bool bare = drive.entry && !drive_of(*drive.entry);
        if (bare || (drive.entry && !check_.options().evict)) {
            co_await make_present(Code::medium_other, drive.seen->name, drive.seen->json, {},
                                  std::move(about));
            co_return;
        }
        const std::string seen = drive.what + (drive.entry ? ": " + drive.evidence : std::string());
        const auto named = named_by(drive);
        Proposal unwanted{drive.seen->name, drive.seen->json, {}, seen};
        co_await take_in(std::move(unwanted), named);
    }

    Check& check_;
    Store& store_;
    const DomainRow& domain_;
    Reached& reached_;
    InitialDevices initial_;
    InitialDevices named_;  ///< by the command line; with --evict alone
};

}  // namespace

Task<bool> pass5_primaries(Check& check, Store& store, DomainRow domain, Reached& reached)
{
    Subject about{domain.subject(), reached.why(), domain.domid, {}};
    if (!reached) {
        // With an intent of its own to speak of, pass 4 has said it.
        if (!open_intents(store.db(), domain.id).empty()) co_return false;
        if (reached.owned()) about.text += ": QEMU";
        check.report(reached.owned() ? Code::primary_owned : Code::primary_unseen, about);
        co_return false;
    }
    if (reached.rest_is_left()) co_return false;
    PrimaryCheck primary(check, store, domain, reached);
    auto looked = co_await primary.run();
    if (looked) co_return true;
    about.evidence = looked.error().message;
    check.report(Code::primary_unseen, about);
    co_return false;
}

}  // namespace xlstore::recovery
