// SPDX-License-Identifier: MIT
//   1. check_row: the row may get a QEMU, and has none that is not proved dead.
//   2. contact_running: connect, and prove who is at the other end (R11); then the barrier (R12).
//   3. take_survey: QEMU's lists against entries and initial devices. Queries only (R19).
//   4. Findings turns the survey into what is written and what is reported, thing by thing.
//   5. write_all: QEMU, initial devices and entries in one commit of the hold, or nothing.
#include "store/lifecycle/registration.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "store/base/clock.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/registration_row.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/lifecycle/first_contact.hpp"
#include "store/model/document.hpp"
#include "store/model/store_paths.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/survey.hpp"
#include "store/qmp/qemu_command_line.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

using Became = RegistrationNote::Became;

// A creation of an older state of the store: it is ended by registering its QEMU as it is.
bool is_older_creation(const DomainRow& row)
{
    return row.state == DomainState::creating && row.older_state;
}

Result<void> check_row(Store& store, const DomainRow& row, std::optional<std::int64_t> pid)
{
    // The row's own QEMU, whose intents recovery closes by looking once it is running.
    const bool own =
        is_older_creation(row) && row.registration && row.registration->qemu.pid == pid;
    if (row.state == DomainState::destroying || row.state == DomainState::destroyed)
        return Error(Errc::gone, row.subject() + " was destroyed or is being destroyed (R8)");
    if (row.state == DomainState::creating && !is_older_creation(row))
        return Error(
            Errc::conflict, row.subject() + " is still being created",
            "nothing was changed; run 'xlstore recover', which finishes it or marks it destroyed");
    if (auto open = check_open(store.db(), row.id); !open) return open;
    if (row.registration && !own && life_of(row.registration->qemu) != Life::dead)
        return Error(
            Errc::exists,
            row.subject() + " has a QEMU registered, pid " +
                std::to_string(row.registration->qemu.pid) + ", which is not known to be dead",
            "'xlfsck -n' says whether it lives; 'xlstore destroy' ends it with its domain");
    if (!own && !open_intents(store.db(), row.id).empty())
        return Error(Errc::busy, row.subject() + " has open intents of a QEMU that died",
                     "run 'xlstore recover' first");
    return {};
}

// The monitor that another store gave to a QEMU that it started: two stores would act on one guest,
// and a destruction by this one end that one's. A path proves nothing, but here it only refuses.
Result<void> check_whose(const Store& store, const DomainRow& row, const std::string& monitor)
{
    const std::filesystem::path path = absolute_path(monitor);
    const auto run = path.parent_path();
    const auto other = run.parent_path().string();
    if (run.filename() != names::kRun || !path.filename().string().starts_with("qmp-")) return {};
    if (!file_identity(StorePaths(other).database()) ||
        file_identity(other) == file_identity(store.directory()))
        return {};
    return Error(Errc::refused,
                 row.subject() + ": " + path.string() +
                     " is the monitor of a QEMU of the store "
                     "in " +
                     other + ", which is there still",
                 "nothing was changed; work on that one, or move its store.db away if it is not "
                 "used any more");
}

// R11: the process that has to be at the other end, if one was named.
Result<std::optional<ProcessId>> named_process(const RegisterRequest& request)
{
    if (!request.pid) return std::optional<ProcessId>();
    auto qemu = identify(*request.pid);
    if (!qemu) return std::move(qemu).error();
    return std::optional<ProcessId>(*std::move(qemu));
}

// What the commit writes of one thing, and what the report says of it.
struct Writing {
    ThingName thing;
    std::optional<std::string> json;  // nothing: it becomes stale
    std::vector<Product> products;
    std::string evidence;  // for its line of history; "": nothing worth one
};

class Findings {
public:
    Findings(const Survey& survey, const InitialDevices& initial)
    {
        for (const auto& entry : survey.entries)
            judge(entry);
        for (const auto& drive : survey.drives)
            judge(drive);
        for (const auto& unknown : survey.unknown)
            adopt(initial, unknown.name, unknown.json, unknown.products, unknown.seen);
        for (const auto& drive : survey.drives)
            if (!drive.entry && drive.holds == SurveyedDrive::Holds::other)
                adopt(initial, drive.seen->name, drive.seen->json, {}, drive.what);
        // A name in QEMU passes from a stale entry to a present one.
        std::stable_partition(writings.begin(), writings.end(),
                              [](const Writing& w) { return !w.json; });
    }

    std::vector<Writing> writings;
    std::vector<RegistrationNote> notes;

private:
    void note(Became became, std::optional<ThingName> thing, std::string text)
    {
        notes.push_back(RegistrationNote{became, std::move(thing), std::move(text)});
    }

    void make_stale(const ThingRow& entry, const std::string& evidence)
    {
        const bool new_to_it = entry.state != "stale";
        writings.push_back(Writing{entry.name, std::nullopt, {}, new_to_it ? evidence : ""});
        if (new_to_it) note(Became::stale, entry.name, evidence);
    }

    void keep(const ThingRow& entry, const std::vector<Product>& products,
              const std::string& evidence)
    {
        const bool returned = entry.state == "stale";
        writings.push_back(Writing{entry.name, entry.json, products, returned ? evidence : ""});
        if (returned) note(Became::returned, entry.name, evidence);
    }

    void judge(const SurveyedEntry& entry)
    {
        if (entry.open) return;  // its intent says what becomes of it
        switch (entry.shown) {
        case SurveyedEntry::Shown::unknown:
            if (!entry.evidence.empty())
                note(Became::left, entry.row.name, "not asked about: " + entry.evidence);
            break;
        case SurveyedEntry::Shown::all:
            keep(entry.row, entry.products, entry.evidence);
            break;
        case SurveyedEntry::Shown::part:
            keep(entry.row, entry.products, entry.evidence);
            note(Became::differs, entry.row.name,
                 entry.evidence + "; detaching it takes out the rest");
            break;
        case SurveyedEntry::Shown::none:
            make_stale(entry.row, entry.evidence);
            break;
        }
    }

    void judge(const SurveyedDrive& drive)
    {
        using Holds = SurveyedDrive::Holds;
        if (!drive.entry) {
            if (drive.holds == Holds::unnamable)
                note(Became::left, std::nullopt, drive.what + ": " + drive.evidence);
            return;
        }
        const auto& entry = *drive.entry;
        if (drive.open) return;
        if (drive.holds == Holds::as_said) {
            keep(entry, {}, drive.evidence.empty() ? "the drive is empty" : drive.evidence);
        } else if (drive.holds != Holds::no_drive && drive.seen) {
            writings.push_back(Writing{entry.name, drive.seen->json, {}, drive.evidence});
            note(Became::differs, entry.name, drive.evidence + "; its entry follows");
        } else {
            make_stale(entry, drive.evidence);
        }
    }

    void adopt(const InitialDevices& initial, const ThingName& name, const std::string& json,
               const std::vector<Product>& products, const std::string& seen)
    {
        if (!initial.known()) {
            note(Became::left, std::nullopt,
                 seen + ": no entry has it, and whether QEMU was started with it is not known");
            return;
        }
        writings.push_back(Writing{name, json, products, "QEMU has " + seen});
        note(Became::adopted, name, seen);
    }
};

Result<void> write_findings(Journal& journal, const FastHold& fast, const Findings& findings)
{
    for (const auto& w : findings.writings) {
        auto written = w.json
                           ? journal.write_present(fast, w.thing, *w.json, w.products, w.evidence)
                           : journal.write_stale(fast, w.thing, w.evidence);
        if (!written) return written;
    }
    return {};
}

// All of it, or nothing.
Result<void> write_all(Store& store, Journal& journal, const FastHold& fast,
                       const qmp::Registration& registration, const std::string& log_path,
                       const InitialDevices& initial, const Findings& findings,
                       const std::string& evidence)
{
    Db& db = store.db();
    auto put = put_registration(db, fast.domain(), registration, log_path);
    if (!put) return put;
    write_initial_devices(db, fast.domain(), initial);
    db.prepare(
          "UPDATE domain SET state = 'running', creator = NULL, born_us = coalesce(born_us, ?) "
          "WHERE id = ?")
        .bind(now_us())
        .bind(value_of(fast.domain()))
        .run();
    journal.add_history(HistoryLine{fast.domain(), "register", {}, {}, "done", {}, evidence});
    if (auto written = write_findings(journal, fast, findings); !written) return written;
    // Of a creation: what is not QEMU's is as the document says, and so is what cannot be looked
    // for.
    db.prepare(
          "UPDATE thing SET state = 'present', changed_us = ?1 WHERE domain = ?2 AND "
          "state = 'adding' AND NOT EXISTS (SELECT 1 FROM intent WHERE thing = thing.id)")
        .bind(now_us())
        .bind(value_of(fast.domain()))
        .run();
    return {};
}

// Said, not refused: it is the administrator's word that this QEMU is the domain's.
std::optional<RegistrationNote> other_uuid(const DomainRow& row, pid_t qemu)
{
    const auto words = command_line_words(qemu);
    if (!words) return std::nullopt;
    const auto option = std::ranges::find_if(*words, [](const std::string& word) -> bool {
        return word == "-uuid" || word == "--uuid";
    });
    if (option == words->end() || option + 1 == words->end()) return std::nullopt;
    const auto uuid = normal_uuid(*(option + 1));
    if (!uuid || *uuid == row.uuid || uuid == row.vm_uuid) return std::nullopt;
    return RegistrationNote{Became::differs, std::nullopt,
                            "QEMU was started with uuid " + *uuid + ", and the domain has " +
                                row.uuid + ": see that it is this domain's QEMU"};
}

}  // namespace

std::string_view became_name(Became became) noexcept
{
    constexpr std::array<std::string_view, 5> names = {"adopted", "returned", "stale", "differs",
                                                       "left"};
    return names.at(static_cast<std::size_t>(became));
}

Task<Result<Registered>> register_qemu(Store& store, DomainRow domain, RegisterRequest request,
                                       Deadline until)
{
    auto hold = co_await store.slow_lock(domain.id, domain.subject(), "register", until);
    if (!hold) co_return std::move(hold).error();
    const auto row = read_domain(store.db(), domain.id);
    if (!row) co_return Error(Errc::gone, domain.subject() + " is no longer in the store");
    if (auto ok = check_row(store, *row, request.pid); !ok) co_return std::move(ok).error();
    if (auto ok = check_whose(store, *row, request.monitor_path); !ok)
        co_return std::move(ok).error();
    auto named = named_process(request);
    if (!named) co_return std::move(named).error();
    // libxl's own way to its monitor, where it is libxl's.
    const libxl::FileOwner owner{row->domid, row->uuid};
    auto beside = co_await libxl::HostHold::take(store.loop(), request.monitor_path, owner, until);
    if (!beside) co_return std::move(beside).error();
    if (!request.follow) beside->leave_as_found();
    auto met = co_await contact_running(store, row->subject(), request.monitor_path,
                                        *std::move(named), request.handed_in, until);
    if (!met) co_return std::move(met).error();
    const qmp::Registration& registration = met->registration;

    auto there = co_await take_inventory(met->monitor, until);
    if (!there) co_return std::move(there).error();
    const ProcessId& qemu = registration.qemu;
    const auto line = read_qemu_command_line(static_cast<pid_t>(qemu.pid));
    const auto initial = initial_of_command_line(
        line ? *line : parse_qemu_command_line({}, [](const auto&) { return std::nullopt; }),
        *there);
    auto survey =
        co_await take_survey(store.db(), row->id, initial, *there, met->monitor, until);
    if (!survey) co_return std::move(survey).error();
    // What was read of it is of this very process.
    if (life_of(qemu) != Life::alive)
        co_return Error(Errc::no_qemu,
                        row->subject() + ": QEMU (pid " + std::to_string(qemu.pid) +
                            ") died while it was looked at",
                        "nothing was changed");

    Findings findings(*survey, initial);
    if (!request.follow) findings.writings.clear();
    const std::string evidence =
        "QEMU " + std::to_string(qemu.pid) + " at " + registration.path + ", as it is";
    // R18: all of the answer is there before the commit, so that nothing can fail afterwards.
    Registered done{*row, findings.notes, {}};
    if (auto note = other_uuid(*row, static_cast<pid_t>(qemu.pid)))
        done.notes.push_back(*std::move(note));
    if (!initial.known()) done.gap = line ? line->gap().value_or("") : line.error().message;
    Journal journal(store);
    auto written = co_await journal.commit(
        *hold, "register running", until, [&](const FastHold& fast) -> Result<void> {
            auto all = write_all(store, journal, fast, registration, request.log_path, initial,
                                 findings, evidence);
            if (all) done.domain = *read_domain(store.db(), fast.domain());
            return all;
        });
    if (!written) co_return std::move(written).error();
    co_return std::move(done);
}

namespace {

// What an external document has and the store lacks. A thing that libxl cannot tell from others of
// its kind is left out: whether the store has it cannot be told, either.
Result<void> claim_external(Store& store, Journal& journal, const FastHold& fast,
                            const Document& external)
{
    for (const auto& thing : external.things) {
        const ThingName name{thing.device_class, thing.key};
        if (!thing.has_identity || read_thing(store.db(), fast.domain(), name)) continue;
        if (thing.primary == Primary::qemu) {
            journal.write_claimed(fast, name, thing.json);
            continue;
        }
        auto put = put_thing(store, fast, thing.device_class, thing.json, "claim");
        if (!put) return put;
    }
    return {};
}

bool lacks_any(Db& db, DomainId domain, const Document& external)
{
    return std::ranges::any_of(external.things, [&](const DocumentThing& thing) -> bool {
        return thing.has_identity && !read_thing(db, domain, {thing.device_class, thing.key});
    });
}

// Is there anything to write beside what the entries say already?
bool is_news(Db& db, DomainId domain, const Findings& findings)
{
    return std::ranges::any_of(findings.writings, [&](const Writing& w) -> bool {
        const auto entry = read_thing(db, domain, w.thing);
        return !w.evidence.empty() || !entry || entry->state != (w.json ? "present" : "stale");
    });
}

// What is to be said of one that its caller gave up on the way. Nothing: it had changed nothing.
std::optional<Error> follow_cancelled(const DomainRow& domain, bool claimed)
{
    if (!claimed) return std::nullopt;
    return Error(Errc::unfinished,
                 domain.subject() +
                     ": what its document has was entered, and compared with QEMU no more: that "
                     "was cancelled on the way",
                 "xlstore_follow again goes on; what QEMU does not have is stale until then");
}

Task<Result<Registered>> follow(Store& store, SlowHold& hold, qmp::Monitor& monitor,
                                DomainRow domain, std::optional<Document> external, bool& claimed,
                                Deadline until)
{
    Db& db = store.db();
    if (auto open = check_open(db, domain.id); !open) co_return std::move(open).error();
    if (external && external->uuid != domain.uuid)
        co_return Error(Errc::invalid, domain.subject() + ": the document is that of uuid " +
                                           external->uuid,
                        "nothing was changed");
    Journal journal(store);
    if (external && lacks_any(db, domain.id, *external)) {
        auto entered = co_await journal.commit(
            hold, "claim", until, [&](const FastHold& fast) -> Result<void> {
                return claim_external(store, journal, fast, *external);
            });
        if (!entered) co_return std::move(entered).error();
        claimed = true;
    }
    auto there = co_await take_inventory(monitor, until);
    if (!there) co_return std::move(there).error();
    const auto initial = read_initial_devices(db, domain.id);
    auto survey = co_await take_survey(db, domain.id, initial, *there, monitor, until);
    if (!survey) co_return std::move(survey).error();
    const Findings findings(*survey, initial);
    Registered done{*read_domain(db, domain.id), findings.notes, {}};
    if (is_news(db, domain.id, findings)) {
        auto written = co_await journal.commit(
            hold, "follow QEMU", until, [&](const FastHold& fast) -> Result<void> {
                auto all = write_findings(journal, fast, findings);
                if (all) done.domain = *read_domain(db, fast.domain());
                return all;
            });
        if (!written) co_return std::move(written).error();
    }
    co_return std::move(done);
}

}  // namespace

Task<Result<Registered>> follow_qemu(Store& store, SlowHold& hold, qmp::Monitor& monitor,
                                     DomainRow domain, std::optional<Document> external,
                                     Deadline until)
{
    bool claimed = false;
    const auto given_up = [&claimed, row = domain] { return follow_cancelled(row, claimed); };
    auto all = follow(store, hold, monitor, std::move(domain), std::move(external), claimed, until);
    auto done = co_await or_when_cancelled(store, Errc::unfinished, given_up, std::move(all));
    if (!done && claimed)
        done.error().message += "; what its document has was entered before, and stays";
    co_return done;
}

Task<Result<void>> write_registration(Store& store, SlowHold& hold, qmp::Registration registration,
                                      std::string log_path, std::string mark, Deadline until)
{
    Journal journal(store);
    co_return co_await journal.commit(
        hold, "register", until, [&](const FastHold& fast) -> Result<void> {
            auto put = put_registration(store.db(), fast.domain(), registration, log_path);
            if (!put) return put;
            store.db()
                .prepare(
                    "UPDATE domain SET state = 'creating', creator = ?, creation_mark = ? "
                    "WHERE id = ?")
                .bind(store.session())
                .bind(mark.empty() ? std::nullopt : std::optional(mark))
                .bind(value_of(fast.domain()))
                .run();
            return {};
        });
}

}  // namespace xlstore
